// Who may attach: decided from what the kernel says about the peer of a connection.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "control/peer.h"
#include "ripstop/result.h"
#include "supervisor/config.h"

namespace ripstop::supervisor {

class AccessPolicy {
 public:
  // Errors: ConfigValue (no such group).
  static Result<AccessPolicy> create(const Config& config);

  // The supervisor's own user, the configured users, the members of the configured group.
  bool allows(const control::Peer& peer) const noexcept;
  // Denied, with what was found and what would be needed.
  Error denied(const control::Peer& peer) const;

  // The group that the sockets belong to; none: they are the supervisor's user's alone.
  std::optional<gid_t> group() const noexcept { return group_; }
  // 0600, or 0660 with a group, or 0666 with further users: then the credentials alone decide.
  mode_t socket_mode() const noexcept { return !uids_.empty() ? 0666 : group_ ? 0660 : 0600; }

 private:
  std::vector<uid_t> uids_;
  std::optional<gid_t> group_;
};

// A listening SEQPACKET socket at `path` with the policy's group and mode.
// Errors: System.
Result<base::OwnedFd> listen_at(const std::string& path, const AccessPolicy& policy);

}  // namespace ripstop::supervisor
