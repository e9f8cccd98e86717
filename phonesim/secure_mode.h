// What a phone in secure mode holds: a client certificate of its own and the CAs of its server.
#pragma once

#include "phonesim/net.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "phonesim/credential.h"
#include "phonesim/wpi.h"

namespace phonesim {

struct SecureAccess {
  Credential client;
  std::vector<std::string> server_cas = {"", ""};  // PEM by index; either may be empty
  std::string address;  // of the server that gave it, when a contact-me had named it; else the configured one
  int port = 0;
  // Presents the client certificate and accepts a server only under those CAs.
  std::shared_ptr<asio::ssl::context> tls;
};

// What opens only with a PIN that somebody types.
struct SealedAccess {
  std::string data;     // Base64 (docs/secure-mode-data.md)
  std::string address;  // as in SecureAccess
  int max_retries = 3;
  int wrong = 0;
};

// How a phone stands with its server; default mode when there is no `access`.
struct Security {
  std::shared_ptr<const SecureAccess> access;      // proven: secure mode
  std::shared_ptr<const SecureAccess> candidates;  // not tried yet, or in vain
  std::string tan;                                 // what a PIN left to tell with them
  std::optional<SealedAccess> sealed;              // waits for its PIN
};

// For --state-dir. What cannot be read is left out.
nlohmann::ordered_json Save(const Security& security);
Security LoadSecurity(const nlohmann::ordered_json& saved, bool tls12_only);

// Is it one of the items that bring a SecureAccess, or lead to one?
bool IsSecurityItem(const std::string& name);
// Puts an item into the access; the item's status, empty when it is good.
std::string Apply(const Item& item, SecureAccess& access);
// The items in there; nothing when the password does not open it.
std::optional<std::vector<Item>> Unseal(const std::string& data, const std::string& password);
// Could it be such data at all?
bool LooksSealed(const std::string& data);
// The PINs of a phone in a file of lines MAC,PIN, in their order.
std::vector<std::string> ReadPins(const std::string& path, const std::string& mac);
// Makes access.tls. The name of the item that is missing, or nothing.
std::string Complete(SecureAccess& access, bool tls12_only);

}  // namespace phonesim
