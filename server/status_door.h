// /healthz (the process lives), /readyz (it can do its work: the database answers), /metrics.
#pragma once

#include <atomic>
#include <memory>

#include <absl/status/statusor.h>

#include "base/thread_pool.h"
#include "db/database.h"
#include "provisioning/phone/http_door.h"
#include "server/config.h"

namespace phonepki::server {

// Not ready while the database does not answer, and once `stopping`. `phone` may be null. All references
// outlive the door.
absl::StatusOr<std::unique_ptr<provisioning::phone::HttpDoor>> OpenStatusDoor(
    provisioning::phone::IoRuntime& io, const ListenAddress& listen, base::ThreadPool& pool,
    db::Database& database, const std::atomic<bool>& stopping,
    const provisioning::phone::DoorCounters* phone);

}  // namespace phonepki::server
