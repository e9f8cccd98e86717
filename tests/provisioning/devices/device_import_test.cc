#include "provisioning/devices/device_import.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include "db/device_repository.h"
#include "tests/testing/postgres.h"

namespace phonepki::provisioning {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Fields = std::vector<std::string>;

std::vector<Fields> FieldsOf(const std::string& text) {
  std::vector<Fields> rows;
  for (const CsvRecord& record : ParseCsv(text)) rows.push_back(record.fields);
  return rows;
}

std::vector<std::int64_t> LinesOf(const std::string& text) {
  std::vector<std::int64_t> lines;
  for (const CsvRecord& record : ParseCsv(text)) lines.push_back(record.line);
  return lines;
}

TEST(ParseCsvTest, ReadsQuotesAsRfc4180Says) {
  EXPECT_THAT(FieldsOf("a,\"b,c\",\"say \"\"hi\"\"\",\"\"\n"),
              ElementsAre(Fields{"a", "b,c", "say \"hi\"", ""}));
  EXPECT_THAT(FieldsOf("\"two\nlines\",x\n"), ElementsAre(Fields{"two\nlines", "x"}));
  EXPECT_THAT(FieldsOf("a\"b,c\n"), ElementsAre(Fields{"a\"b", "c"}))
      << "a quote in the middle is a character";
}

TEST(ParseCsvTest, ReadsEveryLineEndAndAMissingLast) {
  EXPECT_THAT(FieldsOf("a,b\r\nc,d\ne,"), ElementsAre(Fields{"a", "b"}, Fields{"c", "d"}, Fields{"e", ""}));
  EXPECT_THAT(FieldsOf("a"), ElementsAre(Fields{"a"}));
}

TEST(ParseCsvTest, TakesSemicolonsToo) {
  EXPECT_THAT(FieldsOf("a;b\n"), ElementsAre(Fields{"a", "b"}));
}

TEST(ParseCsvTest, DropsTheByteOrderMarkOfSpreadsheets) {
  EXPECT_THAT(FieldsOf("\xef\xbb\xbfmac\nx\n"), ElementsAre(Fields{"mac"}, Fields{"x"}));
  EXPECT_THAT(FieldsOf("\xef\xbb\xbf\"mac\"\nx\n"), ElementsAre(Fields{"mac"}, Fields{"x"}));
}

TEST(ParseCsvTest, BlankLinesAreNoRecordsButCountAsLines) {
  EXPECT_THAT(LinesOf("a\n\n  \r\nb\n"), ElementsAre(1, 4));
}

TEST(ParseCsvTest, ARecordHasTheNumberOfItsFirstLine) {
  EXPECT_THAT(LinesOf("h\n\"x\ny\nz\"\nb\n"), ElementsAre(1, 2, 5));
}

TEST(ParseCsvTest, AQuoteThatNothingClosesSpoilsItsOwnLineOnly) {
  const std::vector<CsvRecord> records = ParseCsv("h,i\na,\"b\nc,d\ne,\"\"\n");
  ASSERT_EQ(records.size(), 4u);
  EXPECT_TRUE(records[1].open_quote);
  EXPECT_EQ(records[1].line, 2);
  EXPECT_FALSE(records[2].open_quote);
  EXPECT_THAT(records[2].fields, ElementsAre("c", "d"));
  EXPECT_THAT(records[3].fields, ElementsAre("e", ""));
  EXPECT_EQ(records[3].line, 4);
  EXPECT_TRUE(ParseCsv("\"").at(0).open_quote);
}

TEST(ParseCsvTest, NothingIsNoRecord) {
  EXPECT_THAT(ParseCsv(""), IsEmpty());
  EXPECT_THAT(ParseCsv("\n\r\n"), IsEmpty());
}

class DeviceImportTest : public phonepki::testing::PostgresTest {
 protected:
  absl::StatusOr<ImportResult> TryImport(const std::string& csv, bool validate_only = false) {
    return ImportDevices(database(), placement_, csv, validate_only);
  }
  ImportResult Import(const std::string& csv, bool validate_only = false) {
    auto result = TryImport(csv, validate_only);
    EXPECT_OK(result);
    return result.value_or(ImportResult{});
  }
  db::DeviceRecord Device(const std::string& mac) {
    return Do([&](db::Tx& tx) { return db::GetDeviceByMac(tx, mac); });
  }
  int Devices() const { return Value<int>("SELECT count(*) FROM device"); }

  Placement placement_;
};

constexpr char kA[] = "00:1A:E8:00:00:0A";
constexpr char kB[] = "00:1A:E8:00:00:0B";

TEST_F(DeviceImportTest, D33EveryColumnArrives) {
  const ImportResult result = Import(
      "\xef\xbb\xbfMAC, E164 ,ip,fqdn,device_type,description\r\n"
      "001ae8-00000a,498912345,10.0.0.1,desk.example.net,CP400,\"Room 7, \"\"left\"\"\"\r\n");
  EXPECT_EQ(result.created, 1);
  EXPECT_THAT(result.errors, IsEmpty());
  const db::DeviceRecord device = Device(kA);
  EXPECT_EQ(device.state, "virtual");
  EXPECT_EQ(device.e164, "498912345");
  EXPECT_EQ(device.ip_address, "10.0.0.1");
  EXPECT_EQ(device.fqdn, "desk.example.net");
  EXPECT_EQ(device.device_type, "CP400");
  EXPECT_EQ(device.description, "Room 7, \"left\"");
}

TEST_F(DeviceImportTest, ABadRowDoesNotLoseTheOthersAndIsNamedByLineFieldAndReason) {
  const ImportResult result = Import(
      "mac,e164,ip\n"
      "00:1A:E8:00:00:0A,1,\n"
      "nonsense,1,\n"
      "00:1A:E8:00:00:0C,+49,\n"
      "00:1A:E8:00:00:0D,1,10.0.0.300\n"
      "00:1A:E8:00:00:0E,1\n"
      ",1,\n"
      "00-1a-e8-00-00-0a,2,\n"
      "00:1A:E8:00:00:0B,2,\n");
  EXPECT_EQ(result.created, 2);
  std::vector<std::string> errors;
  for (const ImportError& error : result.errors) {
    errors.push_back(absl::StrCat(error.line, " ", error.field, " ", error.reason));
    EXPECT_FALSE(error.message.empty());
  }
  EXPECT_THAT(errors, ElementsAre("3 mac MAC", "4 e164 E164", "5 ip IP", "6  CSV_FIELDS", "7 mac MAC",
                                  "8 mac DUPLICATE"));
  EXPECT_EQ(Device(kA).e164, "1");
  EXPECT_EQ(Device(kB).e164, "2");
}

TEST_F(DeviceImportTest, TextThatIsNotUtf8IsABadRowLikeAnyOther) {
  const ImportResult result = Import(absl::StrCat("mac,description\n", kA, ",B\xfcro\n", kB, ",B\xc3\xbcro\n",
                                                  "00:1A:E8:00:00:0C,", std::string("a\0b", 3), "\n"));
  EXPECT_EQ(result.created, 1);
  EXPECT_EQ(Device(kB).description, "B\xc3\xbcro");
  ASSERT_THAT(result.errors, SizeIs(2));
  EXPECT_EQ(result.errors[0].line, 2);
  EXPECT_EQ(result.errors[0].field, "description");
  EXPECT_EQ(result.errors[0].reason, "ENCODING");
  EXPECT_EQ(result.errors[1].line, 4);
}

TEST_F(DeviceImportTest, TooLongTextIsRefusedByField) {
  const ImportResult result = Import(absl::StrCat("mac,fqdn\n", kA, ",", std::string(256, 'x'), "\n"));
  ASSERT_THAT(result.errors, SizeIs(1));
  EXPECT_EQ(result.errors[0].field, "fqdn");
  EXPECT_EQ(result.errors[0].reason, "TOO_LONG");
  EXPECT_EQ(Devices(), 0);
}

TEST_F(DeviceImportTest, AnUnusableHeaderIsRefusedAsAWhole) {
  for (const char* csv :
       {"", "\n", "mac,colour\n", "e164,ip\n1,10.0.0.1\n", "mac,ip,mac\n", "00:1A:E8:00:00:0A,1\n"}) {
    const auto refused = TryImport(csv);
    EXPECT_CODE(refused, kInvalidArgument) << csv;
    EXPECT_REFUSED(refused, "CSV_HEADER", "csv") << csv;
  }
}

TEST_F(DeviceImportTest, AHeaderAloneImportsNothing) {
  const ImportResult result = Import("mac,e164\n");
  EXPECT_EQ(result.created + result.updated + result.unchanged, 0);
}

TEST_F(DeviceImportTest, AColumnThatIsAbsentKeepsWhatIsKnown) {
  Import(absl::StrCat("mac,e164,description\n", kA, ",111,desk\n"));
  const ImportResult result = Import(absl::StrCat("e164,mac\n222,", kA, "\n"));
  EXPECT_EQ(result.updated, 1);
  EXPECT_EQ(Device(kA).e164, "222");
  EXPECT_EQ(Device(kA).description, "desk");
}

TEST_F(DeviceImportTest, TheSameFileAgainChangesNothing) {
  const std::string csv = absl::StrCat("mac,e164,ip\n", kA, ",1,10.0.0.1\n", kB, ",2,2001:db8::1\n");
  EXPECT_EQ(Import(csv).created, 2);
  const ImportResult again = Import(csv);
  EXPECT_EQ(again.unchanged, 2);
  EXPECT_EQ(again.created + again.updated, 0);
}

TEST_F(DeviceImportTest, ValidateOnlyTellsTheSameAndWritesNothing) {
  const std::string csv = absl::StrCat("mac,e164\n", kA, ",1\nbad,1\n");
  const ImportResult plan = Import(csv, true);
  EXPECT_EQ(plan.created, 1);
  EXPECT_THAT(plan.errors, SizeIs(1));
  EXPECT_EQ(Devices(), 0);
  EXPECT_EQ(Import(csv).created, 1);
}

TEST_F(DeviceImportTest, PhonesAreLocatedByTheRules) {
  Sql("INSERT INTO location (display_name) VALUES ('Munich');"
      "INSERT INTO location_rule SELECT id, 'e164_prefix', '4989' FROM location WHERE display_name = "
      "'Munich';"
      "UPDATE location_revision SET revision = revision + 1");
  Import(absl::StrCat("mac,e164\n", kA, ",49891\n", kB, ",49301\n"));
  EXPECT_NE(Device(kA).location_id, 1);
  EXPECT_EQ(Device(kB).location_id, 1);
  Import(absl::StrCat("mac,e164\n", kB, ",49892\n"));
  EXPECT_EQ(Device(kB).location_id, Device(kA).location_id);
}

TEST_F(DeviceImportTest, AFleetGoesInOverSeveralTransactions) {
  std::string csv = "mac\n";
  for (int i = 1; i <= 2500; ++i) {
    absl::StrAppend(&csv, "00:1A:E8:01:", absl::Hex(i / 256, absl::kZeroPad2), ":",
                    absl::Hex(i % 256, absl::kZeroPad2), "\n");
  }
  EXPECT_EQ(Import(csv).created, 2500);
  EXPECT_EQ(Devices(), 2500);
}

}  // namespace
}  // namespace phonepki::provisioning
