// A private PostgreSQL cluster inside the data directory: unix socket only, no TCP port, no password (peer).
// As root PostgreSQL runs as an unprivileged user, since it refuses uid 0.
//
// Survives: its own kill -9 (a supervising thread starts it again), kill -9 of this process (PostgreSQL is
// told to stop) and of the whole tree (stale lock files are removed once no process lives in the cluster). A
// second process on the same data directory is refused.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

namespace phonepki::db {

class EmbeddedPostgres {
 public:
  struct Options {
    std::string data_dir;             // the cluster lives in <data_dir>/postgres
    std::string binaries;             // empty: the newest /usr/lib/postgresql/*/bin
    std::string run_as = "postgres";  // when this process is root
    bool fsync = true;                // false only for throw-away clusters in tests
  };

  // initdb at the first start. kFailedPrecondition reasons:
  //   DATA_DIR_IN_USE        another process holds the directory; the sentence names its pid
  //   DATA_DIR_UNREACHABLE   a parent directory is closed to the PostgreSQL user
  //   POSTGRES_NOT_FOUND     no server binaries: install the package postgresql
  static absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> Start(Options options);
  // Fast shutdown, waits for it.
  ~EmbeddedPostgres();

  // libpq connection string.
  const std::string& url() const { return url_; }
  // 0 while it is being started again.
  pid_t pid() const { return pid_; }

 private:
  struct Identity {
    uid_t uid;
    gid_t gid;
    bool drop;  // this process is root and must become uid/gid
    std::string name;
  };

  explicit EmbeddedPostgres(Options options);

  absl::Status Prepare();
  absl::Status TakeLock();
  absl::Status CheckReachable() const;
  absl::Status InitCluster();
  absl::Status WriteConfiguration();
  absl::Status RemoveStaleFiles();
  bool ClusterHasProcesses() const;
  pid_t Spawn(const std::vector<std::string>& arguments) const;
  absl::Status WaitReady(pid_t pid);
  void Supervise();

  Options options_;
  Identity identity_{};
  std::string root_;     // <data_dir>/postgres
  std::string cluster_;  // <root>/data
  std::string socket_;   // <root>/run, or an abstract name when the path is too long
  std::string url_;
  int lock_fd_ = -1;
  std::atomic<pid_t> pid_{0};

  // PR_SET_PDEATHSIG follows the thread that forked, so one thread forks every postmaster and lives to the
  // end.
  std::thread supervisor_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status first_start_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace phonepki::db
