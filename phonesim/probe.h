// Independent proof: what does every phone's web server really present? Plain OpenSSL, nothing of the
// server's.
#pragma once

#include <string>

namespace phonesim {

struct ProbeOptions {
  int phones = 10;
  std::string first_address = "127.1.0.1";
  int web_port = 8443;
  std::string ca_file;
  std::string serials_out;  // writes "ip serial" lines
  std::string not_serials;  // such a file of an earlier probe: a phone that still serves its old serial fails
  bool json = false;
};
// Opens a TLS connection to every phone's web server and judges the certificate by the CA. 0 only if all are
// good.
int RunProbe(const ProbeOptions& options);

}  // namespace phonesim
