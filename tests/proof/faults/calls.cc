#include "proof/faults/calls.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace ripstop::faults {

namespace {

struct Call {
  uint64_t number;
  const char* name;
  std::vector<int> faults;
};

// What the manual of the call names, of what a machine under pressure answers.
const std::vector<Call>& calls() {
  static const std::vector<Call> table = {
      {SYS_read, "read", {EIO, EINTR, kShort, kDies}},
      {SYS_pread64, "pread", {EIO, EINTR, kShort, kDies}},
      {SYS_write, "write", {ENOSPC, EIO, EINTR, kShort, kDies}},
      {SYS_pwrite64, "pwrite", {ENOSPC, EIO, kShort, kDies}},
      {SYS_writev, "writev", {ENOSPC, EIO, kDies}},
      {SYS_open, "open", {EMFILE, ENOMEM, ENOSPC, kDies}},
      {SYS_openat, "openat", {EMFILE, ENOMEM, ENOSPC, EINTR, kDies}},
      {SYS_close, "close", {EIO, EINTR, kDies}},
      {SYS_fstat, "fstat", {ENOMEM, kDies}},
      {SYS_stat, "stat", {ENOMEM, kDies}},
      {SYS_lstat, "lstat", {ENOMEM, kDies}},
      {SYS_newfstatat, "fstatat", {ENOMEM, kDies}},
      {SYS_fstatfs, "fstatfs", {EIO, kDies}},
      {SYS_access, "access", {EIO, kDies}},
      {SYS_faccessat2, "faccessat", {EIO, kDies}},
      {SYS_readlink, "readlink", {EIO, kDies}},
      {SYS_getdents64, "getdents", {EIO, kDies}},
      {SYS_mmap, "mmap", {ENOMEM, kDies}},
      {SYS_munmap, "munmap", {ENOMEM, kDies}},
      {SYS_mprotect, "mprotect", {ENOMEM, kDies}},
      {SYS_madvise, "madvise", {ENOMEM, kDies}},
      {SYS_brk, "brk", {ENOMEM, kDies}},
      {SYS_memfd_create, "memfd_create", {EMFILE, ENOMEM, kDies}},
      {SYS_ftruncate, "ftruncate", {ENOSPC, EIO, EINTR, kDies}},
      {SYS_fallocate, "fallocate", {ENOSPC, ENOMEM, EINTR, EIO, kDies}},
      {SYS_fcntl, "fcntl", {ENOMEM, EMFILE, kDies}},
      {SYS_fchmod, "fchmod", {EIO, kDies}},
      {SYS_chmod, "chmod", {EIO, kDies}},
      {SYS_chown, "chown", {EIO, kDies}},
      {SYS_chdir, "chdir", {ENOMEM, kDies}},
      {SYS_mkdir, "mkdir", {ENOSPC, EIO, kDies}},
      {SYS_rmdir, "rmdir", {EIO, kDies}},
      {SYS_unlink, "unlink", {EIO, kDies}},
      {SYS_flock, "flock", {EINTR, ENOLCK, kDies}},
      {SYS_dup, "dup", {EMFILE, kDies}},
      {SYS_dup2, "dup2", {EMFILE, kDies}},
      {SYS_dup3, "dup3", {EMFILE, kDies}},
      {SYS_pipe2, "pipe2", {EMFILE, kDies}},
      {SYS_socket, "socket", {EMFILE, ENOMEM, kDies}},
      {SYS_socketpair, "socketpair", {EMFILE, ENOMEM, kDies}},
      {SYS_bind, "bind", {ENOSPC, ENOMEM, kDies}},
      {SYS_listen, "listen", {ENOBUFS, kDies}},
      {SYS_accept4, "accept4", {EMFILE, ENOMEM, ECONNABORTED, EINTR, kDies}},
      {SYS_connect, "connect", {EINTR, ENOMEM, EAGAIN, kDies}},
      {SYS_sendmsg, "sendmsg", {ENOBUFS, EINTR, EPIPE, kShort, kDies}},
      {SYS_recvmsg, "recvmsg", {ENOMEM, EINTR, ECONNRESET, kShort, kDies}},
      {SYS_sendto, "sendto", {ENOBUFS, EINTR, kDies}},
      {SYS_recvfrom, "recvfrom", {ENOMEM, EINTR, kDies}},
      {SYS_getsockopt, "getsockopt", {ENOMEM, EMFILE, kDies}},
      {SYS_setsockopt, "setsockopt", {ENOMEM, kDies}},
      {SYS_epoll_create1, "epoll_create1", {EMFILE, ENOMEM, kDies}},
      {SYS_epoll_ctl, "epoll_ctl", {ENOMEM, ENOSPC, kDies}},
      {SYS_epoll_wait, "epoll_wait", {EINTR, kDies}},
      {SYS_epoll_pwait, "epoll_pwait", {EINTR, kDies}},
      {SYS_poll, "poll", {EINTR, ENOMEM, kDies}},
      {SYS_ppoll, "ppoll", {EINTR, ENOMEM, kDies}},
      {SYS_eventfd2, "eventfd2", {EMFILE, ENOMEM, kDies}},
      {SYS_inotify_init1, "inotify_init1", {EMFILE, ENOMEM, kDies}},
      {SYS_inotify_add_watch, "inotify_add_watch", {ENOSPC, ENOMEM, kDies}},
      {SYS_signalfd4, "signalfd4", {EMFILE, ENOMEM, kDies}},
      {SYS_timerfd_create, "timerfd_create", {EMFILE, ENOMEM, kDies}},
      {SYS_timerfd_settime, "timerfd_settime", {ENOMEM, kDies}},
      {SYS_pidfd_open, "pidfd_open", {EMFILE, ENOMEM, kDies}},
      {SYS_pidfd_send_signal, "pidfd_send_signal", {ENOMEM, kDies}},
      {SYS_fork, "fork", {EAGAIN, ENOMEM, kDies}},
      {SYS_vfork, "vfork", {EAGAIN, ENOMEM, kDies}},
      {SYS_clone, "clone", {EAGAIN, ENOMEM, kDies}},
      {SYS_clone3, "clone3", {EAGAIN, ENOMEM, kDies}},
      {SYS_execve, "execve", {ENOMEM, EIO, kDies}},
      {SYS_wait4, "wait4", {EINTR, kDies}},
      {SYS_futex, "futex", {EINTR, kDies}},
      {SYS_membarrier, "membarrier", {ENOSYS, kDies}},
      {SYS_getrandom, "getrandom", {EINTR, kDies}},
      {SYS_prlimit64, "prlimit", {EPERM, kDies}},
      {SYS_sched_getaffinity, "sched_getaffinity", {ENOMEM, kDies}},
      {SYS_sched_setaffinity, "sched_setaffinity", {ENOMEM, kDies}},
      {SYS_clock_nanosleep, "clock_nanosleep", {EINTR, kDies}},
      {SYS_ioctl, "ioctl", {ENOMEM, kDies}},
      {SYS_kill, "kill", {EPERM, kDies}},
      {SYS_mbind, "mbind", {ENOMEM, kDies}},
      {SYS_get_mempolicy, "get_mempolicy", {ENOMEM, kDies}},
      {SYS_lseek, "lseek", {EIO, kDies}},
  };
  return table;
}

const Call* find(uint64_t number) {
  const auto found = std::find_if(calls().begin(), calls().end(), [=](const Call& call) { return call.number == number; });
  return found == calls().end() ? nullptr : &*found;
}

}  // namespace

std::span<const int> faults_of(uint64_t number) {
  const Call* call = find(number);
  return call == nullptr ? std::span<const int>() : std::span<const int>(call->faults);
}

std::string name_of(uint64_t number) {
  const Call* call = find(number);
  return call == nullptr ? "system call " + std::to_string(number) : call->name;
}

std::string name_of_fault(int fault) {
  if (fault == kShort) return "short";
  if (fault == kDies) return "dies";
  const char* name = strerrorname_np(fault);
  return name == nullptr ? std::to_string(fault) : name;
}

}  // namespace ripstop::faults
