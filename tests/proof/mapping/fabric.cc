#include "mapping/fabric.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/check.h"
#include "ripstop/agent.h"

namespace ripstop::proof {

namespace {

using namespace std::chrono_literals;

// Patience with a busy machine; nothing is judged by how long it took.
constexpr auto kPatience = 20s;

template <class Condition>
bool wait_until(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::string build_directory() {
  const char* build = std::getenv("RIPSTOP_BUILD_DIR");
  RIPSTOP_CHECK(build != nullptr);
  return build;
}

pid_t run(const std::vector<std::string>& arguments, int output) {
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execv(words[0], words.data());
  _exit(127);
}

AgentOptions named(const std::string& name, int node) {
  AgentOptions options;
  options.name = name;
  options.node = node;
  options.wait = Wait::Sleep;
  return options;
}

// Says 'y' for each byte that comes, when ten messages have gone from the one to the other.
[[noreturn]] void stand_by(int ask, int answer) {
  auto one = Agent::attach(named("bystander-one", 1));
  auto two = Agent::attach(named("bystander-two", 1));
  if (!one || !two) _exit(3);
  auto publisher = one->publisher("mapping.bystanders");
  auto subscriber = two->subscriber("mapping.bystanders");
  if (!publisher || !subscriber) _exit(3);
  for (char byte = 'y'; byte != 0;) {
    if (write(answer, &byte, 1) != 1 || read(ask, &byte, 1) != 1) _exit(0);
    for (uint64_t n = 1; n <= 10 && byte != 'n'; ++n) {
      auto loan = publisher->loan(sizeof n);
      if (loan) std::memcpy(loan->bytes().data(), &n, sizeof n);
      const bool sent = loan && loan->send().receiver_count == 1;
      auto message = subscriber->take(5s);
      uint64_t got = 0;
      if (message) std::memcpy(&got, message->bytes().data(), sizeof got);
      byte = sent && got == n ? 'y' : 'n';
    }
  }
  _exit(0);
}

}  // namespace

Fabric::Fabric(Pages pages, bool bystanders) : pages_(pages) {
  char name[] = "/tmp/ripstop-mapping-XXXXXX";
  RIPSTOP_CHECK(mkdtemp(name) != nullptr);
  directory_ = name;
  setenv("XDG_RUNTIME_DIR", name, 1);
  endpoint_ = *control::own_endpoint("default");
  if (!launch() || !wait_until_serving()) trouble_ = log();
  else if (bystanders) start_bystanders();
}

Fabric::~Fabric() {
  for (const int fd : {ask_, answer_}) {
    if (fd >= 0) close(fd);
  }
  for (const pid_t pid : children_) {
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  const pid_t keeping = pid_ > 0 && answers() ? keeper() : 0;
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (keeping > 0) ::kill(keeping, SIGKILL);
  std::filesystem::remove_all(directory_);
}

bool Fabric::launch() {
  const int out = open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const bool huge = pages_ == Pages::Huge;
  pid_ = run({build_directory() + "/daemon/ripstopd", "--synthetic-topology", "numa:2 core:1 pu:1", "--set",
              std::string("hugepages=") + (huge ? "require" : "off"), "--set", "reserve_hugepages=false", "--set", "agents=16", "--set",
              "drain_timeout_ms=0", "--set", "successor_grace_ms=0", "--set", R"(classes=[{"payload_bytes": 256, "chunk_count": 12288}])", "--set",
              "ring_arena_bytes=262144"},
             out);
  close(out);
  return pid_ > 0;
}

bool Fabric::wait_until_serving() const {
  return wait_until([&] { return waitpid(pid_, nullptr, WNOHANG) != 0 || answers(); }) && answers();
}

void Fabric::start_bystanders() {
  int ask[2], answer[2];
  RIPSTOP_CHECK(pipe2(ask, O_CLOEXEC) == 0 && pipe2(answer, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ask[1]);
    close(answer[0]);
    stand_by(ask[0], answer[1]);
  }
  close(ask[0]);
  close(answer[1]);
  ask_ = ask[1];
  answer_ = answer[0];
  children_.push_back(pid);
  char byte = 0;
  if (read(answer_, &byte, 1) != 1) trouble_ = "the bystanders cannot attach";
}

bool Fabric::bystanders_talk() {
  char byte = 'y';
  pollfd ready{answer_, POLLIN, 0};
  return write(ask_, &byte, 1) == 1 && poll(&ready, 1, 20'000) == 1 && read(answer_, &byte, 1) == 1 && byte == 'y';
}

bool Fabric::answers() const {
  auto client = control::Client::connect(endpoint_, 5000ms);
  return client && client->status().has_value();
}

pid_t Fabric::keeper() const {
  auto client = control::Client::connect(endpoint_, 5000ms);
  if (!client) return 0;
  auto status = client->status();
  return status ? static_cast<pid_t>(status->keeper_pid) : 0;
}

base::OwnedFd Fabric::connect(const std::string& path) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  base::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const timeval timeout{10, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) socket.reset();
  return socket;
}

Result<Descriptors> Fabric::attach(const std::string& name, int node) const {
  Descriptors got;
  got.socket = connect();
  control::AttachRequest request;
  request.name = name;
  request.node = node;
  if (auto sent = control::send_packet(got.socket.get(), control::encode(1, control::Request(request))); !sent) return sent.error();
  auto packet = control::receive_packet(got.socket.get());
  if (!packet) return packet.error();
  auto reply = control::decode_reply(packet->bytes);
  if (!reply) return reply.error();
  if (const Error* error = std::get_if<Error>(&reply->body)) return *error;
  const auto& attached = std::get<control::AttachReply>(reply->body);
  got.agent_id = attached.agent_id;
  got.node_index = attached.node_index;
  got.segment_bytes = attached.segment_bytes;
  got.fds = std::move(packet->fds);
  return got;
}

pid_t Fabric::sleeper(const std::string& name, int node) {
  int ready[2];
  RIPSTOP_CHECK(pipe2(ready, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto agent = Agent::attach(named(name, node));
    if (!agent) _exit(3);
    auto subscriber = agent->subscriber("mapping." + name);
    auto publisher = agent->publisher("mapping." + name);
    for (int i = 0; i < 5; ++i) {
      auto loan = publisher->loan(8);
      if (loan) (void)loan->send();
    }
    [[maybe_unused]] const ssize_t told = write(ready[1], "y", 1);
    for (;;) pause();
  }
  close(ready[1]);
  char byte = 0;
  RIPSTOP_CHECK(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  children_.push_back(pid);
  return pid;
}

void Fabric::kill_supervisor() {
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string Fabric::shmctl(const std::string& arguments) const {
  const std::string program = build_directory() + "/tools/shmctl";
  if (access(program.c_str(), X_OK) != 0) return "";
  FILE* pipe = popen((program + " " + arguments + " 2>&1 < /dev/null").c_str(), "r");
  std::string text;
  char part[4096];
  for (std::size_t got = 0; (got = fread(part, 1, sizeof part, pipe)) > 0;) text.append(part, got);
  const int status = pclose(pipe);
  // The shell says 128 + the signal of what it ran.
  if (WIFSIGNALED(status) || WEXITSTATUS(status) > 128) return "signal " + std::to_string(WEXITSTATUS(status) - 128) + "\n" + text;
  return text;
}

std::string Fabric::log() const {
  std::ifstream file(directory_ + "/log");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace ripstop::proof
