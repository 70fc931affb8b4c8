// Where a fabric's supervisor is met: its socket, its keeper's socket and its lock.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "ripstop/result.h"

namespace ripstop::control {

struct Endpoint {
  std::string fabric;
  std::string directory;
  std::string socket;         // <directory>/<fabric>.sock
  std::string keeper_socket;  // <directory>/<fabric>.keeper.sock
  std::string lock;           // <directory>/<fabric>.lock
};

// Where a supervisor of this user serves `fabric`: $XDG_RUNTIME_DIR/ripstop, or /run/ripstop for root.
// Errors: BadName, Unavailable (no directory that only this user can write to).
Result<Endpoint> own_endpoint(std::string_view fabric);

// Where to look for `fabric`: as own_endpoint(), or in /run/ripstop when its socket is only there.
// Errors: as own_endpoint().
Result<Endpoint> find_endpoint(std::string_view fabric);

// The endpoint whose socket has this path; the fabric is named after the file.
Endpoint endpoint_at(std::string_view socket_path);

// Creates the directory, for this user alone or, with `shared`, searchable for others.
Result<void> make_directory(const Endpoint& endpoint, bool shared);

// Takes the directory away if nobody else has a file in it.
void remove_directory(const Endpoint& endpoint) noexcept;

// What a supervisor writes into its lock file.
struct LockRecord {
  pid_t pid = 0;
  uint64_t hugepages_added = 0;  // Pages it added to the kernel's pool.
};

// The record of the last supervisor, living or dead; none when there is no lock file.
std::optional<LockRecord> read_lock(const Endpoint& endpoint);

// Whether some process holds the lock now.
bool lock_is_held(const Endpoint& endpoint) noexcept;

// The right to be the fabric's supervisor, from take() until it ends or its process does.
class FabricLock {
 public:
  // Errors: FabricBusy (names the pid that has it), System.
  static Result<FabricLock> take(const Endpoint& endpoint);

  // What the supervisor before us left behind; pid 0: none, or it ended in order.
  const LockRecord& left_behind() const noexcept { return left_behind_; }

  Result<void> write(const LockRecord& record);
  // Removes the file: the supervisor ends in order.
  void remove() noexcept;

 private:
  FabricLock(base::OwnedFd fd, std::string path, LockRecord left_behind) noexcept
      : fd_(std::move(fd)), path_(std::move(path)), left_behind_(left_behind) {}

  base::OwnedFd fd_;
  std::string path_;
  LockRecord left_behind_;
};

// NoSupervisor, with what can be found out about why: no file, refused, the pid that has ended.
Error no_supervisor(const Endpoint& endpoint, int sys_errno);

}  // namespace ripstop::control
