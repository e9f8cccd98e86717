// The CA keys of this process: decrypted once, kept as ready issuers.
#pragma once

#include <cstdint>
#include <memory>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "base/clock.h"
#include "ca/keystore/keystore.h"
#include "ca/x509/issuer.h"
#include "db/internal_ca_repository.h"

namespace phonepki::ca {

// Purpose strings of the keystore.
std::string CaKeyPurpose(std::int64_t ca_id);
std::string PhoneKeyPurpose(const base::Bytes& serial);

// Thread-safe. A CA's key never changes (renewal makes a new record), so an entry is good for ever.
class Issuers {
 public:
  Issuers(const Keystore& keystore, const base::Clock& clock) : keystore_(keystore), clock_(clock) {}

  // kFailedPrecondition CA_IS_DRAFT, WRONG_MASTER_KEY.
  absl::StatusOr<std::shared_ptr<const Issuer>> Get(const db::InternalCaRecord& ca);

 private:
  const Keystore& keystore_;
  const base::Clock& clock_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::int64_t, std::shared_ptr<const Issuer>> issuers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace phonepki::ca
