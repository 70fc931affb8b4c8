#include "proof/live/fabric.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "proof/live/child.h"
#include "ripstop/agent.h"

namespace ripstop::live {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Attaches, sends a lane's full and one more, takes all, has every chunk of the first class and gives it back.
std::string exchange(uint32_t chunk_count, const std::string& prefix) {
  const std::string topic = prefix + ".exchange";
  AgentOptions options;
  options.timeout = 5s;
  options.wait = Wait::Sleep;
  options.name = prefix + "-in";
  auto in = Agent::attach(options);
  if (!in) return "a receiver cannot attach: " + to_string(in.error());
  options.name = prefix + "-out";
  auto out = Agent::attach(options);
  if (!out) return "a publisher cannot attach: " + to_string(out.error());
  auto subscriber = in->subscriber(topic);
  if (!subscriber) return "no subscription: " + to_string(subscriber.error());
  auto publisher = out->publisher(topic);
  if (!publisher) return "no publisher: " + to_string(publisher.error());
  // First: a publisher that is busy keeps a slab for itself (a direct lane).
  std::vector<Loan<Bytes>> loans;
  for (uint32_t i = 0; i < chunk_count; ++i) {
    auto loan = publisher->loan(64);
    if (!loan) return "only " + std::to_string(i) + " of " + std::to_string(chunk_count) + " chunks can be had: " + to_string(loan.error());
    loans.push_back(std::move(*loan));
  }
  loans.clear();
  constexpr uint64_t kMessages = 129;
  for (uint64_t i = 0; i < kMessages; ++i) {
    SendOptions now;
    now.timeout = 5s;
    const auto sent = publisher->send_copy({reinterpret_cast<const char*>(&i), sizeof i}, now);
    if (!sent) return "message " + std::to_string(i) + " is not sent: " + to_string(sent.error());
    if (sent->receiver_count != 1) return "message " + std::to_string(i) + " has " + std::to_string(sent->receiver_count) + " receivers: " + std::string(to_string(sent->outcome));
    auto message = subscriber->take(5s);
    if (!message) return "message " + std::to_string(i) + " does not arrive: " + std::string(to_string(message.outcome()));
    uint64_t number = ~uint64_t{0};
    if (message->bytes().size() == sizeof number) std::memcpy(&number, message->bytes().data(), sizeof number);
    if (number != i) return "message " + std::to_string(number) + " arrives instead of " + std::to_string(i);
  }
  if (subscriber->take()) return "a message more than was sent";
  return "";
}

}  // namespace

namespace {

std::string in_build(const std::string& path) {
  std::string build;
  if (const char* named = std::getenv("RIPSTOP_BUILD_DIR"); named != nullptr) {
    build = named;
  } else {
    std::error_code ignored;
    build = fs::canonical("/proc/self/exe", ignored).parent_path().parent_path().parent_path();  // <build>/tests/proof/…
  }
  return build + "/" + path;
}

}  // namespace

bool build_has(const std::string& path) { return access(in_build(path).c_str(), R_OK) == 0; }

std::string build_file(const std::string& path) {
  const std::string file = in_build(path);
  if (access(file.c_str(), R_OK) == 0) return file;
  std::fprintf(stderr, "%s is not there: build it, or name the build in RIPSTOP_BUILD_DIR\n", file.c_str());
  return "";
}

std::vector<std::string> small_settings() {
  return {"hugepages=off", "agents=16", "topics=64", "subscriptions=128", "rings=32", "drain_timeout_ms=0", "on_death=release",
          "successor_grace_ms=0", "slab_bytes=64KiB", "ring_arena_bytes=256KiB", "route_arena_bytes=64KiB", "dead_letters=64",
          R"(classes=[{"payload_bytes": 256, "chunk_count": 512}])"};
}

Fabric::Fabric(std::vector<std::string> settings) {
  char name[] = "/tmp/ripstop-proof-XXXXXX";
  if (mkdtemp(name) == nullptr) std::abort();
  directory_ = name;
  make_current();
  words_ = {build_file("daemon/ripstopd")};
  std::vector<std::string> all = small_settings();
  all.insert(all.end(), std::make_move_iterator(settings.begin()), std::make_move_iterator(settings.end()));
  for (std::string& setting : all) {
    words_.push_back("--set");
    words_.push_back(std::move(setting));
  }
}

Fabric::~Fabric() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
  fs::remove(directory_ + ".log", ignored);
}

void Fabric::make_current() const {
  setenv("XDG_RUNTIME_DIR", directory_.c_str(), 1);
  unsetenv("RIPSTOP_FABRIC");
}

pid_t Fabric::launch() {
  std::vector<char*> arguments;
  for (std::string& word : words_) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = directory_ + ".log";
  const pid_t harness = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != harness) _exit(126);
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) _exit(126);
    if (before_exec) before_exec();
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  return pid_;
}

bool Fabric::serves(int timeout_ms) const {
  return wait_until(
      [&] {
        const auto inspector = Inspector::open();
        if (!inspector) return has_ended(pid_);
        const FabricView fabric = inspector->fabric();
        return fabric.read_via == "supervisor" && fabric.supervisor.pid == static_cast<uint32_t>(pid_);
      },
      timeout_ms) && !has_ended(pid_);
}

bool Fabric::start() {
  launch();
  return serves();
}

int Fabric::wait(int timeout_ms) {
  int status = 0;
  const bool ended = wait_until([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, timeout_ms);
  if (!ended) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
  pid_ = -1;
  if (!ended) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int Fabric::end() {
  ::kill(pid_, SIGTERM);
  return wait();
}

void Fabric::kill_supervisor() {
  ::kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

void Fabric::kill_keeper() {
  const pid_t pid = keeper();
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  wait_until([&] { return has_ended(pid); });
}

pid_t Fabric::release() noexcept { return std::exchange(pid_, -1); }

pid_t Fabric::keeper() const {
  const auto inspector = Inspector::open();
  return inspector ? static_cast<pid_t>(inspector->fabric().keeper.pid) : 0;
}

std::string Fabric::log() const { return read_file(directory_ + ".log"); }

std::vector<pid_t> Fabric::processes() const {
  const std::string mark = "XDG_RUNTIME_DIR=" + directory_;
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    const pid_t pid = std::atoi(name.c_str());
    if (pid <= 0 || pid == getpid()) continue;
    // Its beginning was the harness's or its own; behind the mark there is a 0.
    const std::string environment = read_file(entry.path() / "environ");
    if (environment.find(mark + std::string(1, '\0')) != std::string::npos && !has_ended(pid)) found.push_back(pid);
  }
  return found;
}

std::string Fabric::leavings() const {
  std::string left;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(directory_, ignored)) left += " file " + entry.path().string();
  for (const pid_t pid : processes()) left += " process " + std::to_string(pid) + " " + read_file("/proc/" + std::to_string(pid) + "/comm");
  return left;
}

std::string words_of(const Error& error) { return error_code_text(error.code) + " " + error.what + " | " + error.why + " | " + error.fix; }

bool is_error(const std::string& words, Errc code) {
  if (!words.starts_with(error_code_text(code) + " ")) return false;
  const std::size_t why = words.find(" | ");
  const std::size_t fix = words.find(" | ", why + 3);
  return fix != std::string::npos && fix > why + 3 && words.size() > fix + 3;
}

uint64_t chunks_in_use() {
  const auto inspector = Inspector::open();
  if (!inspector) return ~uint64_t{0};
  uint64_t count = 0;
  for (const NodeView& node : inspector->nodes()) {
    for (const ClassView& each : node.classes) count += each.chunks_loaned + each.chunks_held;
  }
  return count;
}

bool is_attached(const std::string& name) {
  const auto inspector = Inspector::open();
  return inspector && inspector->agent(name).has_value();
}

std::size_t agent_count() {
  const auto inspector = Inspector::open();
  return inspector ? inspector->agents().size() : 0;
}

std::string exchange_trouble(uint32_t chunk_count, const std::string& prefix) {
  Child probe([&](const Link& link) {
    const std::string trouble = exchange(chunk_count, prefix);
    link.tell(trouble.empty() ? "ok" : trouble);
    return 0;
  });
  const std::string answer = probe.link().hear(20'000).value_or("the probe gives no answer in 20 s, or ended by a signal");
  const int status = probe.wait();
  if (answer != "ok") return answer;
  return status == 0 ? "" : "the probe ended with status " + std::to_string(status);
}

void expect_whole(Findings& findings, uint32_t chunk_count) {
  const bool gone = wait_until([] { return agent_count() == 0; });
  findings.expect(gone, std::to_string(agent_count()) + " agents are still in the registry", Fault::Leaked);
  const bool free = wait_until([] { return chunks_in_use() == 0; });
  findings.expect(free, std::to_string(chunks_in_use()) + " chunks are in use and nobody is there", Fault::Leaked);
  const std::string trouble = exchange_trouble(chunk_count);
  findings.expect(trouble.empty(), trouble, trouble.find("chunks can be had") != std::string::npos ? Fault::Leaked : Fault::Blocked);
}

void expect_clean_end(Findings& findings, Fabric& fabric) {
  const int status = fabric.end();
  findings.expect(status == 0, "the supervisor ends with status " + std::to_string(status) + " after SIGTERM", status < 0 ? Fault::Blocked : Fault::Wrong);
  wait_until([&] { return fabric.leavings().empty(); }, 2'000);
  const std::string left = fabric.leavings();
  findings.expect(left.empty(), "left behind:" + left, Fault::Leaked);
}

}  // namespace ripstop::live
