#include "supervisor/damage.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "supervisor/log.h"

namespace ripstop::supervisor {

Result<std::unique_ptr<Damage>> Damage::create() {
  base::OwnedFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) return system_error("eventfd", errno);
  return std::unique_ptr<Damage>(new Damage(std::move(bell)));
}

Result<void> Damage::watch(const memory::Segment& node, layout::NodeGeometry& geometry) {
  nodes_.push_back({&geometry, bell_.get(), false});
  auto watched = memory::LostPages::watch(node, memory::Access::ReadWrite, on_lost, &nodes_.back());
  if (!watched) return watched.error();
  watched_.push_back(std::move(*watched));
  return {};
}

// In the signal handler.
void Damage::on_lost(void* node) {
  const Node& lost = *static_cast<const Node*>(node);
  std::atomic_ref(lost.geometry->lost_page_count).fetch_add(1, std::memory_order_relaxed);  // Relaxed: for tools.
  std::atomic_ref(lost.geometry->poisoned).store(1, std::memory_order_relaxed);             // Relaxed: only we decide by it.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t rung = write(lost.bell, &one, sizeof one);
}

void Damage::report() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(bell_.get(), &count, sizeof count);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (node.told || node.geometry->poisoned == 0) continue;
    node.told = true;
    log(LogLevel::Error,
        "node %zu of the memory lost a page: a process punched a hole into it, or the kernel took it (a huge page that was "
        "not to be had again, broken memory). What lay there is gone; agents that touch it get SIGBUS, and no new ones are "
        "placed there. End this fabric and start it again",
        i);
  }
}

}  // namespace ripstop::supervisor
