// Where the server is and who we are: from options, environment variables and a context file, in this order.
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include "cli/command.h"
#include "cli/environment.h"

namespace phonepki::cli {

struct Connection {
  std::string server = "127.0.0.1:9443";
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name;  // name expected in the server's certificate, when it is not the one in `server`
};

// kInvalidArgument: the context file cannot be used, or there are no credentials at all.
absl::StatusOr<Connection> ResolveConnection(const GlobalOptions& options, const Environment& environment);

// YAML or JSON with server, ca_file, cert_file, key_file, server_name; paths are relative to the file. Keys
// of later versions are ignored.
absl::StatusOr<Connection> LoadContext(const std::string& path);

// Mutual TLS. Connects at the first call. kInvalidArgument: a credential file cannot be read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const Connection& connection,
                                                           const Environment& environment);

// Names the file in the error. "-" is standard input.
absl::StatusOr<std::string> ReadFile(const std::string& path, Environment& environment,
                                     const std::string& field);

}  // namespace phonepki::cli
