#include "server/config.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/config_options.h"
#include "server/config_values.h"

namespace phonepki::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    std::string pattern = ::testing::TempDir() + "/config_test_XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  absl::StatusOr<Invocation> Parse(std::vector<std::string> arguments,
                                   const EnvironmentList& environment = {}) {
    std::vector<const char*> argv = {"phonepkid"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return ParseInvocation(static_cast<int>(argv.size()), argv.data(), environment);
  }

  ServerConfig Config(std::vector<std::string> arguments, const EnvironmentList& environment = {}) {
    absl::StatusOr<Invocation> invocation = Parse(std::move(arguments), environment);
    EXPECT_TRUE(invocation.ok()) << invocation.status();
    return invocation.ok() ? invocation->config : ServerConfig{};
  }

  std::string Mistakes(std::vector<std::string> arguments, const EnvironmentList& environment = {}) {
    absl::StatusOr<Invocation> invocation = Parse(std::move(arguments), environment);
    EXPECT_EQ(invocation.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(invocation.status().message());
  }

  std::string directory_;
};

TEST_F(ConfigTest, DefaultsAreValid) {
  const ServerConfig config = Config({});
  EXPECT_EQ(config.phone.listen.ToString(), "[::]:18443");
  EXPECT_TRUE(config.database.embedded());
  EXPECT_EQ(config.secure.listen.ToString(), "[::]:18444");
  EXPECT_TRUE(config.HasRole("worker"));
  EXPECT_EQ(config.keys.MasterKeyPath(config.data_dir), "/var/lib/phonepki/master.key");
}

TEST_F(ConfigTest, FlagWinsOverVariableWinsOverFile) {
  const std::string file = File("c.yaml", "worker: {batch: 10, poll: 3s}\njob:\n  max_failures: 7\n");
  const ServerConfig config = Config({"--config", file, "--worker-batch=30"},
                                     {"PHONEPKI_WORKER_BATCH=20", "PHONEPKI_WORKER_POLL=4s"});
  EXPECT_EQ(config.worker.batch, 30);
  EXPECT_EQ(config.worker.poll, absl::Seconds(4));
  EXPECT_EQ(config.job.max_failures, 7);
}

TEST_F(ConfigTest, ReadsEveryKindOfValue) {
  const std::string file = File("c.yaml", R"(
roles: [api, worker]
phone:
  listen: "[::1]:0"
  admission: networks
  networks: [10.1.0.0/16, "fd00::/8"]
  idle_timeout: 1m30s
knock: {rate: 2.5}
log: {level: debug}
api:
  names: pki.example.net, 192.0.2.1
keys: {erase_after_activation: false}
pkcs12:
  encryption: aes256-sha256
)");
  const ServerConfig config = Config({"-c", file});
  EXPECT_THAT(config.roles, ElementsAre("api", "worker"));
  EXPECT_EQ(config.phone.listen.host, "::1");
  EXPECT_EQ(config.phone.listen.port, 0);
  EXPECT_EQ(config.phone.admission, Admission::kNetworks);
  EXPECT_THAT(config.phone.networks, ElementsAre("10.1.0.0/16", "fd00::/8"));
  EXPECT_EQ(config.phone.idle_timeout, absl::Seconds(90));
  EXPECT_EQ(config.knock.rate, 2.5);
  EXPECT_EQ(config.log.level, base::LogLevel::kDebug);
  EXPECT_THAT(config.api.names, ElementsAre("pki.example.net", "192.0.2.1"));
  EXPECT_FALSE(config.keys.erase_after_activation);
  EXPECT_EQ(config.pkcs12.encryption, Pkcs12Encryption::kAes256Sha256);
}

TEST_F(ConfigTest, BooleanFlagNeedsNoValueAndTakesOne) {
  EXPECT_TRUE(Config({"--knock-allow-fast"}).knock.allow_fast);
  EXPECT_FALSE(Config({"--keys-erase-after-activation=false"}).keys.erase_after_activation);
  EXPECT_THAT(Mistakes({"--knock-allow-fast=maybe"}), HasSubstr("--knock-allow-fast"));
}

TEST_F(ConfigTest, ListFlagMayBeRepeated) {
  EXPECT_THAT(Config({"--roles", "api", "--roles", "worker,phone"}).roles,
              ElementsAre("api", "worker", "phone"));
}

TEST_F(ConfigTest, UnknownKeyNamesLineAndNearestKey) {
  const std::string file = File("c.yaml", "phone:\n  path: /x\n  lisen: 0.0.0.0:1\nprobes: {port: 1}\n");
  EXPECT_THAT(Mistakes({"--config", file}),
              AllOf(HasSubstr(file + ":3: unknown key \"phone.lisen\"; did you mean \"phone.listen\"?"),
                    HasSubstr(file + ":4: unknown key \"probes\"; did you mean \"probe\"?")));
}

TEST_F(ConfigTest, UnknownFlagAndCommandNameTheNearest) {
  EXPECT_THAT(Mistakes({"--phone-lisen", "0.0.0.0:1"}),
              AllOf(HasSubstr("--phone-lisen: unknown option; did you mean \"--phone-listen\"?"),
                    Not(HasSubstr("unknown command"))));
  EXPECT_THAT(Mistakes({"migrat"}), HasSubstr("migrat: unknown command; did you mean \"migrate\"?"));
}

TEST_F(ConfigTest, UnknownVariableOfASectionIsAMistake) {
  EXPECT_THAT(Mistakes({}, {"PHONEPKI_PHONE_LISEN=0.0.0.0:1"}),
              HasSubstr("PHONEPKI_PHONE_LISEN: unknown variable; did you mean \"PHONEPKI_PHONE_LISTEN\"?"));
}

TEST_F(ConfigTest, ForeignVariablesDoNotStopTheServer) {
  absl::StatusOr<Invocation> invocation =
      Parse({}, {"PHONEPKI_SERVICE_HOST=10.0.0.1", "PHONEPKI_PORT=tcp://10.0.0.1:9443",
                 "PHONEPKI_API_PORT_9443_TCP=tcp://10.0.0.1:9443", "PHONEPKI_SERVER=10.0.0.1:9443",
                 "PHONEPKI_DATADIR=/x"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_THAT(invocation->warnings, ElementsAre(HasSubstr("did you mean \"PHONEPKI_DATA_DIR\"?")));
}

TEST_F(ConfigTest, ReportsAllMistakesAtOnceWithTheirPlaces) {
  const std::string file = File("c.yaml", "worker:\n  batch: many\nphone:\n  idle_timeout: 45\n");
  EXPECT_THAT(Mistakes({"--config", file, "--job-max-failures=0"}, {"PHONEPKI_KNOCK_CONTACT_GAP=1s"}),
              AllOf(HasSubstr(file + ":2: worker.batch: \"many\" is not a whole number"),
                    HasSubstr(file + ":4: phone.idle_timeout: \"45\" is not a duration"),
                    HasSubstr("--job-max-failures: job.max_failures must be from 1 to 1000"),
                    HasSubstr("PHONEPKI_KNOCK_CONTACT_GAP: knock.contact_gap must be at least 1m")));
}

TEST_F(ConfigTest, BrokenFileNamesTheLine) {
  EXPECT_THAT(Mistakes({"--config", File("c.yaml", "phone:\n  listen: [1\n")}), HasSubstr("c.yaml:"));
  EXPECT_THAT(Mistakes({"--config", directory_ + "/none.yaml"}), HasSubstr("cannot be read"));
  EXPECT_THAT(Mistakes({"--config", File("d.yaml", "log: {level: info}\nlog: {level: warn}\n")}),
              HasSubstr("d.yaml:2: \"log\" is given twice"));
  EXPECT_THAT(Mistakes({"--config", File("e.yaml", "log: [a]\n")}), HasSubstr("must be a map"));
  EXPECT_THAT(Mistakes({"--config", File("f.yaml", "phone: {path: [a]}\n")}), HasSubstr("must be one value"));
}

TEST_F(ConfigTest, FileMayComeFromAVariable) {
  EXPECT_EQ(Config({}, {"PHONEPKI_CONFIG=" + File("c.yaml", "worker: {batch: 9}")}).worker.batch, 9);
}

TEST_F(ConfigTest, PlaintextApiOnlyOnLoopback) {
  EXPECT_THAT(Mistakes({"--api-insecure-plaintext"}), HasSubstr("loopback"));
  EXPECT_TRUE(Config({"--api-insecure-plaintext", "--api-listen=127.0.0.1:0"}).api.insecure_plaintext);
}

TEST_F(ConfigTest, FastKnocksNeedTheirSwitch) {
  EXPECT_THAT(Mistakes({"--knock-contact-gap=5s"}), HasSubstr("knock.allow_fast"));
  EXPECT_EQ(Config({"--knock-contact-gap=5s", "--knock-allow-fast"}).knock.contact_gap, absl::Seconds(5));
}

TEST_F(ConfigTest, DoorsMustNotSharePorts) {
  EXPECT_THAT(Mistakes({"--http-listen=127.0.0.1:9443"}),
              HasSubstr("http.listen takes port 9443, which api.listen (0.0.0.0:9443) has"));
  EXPECT_TRUE(Parse({"--http-listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"}).ok());
}

TEST_F(ConfigTest, AnswersToPollsMustDiffer) {
  EXPECT_THAT(Mistakes({"--dcmp-work-status=200"}), HasSubstr("dcmp.work_status"));
  EXPECT_THAT(Mistakes({"--dcmp-work-status=99"}), HasSubstr("200"));
  EXPECT_THAT(Mistakes({"--dcmp-device-parameter=a=b"}), HasSubstr("dcmp.device_parameter"));
  EXPECT_EQ(Config({"--dcmp-path=/poll"}).dcmp.path, "/poll");
}

TEST_F(ConfigTest, RolesNeedTheirDoors) {
  EXPECT_THAT(Mistakes({"--phone-listen="}), HasSubstr("while the role phone is on"));
  EXPECT_TRUE(Parse({"--phone-listen=", "--roles=api,worker"}).ok());
  EXPECT_THAT(Mistakes({"--roles=api,cook"}), HasSubstr("\"cook\" is not a role"));
}

TEST_F(ConfigTest, NetworksMustBeNetworks) {
  EXPECT_THAT(Mistakes({"--phone-admission=networks"}), HasSubstr("at least one network"));
  EXPECT_THAT(Mistakes({"--phone-admission=networks", "--phone-networks=10.1.2.3/8"}),
              HasSubstr("bits set behind"));
  EXPECT_THAT(Mistakes({"--phone-admission=networks", "--phone-networks=10.0.0.0"}),
              HasSubstr("not a network"));
}

TEST_F(ConfigTest, PhonesAreToldAddressesOrHostNames) {
  for (const char* host : {"192.0.2.10", "fd00::7", "dls.example.com", "dls"}) {
    EXPECT_EQ(Config({"--knock-advertise-address", host}).knock.advertise_address, host);
  }
  for (const char* host : {"192.0.2.300", "192.0.2.10:443", "[fd00::7]", "a b"}) {
    EXPECT_THAT(Mistakes({"--knock-advertise-address", host}), HasSubstr("neither an IP address nor a host"));
  }
  EXPECT_THAT(Mistakes({"--knock-advertise=none", "--knock-advertise-address=192.0.2.10"}),
              HasSubstr("knock.advertise_address has no effect"));
}

TEST_F(ConfigTest, PasswordsComeFromFiles) {
  EXPECT_THAT(Mistakes({"--database-url=postgresql://u:secret@db/x"}),
              AllOf(HasSubstr("database.url_file"), Not(HasSubstr("secret"))));
  EXPECT_THAT(Mistakes({"--database-url=host=db password=secret"}), Not(HasSubstr("secret")));
  const std::string file = File("url", "postgresql://u:secret@db/x\n");
  EXPECT_EQ(Config({"--database-url-file", file}).database.url, "postgresql://u:secret@db/x");
  EXPECT_THAT(Parse({"--print-config", "--database-url-file", file})->text, Not(HasSubstr("secret")));
  EXPECT_THAT(Mistakes({"--database-url-file", directory_ + "/none"}), HasSubstr("cannot be read"));
  EXPECT_THAT(Mistakes({"--database-url-file", file, "--database-url=postgresql://db/x"}),
              HasSubstr("exclude"));
}

TEST_F(ConfigTest, PrintedConfigurationIsAFileThatGivesTheSame) {
  const std::vector<std::string> arguments = {"--print-config", "--worker-batch=7",
                                              "--phone-listen=[::]:18443", "--roles=api,worker",
                                              "--job-deadline=90m"};
  absl::StatusOr<Invocation> first = Parse(arguments, {"PHONEPKI_LOG_LEVEL=warn"});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->command, Invocation::Command::kPrint);
  EXPECT_THAT(first->text, AllOf(HasSubstr("# --worker-batch"), HasSubstr("# PHONEPKI_LOG_LEVEL"),
                                 HasSubstr("# default")));
  const std::string file = File("printed.yaml", first->text);
  const ServerConfig again = Config({"--config", file});
  const ServerConfig direct = Config({arguments.begin() + 1, arguments.end()}, {"PHONEPKI_LOG_LEVEL=warn"});
  for (const ConfigOption& option : ConfigOptions()) {
    EXPECT_EQ(option.print(again), option.print(direct)) << option.key;
  }
}

TEST_F(ConfigTest, CommandsAndHelp) {
  EXPECT_EQ(Parse({})->command, Invocation::Command::kServe);
  EXPECT_EQ(Parse({"serve"})->command, Invocation::Command::kServe);
  absl::StatusOr<Invocation> migrate = Parse({"migrate", "--database-url=postgresql:///x"});
  ASSERT_TRUE(migrate.ok()) << migrate.status();
  EXPECT_EQ(migrate->command, Invocation::Command::kMigrate);
  EXPECT_EQ(migrate->config.database.url, "postgresql:///x");
  EXPECT_THAT(Parse({"--version"})->text, HasSubstr("phonepkid "));
  const std::string help = Parse({"--help"})->text;
  for (const ConfigOption& option : ConfigOptions()) EXPECT_THAT(help, HasSubstr(option.Flag()));
}

TEST_F(ConfigTest, B065PinLengthsMustAgree) {
  EXPECT_TRUE(Parse({"--secure-pin-length=12", "--secure-pin-alphabet=letters"}).ok());
  EXPECT_THAT(std::string(Parse({"--secure-pin-length=6"}).status().message()),
              HasSubstr("secure.pin_length"));
  EXPECT_THAT(std::string(Parse({"--secure-pin-min-length=5"}).status().message()),
              HasSubstr("must be from 6 to 32"));
  EXPECT_THAT(std::string(Parse({"--secure-pin-max-length=7"}).status().message()),
              HasSubstr("secure.pin_min_length"));
}

TEST_F(ConfigTest, EveryRowOfTheTableIsSound) {
  const ServerConfig defaults;
  for (const ConfigOption& option : ConfigOptions()) {
    ServerConfig copy;
    EXPECT_TRUE(option.parse(copy, option.print(defaults)).ok()) << option.key;
    EXPECT_THAT(option.check(defaults), IsEmpty()) << option.key;
    const auto& sections = ConfigSections();
    EXPECT_TRUE(std::any_of(sections.begin(), sections.end(), [&](const ConfigSection& section) {
      return section.name == option.Section();
    })) << option.key;
  }
}

TEST_F(ConfigTest, ReferencePageIsCurrent) {
  std::ifstream stream(PHONEPKI_SOURCE_DIR "/docs/configuration.md");
  std::stringstream page;
  page << stream.rdbuf();
  EXPECT_TRUE(page.str() == ConfigReference())
      << "run: build/server/phonepkid config-reference > docs/configuration.md";
}

TEST(ListenAddressTest, ParsesAndPrints) {
  for (const char* text : {"0.0.0.0:1", "[::]:9443", "[fd00::1]:65535", "127.0.0.1:0", ""}) {
    absl::StatusOr<ListenAddress> address = ListenAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  for (const char* text :
       {":80", "::1:80", "localhost:80", "1.2.3.4", "1.2.3.4:65536", "[1.2.3.4]:1", "1.2.3.4:x"}) {
    EXPECT_FALSE(ListenAddress::Parse(text).ok()) << text;
  }
}

TEST(DurationTest, IsWrittenWithOneUnitWhenPossible) {
  using Value = ConfigValue<absl::Duration>;
  EXPECT_EQ(Value::Print(absl::Hours(72)), "72h");
  EXPECT_EQ(Value::Print(absl::Seconds(90)), "90s");
  EXPECT_EQ(Value::Print(absl::Milliseconds(1500)), "1500ms");
  absl::Duration duration;
  for (const char* text : {"", "5", "-5s", "inf", "five"})
    EXPECT_FALSE(Value::Parse(text, &duration).ok()) << text;
}

}  // namespace
}  // namespace phonepki::server
