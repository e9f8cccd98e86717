#include "provisioning/devices/placement.h"

#include "base/status_macros.h"
#include "db/deployment_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr int kStep = 2000;  // devices looked at in one go

}  // namespace

absl::StatusOr<std::shared_ptr<const LocationResolver>> Placement::Resolver(db::Tx& tx) {
  ASSIGN_OR_RETURN(std::int64_t revision, db::GetLocationRevision(tx));
  {
    absl::MutexLock lock(&mutex_);
    if (resolver_ && revision == revision_) return resolver_;
  }
  ASSIGN_OR_RETURN(std::vector<db::LocationRecord> locations, db::LoadLocations(tx));
  auto resolver = std::make_shared<const LocationResolver>(locations);
  absl::MutexLock lock(&mutex_);
  // Whoever read later rules keeps them; this transaction's lock keeps its own answer true.
  if (revision > revision_) {
    revision_ = revision;
    resolver_ = resolver;
  }
  return resolver;
}

absl::StatusOr<std::int64_t> Placement::Place(db::Tx& tx, const db::PlacementRecord& device) {
  RETURN_IF_ERROR(db::LockPlacementShared(tx));
  ASSIGN_OR_RETURN(std::shared_ptr<const LocationResolver> resolver, Resolver(tx));
  return resolver->Resolve(device);
}

absl::StatusOr<std::int64_t> Placement::PlaceAll(db::Tx& tx) {
  ASSIGN_OR_RETURN(std::vector<db::LocationRecord> locations, db::LoadLocations(tx));
  const LocationResolver resolver(locations);
  std::int64_t moved = 0;
  std::int64_t after = 0;
  for (;;) {
    ASSIGN_OR_RETURN(std::vector<db::PlacementRecord> devices, db::ListPlacements(tx, after, kStep));
    if (devices.empty()) return moved;
    after = devices.back().device_id;
    std::vector<std::int64_t> ids, targets;
    for (const db::PlacementRecord& device : devices) {
      const std::int64_t target = resolver.Resolve(device);
      if (target == device.location_id) continue;
      ids.push_back(device.device_id);
      targets.push_back(target);
    }
    if (ids.empty()) continue;
    moved += static_cast<std::int64_t>(ids.size());
    RETURN_IF_ERROR(db::MoveDevices(tx, ids, targets));
    RETURN_IF_ERROR(db::CreateJobsForDevices(tx, ids).status());
  }
}

absl::StatusOr<std::vector<DeviceMove>> Placement::TryAll(db::Tx& tx,
                                                          const std::vector<db::LocationRecord>& locations,
                                                          int max_moves, std::int64_t* total,
                                                          std::int64_t* checked) {
  const LocationResolver resolver(locations);
  std::vector<DeviceMove> moves;
  *total = *checked = 0;
  std::int64_t after = 0;
  for (;;) {
    ASSIGN_OR_RETURN(std::vector<db::PlacementRecord> devices, db::ListPlacements(tx, after, kStep));
    if (devices.empty()) return moves;
    after = devices.back().device_id;
    *checked += static_cast<std::int64_t>(devices.size());
    for (const db::PlacementRecord& device : devices) {
      const std::int64_t target = resolver.Resolve(device);
      if (target == device.location_id) continue;
      ++*total;
      if (static_cast<int>(moves.size()) < max_moves)
        moves.push_back({device.mac, device.location_id, target});
    }
  }
}

}  // namespace phonepki::provisioning
