#include "db/certificate_repository.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include "db/device_repository.h"
#include "tests/db/db_fixture.h"

namespace phonepki::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CertificateRepositoryTest : public DbFixture {
 protected:
  std::string StateOf(std::int64_t id) {
    return Do([&](Tx& tx) { return GetCertificate(tx, id); }).state;
  }
  bool HasKey(std::int64_t id) const {
    return Value<bool>(
        absl::StrCat("SELECT EXISTS (SELECT 1 FROM certificate_key WHERE certificate_id = ", id, ")"));
  }
  void Activate(std::int64_t device, std::int64_t certificate, bool erase = true) {
    Run([&](Tx& tx) { return ActivateCertificates(tx, {device}, "wbm", {certificate}, erase); });
  }
  bool Owns(const std::string& subject, std::int64_t device, const std::string& slot = "wbm") {
    return Do([&](Tx& tx) {
             return ClaimSubjects(tx, ca_id(), {absl::AsciiStrToLower(subject)}, {subject}, {device}, {slot});
           })
        .at(0);
  }
};

TEST_F(CertificateRepositoryTest, AnIntentStandsBeforeTheSignature) {
  const std::int64_t job = AddJob(1);
  const std::int64_t id = AddIntent(DeviceOf(job), job);
  const CertificateRecord record = Do([&](Tx& tx) { return GetCertificate(tx, id); });
  EXPECT_EQ(record.state, "intended");
  EXPECT_THAT(record.der, IsEmpty());
  EXPECT_EQ(record.job_id, job);
  EXPECT_EQ(record.mac, "00:1A:E8:00:00:01");
  EXPECT_CODE(database().InTransactionReturning("t", [&](Tx& tx) { return GetDeliverable(tx, id); }),
              kNotFound);
}

TEST_F(CertificateRepositoryTest, IntentsComeBackInTheirOrder) {
  std::vector<CertificateRecord> intents;
  for (int i = 0; i < 30; ++i) {
    CertificateRecord intent;
    intent.ca_id = ca_id();
    intent.serial = {static_cast<std::uint8_t>(0x7f - i)};
    intent.kind = "wbm";
    intent.subject = absl::StrCat("CN=", i);
    intent.not_before = intent.not_after = absl::FromUnixSeconds(1700000000);
    intent.tbs_digest = {1};
    intents.push_back(intent);
  }
  const std::vector<std::int64_t> ids = Do([&](Tx& tx) { return InsertIntents(tx, intents); });
  ASSERT_THAT(ids, SizeIs(30));
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(Do([&](Tx& tx) { return GetCertificate(tx, ids[i]); }).subject, intents[i].subject);
  }
}

TEST_F(CertificateRepositoryTest, ASerialIsUsedOncePerCa) {
  AddIntent(0);
  EXPECT_REASON(database().InTransaction(
                    "t",
                    [&](Tx& tx) {
                      return tx
                          .ExecuteScript(
                              "INSERT INTO certificate (ca_id, serial, kind, subject, not_before, not_after,"
                              " tbs_digest) SELECT ca_id, serial, kind, subject, not_before, not_after,"
                              " tbs_digest FROM certificate")
                          .status();
                    }),
                "UNIQUE:certificate_ca_id_serial_key");
}

TEST_F(CertificateRepositoryTest, OnlyIssuedCertificatesWithTheirKeyAreFoundForAJob) {
  const std::vector<std::int64_t> jobs = AddJobs(1, 3);
  AddIntent(DeviceOf(jobs[0]), jobs[0]);
  const std::int64_t keyless = AddIssued(DeviceOf(jobs[1]), jobs[1]);
  Sql(absl::StrCat("DELETE FROM certificate_key WHERE certificate_id = ", keyless));
  const std::int64_t fit = AddIssued(DeviceOf(jobs[2]), jobs[2]);
  const auto found = Do([&](Tx& tx) { return FindIssuedForJobs(tx, jobs); });
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].id, fit);
}

TEST_F(CertificateRepositoryTest, AnActivationSupersedesTheFormerAndErasesTheKey) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t first = AddIssued(device);
  Activate(device, first);
  EXPECT_EQ(StateOf(first), "active");
  EXPECT_FALSE(HasKey(first));
  const std::int64_t second = AddIssued(device);
  EXPECT_TRUE(HasKey(second));
  Activate(device, second);
  EXPECT_EQ(StateOf(first), "superseded");
  EXPECT_EQ(StateOf(second), "active");
  EXPECT_FALSE(HasKey(second));
  const auto slots = Do([&](Tx& tx) { return GetSlots(tx, device); });
  ASSERT_THAT(slots, SizeIs(1));
  ASSERT_TRUE(slots[0].active.has_value());
  EXPECT_EQ(slots[0].active->certificate_id, second);
}

TEST_F(CertificateRepositoryTest, ThePolicyKeepForRollbackKeepsTheKey) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t id = AddIssued(device);
  Activate(device, id, false);
  EXPECT_TRUE(HasKey(id));
}

TEST_F(CertificateRepositoryTest, ActivatingTwiceIsTheSameAsOnce) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t id = AddIssued(device);
  Activate(device, id);
  Activate(device, id);
  EXPECT_EQ(StateOf(id), "active");
}

TEST_F(CertificateRepositoryTest, ARevokedCertificateIsNotShownAsActive) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t good = AddIssued(device);
  Activate(device, good);
  const std::int64_t revoked = AddIssued(device);
  Sql(absl::StrCat("UPDATE certificate SET state = 'revoked' WHERE id = ", revoked));
  Activate(device, revoked);
  EXPECT_EQ(StateOf(revoked), "revoked");
}

TEST_F(CertificateRepositoryTest, ABatchActivatesForEachItsOwnDevice) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2), bystander = AddDevice(3);
  const std::int64_t old_a = AddIssued(a), old_b = AddIssued(b), other = AddIssued(bystander);
  Run([&](Tx& tx) {
    return ActivateCertificates(tx, {a, b, bystander}, "wbm", {old_a, old_b, other}, true);
  });
  const std::int64_t new_a = AddIssued(a), new_b = AddIssued(b);
  Run([&](Tx& tx) { return ActivateCertificates(tx, {b, a}, "wbm", {new_b, new_a}, true); });
  EXPECT_EQ(StateOf(old_a), "superseded");
  EXPECT_EQ(StateOf(old_b), "superseded");
  EXPECT_EQ(StateOf(other), "active");
  EXPECT_EQ(Do([&](Tx& tx) { return GetSlots(tx, a); }).at(0).active->certificate_id, new_a);
}

TEST_F(CertificateRepositoryTest, ASlotHasAtMostOneActiveCertificateWhateverIsWritten) {
  const std::int64_t device = AddDevice(1);
  Activate(device, AddIssued(device));
  const std::int64_t second = AddIssued(device);
  EXPECT_REASON(
      database().InTransaction("t",
                               [&](Tx& tx) {
                                 return tx
                                     .ExecuteScript(absl::StrCat(
                                         "UPDATE certificate SET state = 'active' WHERE id = ", second))
                                     .status();
                               }),
      "UNIQUE:certificate_active_idx");
}

TEST_F(CertificateRepositoryTest, DiscardingErasesTheKeyAndLeavesTheRecord) {
  const std::int64_t id = AddIssued(0);
  Run([&](Tx& tx) { return DiscardCertificates(tx, {id}); });
  EXPECT_EQ(StateOf(id), "discarded");
  EXPECT_FALSE(HasKey(id));
}

TEST_F(CertificateRepositoryTest, AnActiveCertificateIsNotDiscarded) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t id = AddIssued(device);
  Activate(device, id);
  Run([&](Tx& tx) { return DiscardCertificates(tx, {id}); });
  EXPECT_EQ(StateOf(id), "active");
}

TEST_F(CertificateRepositoryTest, C09ASubjectBelongsToOneDevice) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2);
  AddIssued(a, 0, "CN=x");
  EXPECT_TRUE(Owns("CN=x", a));
  EXPECT_TRUE(Owns("CN=x", a)) << "a renewal";
  EXPECT_FALSE(Owns("CN=x", b));
  EXPECT_TRUE(Owns("CN=x", a, "spe")) << "another slot of the same phone";
  EXPECT_TRUE(Owns("CN=y", b));
}

TEST_F(CertificateRepositoryTest, C09TwoPhonesOfOneBatchDoNotShareASubject) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2);
  AddIssued(a, 0, "CN=x");
  AddIssued(b, 0, "CN=x");
  const std::vector<bool> owned = Do([&](Tx& tx) {
    return ClaimSubjects(tx, ca_id(), {"cn=z", "cn=x", "cn=x"}, {"CN=z", "CN=x", "CN=x"}, {a, a, b},
                         {"wbm", "wbm", "wbm"});
  });
  EXPECT_THAT(owned, ElementsAre(true, true, false));
}

TEST_F(CertificateRepositoryTest, C09ASubjectPassesOnWhenItsDeviceHasNoLiveCertificate) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2);
  const std::int64_t certificate = AddIssued(a, 0, "CN=x");
  ASSERT_TRUE(Owns("CN=x", a));
  ASSERT_FALSE(Owns("CN=x", b));
  Run([&](Tx& tx) { return DiscardCertificates(tx, {certificate}); });
  EXPECT_TRUE(Owns("CN=x", b));
  AddIssued(b, 0, "CN=x");
  EXPECT_FALSE(Owns("CN=x", a));
}

TEST_F(CertificateRepositoryTest, C09AnotherCaMayUseTheSubjectToo) {
  const std::int64_t a = AddDevice(1), b = AddDevice(2);
  AddIssued(a, 0, "CN=x");
  ASSERT_TRUE(Owns("CN=x", a));
  const auto other =
      Value<std::int64_t>("INSERT INTO internal_ca (display_name) VALUES ('Other') RETURNING id");
  EXPECT_THAT(Do([&](Tx& tx) { return ClaimSubjects(tx, other, {"cn=x"}, {"CN=x"}, {b}, {"wbm"}); }),
              ElementsAre(true));
}

TEST_F(CertificateRepositoryTest, DeliversTheChainWithoutTheRoot) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t id = AddIssued(device);
  const auto chain_with = [&](const std::string& chain, bool parent) {
    const std::string parent_id = parent ? std::to_string(ca_id()) : "NULL";
    Sql(absl::StrCat("UPDATE internal_ca SET certificate = '\\xCA', wrapped_key = '\\x01', chain = ARRAY[",
                     chain, "]::bytea[], parent_id = ", parent_id));
    return Do([&](Tx& tx) { return GetDeliverable(tx, id); }).chain;
  };
  EXPECT_THAT(chain_with("", false), IsEmpty());
  EXPECT_THAT(chain_with("'\\xAA'", true), ElementsAre(base::Bytes{0xCA}));
  EXPECT_THAT(chain_with("'\\xBB', '\\xAA'", true), ElementsAre(base::Bytes{0xCA}, base::Bytes{0xBB}));
}

TEST_F(CertificateRepositoryTest, ListsNewestFirstByCaDeviceAndSerial) {
  const std::int64_t device = AddDevice(1);
  const std::int64_t first = AddIssued(device), second = AddIssued(0), third = AddIssued(device);
  const auto list = [&](const CertificateFilter& filter, std::int64_t before = INT64_MAX, int limit = 10) {
    std::vector<std::int64_t> ids;
    for (const auto& record : Do([&](Tx& tx) { return ListCertificates(tx, filter, before, limit); })) {
      ids.push_back(record.id);
    }
    return ids;
  };
  EXPECT_THAT(list({}), ElementsAre(third, second, first));
  EXPECT_THAT(list({}, third, 1), ElementsAre(second));
  EXPECT_THAT(list({.device_id = device}), ElementsAre(third, first));
  EXPECT_THAT(list({.ca_id = ca_id() + 1}), IsEmpty());
  const base::Bytes serial = Do([&](Tx& tx) { return GetCertificate(tx, second); }).serial;
  EXPECT_THAT(list({.serial = serial}), ElementsAre(second));
}

}  // namespace
}  // namespace phonepki::db
