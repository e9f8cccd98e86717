// Keeps every phone in exactly one location, and gives it the jobs of that location's rules (G-17).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "db/database.h"
#include "provisioning/devices/location_resolver.h"

namespace phonepki::provisioning {

struct DeviceMove {
  std::string mac;
  std::int64_t from = 0, to = 0;
};

// Thread-safe.
class Placement {
 public:
  // The location of one phone by the rules in force. Takes the shared placement lock for the transaction.
  absl::StatusOr<std::int64_t> Place(db::Tx& tx, const db::PlacementRecord& device);
  // Resolver of the rules in force; under a placement lock.
  absl::StatusOr<std::shared_ptr<const LocationResolver>> Resolver(db::Tx& tx);

  // After the rules changed, under the exclusive lock: moves every device that now belongs elsewhere and
  // creates its late-joiner jobs. Returns how many moved.
  absl::StatusOr<std::int64_t> PlaceAll(db::Tx& tx);
  // What PlaceAll would do with these locations. Lists at most `max_moves`.
  absl::StatusOr<std::vector<DeviceMove>> TryAll(db::Tx& tx, const std::vector<db::LocationRecord>& locations,
                                                 int max_moves, std::int64_t* total, std::int64_t* checked);

 private:
  absl::Mutex mutex_;
  std::int64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const LocationResolver> resolver_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace phonepki::provisioning
