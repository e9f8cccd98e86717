#include "base/thread_pool.h"

#include <atomic>
#include <memory>

#include <absl/synchronization/barrier.h>
#include <absl/synchronization/blocking_counter.h>
#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

namespace phonepki::base {
namespace {

TEST(ThreadPoolTest, RunsWhatIsSubmitted) {
  ThreadPool pool(3, 1000);
  std::atomic<int> ran{0};
  absl::BlockingCounter left(200);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(pool.TrySubmit([&] {
      ++ran;
      left.DecrementCount();
    }));
  }
  left.Wait();
  EXPECT_EQ(ran, 200);
}

TEST(ThreadPoolTest, RunsAsManyAtOnceAsItHasThreads) {
  ThreadPool pool(3, 10);
  auto* meeting = new absl::Barrier(4);  // passes only when all three are in it with us
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pool.TrySubmit([meeting] {
      if (meeting->Block()) delete meeting;
    }));
  }
  if (meeting->Block()) delete meeting;
}

TEST(ThreadPoolTest, RefusesBeyondItsQueueAndThenGoesOn) {
  absl::Notification started, go;
  std::atomic<int> ran{0};
  ThreadPool pool(1, 2);
  ASSERT_TRUE(pool.TrySubmit([&] {
    started.Notify();
    go.WaitForNotification();
  }));
  started.WaitForNotification();
  EXPECT_TRUE(pool.TrySubmit([&] { ++ran; }));
  EXPECT_TRUE(pool.TrySubmit([&] { ++ran; }));
  EXPECT_FALSE(pool.TrySubmit([&] { ran += 100; }));
  go.Notify();
  pool.Stop();
  EXPECT_EQ(ran, 2) << "what was refused must not run";
}

TEST(ThreadPoolTest, StoppingRunsWhatIsQueuedAndRefusesTheRest) {
  absl::Notification started, go;
  std::atomic<int> ran{0};
  ThreadPool pool(1, 100);
  ASSERT_TRUE(pool.TrySubmit([&] {
    started.Notify();
    go.WaitForNotification();
  }));
  started.WaitForNotification();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(pool.TrySubmit([&] { ++ran; }));
  go.Notify();
  pool.Stop();
  EXPECT_EQ(ran, 50);
  EXPECT_FALSE(pool.TrySubmit([&] { ++ran; }));
  pool.Stop();
  EXPECT_EQ(ran, 50);
}

TEST(ThreadPoolTest, ATaskIsReleasedAfterItsRun) {
  ThreadPool pool(1, 10);
  auto held = std::make_shared<int>(1);
  ASSERT_TRUE(pool.TrySubmit([held] {}));
  pool.Stop();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace phonepki::base
