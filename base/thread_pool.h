// A bounded pool of plain threads for work that blocks (database, signing), fed by the asynchronous doors.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

namespace phonepki::base {

class ThreadPool {
 public:
  // `max_queued`: tasks that may wait for a thread; TrySubmit refuses beyond it.
  ThreadPool(std::size_t threads, std::size_t max_queued);
  // Runs what is queued, then joins.
  ~ThreadPool();

  // False when the queue is full or the pool is stopping; `task` is then not run.
  bool TrySubmit(std::function<void()> task);
  // Refuses new tasks, runs the queued ones, joins. Safe to call twice.
  void Stop();

 private:
  void Run();

  const std::size_t max_queued_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace phonepki::base
