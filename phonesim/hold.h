// Many idle phone connections, for measurements: what does the server need for each?
#pragma once

#include <string>

namespace phonesim {

struct HoldOptions {
  int connections = 1000;
  int per_address = 50;  // the server may limit this: phone.max_connections_per_address
  std::string dls = "127.0.0.1:18443";
  std::string path = "/DeploymentService/LoginService";
  std::string first_address = "127.100.0.1";
  std::string first_mac = "00:1A:E9:00:00:01";
  int concurrency = 32;
  bool handshake_only = false;
};

// Opens the connections, says {"event":"holding",…} and keeps them until SIGTERM or SIGINT. 0 when all were
// opened and none was lost.
int RunHold(const HoldOptions& options);

}  // namespace phonesim
