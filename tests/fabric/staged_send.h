// A send, step by step, in the order of agent/publisher_core.cc: the test stops where a kill would.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/fan_out.h"
#include "fabric/fake_fabric.h"
#include "memory/holders.h"
#include "memory/slab_heap.h"

namespace ripstop::fabric {

class StagedSend {
 public:
  // `receivers` are agents; each gets the message in `lane` of its inbox, or in ring `ring_id`.
  StagedSend(FakeFabric& fabric, memory::SlabHeap& heap, uint32_t publisher, std::vector<uint32_t> receivers,
             std::size_t lane = 2, uint32_t ring_id = 0)
      : fabric_(fabric), heap_(heap), publisher_(publisher), receivers_(std::move(receivers)), lane_(lane), ring_id_(ring_id) {}

  // 1. Loans the root and `continuation_count` further segments. False: the pool is empty.
  bool loan(uint32_t continuation_count = 0) {
    const auto loaned = heap_.loan(0);
    if (!loaned) return false;
    root_ = *loaned;
    layout::ChunkHeader& header = *root_.header;
    header.role = layout::ChunkRole::Root;
    header.flags = 0;
    header.link = 0;
    header.root = 0;
    header.priority = static_cast<uint8_t>(lane_) & 15;
    header.topic_id = 7;
    header.payload_bytes = 8;
    header.publisher_row = 0;
    header.source = fabric_.name(publisher_);
    for (uint32_t i = 0; i < continuation_count; ++i) {
      const auto link = heap_.loan(0);
      if (!link) return false;
      link->header->role = layout::ChunkRole::Continuation;
      link->header->flags = 0;
      link->header->link = 0;
      link->header->payload_bytes = 8;
      links.push_back(*link);
    }
    return true;
  }
  // 2. Names the receivers and chains the links.
  bool name() {
    std::vector<uint32_t> names;
    deliveries.clear();
    for (uint32_t i = 0; i < receivers_.size(); ++i) {
      names.push_back(ring_id_ != 0 ? fabric_.ring_name(ring_id_) : fabric_.name(receivers_[i]));
      deliveries.push_back({i, 0, 0});
    }
    const auto bits = detail::name_receivers(heap_, root_, names, deliveries, links);
    if (!bits) return false;
    bits_ = *bits;
    if (!links.empty()) detail::chain_links(root_, links);
    return true;
  }
  // 3. Says what is about to be committed.
  void intend(uint64_t sequence = 1, uint32_t sender = 0) {
    intent_ = &fabric_.block(publisher_).senders[sender];
    intent_->generation.store(root_.generation);
    intent_->sequence.store(sequence);
    intent_->row.store(0);
    intent_->root.store(root_.reference());
  }
  // 4.
  void commit() { memory::commit(*root_.header, bits_); }
  // 5. One delivery.
  ring::Push push(std::size_t delivery) {
    const uint32_t agent = receivers_[delivery];
    const auto queue = fabric_.map().queue(ring_id_);
    ring::MpmcRing ring = ring_id_ != 0 ? queue->ring : fabric_.lane(agent, lane_);
    const uint64_t incarnation = ring_id_ != 0 ? queue->incarnation : fabric_.incarnation(agent);
    return ring.push(incarnation, deliveries[delivery].reference, deliveries[delivery].bit, 0);
  }
  // 6.
  void end() {
    if (intent_ != nullptr) intent_->root.store(0);
    heap_.sent(root_);
    for (const memory::Loaned& link : links) heap_.sent(link);
  }
  // 1 to 6. False: a chunk or a slot was missing.
  bool whole(uint32_t continuation_count = 0) {
    if (!loan(continuation_count) || !name()) return false;
    intend();
    commit();
    for (std::size_t i = 0; i < deliveries.size(); ++i) {
      if (push(i) != ring::Push::Ok) return false;
    }
    end();
    return true;
  }

  const memory::Loaned& root() const { return root_; }
  std::vector<detail::Delivery> deliveries;
  detail::Links links;

 private:
  FakeFabric& fabric_;
  memory::SlabHeap& heap_;
  uint32_t publisher_;
  std::vector<uint32_t> receivers_;
  std::size_t lane_;
  uint32_t ring_id_;
  memory::Loaned root_{};
  uint64_t bits_ = 0;
  layout::SenderIntent* intent_ = nullptr;
};

}  // namespace ripstop::fabric
