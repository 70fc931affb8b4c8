// Method: agent 1 dies with messages of agent 2's in its lane, its held table or its own ring. What the
// settlement gives up lies in a table of this test's; each test asks where every delivery is, and whether a
// second table over the same entries, as the next supervisor makes it, says the same.
#include "control/dead_letters.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "base/clock.h"
#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"
#include "memory/evict.h"

namespace ripstop::control {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;
using layout::LetterEnd;
using layout::LetterReason;
using layout::LetterState;
using memory::SlabHeap;

constexpr uint32_t kDead = 1;
constexpr uint32_t kSender = 2;
constexpr uint32_t kHeir = 3;
constexpr std::size_t kLane = 2;
constexpr uint32_t kTopic = 7;  // As StagedSend sends.
constexpr uint64_t kGraceNs = 60'000'000'000;

class DeadLettersTest : public testing::Test {
 protected:
  DeadLettersTest() : fabric_(FakeShape{1, 8, {{256, 64, 2}}, {8, 8, 8, 8, 8}, 2, 8}) {
    for (uint32_t agent = 1; agent < 8; ++agent) fabric_.attach(agent);
    heap_.emplace(fabric_.chunks(), 0, kSender, fabric_.incarnation(kSender));
    restart({true, kGraceNs, 25});
  }

  // The next supervisor.
  void restart(const LetterPolicy& policy) {
    letters_.emplace(fabric_.map(), fabric_.superblock(), table_, policy);
  }
  layout::Reference send(std::vector<uint32_t> receivers, uint64_t sequence, uint32_t ring_id = 0) {
    StagedSend message(fabric_, *heap_, kSender, std::move(receivers), kLane, ring_id);
    EXPECT_TRUE(message.loan());
    message.root().header->sequence = sequence;
    EXPECT_TRUE(message.name());
    message.intend(sequence);
    message.commit();
    for (std::size_t i = 0; i < message.deliveries.size(); ++i) EXPECT_EQ(message.push(i), ring::Push::Ok);
    message.end();
    return message.root().reference();
  }
  Settled die(const DeadLetters::Address& estate, std::vector<uint32_t> own_rings = {}) {
    fabric_.kill(kDead);
    Settlement settlement(fabric_.map(), &*letters_);
    const Settled settled = settlement.settle(kDead, fabric_.incarnation(kDead), own_rings, estate);
    const Settled again = settlement.settle(kDead, fabric_.incarnation(kDead), own_rings, estate);
    EXPECT_EQ(again.message_count + again.full_count + again.completed_count, 0u) << "settled again, it found more";
    return settled;
  }
  DeadLetters::Address waits() const { return {"planner", LetterReason::Died, base::monotonic_ns() + kGraceNs}; }
  static DeadLetters::Address is_dead() { return {"planner", LetterReason::Died}; }
  DeadLetters::Destination inbox_of(uint32_t agent, std::string_view name = "planner") {
    return {fabric_.name(agent), fabric_.incarnation(agent), name, layout::kLetterInbox};
  }
  uint32_t count(LetterState state) const {
    uint32_t found = 0;
    for (const layout::LetterEntry& entry : table_) {
      const bool is_open = control::is_open(fabric_.map(), {entry.reference, entry.bit});
      found += layout::letter_word_state(entry.word.load()) == state && is_open ? 1 : 0;
    }
    return found;
  }
  uint64_t released(LetterEnd end) { return fabric_.superblock().letters_released[static_cast<std::size_t>(end)].load(); }

  struct Taken {
    uint64_t sequence;
    uint32_t attempt;
    friend bool operator==(const Taken&, const Taken&) = default;
  };
  // Takes and releases all there is in an agent's lane.
  std::vector<Taken> drain(uint32_t agent) {
    ring::MpmcRing ring = fabric_.lane(agent, kLane);
    uint64_t head = ring.head_hint().load();
    std::vector<Taken> taken;
    for (ring::SlotView view{}; ring.peek(head, view);) {
      const layout::SlotState state = layout::unpack(view.state);
      const layout::ChunkHeader* message = find_message(fabric_.map(), view.low);
      EXPECT_TRUE(message != nullptr && control::is_open(fabric_.map(), {view.low, state.bit}));
      if (message != nullptr) taken.push_back({message->sequence, state.attempt});
      (void)memory::release(fabric_.chunks(), view.low, state.bit);
      ring.empty(head++, fabric_.incarnation(agent));
    }
    ring.head_hint().store(head);
    return taken;
  }
  bool all_free() const { return fabric_.census().free_count == fabric_.census().total(); }

  FakeFabric fabric_;
  std::array<layout::LetterEntry, 8> table_{};
  std::optional<SlabHeap> heap_;
  std::optional<DeadLetters> letters_;
};

// 128 chunks of the class, a share of 32: a message of three segments needs three of them.
TEST_F(DeadLettersTest, EachSegmentOfAMessageCountsForTheShareOfItsClass) {
  restart({true, 0, 4});  // Five chunks.
  for (uint64_t i = 1; i <= 3; ++i) {
    StagedSend message(fabric_, *heap_, kSender, {kDead}, kLane);
    ASSERT_TRUE(message.whole(2));
  }
  (void)die(is_dead());
  EXPECT_EQ(count(LetterState::Dead), 1u) << "two would be six chunks";
  EXPECT_EQ(released(LetterEnd::ShareFull), 2u);
  restart({true, 0, 4});
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_EQ(letters_->drop(0), 1u);
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, WhatADeadAgentHadNotHandledIsKeptAndDropped) {
  for (uint64_t i = 1; i <= 3; ++i) send({kDead, kHeir}, i);
  EXPECT_EQ(die(is_dead()).message_count, 3u);
  EXPECT_EQ(count(LetterState::Dead), 3u);
  EXPECT_EQ(drain(kHeir).size(), 3u) << "another's deliveries are untouched";
  EXPECT_EQ(fabric_.census().held_count, 3u);
  restart({true, kGraceNs, 25});
  EXPECT_EQ(letters_->drop(2), 1u);
  EXPECT_EQ(letters_->drop(2), 0u);
  EXPECT_EQ(letters_->drop(0), 2u);
  EXPECT_EQ(released(LetterEnd::Dropped), 3u);
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, APolicyThatKeepsNoneReleasesAndCounts) {
  restart({false, 0, 25});
  send({kDead}, 1);
  EXPECT_EQ(die(is_dead()).message_count, 1u);
  EXPECT_EQ(released(LetterEnd::Policy), 1u);
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, TheOldestMakesRoomInAFullTable) {
  restart({true, 0, 100});
  for (uint64_t i = 1; i <= 8; ++i) send({kDead}, i);
  die(is_dead());
  fabric_.attach(kDead);
  for (uint64_t i = 9; i <= 11; ++i) send({kDead}, i);
  die(is_dead());
  EXPECT_EQ(released(LetterEnd::TableFull), 3u);
  std::vector<uint64_t> kept;
  for (const layout::LetterEntry& entry : table_) kept.push_back(entry.sequence);
  std::sort(kept.begin(), kept.end());
  EXPECT_EQ(kept, (std::vector<uint64_t>{4, 5, 6, 7, 8, 9, 10, 11}));
  letters_->drop(0);
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, NoMoreThanItsShareOfAClassIsKept) {
  restart({true, 0, 4});  // 4 % of 128.
  for (uint64_t i = 1; i <= 8; ++i) send({kDead}, i);
  die(is_dead());
  EXPECT_EQ(count(LetterState::Dead), 5u);
  EXPECT_EQ(released(LetterEnd::ShareFull), 3u);
  EXPECT_EQ(fabric_.census().held_count, 5u);
}

TEST_F(DeadLettersTest, ASuccessorGetsThemInOrderWithOneAttemptMore) {
  std::vector<layout::Reference> held;
  for (uint64_t i = 1; i <= 5; ++i) {
    const layout::Reference reference = send({kDead}, i);
    if (i == 2) held.push_back(reference);
  }
  // The second was moved into the held table, as a slow receiver's.
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kDead), {held[0], layout::pack({0, 0, 0, kDead, layout::Phase::Full})}), 0);
  EXPECT_EQ(die(waits()).message_count, 5u);
  EXPECT_EQ(count(LetterState::Waiting), 5u);
  EXPECT_NE(letters_->next_expiry_ns(), 0u);
  letters_->hand_over(kTopic + 1, inbox_of(kHeir));
  letters_->hand_over(kTopic, inbox_of(kHeir, "another"));
  EXPECT_TRUE(drain(kHeir).empty()) << "another topic's, another name's";
  letters_->hand_over(kTopic, inbox_of(kHeir));
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(letters_->next_expiry_ns(), 0u) << "nothing waits any more";
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}}));
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, WhatWasReleasedBeforeTheDeathIsNotRedelivered) {
  for (uint64_t i = 1; i <= 3; ++i) send({kDead}, i);
  ring::MpmcRing ring = fabric_.lane(kDead, kLane);
  const ring::SlotView first = ring.read(ring.head_hint().load());
  ASSERT_EQ(memory::release(fabric_.chunks(), first.low, 0), memory::Release::Freed);  // Killed before the slot.
  EXPECT_EQ(die(waits()).message_count, 2u);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{2, 1}, {3, 1}}));
}

TEST_F(DeadLettersTest, AfterTheGraceTimeWhatWaitedIsADeadLetter) {
  send({kDead}, 1);
  die(waits());
  letters_->expire(letters_->next_expiry_ns() - 1);
  EXPECT_EQ(count(LetterState::Waiting), 1u);
  letters_->wait_for("planner", letters_->next_expiry_ns() + 10);  // A successor came, and does not subscribe.
  letters_->expire(letters_->next_expiry_ns() - 10);
  EXPECT_EQ(count(LetterState::Waiting), 1u);
  letters_->expire(letters_->next_expiry_ns());
  EXPECT_EQ(count(LetterState::Dead), 1u);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_TRUE(drain(kHeir).empty());
}

TEST_F(DeadLettersTest, WhatDoesNotFitIntoTheSuccessorsRingIsADeadLetter) {
  for (uint64_t i = 1; i <= 5; ++i) send({kDead}, i);
  for (uint64_t i = 11; i <= 16; ++i) send({kHeir}, i);  // 8 slots.
  die(waits());
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir).size(), 8u);
  EXPECT_EQ(count(LetterState::Dead), 3u);
  EXPECT_EQ(layout::letter_word_reason(table_[2].word.load()), LetterReason::NoRoom);
}

// Killed after the entry and before the slot, the held entry or the message's end in a closed ring.
TEST_F(DeadLettersTest, ASupervisorKilledBeforeItGaveTheSlotUpKeepsTheMessageOnce) {
  std::vector<layout::Reference> sent;
  for (uint64_t i = 1; i <= 3; ++i) sent.push_back(send({kDead}, i));
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kDead), {sent[0], layout::pack({0, 0, 0, kDead, layout::Phase::Full})}), 0);
  EXPECT_TRUE(letters_->take({sent[0], 0}, waits()));
  EXPECT_TRUE(letters_->take({sent[1], 0}, waits()));
  restart({true, kGraceNs, 25});
  EXPECT_EQ(die(waits()).message_count, 1u);
  EXPECT_EQ(count(LetterState::Waiting), 3u);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}, {2, 1}, {3, 1}}));
  EXPECT_TRUE(all_free());
}

// A supervisor is killed between naming the destination and the push, and after it; the successor has taken
// it, has it in its held table, or has released it.
TEST_F(DeadLettersTest, ASupervisorKilledInMidHandOverPushesWhatIsMissingAndNothingTwice) {
  for (uint64_t i = 1; i <= 3; ++i) send({kDead}, i);
  die(waits());
  const auto go_to = [&](layout::LetterEntry& entry) {
    entry.destination = (fabric_.incarnation(kHeir) & 0xffffffff) << 32 | fabric_.name(kHeir);
    const uint64_t word = entry.word.load();
    entry.word.store(layout::make_letter_word(layout::letter_word_serial(word), 1, LetterReason::Died, LetterState::Handed));
  };
  go_to(table_[0]);
  restart({true, kGraceNs, 25});
  letters_->finish();
  letters_->finish();
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}}));
  go_to(table_[1]);
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kHeir), {table_[1].reference, layout::pack({0, table_[1].bit, 1, kHeir, layout::Phase::Full})}), 0);
  restart({true, kGraceNs, 25});
  letters_->finish();
  EXPECT_TRUE(drain(kHeir).empty()) << "it is in its hands";
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{3, 1}}));
}

TEST_F(DeadLettersTest, ASuccessorThatDiesLeavesThemToTheNext) {
  for (uint64_t i = 1; i <= 3; ++i) send({kDead}, i);
  die(waits());
  fabric_.attach(kDead);
  letters_->hand_over(kTopic, inbox_of(kDead));
  send({kDead}, 4);
  // It took and released one.
  ring::MpmcRing ring = fabric_.lane(kDead, kLane);
  const ring::SlotView first = ring.read(ring.head_hint().load());
  ASSERT_NE(memory::release(fabric_.chunks(), first.low, layout::unpack(first.state).bit), memory::Release::Gone);
  EXPECT_EQ(die(waits()).message_count, 3u);
  restart({true, kGraceNs, 25});
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{2, 2}, {3, 2}, {4, 1}}));
  EXPECT_TRUE(all_free());
}

// The publisher of a kept delivery dies in the middle of its send: its recovery finds bits that nobody has in a ring.
TEST_F(DeadLettersTest, APublishersRecoveryLeavesWhatIsKeptAlone) {
  StagedSend message(fabric_, *heap_, kSender, {kDead, 4}, kLane);
  ASSERT_TRUE(message.loan() && message.name());
  message.root().header->sequence = 1;
  message.intend(1);
  message.commit();
  ASSERT_EQ(message.push(0), ring::Push::Ok);
  die(waits());
  fabric_.kill(kSender);
  Settlement settlement(fabric_.map(), &*letters_);
  const Settled settled = settlement.settle(kSender, fabric_.incarnation(kSender), {}, {"sender", LetterReason::Died});
  EXPECT_EQ(settled.completed_count, 1u) << "the other's";
  EXPECT_EQ(count(LetterState::Waiting), 1u);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}}));
  EXPECT_EQ(drain(4), (std::vector<Taken>{{1, 0}}));
  EXPECT_TRUE(all_free());
  fabric_.attach(kSender);
}

TEST_F(DeadLettersTest, ARecoveryWithoutRoomKeepsTheDelivery) {
  for (uint64_t i = 1; i <= 8; ++i) send({4}, i);
  StagedSend message(fabric_, *heap_, kSender, {4}, kLane);
  ASSERT_TRUE(message.loan() && message.name());
  message.intend(9);
  message.commit();
  fabric_.kill(kSender);
  Settlement settlement(fabric_.map(), &*letters_);
  EXPECT_EQ(settlement.settle(kSender, fabric_.incarnation(kSender), {}, {"sender", LetterReason::Died}).full_count, 1u);
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_EQ(layout::letter_word_reason(table_[0].word.load()), LetterReason::NoRoom);
  fabric_.attach(kSender);
}

TEST_F(DeadLettersTest, AReplayGoesToAllReceiversAtOnce) {
  send({kDead, 4}, 1);
  EXPECT_EQ(drain(4).size(), 1u);
  die(is_dead());
  const auto receivers = [&](uint32_t topic_id) {
    std::vector<DeadLetters::Destination> all;
    if (topic_id == kTopic) all = {inbox_of(kHeir, "heir"), inbox_of(5, "five")};
    return all;
  };
  EXPECT_EQ(letters_->replay(77, receivers), 0u);
  EXPECT_EQ(letters_->replay(1, [](uint32_t) { return std::vector<DeadLetters::Destination>(); }), 0u) << "nobody subscribes";
  EXPECT_EQ(count(LetterState::Dead), 1u);
  EXPECT_EQ(letters_->replay(0, receivers), 1u);
  EXPECT_EQ(count(LetterState::Dead), 0u);
  restart({true, kGraceNs, 25});
  letters_->finish();
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}}));
  EXPECT_EQ(drain(5), (std::vector<Taken>{{1, 1}}));
  EXPECT_TRUE(all_free());
}

// A direct lane's publisher clears the member's bit when it finds the member gone.
TEST_F(DeadLettersTest, WhatLiesInADirectLaneIsKeptUnderABitThatTheLaneDoesNotUse) {
  const auto loaned = heap_->loan(0);
  ASSERT_TRUE(loaned);
  loaned->header->role = layout::ChunkRole::Root;
  loaned->header->flags = layout::kFlagDirect;
  loaned->header->topic_id = kTopic;
  loaned->header->priority = kLane & 15;
  loaned->header->sequence = 1;
  loaned->header->payload_bytes = 8;
  memory::commit(*loaned->header, uint64_t{3} << (layout::kDirectBitFirst - 1));
  heap_->sent(*loaned);
  const Delivery delivery{loaned->reference(), layout::kDirectBitFirst};
  EXPECT_TRUE(letters_->take_from_lane(delivery, waits()));
  EXPECT_FALSE(letters_->take_from_lane(delivery, waits())) << "it is gone from there";
  EXPECT_EQ(memory::release(fabric_.chunks(), delivery.reference, layout::kDirectBitFirst), memory::Release::Gone);
  EXPECT_EQ(memory::release(fabric_.chunks(), delivery.reference, layout::kDirectBitFirst - 1), memory::Release::Held);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{1, 1}}));
  EXPECT_TRUE(all_free());
}

TEST_F(DeadLettersTest, OneRingsMessagesGoToTheSameRingOfTheSuccessor) {
  fabric_.open_queue(1, kDead);
  fabric_.ring_entry(1).place = 1;
  send({kDead}, 1, 1);
  send({kDead}, 2);
  EXPECT_EQ(die(waits(), {1}).message_count, 2u);
  letters_->hand_over(kTopic, inbox_of(kHeir));
  EXPECT_EQ(drain(kHeir), (std::vector<Taken>{{2, 1}})) << "the inbox's";
  fabric_.open_queue(2, kHeir);
  letters_->hand_over(kTopic, {fabric_.ring_name(2), fabric_.incarnation(kHeir), "planner", 1});
  ring::MpmcRing ring = fabric_.map().queue(2)->ring;
  ring::SlotView view{};
  ASSERT_TRUE(ring.peek(ring.head_hint().load(), view));
  EXPECT_EQ(find_message(fabric_.map(), view.low)->sequence, 1u);
}

}  // namespace
}  // namespace ripstop::control
