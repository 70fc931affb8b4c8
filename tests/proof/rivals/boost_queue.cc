// Boost.Interprocess message_queue: one mutex of the memory's around everything.
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cinttypes>
#include <cstdio>
#include <fstream>

#include "proof/rivals/rival.h"

namespace ripstop::rivals {

namespace {

namespace ipc = boost::interprocess;

// Where the library has mapped the file of that name.
std::span<std::byte> mapped_file(const std::string& name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uint64_t first = 0, end = 0;
    if (!line.ends_with("/" + name) || std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64, &first, &end) != 2) continue;
    return {reinterpret_cast<std::byte*>(first), static_cast<std::size_t>(end - first)};
  }
  return {};
}

class BoostQueue : public Rival {
 public:
  explicit BoostQueue(const std::string& name) : queue_(ipc::create_only, name.c_str(), kCapacity, sizeof(uint64_t)), memory_(mapped_file(name)) {
    ipc::message_queue::remove(name.c_str());
  }
  std::span<std::byte> memory() override { return memory_; }
  std::size_t capacity() const override { return kCapacity; }
  bool send(uint64_t number) override { return queue_.try_send(&number, sizeof number, 0); }
  bool receive(uint64_t& number) override {
    ipc::message_queue::size_type bytes = 0;
    unsigned priority = 0;
    return queue_.try_receive(&number, sizeof number, bytes, priority);
  }

 private:
  ipc::message_queue queue_;
  std::span<std::byte> memory_;
};

}  // namespace

std::unique_ptr<Rival> boost_message_queue(std::string& absent) {
  const std::string name = "ripstop-proof-" + std::to_string(getpid());
  ipc::message_queue::remove(name.c_str());
  auto queue = std::make_unique<BoostQueue>(name);
  if (!queue->memory().empty()) return queue;
  absent = "its memory is not found in /proc/self/maps";
  return nullptr;
}

}  // namespace ripstop::rivals
