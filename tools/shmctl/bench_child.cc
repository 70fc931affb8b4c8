#include "shmctl/bench_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ripstop::shmctl {

Result<BenchChild> BenchChild::start(
    const std::function<std::optional<uint64_t>(const Ready&)>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe for a bench child", errno);
  base::OwnedFd read_end(ends[0]);
  base::OwnedFd write_end(ends[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return system_error("fork a bench child", errno);
  if (pid > 0) return BenchChild(pid, std::move(read_end));

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // It had ended before it was watched.
  const auto say = [&](uint64_t word) {
    return write(write_end.get(), &word, sizeof word) == sizeof word;
  };
  const std::optional<uint64_t> count = work([&] { (void)say(kReady); });
  if (count) (void)say(*count);
  _exit(count ? 0 : 1);
}

BenchChild::BenchChild(BenchChild&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), reports_(std::move(other.reports_)) {}

BenchChild::~BenchChild() {
  if (pid_ <= 0) return;
  // One that has reported has ended already, or is about to.
  kill(pid_, SIGTERM);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

std::optional<uint64_t> BenchChild::read_word(uint64_t timeout_ns) const {
  pollfd waiting{reports_.get(), POLLIN, 0};
  if (poll(&waiting, 1, static_cast<int>(timeout_ns / 1'000'000)) != 1) return std::nullopt;
  uint64_t word = 0;
  if (read(reports_.get(), &word, sizeof word) != sizeof word) return std::nullopt;
  return word;
}

}  // namespace ripstop::shmctl
