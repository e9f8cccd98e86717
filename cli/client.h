// The connection to a server, and what comes of a call: an exit code that means something.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

namespace phonepki::cli {

enum ExitCode {
  kOk = 0,
  kInternal = 1,
  kUsage = 2,  // also INVALID_ARGUMENT
  kNotFound = 3,
  kPrecondition = 4,  // also ALREADY_EXISTS
  kPermission = 5,
  kUnavailable = 6,
  kNotAllSucceeded = 7  // the awaited work is over, and some of it failed
};

struct Connection {
  std::string server, context_file, ca_file, cert_file, key_file;
  int timeout_seconds = 30;
};

// Channel to the server of --server or of the context file: $PHONEPKI_CONTEXT,
// ~/.config/phonepki/context.json, /var/lib/phonepki/credentials/admin.context.json. Exits with kUsage when
// nothing tells where to go.
std::shared_ptr<grpc::Channel> Connect(const Connection& connection);

// One unary call with the deadline of `connection`. Prints the error, with field and reason, to standard
// error.
int Call(const Connection& connection, const std::function<grpc::Status(grpc::ClientContext*)>& call);
int Report(const grpc::Status& status, const std::string& server);

std::string NewRequestId();

}  // namespace phonepki::cli
