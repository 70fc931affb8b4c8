// The program is $RIPSTOP_BUILD_DIR/daemon/ripstopd, or the one beside this bench's folder.
#include "bench_supervisor.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

namespace ripstop::perf {

namespace fs = std::filesystem;

namespace {

constexpr auto kPatience = std::chrono::seconds(10);

fs::path find_ripstopd() {
  std::error_code error;
  const char* build = std::getenv("RIPSTOP_BUILD_DIR");
  const fs::path root = build != nullptr
                            ? fs::path(build)
                            : fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  const fs::path program = root / "daemon" / "ripstopd";
  return fs::exists(program, error) ? program : fs::path();
}

}  // namespace

BenchSupervisor::BenchSupervisor(std::vector<std::string> settings)
    : settings_(std::move(settings)), program_(find_ripstopd()) {
  if (program_.empty()) {
    why_ = "there is no daemon/ripstopd in this build";
    return;
  }
  std::string pattern = (fs::temp_directory_path() / "ripstop-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    why_ = "no directory for the supervisor";
    return;
  }
  directory_ = pattern;
  fs::create_directories(directory_ + "/ripstop");
  fs::permissions(directory_ + "/ripstop", fs::perms::owner_all);
  socket_ = directory_ + "/ripstop/bench.sock";
  start();
  wait_until_it_serves();
}

void BenchSupervisor::start() {
  std::vector<std::string> words = {program_, "--fabric", "bench"};
  for (const std::string& setting : settings_) words.insert(words.end(), {"--set", setting});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string runtime = "XDG_RUNTIME_DIR=" + directory_;
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // A bench that is stopped takes it along.
  // What it logs about our agents does not belong among the figures.
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  putenv(const_cast<char*>(runtime.c_str()));
  execv(arguments[0], arguments.data());
  _exit(127);
}

void BenchSupervisor::wait_until_it_serves() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    auto agent = Agent::attach(options("bench-look"));
    if (agent) return;
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      why_ = "ripstopd ended at once";
      return;
    }
    if (std::chrono::steady_clock::now() > end) {
      why_ = "ripstopd does not answer: " + to_string(agent.error());
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void BenchSupervisor::kill() {
  ::kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

BenchSupervisor::~BenchSupervisor() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

AgentOptions BenchSupervisor::options(std::string name) const {
  AgentOptions options;
  options.name = std::move(name);
  options.socket = socket_;
  options.wait = Wait::Spin;
  return options;
}

BenchSupervisor& supervisor() {
  static BenchSupervisor only;
  return only;
}

}  // namespace ripstop::perf
