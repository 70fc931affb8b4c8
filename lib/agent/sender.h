// What one thread needs to publish: a heap of its own and the intent that recovery reads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "layout/agent_block.h"
#include "memory/slab_heap.h"

namespace ripstop::detail {

struct Sender {
  Sender(const memory::ChunkMap& map, uint32_t node, uint32_t agent_id, uint64_t incarnation, memory::WarmChunks& warm,
         layout::SenderIntent& intent_word)
      : heap(map, node, agent_id, incarnation, &warm), intent(&intent_word) {}

  memory::SlabHeap heap;
  layout::SenderIntent* intent;
  const void* thread = nullptr;  // this_thread_mark() of the thread that uses it.
};

// An address that no other running thread has.
inline const void* this_thread_mark() noexcept { return __builtin_thread_pointer(); }

// The senders of one agent, one for each thread that publishes.
// Thread: any.
class Senders {
 public:
  Senders(const memory::ChunkMap& map, layout::AgentBlock& block, uint32_t node, uint32_t agent_id,
          uint64_t incarnation) noexcept
      : map_(map), block_(block), node_(node), agent_id_(agent_id), incarnation_(incarnation) {}

  // The calling thread's sender; null when kSenderCount other threads have one.
  Sender* mine();

  memory::WarmChunks& warm() noexcept { return warm_; }
  // Gives all slabs back. No thread may be publishing.
  void clear();

 private:
  const memory::ChunkMap& map_;
  layout::AgentBlock& block_;
  uint32_t node_;
  uint32_t agent_id_;
  uint64_t incarnation_;
  memory::WarmChunks warm_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Sender>> senders_;
};

}  // namespace ripstop::detail
