// systemd's fd store: descriptors that the service manager holds for a service and gives to its next process
// (sd_pid_notify_with_fds(3), FileDescriptorStoreMax= in systemd.service(5)). What the keeper is to a supervisor
// anywhere, this is to one that systemd starts; both hold the same.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/owned_fd.h"
#include "control/wire.h"
#include "supervisor/keeper_link.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

// What an earlier process of the service stored.
struct StoredMemory {
  std::vector<base::OwnedFd> fds;  // As SegmentManager::adopt() takes them.
  std::vector<uint64_t> segment_bytes;
  std::vector<KeptPidfd> processes;
};

// Takes what systemd hands over ($LISTEN_FDS, once). Nothing: it hands over no fabric, or not all of one.
std::optional<StoredMemory> take_stored();

// Without systemd these do nothing.
void store_memory(const SegmentManager& segments);
void store_process(const control::KeptProcess& process, int pidfd);
void remove_process(const control::KeptProcess& process);
// All that is stored of the fabric: it ends.
void remove_memory(const SegmentManager& segments);

}  // namespace ripstop::supervisor
