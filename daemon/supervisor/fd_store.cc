// The names say what is what: "ripstop-segment-0" the control segment, -1 .. the nodes; "ripstop-bell";
// "ripstop-agent-ID-INCARNATION" a process. systemd would drop a pidfd whose process has ended, and that is
// what a successor wants to know: FDPOLL=0.
#include "supervisor/fd_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "supervisor/sd_notify.h"

namespace ripstop::supervisor {

namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START.
constexpr const char* kBell = "ripstop-bell";

std::string segment_name(std::size_t index) { return "ripstop-segment-" + std::to_string(index); }
std::string process_name(const control::KeptProcess& process) {
  return "ripstop-agent-" + std::to_string(process.agent_id) + "-" + std::to_string(process.incarnation);
}

void store(const std::string& name, int fd, bool is_polled) {
  const int fds[] = {fd};
  sd_notify("FDSTORE=1\nFDNAME=" + name + (is_polled ? "" : "\nFDPOLL=0"), fds);
}
void remove(const std::string& name) { sd_notify("FDSTOREREMOVE=1\nFDNAME=" + name); }

uint64_t bytes_of(int fd) noexcept {
  struct stat status{};
  return fstat(fd, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

// The descriptors that are ours, by name.
std::multimap<std::string, base::OwnedFd> take_listed() {
  std::multimap<std::string, base::OwnedFd> listed;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  const char* names_text = std::getenv("LISTEN_FDNAMES");
  const bool is_ours = pid != nullptr && count_text != nullptr && std::strtol(pid, nullptr, 10) == getpid();
  const long count = is_ours ? std::strtol(count_text, nullptr, 10) : 0;
  std::string names = names_text != nullptr ? names_text : "";
  for (int fd = kFirstFd; fd - kFirstFd < count; ++fd) {
    const std::size_t end = names.find(':');
    std::string name = names.substr(0, end);
    names = end == std::string::npos ? "" : names.substr(end + 1);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) break;  // There are not so many.
    listed.emplace(std::move(name), base::OwnedFd(fd));
  }
  // The keeper, our child, is not to take them for its own.
  for (const char* word : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(word);
  return listed;
}

}  // namespace

std::optional<StoredMemory> take_stored() {
  auto listed = take_listed();
  StoredMemory stored;
  for (std::size_t index = 0;; ++index) {
    const auto found = listed.find(segment_name(index));
    if (found == listed.end()) break;
    stored.segment_bytes.push_back(bytes_of(found->second.get()));
    stored.fds.push_back(std::move(found->second));
  }
  const auto bell = listed.find(kBell);
  if (stored.fds.size() < 2 || bell == listed.end()) return std::nullopt;
  stored.fds.push_back(std::move(bell->second));
  for (auto& [name, fd] : listed) {
    control::KeptProcess process;
    if (std::sscanf(name.c_str(), "ripstop-agent-%" SCNu32 "-%" SCNu64, &process.agent_id, &process.incarnation) != 2) continue;
    stored.processes.push_back({process, std::move(fd)});
  }
  return stored;
}

void store_memory(const SegmentManager& segments) {
  const std::vector<int>& fds = segments.owner_fds();
  for (std::size_t index = 0; index + 1 < fds.size(); ++index) store(segment_name(index), fds[index], true);
  store(kBell, fds.back(), true);
}

void store_process(const control::KeptProcess& process, int pidfd) { store(process_name(process), pidfd, false); }
void remove_process(const control::KeptProcess& process) { remove(process_name(process)); }

void remove_memory(const SegmentManager& segments) {
  for (std::size_t index = 0; index + 1 < segments.owner_fds().size(); ++index) remove(segment_name(index));
  remove(kBell);
}

}  // namespace ripstop::supervisor
