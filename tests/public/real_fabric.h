// A real ripstopd in a runtime directory of the test's own, and processes beside the test's. Installed
// headers only, as everything in this folder.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ripstop/agent.h"
#include "ripstop/inspect.h"

namespace ripstop::test {

using namespace std::chrono_literals;

template <class Condition>
bool wait_until(Condition condition, std::chrono::milliseconds timeout = 10s) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// One supervisor of the fabric "default" and its directory.
class RealFabric {
 public:
  // Null with `trouble` set when there is no ripstopd to start. Messages of the dead are released, unless a
  // test is about them.
  static std::unique_ptr<RealFabric> start(std::string& trouble, std::string on_death = "release",
                                           std::chrono::milliseconds grace = 0ms) {
    const char* build = std::getenv("RIPSTOP_BUILD_DIR");
    if (build == nullptr) {
      trouble = "RIPSTOP_BUILD_DIR does not name a build";
      return nullptr;
    }
    const std::string program = std::string(build) + "/daemon/ripstopd";
    if (access(program.c_str(), X_OK) != 0) {
      trouble = program + " is not there";
      return nullptr;
    }
    std::unique_ptr<RealFabric> fabric(new RealFabric());
    fabric->program_ = program;
    fabric->on_death_ = std::move(on_death);
    fabric->grace_ = grace;
    if (!fabric->make_directory() || !fabric->launch()) {
      trouble = "";
      ADD_FAILURE() << program << " does not serve";
      return nullptr;
    }
    return fabric;
  }

  ~RealFabric() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      int status = 0;
      waitpid(pid_, &status, 0);
      // What a sanitizer found in the supervisor, if only at its end, shows here and nowhere else.
      std::ifstream log(directory_ + "/log");
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << log.rdbuf();
    }
    std::filesystem::remove_all(directory_);
  }

  // Ends the supervisor as a crash would. The keeper goes on.
  void kill_supervisor_alone() {
    ::kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  // And the keeper too: the fabric's memory is with its agents alone.
  void kill_supervisor() {
    const pid_t keeper = static_cast<pid_t>(Inspector::open()->fabric().keeper.pid);
    kill_supervisor_alone();
    if (keeper > 0) ::kill(keeper, SIGKILL);
  }
  // Starts a supervisor where the last one was. False: it does not serve.
  bool restart() { return launch(); }

 private:
  RealFabric() = default;

  bool make_directory() {
    char name[] = "/tmp/ripstop-public-XXXXXX";
    if (mkdtemp(name) == nullptr) return false;
    directory_ = name;
    setenv("XDG_RUNTIME_DIR", name, 1);
    unsetenv("RIPSTOP_FABRIC");
    return true;
  }

  bool launch() {
    const std::vector<std::string> words = {
        program_, "--set", "hugepages=off", "--set", "drain_timeout_ms=0", "--set", "slab_bytes=64KiB",
        "--set", "on_death=" + on_death_, "--set", "successor_grace_ms=" + std::to_string(grace_.count()), "--set",
        R"(classes=[{"payload_bytes": 256, "chunk_count": 8192}, {"payload_bytes": "4KiB", "chunk_count": 512},)"
        R"( {"payload_bytes": "64KiB", "chunk_count": 64}, {"payload_bytes": "2MiB", "chunk_count": 8}])"};
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const std::string log = directory_ + "/log";
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) _exit(126);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    return wait_until([&] {
      const auto inspector = Inspector::open();
      if (!inspector) return false;
      const FabricView fabric = inspector->fabric();
      return fabric.read_via == "supervisor" && fabric.supervisor.pid == static_cast<uint32_t>(pid_);
    });
  }

  std::string program_;
  std::string on_death_;
  std::chrono::milliseconds grace_{0};
  std::string directory_;
  pid_t pid_ = -1;
};

// The words between a test and its child.
class Link {
 public:
  explicit Link(int fd) : fd_(fd) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { close(fd_); }

  void tell(uint64_t word) const { (void)!send(fd_, &word, sizeof word, MSG_NOSIGNAL); }
  // Nothing when the other side ended or says nothing for 30 s.
  std::optional<uint64_t> hear() const {
    pollfd descriptor{fd_, POLLIN, 0};
    uint64_t word = 0;
    if (poll(&descriptor, 1, 30'000) != 1 || read(fd_, &word, sizeof word) != sizeof word) return std::nullopt;
    return word;
  }

 private:
  int fd_;
};

// A process that runs `body(link)` and ends with what it returns. Made before the test attaches.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(fds[0]);
      int status = 0;
      {
        const Link link(fds[1]);
        status = body(link);
      }
      _exit(status);
    }
    close(fds[1]);
    link_ = std::make_unique<Link>(fds[0]);
  }
  ~Child() {
    if (pid_ > 0) (void)kill();
  }

  const Link& link() const { return *link_; }
  pid_t pid() const { return pid_; }
  // The exit status, or 128 + the signal.
  int wait() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int kill() {
    ::kill(pid_, SIGKILL);
    return wait();
  }

 private:
  pid_t pid_ = -1;
  std::unique_ptr<Link> link_;
};

// A suite over one fabric.
class OnRealFabric : public testing::Test {
 protected:
  static void SetUpTestSuite() { fabric() = RealFabric::start(trouble()); }
  static void TearDownTestSuite() { fabric().reset(); }
  void SetUp() override {
    if (fabric() != nullptr) return;
    if (trouble().empty()) FAIL() << "no fabric";
    GTEST_SKIP() << trouble();
  }

  static std::unique_ptr<RealFabric>& fabric() {
    static std::unique_ptr<RealFabric> fabric;
    return fabric;
  }
  static std::string& trouble() {
    static std::string trouble;
    return trouble;
  }

  static uint64_t chunks_in_use() {
    uint64_t count = 0;
    const auto inspector = Inspector::open();
    if (!inspector) return ~uint64_t{0};
    for (const NodeView& node : inspector->nodes()) {
      for (const ClassView& each : node.classes) count += each.chunks_loaned + each.chunks_held;
    }
    return count;
  }
  // Everything is back where it belongs, and counted.
  static bool all_chunks_free() {
    return wait_until([] { return chunks_in_use() == 0; }, 3s);
  }
};

// The value, or a failure that prints the error and ends the program: for calls that a test relies on.
template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << to_string(result.error());
    std::abort();
  }
  return std::move(*result);
}

inline Agent attach(std::string name, Wait wait = Wait::Adaptive) {
  AgentOptions options;
  options.name = std::move(name);
  options.wait = wait;
  return must(Agent::attach(std::move(options)));
}

inline SendOptions no_waiting() {
  SendOptions options;
  options.timeout = 0ns;
  return options;
}

// Sends a number; the number comes out again with number_of().
inline Sent send_number(Publisher<Bytes>& publisher, uint64_t number, const SendOptions& options = {}) {
  return must(publisher.send_copy({reinterpret_cast<const char*>(&number), sizeof number}, options));
}
inline uint64_t number_of(std::span<const std::byte> bytes) {
  uint64_t number = ~uint64_t{0};
  if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

// Ends with all chunks free again.
class Messaging : public OnRealFabric {
 protected:
  void TearDown() override {
    if (fabric() == nullptr) return;
    EXPECT_TRUE(all_chunks_free()) << chunks_in_use() << " chunks in use";
  }
};

inline std::vector<std::byte> pattern(std::size_t count, unsigned seed) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>((i * 31 + i / 251 + seed) & 0xff);
  return bytes;
}

// Takes what is there, as numbers.
inline std::vector<uint64_t> take_numbers(Subscriber<Bytes>& subscriber) {
  std::vector<uint64_t> numbers;
  while (auto message = subscriber.take()) numbers.push_back(number_of(message->bytes()));
  return numbers;
}

inline std::vector<uint64_t> count_from(uint64_t first, std::size_t count) {
  std::vector<uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

inline void expect_full_text(const Error& error) {
  EXPECT_FALSE(error.what.empty()) << error_code_text(error.code);
  EXPECT_FALSE(error.why.empty()) << to_string(error);
  EXPECT_FALSE(error.fix.empty()) << to_string(error);
}

}  // namespace ripstop::test
