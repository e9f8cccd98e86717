#include "provisioning/phone/wpi_message.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <pugixml.hpp>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace phonepki::provisioning::phone {
namespace {

constexpr struct {
  Reason reason;
  const char* name;
} kReasons[] = {{Reason::kStartUp, "start-up"},
                {Reason::kSolicited, "solicited"},
                {Reason::kLocalChanges, "local-changes"},
                {Reason::kInventoryChanges, "inventory-changes"},
                {Reason::kStatus, "status"},
                {Reason::kReplyTo, "reply-to"},
                {Reason::kCleanUp, "clean-up"}};

constexpr const char* kActions[] = {"ReadAllItems", "ReadItems", "WriteItems",
                                    "Restart",      "CleanUp",   "GetNextFragment"};

absl::Status Refuse(const std::string& reason, const std::string& text) {
  return base::WithReason(absl::InvalidArgumentError(text), reason);
}

std::string Trimmed(const char* text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

// Without a namespace prefix.
std::string LocalName(const pugi::xml_node& node) {
  const std::string name = node.name();
  const auto colon = name.find(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

// All of it: a CDATA section or a comment cuts text into several nodes.
std::string TextOf(const pugi::xml_node& node) {
  std::string text;
  for (const pugi::xml_node& part : node.children()) {
    if (part.type() == pugi::node_pcdata || part.type() == pugi::node_cdata) text += part.value();
  }
  return Trimmed(text.c_str());
}

pugi::xml_node Child(const pugi::xml_node& parent, const char* name) {
  for (const pugi::xml_node& child : parent.children()) {
    if (absl::EqualsIgnoreCase(LocalName(child), name)) return child;
  }
  return {};
}

int DepthOf(const pugi::xml_node& node, int limit) {
  if (limit == 0) return 0;
  int deepest = 0;
  for (const pugi::xml_node& child : node.children()) deepest = std::max(deepest, DepthOf(child, limit - 1));
  return deepest + 1;
}

absl::Status ReadReason(const pugi::xml_node& node, WorkpointMessage& message) {
  const std::string text = TextOf(node);
  const auto* found = std::find_if(std::begin(kReasons), std::end(kReasons),
                                   [&](const auto& known) { return text == known.name; });
  if (found == std::end(kReasons)) return Refuse("WPI_REASON", "unknown ReasonForContact");
  message.reason = found->reason;
  message.action = Trimmed(node.attribute("action").value());
  const std::string status = absl::AsciiStrToLower(Trimmed(node.attribute("status").value()));
  if (status == "busy") {
    message.status = ReplyStatus::kBusy;
  } else if (status == "failed") {
    message.status = ReplyStatus::kFailed;
  } else if (!status.empty() && status != "accepted") {
    return Refuse("WPI_STATUS", "unknown reply status");
  }
  return absl::OkStatus();
}

absl::Status ReadItems(const pugi::xml_node& list, const WpiLimits& limits, WorkpointMessage& message) {
  for (const pugi::xml_node& node : list.children()) {
    if (LocalName(node) != "Item") continue;
    if (static_cast<int>(message.items.size()) >= limits.max_items) {
      return Refuse("WPI_ITEMS", absl::StrCat("more than ", limits.max_items, " items"));
    }
    Item item;
    item.name = Trimmed(node.attribute("name").value());
    item.status = Trimmed(node.attribute("status").value());
    item.value = TextOf(node);
    int index = 0;
    if (absl::SimpleAtoi(node.attribute("index").value(), &index)) item.index = index;
    message.items.push_back(std::move(item));
  }
  return absl::OkStatus();
}

// Old firmware does not understand &lt; &gt; &amp; (wpi.md quirk 7): our own values never hold these
// characters, but well-formed XML comes first.
void AppendEscaped(std::string& out, std::string_view text) {
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
}

}  // namespace

std::string PrintReason(Reason reason) {
  return kReasons[static_cast<int>(reason)].name;
}

bool IsInitial(Reason reason) {
  return reason != Reason::kReplyTo && reason != Reason::kCleanUp;
}

std::string WorkpointMessage::Value(std::string_view name) const {
  for (const Item& item : items) {
    if (item.name == name && item.status.empty()) return item.value;
  }
  return "";
}

absl::StatusOr<WorkpointMessage> ParseWorkpointMessage(std::string_view body, const WpiLimits& limits) {
  if (body.size() > limits.max_body) return Refuse("WPI_XML", "the message is too large");
  if (body.find("<!DOCTYPE") != std::string_view::npos || body.find("<!ENTITY") != std::string_view::npos) {
    return Refuse("WPI_DTD", "document type definitions are not accepted");
  }
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(
      body.data(), body.size(),
      pugi::parse_minimal | pugi::parse_escapes | pugi::parse_cdata | pugi::parse_wconv_attribute,
      pugi::encoding_utf8);
  if (!parsed) return Refuse("WPI_XML", absl::StrCat("malformed XML: ", parsed.description()));
  pugi::xml_node root = document.document_element();
  if (DepthOf(root, limits.max_depth + 1) > limits.max_depth) return Refuse("WPI_DEPTH", "nested too deeply");
  if (LocalName(root) == "Signature") root = Child(Child(root, "Object"), "WorkpointMessage");
  if (!absl::EqualsIgnoreCase(LocalName(root), "WorkpointMessage")) {
    return Refuse("WPI_ROOT", "the root element is not WorkpointMessage");
  }
  const pugi::xml_node envelope = Child(root, "Message");
  const pugi::xml_node reason = Child(envelope, "ReasonForContact");
  if (!envelope || !reason) return Refuse("WPI_ROOT", "Message or ReasonForContact is missing");
  WorkpointMessage message;
  message.nonce = Trimmed(envelope.attribute("nonce").value());
  // Mandatory (wpi.md 2.3). An opaque token: hexadecimal digits wherever one was seen.
  if (message.nonce.empty() || message.nonce.size() > 256 ||
      !std::all_of(message.nonce.begin(), message.nonce.end(),
                   [](char c) { return absl::ascii_isalnum(c); })) {
    return Refuse("WPI_NONCE", "the nonce is missing or no token");
  }
  RETURN_IF_ERROR(ReadReason(reason, message));
  message.more_fragments = Trimmed(envelope.attribute("fragment").value()) == "next" ||
                           Trimmed(reason.attribute("fragment").value()) == "next";
  pugi::xml_node list = Child(envelope, "ItemList");
  if (!list) list = Child(root, "ItemList");
  RETURN_IF_ERROR(ReadItems(list, limits, message));
  return message;
}

std::string SalvageNonce(std::string_view body) {
  constexpr std::string_view kMark = "nonce=\"";
  const auto begin = body.find(kMark);
  if (begin == std::string_view::npos) return "";
  const std::string_view rest = body.substr(begin + kMark.size(), 256);
  const auto end = rest.find('"');
  if (end == std::string_view::npos) return "";
  const std::string_view nonce = rest.substr(0, end);
  const bool plain = std::all_of(nonce.begin(), nonce.end(), [](char c) { return absl::ascii_isalnum(c); });
  return plain ? std::string(nonce) : "";
}

base::Secret PrintDlsMessage(std::string_view nonce, ActionKind action, const std::vector<Item>& items) {
  std::size_t size = 512;
  for (const Item& item : items) size += item.name.size() + item.value.size() + 64;
  std::string xml;
  xml.reserve(size);  // one allocation: no copy of key material stays behind in an outgrown buffer
  xml +=
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<DLSMessage xmlns=\"http://www.siemens.com/DLS\" "
      "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
      "xsi:schemaLocation=\"http://www.siemens.com/DLS\">\n<Message nonce=\"";
  AppendEscaped(xml, nonce);
  xml += "\">\n<Action>";
  xml += kActions[static_cast<int>(action)];
  xml += "</Action>\n";
  if (!items.empty()) {
    xml += "<ItemList>";
    for (const Item& item : items) {
      xml += "<Item name=\"";
      AppendEscaped(xml, item.name);
      if (item.index) xml += "\" index=\"" + std::to_string(*item.index);
      xml += "\">";
      AppendEscaped(xml, item.value);
      xml += "</Item>";
    }
    xml += "</ItemList>\n";
  }
  xml += "</Message>\n</DLSMessage>\n";
  base::Secret printed{std::string_view(xml)};
  base::WipeMemory(xml.data(), xml.size());
  return printed;
}

bool IsSecretItem(std::string_view name) {
  const std::string lower = absl::AsciiStrToLower(base::ToAbsl(name));
  for (const char* word : {"pwd", "passw", "passphrase", "passcode", "pincode", "secret", "credential"}) {
    if (absl::StrContains(lower, word)) return true;
  }
  // Within other words these mean nothing: "standard-time", "key-mapping". At their end they do: "userpin2".
  for (absl::string_view part : absl::StrSplit(lower, absl::ByAnyChar("-_. "))) {
    part = part.substr(0, part.find_last_not_of("0123456789") + 1);
    if (absl::EndsWith(part, "pin") || absl::EndsWith(part, "tan")) return true;
    for (const char* word : {"pins", "pass", "psk", "puk", "private", "community"}) {
      if (part == word) return true;
    }
  }
  return lower == "wbm-server-certificate" || lower == "dls-client-certificate" ||
         lower == "secure-mode-data";
}

}  // namespace phonepki::provisioning::phone
