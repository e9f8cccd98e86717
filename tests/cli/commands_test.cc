// Arguments to requests, answers to output, over real TLS.
#include <fstream>
#include <limits>
#include <sstream>

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "phonepki/ca/v1/certificate.pb.h"
#include "phonepki/ca/v1/internal_ca.pb.h"
#include "phonepki/deployment/v1/deployment.pb.h"
#include "phonepki/device/v1/device.pb.h"
#include "phonepki/device/v1/location.pb.h"
#include "phonepki/job/v1/job.pb.h"
#include "phonepki/pki/v1/connector.pb.h"
#include "phonepki/pki/v1/plugin.pb.h"
#include "phonepki/security/v1/security.pb.h"
#include "tests/cli/fake_server.h"

namespace phonepki::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CommandsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new FakeServer; }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  Outcome Do(std::vector<std::string> arguments, RunOptions options = {}) {
    return RunCli(server_, std::move(arguments), std::move(options));
  }

  static FakeServer* server_;
};
FakeServer* CommandsTest::server_ = nullptr;

ca::v1::InternalCa MyCa() {
  ca::v1::InternalCa ca;
  ca.set_name("internalCas/7");
  ca.set_display_name("MyNewCA");
  ca.set_enabled(true);
  ca.set_state(ca::v1::InternalCa::ACTIVE);
  ca.mutable_certificate()->set_subject("C=US,ST=FL,CN=MyNewCA");
  ca.mutable_certificate()->set_key_algorithm("rsa2048");
  ca.mutable_certificate()->mutable_not_after()->set_seconds(2'000'000'000);
  return ca;
}

std::string Utc(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

// The chapters of the guide, a command each.

TEST_F(CommandsTest, InternalCaInOneCommand) {
  ca::v1::CreateInternalCaResponse response;
  *response.mutable_internal_ca() = MyCa();
  auto request =
      server_->Expect<ca::v1::CreateInternalCaRequest>("ca.v1.InternalCaService/CreateInternalCa", response);
  const Outcome run = Do({"ca", "create", "MyNewCA", "--description", "for phones", "--subject",
                          "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA", "--key-algorithm",
                          "RSA2048", "--valid-from", "2026-12-01", "--valid-years", "10", "--enable"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(request->display_name(), "MyNewCA");
  EXPECT_EQ(request->description(), "for phones");
  EXPECT_EQ(request->creation().subject(), "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA");
  EXPECT_EQ(request->creation().key_algorithm(), "rsa2048");
  EXPECT_EQ(Utc(request->creation().not_before()), "2026-12-01T00:00:00Z");
  EXPECT_EQ(Utc(request->creation().not_after()), "2036-12-01T00:00:00Z");
  EXPECT_TRUE(request->enable());
  EXPECT_FALSE(request->validate_only());
  EXPECT_EQ(request->request_id().size(), 36u);
  EXPECT_THAT(run.out, HasSubstr("MyNewCA"));
}

TEST_F(CommandsTest, NewInternalCaWithoutSubjectHasNoCreation) {
  auto request = server_->Expect<ca::v1::CreateInternalCaRequest, ca::v1::CreateInternalCaResponse>(
      "ca.v1.InternalCaService/CreateInternalCa");
  EXPECT_EQ(Do({"ca", "create", "Later", "--dry-run", "--request-id", "mine"}).code, 0);
  EXPECT_FALSE(request->has_creation());
  EXPECT_TRUE(request->validate_only());
  EXPECT_EQ(request->request_id(), "mine");
  EXPECT_EQ(Do({"ca", "create", "Later", "--valid-years", "10"}).code, 2);
}

TEST_F(CommandsTest, CaGenerateImportDisableExportUpdateDelete) {
  auto generate = server_->Expect<ca::v1::GenerateInternalCaRequest, ca::v1::GenerateInternalCaResponse>(
      "ca.v1.InternalCaService/GenerateInternalCa");
  EXPECT_EQ(Do({"ca", "generate", "7", "--subject", "CN=x", "--valid-days", "30", "--parent", "Root"}).code,
            0);
  EXPECT_EQ(generate->name(), "internalCas/7");
  EXPECT_EQ(generate->creation().parent(), "internalCas/Root");

  const std::string file = server_->directory() + "/ca.p12";
  std::ofstream(file, std::ios::binary) << std::string("\x30\x82\0p12", 6);
  auto import = server_->Expect<ca::v1::ImportInternalCaRequest, ca::v1::ImportInternalCaResponse>(
      "ca.v1.InternalCaService/ImportInternalCa");
  EXPECT_EQ(Do({"ca", "import", file, "--name", "Corporate", "--passphrase-file", "-", "--enable"},
               {.input = "s3 cret\r\nx"})
                .code,
            0);
  EXPECT_EQ(import->display_name(), "Corporate");
  EXPECT_EQ(import->passphrase(), "s3 cret");
  EXPECT_EQ(import->pkcs12(), std::string("\x30\x82\0p12", 6));
  EXPECT_TRUE(import->enable());

  ca::v1::DisableInternalCaResponse disabled;
  disabled.add_affected_connectors("connectors/3");
  auto disable = server_->Expect<ca::v1::DisableInternalCaRequest>(
      "ca.v1.InternalCaService/DisableInternalCa", disabled);
  const Outcome run = Do({"internal-ca", "disable", "My CA", "--force"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(disable->name(), "internalCas/My CA");
  EXPECT_TRUE(disable->force());
  EXPECT_THAT(run.err, HasSubstr("connectors/3"));

  ca::v1::ExportInternalCaResponse exported;
  exported.set_content("-----BEGIN CERTIFICATE-----\n");
  auto export_ =
      server_->Expect<ca::v1::ExportInternalCaRequest>("ca.v1.InternalCaService/ExportInternalCa", exported);
  EXPECT_EQ(Do({"ca", "export", "MyNewCA", "--chain"}).out, "-----BEGIN CERTIFICATE-----\n");
  EXPECT_TRUE(export_->include_chain());
  EXPECT_EQ(export_->format(), ca::v1::ExportInternalCaRequest::PEM);
  EXPECT_EQ(Do({"ca", "export", "MyNewCA", "--format", "der"}, {.terminal = true}).code, 2);
  const std::string out = server_->directory() + "/ca.cer";
  EXPECT_EQ(Do({"ca", "export", "MyNewCA", "--format", "der", "--out", out}).code, 0);
  EXPECT_EQ(export_->format(), ca::v1::ExportInternalCaRequest::DER);
  EXPECT_TRUE(std::ifstream(out).is_open());

  auto update = server_->Expect<ca::v1::UpdateInternalCaRequest, ca::v1::UpdateInternalCaResponse>(
      "ca.v1.InternalCaService/UpdateInternalCa");
  EXPECT_EQ(Do({"ca", "update", "MyNewCA", "--description", ""}).code, 0);
  EXPECT_TRUE(update->has_description());
  EXPECT_FALSE(update->has_display_name());

  auto remove = server_->Expect<ca::v1::DeleteInternalCaRequest, ca::v1::DeleteInternalCaResponse>(
      "ca.v1.InternalCaService/DeleteInternalCa");
  EXPECT_EQ(Do({"ca", "delete", "MyNewCA"}).code, 0);
  EXPECT_EQ(remove->name(), "internalCas/MyNewCA");
}

TEST_F(CommandsTest, PlugInConfigurationInOneCommand) {
  auto request = server_->Expect<pki::v1::CreatePluginRequest, pki::v1::CreatePluginResponse>(
      "pki.v1.PluginService/CreatePlugin");
  const Outcome run = Do({"plugin", "create", "Phones", "--template", "C=US, ST=FL, CN=?", "--validity-days",
                          "1095", "--name-source", "ip", "--property", "internal.key.allow-legacy=false",
                          "--property", "x=a=b", "--synchronise", "--enable"});
  EXPECT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(request->properties_size(), 5);
  EXPECT_EQ(request->properties(0).name(), "internal.x509name.template");
  EXPECT_EQ(request->properties(0).value(), "C=US, ST=FL, CN=?");
  EXPECT_EQ(request->properties(1).value(), "1095");
  EXPECT_EQ(request->properties(4).value(), "a=b");
  EXPECT_TRUE(request->synchronize());
  EXPECT_TRUE(request->enable());
}

TEST_F(CommandsTest, PluginSetUnsetSynchronise) {
  auto set = server_->Expect<pki::v1::SetPluginPropertiesRequest, pki::v1::SetPluginPropertiesResponse>(
      "pki.v1.PluginService/SetPluginProperties");
  EXPECT_EQ(Do({"plugin", "set", "Phones", "a=1", "b=2"}).code, 0);
  EXPECT_EQ(set->name(), "plugins/Phones");
  EXPECT_EQ(set->set_size(), 2);
  EXPECT_EQ(Do({"plugin", "unset", "Phones", "a"}).code, 0);
  EXPECT_EQ(set->remove(0), "a");
  EXPECT_EQ(Do({"plugin", "set", "Phones", "novalue"}).code, 2);
  pki::v1::SynchronizePluginResponse response;
  response.mutable_plugin()->set_display_name("Phones");
  response.add_added("MyNewCA");
  response.add_missing("OldCA");
  server_->Expect<pki::v1::SynchronizePluginRequest>("pki.v1.PluginService/SynchronizePlugin", response);
  for (const char* verb : {"synchronize", "synchronise"}) {
    const Outcome run = Do({"plug-in", verb, "Phones"});
    EXPECT_EQ(run.out, "plug-in Phones synchronised\nadded: MyNewCA\n");
    EXPECT_THAT(run.err, HasSubstr("OldCA"));
  }
}

TEST_F(CommandsTest, ConnectorConfigurationInOneCommandAndByTheStep) {
  auto create = server_->Expect<pki::v1::CreateConnectorRequest, pki::v1::CreateConnectorResponse>(
      "pki.v1.ConnectorService/CreateConnector");
  EXPECT_EQ(Do({"connector", "create", "WBM", "--plugin", "Phones", "--issuing-ca", "MyNewCA",
                "--trust-anchor", "--enable"})
                .code,
            0);
  EXPECT_EQ(create->plugin(), "plugins/Phones");
  EXPECT_EQ(create->issuing_ca(), "internalCas/MyNewCA");
  EXPECT_TRUE(create->import_trust_anchor());
  EXPECT_TRUE(create->enable());

  auto update = server_->Expect<pki::v1::UpdateConnectorRequest, pki::v1::UpdateConnectorResponse>(
      "pki.v1.ConnectorService/UpdateConnector");
  EXPECT_EQ(Do({"connector", "select-plugin", "WBM", "Phones"}).code, 0);
  EXPECT_EQ(update->name(), "connectors/WBM");
  EXPECT_EQ(update->plugin(), "plugins/Phones");
  EXPECT_FALSE(update->has_issuing_ca());
  EXPECT_EQ(Do({"connector", "select-ca", "WBM", "7"}).code, 0);
  EXPECT_EQ(update->issuing_ca(), "internalCas/7");
  auto anchor = server_->Expect<pki::v1::ImportTrustAnchorRequest, pki::v1::ImportTrustAnchorResponse>(
      "pki.v1.ConnectorService/ImportTrustAnchor");
  EXPECT_EQ(Do({"connector", "import-trust-anchor", "WBM"}).code, 0);
  EXPECT_EQ(anchor->name(), "connectors/WBM");
}

TEST_F(CommandsTest, ConnectorTestFailureIsExitCodeSeven) {
  pki::v1::TestConnectorResponse response;
  response.set_success(true);
  server_->Expect<pki::v1::TestConnectorRequest>("pki.v1.ConnectorService/TestConnector", response);
  EXPECT_EQ(Do({"connector", "test", "WBM"}).code, 0);
  response.set_success(false);
  response.set_reason("CA_EXPIRES_FIRST");
  response.set_message("the certificate would outlive its CA");
  server_->Expect<pki::v1::TestConnectorRequest>("pki.v1.ConnectorService/TestConnector", response);
  const Outcome run = Do({"connector", "test", "WBM"});
  EXPECT_EQ(run.code, 7);
  EXPECT_THAT(run.out, HasSubstr("CA_EXPIRES_FIRST"));
}

TEST_F(CommandsTest, AutomaticDeploymentInOneCommand) {
  auto request =
      server_->Expect<deployment::v1::CreateDeploymentRequest, deployment::v1::CreateDeploymentResponse>(
          "deployment.v1.DeploymentService/CreateDeployment");
  absl::TimeZone berlin;
  ASSERT_TRUE(absl::LoadTimeZone("Europe/Berlin", &berlin));
  EXPECT_EQ(
      Do({"deployment", "create", "--location", "Bremen", "--type", "WBM Server Certificate (IP Phone)",
          "--connector", "WBM", "--deploy-date", "2026-12-01 02:00", "--job-deadline", "8h", "--activate"},
         {.zone = berlin})
          .code,
      0);
  EXPECT_EQ(request->location(), "locations/Bremen");
  EXPECT_EQ(request->certificate_type(), "wbm");
  EXPECT_EQ(request->connector(), "connectors/WBM");
  EXPECT_EQ(Utc(request->deploy_date()), "2026-12-01T01:00:00Z");
  EXPECT_EQ(request->job_deadline_seconds(), 8 * 3600);
  EXPECT_TRUE(request->activate());
  EXPECT_EQ(
      Do({"deployment", "create", "--location", "Bremen", "--connector", "WBM", "--deploy-date", "now"}).code,
      0);
  EXPECT_FALSE(request->has_deploy_date());
  EXPECT_EQ(
      Do({"deployment", "create", "--location", "Bremen", "--connector", "WBM", "--deploy-date", "soon"})
          .code,
      2);
}

TEST_F(CommandsTest, DeploymentsInWaves) {
  auto create =
      server_->Expect<deployment::v1::CreateDeploymentRequest, deployment::v1::CreateDeploymentResponse>(
          "deployment.v1.DeploymentService/CreateDeployment");
  EXPECT_EQ(Do({"deployment", "create", "--location", "Bremen", "--connector", "WBM", "--wave-size", "50",
                "--wave-failure-limit", "0"})
                .code,
            0);
  EXPECT_EQ(create->wave_size(), 50);
  EXPECT_TRUE(create->has_wave_failure_limit_percent());
  EXPECT_EQ(create->wave_failure_limit_percent(), 0);
  EXPECT_EQ(
      Do({"deployment", "create", "--location", "Bremen", "--connector", "WBM", "--wave", "4294967346"}).code,
      0);
  EXPECT_EQ(create->wave_size(), std::numeric_limits<std::int32_t>::max()) << "for the server to refuse";
  EXPECT_FALSE(create->has_wave_failure_limit_percent());

  auto update =
      server_->Expect<deployment::v1::UpdateDeploymentRequest, deployment::v1::UpdateDeploymentResponse>(
          "deployment.v1.DeploymentService/UpdateDeployment");
  EXPECT_EQ(Do({"deployment", "update", "12", "--wave", "0"}).code, 0);
  EXPECT_TRUE(update->has_wave_size());
  EXPECT_EQ(Do({"deployment", "update", "12", "--deploy-date", "+1h"}).code, 0);
  EXPECT_FALSE(update->has_wave_size());

  deployment::v1::ResumeDeploymentResponse resumed;
  resumed.mutable_deployment()->set_name("deployments/12");
  resumed.set_retried_jobs(5);
  auto resume = server_->Expect<deployment::v1::ResumeDeploymentRequest>(
      "deployment.v1.DeploymentService/ResumeDeployment", resumed);
  EXPECT_EQ(Do({"deployment", "resume", "12"}).code, 0);
  EXPECT_FALSE(resume->retry_failed());
  EXPECT_THAT(Do({"deployment", "resume", "12", "--retry-failed"}).out, HasSubstr("5 jobs go again"));
  EXPECT_TRUE(resume->retry_failed());
  EXPECT_EQ(resume->name(), "deployments/12");
}

TEST_F(CommandsTest, ALocationIntoSecureMode) {
  auto create =
      server_->Expect<deployment::v1::CreateDeploymentRequest, deployment::v1::CreateDeploymentResponse>(
          "deployment.v1.DeploymentService/CreateDeployment");
  EXPECT_EQ(Do({"secure-mode", "enrol", "--location", "Bremen", "--wave", "10"}).code, 0);
  EXPECT_EQ(create->certificate_type(), "secure-mode");
  EXPECT_EQ(create->pin_mode(), deployment::v1::NO_PIN);
  EXPECT_EQ(create->connector(), "");
  EXPECT_EQ(create->wave_size(), 10);
  EXPECT_TRUE(create->activate());

  security::v1::ListCredentialsResponse credentials;
  auto* client = credentials.add_credentials();
  client->set_kind(security::v1::SecureCredential::CLIENT);
  client->set_active(true);
  client->set_connector("connectors/4");
  client->set_connector_display_name("PhoneClients");
  server_->Expect<security::v1::ListCredentialsRequest>("security.v1.SecurityService/ListCredentials",
                                                        credentials);
  auto credential =
      server_->Expect<security::v1::CreateCredentialRequest, security::v1::CreateCredentialResponse>(
          "security.v1.SecurityService/CreateCredential");
  create->Clear();
  EXPECT_EQ(Do({"secure-mode", "enrol", "--location", "Bremen", "--connector", "Doors"}).code, 2)
      << "phones would get certificates from another connector";
  EXPECT_EQ(create->location(), "");
  EXPECT_EQ(Do({"secure-mode", "enrol", "--location", "Bremen", "--connector", "PhoneClients", "--pin-mode",
                "individual"})
                .code,
            0);
  EXPECT_EQ(credential->kind(), security::v1::SecureCredential::SERVER);
  EXPECT_EQ(credential->connector(), "connectors/PhoneClients");
  EXPECT_EQ(create->pin_mode(), deployment::v1::INDIVIDUAL_PIN);
}

TEST_F(CommandsTest, Locations) {
  auto create = server_->Expect<device::v1::CreateLocationRequest, device::v1::CreateLocationResponse>(
      "device.v1.LocationService/CreateLocation");
  EXPECT_EQ(Do({"location", "create", "Bremen", "--cidr", "10.1.0.0/16", "--cidr", "fd00::/8",
                "--e164-prefix", "+4942", "--device-type", "OpenScape Desk Phone CP*", "--device",
                "001ae8000001", "--priority", "150"})
                .code,
            0);
  ASSERT_EQ(create->rules_size(), 5);
  EXPECT_EQ(create->rules(1).value(), "fd00::/8");
  EXPECT_EQ(create->rules(2).kind(), device::v1::LocationRule::E164_PREFIX);
  EXPECT_EQ(create->rules(2).value(), "4942");
  EXPECT_EQ(create->rules(4).value(), "00:1A:E8:00:00:01");
  EXPECT_EQ(create->priority(), 150);
  EXPECT_EQ(Do({"location", "create", "Ulm", "--server-address", "192.0.2.10", "--server-port", "443",
                "--server-secure-port", "444"})
                .code,
            0);
  EXPECT_FALSE(create->has_priority());
  EXPECT_EQ(create->server_address(), "192.0.2.10");
  EXPECT_EQ(create->server_port(), 443);
  EXPECT_EQ(create->server_secure_port(), 444);

  device::v1::GetLocationResponse existing;
  existing.mutable_location()->set_priority(42);
  server_->Expect<device::v1::GetLocationRequest>("device.v1.LocationService/GetLocation", existing);
  auto attempt = server_->Expect<device::v1::TryLocationRulesRequest, device::v1::TryLocationRulesResponse>(
      "device.v1.LocationService/TryLocationRules");
  EXPECT_EQ(Do({"location", "try", "Bremen", "--cidr", "10.9.0.0/16"}).code, 0);
  EXPECT_EQ(attempt->priority(), 42);
  EXPECT_EQ(Do({"location", "try", "--cidr", "10.9.0.0/16"}).code, 0);
  EXPECT_EQ(attempt->priority(), 100);

  auto update = server_->Expect<device::v1::UpdateLocationRequest, device::v1::UpdateLocationResponse>(
      "device.v1.LocationService/UpdateLocation");
  EXPECT_EQ(Do({"location", "update", "Bremen", "--max-sessions", "20"}).code, 0);
  EXPECT_FALSE(update->has_rules());
  EXPECT_FALSE(update->has_server_address() || update->has_server_port() || update->has_server_secure_port());
  EXPECT_EQ(Do({"location", "update", "Bremen", "--no-rules"}).code, 0);
  EXPECT_TRUE(update->has_rules());
  EXPECT_EQ(update->rules().rules_size(), 0);
  EXPECT_EQ(Do({"location", "update", "Bremen", "--server-address", ""}).code, 0);
  EXPECT_TRUE(update->has_server_address());
  EXPECT_EQ(update->server_address(), "");
}

TEST_F(CommandsTest, LocationsSayWhereTheirPhonesCall) {
  device::v1::ListLocationsResponse locations;
  locations.add_locations()->set_display_name("Bremen");
  server_->Expect<device::v1::ListLocationsRequest>("device.v1.LocationService/ListLocations", locations);
  EXPECT_THAT(Do({"location", "list"}).out, Not(HasSubstr("PHONES CALL")));
  const struct {
    const char* address;
    int port, secure_port;
    const char* shown;
  } servers[] = {{"192.0.2.10", 0, 0, "192.0.2.10"},
                 {"192.0.2.10", 443, 444, "192.0.2.10:443, secure port 444"},
                 {"fd00::7", 443, 0, "[fd00::7]:443"},
                 {"fd00::7", 0, 444, "fd00::7, secure port 444"},
                 {"", 0, 444, "secure port 444"}};
  for (const auto& server : servers) {
    device::v1::Location& location = *locations.mutable_locations(0);
    location.set_server_address(server.address);
    location.set_server_port(server.port);
    location.set_server_secure_port(server.secure_port);
    server_->Expect<device::v1::ListLocationsRequest>("device.v1.LocationService/ListLocations", locations);
    EXPECT_THAT(Do({"location", "list"}).out,
                ::testing::AllOf(HasSubstr("PHONES CALL"), HasSubstr(server.shown)));
  }
}

TEST_F(CommandsTest, DeviceImportGoesInPiecesAndRestoresLineNumbers) {
  const std::string file = server_->directory() + "/phones.csv";
  {
    std::ofstream csv(file);
    csv << "mac,description\n";
    for (int i = 0; i < 20000; ++i) csv << "00:1A:E8:00:" << i << ",a phone on a desk somewhere\n";
  }
  std::int64_t rows = 0;
  server_->On<device::v1::ImportDevicesRequest, device::v1::ImportDevicesResponse>(
      "device.v1.DeviceService/ImportDevices", [&](const auto& request, auto* response) {
        EXPECT_EQ(request.csv().substr(0, 16), "mac,description\n");
        const auto lines = std::count(request.csv().begin(), request.csv().end(), '\n') - 1;
        rows += lines;
        response->set_created(lines - 1);
        response->set_failed(1);
        response->add_errors()->set_line(2);
        return grpc::Status::OK;
      });
  const Outcome run = Do({"device", "import", file, "-o", "json"});
  EXPECT_EQ(run.code, 7);
  EXPECT_EQ(rows, 20000);
  device::v1::ImportDevicesResponse all;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(run.out, &all).ok());
  ASSERT_GT(all.errors_size(), 2);
  EXPECT_EQ(all.created() + all.failed(), 20000);
  EXPECT_EQ(all.errors(0).line(), 2);
  EXPECT_GT(all.errors(1).line(), 1000);
  // On a terminal a bar is drawn on standard error and wiped again.
  EXPECT_THAT(Do({"device", "import", file}, {.terminal = true}).err, HasSubstr("█"));
  EXPECT_THAT(Do({"device", "import", file}).err, Not(HasSubstr("█")));
}

TEST_F(CommandsTest, DeviceListFiltersAndPages) {
  std::vector<device::v1::ListDevicesRequest> requests;
  server_->On<device::v1::ListDevicesRequest, device::v1::ListDevicesResponse>(
      "device.v1.DeviceService/ListDevices", [&](const auto& request, auto* response) {
        requests.push_back(request);
        const int first = request.page_token().empty() ? 0 : 2;
        for (int i = first; i < first + std::min(2, request.page_size()); ++i) {
          auto* device = response->add_devices();
          device->set_mac(absl::StrCat("00:1A:E8:00:00:0", i));
          device->set_name("devices/" + device->mac());
          device->set_device_type("evil\x1b[31m");
        }
        if (first == 0) response->set_next_page_token("more");
        return grpc::Status::OK;
      });
  const Outcome run = Do({"device", "list", "--location", "Bremen", "--state", "registered", "--mac-prefix",
                          "001ae8", "--network", "10.0.0.0/8", "-o", "name"});
  EXPECT_EQ(run.out,
            "devices/00:1A:E8:00:00:00\ndevices/00:1A:E8:00:00:01\ndevices/00:1A:E8:00:00:02\n"
            "devices/00:1A:E8:00:00:03\n");
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].location(), "locations/Bremen");
  EXPECT_EQ(requests[0].state(), device::v1::Device::REGISTERED);
  EXPECT_EQ(requests[0].mac_prefix(), "00:1A:E8");
  EXPECT_EQ(requests[1].page_token(), "more");
  EXPECT_EQ(requests[1].location(), "locations/Bremen");

  requests.clear();
  Do({"device", "list", "--limit", "3"});
  EXPECT_EQ(requests[0].page_size(), 3);
  EXPECT_EQ(requests[1].page_size(), 1);

  // What a phone says of itself does not reach the terminal as it is.
  EXPECT_THAT(Do({"device", "list"}, {.terminal = true, .variables = {{"NO_COLOR", "1"}}}).out,
              Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, Jobs) {
  auto list =
      server_->Expect<job::v1::ListJobsRequest, job::v1::ListJobsResponse>("job.v1.JobService/ListJobs");
  EXPECT_EQ(Do({"job-control", "list", "--deployment", "12", "--device", "001AE8000001", "--state", "failed",
                "--state", "timed-out"})
                .code,
            0);
  EXPECT_EQ(list->deployment(), "deployments/12");
  EXPECT_EQ(list->device(), "devices/00:1A:E8:00:00:01");
  ASSERT_EQ(list->states_size(), 2);
  EXPECT_EQ(list->states(1), job::v1::TIMED_OUT);

  job::v1::GetJobResponse response;
  response.mutable_job()->set_name("jobs/4711");
  auto* event = response.mutable_job()->add_history();
  event->set_from_state(job::v1::WAITING);
  event->set_to_state(job::v1::RUNNING);
  server_->Expect<job::v1::GetJobRequest>("job.v1.JobService/GetJob", response);
  EXPECT_THAT(Do({"job", "get", "4711"}).out, HasSubstr("running"));

  job::v1::RetryFailedJobsResponse retried;
  retried.set_retried(5);
  auto retry = server_->Expect<job::v1::RetryFailedJobsRequest>("job.v1.JobService/RetryFailedJobs", retried);
  EXPECT_EQ(Do({"job", "retry-failed", "12"}).out, "5 jobs are tried again\n");
  EXPECT_EQ(retry->deployment(), "deployments/12");
}

TEST_F(CommandsTest, Certificates) {
  ca::v1::GetCertificateResponse response;
  response.mutable_certificate()->set_pem("-----BEGIN CERTIFICATE-----\n");
  auto get =
      server_->Expect<ca::v1::GetCertificateRequest>("ca.v1.CertificateService/GetCertificate", response);
  EXPECT_EQ(Do({"certificate", "get", "42", "--pem"}).out, "-----BEGIN CERTIFICATE-----\n");
  EXPECT_EQ(get->name(), "certificates/42");
  auto list = server_->Expect<ca::v1::ListCertificatesRequest, ca::v1::ListCertificatesResponse>(
      "ca.v1.CertificateService/ListCertificates");
  const Outcome run = Do({"cert", "list", "--ca", "MyNewCA"});
  EXPECT_EQ(list->internal_ca(), "internalCas/MyNewCA");
  EXPECT_THAT(run.err, HasSubstr("nothing found"));
  EXPECT_EQ(run.out, "");
}

TEST_F(CommandsTest, JsonIsTheResponseWithProtoNamesAndNothingElse) {
  ca::v1::ListInternalCasResponse response;
  *response.add_internal_cas() = MyCa();
  server_->Expect<ca::v1::ListInternalCasRequest>("ca.v1.InternalCaService/ListInternalCas", response);
  const Outcome run = Do({"ca", "list", "-o", "json"}, {.terminal = true});
  EXPECT_THAT(run.out, HasSubstr("\"internal_cas\""));
  EXPECT_THAT(run.out, HasSubstr("\"display_name\": \"MyNewCA\""));
  EXPECT_THAT(run.out, HasSubstr("\"description\": \"\""));  // present though empty
  EXPECT_THAT(run.out, HasSubstr("\"not_after\": \"2033-05-18T03:33:20Z\""));
  EXPECT_THAT(run.out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(run.err, "");
  ca::v1::ListInternalCasResponse parsed;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(run.out, &parsed).ok());
  EXPECT_EQ(Do({"ca", "list", "-o", "name"}).out, "internalCas/7\n");
}

TEST_F(CommandsTest, TablesForPeople) {
  ca::v1::ListInternalCasResponse response;
  *response.add_internal_cas() = MyCa();
  server_->Expect<ca::v1::ListInternalCasRequest>("ca.v1.InternalCaService/ListInternalCas", response);
  EXPECT_EQ(Do({"ca", "list"}).out,
            "ID  CA NAME  STATE   ENABLED  KEY      VALID TO          SUBJECT\n"
            "7   MyNewCA  active  yes      rsa2048  2033-05-18 03:33  C=US,ST=FL,CN=MyNewCA\n");
  EXPECT_THAT(Do({"ca", "list"}, {.terminal = true, .columns = 70}).out, HasSubstr("C=US,ST=FL,C…"));
  EXPECT_THAT(Do({"ca", "list", "--wide"}, {.terminal = true, .columns = 40}).out,
              HasSubstr("C=US,ST=FL,CN=MyNewCA"));
  EXPECT_THAT(Do({"ca", "list"}, {.columns = 40}).out, HasSubstr("C=US,ST=FL,CN=MyNewCA"))
      << "what goes into a pipe is not cut";
  EXPECT_THAT(Do({"ca", "list"}, {.terminal = true}).out, HasSubstr("\x1b[32mactive"));
  EXPECT_THAT(Do({"ca", "list"}, {.terminal = true, .variables = {{"NO_COLOR", "1"}}}).out,
              Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, CompletionAsksTheServerForNames) {
  ca::v1::ListInternalCasResponse response;
  *response.add_internal_cas() = MyCa();
  server_->Expect<ca::v1::ListInternalCasRequest>("ca.v1.InternalCaService/ListInternalCas", response);
  EXPECT_EQ(Do({"__complete", "ca", "enable", "My"}).out, "MyNewCA\t\n");
  // No server, no names, and no noise either.
  const Outcome none = RunCli(nullptr, {"__complete", "ca", "enable", ""});
  EXPECT_EQ(none.out + none.err, "");
}

TEST_F(CommandsTest, Status) {
  ca::v1::ListInternalCasResponse cas;
  *cas.add_internal_cas() = MyCa();
  server_->Expect<ca::v1::ListInternalCasRequest>("ca.v1.InternalCaService/ListInternalCas", cas);
  device::v1::ListLocationsResponse locations;
  locations.add_locations()->set_device_count(12000);
  server_->Expect<device::v1::ListLocationsRequest>("device.v1.LocationService/ListLocations", locations);
  deployment::v1::ListDeploymentsResponse deployments;
  auto* deployment = deployments.add_deployments();
  deployment->set_state(deployment::v1::Deployment::RUNNING);
  deployment->mutable_progress()->set_total(100);
  deployment->mutable_progress()->set_succeeded(60);
  server_->Expect<deployment::v1::ListDeploymentsRequest>("deployment.v1.DeploymentService/ListDeployments",
                                                          deployments);
  server_->Set("/grpc.health.v1.Health/Check", [](const std::string&) {
    return FakeAnswer{{"\x08\x01"}, {}};
  });
  const Outcome run = Do({"status"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("serving"));
  EXPECT_THAT(run.out, HasSubstr("12000 in 1 locations"));
  EXPECT_THAT(run.out, HasSubstr("running 1"));
  EXPECT_THAT(run.out, HasSubstr("100 (finished 60"));
  EXPECT_THAT(Do({"status", "-o", "json"}).out, HasSubstr("\"succeeded\":\"60\""));
  server_->Set("/grpc.health.v1.Health/Check", [](const std::string&) {
    return FakeAnswer{{"\x08\x02"}, {}};
  });
  EXPECT_EQ(Do({"status"}).code, 6);
}

TEST_F(CommandsTest, B061SecureModeCredentials) {
  using security::v1::SecureCredential;
  security::v1::CreateCredentialResponse made;
  SecureCredential& credential = *made.mutable_credential();
  credential.set_name("secureCredentials/4");
  credential.set_kind(SecureCredential::SERVER);
  credential.set_active(true);
  credential.set_connector_display_name("Doors");
  credential.add_dns_names("pki.example.net");
  credential.add_ip_addresses("10.1.0.5");
  credential.mutable_certificate()->set_subject("O=Unify, CN=pki.example.net");
  auto create = server_->Expect<security::v1::CreateCredentialRequest>(
      "security.v1.SecurityService/CreateCredential", made);
  Outcome run = Do({"secure-mode", "credential", "create", "server", "--connector", "Doors", "--server-name",
                    "pki.example.net", "--server-name", "10.1.0.5"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(create->kind(), SecureCredential::SERVER);
  EXPECT_EQ(create->connector(), "connectors/Doors");
  EXPECT_EQ(create->server_names_size(), 2);
  EXPECT_EQ(create->request_id().size(), 36u);
  EXPECT_THAT(run.out, HasSubstr("pki.example.net, 10.1.0.5"));
  EXPECT_EQ(Do({"secure-mode", "credential", "create", "neither", "--connector", "Doors"}).code, 2);

  security::v1::ListCredentialsResponse listed;
  *listed.add_credentials() = credential;
  auto list = server_->Expect<security::v1::ListCredentialsRequest>(
      "security.v1.SecurityService/ListCredentials", listed);
  EXPECT_EQ(Do({"secure-mode", "credential", "list", "--kind", "client"}).code, 0);
  EXPECT_EQ(list->kind(), SecureCredential::CLIENT);
  EXPECT_EQ(Do({"secure-mode", "credential", "list", "-o", "name"}).out, "secureCredentials/4\n");

  auto activate =
      server_->Expect<security::v1::ActivateCredentialRequest, security::v1::ActivateCredentialResponse>(
          "security.v1.SecurityService/ActivateCredential");
  run = Do({"secure-mode", "credential", "activate", "4"});
  EXPECT_EQ(activate->name(), "secureCredentials/4");
  EXPECT_FALSE(activate->force());
  EXPECT_EQ(run.out, "credential 4 is active\n");
  EXPECT_EQ(Do({"secure-mode", "credential", "activate", "4", "--force"}).code, 0);
  EXPECT_TRUE(activate->force());
  server_->On<security::v1::DeleteCredentialRequest, security::v1::DeleteCredentialResponse>(
      "security.v1.SecurityService/DeleteCredential", [](const auto& request, auto*) {
        EXPECT_EQ(request.name(), "secureCredentials/4");
        EXPECT_TRUE(request.force());
        return FakeServer::Error(grpc::StatusCode::FAILED_PRECONDITION, "it is the last", "CREDENTIAL_LAST",
                                 "");
      });
  run = Do({"secure-mode", "credential", "delete", "4", "--force"});
  EXPECT_EQ(run.code, 4);
  EXPECT_THAT(run.err, HasSubstr("CREDENTIAL_LAST"));
}

TEST_F(CommandsTest, B065SecurityPins) {
  security::v1::ViewDevicePinResponse shown;
  shown.mutable_pin()->set_pin("48151623");
  shown.mutable_pin()->mutable_expire_time()->set_seconds(2'000'000'000);
  auto view =
      server_->Expect<security::v1::ViewDevicePinRequest>("security.v1.SecurityService/ViewDevicePin", shown);
  Outcome run = Do({"secure-mode", "pin", "show", "001ae8000001"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(view->device(), "devices/00:1A:E8:00:00:01");
  EXPECT_THAT(run.out, HasSubstr("48151623"));
  EXPECT_THAT(run.out, HasSubstr("2033-05-18"));

  auto rotate =
      server_->Expect<security::v1::RotateDefaultPinRequest, security::v1::RotateDefaultPinResponse>(
          "security.v1.SecurityService/RotateDefaultPin");
  EXPECT_EQ(Do({"secure-mode", "pin", "rotate-default", "--pin-file", "-"}, {.input = "90210773\r\nx"}).code,
            0);
  EXPECT_EQ(rotate->pin(), "90210773");
  EXPECT_EQ(Do({"secure-mode", "pin", "rotate-default", "--pin-file", "-"}, {.input = "\n"}).code, 2);
  auto regenerate =
      server_->Expect<security::v1::RegenerateDevicePinRequest, security::v1::RegenerateDevicePinResponse>(
          "security.v1.SecurityService/RegenerateDevicePin");
  EXPECT_EQ(Do({"secure-mode", "pin", "regenerate", "00:1A:E8:00:00:01"}).code, 0);
  EXPECT_EQ(regenerate->pin(), "");

  security::v1::PrintPinsResponse printed;
  printed.set_html("<html>48151623</html>");
  printed.set_printed(3);
  printed.set_already_viewed(1);
  auto print =
      server_->Expect<security::v1::PrintPinsRequest>("security.v1.SecurityService/PrintPins", printed);
  const std::string file = server_->directory() + "/pins.html";
  run = Do({"secure-mode", "pin", "print", "Bremen", "--html", file});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(print->location(), "locations/Bremen");
  EXPECT_THAT(run.out, HasSubstr("3 PINs written"));
  EXPECT_THAT(run.out, HasSubstr("1 had been shown before"));
  EXPECT_THAT(run.out, Not(HasSubstr("48151623")));
  std::stringstream written;
  written << std::ifstream(file).rdbuf();
  EXPECT_EQ(written.str(), "<html>48151623</html>");
  const int calls = server_->calls("security.v1.SecurityService/PrintPins");
  EXPECT_EQ(Do({"secure-mode", "pin", "print", "Bremen", "--html", "/nowhere/at/all.html"}).code, 2);
  EXPECT_EQ(server_->calls("security.v1.SecurityService/PrintPins"), calls) << "the PINs are not used up";
}

TEST_F(CommandsTest, B067SecureModeProtocolEventsAndDevices) {
  security::v1::ListSecurityStatesResponse states;
  auto* state = states.add_events();
  state->mutable_time()->set_seconds(1'700'000'000);
  state->set_state(security::v1::AWAITING_PIN);
  state->set_text("waits for its PIN");
  auto protocol = server_->Expect<security::v1::ListSecurityStatesRequest>(
      "security.v1.SecurityService/ListSecurityStates", states);
  Outcome run = Do({"secure-mode", "protocol", "001ae8000001"});
  EXPECT_EQ(protocol->device(), "devices/00:1A:E8:00:00:01");
  EXPECT_THAT(run.out, HasSubstr("awaiting-pin"));
  EXPECT_THAT(run.out, HasSubstr("waits for its PIN"));

  security::v1::ListSecurityEventsResponse events;
  events.add_events()->set_kind("MAC_MISMATCH");
  auto seen = server_->Expect<security::v1::ListSecurityEventsRequest>(
      "security.v1.SecurityService/ListSecurityEvents", events);
  EXPECT_THAT(Do({"secure-mode", "events", "--limit", "20"}).out, HasSubstr("MAC_MISMATCH"));
  EXPECT_EQ(seen->page_size(), 20);
  EXPECT_EQ(seen->device(), "");

  auto devices =
      server_->Expect<security::v1::ListSecureDevicesRequest, security::v1::ListSecureDevicesResponse>(
          "security.v1.SecurityService/ListSecureDevices");
  EXPECT_EQ(Do({"secure-mode", "devices", "--state", "pin-exhausted"}).code, 0);
  EXPECT_EQ(devices->state(), security::v1::PIN_EXHAUSTED);
  EXPECT_EQ(Do({"secure-mode", "devices", "--state", "default"}).code, 2);
}

TEST_F(CommandsTest, PhonesLeaveSecureModeAndAreEnrolledAgain) {
  auto left = server_->Expect<security::v1::LeaveSecureModeRequest, security::v1::LeaveSecureModeResponse>(
      "security.v1.SecurityService/LeaveSecureMode");
  EXPECT_EQ(Do({"secure-mode", "leave", "001ae8000001", "00:1A:E8:00:00:02"}).code, 0);
  ASSERT_EQ(left->devices_size(), 2);
  EXPECT_EQ(left->devices(0), "devices/00:1A:E8:00:00:01");
  EXPECT_EQ(Do({"secure-mode", "leave"}).code, 2);
  EXPECT_EQ(Do({"secure-mode", "leave", "001ae8000001", "--stranded"}).code, 2);
  EXPECT_EQ(Do({"secure-mode", "leave", "001ae8000001", "--location", "Bremen"}).code, 2);

  security::v1::ListSecureDevicesResponse stranded;
  for (const char* place : {"Bremen", "Kiel"}) {
    auto* device = stranded.add_devices();
    device->set_device(absl::StrCat("devices/", place));
    device->set_location_display_name(place);
  }
  auto listed = server_->Expect<security::v1::ListSecureDevicesRequest>(
      "security.v1.SecurityService/ListSecureDevices", stranded);
  security::v1::ReEnrolDeviceResponse done;
  done.set_devices(1);
  auto again =
      server_->Expect<security::v1::ReEnrolDeviceRequest>("security.v1.SecurityService/ReEnrolDevice", done);
  EXPECT_THAT(Do({"secure-mode", "re-enrol", "--stranded", "--location", "Kiel"}).out, HasSubstr("1 phones"));
  EXPECT_EQ(listed->state(), security::v1::DESYNCHRONISED);
  ASSERT_EQ(again->devices_size(), 1);
  EXPECT_EQ(again->devices(0), "devices/Kiel");
  EXPECT_EQ(Do({"secure-mode", "devices", "-o", "name"}).out, "devices/Bremen\ndevices/Kiel\n");
}

}  // namespace
}  // namespace phonepki::cli::testing
