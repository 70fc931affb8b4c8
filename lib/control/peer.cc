#include "control/peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; Debian 12's headers do not name it.
#endif

namespace ripstop::control {

namespace {
// The file system of pidfds since Linux 6.9, where inodes are unique. Before, all share one.
constexpr long kPidfsMagic = 0x50494446;
}  // namespace

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return system_error("SO_PEERCRED", errno);
  }
  Peer peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.groups.resize(64);
  length = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
  int got = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &length);
  if (got != 0 && errno == ERANGE) {
    peer.groups.resize(length / sizeof(gid_t));
    got = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &length);
  }
  peer.groups.resize(got == 0 ? length / sizeof(gid_t) : 0);

  int pidfd = -1;
  length = sizeof pidfd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
    peer.pidfd.reset(pidfd);
  } else if (errno == ENOPROTOOPT) {
    auto opened = open_pidfd(peer.pid);
    if (!opened) return opened.error();
    peer.pidfd = std::move(*opened);
  } else if (errno == ESRCH || errno == ENODATA || errno == EINVAL) {
    return Error{Errc::SupervisorGone, errno, "the peer of a connection has ended", "the kernel has no process for it any more", "try again"};
  } else {
    return system_error("SO_PEERPIDFD", errno);
  }
  peer.pidfd_inode = control::pidfd_inode(peer.pidfd.get());
  return peer;
}

Result<base::OwnedFd> open_pidfd(pid_t pid) {
  const long fd = syscall(SYS_pidfd_open, pid, 0u);
  if (fd < 0 && errno == ESRCH) {
    return Error{Errc::NotFound, ESRCH, "there is no process " + std::to_string(pid), "", ""};
  }
  if (fd < 0) return system_error("pidfd_open " + std::to_string(pid), errno);
  return base::OwnedFd(static_cast<int>(fd));
}

uint64_t pidfd_inode(int pidfd) noexcept {
  struct statfs system{};
  struct stat status{};
  if (fstatfs(pidfd, &system) != 0 || static_cast<long>(system.f_type) != kPidfsMagic) return 0;
  return fstat(pidfd, &status) == 0 ? status.st_ino : 0;
}

bool has_ended(int pidfd) noexcept {
  pollfd poll_fd{pidfd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLIN) != 0;
}

std::string program_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace ripstop::control
