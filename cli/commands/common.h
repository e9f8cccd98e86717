// Pieces that several nouns share.
#pragma once

#include <string>
#include <vector>

#include <google/protobuf/repeated_field.h>

#include "cli/names.h"
#include "cli/session.h"
#include "cli/time_text.h"
#include "phonepki/ca/v1/internal_ca.pb.h"

namespace phonepki::cli {

// TIMED_OUT -> "timed-out".
std::string Word(const std::string& enum_name);
// Green for good ends, red for bad ones, yellow for what needs patience.
Color StateColor(const std::string& word);
Cell StateCell(const std::string& enum_name);
Cell EnabledCell(bool enabled);

// "internalCas/7" -> "7".
std::string ShortName(const std::string& resource_name);
std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& texts);

void AddCertificate(Sheet& sheet, const std::string& prefix, const ca::v1::CertificateSummary& certificate,
                    absl::TimeZone zone);

// Asks on the terminal, without showing what is typed.
std::string AskPassphrase(Environment& environment);
// The first line of a file; "-" is standard input.
absl::StatusOr<std::string> ReadPassphrase(Session& session, const std::string& path);

// The words of the guide and of the API: "WBM Server Certificate (IP Phone)" is wbm.
std::string CertificateType(const std::string& text);

// Writes to a file, or to standard output when `path` is empty or "-".
absl::Status WriteOutput(Session& session, const std::string& path, const std::string& content, bool binary);

// Options of every create command.
struct CreateOptions {
  bool dry_run = false;
  std::string request_id;

  void AddTo(std::vector<Option>& options);
  // Sets validate_only and request_id.
  template <typename Request>
  void Apply(Request& request) const {
    request.set_validate_only(dry_run);
    request.set_request_id(request_id.empty() ? NewRequestId() : request_id);
  }
  // "created" or, for a dry run, "would be created".
  std::string Outcome(const std::string& done) const { return dry_run ? "would be " + done : done; }
};

// What the one-argument verbs of a noun have in common.
struct Noun {
  const char* word;        // "internal CA"
  const char* collection;  // "internalCas"
  Complete complete;
  const char* argument;  // help text of NAME
};

// "phonepki NOUN VERB NAME" with one call behind it. `human` prints the answer for people.
template <typename Stub, typename Request, typename Response>
Command NamedCommand(const Noun& noun, std::string verb, std::string summary,
                     std::vector<std::string> examples,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     std::function<void(Session&, const Response&, const std::string& typed)> human) {
  auto name = std::make_shared<std::string>();
  Command command;
  command.name = std::move(verb);
  command.summary = std::move(summary);
  command.examples = std::move(examples);
  command.options = {Positional("NAME", noun.argument, name.get()).Required().Completing(noun.complete)};
  command.run = [=](Session& session) -> absl::StatusOr<ExitCode> {
    Request request;
    request.set_name(ResourceName(noun.collection, *name));
    ASSIGN_OR_RETURN(Response response, session.Call(method, request));
    return session.Show(response, [&] { human(session, response, *name); });
  };
  return command;
}

// Prints "internal CA MyNewCA enabled".
void Say(Session& session, const Noun& noun, const std::string& name, const std::string& what);

}  // namespace phonepki::cli
