// phonepkid.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdio>
#include <exception>

#include "base/log.h"
#include "server/config.h"
#include "server/server.h"

namespace {

using phonepki::server::Invocation;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "phonepkid: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Serve(const Invocation& invocation) {
  // Every thread inherits the mask; the signals are taken here, one after the other.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  auto server = phonepki::server::Server::Start(invocation.config);
  if (!server.ok()) return Fail(server.status());
  int received = 0;
  sigwait(&signals, &received);
  phonepki::base::LogInfo("stopping", {{"signal", received}});
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  signal(SIGTERM, SIG_DFL);  // a second one ends the draining
  signal(SIGINT, SIG_DFL);
  return 0;
}

int Run(int argc, char** argv) {
  auto invocation = phonepki::server::ParseInvocation(argc, argv, phonepki::server::ProcessEnvironment());
  if (!invocation.ok()) {
    std::fprintf(stderr, "%s\n", std::string(invocation.status().message()).c_str());
    return 2;
  }
  if (invocation->command == Invocation::Command::kPrint) {
    std::fputs(invocation->text.c_str(), stdout);
    return 0;
  }
  prctl(PR_SET_DUMPABLE, 0);  // no key in a core dump
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  phonepki::base::SetLogLevel(invocation->config.log.level);
  for (const std::string& warning : invocation->warnings) {
    phonepki::base::LogWarn("configuration", {{"warning", warning}});
  }
  if (invocation->command == Invocation::Command::kMigrate) {
    const absl::Status status = phonepki::server::Server::Migrate(invocation->config);
    return status.ok() ? 0 : Fail(status);
  }
  return Serve(*invocation);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "phonepkid: %s\n", error.what());
    return 1;
  }
}
