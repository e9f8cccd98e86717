// Messages of the Workpoint Interface: what a phone sends and what we answer. Liberal in what is read (quirks
// in docs/wpi.md), canonical in what is written. Input from phones is hostile: no DTD, no entities, bounded
// size, depth and number of items.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/mac_address.h"
#include "base/secret.h"

namespace phonepki::provisioning::phone {

enum class Reason { kStartUp, kSolicited, kLocalChanges, kInventoryChanges, kStatus, kReplyTo, kCleanUp };
std::string PrintReason(Reason reason);
// Opens a session, whatever cookie came along.
bool IsInitial(Reason reason);

enum class ReplyStatus { kAccepted, kFailed, kBusy };

struct Item {
  std::string name;
  std::optional<int> index;
  std::string value;
  std::string status;  // of a reply: "failed", "unknown item", "read only", …
};

struct WorkpointMessage {
  std::string nonce;
  Reason reason = Reason::kStartUp;
  std::string action;  // of a reply: the Action it answers
  ReplyStatus status = ReplyStatus::kAccepted;
  bool more_fragments = false;  // fragment="next"
  std::vector<Item> items;

  // Value of the first item of that name without a status; empty when absent.
  std::string Value(std::string_view name) const;
};

enum class ActionKind { kReadAllItems, kReadItems, kWriteItems, kRestart, kCleanUp, kGetNextFragment };

struct WpiLimits {
  std::size_t max_body = 1 << 20;
  int max_depth = 8;
  int max_items = 4096;
};

// kInvalidArgument, reasons WPI_XML, WPI_DTD, WPI_ROOT, WPI_DEPTH, WPI_ITEMS, WPI_REASON, WPI_STATUS.
absl::StatusOr<WorkpointMessage> ParseWorkpointMessage(std::string_view body, const WpiLimits& limits = {});
// The nonce of a message that could not be parsed, for the CleanUp that answers it; empty when there is none.
std::string SalvageNonce(std::string_view body);

// The canonical DLSMessage. Values may be key material, hence the wiping type.
base::Secret PrintDlsMessage(std::string_view nonce, ActionKind action, const std::vector<Item>& items);

using base::ParseMac;

// Pass words and the like: never stored, never logged (wpi.md 5).
bool IsSecretItem(std::string_view name);

}  // namespace phonepki::provisioning::phone
