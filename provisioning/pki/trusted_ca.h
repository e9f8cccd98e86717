// A CA certificate as it is kept on record for phones.
#pragma once

#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "db/slot_repository.h"

namespace phonepki::provisioning {

// kInvalidArgument CERTIFICATE_MALFORMED. The records have no ids yet.
absl::StatusOr<std::vector<db::TrustedCaRecord>> ReadTrustedCas(const std::vector<base::Bytes>& ders);

}  // namespace phonepki::provisioning
