// How phones may call this host.
#pragma once

#include <string>
#include <vector>

#include "server/config.h"

namespace phonepki::server {

// For certificates of the secure door: secure.server_names, or else what this host knows of itself: its name,
// the addresses that the configuration gives it, and those of its interfaces but for loopback and link-local
// ones.
std::vector<std::string> SecureServerNames(const ServerConfig& config);

}  // namespace phonepki::server
