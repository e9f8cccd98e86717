#include "phonesim/wpi.h"

#include <sstream>

#include <pugixml.hpp>

namespace phonesim {
namespace {

std::string Trim(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<Item> ItemsOf(const pugi::xml_node& list) {
  std::vector<Item> items;
  for (const auto& item : list.children("Item")) {
    items.push_back(
        {item.attribute("name").value(), item.attribute("index").value(), Trim(item.text().get()), ""});
  }
  return items;
}

}  // namespace

std::string Print(const Outgoing& message) {
  pugi::xml_document document;
  auto declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "UTF-8";
  auto root = document.append_child("WorkpointMessage");
  root.append_attribute("xmlns") = "http://www.siemens.com/DLS";
  root.append_attribute("xmlns:xsi") = "http://www.w3.org/2001/XMLSchema-instance";
  root.append_attribute("xsi:schemaLocation") = "http://www.siemens.com/DLS";
  auto envelope = root.append_child("Message");
  envelope.append_attribute("nonce") = message.nonce.c_str();
  envelope.append_attribute("maxItems") = "-1";
  auto reason = envelope.append_child("ReasonForContact");
  if (!message.action.empty()) {
    envelope.append_attribute("fragment") = message.fragment.c_str();
    reason.append_attribute("status") = message.status.c_str();
    reason.append_attribute("action") = message.action.c_str();
  }
  reason.text() = message.reason.c_str();
  if (message.item_list) {
    auto list = envelope.append_child("ItemList");
    for (const Item& item : message.items) {
      auto node = list.append_child("Item");
      if (!item.status.empty()) node.append_attribute("status") = item.status.c_str();
      if (!item.index.empty()) node.append_attribute("index") = item.index.c_str();
      node.append_attribute("name") = item.name.c_str();
      node.text() = item.value.c_str();
    }
  }
  std::ostringstream out;
  document.save(out, "", pugi::format_raw);
  return out.str();
}

Incoming Parse(const std::string& body) {
  Incoming message;
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size(), pugi::parse_default | pugi::parse_fragment))
    return message;
  // Stray text around the document makes a real phone reject it (wpi.md 2.7).
  for (const auto& node : document) {
    if (node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata) return message;
  }
  auto root = document.document_element();
  if (std::string(root.name()) == "Signature") root = root.child("Object").child("DLSMessage");
  if (std::string(root.name()) != "DLSMessage") return message;
  const auto envelope = root.child("Message");
  message.nonce = envelope.attribute("nonce").value();
  message.action = Trim(envelope.child("Action").text().get());
  message.items = ItemsOf(envelope.child("ItemList"));
  message.ok = !message.action.empty();
  return message;
}

std::vector<Item> ParseItemList(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  return ItemsOf(document.child("ItemList"));
}

}  // namespace phonesim
