// A gRPC server with real sockets and mutual TLS that answers every method as the test says, and remembers
// what it was asked. Certificates are made at start, in a directory of its own, with a context file beside
// them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include "cli/environment.h"

namespace phonepki::cli::testing {

struct FakeAnswer {
  std::vector<std::string> messages;  // one for a unary call
  grpc::Status status;
  int then_wait_ms = 0;  // between messages
};

class FakeServer {
 public:
  FakeServer();
  ~FakeServer();

  using Handler = std::function<FakeAnswer(const std::string& request)>;

  // `method` as "ca.v1.InternalCaService/GetInternalCa".
  template <typename Request, typename Response>
  void On(const std::string& method, std::function<grpc::Status(const Request&, Response*)> handle) {
    Set(method, [handle](const std::string& bytes) {
      Request request;
      request.ParseFromString(bytes);
      Response response;
      FakeAnswer answer;
      answer.status = handle(request, &response);
      if (answer.status.ok()) answer.messages.push_back(response.SerializeAsString());
      return answer;
    });
  }
  // Answers with `response` and keeps the request.
  template <typename Request, typename Response>
  std::shared_ptr<Request> Expect(const std::string& method, Response response = {}) {
    auto seen = std::make_shared<Request>();
    On<Request, Response>(method, [seen, response](const Request& request, Response* out) {
      *seen = request;
      *out = response;
      return grpc::Status::OK;
    });
    return seen;
  }
  void Set(const std::string& method, Handler handler);
  // A status with an ErrorDetail, as the real server sends it.
  static grpc::Status Error(grpc::StatusCode code, const std::string& message, const std::string& reason,
                            const std::string& field);

  const std::string& directory() const { return directory_; }
  std::string context_file() const { return directory_ + "/credentials/admin.context.json"; }
  std::string address() const;
  int calls(const std::string& method);
  // Stops and starts again on the same port.
  void Restart();

 private:
  class Service;
  void Start();

  std::string directory_;
  int port_ = 0;
  std::mutex mutex_;
  std::map<std::string, Handler> handlers_;
  std::map<std::string, int> calls_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

struct RunOptions {
  bool terminal = false;
  int columns = 200;
  std::string input = {};
  std::map<std::string, std::string> variables = {};
  absl::TimeZone zone = absl::UTCTimeZone();
};

// Runs the program in-process against `server` (its context file is given by PHONEPKI_CONTEXT).
Outcome RunCli(const FakeServer* server, std::vector<std::string> arguments, RunOptions options = {});

}  // namespace phonepki::cli::testing
