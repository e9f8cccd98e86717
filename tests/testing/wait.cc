#include "tests/testing/wait.h"

#include <absl/time/clock.h>

namespace phonepki::testing {

bool WaitUntil(absl::FunctionRef<bool()> condition, absl::Duration limit) {
  for (const absl::Time end = absl::Now() + limit; absl::Now() < end; absl::SleepFor(absl::Milliseconds(2))) {
    if (condition()) return true;
  }
  return condition();
}

}  // namespace phonepki::testing
