// Method: agent 1 receives from agent 2, in a fabric whose clock is the test's. It takes as an agent does: it
// moves its mark, and later gives its bit back, or what it holds instead.
#include "control/soft_lease.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"
#include "memory/evict.h"
#include "memory/late.h"

namespace ripstop::control {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;
using layout::LetterState;

constexpr uint32_t kTaker = 1;
constexpr uint32_t kSender = 2;
constexpr std::size_t kLane = 2;
constexpr uint64_t kLease = 100;

class SoftLeaseTest : public testing::Test {
 protected:
  SoftLeaseTest() : fabric_(FakeShape{1, 16, {{256, 64, 3}}, {8, 8, 8, 8, 8}, 2, 8}) {
    for (uint32_t agent = 1; agent < 16; ++agent) fabric_.attach(agent);
    std::strcpy(fabric_.entry(kTaker).name, "planner");
    fabric_.superblock().agent_high.store(16);
    fabric_.superblock().ring_high.store(3);
    heap_.emplace(fabric_.chunks(), 0, kSender, fabric_.incarnation(kSender));
    restart();
  }

  // The next supervisor, which finishes what the last one began.
  void restart(bool keeps = true) {
    lease_.reset();
    letters_.emplace(fabric_.map(), fabric_.superblock(), table_, LetterPolicy{keeps, 0, 50});
    settlement_.emplace(fabric_.map(), &*letters_);
    lease_.emplace(fabric_.map(), fabric_.superblock(), *letters_, *settlement_);
    lease_->finish();
    letters_->finish();
  }
  StagedSend send(std::vector<uint32_t> receivers, uint64_t sequence, uint32_t continuation_count = 0, uint32_t ring_id = 0) {
    StagedSend message(fabric_, *heap_, kSender, std::move(receivers), kLane, ring_id);
    EXPECT_TRUE(message.loan(continuation_count));
    message.root().header->sequence = sequence;
    std::memcpy(memory::payload(*message.root().header), &sequence, sizeof sequence);
    for (const memory::Loaned& link : message.links) std::memcpy(memory::payload(*link.header), &sequence, sizeof sequence);
    EXPECT_TRUE(message.name());
    message.intend(sequence);
    message.commit();
    for (std::size_t i = 0; i < message.deliveries.size(); ++i) EXPECT_EQ(message.push(i), ring::Push::Ok);
    message.end();
    return message;
  }
  // As Source::next() and Inbox::count_take().
  void take(uint32_t agent, std::size_t count = 1) {
    layout::AgentBlock& block = fabric_.block(agent);
    block.back.taken_mark[kLane].store(static_cast<uint16_t>(block.back.taken_mark[kLane].load() + count));
    block.counters.taken_count.fetch_add(count);
  }
  // As Inbox::release(). True: it was ours.
  bool release(uint32_t agent, const detail::Delivery& delivery) {
    fabric_.block(agent).counters.released_count.fetch_add(1);
    if (memory::release(fabric_.chunks(), delivery.reference, delivery.bit) != memory::Release::Gone) return true;
    EXPECT_TRUE(memory::give_late_back(fabric_.chunks(), fabric_.block(agent), delivery.reference, delivery.bit));
    return false;
  }
  std::vector<Revoked> look(uint64_t now, uint32_t requeue_count = 0) {
    return lease_->look(now, {kLease, requeue_count}, [this](uint32_t agent, uint32_t, uint32_t receiver) {
      return receiver == fabric_.name(agent) && may_come_again_
                 ? std::optional(DeadLetters::Destination{receiver, fabric_.incarnation(agent), "planner", layout::kLetterInbox})
                 : std::nullopt;
    });
  }
  uint32_t count(LetterState state) const {
    uint32_t found = 0;
    for (const layout::LetterEntry& entry : table_) {
      const bool is_open = control::is_open(fabric_.map(), {entry.reference, entry.bit});
      found += layout::letter_word_state(entry.word.load()) == state && is_open ? 1 : 0;
    }
    return found;
  }
  uint32_t late_count(uint32_t agent) {
    uint32_t count = 0;
    for (const base::AtomicPair& place : fabric_.block(agent).late) count += place.low.load() != 0 ? 1 : 0;
    return count;
  }
  bool all_free() const { return fabric_.census().free_count == fabric_.census().total(); }
  void drop_letters() { (void)letters_->drop(0); }

  FakeFabric fabric_;
  std::array<layout::LetterEntry, 16> table_{};
  bool may_come_again_ = true;
  std::optional<memory::SlabHeap> heap_;
  std::optional<DeadLetters> letters_;
  std::optional<Settlement> settlement_;
  std::optional<SoftLease> lease_;
};

TEST_F(SoftLeaseTest, OnlyWhatIsInHandForTheWholeLeaseGoesOn) {
  const StagedSend first = send({kTaker}, 1);
  const StagedSend second = send({kTaker}, 2);
  EXPECT_TRUE(look(1000).empty()) << "waiting, not taken";
  take(kTaker);
  EXPECT_TRUE(look(1050).empty());
  EXPECT_TRUE(look(1050 + kLease - 1).empty());
  const auto revoked = look(1050 + kLease);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_EQ(revoked[0].agent_id, kTaker);
  EXPECT_EQ(revoked[0].sequence, 1u);
  EXPECT_FALSE(revoked[0].is_requeued);
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_TRUE(look(1050 + 3 * kLease).empty()) << "once";
  EXPECT_FALSE(release(kTaker, first.deliveries[0])) << "it was refused";
  EXPECT_TRUE(look(1050 + 4 * kLease).empty()) << "the next one was not taken";
  EXPECT_EQ(late_count(kTaker), 0u);
  take(kTaker);
  EXPECT_TRUE(release(kTaker, second.deliveries[0]));
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, TheCopySaysWhatTheMessageSaidAndTheOldChunkStaysTheReaders) {
  const StagedSend message = send({kTaker}, 7, 2);
  take(kTaker);
  (void)look(0);
  ASSERT_EQ(look(kLease).size(), 1u);
  const layout::LetterEntry& letter = *std::find_if(table_.begin(), table_.end(), [](const auto& each) { return each.reference != 0; });
  EXPECT_NE(layout::reference_chunk(letter.reference), message.root().chunk);
  EXPECT_EQ(layout::letter_word_reason(letter.word.load()), layout::LetterReason::Overdue);
  EXPECT_EQ(layout::letter_word_attempt(letter.word.load()), 0u);
  EXPECT_STREQ(letter.name, "planner");
  layout::ChunkHeader& copy = *find_message(fabric_.map(), letter.reference);
  EXPECT_EQ(copy.sequence, 7u);
  EXPECT_EQ(copy.topic_id, message.root().header->topic_id);
  EXPECT_EQ(copy.source, message.root().header->source);
  EXPECT_EQ(std::memcmp(memory::payload(copy), memory::payload(*message.root().header), 8), 0);
  uint32_t segments = 0;
  for (layout::Reference next = copy.link; next != 0;) {
    layout::ChunkHeader& link = *fabric_.chunks().find(layout::reference_chunk(next));
    EXPECT_EQ(std::memcmp(memory::payload(link), memory::payload(*message.root().header), 8), 0);
    next = link.link;
    ++segments;
  }
  EXPECT_EQ(segments, 2u);
  EXPECT_EQ(message.root().header->holders.low.load(), message.root().generation) << "the reader has it still";
  EXPECT_NE(message.root().header->holders.high.load() & layout::kLateHolds, 0u);
  EXPECT_FALSE(release(kTaker, message.deliveries[0]));
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, ItComesAgainAsOftenAsThePolicySaysAndIsADeadLetterThen) {
  const StagedSend message = send({kTaker}, 1);
  take(kTaker);
  (void)look(0, 1);
  auto revoked = look(kLease, 1);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_TRUE(revoked[0].is_requeued);
  const ring::SlotView again = fabric_.lane(kTaker, kLane).read(fabric_.block(kTaker).back.head_hint[kLane].load() + 1);
  EXPECT_EQ(layout::unpack(again.state).phase, layout::Phase::Full);
  EXPECT_EQ(layout::unpack(again.state).attempt, 1u);
  EXPECT_TRUE(look(3 * kLease, 1).empty()) << "it waits, and is in nobody's hand";
  take(kTaker);
  (void)look(4 * kLease, 1);
  revoked = look(5 * kLease, 1);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_FALSE(revoked[0].is_requeued);
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_EQ(count(LetterState::Handed), 0u);
  EXPECT_FALSE(release(kTaker, message.deliveries[0]));
  EXPECT_FALSE(release(kTaker, {0, again.low, layout::unpack(again.state).bit}));
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, WhatFindsItsRingFullIsADeadLetterAtOnce) {
  const StagedSend message = send({kTaker}, 1);
  take(kTaker);
  for (uint64_t i = 2; i <= 8; ++i) (void)send({kTaker}, i);
  (void)look(0, 1);
  const auto revoked = look(kLease, 1);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_FALSE(revoked[0].is_requeued);
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_FALSE(release(kTaker, message.deliveries[0]));
}

TEST_F(SoftLeaseTest, WhatHasNowhereToGoStaysInHand) {
  restart(false);
  const StagedSend message = send({kTaker}, 1);
  take(kTaker);
  (void)look(0);
  EXPECT_TRUE(look(kLease).empty());
  may_come_again_ = false;
  EXPECT_TRUE(look(2 * kLease, 5).empty());
  EXPECT_TRUE(release(kTaker, message.deliveries[0]));
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, SoDoesOneForWhichThereIsNoChunk) {
  const StagedSend message = send({kTaker}, 1);
  take(kTaker);
  std::vector<std::optional<memory::SlabHeap>> hoarders(3);
  for (auto& hoarder : hoarders) (void)hoarder.emplace(fabric_.chunks(), 0, kSender, fabric_.incarnation(kSender)).loan(0);
  (void)look(0);
  EXPECT_TRUE(look(kLease).empty());
  EXPECT_EQ(late_count(kTaker), 0u);
  EXPECT_EQ(count(LetterState::Dead), 0u);
  EXPECT_TRUE(release(kTaker, message.deliveries[0]));
}

TEST_F(SoftLeaseTest, SeveralMayBeLateWithOneMessageUpToTheLateBits) {
  std::vector<uint32_t> receivers;
  for (uint32_t agent = 3; agent < 3 + layout::kLateBitCount + 1; ++agent) receivers.push_back(agent);
  const StagedSend message = send(receivers, 1);
  for (const uint32_t agent : receivers) take(agent);
  (void)look(0);
  EXPECT_EQ(look(kLease).size(), layout::kLateBitCount);
  EXPECT_TRUE(release(receivers.back(), message.deliveries.back())) << "no late bit was left for it";
  for (std::size_t i = 0; i + 1 < receivers.size(); ++i) {
    EXPECT_NE(message.root().header->holders.high.load(), 0u);
    EXPECT_FALSE(release(receivers[i], message.deliveries[i]));
  }
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, WhoDiesLateLeavesNothingBehind) {
  (void)send({kTaker, kSender}, 1);
  take(kTaker);
  (void)look(0);
  ASSERT_EQ(look(kLease).size(), 1u);
  fabric_.kill(kTaker);
  const Settled settled = settlement_->settle(kTaker, fabric_.incarnation(kTaker), {}, {"planner", layout::LetterReason::Died, 0, 0});
  EXPECT_EQ(settled.message_count, 0u) << "the message was not its own any more";
  EXPECT_EQ(late_count(kTaker), 0u);
  EXPECT_EQ(count(LetterState::Dead), 1u);
  fabric_.kill(kSender);
  (void)settlement_->settle(kSender, fabric_.incarnation(kSender), {});
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseTest, HeldTablesAndRingsWithEvictionAreLookedAtToo) {
  const StagedSend held = send({kTaker}, 1);
  take(kTaker);
  ring::SlotView slot = fabric_.lane(kTaker, kLane).read(fabric_.block(kTaker).back.head_hint[kLane].load());
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kTaker), slot), 0);
  fabric_.lane(kTaker, kLane).empty(fabric_.block(kTaker).back.head_hint[kLane].fetch_add(1), fabric_.incarnation(kTaker));
  fabric_.open_queue(1, kTaker);
  fabric_.ring_entry(1).overflow = 3;  // Drop-oldest.
  const StagedSend own = send({kTaker}, 2, 0, 1);
  auto queue = *fabric_.map().queue(1);
  ring::SlotView taken = queue.ring.read(queue.ring.head_hint().load());
  (void)look(0);
  ASSERT_TRUE(queue.ring.take(queue.ring.head_hint().load(), taken, kTaker));
  (void)look(1);
  auto revoked = look(kLease);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_EQ(revoked[0].sequence, 1u);
  revoked = look(1 + kLease);
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_EQ(revoked[0].sequence, 2u);
  EXPECT_FALSE(release(kTaker, held.deliveries[0]));
  EXPECT_FALSE(release(kTaker, own.deliveries[0]));
  drop_letters();
  EXPECT_TRUE(all_free());
}

// What a killed supervisor may leave: the copy, the letter, the entry, and the swap done or not.
class SoftLeaseFinish : public SoftLeaseTest {
 protected:
  // Up to the swap, or with it.
  void begin(bool swaps) {
    message_.emplace(send({kTaker}, 1));
    take(kTaker);
    supervisors_.emplace(fabric_.chunks(), 0, layout::kOwnerSupervisor, 0);
    const memory::Loaned copy = *supervisors_->loan(0);
    std::memcpy(static_cast<void*>(&copy.header->sequence), &message_->root().header->sequence, 112);
    copy.header->receivers[0] = 0;
    const layout::Reference reference = message_->root().reference();
    ASSERT_TRUE(letters_->announce({copy.reference(), 0, 1}, {"planner", layout::LetterReason::Overdue}, nullptr).has_value());
    base::Pair none{0, 0};
    ASSERT_TRUE(entry().compare_exchange(none, {reference, layout::pack(layout::LateWord{copy.chunk, 0, layout::kLateBitFirst, false, true})}));
    if (!swaps) return;
    base::Pair held{message_->root().generation, 1};
    ASSERT_TRUE(message_->root().header->holders.compare_exchange(held, {held.low, uint64_t{1} << layout::kLateBitFirst}));
  }
  base::AtomicPair& entry() { return fabric_.block(kTaker).late[0]; }

  std::optional<StagedSend> message_;
  std::optional<memory::SlabHeap> supervisors_;
};

TEST_F(SoftLeaseFinish, BeforeTheSwapNothingHasHappened) {
  begin(false);
  restart();
  EXPECT_EQ(late_count(kTaker), 0u);
  EXPECT_EQ(count(LetterState::Dead), 0u);
  EXPECT_TRUE(release(kTaker, message_->deliveries[0]));
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseFinish, NorWhenTheAgentGaveItBackMeanwhile) {
  begin(false);
  EXPECT_TRUE(release(kTaker, message_->deliveries[0]));
  restart();
  EXPECT_EQ(late_count(kTaker), 0u);
  EXPECT_EQ(count(LetterState::Dead), 0u);
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseFinish, AfterTheSwapTheCopyGoesOn) {
  begin(true);
  restart();
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_FALSE(layout::unpack_late(entry().high.load()).open);
  EXPECT_FALSE(release(kTaker, message_->deliveries[0]));
  drop_letters();
  EXPECT_TRUE(all_free());
}

TEST_F(SoftLeaseFinish, AlsoWhenTheLateOneGaveItBackMeanwhile) {
  begin(true);
  EXPECT_FALSE(release(kTaker, message_->deliveries[0]));
  EXPECT_EQ(late_count(kTaker), 1u) << "it says so until the copy is on its way";
  restart();
  EXPECT_EQ(count(LetterState::Dead), 1u);
  (void)look(0);
  EXPECT_EQ(late_count(kTaker), 0u);
  drop_letters();
  EXPECT_TRUE(all_free());
}

}  // namespace
}  // namespace ripstop::control
