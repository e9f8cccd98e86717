// The printed list of PINs: HTML with one table row for each phone.
#pragma once

#include <string>
#include <vector>

#include <absl/time/time.h>

#include "base/secret.h"

namespace phonepki::provisioning {

struct PinListRow {
  std::string mac;
  std::string e164;
  base::Secret pin;  // empty: shown before
};

// Every text is escaped. A complete document that needs nothing else.
base::Secret PrintPinList(const std::string& location, const std::vector<PinListRow>& rows, absl::Time now,
                          absl::Time expires_at);

}  // namespace phonepki::provisioning
