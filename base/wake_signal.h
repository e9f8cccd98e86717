// A stoppable wait: the only way our loops sleep.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace phonepki::base {

class WakeSignal {
 public:
  // Returns after `timeout`, or at once when Wake() was called since the last wait, or for ever after Stop().
  // False when stopped.
  bool WaitFor(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return woken_ || stopped_; };
    mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
    woken_ = false;
    return !stopped_;
  }
  // Returns after `timeout`, whoever wakes; at once when stopped. Lets work gather into sets.
  void Rest(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stopped_), timeout);
  }
  void Wake() {
    absl::MutexLock lock(&mutex_);
    woken_ = true;
  }
  void Stop() {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  bool stopped() const {
    absl::MutexLock lock(&mutex_);
    return stopped_;
  }

 private:
  mutable absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace phonepki::base
