#include "supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "ripstop/inspect.h"

namespace chaos {

bool Supervisor::prepare(const char* own_program) {
  if (const char* build = std::getenv("RIPSTOP_BUILD_DIR"); build != nullptr) {
    program_ = std::string(build) + "/daemon/ripstopd";
  } else {
    // <build>/tests/proof/chaos
    std::error_code ignored;
    program_ = std::filesystem::canonical(own_program, ignored).parent_path().parent_path().parent_path() / "daemon/ripstopd";
  }
  if (access(program_.c_str(), X_OK) != 0) {
    std::fprintf(stderr, "%s is not there: build it, or name the build in RIPSTOP_BUILD_DIR\n", program_.c_str());
    return false;
  }
  char name[] = "/tmp/ripstop-chaos-XXXXXX";
  if (mkdtemp(name) == nullptr) return false;
  directory_ = name;
  setenv("XDG_RUNTIME_DIR", name, 1);
  unsetenv("RIPSTOP_FABRIC");
  return true;
}

Supervisor::~Supervisor() {
  if (pid_ > 0) kill();
  if (directory_.empty()) return;
  if (keep_directory) {
    const auto inspector = ripstop::Inspector::open();
    const uint32_t keeper = inspector ? inspector->fabric().keeper.pid : 0;
    std::fprintf(stderr, "the fabric's memory is kept to be looked at: XDG_RUNTIME_DIR=%s shmctl status; it ends with kill %u\n",
                 directory_.c_str(), keeper);
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

bool Supervisor::start() {
  // Little memory and short lanes: what leaks is missed soon, and lanes are full now and then.
  const char* arguments[] = {
      program_.c_str(), "--set", "hugepages=off", "--set", "drain_timeout_ms=0", "--set", "slab_bytes=64KiB", "--set",
      "on_death=release", "--set", "successor_grace_ms=0", "--set",
      "lanes.normal=64", "--set", "route_arena_bytes=64KiB", "--set", "ring_arena_bytes=256KiB", "--set",
      R"(classes=[{"payload_bytes": 256, "chunk_count": 6144}, {"payload_bytes": "1KiB", "chunk_count": 2048},)"
      R"( {"payload_bytes": "4KiB", "chunk_count": 1024}, {"payload_bytes": "64KiB", "chunk_count": 64}])",
      nullptr};
  const std::string log = directory_ + "/log";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) _exit(126);
    execv(arguments[0], const_cast<char**>(arguments));
    _exit(127);
  }
  return pid_ > 0;
}

void Supervisor::kill() {
  ::kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

int Supervisor::end() {
  ::kill(pid_, SIGTERM);
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Supervisor::ended_by_itself(int& status) {
  if (pid_ <= 0 || waitpid(pid_, &status, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

bool Supervisor::serves() const {
  const auto inspector = ripstop::Inspector::open();
  if (!inspector) return false;
  const ripstop::FabricView fabric = inspector->fabric();
  return fabric.read_via == "supervisor" && fabric.supervisor.pid == static_cast<uint32_t>(pid_);
}

std::string Supervisor::log_tail() const {
  std::ifstream file(directory_ + "/log");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::ostringstream tail;
  for (std::size_t i = lines.size() > 40 ? lines.size() - 40 : 0; i < lines.size(); ++i) tail << "  " << lines[i] << "\n";
  return tail.str();
}

uint64_t Supervisor::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace chaos
