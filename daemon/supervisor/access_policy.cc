#include "supervisor/access_policy.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ripstop::supervisor {

namespace {
constexpr int kBacklog = 512;
}  // namespace

Result<AccessPolicy> AccessPolicy::create(const Config& config) {
  AccessPolicy policy;
  for (const uint64_t uid : config.allow_uids) policy.uids_.push_back(static_cast<uid_t>(uid));
  if (!config.socket_group.empty()) {
    const struct group* entry = getgrnam(config.socket_group.c_str());
    if (entry == nullptr) {
      return Error{Errc::ConfigValue, 0, "\"socket_group\" names no group: " + config.socket_group,
                   "this machine has none of that name", "groupadd " + config.socket_group + "     or leave it empty"};
    }
    policy.group_ = entry->gr_gid;
  }
  return policy;
}

bool AccessPolicy::allows(const control::Peer& peer) const noexcept {
  if (peer.uid == geteuid() || std::find(uids_.begin(), uids_.end(), peer.uid) != uids_.end()) return true;
  return group_ && (peer.gid == *group_ || std::find(peer.groups.begin(), peer.groups.end(), *group_) != peer.groups.end());
}

Error AccessPolicy::denied(const control::Peer& peer) const {
  return {Errc::Denied, 0, "uid " + std::to_string(peer.uid) + " (pid " + std::to_string(peer.pid) + ") may not use this fabric",
          "it is uid " + std::to_string(geteuid()) + "'s" +
              (group_ ? " and that of the members of group " + std::to_string(*group_) : ""),
          "run as that user, configure \"allow_uids\" or \"socket_group\", or start a fabric of your own"};
}

Result<base::OwnedFd> listen_at(const std::string& path, const AccessPolicy& policy) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return system_error("bind " + path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  base::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("socket", errno);
  unlink(path.c_str());  // The caller has the right to the name.
  const mode_t before = umask(0177);  // Nobody gets in between bind and chmod.
  const int bound = bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_errno = errno;
  umask(before);
  if (bound != 0) return system_error("bind " + path, bind_errno);
  const auto give_up = [&](const std::string& op) {
    const int sys_errno = errno;
    unlink(path.c_str());
    return system_error(op, sys_errno);
  };
  if (policy.group() && chown(path.c_str(), static_cast<uid_t>(-1), *policy.group()) != 0) {
    return give_up("give " + path + " to its group");
  }
  if (policy.socket_mode() != 0600 && chmod(path.c_str(), policy.socket_mode()) != 0) {
    return give_up("chmod " + path);
  }
  if (listen(socket.get(), kBacklog) != 0) return give_up("listen at " + path);
  return socket;
}

}  // namespace ripstop::supervisor
