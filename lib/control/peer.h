// Who is at the other end of a Unix socket, as the kernel says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "ripstop/result.h"

namespace ripstop::control {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;   // Supplementary ones.
  base::OwnedFd pidfd;         // Polls readable when the process has ended.
  uint64_t pidfd_inode = 0;    // The process's name for the life of the host; 0: this kernel has none.
};

// The process that connected `socket`.
// Errors: SupervisorGone (it has ended since), System.
// Source: SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD (Linux 6.5) or pidfd_open(2).
Result<Peer> peer_of(int socket);

// Errors: NotFound (no such process), System.
Result<base::OwnedFd> open_pidfd(pid_t pid);
uint64_t pidfd_inode(int pidfd) noexcept;

// Whether the process has ended. Never waits.
bool has_ended(int pidfd) noexcept;

// The process's comm: at most 15 bytes; empty when it cannot be read.
std::string program_of(pid_t pid);

}  // namespace ripstop::control
