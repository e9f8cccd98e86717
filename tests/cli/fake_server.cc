#include "tests/cli/fake_server.h"

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <absl/strings/str_cat.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "cli/app.h"
#include "phonepki/common/v1/error.pb.h"

namespace phonepki::cli::testing {
namespace {

constexpr char kPrefix[] = "/phonepki.";

EVP_PKEY* NewKey() {
  return EVP_EC_gen("P-256");
}

void AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* Certify(const char* common_name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, const char* names) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer == nullptr ? certificate : issuer));
  X509_set_pubkey(certificate, key);
  AddExtension(certificate, issuer == nullptr ? certificate : issuer, NID_basic_constraints,
               issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (names != nullptr) AddExtension(certificate, issuer, NID_subject_alt_name, names);
  X509_sign(certificate, issuer_key, EVP_sha256());
  return certificate;
}

void WritePem(const std::string& path, X509* certificate, EVP_PKEY* key) {
  FILE* file = fopen(path.c_str(), "w");
  if (certificate != nullptr) PEM_write_X509(file, certificate);
  if (key != nullptr) PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
}

void MakeCredentials(const std::string& directory) {
  EVP_PKEY* ca_key = NewKey();
  X509* ca = Certify("test CA", ca_key, nullptr, ca_key, nullptr);
  EVP_PKEY* server_key = NewKey();
  X509* server = Certify("phonepkid", server_key, ca, ca_key, "DNS:localhost,IP:127.0.0.1");
  EVP_PKEY* admin_key = NewKey();
  X509* admin = Certify("admin", admin_key, ca, ca_key, nullptr);
  WritePem(directory + "/ca.pem", ca, nullptr);
  WritePem(directory + "/server.pem", server, nullptr);
  WritePem(directory + "/server.key", nullptr, server_key);
  WritePem(directory + "/admin.pem", admin, nullptr);
  WritePem(directory + "/admin.key", nullptr, admin_key);
  EVP_PKEY* stranger_key = NewKey();
  X509* stranger = Certify("stranger", stranger_key, nullptr, stranger_key, nullptr);
  WritePem(directory + "/stranger.pem", stranger, nullptr);
  WritePem(directory + "/stranger.key", nullptr, stranger_key);
  for (X509* certificate : {ca, server, admin, stranger}) X509_free(certificate);
  for (EVP_PKEY* key : {ca_key, server_key, admin_key, stranger_key}) EVP_PKEY_free(key);
}

std::string Load(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

// One reactor per call: reads the request, asks the handler, writes what it says.
class FakeServer::Service : public grpc::CallbackGenericService {
 public:
  explicit Service(FakeServer& owner) : owner_(owner) {}

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Reactor(owner_, context->method());
  }

 private:
  class Reactor : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(FakeServer& owner, std::string method) : owner_(owner), method_(std::move(method)) {
      StartRead(&request_);
    }

    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no request"));
      std::string bytes;
      std::vector<grpc::Slice> slices;
      static_cast<void>(request_.Dump(&slices));
      for (const grpc::Slice& slice : slices)
        bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      FakeServer::Handler handler;
      {
        std::lock_guard lock(owner_.mutex_);
        ++owner_.calls_[method_];
        if (auto found = owner_.handlers_.find(method_); found != owner_.handlers_.end())
          handler = found->second;
      }
      if (!handler)
        return Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "not in this test: " + method_));
      answer_ = handler(bytes);
      Next();
    }

    void OnWriteDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::CANCELLED);
      if (answer_.then_wait_ms > 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(answer_.then_wait_ms));
      Next();
    }

    void OnDone() override { delete this; }

   private:
    void Next() {
      if (at_ == answer_.messages.size()) return Finish(answer_.status);
      grpc::Slice slice(answer_.messages[at_++]);
      response_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&response_);
    }

    FakeServer& owner_;
    std::string method_;
    grpc::ByteBuffer request_, response_;
    FakeAnswer answer_;
    std::size_t at_ = 0;
  };

  FakeServer& owner_;
};

FakeServer::FakeServer() {
  setenv("GRPC_VERBOSITY", "NONE", 0);
  char path[] = "/tmp/phonepki-cli-test-XXXXXX";
  directory_ = mkdtemp(path);
  MakeCredentials(directory_);
  Start();
  std::filesystem::create_directory(directory_ + "/credentials");
  std::ofstream(context_file()) << "{\"server\": \"" << address() << "\", \"ca_file\": \"../ca.pem\", "
                                << "\"cert_file\": \"../admin.pem\", \"key_file\": \"" << directory_
                                << "/admin.key\"}";
}

FakeServer::~FakeServer() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  std::filesystem::remove_all(directory_);
}

void FakeServer::Start() {
  service_ = std::make_unique<Service>(*this);
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = Load(directory_ + "/ca.pem");
  tls.pem_key_cert_pairs.push_back({Load(directory_ + "/server.key"), Load(directory_ + "/server.pem")});
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::SslServerCredentials(tls), &port_);
  builder.RegisterCallbackGenericService(service_.get());
  server_ = builder.BuildAndStart();
}

void FakeServer::Restart() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  Start();
}

std::string FakeServer::address() const {
  return absl::StrCat("127.0.0.1:", port_);
}

void FakeServer::Set(const std::string& method, Handler handler) {
  std::lock_guard lock(mutex_);
  handlers_[method[0] == '/' ? method : kPrefix + method] = std::move(handler);
}

int FakeServer::calls(const std::string& method) {
  std::lock_guard lock(mutex_);
  return calls_[kPrefix + method];
}

grpc::Status FakeServer::Error(grpc::StatusCode code, const std::string& message, const std::string& reason,
                               const std::string& field) {
  common::v1::ErrorDetail detail;
  detail.set_reason(reason);
  detail.set_field(field);
  common::v1::Status status;
  status.set_code(code);
  status.set_message(message);
  status.add_details()->PackFrom(detail);
  return grpc::Status(code, message, status.SerializeAsString());
}

Outcome RunCli(const FakeServer* server, std::vector<std::string> arguments, RunOptions options) {
  if (server != nullptr) options.variables.try_emplace("PHONEPKI_CONTEXT", server->context_file());
  std::istringstream in(options.input);
  std::ostringstream out, err;
  const base::SystemClock clock;
  Environment environment{
      .in = in,
      .out = out,
      .err = err,
      .in_is_terminal = false,
      .out_is_terminal = options.terminal,
      .err_is_terminal = options.terminal,
      .terminal_size =
          [&] {
            return TerminalSize{options.columns, 25};
          },
      .variable = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = options.variables.find(name);
        if (found == options.variables.end()) return std::nullopt;
        return found->second;
      },
      .zone = options.zone,
      .clock = clock,
  };
  Outcome outcome;
  outcome.code = RunApp(std::move(arguments), environment);
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

}  // namespace phonepki::cli::testing
