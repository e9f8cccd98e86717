// The settings of sessions, knocks and probes; filled from the server's configuration
// (docs/configuration.md).
#pragma once

#include <string>
#include <vector>

#include <absl/time/time.h>

#include "base/secret.h"
#include "ca/x509/pkcs12.h"
#include "provisioning/slots/slot_table.h"

namespace phonepki::provisioning {

enum class Admission { kOpen, kKnownDevices, kNetworks };

// What a phone gets that may not talk here (U11).
enum class Refusal { kCleanUp, kForbidden };

// Which phones a knock tells what address to call (U17).
enum class Advertise { kNone, kDefaultMode, kAll };

struct DeliveryOptions {
  Admission admission = Admission::kOpen;  // who may register in default mode
  std::vector<std::string> networks;       // CIDR, for kNetworks

  absl::Duration session_timeout = absl::Seconds(120);
  absl::Duration knock_timeout = absl::Seconds(10);
  absl::Duration knock_lifetime = absl::Seconds(120);
  absl::Duration contact_gap = absl::Seconds(300);
  absl::Duration min_knock_interval = absl::Seconds(60);
  double knock_rate = 100;  // per second in this process
  int knock_concurrency = 200;
  Advertise advertise = Advertise::kDefaultMode;
  std::string advertise_address;  // unless the location has one; empty: the phone calls the server it is
                                  // configured for
  int advertise_port = 0;

  int probe_port = 443;
  absl::Duration probe_timeout = absl::Seconds(10);
  absl::Duration probe_retry = absl::Seconds(5);
  int probe_attempts = 5;
  int probe_concurrency = 200;

  int batch = 50;
  absl::Duration lease = absl::Seconds(60);
  absl::Duration poll = absl::Seconds(1);
  int max_failures = 5;
  absl::Duration retry_min = absl::Seconds(30);
  absl::Duration retry_max = absl::Minutes(15);
  absl::Duration busy_grant = absl::Hours(4);

  ca::Pkcs12Encryption pkcs12_encryption = ca::Pkcs12Encryption::kLegacy3DesSha1;
  base::Secret pkcs12_passphrase;
  int pkcs12_iterations = 0;  // of the key derivation; 0: as the pass phrase deserves
  bool erase_keys = true;

  const SlotTable* slots = &SlotTable::BuiltIn();
  bool restart_after_write = false;

  int secure_port = 18444;  // where phones in secure mode call
  int max_pin_retries = 3;  // at the phone (wpi.md 6.2)
  Refusal refusal = Refusal::kCleanUp;
};

// Grows from retry_min, doubled per attempt, at most retry_max, ± 20 %.
absl::Duration BackOff(const DeliveryOptions& options, int attempts);

}  // namespace phonepki::provisioning
