// phonepkid put together: database, keys, doors, workers, services. Nothing but assembly and order: what is
// started later is stopped earlier.
#pragma once

#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "server/config.h"

namespace phonepki::server {

class Server {
 public:
  // Everything runs when this returns. Errors are sentences for the person who starts the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config);
  // Drains: no new work, requests and sessions in hand finish within shutdown.drain.
  ~Server();

  // `phonepkid migrate`.
  static absl::Status Migrate(const ServerConfig& config);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace phonepki::server
