#include "agent/process_look.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace ripstop::agent {

namespace {

constexpr int kThreadsMax = 64;

// The first bytes of a small file of /proc, or "".
std::string read_start(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  std::array<char, 1024> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  close(fd);
  return got <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(got));
}

// The fields of a stat line that are used, by their number in proc(5).
struct Stat {
  std::string program;          // 2
  char state = 0;               // 3
  uint64_t cpu_ticks = 0;       // 14 + 15
  uint64_t start_ticks = 0;     // 22
  uint64_t resident_pages = 0;  // 24
};

bool parse_stat(const std::string& line, Stat& stat) {
  // The program's name may hold blanks and brackets: it ends at the last one.
  const std::size_t open_at = line.find('(');
  const std::size_t close_at = line.rfind(')');
  if (open_at == std::string::npos || close_at == std::string::npos || close_at < open_at)
    return false;
  stat.program = line.substr(open_at + 1, close_at - open_at - 1);
  const char* at = line.c_str() + close_at + 1;
  for (int number = 3; *at != '\0'; ++number) {
    while (*at == ' ') ++at;
    if (number == 3) stat.state = *at;
    if (number == 14 || number == 15) stat.cpu_ticks += std::strtoull(at, nullptr, 10);
    if (number == 22) stat.start_ticks = std::strtoull(at, nullptr, 10);
    if (number == 24) {
      stat.resident_pages = std::strtoull(at, nullptr, 10);
      return true;
    }
    while (*at != ' ' && *at != '\0') ++at;
  }
  return false;
}

// The state of the process's liveliest thread: running before all others, ended behind all others.
// `first`: the first thread's, which is the process's own line.
char liveliest_thread(uint32_t pid, char first) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/task", pid);
  DIR* tasks = opendir(path);
  if (tasks == nullptr) return first;
  char state = first;
  int seen = 0;
  for (const dirent* task = readdir(tasks); task != nullptr && state != 'R'; task = readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    if (++seen > kThreadsMax) break;
    char stat_path[400];
    std::snprintf(stat_path, sizeof stat_path, "/proc/%u/task/%s/stat", pid, task->d_name);
    Stat stat;
    if (!parse_stat(read_start(stat_path), stat)) continue;
    if (stat.state == 'R' || state == 'Z') state = stat.state;
  }
  closedir(tasks);
  return state;
}

// The calls in which agents are found waiting; others by number.
const char* call_name(long number) {
  switch (number) {
    case SYS_futex: return "futex";
#ifdef SYS_futex_waitv
    case SYS_futex_waitv: return "futex_waitv";
#endif
    case SYS_read: return "read";
    case SYS_write: return "write";
    case SYS_readv: return "readv";
    case SYS_writev: return "writev";
    case SYS_pread64: return "pread";
    case SYS_pwrite64: return "pwrite";
    case SYS_fsync: return "fsync";
    case SYS_fdatasync: return "fdatasync";
    case SYS_ppoll: return "ppoll";
    case SYS_pselect6: return "pselect";
    case SYS_epoll_pwait: return "epoll_wait";
    case SYS_nanosleep: return "nanosleep";
    case SYS_clock_nanosleep: return "clock_nanosleep";
    case SYS_wait4: return "wait";
    case SYS_waitid: return "waitid";
    case SYS_accept: return "accept";
    case SYS_accept4: return "accept";
    case SYS_connect: return "connect";
    case SYS_recvfrom: return "recv";
    case SYS_recvmsg: return "recvmsg";
    case SYS_sendto: return "send";
    case SYS_sendmsg: return "sendmsg";
    case SYS_flock: return "flock";
    case SYS_fcntl: return "fcntl";
    case SYS_rt_sigtimedwait: return "sigtimedwait";
    case SYS_rt_sigsuspend: return "sigsuspend";
#ifdef SYS_io_uring_enter
    case SYS_io_uring_enter: return "io_uring_enter";
#endif
#ifdef SYS_poll
    case SYS_poll: return "poll";
    case SYS_select: return "select";
    case SYS_epoll_wait: return "epoll_wait";
    case SYS_pause: return "pause";
#endif
    default: return nullptr;
  }
}

std::string blocked_call(uint32_t pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/syscall", pid);
  const std::string line = read_start(path);
  if (line.empty() || line[0] < '0' || line[0] > '9') return "";  // "running", "-1 …", or not told.
  const long number = std::strtol(line.c_str(), nullptr, 10);
  const char* name = call_name(number);
  return name != nullptr ? name : "system call " + std::to_string(number);
}

}  // namespace

ProcessView look_at_process(uint32_t pid, uint64_t started_before_ns) {
  ProcessView view;
  view.pid = pid;
  if (pid == 0) return view;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  Stat stat;
  if (!parse_stat(read_start(path), stat)) return view;

  const auto ticks_per_s = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  const uint64_t tick_ns = 1'000'000'000u / ticks_per_s;
  timespec boot{};
  timespec monotonic{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  // The kernel counts a start in boot time; agents attach in monotonic time. They differ by the time
  // the machine was suspended since; a little is allowed for that and for the tick.
  const int64_t suspended_s = boot.tv_sec - monotonic.tv_sec;
  const uint64_t start_ns = stat.start_ticks * tick_ns;
  const uint64_t slack_ns =
      (static_cast<uint64_t>(suspended_s > 0 ? suspended_s : 0) + 1) * 1'000'000'000u;
  if (started_before_ns != 0 && start_ns > started_before_ns + slack_ns) return view;

  view.program = stat.program;
  // A process whose first thread has ended looks like a zombie until one looks at the others.
  view.state = stat.state == 'S' || stat.state == 'Z' ? liveliest_thread(pid, stat.state) : stat.state;
  view.alive = view.state != 'Z' && view.state != 'X';
  view.cpu_ns = stat.cpu_ticks * tick_ns;
  view.resident_bytes = stat.resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (view.state == 'S' || view.state == 'D') view.blocked_in = blocked_call(pid);
  return view;
}

}  // namespace ripstop::agent
