// The phone's side of the Workpoint Interface: own code, so that server and simulator cannot share a mistake.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace phonesim {

struct Item {
  std::string name, index, value, status;
};

struct Outgoing {
  std::string nonce, reason, action, status;
  std::string fragment = "final";
  std::vector<Item> items;
  bool item_list = true;  // a busy reply has none
};
std::string Print(const Outgoing& message);

struct Incoming {
  bool ok = false;
  std::string nonce, action;
  std::vector<Item> items;
};
// A bare DLSMessage or one inside an XML signature. Anything else is not ok.
Incoming Parse(const std::string& body);
// The items of a document that is an ItemList; nothing when it is not.
std::vector<Item> ParseItemList(const std::string& xml);

}  // namespace phonesim
