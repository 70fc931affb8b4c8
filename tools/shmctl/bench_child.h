// A child process of the bench, and the pipe over which it reports.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "base/owned_fd.h"
#include "ripstop/result.h"

namespace ripstop::shmctl {

class BenchChild {
 public:
  // Forks. The child runs `work`, which says ready() once and returns its count; then it ends, with
  // no destructor of the parent's objects run. It is killed when the parent ends first.
  // Errors: System.
  using Ready = std::function<void()>;
  static Result<BenchChild> start(const std::function<std::optional<uint64_t>(const Ready&)>& work);

  // Whether the child said ready in time.
  bool wait_ready(uint64_t timeout_ns) const { return read_word(timeout_ns) == kReady; }
  // What `work` returned; nothing when it failed or did not end in time.
  std::optional<uint64_t> wait_count(uint64_t timeout_ns) const { return read_word(timeout_ns); }

  BenchChild(BenchChild&& other) noexcept;
  BenchChild& operator=(BenchChild&&) = delete;
  ~BenchChild();  // Ends the child and waits for it.

 private:
  static constexpr uint64_t kReady = ~uint64_t{0};
  BenchChild(pid_t pid, base::OwnedFd reports) noexcept : pid_(pid), reports_(std::move(reports)) {}
  std::optional<uint64_t> read_word(uint64_t timeout_ns) const;

  pid_t pid_;
  base::OwnedFd reports_;
};

}  // namespace ripstop::shmctl
