// Exit codes, error texts and the ways to connect.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "phonepki/ca/v1/internal_ca.pb.h"
#include "tests/cli/fake_server.h"

namespace phonepki::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGet[] = "ca.v1.InternalCaService/GetInternalCa";

class ErrorsTest : public ::testing::Test {
 protected:
  Outcome GetWith(grpc::Status status) {
    server_.On<ca::v1::GetInternalCaRequest, ca::v1::GetInternalCaResponse>(
        kGet, [status](const auto&, auto*) { return status; });
    return RunCli(&server_, {"ca", "get", "X"});
  }
  FakeServer server_;
};

TEST_F(ErrorsTest, EveryStatusHasItsExitCode) {
  using grpc::StatusCode;
  const std::vector<std::pair<StatusCode, int>> kExpected = {
      {StatusCode::INTERNAL, 1},          {StatusCode::UNKNOWN, 1},
      {StatusCode::UNIMPLEMENTED, 1},     {StatusCode::INVALID_ARGUMENT, 2},
      {StatusCode::OUT_OF_RANGE, 2},      {StatusCode::NOT_FOUND, 3},
      {StatusCode::ALREADY_EXISTS, 4},    {StatusCode::FAILED_PRECONDITION, 4},
      {StatusCode::PERMISSION_DENIED, 5}, {StatusCode::UNAUTHENTICATED, 5},
      {StatusCode::UNAVAILABLE, 6},       {StatusCode::DEADLINE_EXCEEDED, 6},
      {StatusCode::ABORTED, 6},           {StatusCode::RESOURCE_EXHAUSTED, 6}};
  for (const auto& [code, exit] : kExpected) {
    EXPECT_EQ(GetWith(FakeServer::Error(code, "text", "REASON", "")).code, exit) << code;
  }
}

TEST_F(ErrorsTest, FieldAndReasonComeFromTheDetails) {
  const Outcome run =
      GetWith(FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "the subject has no CN\x1b[2J",
                                "SUBJECT_WITHOUT_CN", "creation.subject"));
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(
      run.err,
      "error: the subject has no CN\xEF\xBF\xBD[2J\n  field: creation.subject, reason: SUBJECT_WITHOUT_CN\n");
}

TEST_F(ErrorsTest, AnUnreachableServerIsNamed) {
  const Outcome run = RunCli(&server_, {"ca", "list", "--server", "127.0.0.1:1"});
  EXPECT_EQ(run.code, 6);
  EXPECT_THAT(run.err, HasSubstr("cannot reach server 127.0.0.1:1: Connection refused"));
  EXPECT_THAT(run.err, HasSubstr("is phonepkid running there?"));
}

TEST_F(ErrorsTest, ASlowServerRunsIntoTheTimeout) {
  server_.Set(kGet, [](const std::string&) { return FakeAnswer{{std::string()}, {}, 1500}; });
  // The message is there at once, the status only later.
  const Outcome run = RunCli(&server_, {"ca", "get", "X", "--timeout", "300ms"});
  EXPECT_EQ(run.code, 6);
  EXPECT_THAT(run.err, HasSubstr("within 300ms"));
  EXPECT_EQ(RunCli(&server_, {"ca", "get", "X", "--timeout", "soon"}).code, 2);
}

TEST_F(ErrorsTest, AForeignServerCertificateIsRefused) {
  const Outcome run = RunCli(&server_, {"ca", "list", "--ca-file", server_.directory() + "/stranger.pem"});
  EXPECT_EQ(run.code, 6);
  EXPECT_THAT(run.err, HasSubstr("--ca-file"));
}

TEST_F(ErrorsTest, AForeignClientCertificateIsRefused) {
  const std::string dir = server_.directory();
  const Outcome run = RunCli(
      &server_, {"ca", "list", "--cert-file", dir + "/stranger.pem", "--key-file", dir + "/stranger.key"});
  EXPECT_EQ(run.code, 6) << run.err;
  EXPECT_EQ(server_.calls("ca.v1.InternalCaService/ListInternalCas"), 0);
}

TEST_F(ErrorsTest, ConnectsByOptionsByVariablesAndByContext) {
  server_.Expect<ca::v1::ListInternalCasRequest, ca::v1::ListInternalCasResponse>(
      "ca.v1.InternalCaService/ListInternalCas");
  const std::string dir = server_.directory();
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "--server", server_.address(), "--ca-file", dir + "/ca.pem",
                             "--cert-file", dir + "/admin.pem", "--key-file", dir + "/admin.key"})
                .code,
            0);
  EXPECT_EQ(RunCli(nullptr, {"ca", "list"},
                   {.variables = {{"PHONEPKI_SERVER", server_.address()},
                                  {"PHONEPKI_CA_FILE", dir + "/ca.pem"},
                                  {"PHONEPKI_CERT_FILE", dir + "/admin.pem"},
                                  {"PHONEPKI_KEY_FILE", dir + "/admin.key"}}})
                .code,
            0);
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "--context", server_.context_file()}).code, 0);
  std::ofstream(dir + "/context.yaml")
      << "server: " << server_.address() << "\nca_file: ca.pem\ncert_file: admin.pem\n"
      << "key_file: admin.key\nfuture_key: [1]\n";
  EXPECT_EQ(RunCli(nullptr, {"--context", dir + "/context.yaml", "ca", "list"}).code, 0);
  // The name to expect can be set apart from the address.
  EXPECT_EQ(RunCli(&server_, {"ca", "list", "--server-name", "other.example"}).code, 6);
  EXPECT_EQ(RunCli(&server_, {"ca", "list", "--server-name", "localhost"}).code, 0);
}

TEST_F(ErrorsTest, TheDefaultContextIsFoundInTheHomeDirectory) {
  server_.Expect<ca::v1::ListInternalCasRequest, ca::v1::ListInternalCasResponse>(
      "ca.v1.InternalCaService/ListInternalCas");
  const std::string dir = server_.directory();
  ASSERT_EQ(
      system(("mkdir -p " + dir + "/.config/phonepki && cp " + server_.context_file() + " " + dir +
              "/.config/phonepki/context.json && cp " + dir + "/*.pem " + dir + "/*.key " + dir + "/.config/")
                 .c_str()),
      0);
  EXPECT_EQ(RunCli(nullptr, {"ca", "list"}, {.variables = {{"HOME", dir}}}).code, 0);
}

TEST_F(ErrorsTest, MissingOrBrokenCredentialsAreUsageErrors) {
  const std::string dir = server_.directory();
  Outcome run = RunCli(nullptr, {"ca", "list", "--cert-file", dir + "/admin.pem"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("CREDENTIALS_INCOMPLETE"));
  run = RunCli(nullptr, {"ca", "list", "--context", dir + "/none.json"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("none.json: No such file"));
  std::ofstream(dir + "/broken.yaml") << "server: [";
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "--context", dir + "/broken.yaml"}).code, 2);
  std::ofstream(dir + "/list.yaml") << "- server";
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "--context", dir + "/list.yaml"}).code, 2);
}

TEST_F(ErrorsTest, UsageErrorsPointToTheHelp) {
  Outcome run = RunCli(nullptr, {"ca", "create"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err, "error: NAME is required\n  see: phonepki ca create --help\n");
  run = RunCli(nullptr, {"phones"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("unknown command: phones"));
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "--nonsense"}).code, 2);
  EXPECT_EQ(RunCli(nullptr, {"ca", "list", "-o", "xml"}).code, 2);
  EXPECT_EQ(RunCli(nullptr, {"job", "list", "--limit", "many"}).code, 2);
  run = RunCli(nullptr, {"ca"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("Commands:"));
}

TEST_F(ErrorsTest, HelpAndVersionNeedNoServer) {
  Outcome run = RunCli(nullptr, {"ca", "create", "--help"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, HasSubstr("Examples:"));
  EXPECT_THAT(RunCli(nullptr, {"help", "ca", "create"}).out, HasSubstr("Usage: phonepki ca create NAME"));
  EXPECT_THAT(RunCli(nullptr, {"--version"}).out, HasSubstr("phonepki "));
  EXPECT_EQ(RunCli(nullptr, {}).code, 0);
  EXPECT_THAT(RunCli(nullptr, {"completion", "bash"}).out, HasSubstr("complete -F"));
}

}  // namespace
}  // namespace phonepki::cli::testing
