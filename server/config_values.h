// How each type of configuration value is written: ConfigValue<T>::Parse reads what Print writes.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "server/config.h"

namespace phonepki::server {

template <typename T>
struct ConfigValue;

#define PHONEPKI_CONFIG_VALUE(T)                                  \
  template <>                                                     \
  struct ConfigValue<T> {                                         \
    static std::string Type();                                    \
    static absl::Status Parse(const std::string& text, T* value); \
    static std::string Print(const T& value);                     \
  }

PHONEPKI_CONFIG_VALUE(std::string);
PHONEPKI_CONFIG_VALUE(std::vector<std::string>);
PHONEPKI_CONFIG_VALUE(bool);
PHONEPKI_CONFIG_VALUE(int);
PHONEPKI_CONFIG_VALUE(double);
PHONEPKI_CONFIG_VALUE(absl::Duration);
PHONEPKI_CONFIG_VALUE(ListenAddress);
PHONEPKI_CONFIG_VALUE(TlsPolicy);
PHONEPKI_CONFIG_VALUE(DoorKeyAlgorithm);
PHONEPKI_CONFIG_VALUE(Admission);
PHONEPKI_CONFIG_VALUE(Pkcs12Encryption);
PHONEPKI_CONFIG_VALUE(RsaGenerator);
PHONEPKI_CONFIG_VALUE(DoorRefusal);
PHONEPKI_CONFIG_VALUE(WpiActivation);
PHONEPKI_CONFIG_VALUE(KnockAdvertise);
PHONEPKI_CONFIG_VALUE(PinAlphabet);
PHONEPKI_CONFIG_VALUE(base::LogLevel);

#undef PHONEPKI_CONFIG_VALUE

bool IsIpAddress(const std::string& text);
bool IsReadableFile(const std::string& path);
// "10.1.0.0/16", "fd00::/8". Empty when it is one.
std::string CidrProblem(const std::string& text);
// libpq URLs (postgresql://user:secret@host, ?password=) and connection strings (password=…).
bool UrlHasPassword(const std::string& url);

}  // namespace phonepki::server
