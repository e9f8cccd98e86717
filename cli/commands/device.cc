// Phones: import, look up, delete.
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/csv_chunks.h"
#include "cli/progress.h"
#include "phonepki/device/v1/device.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = device::v1;
using Stub = v1::DeviceService::Stub;

constexpr std::size_t kChunkBytes = 256 << 10;  // some 4,000 phones: an answer every second or so

const v1::Slot* FindSlot(const v1::Device& device, const std::string& kind) {
  for (const v1::Slot& slot : device.slots()) {
    if (slot.kind() == kind) return &slot;
  }
  return nullptr;
}

void ShowDevice(Session& session, const v1::Device& device) {
  Sheet sheet;
  sheet.Add("MAC", device.mac());
  const std::string state = Word(v1::Device::State_Name(device.state()));
  sheet.Add("State", state, StateColor(state));
  sheet.Add("Location", absl::StrCat(device.location_display_name(), " (", device.location(), ")"));
  sheet.Add("E.164", device.e164());
  sheet.Add("IP address", device.ip_address());
  sheet.Add("FQDN", device.fqdn());
  sheet.Add("Device type", device.device_type());
  sheet.Add("Software", absl::StrCat(device.software_type(), device.software_type().empty() ? "" : " ",
                                     device.software_version()));
  sheet.Add("Part number", device.part_number());
  sheet.Add("Contact-me URI", device.contact_me_uri());
  sheet.Add("Description", device.description());
  sheet.Add("Created", TimeText(device.create_time(), session.zone(), true));
  std::string contact = TimeText(device.last_contact_time(), session.zone(), true);
  if (!contact.empty()) absl::StrAppend(&contact, " (", device.last_contact_reason(), ")");
  sheet.Add("Last contact", contact);
  sheet.Add("Last knock", TimeText(device.last_knock_time(), session.zone(), true));
  session.Print(sheet);
  if (device.slots_size() > 0) {
    session.environment().out << '\n';
    Table table({{"SLOT"}, {"CERTIFICATE"}, {"SUBJECT", false, true}, {"VALID TO"}, {"SINCE"}, {"SERIAL"}});
    for (const v1::Slot& slot : device.slots()) {
      const auto add = [&](const std::string& which, const v1::SlotCertificate& certificate) {
        table.Add({slot.kind(), which, certificate.subject(),
                   TimeText(certificate.not_after(), session.zone()),
                   TimeText(certificate.since(), session.zone()), certificate.serial()});
      };
      if (slot.has_imported()) add("imported", slot.imported());
      if (slot.has_active()) add("active", slot.active());
      for (const v1::CaPlace& place : slot.ca_places()) {
        const std::string number = slot.ca_places_size() > 1 ? absl::StrCat(" [", place.position(), "]") : "";
        if (place.has_imported()) add("imported" + number, place.imported());
        if (place.has_active()) add("active" + number, place.active());
      }
    }
    session.Print(table);
  }
  if (device.settings_size() > 0) {
    session.environment().out << '\n';
    Table table({{"SETTING"}, {"KEY"}, {"WANTED", false, true}, {"CONFIRMED", false, true}, {"SINCE"}});
    for (const v1::Setting& setting : device.settings()) {
      table.Add({setting.name(), setting.key(), setting.wanted(), setting.confirmed(),
                 TimeText(setting.confirm_time(), session.zone())});
    }
    session.Print(table);
  }
  if (device.items_size() > 0) {
    session.environment().out << '\n';
    Table table({{"ITEM"}, {"VALUE", false, true}});
    for (const common::v1::Property& item : device.items()) table.Add({item.name(), item.value()});
    session.Print(table);
  }
}

void DrawImportBar(Session& session, std::int64_t done, std::int64_t total, bool last) {
  Environment& environment = session.environment();
  if (!environment.err_is_terminal || session.format() != Format::kTable) return;
  const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  environment.err << "\r" << Bar(share, 30)
                  << absl::StrFormat("  %3d%%  %d/%d kB\x1b[K", static_cast<int>(share * 100), done / 1024,
                                     total / 1024);
  if (last) environment.err << "\r\x1b[K";
  environment.err.flush();
}

Command Import() {
  struct Arguments {
    std::string file;
    bool dry_run = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "import";
  command.summary = "Import phones from a CSV file: virtual devices, or more about known ones";
  command.description =
      "The first line names the columns: mac (required), e164, ip, fqdn, device_type, description. A bad row "
      "does not "
      "lose the others: it is reported by line, and the exit code is 7.";
  command.examples = {"phonepki device import phones.csv --dry-run", "phonepki device import phones.csv",
                      "generate-list | phonepki device import -"};
  command.options = {
      Positional("FILE", "CSV file; - is standard input", &args->file).Required().Completing(Complete::kFile),
      Flag("--dry-run,--validate-only", "check everything, change nothing", &args->dry_run)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(std::string csv, ReadFile(args->file, session.environment(), "file"));
    v1::ImportDevicesResponse all;
    std::int64_t sent = 0;
    const auto total = static_cast<std::int64_t>(csv.size());
    DrawImportBar(session, 0, total, false);
    for (const CsvChunk& chunk : SplitCsv(csv, kChunkBytes)) {
      v1::ImportDevicesRequest request;
      request.set_csv(chunk.text);
      request.set_validate_only(args->dry_run);
      absl::StatusOr<v1::ImportDevicesResponse> response = session.Call(&Stub::ImportDevices, request);
      if (!response.ok()) {
        DrawImportBar(session, sent, total, true);
        if (sent > 0)
          session.Note(absl::StrCat("lines up to ", chunk.line_offset + 1, " were imported before this:"));
        return response.status();
      }
      all.set_created(all.created() + response->created());
      all.set_updated(all.updated() + response->updated());
      all.set_unchanged(all.unchanged() + response->unchanged());
      all.set_failed(all.failed() + response->failed());
      for (auto& error : *response->mutable_errors()) {
        if (error.line() != 1) error.set_line(error.line() + chunk.line_offset);
        *all.add_errors() = std::move(error);
      }
      sent += static_cast<std::int64_t>(chunk.text.size());
      DrawImportBar(session, std::min(sent, total), total, false);
    }
    DrawImportBar(session, total, total, true);
    RETURN_IF_ERROR(
        session
            .Show(
                all,
                [&] {
                  if (all.errors_size() > 0) {
                    Table table({{"LINE", true}, {"FIELD"}, {"REASON"}, {"MESSAGE", false, true}});
                    for (const auto& error : all.errors()) {
                      table.Add({absl::StrCat(error.line()), error.field(), error.reason(), error.message()});
                    }
                    session.Print(table);
                    if (all.failed() > all.errors_size()) {
                      session.Note(absl::StrCat("... and ", all.failed() - all.errors_size(), " more"));
                    }
                  }
                  session.environment().out
                      << (args->dry_run ? "dry run: " : "") << "created " << all.created() << ", updated "
                      << all.updated() << ", unchanged " << all.unchanged() << ", failed " << all.failed()
                      << '\n';
                })
            .status());
    return all.failed() == 0 ? kExitOk : kExitNotAll;
  };
  return command;
}

Command List() {
  struct Arguments {
    std::string location, state, e164_prefix, mac_prefix, network;
    std::int64_t limit = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List phones; filters combine";
  command.examples = {"phonepki device list --location Bremen --state registered",
                      "phonepki device list --network 10.1.0.0/16 --limit 50",
                      "phonepki device list --mac-prefix 00:1A:E8 -o name"};
  command.options = {Value("--location", "LOCATION", "phones of a location", &args->location)
                         .Completing(Complete::kLocation),
                     Value("--state", "STATE", "state", &args->state).OneOf({"virtual", "registered"}),
                     Value("--e164-prefix", "DIGITS", "numbers that begin so", &args->e164_prefix),
                     Value("--mac-prefix", "MAC", "MAC addresses that begin so", &args->mac_prefix),
                     Value("--network", "CIDR", "addresses in a network", &args->network),
                     Value("--limit", "N", "at most so many; default all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListDevicesRequest request;
    request.set_location(ResourceName("locations", args->location));
    if (args->state == "virtual") request.set_state(v1::Device::VIRTUAL);
    if (args->state == "registered") request.set_state(v1::Device::REGISTERED);
    request.set_e164_prefix(args->e164_prefix);
    ASSIGN_OR_RETURN(*request.mutable_mac_prefix(), MacPrefix(args->mac_prefix));
    request.set_ip_network(args->network);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListDevices, request, args->limit));
    return session.Show(response, [&] {
      Table table({{"MAC"},
                   {"STATE"},
                   {"LOCATION", false, true},
                   {"E.164"},
                   {"IP ADDRESS"},
                   {"TYPE", false, true},
                   {"LAST CONTACT"},
                   {"WBM VALID TO"}});
      for (const v1::Device& device : response.devices()) {
        const v1::Slot* wbm = FindSlot(device, "wbm");
        table.Add({device.mac(), StateCell(v1::Device::State_Name(device.state())),
                   device.location_display_name(), device.e164(), device.ip_address(), device.device_type(),
                   TimeText(device.last_contact_time(), session.zone()),
                   wbm == nullptr ? "" : TimeText(wbm->active().not_after(), session.zone())});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  auto mac = std::make_shared<std::string>();
  Command command;
  command.name = "get";
  command.aliases = {"show"};
  command.summary = "Show one phone: certificates (imported, active), contacts, what it says of itself";
  command.examples = {"phonepki device get 00:1A:E8:00:00:01", "phonepki device get 001ae8000001 -o json"};
  command.options = {Positional("MAC", "MAC address, with or without separators", mac.get())
                         .Required()
                         .Completing(Complete::kDevice)};
  command.run = [mac](Session& session) -> absl::StatusOr<ExitCode> {
    v1::GetDeviceRequest request;
    ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(*mac));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::GetDevice, request));
    return session.Show(response, [&] { ShowDevice(session, response.device()); });
  };
  return command;
}

Command Delete() {
  struct Arguments {
    std::string mac;
    bool force = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "delete";
  command.aliases = {"rm"};
  command.summary = "Delete a phone";
  command.examples = {"phonepki device delete 00:1A:E8:00:00:01",
                      "phonepki device delete 00:1A:E8:00:00:01 --force"};
  command.options = {Positional("MAC", "MAC address", &args->mac).Required().Completing(Complete::kDevice),
                     Flag("--force", "cancel its unfinished jobs", &args->force)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::DeleteDeviceRequest request;
    ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(args->mac));
    request.set_force(args->force);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DeleteDevice, request));
    return session.Show(response, [&] {
      session.environment().out << "device " << ShortName(request.name()) << " deleted\n";
    });
  };
  return command;
}

}  // namespace

Command DeviceCommand() {
  Command command;
  command.name = "device";
  command.aliases = {"phone"};
  command.summary = "Phones: import, list, show, delete";
  command.description = "Phones appear by import (virtual devices) or by themselves at their first contact.";
  command.examples = {"phonepki device import phones.csv", "phonepki device list --location Bremen"};
  command.commands = {Import(), List(), Get(), Delete()};
  return command;
}

}  // namespace phonepki::cli
