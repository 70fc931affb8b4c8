#include "proof/live/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

namespace ripstop::live {

namespace {
constexpr unsigned kSecondsMax = 60;
int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }
}  // namespace

Link::~Link() { close(fd_); }

void Link::tell(std::string_view words) const { (void)!send(fd_, words.data(), words.size(), MSG_NOSIGNAL); }

std::optional<std::string> Link::hear(int timeout_ms) const {
  pollfd descriptor{fd_, POLLIN, 0};
  std::array<char, 4096> text;
  if (poll(&descriptor, 1, timeout_ms) != 1) return std::nullopt;
  const ssize_t got = recv(fd_, text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(got));
}

Child::Child(const Body& body) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
  std::fflush(nullptr);
  const pid_t harness = getpid();
  pid_ = fork();
  if (pid_ < 0) std::abort();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != harness) _exit(126);
    alarm(kSecondsMax);
    close(fds[0]);
    int status = 0;
    {
      const Link link(fds[1]);
      status = body(link);
    }
    std::fflush(nullptr);
    _exit(status);
  }
  close(fds[1]);
  link_ = std::make_unique<Link>(fds[0]);
}

Child::~Child() {
  if (pid_ > 0) (void)kill();
}

std::string Child::ask(std::string_view words, int timeout_ms) const {
  link_->tell(words);
  return link_->hear(timeout_ms).value_or("");
}

void Child::signal(int number) const { ::kill(pid_, number); }

int Child::wait(int timeout_ms) {
  int status = 0;
  const auto ended = [&] { return waitpid(pid_, &status, WNOHANG) == pid_; };
  if (!wait_until(ended, timeout_ms)) return -1;
  pid_ = -1;
  return status_of(status);
}

int Child::kill() {
  ::kill(pid_, SIGKILL);
  ::kill(pid_, SIGCONT);
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  return status_of(status);
}

bool wait_until(const std::function<bool()>& condition, int timeout_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t behind_name = line.rfind(')');
  return behind_name == std::string::npos || behind_name + 2 >= line.size() ? '\0' : line[behind_name + 2];
}

bool has_ended(pid_t pid) {
  const char state = state_of(pid);
  return state == '\0' || state == 'Z' || state == 'X';
}

}  // namespace ripstop::live
