#include "cli/connection.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <absl/strings/str_cat.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxMessageBytes = 64 << 20;  // a page of 1000 certificates with their PEM

absl::StatusOr<std::string> Slurp(const std::string& path, const std::string& field) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    return base::InvalidField(field, "FILE_UNREADABLE",
                              absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  return content;
}

// The first default context that exists. One that may not be looked at is remembered for the error text.
std::string DefaultContext(const Environment& environment, std::string& forbidden) {
  std::vector<std::string> paths;
  if (auto config = environment.variable("XDG_CONFIG_HOME")) {
    paths.push_back(absl::StrCat(*config, "/phonepki/context.json"));
  }
  if (auto home = environment.variable("HOME")) {
    paths.push_back(absl::StrCat(*home, "/.config/phonepki/context.json"));
  }
  paths.push_back("/var/lib/phonepki/credentials/admin.context.json");
  for (const std::string& path : paths) {
    std::error_code error;
    if (fs::exists(path, error) && std::ifstream(path).is_open()) return path;
    if (error == std::errc::permission_denied || (!error && fs::exists(path, error))) forbidden = path;
  }
  return "";
}

void Override(std::string& value, const std::string& option, const std::optional<std::string>& variable) {
  if (variable) value = *variable;
  if (!option.empty()) value = option;
}

}  // namespace

absl::StatusOr<Connection> LoadContext(const std::string& path) {
  ASSIGN_OR_RETURN(std::string content, Slurp(path, "context"));
  Connection connection;
  const fs::path folder = fs::absolute(path).parent_path();
  try {
    const YAML::Node root = YAML::Load(content);
    if (!root.IsMap()) {
      return base::InvalidField("context", "CONTEXT_FORMAT",
                                absl::StrCat(path, " is no YAML or JSON object"));
    }
    const auto text = [&](const char* key) {
      return root[key] ? root[key].as<std::string>() : std::string();
    };
    const auto file = [&](const char* key) {
      const std::string value = text(key);
      return value.empty() ? value : (folder / value).string();  // an absolute value stays as it is
    };
    if (const std::string server = text("server"); !server.empty()) connection.server = server;
    connection.server_name = text("server_name");
    connection.ca_file = file("ca_file");
    connection.cert_file = file("cert_file");
    connection.key_file = file("key_file");
  } catch (const YAML::Exception& error) {
    return base::InvalidField("context", "CONTEXT_FORMAT", absl::StrCat(path, ": ", error.what()));
  }
  return connection;
}

absl::StatusOr<Connection> ResolveConnection(const GlobalOptions& options, const Environment& environment) {
  std::string context, forbidden;
  Override(context, options.context, environment.variable("PHONEPKI_CONTEXT"));
  if (context.empty()) context = DefaultContext(environment, forbidden);
  Connection connection;
  if (!context.empty()) {
    ASSIGN_OR_RETURN(connection, LoadContext(context));
  }
  Override(connection.server, options.server, environment.variable("PHONEPKI_SERVER"));
  Override(connection.ca_file, options.ca_file, environment.variable("PHONEPKI_CA_FILE"));
  Override(connection.cert_file, options.cert_file, environment.variable("PHONEPKI_CERT_FILE"));
  Override(connection.key_file, options.key_file, environment.variable("PHONEPKI_KEY_FILE"));
  Override(connection.server_name, options.server_name, environment.variable("PHONEPKI_SERVER_NAME"));
  if (connection.cert_file.empty() != connection.key_file.empty()) {
    return base::InvalidField(connection.cert_file.empty() ? "cert_file" : "key_file",
                              "CREDENTIALS_INCOMPLETE",
                              "a client certificate and its key are given together");
  }
  if (connection.cert_file.empty()) {
    return base::WithReason(
        absl::InvalidArgumentError(absl::StrCat(
            "no credentials: give --context FILE (the server writes one at its first start, ",
            "<data-dir>/credentials/admin.context.json) or --ca-file, --cert-file and --key-file",
            forbidden.empty() ? "" : absl::StrCat("; ", forbidden, " may not be read by this user"))),
        "CREDENTIALS_MISSING");
  }
  return connection;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const Connection& connection,
                                                           const Environment& environment) {
  grpc::SslCredentialsOptions tls;
  if (!connection.ca_file.empty()) {
    ASSIGN_OR_RETURN(tls.pem_root_certs, Slurp(connection.ca_file, "ca_file"));
  }
  ASSIGN_OR_RETURN(tls.pem_cert_chain, Slurp(connection.cert_file, "cert_file"));
  ASSIGN_OR_RETURN(tls.pem_private_key, Slurp(connection.key_file, "key_file"));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetUserAgentPrefix("phonepki");
  // A proxy for the web is not one for the administration of phones; whoever has one for gRPC says so.
  if (!environment.variable("grpc_proxy")) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!connection.server_name.empty()) arguments.SetSslTargetNameOverride(connection.server_name);
  // Watching for hours through firewalls that forget idle connections.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  return grpc::CreateCustomChannel(connection.server, grpc::SslCredentials(tls), arguments);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, Environment& environment,
                                     const std::string& field) {
  if (path != "-") return Slurp(path, field);
  return std::string{std::istreambuf_iterator<char>(environment.in), std::istreambuf_iterator<char>()};
}

}  // namespace phonepki::cli
