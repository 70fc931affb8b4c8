// What scenes have in common: a small fabric without a supervisor's process (tests/fabric), publishers and
// takers made of the library's parts in the order in which lib/agent puts them together, recovery as the
// registry calls it, and the oracle.
//
// Actors have no connection to a supervisor, which AgentCore wants; what the explorer runs of lib/agent are
// its parts that need none: Source, DirectLane, DirectInbox, fan_out.h, resolve_receivers().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/fan_out.h"
#include "agent/receiver.h"
#include "agent/source.h"
#include "fabric/fake_fabric.h"
#include "memory/evict.h"
#include "memory/holders.h"
#include "memory/slab_heap.h"
#include "proof/explorer/scene.h"
#include "ring/doorbell.h"
#include "ring/space.h"

namespace ripstop::explorer {

inline constexpr std::size_t kLane = 2;
inline constexpr uint32_t kMessagesMax = 16;
inline constexpr uint32_t kAgentsMax = 8;

// What was promised of a message and what came of it, kept outside of the memory under test.
struct Record {
  bool is_begun = false;
  bool has_returned = false;      // Its send.
  uint32_t publisher = 0;
  uint32_t named = 0;             // Bit i: agent i was to get it.
  uint32_t reached = 0;           // Bit i: the send said that agent i has it.
  std::array<uint8_t, kAgentsMax> taken{};
  std::array<bool, kAgentsMax> released{};
  bool is_torn = false;
};

class Stage : public Scene {
 public:
  explicit Stage(const fabric::FakeShape& shape);
  ~Stage() override { actors.clear(); }  // Their heaps give slabs back to the fabric.

  std::vector<std::span<std::byte>> shared() override;
  std::string name_of(std::size_t region, std::size_t offset) override;
  void recover() override;
  Finding judge(const std::vector<bool>& asleep) override;

  fabric::FakeFabric fabric;
  std::array<Record, kMessagesMax> records;
  // Who takes what in the drain, in order, each agent's; and before it.
  std::array<std::vector<uint32_t>, kAgentsMax> order;

  // Agents that have a lane or a ring of their own that is drained at the end.
  std::vector<uint32_t> receivers;
  bool drops = false;           // The oldest may be dropped for want of room.
  bool may_fill = false;        // Not everybody gets everything: rings may be full.
  bool is_ordered = true;
  bool shares = false;          // The receivers share one queue: each message goes to one of them.
  uint32_t queue = 0;           // The ring that messages go through; 0: the lane.

  const memory::ChunkMap& chunks() const { return fabric.chunks(); }
  void attach(uint32_t agent) { first_incarnations_[agent] = fabric.attach(agent); }
  void add(std::string name, uint32_t agent, bool is_mortal, std::function<void()> act) {
    actors.push_back({std::move(name), agent, is_mortal, std::move(act)});
  }
  // Somebody's take is entered. `id`: what the payload says.
  void took(uint32_t agent, uint32_t id);
  void released(uint32_t agent, uint32_t id);

 protected:
  // Rings of their own, by owner; settled with it.
  std::vector<uint32_t> rings_of(uint32_t agent);
  // What is settled beside, and what happens after a death was settled: a successor comes, say.
  virtual void settle_further(uint32_t) {}
  virtual void after_settling(uint32_t) {}
  // Where else messages lie for an agent.
  virtual void drain_further(uint32_t) {}
  // Further questions, after all was drained.
  virtual Finding look_further() { return {}; }
  // Whether agent i may sleep: nothing lies there for it.
  virtual bool may_sleep(uint32_t agent);

 private:
  void drain(uint32_t agent);
  void drain_ring(ring::MpmcRing ring, uint32_t agent, uint64_t incarnation);
  Finding ask_records();
  Finding look_for_leaks();
  Finding fill_and_drain();
  Finding settle_again();

  std::array<uint64_t, kAgentsMax> first_incarnations_{};
  bool has_lost_owner_ = false;
};

// A publishing thread: agent/publisher_core.cc, publisher_push.cc.
class Publisher {
 public:
  struct Ways {
    uint32_t link_count = 0;      // Further segments.
    bool drops_oldest = false;    // The receivers' policy.
    bool blocks = false;          // It waits for room, asleep.
    bool rings = false;           // It rings sleepers.
    uint32_t class_index = 0;
  };
  // It goes by the route of this moment.
  Publisher(Stage& stage, uint32_t agent, std::vector<uint32_t> receivers, Ways ways);

  // False: there was no chunk. Bit i of what it answers in the ledger: agent i has it.
  bool send(uint32_t id);
  memory::SlabHeap& heap() { return heap_; }

 private:
  struct Target {
    uint32_t agent;
    ring::MpmcRing ring;
    uint64_t incarnation;
    uint32_t name;
    layout::RingBack* back;
    std::atomic<uint32_t>* doorbell;
    const layout::RingEntry* entry;  // Of a ring of its own.
    uint32_t last_rung = 0;
    uint64_t head_seen = 0;
  };
  Target resolve(uint32_t agent);
  ring::Tail look_for_room(Target& target);
  ring::Tail wait_for_room(Target& target);
  ring::Push push(Target& target, ring::Tail tail, const detail::Delivery& delivery);
  void ring(Target& target);

  Stage& stage_;
  uint32_t agent_;
  Ways ways_;
  memory::SlabHeap heap_;
  std::vector<Target> targets_;
  layout::SenderIntent& intent_;
  layout::PublisherRow& row_;
};

// A receiving thread: agent/inbox.cc, inbox_take.cc, for one source.
class Taker {
 public:
  // `ring_id`: 0: the lane. `is_shared`: publishers may evict.
  Taker(Stage& stage, uint32_t agent, uint32_t ring_id, bool is_shared);

  // The number of the next message, 0: there is none now.
  uint32_t take();
  void release();
  // The same and a look for another one each time, until it has `count`.
  void take_and_release(uint32_t count);
  // Sleeps when there is none.
  void sleep_and_take(uint32_t count);
  bool has_mail() const { return source_.has_mail(); }

 private:
  struct InHand {
    layout::Reference reference;
    uint64_t generation;
    uint32_t bit;
    uint64_t position;
    ring::SlotView slot;
    uint32_t id;
    bool held = false;
  };
  Stage& stage_;
  uint32_t agent_;
  layout::AgentBlock& block_;
  detail::Source source_;
  std::vector<InHand> in_hand_;
};

// What a message says, and writing it; torn is 0.
void write_payload(layout::ChunkHeader& header, uint32_t id);
uint32_t read_payload(layout::ChunkHeader& header);

}  // namespace ripstop::explorer
