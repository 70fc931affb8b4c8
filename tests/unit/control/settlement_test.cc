// Each test builds what a dead agent may leave behind, settles it and asks for two things: every chunk is
// free or accounted for, and settling again changes no byte.
#include "control/settlement.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"
#include "memory/evict.h"
#include "ring/doorbell.h"

namespace ripstop::control {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;
using layout::Phase;
using memory::Loaned;
using memory::SlabHeap;

constexpr uint32_t kDead = 1;
constexpr std::size_t kLane = 2;

class SettlementTest : public testing::Test {
 protected:
  explicit SettlementTest(FakeShape shape = {2, 8, {{256, 64, 4}, {1024, 4, 2}}, {4, 4, 4, 4, 4}, 2, 4}) : fabric_(shape) {
    for (uint32_t agent = 1; agent < 16; ++agent) fabric_.attach(agent);
    incarnation_ = fabric_.incarnation(kDead);
    // Recovery knows nothing of a heap that died: it is never destroyed.
    heap_ = new SlabHeap(fabric_.chunks(), 0, kDead, incarnation_);
    other_heap_.emplace(fabric_.chunks(), 0, 2, fabric_.incarnation(2));
  }
  ~SettlementTest() override {
    // Back to the memory's owner without what its end would do to the fabric.
    fabric_.attach(kDead);
    delete heap_;
  }
  Settled die(std::vector<uint32_t> own_rings = {}) {
    fabric_.kill(kDead);
    const Settled settled = fabric_.settlement().settle(kDead, incarnation_, own_rings);
    const auto once = fabric_.snapshot();
    const Settled again = fabric_.settlement().settle(kDead, incarnation_, own_rings);
    EXPECT_EQ(again.message_count, 0u);
    EXPECT_EQ(again.chunk_count, 0u);
    EXPECT_EQ(again.completed_count, 0u);
    EXPECT_EQ(again.full_count, 0u);
    // Waking waiters for room moves the space words and nothing else; they are the back line's.
    const auto twice = fabric_.snapshot();
    std::size_t differing = 0;
    for (std::size_t i = 0; i < once.size(); ++i) differing += once[i] != twice[i] ? 1 : 0;
    EXPECT_LE(differing, 1 + own_rings.size()) << "settled again, it changed more than the space words";
    return settled;
  }
  // Takes and releases all there is in an agent's lane; returns how many.
  int drain(uint32_t agent, std::size_t lane = kLane) {
    ring::MpmcRing ring = fabric_.lane(agent, lane);
    uint64_t head = ring.head_hint().load();
    int count = 0;
    ring::SlotView view{};
    while (ring.peek(head, view)) {
      count += memory::release(fabric_.chunks(), view.low, layout::unpack(view.state).bit) != memory::Release::Gone ? 1 : 0;
      ring.empty(head++, fabric_.incarnation(agent));
    }
    ring.head_hint().store(head);
    return count;
  }
  void expect_all_free() {
    const fabric::Census census = fabric_.census();
    EXPECT_EQ(census.free_count, census.total())
        << census.loaned_count << " loaned, " << census.linked_count << " linked, " << census.closing_count
        << " closing, " << census.held_count << " held";
    for (uint32_t node = 0; node < fabric_.chunks().node_count(); ++node) {
      for (uint32_t slab = 0; slab < fabric_.chunks().slab_count(node); ++slab) {
        EXPECT_NE(layout::slab_owner_agent(fabric_.chunks().slab_owner(node, slab).load()), kDead);
      }
    }
  }

  FakeFabric fabric_;
  uint64_t incarnation_ = 0;
  SlabHeap* heap_ = nullptr;
  std::optional<SlabHeap> other_heap_;
};

TEST_F(SettlementTest, AnAgentThatDidNothingLeavesNothing) {
  const Settled settled = die();
  EXPECT_EQ(settled.message_count + settled.chunk_count + settled.completed_count + settled.corrupt_count, 0u);
  expect_all_free();
}

TEST_F(SettlementTest, ALoanIsGivenBack) {
  ASSERT_TRUE(heap_->loan(0));
  ASSERT_TRUE(heap_->loan(1));
  EXPECT_EQ(die().chunk_count, 2u);
  expect_all_free();
}

// At every step of a send, for every kind of naming.
class SettlementOfASend : public SettlementTest, public testing::WithParamInterface<std::tuple<uint32_t, uint32_t>> {
 protected:
  SettlementOfASend() : SettlementTest({2, 8, {{256, 64, 4}}, {256, 256, 256, 256, 256}, 2, 4}) {}
  // Receivers 2..15 in turn.
  std::vector<uint32_t> receivers() {
    std::vector<uint32_t> agents;
    for (uint32_t i = 0; i < std::get<0>(GetParam()); ++i) agents.push_back(2 + i % 14);
    return agents;
  }
  uint32_t continuation_count() { return std::get<1>(GetParam()); }
};

TEST_P(SettlementOfASend, BeforeTheIntentIsUndone) {
  StagedSend send(fabric_, *heap_, kDead, receivers());
  ASSERT_TRUE(send.loan(continuation_count()));
  ASSERT_TRUE(send.name());
  EXPECT_EQ(die().chunk_count, 1 + send.links.size());
  expect_all_free();
}

TEST_P(SettlementOfASend, BeforeTheCommitIsUndone) {
  StagedSend send(fabric_, *heap_, kDead, receivers());
  ASSERT_TRUE(send.loan(continuation_count()));
  ASSERT_TRUE(send.name());
  send.intend(17);
  const Settled settled = die();
  EXPECT_EQ(settled.completed_count, 0u);
  EXPECT_EQ(fabric_.block(kDead).publishers[0].sequence.load(), 0u) << "it was not sent";
  expect_all_free();
}

TEST_P(SettlementOfASend, AfterTheCommitIsFinishedHoweverManyPushesWereMade) {
  const uint32_t count = std::get<0>(GetParam());
  for (const uint32_t pushed : {0u, 1u, count / 2, count - 1, count}) {
    StagedSend send(fabric_, *heap_, kDead, receivers());
    ASSERT_TRUE(send.loan(continuation_count()));
    ASSERT_TRUE(send.name());
    send.intend(18);
    send.commit();
    for (uint32_t i = 0; i < pushed; ++i) ASSERT_EQ(send.push(i), ring::Push::Ok);
    // Half of the receivers are quick.
    int delivered = 0;
    for (uint32_t agent = 2; agent < 9; ++agent) delivered += drain(agent);
    const Settled settled = die();
    EXPECT_EQ(settled.completed_count + settled.full_count, count - pushed);
    EXPECT_EQ(settled.full_count, 0u);
    for (uint32_t agent = 2; agent < 16; ++agent) delivered += drain(agent);
    EXPECT_EQ(delivered + static_cast<int>(settled.full_count), static_cast<int>(count)) << "each once";
    EXPECT_EQ(fabric_.block(kDead).publishers[0].sequence.load(), 18u);
    expect_all_free();
    // The next life of the agent.
    incarnation_ = fabric_.attach(kDead);
    delete heap_;
    heap_ = new SlabHeap(fabric_.chunks(), 0, kDead, incarnation_);
  }
}

INSTANTIATE_TEST_SUITE_P(ReceiversAndContinuations, SettlementOfASend,
                         testing::Combine(testing::Values(1u, 2u, 4u, 5u, 14u), testing::Values(0u, 2u)));

class SettlementOfATree : public SettlementTest {
 protected:
  SettlementOfATree() : SettlementTest({1, 300, {{256, 64, 16}}, {4, 4, 4, 4, 4}, 0, 4}) {}
};

TEST_F(SettlementOfATree, AFanOutTo200IsFinishedForEachReceiver) {
  for (uint32_t agent = 16; agent < 300; ++agent) fabric_.attach(agent);
  std::vector<uint32_t> receivers;
  for (uint32_t i = 0; i < 200; ++i) receivers.push_back(50 + i);
  StagedSend send(fabric_, *heap_, kDead, receivers);
  ASSERT_TRUE(send.loan(1) && send.name());
  send.intend();
  send.commit();
  for (uint32_t i = 0; i < 100; ++i) ASSERT_EQ(send.push(i), ring::Push::Ok);
  // The first branch has been delivered and is gone.
  for (uint32_t i = 0; i < 70; ++i) EXPECT_EQ(drain(receivers[i]), 1);
  const Settled settled = die();
  EXPECT_EQ(settled.completed_count, 100u);
  for (uint32_t i = 70; i < 200; ++i) EXPECT_EQ(drain(receivers[i]), 1) << i;
  expect_all_free();
}

// Tree of three levels: whether a leaf is abandoned is for the root to say, in whatever order they lie.
TEST_F(SettlementOfATree, AnUncommittedTreeOf4000IsUndoneInAnyOrderOfItsChunks) {
  for (const bool reversed : {false, true}) {
    if (reversed) {  // The first chunks freed last are loaned first.
      std::vector<Loaned> all;
      for (int i = 0; i < 200; ++i) all.push_back(*heap_->loan(0));
      for (const Loaned& loaned : all) {
        memory::abort_loan(*loaned.header, loaned.generation);
        heap_->aborted(loaned);
      }
    }
    StagedSend send(fabric_, *heap_, kDead, std::vector<uint32_t>(4'000, 2));
    ASSERT_TRUE(send.loan() && send.name());
    if (!reversed) {
      send.intend();
    }
    die();
    expect_all_free();
    incarnation_ = fabric_.attach(kDead);
    delete heap_;
    heap_ = new SlabHeap(fabric_.chunks(), 0, kDead, incarnation_);
  }
}

TEST_F(SettlementTest, AChainOfLinksThatGoesRoundIsFollowedOnce) {
  // Ten receivers stand in a list. Scribbled: the list is its own next link.
  StagedSend send(fabric_, *heap_, kDead, {2, 3, 4, 5, 6, 7, 9, 10, 11, 12});
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  layout::ChunkHeader& list = *send.links.front().header;
  list.link = send.links.front().reference();
  fabric_.kill(kDead);
  const Settled settled = fabric_.settlement().settle(kDead, incarnation_, {});
  EXPECT_EQ(settled.completed_count, 10u);
  EXPECT_EQ(settled.corrupt_count, 1u);
}

TEST_F(SettlementTest, AReceiverWithoutRoomIsGivenUpAndCounted) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {3}).whole());
  StagedSend send(fabric_, *heap_, kDead, {3, 4});
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  const Settled settled = die();
  EXPECT_EQ(settled.full_count, 1u);
  EXPECT_EQ(settled.completed_count, 1u);
  EXPECT_EQ(drain(3), 4);
  EXPECT_EQ(drain(4), 1);
  expect_all_free();
}

TEST_F(SettlementTest, AReceiverThatHasASuccessorDoesNotGetItsMail) {
  StagedSend send(fabric_, *heap_, kDead, {3});
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  fabric_.attach(3);
  const Settled settled = die();
  EXPECT_EQ(settled.completed_count, 0u);
  EXPECT_EQ(drain(3), 0);
  expect_all_free();
}

TEST_F(SettlementTest, AMessageInAHeldTableIsNotPushedAgain) {
  StagedSend send(fabric_, *heap_, kDead, {3});
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(3), {send.root().reference(), layout::pack({1, 0, 0, 3, Phase::Taken})}), 0);
  EXPECT_EQ(die().completed_count, 0u);
  EXPECT_EQ(drain(3), 0);
  EXPECT_EQ(memory::release(fabric_.chunks(), send.root().reference(), 0), memory::Release::Freed);
  expect_all_free();
}

TEST_F(SettlementTest, ASendThroughARingOfItsOwnIsFinishedThere) {
  fabric_.open_queue(1, 3);
  StagedSend send(fabric_, *heap_, kDead, {3}, kLane, 1);
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  EXPECT_EQ(die().completed_count, 1u);
  EXPECT_EQ(drain(3), 0);
  const ring::SlotView view = fabric_.map().queue(1)->ring.read(fabric_.map().queue(1)->ring.head_hint().load());
  EXPECT_EQ(view.low, send.root().reference());
  EXPECT_EQ(memory::release(fabric_.chunks(), view.low, 0), memory::Release::Freed);
  expect_all_free();
}

// A message to two rings of one agent. The first delivery was taken and released, the second was not made:
// it belongs into the second ring, and the first is left alone.
TEST_F(SettlementTest, OfTwoRingsOfOneAgentTheOneThatIsNamedGetsTheMissingDelivery) {
  fabric_.open_queue(1, 3);
  fabric_.open_queue(2, 3);
  const std::vector<uint32_t> ring_sets[] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}};
  for (const auto& rings : ring_sets) {
    StagedSend send(fabric_, *heap_, kDead, {3, 3}, kLane);
    ASSERT_TRUE(send.loan() && send.name());
    const auto name = [&](uint32_t ring_id) { return ring_id == 0 ? fabric_.name(3) : fabric_.ring_name(ring_id); };
    for (int i = 0; i < 2; ++i) send.root().header->receivers[i] = name(rings[i]);
    send.intend();
    send.commit();
    // Bit 0 is gone: pushed, taken and released.
    ASSERT_EQ(memory::release(fabric_.chunks(), send.root().reference(), 0), memory::Release::Held);
    EXPECT_EQ(die().completed_count, 1u);
    for (const uint32_t ring_id : {0u, 1u, 2u}) {
      ring::MpmcRing ring = ring_id == 0 ? fabric_.lane(3, kLane) : fabric_.map().queue(ring_id)->ring;
      ring::SlotView view{};
      const uint64_t head = ring.head_hint().load();
      ASSERT_EQ(ring.peek(head, view), ring_id == rings[1]) << "ring " << ring_id << " of " << rings[0] << ", " << rings[1];
      if (ring_id != rings[1]) continue;
      EXPECT_EQ(layout::unpack(view.state).bit, 1u);
      ASSERT_EQ(memory::release(fabric_.chunks(), view.low, 1), memory::Release::Freed);
      ring.empty(head, ring_id == 0 ? fabric_.incarnation(3) : fabric_.map().queue(ring_id)->incarnation);
      ring.head_hint().store(head + 1);
    }
    expect_all_free();
    incarnation_ = fabric_.attach(kDead);
    delete heap_;
    heap_ = new SlabHeap(fabric_.chunks(), 0, kDead, incarnation_);
  }
}

// A supervisor killed in mid-recovery gave the slabs away already; the next one finds the intent and
// chunks with new lives behind it.
TEST_F(SettlementTest, ARecoveryThatIsRunAgainDoesNotFollowChunksWithNewOwners) {
  StagedSend send(fabric_, *heap_, kDead, {3, 4, 5, 6, 7});
  ASSERT_TRUE(send.loan() && send.name());
  send.intend();
  send.commit();
  fabric_.kill(kDead);
  (void)fabric_.settlement().settle(kDead, incarnation_, {});
  EXPECT_EQ(fabric_.block(kDead).senders[0].root.load(), 0u) << "what is finished is not looked at again";
  for (uint32_t agent = 3; agent < 8; ++agent) EXPECT_EQ(drain(agent), 1);
  expect_all_free();
}

TEST_F(SettlementTest, MailInItsLanesIsReleased) {
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    for (std::size_t i = 0; i <= lane % 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead, 3}, lane).whole(1));
  }
  EXPECT_EQ(die().message_count, 1u + 2 + 3 + 4 + 1);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) drain(3, lane);
  expect_all_free();
}

TEST_F(SettlementTest, AFullLaneIsClosedAndNoPushGetsInAfterwards) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole());
  EXPECT_EQ(die().message_count, 4u);
  StagedSend late(fabric_, *other_heap_, 2, {kDead});
  ASSERT_TRUE(late.loan() && late.name());
  late.commit();
  EXPECT_EQ(late.push(0), ring::Push::Closed);
  (void)memory::release(fabric_.chunks(), late.root().reference(), 0);
  expect_all_free();
}

TEST_F(SettlementTest, AClosedLaneStaysClosedFromAnyHint) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole());
  drain(kDead);
  ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole());
  die();
  ring::MpmcRing ring = fabric_.lane(kDead, kLane);
  const uint64_t tail = ring.tail_hint().load();
  for (uint64_t hint = 0; hint <= tail; ++hint) {
    ring.tail_hint().store(hint);
    EXPECT_EQ(ring.push(incarnation_, 5, 0, 0), ring::Push::Closed) << hint;
  }
}

TEST_F(SettlementTest, WhatItHadTakenIsReleased) {
  fabric_.open_queue(1, kDead);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}, kLane, 1).whole());
  ring::MpmcRing ring = fabric_.map().queue(1)->ring;
  const uint64_t start = ring.head_hint().load();
  for (uint64_t at = start; at < start + 2; ++at) {
    ring::SlotView view = ring.read(at);
    ASSERT_TRUE(ring.take(at, view, at == start ? kDead : layout::kOwnerDropped));
  }
  // One of them was released, and the slot not emptied yet.
  (void)memory::release(fabric_.chunks(), ring.read(start).low, 0);
  EXPECT_EQ(die({1}).message_count, 3u);
  expect_all_free();
}

TEST_F(SettlementTest, ItsHeldTableIsReleased) {
  for (int i = 0; i < 3; ++i) {
    StagedSend send(fabric_, *other_heap_, 2, {kDead, 3});
    ASSERT_TRUE(send.loan(1) && send.name());
    send.commit();
    ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kDead),
                           {send.root().reference(), layout::pack({1, 0, 0, kDead, Phase::Taken})}), 0);
    ASSERT_EQ(send.push(1), ring::Push::Ok);
  }
  EXPECT_EQ(die().message_count, 3u);
  EXPECT_EQ(drain(3), 3);
  expect_all_free();
}

TEST_F(SettlementTest, ItsSlabsComeToOthersWithWhatIsInFlight) {
  ASSERT_TRUE(StagedSend(fabric_, *heap_, kDead, {3}).whole(2));
  ASSERT_TRUE(StagedSend(fabric_, *heap_, kDead, {4, 5}).whole());
  die();
  SlabHeap heir(fabric_.chunks(), 0, 5, fabric_.incarnation(5));
  uint32_t loans = 0;
  while (const auto loaned = heir.loan(0)) {
    ++loans;
    memory::abort_loan(*loaned->header, loaned->generation);
    heir.sent(*loaned);
    if (loans > 5'000) break;
    EXPECT_EQ(fabric_.census().loaned_count, 0u);
    if (loans == 1'000) break;
  }
  EXPECT_EQ(drain(3) + drain(4) + drain(5), 3);
  expect_all_free();
}

TEST_F(SettlementTest, AMessageItWasClosingIsFinished) {
  StagedSend send(fabric_, *other_heap_, 2, {kDead, 3, 4, 5, 6});
  ASSERT_TRUE(send.whole(2));
  ASSERT_EQ(drain(3) + drain(4) + drain(5) + drain(6), 4);
  // The dead cleared the last bit and got no further.
  send.root().header->holders.high.store(layout::kClosing);
  const Settled settled = die();
  EXPECT_EQ(settled.message_count, 0u) << "its slot says finished";
  EXPECT_EQ(settled.chunk_count, 1u);
  expect_all_free();
}

TEST_F(SettlementTest, APublisherAsleepForRoomInItsLanesIsWoken) {
  layout::RingBack& back = fabric_.block(kDead).back;
  const uint32_t word = back.space_word.load();
  back.space_waiters.store(1);
  die();
  EXPECT_NE(back.space_word.load(), word);
  EXPECT_EQ(back.space_waiters.load(), 0u);
}

TEST_F(SettlementTest, AReceiverAsleepOnMailThatItPushedIsRung) {
  ring::Sleeper sleeper(fabric_.block(3).front.doorbell);
  sleeper.arm();
  StagedSend send(fabric_, *heap_, kDead, {3});
  ASSERT_TRUE(send.whole());
  die();
  EXPECT_TRUE(sleeper.wait(1'000'000)) << "asleep on a non-empty inbox";
  EXPECT_EQ(drain(3), 1);
}

// The oldest slot is in the receiver's hands, by swap; the new message lies behind it.
TEST_F(SettlementTest, AReceiverThatKeepsAnOlderMessageIsRungToo) {
  fabric_.open_queue(1, 3);
  ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {3}, kLane, 1).whole());
  ring::MpmcRing ring = fabric_.map().queue(1)->ring;
  ring::SlotView view = ring.read(ring.head_hint().load());
  ASSERT_TRUE(ring.take(ring.head_hint().load(), view, 3));
  ring::Sleeper sleeper(fabric_.block(3).front.doorbell);
  sleeper.arm();
  ASSERT_TRUE(StagedSend(fabric_, *heap_, kDead, {3}, kLane, 1).whole());
  die();
  EXPECT_TRUE(sleeper.wait(1'000'000)) << "asleep on a non-empty ring";
}

TEST_F(SettlementTest, AnIdleSleeperIsLeftAsleep) {
  ring::Sleeper sleeper(fabric_.block(3).front.doorbell);
  sleeper.arm();
  die();
  EXPECT_FALSE(sleeper.wait(1'000'000));
}

TEST_F(SettlementTest, ASuccessorFindsAnEmptyOpenInbox) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole());
  die();
  fabric_.attach(kDead);
  EXPECT_EQ(drain(kDead), 0);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole());
  EXPECT_EQ(drain(kDead), 4);
  EXPECT_EQ(fabric_.lane(kDead, kLane).push(incarnation_, 5, 0, 0), ring::Push::Stale);
  expect_all_free();
}

TEST_F(SettlementTest, AnInboxReopenedManyTimesKeepsItsCapacity) {
  for (int life = 0; life < 50; ++life) {
    const int count = life % 5;
    for (int i = 0; i < count; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole()) << life;
    if (life % 3 == 0) drain(kDead);
    fabric_.kill(kDead);
    (void)fabric_.settlement().settle(kDead, incarnation_, {});
    incarnation_ = fabric_.attach(kDead);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {kDead}).whole()) << life;
    StagedSend fifth(fabric_, *other_heap_, 2, {kDead});
    ASSERT_FALSE(fifth.whole()) << life;
    (void)memory::release(fabric_.chunks(), fifth.root().reference(), 0);
    ASSERT_EQ(drain(kDead), 4) << life;
  }
  expect_all_free();
}

// Killed at any slot of a reopening, run again: whatever the half-open ring looks like, a publisher with
// the old route gets nothing in, and nothing that lies there is lost from the books.
TEST_F(SettlementTest, AHalfReopenedLaneTakesNoMailForTheDead) {
  for (uint64_t reopened = 0; reopened <= 4; ++reopened) {
    for (uint64_t hint = 0; hint < 16; ++hint) {
      FakeFabric fabric(FakeShape{1, 4, {{256, 8, 4}}, {4, 4, 4, 4, 4}, 0, 4});
      const uint64_t old = fabric.attach(kDead);
      ring::MpmcRing ring = fabric.lane(kDead, kLane);
      const uint64_t start = ring.head_hint().load();
      for (uint64_t i = 0; i < 2; ++i) ASSERT_EQ(ring.push(old, layout::make_reference(0, 9), 0, 0), ring::Push::Ok);
      for (uint64_t i = 0; i < 2; ++i) ring.empty(start + i, old);
      fabric.kill(kDead);
      (void)fabric.settlement().settle(kDead, old, {});
      const std::vector<layout::Slot*> slots = {&ring.slot(0), &ring.slot(1), &ring.slot(2), &ring.slot(3)};
      std::vector<base::Pair> before;
      for (const layout::Slot* slot : slots) before.push_back({slot->low.load(), slot->high.load()});
      fabric.attach(kDead);
      std::vector<base::Pair> after;
      for (const layout::Slot* slot : slots) after.push_back({slot->low.load(), slot->high.load()});
      // The order in which reopening writes: from the end, and the mark that says CLOSED last.
      std::vector<std::size_t> order;
      for (std::size_t i = 4; i-- > 0;) {
        if (layout::word_phase(before[i].high) != Phase::Closed) order.push_back(i);
      }
      for (std::size_t i = 0; i < 4; ++i) {
        if (layout::word_phase(before[i].high) == Phase::Closed) order.push_back(i);
      }
      for (std::size_t i = 0; i < 4; ++i) {
        const base::Pair value = i < reopened ? after[order[i]] : before[order[i]];
        slots[order[i]]->low.store(value.low);
        slots[order[i]]->high.store(value.high);
      }
      if (hint > start + 2) continue;  // No hint leads.
      ring.tail_hint().store(hint);
      EXPECT_NE(ring.push(old, layout::make_reference(0, 9), 0, 0), ring::Push::Ok) << reopened << " slots, hint " << hint;
    }
  }
}

TEST_F(SettlementTest, WhatAStalePusherGotInBeforeReopeningIsReleased) {
  die();
  // As through a scribbled hint: a message for the dead in a slot of the closed lane.
  StagedSend send(fabric_, *other_heap_, 2, {3});
  ASSERT_TRUE(send.loan() && send.name());
  send.commit();
  ring::MpmcRing ring = fabric_.lane(kDead, kLane);
  const uint64_t at = ring.tail_hint().load() + 2;
  ring.slot(at).low.store(send.root().reference());
  ring.slot(at).high.store(layout::pack({ring.turn(at), 0, 0, 0, Phase::Full}));
  fabric_.attach(kDead);
  expect_all_free();
}

TEST_F(SettlementTest, AClosedQueueLeavesItsLivingTakersMessageAlone) {
  for (const bool full : {false, true}) {
    fabric_.open_queue(1, 3);
    std::vector<layout::Reference> references;
    for (int i = 0; i < (full ? 4 : 2); ++i) {
      StagedSend send(fabric_, *other_heap_, 2, {3}, kLane, 1);
      ASSERT_TRUE(send.whole());
      references.push_back(send.root().reference());
    }
    ring::MpmcRing ring = fabric_.map().queue(1)->ring;
    ring::SlotView view = ring.read(ring.head_hint().load());
    ASSERT_TRUE(ring.take(ring.head_hint().load(), view, 3));
    (void)fabric_.settlement().close_queue(1, 3);
    EXPECT_EQ(fabric_.census().held_count, 1u) << "in its hands" << (full ? ", from a full ring" : "");
    EXPECT_EQ(memory::release(fabric_.chunks(), references[0], 0), memory::Release::Freed);
    memory::unhold(fabric_.block(3), references[0], 0);
    expect_all_free();
  }
}

TEST_F(SettlementTest, AnotherAgentsMailIsNotTouched) {
  ASSERT_TRUE(StagedSend(fabric_, *other_heap_, 2, {3, kDead, 4}).whole(1));
  die();
  EXPECT_EQ(drain(3), 1);
  EXPECT_EQ(drain(4), 1);
  expect_all_free();
}

// Whatever an agent scribbled, the supervisor ends. How many steps it takes: tests/proof/scribbler.
TEST(SettlementOfGarbage, InEveryWordOfANodeEndsWithoutACrash) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    FakeFabric fabric(FakeShape{2, 4, {{256, 8, 2}, {512, 2, 1}}, {4, 2, 4, 1, 8}, 2, 4});
    for (uint32_t agent = 1; agent < 8; ++agent) fabric.attach(agent);
    fabric.open_queue(1, 1);
    const auto plausible = [&]() -> uint64_t {
      switch (random() % 6) {
        case 0: return random();
        case 1: return layout::make_reference(layout::make_chunk_id(random() % 3, random() % 4, random() % 9), random() % 3);
        case 2: return layout::pack({random() % 4, static_cast<uint32_t>(random() % 64), 0, static_cast<uint32_t>(random() % 9),
                                     static_cast<Phase>(random() % 4)});
        case 3: return random() % 4;
        case 4: return uint64_t{1} << (random() % 64);
        default: return fabric.name(1 + random() % 7);
      }
    };
    const unsigned density = 1u << (random() % 8);
    for (uint32_t node = 0; node < 2; ++node) {
      const std::span<std::byte> bytes = fabric.node_bytes(node);
      auto* words = reinterpret_cast<uint64_t*>(bytes.data());
      for (std::size_t i = 0; i < bytes.size() / 8; ++i) {
        if (random() % density == 0) words[i] = plausible();
      }
    }
    const std::vector<uint32_t> own_rings = {1, 77};
    fabric.kill(1);
    std::vector<layout::LetterEntry> table(8);
    DeadLetters letters(fabric.map(), fabric.superblock(), table, {true, 0, 25});
    Settlement settlement(fabric.map(), seed % 2 == 0 ? &letters : nullptr);
    (void)settlement.settle(1, fabric.incarnation(1), own_rings);
    (void)letters.replay(0, [&](uint32_t) { return std::vector<DeadLetters::Destination>{{fabric.name(2), fabric.incarnation(2), "two", 0}}; });
    letters.finish();
    (void)letters.drop(0);
    (void)settlement.close_queue(2, 3);
    settlement.open_inbox(1, 500);
    (void)settlement.open_queue(1, 501);
    (void)settlement.open_queue(99, 501);
    settlement.open_inbox(99, 501);
  }
}

TEST(SettlementOfGarbage, AReopenedLaneWorksWhateverWasInIt) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    FakeFabric fabric(FakeShape{1, 4, {{256, 8, 4}}, {4, 4, 4, 4, 4}, 0, 4});
    for (uint32_t agent = 1; agent < 4; ++agent) fabric.attach(agent);
    ring::MpmcRing ring = fabric.lane(1, kLane);
    for (uint64_t i = 0; i < 4; ++i) {
      ring.slot(i).low.store(random());
      ring.slot(i).high.store(random() % 2 == 0 ? random() : random() % 1024 << 26);
    }
    ring.tail_hint().store(random());
    fabric.kill(1);
    (void)fabric.settlement().settle(1, fabric.incarnation(1), {});
    const uint64_t incarnation = fabric.attach(1);
    const uint64_t start = ring.head_hint().load();
    for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(ring.push(incarnation, 100 + i, 0, 0), ring::Push::Ok) << seed;
    ASSERT_EQ(ring.push(incarnation, 5, 0, 0), ring::Push::Full) << seed;
    ring::SlotView view{};
    for (uint64_t i = 0; i < 4; ++i) {
      ASSERT_TRUE(ring.peek(start + i, view)) << seed;
      EXPECT_EQ(view.low, 100 + i);
    }
  }
}

}  // namespace
}  // namespace ripstop::control
