#include "cli/commands/common.h"

#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"

namespace phonepki::cli {

std::string Word(const std::string& enum_name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(enum_name), {{"_", "-"}});
}

Color StateColor(const std::string& word) {
  static const std::vector<std::pair<const char*, Color>> kColors = {
      {"succeeded", Color::kGreen}, {"active", Color::kGreen},     {"available", Color::kGreen},
      {"finished", Color::kGreen},  {"registered", Color::kGreen}, {"failed", Color::kRed},
      {"timed-out", Color::kRed},   {"expired", Color::kRed},      {"revoked", Color::kRed},
      {"deleted", Color::kRed},     {"halted", Color::kRed},       {"disabled", Color::kYellow},
      {"deferred", Color::kYellow}, {"waiting", Color::kCyan},     {"running", Color::kCyan},
      {"verifying", Color::kCyan},  {"cancelled", Color::kDim},    {"superseded", Color::kDim},
      {"draft", Color::kDim},       {"inactive", Color::kDim},     {"discarded", Color::kDim}};
  for (const auto& [name, color] : kColors) {
    if (word == name) return color;
  }
  return Color::kNone;
}

Cell StateCell(const std::string& enum_name) {
  const std::string word = Word(enum_name);
  return {word, StateColor(word)};
}

Cell EnabledCell(bool enabled) {
  return {enabled ? "yes" : "no", enabled ? Color::kGreen : Color::kDim};
}

std::string ShortName(const std::string& resource_name) {
  return resource_name.substr(resource_name.find('/') + 1);
}

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return absl::StrJoin(texts, ", ");
}

void AddCertificate(Sheet& sheet, const std::string& prefix, const ca::v1::CertificateSummary& certificate,
                    absl::TimeZone zone) {
  sheet.Add(absl::StrCat(prefix, "Subject"), certificate.subject());
  sheet.Add(absl::StrCat(prefix, "Issuer"), certificate.issuer());
  sheet.Add(absl::StrCat(prefix, "Serial"), certificate.serial());
  sheet.Add(absl::StrCat(prefix, "Valid from"), TimeText(certificate.not_before(), zone, true));
  sheet.Add(absl::StrCat(prefix, "Valid to"), TimeText(certificate.not_after(), zone, true));
  sheet.Add(absl::StrCat(prefix, "Key algorithm"), certificate.key_algorithm());
  sheet.Add(absl::StrCat(prefix, "SHA-256"), certificate.sha256_fingerprint());
  sheet.Add(absl::StrCat(prefix, "SHA-1"), certificate.sha1_fingerprint());
}

std::string AskPassphrase(Environment& environment) {
  environment.err << "Passphrase: " << std::flush;
  termios before{};
  const bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  std::string line;
  std::getline(environment.in, line);
  if (terminal) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  environment.err << '\n';
  return line;
}

absl::StatusOr<std::string> ReadPassphrase(Session& session, const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, session.environment(), "passphrase-file"));
  text.resize(std::min(text.size(), text.find_first_of("\r\n")));
  return text;
}

std::string CertificateType(const std::string& text) {
  if (absl::StartsWithIgnoreCase(text, "WBM Server Certificate")) return "wbm";
  return absl::AsciiStrToLower(text);
}

absl::Status WriteOutput(Session& session, const std::string& path, const std::string& content, bool binary) {
  Environment& environment = session.environment();
  if (path.empty() || path == "-") {
    if (binary && environment.out_is_terminal && path.empty()) {
      return base::InvalidField("out", "BINARY_TO_TERMINAL", "binary output needs --out FILE (or --out -)");
    }
    environment.out << content;
    return absl::OkStatus();
  }
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  if (!file) {
    return base::InvalidField("out", "FILE_UNWRITABLE",
                              absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

void Say(Session& session, const Noun& noun, const std::string& name, const std::string& what) {
  session.environment().out << noun.word << ' ' << Printable(name) << ' ' << what << '\n';
}

void CreateOptions::AddTo(std::vector<Option>& options) {
  options.push_back(Flag("--dry-run,--validate-only", "check everything, change nothing", &dry_run));
  options.push_back(Value("--request-id", "ID",
                          "to repeat a call safely: the same id returns the first answer; default a new UUID",
                          &request_id));
}

}  // namespace phonepki::cli
