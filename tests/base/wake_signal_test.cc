#include "base/wake_signal.h"

#include <thread>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

namespace phonepki::base {
namespace {

TEST(WakeSignalTest, ReturnsAfterItsTimeOut) {
  WakeSignal signal;
  EXPECT_TRUE(signal.WaitFor(absl::Milliseconds(1)));
}

TEST(WakeSignalTest, AWakeBeforeTheWaitIsNotLostAndCountsOnce) {
  WakeSignal signal;
  signal.Wake();
  signal.Wake();
  EXPECT_TRUE(signal.WaitFor(absl::InfiniteDuration()));
  EXPECT_TRUE(signal.WaitFor(absl::Milliseconds(1)));
}

TEST(WakeSignalTest, AnotherThreadWakesTheWaiter) {
  WakeSignal signal;
  std::thread other([&] { signal.Wake(); });
  EXPECT_TRUE(signal.WaitFor(absl::InfiniteDuration()));
  other.join();
}

TEST(WakeSignalTest, ARestIsNotEndedByAWakeAndDoesNotUseItUp) {
  WakeSignal signal;
  signal.Wake();
  const absl::Time start = absl::Now();
  signal.Rest(absl::Milliseconds(20));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(20));
  EXPECT_TRUE(signal.WaitFor(absl::InfiniteDuration()));
}

TEST(WakeSignalTest, AStopEndsARest) {
  WakeSignal signal;
  std::thread other([&] { signal.Stop(); });
  signal.Rest(absl::InfiniteDuration());
  other.join();
  EXPECT_TRUE(signal.stopped());
}

TEST(WakeSignalTest, AStoppedSignalNeverWaitsAgain) {
  WakeSignal signal;
  std::thread other([&] { signal.Stop(); });
  EXPECT_FALSE(signal.WaitFor(absl::InfiniteDuration()));
  other.join();
  EXPECT_FALSE(signal.WaitFor(absl::InfiniteDuration()));
  EXPECT_TRUE(signal.stopped());
}

}  // namespace
}  // namespace phonepki::base
