#include "server/server_names.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <memory>

#include "ca/x509/network_name.h"

namespace phonepki::server {
namespace {

std::vector<std::string> InterfaceAddresses() {
  std::vector<std::string> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0 ||
        (entry->ifa_flags & IFF_LOOPBACK) != 0) {
      continue;
    }
    char text[INET6_ADDRSTRLEN] = {};
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue;
      inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    }
    if (text[0] != '\0') addresses.emplace_back(text);
  }
  return addresses;
}

bool IsWildcard(const std::string& host) {
  return host == "0.0.0.0" || host == "::";
}

}  // namespace

std::vector<std::string> SecureServerNames(const ServerConfig& config) {
  if (!config.secure.server_names.empty()) return config.secure.server_names;
  std::vector<std::string> names;
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) == 0 && std::string(host) != "localhost" && ca::IsDnsName(host)) {
    names.emplace_back(host);
  }
  if (config.secure.listen.enabled() && !IsWildcard(config.secure.listen.host)) {
    names.push_back(config.secure.listen.host);
  }
  if (!config.knock.advertise_address.empty()) names.push_back(config.knock.advertise_address);
  for (std::string& address : InterfaceAddresses()) names.push_back(std::move(address));
  return names;
}

}  // namespace phonepki::server
