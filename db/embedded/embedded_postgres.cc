#include "db/embedded/embedded_postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <absl/hash/hash.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace phonepki::db {
namespace {

namespace fs = std::filesystem;

constexpr char kDatabaseUser[] = "phonepki";
constexpr std::size_t kSocketPathLimit = 107;  // sizeof(sockaddr_un::sun_path) - 1
constexpr char kSocketFile[] = "/.s.PGSQL.5432";

absl::Status Refuse(const std::string& reason, const std::string& text) {
  return base::WithReason(absl::FailedPreconditionError(text), reason);
}

std::string NewestBinaries() {
  int newest = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", error)) {
    int version = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &version) && version > newest &&
        fs::exists(entry.path() / "bin/initdb")) {
      newest = version;
    }
  }
  return newest == 0 ? "" : absl::StrCat("/usr/lib/postgresql/", newest, "/bin");
}

std::string OwnUserName() {
  const passwd* entry = getpwuid(geteuid());
  return entry == nullptr ? "" : entry->pw_name;
}

absl::Status WriteFile(const std::string& path, const std::string& text, uid_t uid, gid_t gid) {
  std::ofstream(path, std::ios::trunc) << text;
  if (chmod(path.c_str(), 0600) != 0 || (geteuid() == 0 && chown(path.c_str(), uid, gid) != 0)) {
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status MakeDirectory(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return absl::InternalError(absl::StrCat("cannot make ", path, ": ", strerror(errno)));
  }
  if (chmod(path.c_str(), mode) != 0 || (geteuid() == 0 && chown(path.c_str(), uid, gid) != 0)) {
    return absl::InternalError(absl::StrCat("cannot take ", path, " over: ", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

EmbeddedPostgres::EmbeddedPostgres(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> EmbeddedPostgres::Start(Options options) {
  std::unique_ptr<EmbeddedPostgres> postgres(new EmbeddedPostgres(std::move(options)));
  RETURN_IF_ERROR(postgres->Prepare());
  postgres->supervisor_ = std::thread([raw = postgres.get()] { raw->Supervise(); });
  absl::MutexLock lock(&postgres->mutex_);
  postgres->mutex_.Await(absl::Condition(&postgres->started_));
  RETURN_IF_ERROR(postgres->first_start_);
  return postgres;
}

EmbeddedPostgres::~EmbeddedPostgres() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (const pid_t pid = pid_; pid > 0) kill(pid, SIGINT);
  if (supervisor_.joinable()) supervisor_.join();
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::Status EmbeddedPostgres::Prepare() {
  if (options_.binaries.empty()) options_.binaries = NewestBinaries();
  if (options_.binaries.empty() || !fs::exists(options_.binaries + "/postgres")) {
    return Refuse("POSTGRES_NOT_FOUND",
                  "no PostgreSQL server below /usr/lib/postgresql: install the package postgresql, or give "
                  "--database-url");
  }
  identity_ = {geteuid(), getegid(), false, OwnUserName()};
  if (geteuid() == 0) {
    const passwd* entry = getpwnam(options_.run_as.c_str());
    if (entry == nullptr) {
      return Refuse("POSTGRES_NOT_FOUND",
                    absl::StrCat("no user \"", options_.run_as, "\" to run PostgreSQL as"));
    }
    identity_ = {entry->pw_uid, entry->pw_gid, true, entry->pw_name};
  }
  if (identity_.name.empty()) {
    return Refuse("POSTGRES_NOT_FOUND", "PostgreSQL needs a user with an entry in /etc/passwd");
  }
  root_ = options_.data_dir + "/postgres";
  cluster_ = root_ + "/data";
  socket_ = root_ + "/run";
  RETURN_IF_ERROR(MakeDirectory(root_, 0711, geteuid(), getegid()));
  RETURN_IF_ERROR(MakeDirectory(socket_, 0700, identity_.uid, identity_.gid));
  if (socket_.size() + strlen(kSocketFile) > kSocketPathLimit) {
    // An abstract socket has no file permissions; peer authentication still guards it.
    socket_ = absl::StrCat("@phonepki-", absl::Hash<std::string>()(cluster_));
  }
  url_ = absl::StrCat("host=", socket_, " port=5432 user=", kDatabaseUser, " dbname=", kDatabaseUser);
  RETURN_IF_ERROR(TakeLock());
  RETURN_IF_ERROR(CheckReachable());
  RETURN_IF_ERROR(RemoveStaleFiles());
  if (!fs::exists(cluster_ + "/PG_VERSION")) RETURN_IF_ERROR(InitCluster());
  return WriteConfiguration();
}

absl::Status EmbeddedPostgres::TakeLock() {
  const std::string path = root_ + "/lock";
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return absl::InternalError(absl::StrCat("cannot open ", path, ": ", strerror(errno)));
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t size = pread(lock_fd_, holder, sizeof holder - 1, 0);
    return Refuse("DATA_DIR_IN_USE",
                  absl::StrCat("the data directory ", options_.data_dir, " is in use by process ",
                               size > 0 ? holder : "(unknown)",
                               "; stop it, or give this server another --data-dir or a --database-url"));
  }
  const std::string pid = absl::StrCat(getpid());
  if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, pid.data(), pid.size(), 0) < 0) {
    return absl::InternalError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::CheckReachable() const {
  if (!identity_.drop) return absl::OkStatus();
  for (fs::path path = fs::absolute(root_); path != path.root_path(); path = path.parent_path()) {
    struct stat facts {};
    if (stat(path.c_str(), &facts) != 0)
      return absl::InternalError(absl::StrCat("cannot stat ", path.string()));
    const bool open = (facts.st_mode & S_IXOTH) ||
                      (facts.st_uid == identity_.uid && (facts.st_mode & S_IXUSR)) ||
                      (facts.st_gid == identity_.gid && (facts.st_mode & S_IXGRP));
    if (!open) {
      return Refuse(
          "DATA_DIR_UNREACHABLE",
          absl::StrCat("the user ", identity_.name, ", as whom PostgreSQL runs, cannot enter ", path.string(),
                       ": choose another --data-dir or run `chmod o+x ", path.string(), "`"));
    }
  }
  return absl::OkStatus();
}

pid_t EmbeddedPostgres::Spawn(const std::vector<std::string>& arguments) const {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {const_cast<char*>("PATH=/usr/bin:/bin"), const_cast<char*>("LC_ALL=C.UTF-8"),
                         nullptr};
  const int log = open((root_ + "/postgres.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) {
    if (log >= 0) close(log);
    return child;
  }
  // Only async-signal-safe calls from here: other threads may hold locks.
  if (identity_.drop &&
      (setgroups(0, nullptr) != 0 || setgid(identity_.gid) != 0 || setuid(identity_.uid) != 0)) {
    _exit(126);
  }
  // After the change of user, which clears it. The parent may have died in between.
  prctl(PR_SET_PDEATHSIG, SIGINT);
  if (getppid() != parent) _exit(125);
  setsid();
  if (chdir("/") != 0) _exit(124);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (log >= 0) {
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
  }
  execve(argv[0], argv.data(), environment);
  _exit(127);
}

absl::Status EmbeddedPostgres::InitCluster() {
  // Into a directory of another name first: a crash half-way leaves nothing that looks like a cluster.
  const std::string fresh = root_ + "/data.new";
  std::error_code error;
  fs::remove_all(fresh, error);
  RETURN_IF_ERROR(MakeDirectory(fresh, 0700, identity_.uid, identity_.gid));
  std::vector<std::string> arguments = {options_.binaries + "/initdb",
                                        "-D",
                                        fresh,
                                        "-U",
                                        kDatabaseUser,
                                        "-E",
                                        "UTF8",
                                        "--locale=C.UTF-8",
                                        "--auth-local=peer",
                                        "--auth-host=reject",
                                        "--no-instructions"};
  if (!options_.fsync) arguments.push_back("--no-sync");
  const pid_t child = Spawn(arguments);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::InternalError(absl::StrCat("initdb failed; see ", root_, "/postgres.log"));
  }
  fs::rename(fresh, cluster_, error);
  if (error) return absl::InternalError(absl::StrCat("cannot rename ", fresh, ": ", error.message()));
  base::LogInfo("postgres_initialised", {{"cluster", cluster_}});
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::WriteConfiguration() {
  const uid_t uid = identity_.uid;
  const gid_t gid = identity_.gid;
  RETURN_IF_ERROR(WriteFile(cluster_ + "/pg_hba.conf", "local all all peer map=embed\n", uid, gid));
  std::string map = absl::StrCat("embed ", identity_.name, " ", kDatabaseUser, "\n");
  if (OwnUserName() != identity_.name)
    absl::StrAppend(&map, "embed ", OwnUserName(), " ", kDatabaseUser, "\n");
  return WriteFile(cluster_ + "/pg_ident.conf", map, uid, gid);
}

// Every PostgreSQL process works in the data directory; a zombie has no working directory any more.
bool EmbeddedPostgres::ClusterHasProcesses() const {
  std::error_code error;
  const fs::path cluster = fs::canonical(cluster_, error);
  if (error) return false;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const fs::path cwd = fs::read_symlink(entry.path() / "cwd", error);
    if (!error && cwd == cluster) return true;
  }
  return false;
}

absl::Status EmbeddedPostgres::RemoveStaleFiles() {
  if (!fs::exists(cluster_ + "/postmaster.pid")) return absl::OkStatus();
  // Orphans of a killed server stop by themselves within moments. The lock file may only go when nobody is
  // left: it guards the shared memory.
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (ClusterHasProcesses()) {
    if (absl::Now() > limit) {
      return Refuse("DATA_DIR_IN_USE", absl::StrCat("PostgreSQL processes still run in ", cluster_));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  std::error_code error;
  fs::remove(cluster_ + "/postmaster.pid", error);
  fs::remove(socket_ + kSocketFile, error);
  fs::remove(absl::StrCat(socket_, kSocketFile, ".lock"), error);
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::WaitReady(pid_t pid) {
  const std::string maintenance =
      absl::StrCat("host=", socket_, " port=5432 user=", kDatabaseUser, " dbname=postgres");
  const absl::Time limit = absl::Now() + absl::Seconds(120);  // crash recovery may take its time
  while (PQping(maintenance.c_str()) != PQPING_OK) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      return absl::InternalError(absl::StrCat("PostgreSQL did not start; see ", root_, "/postgres.log"));
    }
    if (absl::Now() > limit) return absl::DeadlineExceededError("PostgreSQL did not become ready in 120 s");
    absl::SleepFor(absl::Milliseconds(5));
  }
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(maintenance.c_str()), &PQfinish);
  const auto run = [&](const char* sql) {
    return std::unique_ptr<PGresult, decltype(&PQclear)>(PQexec(connection.get(), sql), &PQclear);
  };
  const auto exists = run("SELECT 1 FROM pg_database WHERE datname = 'phonepki'");
  if (PQntuples(exists.get()) == 0) {
    const auto made = run("CREATE DATABASE phonepki");
    if (PQresultStatus(made.get()) != PGRES_COMMAND_OK) {
      return absl::InternalError(
          absl::StrCat("cannot create the database: ", PQerrorMessage(connection.get())));
    }
  }
  return absl::OkStatus();
}

void EmbeddedPostgres::Supervise() {
  for (;;) {
    std::vector<std::string> arguments = {options_.binaries + "/postgres", "-D", cluster_};
    for (const std::string& setting :
         {std::string("listen_addresses="), "unix_socket_directories=" + socket_,
          std::string("unix_socket_permissions=0700"), std::string("port=5432"),
          std::string("max_connections=120"), std::string("shared_buffers=256MB"), std::string("jit=off"),
          std::string("max_wal_size=2GB"), std::string("timezone=UTC"), std::string("log_timezone=UTC"),
          std::string("logging_collector=off"), std::string(options_.fsync ? "fsync=on" : "fsync=off")}) {
      arguments.push_back("-c");
      arguments.push_back(setting);
    }
    absl::Status status = RemoveStaleFiles();
    pid_t child = 0;
    if (status.ok()) {
      child = Spawn(arguments);
      status = child < 0 ? absl::InternalError("fork failed") : WaitReady(child);
    }
    pid_ = status.ok() ? child : 0;
    bool first = false;
    {
      absl::MutexLock lock(&mutex_);
      first = !started_;
      if (first) first_start_ = status;
      started_ = true;
      if (stopping_ && status.ok()) kill(child, SIGINT);
    }
    if (!status.ok()) {
      base::LogError("postgres_start_failed", {{"error", status}});
      if (first) return;
      absl::SleepFor(absl::Seconds(1));
    } else {
      base::LogInfo("postgres_started", {{"pid", child}, {"socket", socket_}});
      int exit_status = 0;
      while (waitpid(child, &exit_status, 0) < 0 && errno == EINTR) {
      }
      pid_ = 0;
    }
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    if (status.ok()) base::LogWarn("postgres_died", {{"pid", child}});
  }
}

}  // namespace phonepki::db
