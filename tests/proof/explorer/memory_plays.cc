// Slabs and the chunks in them: adoption, orphans, chunks with a slab of their own, and messages with links.
#include "proof/explorer/plays.h"
#include "proof/explorer/stage.h"

namespace ripstop::explorer {

namespace {

using fabric::FakeShape;

class SlabStage : public Stage {
 public:
  SlabStage(uint32_t agent_count, uint32_t chunks_each, uint32_t slab_count)
      : Stage(FakeShape{1, agent_count + 1, {{256, chunks_each, slab_count}}, {1, 1, 2, 1, 1}, 0, 2}) {
    for (uint32_t agent = 1; agent <= agent_count; ++agent) attach(agent);
  }
  // Loans, writes, sees that nobody else did, and gives up or sends to nobody.
  void loan_alone(uint32_t agent, uint32_t id, bool sends) {
    auto heap = std::make_shared<memory::SlabHeap>(chunks(), 0, agent, fabric.incarnation(agent));
    add("loaner " + std::to_string(agent), agent, true, [this, heap, agent, id, sends] {
      const auto loaned = heap->loan(0);
      note(loaned ? 1 : 2);
      if (!loaned) return;
      loaned->header->role = layout::ChunkRole::Root;
      loaned->header->flags = 0;
      write_payload(*loaned->header, id);
      if (read_payload(*loaned->header) != id) took(agent, 0);
      if (sends) {  // To itself.
        layout::SenderIntent& intent = fabric.block(agent).senders[0];
        loaned->header->receivers[0] = fabric.name(agent);
        for (std::size_t i = 1; i < layout::kHeaderReceivers; ++i) loaned->header->receivers[i] = 0;
        intent.generation.store(loaned->generation, std::memory_order_relaxed);
        intent.row.store(0, std::memory_order_relaxed);
        intent.root.store(loaned->reference(), std::memory_order_release);
        memory::commit(*loaned->header, 1);
        heap->sent(*loaned);
        if (read_payload(*loaned->header) != id) took(agent, 0);
        (void)memory::release(chunks(), loaned->reference(), 0);
        intent.root.store(0, std::memory_order_release);
      } else {
        memory::abort_loan(*loaned->header, loaned->generation);
        heap->aborted(*loaned);
      }
    });
  }
};

// One slab, two who want it.
std::unique_ptr<Scene> adopt() {
  auto stage = std::make_unique<SlabStage>(2, 2, 1);
  stage->loan_alone(1, 1, false);
  stage->loan_alone(2, 2, true);
  return stage;
}

// Chunks that have a slab to themselves go from sender to whoever is quick.
std::unique_ptr<Scene> single() {
  auto stage = std::make_unique<SlabStage>(3, 1, 2);
  stage->receivers = {2};
  stage->may_fill = true;
  auto publisher = std::make_shared<Publisher>(*stage, 1, std::vector<uint32_t>{2}, Publisher::Ways{});
  stage->add("publisher", 1, true, [publisher] {
    (void)publisher->send(1);
    (void)publisher->send(2);
  });
  auto taker = std::make_shared<Taker>(*stage, 2, 0, false);
  stage->add("taker", 2, false, [taker] { taker->take_and_release(1); });
  stage->loan_alone(3, 3, true);
  return stage;
}

// A dead publisher's slab is adopted with what is under way in it.
std::unique_ptr<Scene> orphan() {
  auto stage = std::make_unique<SlabStage>(3, 2, 1);
  stage->receivers = {2};
  auto publisher = std::make_shared<Publisher>(*stage, 1, std::vector<uint32_t>{2}, Publisher::Ways{});
  stage->add("publisher", 1, true, [publisher] { (void)publisher->send(1); });
  auto taker = std::make_shared<Taker>(*stage, 2, 0, false);
  stage->add("taker", 2, false, [taker] { taker->take_and_release(1); });
  auto heap = std::make_shared<memory::SlabHeap>(stage->chunks(), 0, 3, stage->fabric.incarnation(3));
  SlabStage* const self = stage.get();
  stage->add("adopter", 3, false, [self, heap] {
    for (;;) {  // Until the dead's slab is free; for ever where nobody dies.
      const uint64_t seen = changes();
      const auto loaned = heap->loan(0);
      if (!loaned) {
        await_change(seen);
        continue;
      }
      write_payload(*loaned->header, 9);
      if (read_payload(*loaned->header) != 9) self->took(3, 0);
      memory::abort_loan(*loaned->header, loaned->generation);
      heap->aborted(*loaned);
      return;
    }
  });
  return stage;
}

// A message with a further segment, in the hands of two.
class LinkedStage : public SlabStage {
 public:
  LinkedStage(uint32_t chunks_each, bool sends_on) : SlabStage(3, chunks_each, 1) {
    receivers = {2, 3};
    Publisher::Ways ways;
    ways.link_count = 1;
    auto publisher = std::make_shared<Publisher>(*this, 1, receivers, ways);
    (void)publisher->send(1);
    for (const uint32_t agent : receivers) {
      auto taker = std::make_shared<Taker>(*this, agent, 0, false);
      (void)taker->take();
      add("taker " + std::to_string(agent), agent, true, [taker] { taker->release(); });
    }
    if (!sends_on) return;
    // Its chunks, as soon as they are free.
    add("publisher", 1, true, [publisher] {
      for (;;) {
        const uint64_t seen = changes();
        if (publisher->send(2)) return;
        await_change(seen);
      }
    });
  }
};
std::unique_ptr<Scene> linked() { return std::make_unique<LinkedStage>(2, false); }
std::unique_ptr<Scene> linked_again() { return std::make_unique<LinkedStage>(2, true); }

std::unique_ptr<Scene> linked_send() {
  auto stage = std::make_unique<SlabStage>(2, 2, 1);
  stage->receivers = {2};
  Publisher::Ways ways;
  ways.link_count = 1;
  auto publisher = std::make_shared<Publisher>(*stage, 1, std::vector<uint32_t>{2}, ways);
  stage->add("publisher", 1, true, [publisher] { (void)publisher->send(1); });
  auto taker = std::make_shared<Taker>(*stage, 2, 0, false);
  stage->add("taker", 2, true, [taker] { taker->take_and_release(1); });
  return stage;
}

}  // namespace

void add_memory_plays(std::vector<Play>& plays) {
  const std::vector<Bounds> usual = {{3, 1}};
  const std::vector<Bounds> all = {{3, 1}, {2, 2}};
  plays.push_back({"adopt", "two want the only slab", usual, all, adopt});
  plays.push_back({"single", "chunks with a slab to themselves go round", {{2, 0}, {1, 1}}, {{2, 1}, {1, 2}}, single});
  plays.push_back({"orphan", "a dead publisher's slab is adopted with what is under way", {{2, 1}}, all, orphan});
  plays.push_back({"linked", "the last releases of a message with a link", usual, all, linked});
  plays.push_back({"linked-again", "the same, and its publisher loans the chunks again", {{2, 0}, {1, 1}}, {{2, 1}, {1, 2}}, linked_again});
  plays.push_back({"linked-send", "a message with a link is sent and taken", usual, all, linked_send});
}

}  // namespace ripstop::explorer
