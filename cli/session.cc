#include "cli/session.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/util/json_util.h>

#include "base/error.h"
#include "cli/time_text.h"

namespace phonepki::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Its own name, or that of the device that it tells about.
std::string NameOf(const Message& resource) {
  const FieldDescriptor* field = resource.GetDescriptor()->FindFieldByName("name");
  if (field == nullptr) field = resource.GetDescriptor()->FindFieldByName("device");
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING || field->is_repeated())
    return "";
  return resource.GetReflection()->GetString(resource, field);
}

void PrintNames(const Message& response, std::ostream& out) {
  const Reflection& reflection = *response.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(response, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(response, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Message& resource = field->is_repeated() ? reflection.GetRepeatedMessage(response, field, i)
                                                     : reflection.GetMessage(response, field);
      if (std::string name = NameOf(resource); !name.empty()) out << name << '\n';
    }
  }
}

// gRPC wraps the cause in "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1:
// Connection refused"; people need the end of it.
std::string Cause(const std::string& message) {
  if (absl::StrContains(message, "certificate verify failed") ||
      absl::StrContains(message, "Hostname Verification")) {
    return "its certificate is not from the CA in --ca-file, or does not name this server (--server-name)";
  }
  if (absl::StrContains(message, "Ssl handshake") || absl::StrContains(message, "SSL_ERROR")) {
    return "the TLS handshake failed; is it the gRPC port, and is the client certificate from its CA?";
  }
  const std::size_t at = message.rfind(": ");
  return at == std::string::npos ? message : message.substr(at + 2);
}

}  // namespace

std::string ToJson(const Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

Session::Session(Environment& environment, const GlobalOptions& options)
    : environment_(environment),
      options_(options),
      format_(options.output == "json"   ? Format::kJson
              : options.output == "name" ? Format::kName
                                         : Format::kTable),
      timeout_(absl::Seconds(30)) {}

absl::Status Session::Connect() {
  if (channel_ != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(connection_, ResolveConnection(options_, environment_));
  ASSIGN_OR_RETURN(channel_, OpenChannel(connection_, environment_));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::Channel() {
  RETURN_IF_ERROR(Connect());
  return channel_;
}

absl::Status Session::Explain(const grpc::Status& status) const {
  absl::Status result = FromGrpc(status);
  // With a reason, the server itself has answered.
  if (!base::ReasonOf(result).empty() || !status.error_details().empty()) return result;
  if (absl::IsUnavailable(result)) {
    return absl::UnavailableError(
        absl::StrCat("cannot reach server ", connection_.server, ": ", Cause(status.error_message()),
                     " - is phonepkid running there? (phonepki --server HOST:PORT ...)"));
  }
  if (absl::IsDeadlineExceeded(result)) {
    return absl::DeadlineExceededError(absl::StrCat("no answer from server ", connection_.server, " within ",
                                                    absl::FormatDuration(timeout_),
                                                    " (phonepki --timeout ...)"));
  }
  return result;
}

std::int64_t Session::ItemCount(const Message& list) {
  for (int i = 0; i < list.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = list.GetDescriptor()->field(i);
    if (field->is_repeated()) return list.GetReflection()->FieldSize(list, field);
  }
  return 0;
}

absl::StatusOr<ExitCode> Session::Show(const Message& response, const std::function<void()>& human) {
  switch (format_) {
    case Format::kJson:
      environment_.out << ToJson(response, true);
      break;
    case Format::kName:
      PrintNames(response, environment_.out);
      break;
    case Format::kTable:
      human();
      break;
  }
  return kExitOk;
}

void Session::ShowLine(const Message& message) {
  environment_.out << ToJson(message, false) << std::endl;
}

TableStyle Session::style() const {
  // What goes into a pipe or a file is not cut.
  const bool cut = environment_.out_is_terminal && !options_.wide;
  return {.width = cut ? environment_.terminal_size().columns : 0,
          .color = environment_.out_is_terminal && !environment_.variable("NO_COLOR")};
}

void Session::Print(const Table& table) {
  if (table.empty()) {
    Note("nothing found");
  } else {
    table.Print(environment_.out, style());
  }
}

void Session::Print(const Sheet& sheet) {
  sheet.Print(environment_.out, style());
}

void Session::Note(const std::string& text) {
  environment_.err << Printable(text) << '\n';
}

}  // namespace phonepki::cli
