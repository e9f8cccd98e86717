// Waiting for what another thread or process does.
#pragma once

#include <absl/functional/function_ref.h>
#include <absl/time/time.h>

namespace phonepki::testing {

// True as soon as `condition` holds; false when it did not within `limit`.
bool WaitUntil(absl::FunctionRef<bool()> condition, absl::Duration limit = absl::Seconds(30));

}  // namespace phonepki::testing
