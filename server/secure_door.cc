#include "server/secure_door.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace phonepki::server {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(1);

}  // namespace

SecureDoor::SecureDoor(provisioning::phone::IoRuntime& io, provisioning::phone::DoorOptions options,
                       bool legacy, base::ThreadPool& pool, provisioning::SecureCredentials& credentials,
                       provisioning::phone::HttpHandler handler)
    : io_(io),
      options_(std::move(options)),
      legacy_(legacy),
      pool_(pool),
      credentials_(credentials),
      handler_(std::move(handler)) {}

SecureDoor::~SecureDoor() {
  Stop(absl::ZeroDuration());
}

void SecureDoor::Start() {
  thread_ = std::thread([this] { Watch(); });
}

void SecureDoor::Stop(absl::Duration limit) {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  if (door_) door_->Close(limit);
  door_.reset();
}

void SecureDoor::Watch() {
  absl::Status last;
  for (;;) {
    const absl::Status status = Refresh();
    // Said once, not every second.
    if (!status.ok() && status != last) base::LogWarn("secure_door_not_refreshed", {{"error", status}});
    last = status;
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kLookEvery)) return;
  }
}

absl::Status SecureDoor::Refresh() {
  ASSIGN_OR_RETURN(std::string revision, credentials_.Revision());
  if (revision == revision_) return absl::OkStatus();
  absl::StatusOr<provisioning::DoorIdentity> identity = credentials_.LoadDoorIdentity();
  const std::string reason = base::ReasonOf(identity.status());
  if (reason == "NO_SERVER_CREDENTIAL" || reason == "NO_CLIENT_CREDENTIAL") return absl::OkStatus();
  RETURN_IF_ERROR(identity.status());
  provisioning::phone::TlsIdentity tls{std::move(identity->chain_pem), std::move(identity->key_pem), legacy_,
                                       std::move(identity->client_authorities)};
  if (door_) {
    RETURN_IF_ERROR(door_->SetTls(tls));
  } else {
    ASSIGN_OR_RETURN(door_, provisioning::phone::HttpDoor::Open(io_, options_, &tls, pool_, handler_));
  }
  base::LogInfo("secure_door_open", {{"port", door_->port()}, {"credential", identity->credential_id}});
  revision_ = identity->revision;
  return absl::OkStatus();
}

}  // namespace phonepki::server
