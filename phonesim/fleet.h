// Thousands of phones in one process, each on its own loopback address.
#pragma once

#include <string>

#include "phonesim/options.h"

namespace phonesim {

// Runs until SIGTERM or SIGINT. Prints {"event":"ready",…} when every phone listens. Exit status.
int RunFleet(const Options& options);

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

// The n-th phone's address; last octets 0 and 255 are skipped.
std::string AddressOf(const std::string& first, int n);
std::string MacOf(const std::string& first, int n);

}  // namespace phonesim
