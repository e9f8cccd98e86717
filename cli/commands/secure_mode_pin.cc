#include "cli/commands/secure_mode_pin.h"

#include <filesystem>
#include <system_error>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/common.h"
#include "phonepki/security/v1/security.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = security::v1;
using Stub = v1::SecurityService::Stub;

void ShowPin(Session& session, const v1::SecurityPin& pin) {
  Sheet sheet;
  sheet.Add("PIN", pin.pin());
  sheet.Add("Expires", TimeText(pin.expire_time(), session.zone(), true));
  session.Print(sheet);
}

// A PIN on the command line would stand in every process list.
absl::StatusOr<std::string> ReadPin(Session& session, const std::string& file) {
  if (file.empty()) return std::string();
  ASSIGN_OR_RETURN(std::string text, ReadFile(file, session.environment(), "pin-file"));
  const std::string pin = text.substr(0, text.find_first_of("\r\n"));
  if (!pin.empty()) return pin;
  return base::InvalidField("pin-file", "PIN_EMPTY", "the first line must hold the PIN");
}

constexpr char kPinFileHelp[] =
    "file whose first line is the PIN to set; - is standard input; default: generated";

Command ShowDefault() {
  Command command;
  command.name = "show-default";
  command.summary = "Show the default PIN, which is the same for all phones";
  command.examples = {"phonepki secure-mode pin show-default"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ViewDefaultPin, v1::ViewDefaultPinRequest()));
    return session.Show(response, [&] { ShowPin(session, response.pin()); });
  };
  return command;
}

Command RotateDefault() {
  auto file = std::make_shared<std::string>();
  Command command;
  command.name = "rotate-default";
  command.summary = "Replace the default PIN; phones that await the former one must be enrolled again";
  command.examples = {"phonepki secure-mode pin rotate-default",
                      "phonepki secure-mode pin rotate-default --pin-file pin.txt"};
  command.options = {Value("--pin-file", "FILE", kPinFileHelp, file.get()).Completing(Complete::kFile)};
  command.run = [file](Session& session) -> absl::StatusOr<ExitCode> {
    v1::RotateDefaultPinRequest request;
    ASSIGN_OR_RETURN(*request.mutable_pin(), ReadPin(session, *file));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::RotateDefaultPin, request));
    return session.Show(response, [&] { ShowPin(session, response.pin()); });
  };
  return command;
}

Command ShowDevicePin() {
  auto device = std::make_shared<std::string>();
  Command command;
  command.name = "show";
  command.summary = "Show the PIN of one phone, once; made when there is none";
  command.examples = {"phonepki secure-mode pin show 00:1A:E8:00:00:01"};
  command.options = {
      Positional("DEVICE", "MAC address", device.get()).Required().Completing(Complete::kDevice)};
  command.run = [device](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ViewDevicePinRequest request;
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(*device));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ViewDevicePin, request));
    return session.Show(response, [&] { ShowPin(session, response.pin()); });
  };
  return command;
}

Command Regenerate() {
  struct Arguments {
    std::string device, file;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "regenerate";
  command.summary = "Give one phone a new PIN and show it, once";
  command.examples = {"phonepki secure-mode pin regenerate 00:1A:E8:00:00:01"};
  command.options = {
      Positional("DEVICE", "MAC address", &args->device).Required().Completing(Complete::kDevice),
      Value("--pin-file", "FILE", kPinFileHelp, &args->file).Completing(Complete::kFile)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::RegenerateDevicePinRequest request;
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(args->device));
    ASSIGN_OR_RETURN(*request.mutable_pin(), ReadPin(session, args->file));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::RegenerateDevicePin, request));
    return session.Show(response, [&] { ShowPin(session, response.pin()); });
  };
  return command;
}

Command PrintPins() {
  struct Arguments {
    std::string location, html;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "print";
  command.summary = "Write the PINs of a location's phones to an HTML page for the printer";
  command.description =
      "Phones in secure mode need none. Every PIN is shown once: a phone whose PIN was shown before stands "
      "on "
      "the list without it.";
  command.examples = {"phonepki secure-mode pin print Bremen --html bremen-pins.html"};
  command.options = {Positional("LOCATION", "location: number, name or locations/{id}", &args->location)
                         .Required()
                         .Completing(Complete::kLocation),
                     Value("--html", "FILE", "where to; - is standard output", &args->html)
                         .Required()
                         .Completing(Complete::kFile)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    // The PINs are shown once: a file that cannot be written must not cost them.
    RETURN_IF_ERROR(WriteOutput(session, args->html, "", false));
    if (args->html != "-") {
      std::error_code ignored;  // a device, a pipe
      std::filesystem::permissions(
          args->html, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, ignored);
    }
    v1::PrintPinsRequest request;
    request.set_location(ResourceName("locations", args->location));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::PrintPins, request));
    RETURN_IF_ERROR(WriteOutput(session, args->html, response.html(), false));
    response.clear_html();
    if (args->html == "-") return kExitOk;
    return session.Show(response, [&] {
      session.environment().out << response.printed() << " PINs written to " << args->html;
      if (response.already_viewed() > 0) {
        session.environment().out << ", " << response.already_viewed() << " had been shown before";
      }
      session.environment().out << '\n';
    });
  };
  return command;
}

Command PinPolicy() {
  Command command;
  command.name = "policy";
  command.summary = "Show what PINs must be like";
  command.examples = {"phonepki secure-mode pin policy"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::GetPinPolicy, v1::GetPinPolicyRequest()));
    return session.Show(response, [&] {
      Sheet sheet;
      sheet.Add("Characters", absl::StrCat(response.min_length(), " to ", response.max_length()));
      sheet.Add("Generated", absl::StrCat(response.generated_length(), " characters"));
      sheet.Add("Alphabet", response.alphabet());
      sheet.Add("Lifetime", absl::FormatDuration(absl::Seconds(response.lifetime_seconds())));
      session.Print(sheet);
    });
  };
  return command;
}

}  // namespace

Command PinCommand() {
  Command command;
  command.name = "pin";
  command.summary = "Security PINs: the default one and those of single phones";
  command.examples = {"phonepki secure-mode pin show-default",
                      "phonepki secure-mode pin print Bremen --html bremen-pins.html"};
  command.commands = {ShowDefault(), RotateDefault(), ShowDevicePin(),
                      Regenerate(),  PrintPins(),     PinPolicy()};
  return command;
}

}  // namespace phonepki::cli
