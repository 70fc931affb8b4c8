#include "memory/evict.h"

#include <gtest/gtest.h>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"

namespace ripstop::memory {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;

constexpr uint32_t kPublisher = 1;
constexpr uint32_t kTaker = 2;
constexpr uint32_t kRing = 1;

class EvictTest : public testing::Test {
 protected:
  EvictTest() {
    fabric_.attach(kPublisher);
    fabric_.attach(kTaker);
    incarnation_ = fabric_.open_queue(kRing, kTaker);
    heap_.emplace(fabric_.chunks(), 0, kPublisher, fabric_.incarnation(kPublisher));
  }
  ring::MpmcRing ring() { return fabric_.map().queue(kRing)->ring; }
  // Sends one; its outcome is the push's.
  ring::Push send() {
    StagedSend send(fabric_, *heap_, kPublisher, {kTaker}, 2, kRing);
    EXPECT_TRUE(send.loan() && send.name());
    send.intend();
    send.commit();
    const ring::Push pushed = send.push(0);
    references_.push_back(send.root().reference());
    if (pushed != ring::Push::Ok) (void)release(fabric_.chunks(), references_.back(), 0);
    send.end();
    return pushed;
  }
  Evict evict() {
    ring::MpmcRing ring = this->ring();
    const ring::Tail tail = ring.find_tail(incarnation_);
    EXPECT_EQ(tail.outcome, ring::Push::Full);
    return evict_oldest(fabric_.chunks(), ring, tail, incarnation_, fabric_.block(kTaker));
  }
  bool holds(layout::Reference reference) {
    const Holders holders = read_holders(*fabric_.chunks().find(layout::reference_chunk(reference)));
    return layout::same_generation(reference, holders.generation) && (holders.bits & 1) != 0;
  }
  int held_count() {
    int count = 0;
    for (const base::AtomicPair& entry : fabric_.block(kTaker).held) count += entry.low.load() != 0 ? 1 : 0;
    return count;
  }

  FakeFabric fabric_{FakeShape{1, 8, {{256, 64, 4}}, {4, 4, 4, 4, 4}, 2, 4}};
  uint64_t incarnation_ = 0;
  std::optional<SlabHeap> heap_;
  std::vector<layout::Reference> references_;
};

TEST_F(EvictTest, DropsTheOldestAndMakesRoom) {
  for (int i = 0; i < 4; ++i) ASSERT_EQ(send(), ring::Push::Ok);
  EXPECT_EQ(evict(), Evict::Dropped);
  EXPECT_FALSE(holds(references_[0]));
  EXPECT_TRUE(holds(references_[1]));
  EXPECT_EQ(send(), ring::Push::Ok);
  EXPECT_EQ(send(), ring::Push::Full);
  ring::MpmcRing ring = this->ring();
  EXPECT_EQ(ring.read(1).low, references_[1]);
  EXPECT_EQ(ring.read(4).low, references_[4]) << "in the slot of the dropped one";
}

TEST_F(EvictTest, AMessageInItsTakersHandsMovesToTheHeldTable) {
  for (int i = 0; i < 4; ++i) ASSERT_EQ(send(), ring::Push::Ok);
  ring::MpmcRing ring = this->ring();
  ring::SlotView view = ring.read(0);
  ASSERT_TRUE(ring.take(0, view, kTaker));
  EXPECT_EQ(evict(), Evict::Moved);
  EXPECT_TRUE(holds(references_[0])) << "the taker has it still";
  EXPECT_EQ(held_count(), 1);
  EXPECT_EQ(send(), ring::Push::Ok);
  EXPECT_FALSE(ring.finish(0, view, incarnation_)) << "the taker learns that it was moved";
  EXPECT_EQ(release(fabric_.chunks(), references_[0], 0), Release::Freed);
  unhold(fabric_.block(kTaker), references_[0], 0);
  EXPECT_EQ(held_count(), 0);
}

TEST_F(EvictTest, WhatADeadEvictorLeftIsFinishedByTheNext) {
  for (const bool bit_cleared : {false, true}) {
    while (send() == ring::Push::Ok) {
    }
    ring::MpmcRing ring = this->ring();
    const ring::Tail tail = ring.find_tail(incarnation_);
    ring::SlotView view = tail.slot;
    ASSERT_TRUE(ring.take(tail.position, view, layout::kOwnerDropped));
    if (bit_cleared) {
      ASSERT_NE(release(fabric_.chunks(), view.low, layout::unpack(view.state).bit), Release::Gone);
    }
    EXPECT_EQ(evict(), bit_cleared ? Evict::Moved : Evict::Dropped) << "it is counted once";
    EXPECT_FALSE(holds(view.low));
    EXPECT_EQ(send(), ring::Push::Ok);
  }
}

TEST_F(EvictTest, ATakerThatHoldsAllItMayStopsTheRing) {
  std::vector<ring::SlotView> taken;
  for (std::size_t i = 0; i < layout::kHeldCount; ++i) {
    StagedSend send(fabric_, *heap_, kPublisher, {kTaker});
    ASSERT_TRUE(send.loan() && send.name());
    send.commit();
    taken.push_back({send.root().reference(), layout::pack({1, 0, 0, kTaker, layout::Phase::Taken})});
    ASSERT_GE(hold(fabric_.chunks(), fabric_.block(kTaker), taken.back()), 0);
    send.end();
  }
  for (int i = 0; i < 4; ++i) ASSERT_EQ(send(), ring::Push::Ok);
  ring::MpmcRing ring = this->ring();
  ring::SlotView view = ring.read(0);
  ASSERT_TRUE(ring.take(0, view, kTaker));
  EXPECT_EQ(evict(), Evict::Stuck);
  EXPECT_TRUE(holds(references_[0]));
  // One release without a word in the table makes room: the entry's bit is gone.
  ASSERT_EQ(release(fabric_.chunks(), taken[17].low, 0), Release::Freed);
  EXPECT_EQ(evict(), Evict::Moved);
  EXPECT_EQ(fabric_.block(kTaker).held[17].low.load(), references_[0]);
}

TEST_F(EvictTest, AnEntryOfAnEarlierLifeCountsAsEmpty) {
  layout::AgentBlock& block = fabric_.block(kTaker);
  StagedSend send(fabric_, *heap_, kPublisher, {kTaker});
  ASSERT_TRUE(send.loan() && send.name());
  send.commit();
  for (base::AtomicPair& entry : block.held) {
    entry.low.store(layout::make_reference(send.root().chunk, send.root().generation + 1));
    entry.high.store(layout::pack({0, 0, 0, 0, layout::Phase::Full}));
  }
  EXPECT_EQ(hold(fabric_.chunks(), block, {send.root().reference(), layout::pack({1, 0, 0, kTaker, layout::Phase::Taken})}), 0);
  EXPECT_EQ(layout::word_phase(block.held[0].high.load()), layout::Phase::Full);
}

TEST_F(EvictTest, TwoEvictorsDropTwoMessagesAtMost) {
  for (int i = 0; i < 4; ++i) ASSERT_EQ(send(), ring::Push::Ok);
  ring::MpmcRing ring = this->ring();
  const ring::Tail tail = ring.find_tail(incarnation_);
  EXPECT_EQ(evict_oldest(fabric_.chunks(), ring, tail, incarnation_, fabric_.block(kTaker)), Evict::Dropped);
  EXPECT_EQ(evict_oldest(fabric_.chunks(), ring, tail, incarnation_, fabric_.block(kTaker)), Evict::Moved)
      << "the second was late with the same view";
  EXPECT_TRUE(holds(references_[1]));
}

TEST_F(EvictTest, OutOfTheTableGoesOnlyTheNamedMessage) {
  layout::AgentBlock& block = fabric_.block(kTaker);
  const layout::Reference reference = layout::make_reference(5, 1);
  block.held[3].low.store(reference);
  block.held[3].high.store(layout::pack({0, 7, 0, 0, layout::Phase::Full}));
  unhold(block, reference, 6);
  unhold(block, layout::make_reference(5, 2), 7);
  EXPECT_EQ(held_count(), 1);
  unhold(block, reference, 7);
  EXPECT_EQ(held_count(), 0);
}

}  // namespace
}  // namespace ripstop::memory
