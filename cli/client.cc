#include "cli/client.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <nlohmann/json.hpp>

#include "phonepki/common/v1/error.pb.h"

namespace phonepki::cli {
namespace {

namespace fs = std::filesystem;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    std::cerr << "error: cannot read " << path << "\n";
    std::exit(kUsage);
  }
  return text.str();
}

std::string FindContext(const Connection& connection) {
  if (!connection.context_file.empty()) return connection.context_file;
  if (const std::string named = Environment("PHONEPKI_CONTEXT"); !named.empty()) return named;
  for (const std::string& path : {Environment("HOME") + "/.config/phonepki/context.json",
                                  std::string("/var/lib/phonepki/credentials/admin.context.json")}) {
    if (fs::exists(path)) return path;
  }
  return "";
}

// Options win over the context file; its paths are relative to itself.
Connection Complete(Connection connection) {
  const std::string path = FindContext(connection);
  if (path.empty()) return connection;
  const nlohmann::json context = nlohmann::json::parse(ReadFile(path), nullptr, false);
  if (!context.is_object()) {
    std::cerr << "error: " << path
              << " is no context file (JSON with server, ca_file, cert_file, key_file)\n";
    std::exit(kUsage);
  }
  const auto take = [&](const char* key, std::string& field, bool file) {
    const std::string value = context.value(key, "");
    if (!field.empty() || value.empty()) return;
    field = file ? (fs::path(path).parent_path() / value).string() : value;
  };
  take("server", connection.server, false);
  take("ca_file", connection.ca_file, true);
  take("cert_file", connection.cert_file, true);
  take("key_file", connection.key_file, true);
  return connection;
}

int ExitCodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return kOk;
    case grpc::StatusCode::INVALID_ARGUMENT:
      return kUsage;
    case grpc::StatusCode::NOT_FOUND:
      return kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return kPrecondition;
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return kPermission;
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return kUnavailable;
    default:
      return kInternal;
  }
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const Connection& given) {
  const Connection connection = Complete(given);
  if (connection.server.empty() || connection.ca_file.empty() || connection.cert_file.empty()) {
    std::cerr
        << "error: no server is known; give --context <data-dir>/credentials/admin.context.json, or set "
           "PHONEPKI_CONTEXT\n";
    std::exit(kUsage);
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ReadFile(connection.ca_file);
  tls.pem_cert_chain = ReadFile(connection.cert_file);
  tls.pem_private_key = ReadFile(connection.key_file);
  return grpc::CreateChannel(connection.server, grpc::SslCredentials(tls));
}

int Report(const grpc::Status& status, const std::string& server) {
  if (status.ok()) return kOk;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty()) {
    std::cerr << "error: cannot reach the server" << (server.empty() ? "" : " " + server)
              << "; is phonepkid running? (" << status.error_message() << ")\n";
    return kUnavailable;
  }
  std::cerr << "error: " << status.error_message() << "\n";
  common::v1::Status details;
  common::v1::ErrorDetail detail;
  if (details.ParseFromString(status.error_details()) && details.details_size() > 0 &&
      details.details(0).UnpackTo(&detail)) {
    if (!detail.field().empty()) std::cerr << "  field:  " << detail.field() << "\n";
    if (!detail.reason().empty()) std::cerr << "  reason: " << detail.reason() << "\n";
  }
  return ExitCodeOf(status.error_code());
}

int Call(const Connection& connection, const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(connection.timeout_seconds));
  return Report(call(&context), connection.server);
}

std::string NewRequestId() {
  std::random_device random;
  char text[33];
  std::snprintf(text, sizeof text, "%08x%08x%08x%08x", random(), random(), random(), random());
  return text;
}

}  // namespace phonepki::cli
