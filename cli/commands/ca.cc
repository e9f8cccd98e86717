// Internal CAs: chapter 3.12.1.1 of the OpenScape guide, "Internal CA".
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/ca/v1/internal_ca.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = ca::v1;
using Stub = v1::InternalCaService::Stub;

constexpr Noun kNoun = {"internal CA", "internalCas", Complete::kCa, "CA Name, id or internalCas/{id}"};

std::string CaName(const std::string& text) {
  return ResourceName("internalCas", text);
}

void ShowCa(Session& session, const v1::InternalCa& ca) {
  Sheet sheet;
  sheet.Add("Name", ca.name());
  sheet.Add("CA Name", ca.display_name());
  sheet.Add("CA Description", ca.description());
  sheet.Add("Enabled", ca.enabled() ? "yes" : "no", ca.enabled() ? Color::kGreen : Color::kDim);
  const std::string state = Word(v1::InternalCa::State_Name(ca.state()));
  sheet.Add("State", state, StateColor(state));
  sheet.Add("Parent", ca.parent());
  AddCertificate(sheet, "", ca.certificate(), session.zone());
  sheet.Add("Created", TimeText(ca.create_time(), session.zone(), true));
  session.Print(sheet);
}

// The "Create CA" dialogue.
struct CreationArguments {
  std::string subject, key_algorithm, valid_from, valid_to, parent;
  std::optional<std::int64_t> valid_days, valid_years;
  bool allow_past_2038 = false, allow_legacy = false;

  void AddTo(std::vector<Option>& options, bool subject_required) {
    Option subject_option = Value(
        "--subject", "DN",
        "Subject/Issuer DN, such as \"C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA\"", &subject);
    subject_option.required = subject_required;
    options.push_back(std::move(subject_option));
    options.push_back(
        Value("--key-algorithm", "ALGORITHM", "key algorithm and size; default rsa2048", &key_algorithm)
            .OneOf({"rsa2048", "rsa3072", "rsa4096", "ecdsa-p256", "ecdsa-p384", "rsa1024"}));
    options.push_back(Value("--valid-from", "TIME", "start of validity; default now", &valid_from));
    options.push_back(
        Value("--valid-to", "TIME", "end of validity; default one year after the start", &valid_to));
    options.push_back(Value("--valid-days", "N", "validity in days, instead of --valid-to", &valid_days));
    options.push_back(Value("--valid-years", "N", "validity in years, instead of --valid-to", &valid_years));
    options.push_back(Value("--parent", "CA", "issue it from this internal CA; default self-signed", &parent)
                          .Completing(Complete::kCa));
    options.push_back(Flag("--allow-past-2038", "permit an end after 2038-01-19, where 32-bit clocks stop",
                           &allow_past_2038));
    options.push_back(Flag("--allow-legacy", "permit rsa1024", &allow_legacy));
  }

  bool any() const {
    return !subject.empty() || !key_algorithm.empty() || !valid_from.empty() || !valid_to.empty() ||
           valid_days || valid_years || !parent.empty() || allow_past_2038 || allow_legacy;
  }

  absl::Status Fill(Session& session, v1::CaCreation& creation) const {
    creation.set_subject(subject);
    creation.set_key_algorithm(key_algorithm);
    creation.set_parent(CaName(parent));
    creation.set_allow_past_2038(allow_past_2038);
    creation.set_allow_legacy(allow_legacy);
    absl::Time start = session.now();
    if (!valid_from.empty()) {
      ASSIGN_OR_RETURN(start, ParseTime(valid_from, session.now(), session.zone(), "valid-from"));
      *creation.mutable_not_before() = ToProto(start);
    }
    const int ends = (valid_to.empty() ? 0 : 1) + (valid_days ? 1 : 0) + (valid_years ? 1 : 0);
    if (ends > 1) {
      return base::InvalidField("valid-to", "SEVERAL_ENDS",
                                "give one of --valid-to, --valid-days and --valid-years");
    }
    if ((valid_days && *valid_days <= 0) || (valid_years && (*valid_years <= 0 || *valid_years > 1000))) {
      return base::InvalidField("valid-to", "VALIDITY", "the validity must be longer than nothing");
    }
    if (!valid_to.empty()) {
      ASSIGN_OR_RETURN(absl::Time end, ParseTime(valid_to, session.now(), session.zone(), "valid-to"));
      *creation.mutable_not_after() = ToProto(end);
    } else if (valid_days) {
      *creation.mutable_not_after() = ToProto(start + absl::Hours(24) * *valid_days);
    } else if (valid_years) {
      *creation.mutable_not_after() = ToProto(AddYears(start, *valid_years, session.zone()));
    }
    return absl::OkStatus();
  }
};

Command Create() {
  struct Arguments : CreationArguments, CreateOptions {
    std::string name, description;
    bool enable = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary = "New internal CA; with --subject also its key and certificate (Create CA)";
  command.description =
      "Without --subject the record is saved without a key (New, Save); \"ca generate\" or \"ca import\" "
      "completes it.\n"
      "--enable is the tick box \"Enable Internal CA\": from then on plug-ins can synchronise it.";
  command.examples = {
      "phonepki ca create MyNewCA --subject 'C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA' \\",
      "    --key-algorithm rsa2048 --valid-years 10 --enable",
      "phonepki ca create Phones --description 'issues WBM certificates' --parent MyNewCA --enable \\",
      "    --subject 'C=US, O=Unify, CN=Phones' --valid-from 2026-12-01 --valid-to 2031-12-01",
      "phonepki ca create Later --description 'only the record'"};
  command.options = {
      Positional("NAME", "CA Name", &args->name).Required(),
      Value("--description", "TEXT", "CA Description", &args->description),
      Flag("--enable", "Enable Internal CA", &args->enable),
  };
  args->CreationArguments::AddTo(command.options, false);
  args->CreateOptions::AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreateInternalCaRequest request;
    request.set_display_name(args->name);
    request.set_description(args->description);
    request.set_enable(args->enable);
    if (args->any()) {
      if (args->subject.empty())
        return base::InvalidField("subject", "SUBJECT_MISSING", "--subject is required with these options");
      RETURN_IF_ERROR(args->Fill(session, *request.mutable_creation()));
    }
    args->Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreateInternalCa, request));
    return session.Show(response, [&] {
      if (args->dry_run) session.Note("dry run: nothing was changed");
      ShowCa(session, response.internal_ca());
    });
  };
  return command;
}

Command Generate() {
  struct Arguments : CreationArguments {
    std::string name;
    bool dry_run = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "generate";
  command.aliases = {"create-ca"};
  command.summary = "Create CA: make key and certificate for a record that has none";
  command.examples = {
      "phonepki ca generate Later --subject 'C=US, ST=FL, O=Unify, OU=Sales, CN=Later' --valid-years 10"};
  command.options = {
      Positional("NAME", "the internal CA", &args->name).Required().Completing(Complete::kCa),
      Flag("--dry-run,--validate-only", "check everything, change nothing", &args->dry_run),
  };
  args->AddTo(command.options, true);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::GenerateInternalCaRequest request;
    request.set_name(CaName(args->name));
    request.set_validate_only(args->dry_run);
    RETURN_IF_ERROR(args->Fill(session, *request.mutable_creation()));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::GenerateInternalCa, request));
    return session.Show(response, [&] { ShowCa(session, response.internal_ca()); });
  };
  return command;
}

Command Import() {
  struct Arguments {
    std::string file, name, description, passphrase_file;
    bool enable = false, dry_run = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "import";
  command.summary = "Import CA: take certificate, key and parents from a PKCS#12 file";
  command.description =
      "The passphrase is read from a file, from standard input (-), or asked for on the terminal; it is "
      "never an "
      "argument, because other users can see those.";
  command.examples = {
      "phonepki ca import corporate-ca.p12 --name Corporate --passphrase-file ca.pass --enable",
      "pass show pki/ca | phonepki ca import corporate-ca.p12 --name Corporate --passphrase-file -"};
  command.options = {
      Positional("FILE", "PKCS#12 file, at most 1 MiB", &args->file).Required().Completing(Complete::kFile),
      Value("--name", "NAME", "CA Name; an existing record without key is completed", &args->name).Required(),
      Value("--description", "TEXT", "CA Description", &args->description),
      Value("--passphrase-file", "FILE", "its first line is the passphrase; - is standard input",
            &args->passphrase_file)
          .Completing(Complete::kFile),
      Flag("--enable", "Enable Internal CA", &args->enable),
      Flag("--dry-run,--validate-only", "check everything, change nothing", &args->dry_run),
  };
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ImportInternalCaRequest request;
    request.set_display_name(args->name);
    request.set_description(args->description);
    request.set_enable(args->enable);
    request.set_validate_only(args->dry_run);
    ASSIGN_OR_RETURN(*request.mutable_pkcs12(), ReadFile(args->file, session.environment(), "file"));
    if (!args->passphrase_file.empty()) {
      ASSIGN_OR_RETURN(*request.mutable_passphrase(), ReadPassphrase(session, args->passphrase_file));
    } else if (session.environment().in_is_terminal) {
      request.set_passphrase(AskPassphrase(session.environment()));
    }
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ImportInternalCa, request));
    return session.Show(response, [&] { ShowCa(session, response.internal_ca()); });
  };
  return command;
}

Command Enable() {
  return NamedCommand<Stub, v1::EnableInternalCaRequest, v1::EnableInternalCaResponse>(
      kNoun, "enable", "Enable Internal CA: plug-ins can synchronise it from now on",
      {"phonepki ca enable MyNewCA"}, &Stub::EnableInternalCa,
      [](Session& session, const auto& response, const std::string&) {
        Say(session, kNoun, response.internal_ca().display_name(), "enabled");
      });
}

Command Disable() {
  struct Arguments {
    std::string name;
    bool force = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "disable";
  command.summary = "Disable an internal CA: nothing is issued from it any more";
  command.examples = {"phonepki ca disable MyNewCA", "phonepki ca disable MyNewCA --force"};
  command.options = {Positional("NAME", "the internal CA", &args->name).Required().Completing(Complete::kCa),
                     Flag("--force", "even though enabled connectors issue from it", &args->force)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::DisableInternalCaRequest request;
    request.set_name(CaName(args->name));
    request.set_force(args->force);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DisableInternalCa, request));
    return session.Show(response, [&] {
      Say(session, kNoun, response.internal_ca().display_name(), "disabled");
      if (response.affected_connectors_size() > 0) {
        session.Note(
            absl::StrCat("these connectors refuse to issue now: ", Joined(response.affected_connectors())));
      }
    });
  };
  return command;
}

Command List() {
  auto enabled = std::make_shared<bool>(false);
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List the internal CAs";
  command.examples = {"phonepki ca list", "phonepki ca list --enabled -o json"};
  command.options = {Flag("--enabled", "only enabled ones", enabled.get())};
  command.run = [enabled](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListInternalCasRequest request;
    request.set_enabled_only(*enabled);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListInternalCas, request));
    return session.Show(response, [&] {
      Table table(
          {{"ID"}, {"CA NAME"}, {"STATE"}, {"ENABLED"}, {"KEY"}, {"VALID TO"}, {"SUBJECT", false, true}});
      for (const v1::InternalCa& ca : response.internal_cas()) {
        table.Add({ShortName(ca.name()), ca.display_name(), StateCell(v1::InternalCa::State_Name(ca.state())),
                   EnabledCell(ca.enabled()), ca.certificate().key_algorithm(),
                   TimeText(ca.certificate().not_after(), session.zone()), ca.certificate().subject()});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  return NamedCommand<Stub, v1::GetInternalCaRequest, v1::GetInternalCaResponse>(
      kNoun, "get", "Show one internal CA",
      {"phonepki ca get MyNewCA", "phonepki ca get MyNewCA -o json | jq -r .internal_ca.certificate.pem"},
      &Stub::GetInternalCa, [](Session& session, const auto& response, const std::string&) {
        ShowCa(session, response.internal_ca());
      });
}

Command Update() {
  struct Arguments {
    std::string name;
    std::optional<std::string> new_name, description;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "update";
  command.summary = "Change name or description of an internal CA";
  command.examples = {"phonepki ca update MyNewCA --description 'valid until 2036'",
                      "phonepki ca update MyNewCA --name OldCA"};
  command.options = {Positional("NAME", "the internal CA", &args->name).Required().Completing(Complete::kCa),
                     Value("--name", "NAME", "new CA Name", &args->new_name),
                     Value("--description", "TEXT", "new CA Description", &args->description)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdateInternalCaRequest request;
    request.set_name(CaName(args->name));
    if (args->new_name) request.set_display_name(*args->new_name);
    if (args->description) request.set_description(*args->description);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::UpdateInternalCa, request));
    return session.Show(response, [&] { ShowCa(session, response.internal_ca()); });
  };
  return command;
}

Command Delete() {
  return NamedCommand<Stub, v1::DeleteInternalCaRequest, v1::DeleteInternalCaResponse>(
      kNoun, "delete", "Delete an internal CA that nothing depends on", {"phonepki ca delete MyNewCA"},
      &Stub::DeleteInternalCa,
      [](Session& session, const auto&, const std::string& typed) { Say(session, kNoun, typed, "deleted"); });
}

Command Export() {
  struct Arguments {
    std::string name, format = "pem", out;
    bool chain = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "export";
  command.summary = "Write the certificate of an internal CA, never its key";
  command.examples = {"phonepki ca export MyNewCA > ca.pem",
                      "phonepki ca export Phones --chain --out chain.pem",
                      "phonepki ca export MyNewCA --format der --out ca.cer"};
  command.options = {Positional("NAME", "the internal CA", &args->name).Required().Completing(Complete::kCa),
                     Flag("--chain", "its parents too, the root last", &args->chain),
                     Value("--format", "FORMAT", "file format", &args->format).OneOf({"pem", "der"}),
                     Value("--out", "FILE", "where to write; default standard output", &args->out)
                         .Completing(Complete::kFile)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    const bool der = absl::AsciiStrToLower(args->format) == "der";
    v1::ExportInternalCaRequest request;
    request.set_name(CaName(args->name));
    request.set_include_chain(args->chain);
    request.set_format(der ? v1::ExportInternalCaRequest::DER : v1::ExportInternalCaRequest::PEM);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ExportInternalCa, request));
    if (session.format() == Format::kJson && args->out.empty()) return session.Show(response, [] {});
    RETURN_IF_ERROR(WriteOutput(session, args->out, response.content(), der));
    return kExitOk;
  };
  return command;
}

}  // namespace

Command CaCommand() {
  Command command;
  command.name = "ca";
  command.aliases = {"internal-ca"};
  command.summary = "Internal CAs: create, import, enable, export";
  command.description = "An internal CA signs the certificates of the phones. Step one of a new PKI.";
  command.examples = {
      "phonepki ca create MyNewCA --subject 'C=US, ST=FL, O=Unify, CN=MyNewCA' --valid-years 10 --enable",
      "phonepki ca list"};
  command.commands = {Create(), Generate(), Import(), Enable(), Disable(),
                      List(),   Get(),      Update(), Delete(), Export()};
  return command;
}

}  // namespace phonepki::cli
