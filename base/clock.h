// Time as an argument, so that tests can set it. Between replicas the database clock rules (now() in SQL);
// this clock is for what happens inside one process: validity periods, time-outs, rate limits.
#pragma once

#include <absl/time/clock.h>
#include <absl/time/time.h>

namespace phonepki::base {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace phonepki::base
