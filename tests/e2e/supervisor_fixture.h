// The real ripstopd in a runtime directory of the test's own, spoken to as the library does. Small fabrics
// without huge pages, so that the tests disturb neither each other nor the machine.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "control/client.h"
#include "control/control_view.h"

namespace ripstop {

namespace fs = std::filesystem;
using control::Client;
using namespace std::chrono_literals;

inline const std::vector<std::string> kSmall = {"--set", "hugepages=off", "--set", "agents=16", "--set", "drain_timeout_ms=0",
                                         "--set", R"(classes=[{"payload_bytes": 256, "chunk_count": 256}])",
                                         "--set", "ring_arena_bytes=262144"};

inline bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = 5000ms) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Supervisor : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = std::getenv("RIPSTOP_BUILD_DIR");
    ASSERT_NE(build, nullptr) << "RIPSTOP_BUILD_DIR names the build";
    program_ = std::string(build) + "/daemon/ripstopd";
    char name[] = "/tmp/ripstop-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    setenv("XDG_RUNTIME_DIR", name, 1);
    endpoint_ = *control::own_endpoint("default");
  }

  void TearDown() override {
    for (const pid_t pid : children_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (const uint32_t keeper = keeper_pid_; keeper != 0) kill(static_cast<pid_t>(keeper), SIGKILL);
    fs::remove_all(directory_);
  }

  // Starts ripstopd; its output goes to `log_`.
  pid_t launch(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program_);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const std::string log = log_path();
    const pid_t pid = fork();
    if (pid == 0) {
      const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(fd, STDOUT_FILENO);
      dup2(fd, STDERR_FILENO);
      execv(words[0], words.data());
      _exit(127);
    }
    children_.push_back(pid);
    return pid;
  }

  pid_t start(const std::vector<std::string>& arguments = kSmall) {
    const pid_t pid = launch(arguments);
    EXPECT_TRUE(wait_until([&] { return fs::exists(endpoint_.socket) && Client::connect(endpoint_, 1000ms).has_value(); }))
        << read_file(log_path());
    if (auto status = connect().status()) keeper_pid_ = status->keeper_pid;
    return pid;
  }

  int exit_status(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    std::erase(children_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  int stop(pid_t pid) {
    kill(pid, SIGTERM);
    keeper_pid_ = 0;
    return exit_status(pid);
  }

  Client connect() {
    auto client = Client::connect(endpoint_, 5000ms);
    EXPECT_TRUE(client) << (client ? "" : to_string(client.error()));
    if (!client) std::abort();
    return std::move(*client);
  }

  control::Attachment attach(Client& client, const std::string& name, int node = -1) {
    control::AttachRequest request;
    request.name = name;
    request.node = node;
    auto attachment = client.attach(request);
    EXPECT_TRUE(attachment) << (attachment ? "" : to_string(attachment.error()));
    if (!attachment) std::abort();
    return std::move(*attachment);
  }

  static uint64_t fabric_id(const control::Attachment& attachment) {
    return reinterpret_cast<const layout::Superblock*>(attachment.control.data())->fabric_id;
  }

  // Runs `body` in a child process, which waits to be killed when it returns.
  // `thread_ends`: its first thread ends instead.
  pid_t in_child(const std::function<bool()>& body, bool thread_ends = false) {
    int pipe_fds[2];
    EXPECT_EQ(pipe(pipe_fds), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      const char answer = body() ? '1' : '0';
      if (write(pipe_fds[1], &answer, 1) != 1) _exit(1);
      if (thread_ends) syscall(SYS_exit, 0);  // As pthread_exit() ends it, without unwinding the test.
      for (;;) pause();
    }
    children_.push_back(pid);
    char answer = 0;
    EXPECT_EQ(read(pipe_fds[0], &answer, 1), 1);
    EXPECT_EQ(answer, '1');
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return pid;
  }

  std::string log_path() const { return directory_ + "/log"; }
  std::string log() const { return read_file(log_path()); }

  std::string program_;
  std::string directory_;
  control::Endpoint endpoint_;
  std::vector<pid_t> children_;
  uint32_t keeper_pid_ = 0;
};

}  // namespace ripstop
