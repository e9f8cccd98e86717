// One run of the program: its surroundings, the connection and how results are shown.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "base/status_macros.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/environment.h"
#include "cli/exit_code.h"
#include "cli/table.h"

namespace phonepki::cli {

enum class Format { kTable, kJson, kName };

class Session {
 public:
  // Both must outlive the session.
  Session(Environment& environment, const GlobalOptions& options);

  // One call with a deadline. `method` is a member of a generated Stub.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    RETURN_IF_ERROR(Connect());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(timeout_));
    Response response;
    Stub stub(channel_);
    RETURN_IF_ERROR(Explain((stub.*method)(&context, request, &response)));
    return response;
  }

  // Every page of a List, put together; at most `limit` items when it is not 0.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> List(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                Request request, std::int64_t limit = 0) {
    Response all;
    do {
      const std::int64_t missing = limit == 0 ? 1000 : limit - ItemCount(all);
      request.set_page_size(static_cast<int>(std::min<std::int64_t>(missing, 1000)));
      ASSIGN_OR_RETURN(Response page, Call(method, request));
      request.set_page_token(page.next_page_token());
      all.MergeFrom(page);
    } while (!request.page_token().empty() && (limit == 0 || ItemCount(all) < limit));
    all.clear_next_page_token();
    return all;
  }

  // For streams. Connects (lazily) at the first use.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel();
  // A refusal to connect becomes a sentence that names the server.
  absl::Status Explain(const grpc::Status& status) const;

  // -o json: the whole response; -o name: the names of its resources; else what `human` prints.
  absl::StatusOr<ExitCode> Show(const google::protobuf::Message& response,
                                const std::function<void()>& human);
  // A line of JSON for a stream.
  void ShowLine(const google::protobuf::Message& message);
  void Print(const Table& table);
  void Print(const Sheet& sheet);
  // A remark beside the result: standard error, never mixed with what a script reads.
  void Note(const std::string& text);

  Environment& environment() { return environment_; }
  Format format() const { return format_; }
  TableStyle style() const;
  absl::Time now() const { return environment_.clock.Now(); }
  absl::TimeZone zone() const { return environment_.zone; }
  std::string server() const { return connection_.server; }
  absl::Duration timeout() const { return timeout_; }
  void set_timeout(absl::Duration timeout) { timeout_ = timeout; }

 private:
  absl::Status Connect();
  static std::int64_t ItemCount(const google::protobuf::Message& list);

  Environment& environment_;
  const GlobalOptions& options_;
  Format format_;
  absl::Duration timeout_;
  Connection connection_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Protobuf JSON with the names of the .proto files, every field present.
std::string ToJson(const google::protobuf::Message& message, bool pretty);

}  // namespace phonepki::cli
