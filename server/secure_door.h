// The door of phones in secure mode. It opens by itself as soon as there are credentials, and takes up new
// ones while it is open (B-061 to B-064); what an administrator changes on one replica reaches the others
// within a second.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "provisioning/phone/http_door.h"
#include "provisioning/security/secure_credentials.h"

namespace phonepki::server {

class SecureDoor {
 public:
  // `legacy`: TLS 1.0 and weak ciphers, as at the default door.
  SecureDoor(provisioning::phone::IoRuntime& io, provisioning::phone::DoorOptions options, bool legacy,
             base::ThreadPool& pool, provisioning::SecureCredentials& credentials,
             provisioning::phone::HttpHandler handler);
  ~SecureDoor();

  void Start();
  // Ends the watch over the credentials, then closes the door as HttpDoor::Close() does.
  void Stop(absl::Duration limit);

 private:
  void Watch();
  // Opens the door or gives it its present identity.
  absl::Status Refresh();

  provisioning::phone::IoRuntime& io_;
  const provisioning::phone::DoorOptions options_;
  const bool legacy_;
  base::ThreadPool& pool_;
  provisioning::SecureCredentials& credentials_;
  const provisioning::phone::HttpHandler handler_;
  std::string revision_;  // of what the door presents
  std::unique_ptr<provisioning::phone::HttpDoor> door_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace phonepki::server
