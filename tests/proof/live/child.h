// A process beside the harness's, and the words between the two.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ripstop::live {

class Link {
 public:
  explicit Link(int fd) : fd_(fd) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link();

  void tell(std::string_view words) const;
  // Nothing when the other side ended, or says nothing for so long.
  std::optional<std::string> hear(int timeout_ms = 10'000) const;
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

// Runs `body` in a child of the harness, which itself is never attached: a child begins with nothing of a
// fabric. The child ends with what `body` returns, and with the harness, and by itself after a minute.
class Child {
 public:
  using Body = std::function<int(const Link&)>;
  explicit Child(const Body& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  const Link& link() const { return *link_; }
  pid_t pid() const { return pid_; }
  // Says `words` and hears the answer; "" when there is none.
  std::string ask(std::string_view words, int timeout_ms = 10'000) const;
  void signal(int number) const;
  // The exit status, or 128 + the signal; -1: it goes on for longer than that.
  int wait(int timeout_ms = 10'000);
  int kill();
  // Its end was taken by somebody else, or is to be left as it is.
  void disown() noexcept { pid_ = -1; }

 private:
  pid_t pid_ = -1;
  std::unique_ptr<Link> link_;
};

// Ends when a millisecond's look finds `condition`, or false after the timeout.
bool wait_until(const std::function<bool()>& condition, int timeout_ms = 5'000);

// Whether the process is gone, or a zombie.
bool has_ended(pid_t pid);
// The third field of /proc/PID/stat; 0: there is no such process.
char state_of(pid_t pid);

}  // namespace ripstop::live
