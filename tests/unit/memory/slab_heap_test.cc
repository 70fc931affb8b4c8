#include "memory/slab_heap.h"

#include <gtest/gtest.h>

#include <set>

#include "fabric/fake_fabric.h"

namespace ripstop::memory {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;

// Commits for one receiver and releases.
void send_and_release(const ChunkMap& chunks, SlabHeap& heap, const Loaned& loaned) {
  loaned.header->role = layout::ChunkRole::Root;
  loaned.header->flags = 0;
  commit(*loaned.header, 1);
  heap.sent(loaned);
  ASSERT_EQ(release(chunks, loaned.reference(), 0), Release::Freed);
}

TEST(SlabHeap, LoansEveryChunkOnceThenNothing) {
  FakeFabric fabric;  // 4 slabs of 8 chunks of the first class.
  SlabHeap heap(fabric.chunks(), 0, 1, 100);
  std::set<layout::ChunkId> seen;
  for (int i = 0; i < 32; ++i) {
    const auto loaned = heap.loan(0);
    ASSERT_TRUE(loaned);
    EXPECT_TRUE(seen.insert(loaned->chunk).second) << "loaned twice";
    EXPECT_EQ(fabric.chunks().find(loaned->chunk), loaned->header);
    EXPECT_EQ(read_holders(*loaned->header).bits, layout::kPublisherHold);
  }
  EXPECT_FALSE(heap.loan(0));
  EXPECT_EQ(heap.slab_count(), 4u);
  EXPECT_TRUE(heap.loan(1)) << "another class";
}

TEST(SlabHeap, LoansTheMostRecentlyFreedChunkFirst) {
  FakeFabric fabric;
  SlabHeap heap(fabric.chunks(), 0, 1, 100);
  const auto first = heap.loan(0);
  ASSERT_TRUE(first);
  abort_loan(*first->header, first->generation);
  heap.aborted(*first);
  const auto second = heap.loan(0);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->chunk, first->chunk);
  EXPECT_EQ(second->generation, first->generation + 1);
}

TEST(SlabHeap, APingPongNeedsOneSlab) {
  FakeFabric fabric;
  SlabHeap heap(fabric.chunks(), 0, 1, 100);
  for (int i = 0; i < 1'000; ++i) {
    const auto loaned = heap.loan(0);
    ASSERT_TRUE(loaned);
    send_and_release(fabric.chunks(), heap, *loaned);
  }
  EXPECT_EQ(heap.slab_count(), 1u);
}

TEST(SlabHeap, FindsWhatCameBackBehindAMessageThatIsKept) {
  FakeFabric fabric;
  SlabHeap heap(fabric.chunks(), 0, 1, 100);
  const auto kept = heap.loan(0);
  ASSERT_TRUE(kept);
  commit(*kept->header, 1);
  heap.sent(*kept);
  for (int i = 0; i < 500; ++i) {
    const auto loaned = heap.loan(0);
    ASSERT_TRUE(loaned) << i;
    EXPECT_NE(loaned->chunk, kept->chunk);
    send_and_release(fabric.chunks(), heap, *loaned);
  }
  EXPECT_EQ(heap.slab_count(), 1u) << "it looked past the kept one before it took another slab";
}

TEST(SlabHeap, GivesItsSlabsBackWhenItEnds) {
  FakeFabric fabric;
  {
    SlabHeap heap(fabric.chunks(), 0, 1, 100);
    for (int i = 0; i < 32; ++i) {
      const auto loaned = heap.loan(0);
      ASSERT_TRUE(loaned);
      send_and_release(fabric.chunks(), heap, *loaned);
    }
  }
  for (uint32_t slab = 0; slab < 4; ++slab) {
    EXPECT_EQ(layout::slab_owner_agent(fabric.chunks().slab_owner(0, slab).load()), 0u);
  }
  SlabHeap other(fabric.chunks(), 0, 2, 101);
  for (int i = 0; i < 32; ++i) EXPECT_TRUE(other.loan(0));
}

TEST(SlabHeap, AnOrphanIsAdoptedAsItIs) {
  FakeFabric fabric;
  std::vector<Loaned> in_flight;
  {
    SlabHeap heap(fabric.chunks(), 0, 1, 100);
    for (int i = 0; i < 5; ++i) {
      in_flight.push_back(*heap.loan(0));
      in_flight.back().header->flags = 0;
      commit(*in_flight.back().header, 1);
      heap.sent(in_flight.back());
    }
  }
  SlabHeap other(fabric.chunks(), 0, 2, 101);
  std::set<layout::ChunkId> loans;
  while (const auto loaned = other.loan(0)) loans.insert(loaned->chunk);
  EXPECT_EQ(loans.size(), 27u) << "only what is free can be loaned";
  for (const Loaned& message : in_flight) {
    EXPECT_FALSE(loans.contains(message.chunk));
    EXPECT_EQ(release(fabric.chunks(), message.reference(), 0), Release::Freed);
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(other.loan(0)) << "it comes back to the adopter";
  EXPECT_FALSE(other.loan(0));
}

TEST(SlabHeap, DoesNotTakeWhatAnotherAgentOwns) {
  FakeFabric fabric;
  SlabHeap first(fabric.chunks(), 0, 1, 100);
  SlabHeap second(fabric.chunks(), 0, 2, 101);
  std::set<layout::ChunkId> loans;
  for (int i = 0; i < 16; ++i) {
    EXPECT_TRUE(loans.insert(first.loan(0)->chunk).second);
    EXPECT_TRUE(loans.insert(second.loan(0)->chunk).second);
  }
  EXPECT_FALSE(first.loan(0));
  EXPECT_FALSE(second.loan(0));
}

TEST(SlabHeap, TwoThreadsOfOneAgentHaveTheirOwnSlabs) {
  FakeFabric fabric;
  SlabHeap first(fabric.chunks(), 0, 1, 100);
  SlabHeap second(fabric.chunks(), 0, 1, 100);
  const auto a = first.loan(0);
  const auto b = second.loan(0);
  ASSERT_TRUE(a && b);
  EXPECT_NE(layout::chunk_slab(a->chunk), layout::chunk_slab(b->chunk));
}

TEST(SlabHeap, TakesFromItsOwnNodeFirst) {
  FakeShape shape;
  shape.node_count = 2;
  FakeFabric fabric(shape);
  SlabHeap heap(fabric.chunks(), 1, 1, 100);
  for (int i = 0; i < 32; ++i) {
    const auto loaned = heap.loan(0);
    ASSERT_TRUE(loaned);
    EXPECT_EQ(layout::chunk_node(loaned->chunk), 1u);
  }
  for (int i = 0; i < 32; ++i) {
    const auto loaned = heap.loan(0);
    ASSERT_TRUE(loaned);
    EXPECT_EQ(layout::chunk_node(loaned->chunk), 0u) << "then from the other";
  }
  EXPECT_FALSE(heap.loan(0));
}

// A detach with loans outstanding: nobody but the settlement can give them back, and it looks in the
// slabs that the agent owns.
TEST(SlabHeap, ASlabWithALoanInItStaysForTheSettlement) {
  FakeFabric fabric;
  fabric.attach(1);
  const uint64_t incarnation = fabric.incarnation(1);
  {
    SlabHeap heap(fabric.chunks(), 0, 1, incarnation);
    ASSERT_TRUE(heap.loan(0));
    ASSERT_TRUE(heap.loan(1));
  }
  fabric.kill(1);
  (void)fabric.settlement().settle(1, incarnation, {});
  EXPECT_EQ(fabric.census().free_count, fabric.chunk_count());
  SlabHeap other(fabric.chunks(), 0, 2, 999);
  for (int i = 0; i < 32; ++i) EXPECT_TRUE(other.loan(0)) << i;
}

TEST(SlabHeap, ManyInFlightAreAllFoundAgain) {
  // More than the list of those in flight starts with.
  FakeFabric fabric(FakeShape{1, 8, {{256, 64, 8}}, {4, 4, 4, 4, 4}, 0, 4});
  SlabHeap heap(fabric.chunks(), 0, 1, 100);
  for (int lap = 0; lap < 3; ++lap) {
    std::vector<Loaned> all;
    while (const auto loaned = heap.loan(0)) {
      loaned->header->flags = 0;
      loaned->header->role = layout::ChunkRole::Root;
      commit(*loaned->header, 1);
      heap.sent(*loaned);
      all.push_back(*loaned);
    }
    EXPECT_EQ(all.size(), 512u) << lap;
    for (const Loaned& one : all) EXPECT_EQ(release(fabric.chunks(), one.reference(), 0), Release::Freed);
  }
}

}  // namespace
}  // namespace ripstop::memory
