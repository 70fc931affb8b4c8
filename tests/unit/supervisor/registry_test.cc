// Method: a registry over real segments, small and of 4 KiB pages, read through the view that agents
// have. A second registry over the same memory stands for the next supervisor after a kill.
#include "supervisor/registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/name_hash.h"
#include "ring/doorbell.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {
namespace {

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    Config config = default_config();
    config.hugepages = Hugepages::Off;
    config.agents = 8;
    config.topics = 4;
    config.subscriptions = 12;
    config.rings = 6;
    config.ring_arena_bytes = 64 * 1024;
    config.classes = {{256, 64}};
    const std::vector<topology::NumaNode> nodes = {{0, {0}, 0}, {1, {1}, 0}};
    auto segments = SegmentManager::create(config, nodes, false);
    ASSERT_TRUE(segments) << to_string(segments.error());
    segments_.emplace(std::move(*segments));
    registry_.emplace(*segments_);
  }

  AgentPlace attach(const std::string& name, uint32_t node = 0) {
    AgentIdentity identity;
    identity.name = name;
    identity.pid = 4711;
    auto place = registry_->attach(identity, node);
    EXPECT_TRUE(place) << (place ? "" : to_string(place.error()));
    return place ? *place : AgentPlace{};
  }
  std::vector<layout::RouteReceiver> route(uint32_t topic_id) {
    std::vector<layout::RouteReceiver> receivers;
    EXPECT_TRUE(segments_->view().copy_route(topic_id, receivers));
    return receivers;
  }
  const control::ControlView& view() { return segments_->view(); }

  std::optional<SegmentManager> segments_;
  std::optional<Registry> registry_;
};

TEST_F(RegistryTest, APublisherOfTheSameNameGoesOnWithTheSequencesOfTheLastOne) {
  constexpr uint64_t kGraceNs = 60'000'000'000;
  registry_.emplace(*segments_, control::LetterPolicy{true, kGraceNs, 25});
  const auto row_of = [&](const AgentPlace& place) -> layout::PublisherRow& { return segments_->map().block(place.id)->publishers[3]; };
  for (const bool died : {true, false}) {
    const AgentPlace first = attach("planner");
    row_of(first).topic_id.store(1);
    row_of(first).sequence.store(41);
    registry_->settle(first.id, died);
    const AgentPlace other = attach("solver");
    EXPECT_NE(other.id, first.id) << "its place waits as long as there are others";
    EXPECT_EQ(row_of(other).sequence.load(), 0u);
    registry_.emplace(*segments_, control::LetterPolicy{true, kGraceNs, 25});  // The next supervisor knows too.
    const AgentPlace second = attach("planner");
    EXPECT_EQ(row_of(second).sequence.load(), 41u);
    EXPECT_EQ(row_of(second).topic_id.load(), 1u);
    EXPECT_EQ(row_of(second).state.load(), 0u) << "open_publisher() takes it";
    row_of(second).sequence.store(0);
    registry_->settle(second.id, false);
    registry_->settle(other.id, false);
  }
}

TEST_F(RegistryTest, SequencesAreForgottenRatherThanAnAgentRefused) {
  registry_.emplace(*segments_, control::LetterPolicy{true, 60'000'000'000, 25});
  for (int i = 0; i < 8; ++i) registry_->settle(attach("agent" + std::to_string(i)).id, true);
  for (int i = 10; i < 18; ++i) EXPECT_NE(attach("agent" + std::to_string(i)).id, 0u);
}

TEST_F(RegistryTest, AnAgentGetsAPlaceOnItsNodeOrOnAnother) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(attach("one" + std::to_string(i), 1).node_index, 1u);
  EXPECT_EQ(attach("five", 1).node_index, 0u);
}

TEST_F(RegistryTest, AnInboxIsNamedOnceHoweverManySubscriptionsLeadToIt) {
  const auto agent = attach("planner");
  const auto first = registry_->subscribe(agent.id, {"a", 0, false, 0, 0});
  const auto second = registry_->subscribe(agent.id, {"a", 0, false, 0, 1});
  ASSERT_TRUE(first && second);
  ASSERT_EQ(route(first->topic_id).size(), 1u);
  EXPECT_EQ(route(first->topic_id)[0].subscription, first->subscription_id);
  ASSERT_TRUE(registry_->unsubscribe(agent.id, first->subscription_id));
  ASSERT_EQ(route(first->topic_id).size(), 1u);
  EXPECT_EQ(route(first->topic_id)[0].subscription, second->subscription_id);
}

TEST_F(RegistryTest, AChangeOfARouteMovesItsShardOfTheEpochAlone) {
  const auto agent = attach("planner");
  const auto topic_id = registry_->topic("a");
  ASSERT_TRUE(topic_id);
  std::array<uint64_t, layout::kEpochShards> before;
  for (uint32_t i = 0; i < before.size(); ++i) before[i] = view().route_epoch(i);
  ASSERT_TRUE(registry_->subscribe(agent.id, {"a", 0, false, 0, 0}));
  const uint32_t shard = control::ControlView::shard_of(view().topic_entry(*topic_id)->hash);
  for (uint32_t i = 0; i < before.size(); ++i) EXPECT_EQ(view().route_epoch(i), before[i] + (i == shard ? 1 : 0));
}

TEST_F(RegistryTest, WhatIsFullIsATypedErrorAndGivesNothingAway) {
  const auto agent = attach("planner");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(registry_->topic("t" + std::to_string(i)));
  EXPECT_EQ(registry_->topic("t4").error().code, Errc::TopicsFull);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(registry_->subscribe(agent.id, {"t0", 3, false, 16, 0}));
  EXPECT_EQ(registry_->subscribe(agent.id, {"t0", 3, false, 16, 0}).error().code, Errc::RingsFull);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(registry_->subscribe(agent.id, {"t1", 0, false, 0, 0}));
  EXPECT_EQ(registry_->subscribe(agent.id, {"t1", 0, false, 0, 0}).error().code, Errc::SubscriptionsFull);
  registry_->settle(agent.id, false);
  const auto next = attach("next");
  EXPECT_TRUE(registry_->subscribe(next.id, {"t0", 3, false, 16, 0}));
}

TEST_F(RegistryTest, ARingIsGivenAgainWithANewIncarnation) {
  const auto agent = attach("planner");
  const auto first = registry_->subscribe(agent.id, {"a", 3, false, 16, 0});
  ASSERT_TRUE(first);
  const uint64_t before = view().ring_entry(first->ring_id)->word.load() >> 2;
  ASSERT_TRUE(registry_->unsubscribe(agent.id, first->subscription_id));
  const auto second = registry_->subscribe(agent.id, {"b", 3, false, 16, 0});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->ring_id, first->ring_id);
  EXPECT_GT(view().ring_entry(second->ring_id)->word.load() >> 2, before);
}

TEST_F(RegistryTest, ASettledAgentIsInNoRouteAndItsNameIsFree) {
  const auto first = attach("planner");
  const auto other = attach("other");
  const auto topic = registry_->subscribe(first.id, {"a", 0, false, 0, 0});
  ASSERT_TRUE(registry_->subscribe(other.id, {"a", 0, false, 0, 0}));
  ASSERT_TRUE(topic);
  registry_->settle(first.id, true);
  ASSERT_EQ(route(topic->topic_id).size(), 1u);
  EXPECT_EQ(route(topic->topic_id)[0].agent, other.id);
  const auto again = attach("planner");
  EXPECT_EQ(again.id, first.id);
  EXPECT_GT(again.incarnation, first.incarnation);
  EXPECT_EQ(registry_->find_agent("planner"), again.id);
}

TEST_F(RegistryTest, TheNextSupervisorFindsEverythingInTheSegment) {
  const auto agent = attach("planner");
  const auto subscribed = registry_->subscribe(agent.id, {"a", 3, false, 16, 0});
  const auto channel = registry_->open_channel(agent.id, {"pipe", control::ChannelEnd::Sender, 112, 16});
  ASSERT_TRUE(subscribed && channel);
  registry_.reset();
  registry_.emplace(*segments_);
  EXPECT_EQ(registry_->find_agent("planner"), agent.id);
  EXPECT_EQ(route(subscribed->topic_id).size(), 1u);
  EXPECT_EQ(registry_->open_channel(agent.id, {"pipe", control::ChannelEnd::Sender, 112, 16}).error().code, Errc::ChannelBusy);
  const auto ring = registry_->subscribe(agent.id, {"b", 3, false, 16, 0});
  ASSERT_TRUE(ring);
  EXPECT_NE(ring->ring_id, subscribed->ring_id);
  EXPECT_NE(ring->subscription_id, subscribed->subscription_id);
  ASSERT_TRUE(registry_->unsubscribe(agent.id, subscribed->subscription_id));
  EXPECT_GT(attach("next").incarnation, agent.incarnation);
}

TEST_F(RegistryTest, WhoSleepsAtAChannelIsRungWhenTheOtherEndDies) {
  const auto sender = attach("sender");
  const auto receiver = attach("receiver");
  const auto channel = registry_->open_channel(sender.id, {"pipe", control::ChannelEnd::Sender, 112, 16});
  ASSERT_TRUE(channel && registry_->open_channel(receiver.id, {"pipe", control::ChannelEnd::Receiver, 112, 16}));
  // The sender is killed between its message and its ring.
  std::atomic<uint32_t>& bell = segments_->map().channel(channel->ring_id)->header->doorbell;
  ring::Sleeper(bell).arm();
  registry_->settle(sender.id, true);
  EXPECT_NE(bell.load() & layout::kDoorbellRung, 0u);
}

TEST_F(RegistryTest, TheNextSupervisorListsATopicThatAKillLeftUnlisted) {
  const auto topic = registry_->topic("a");
  ASSERT_TRUE(topic);
  // As after a kill between the topic's count and its bucket.
  const layout::Superblock& super = segments_->superblock();
  auto* buckets = reinterpret_cast<layout::TopicBucket*>(segments_->control_data() + super.buckets_offset);
  buckets[control::ControlView::bucket_of(base::name_hash("a"), super.topic_bucket_count)].store(0);
  ASSERT_FALSE(view().find_topic("a"));
  registry_.reset();
  registry_.emplace(*segments_);
  EXPECT_EQ(view().find_topic("a"), *topic);
}

TEST_F(RegistryTest, TheNextSupervisorFreesAChannelThatBothEndsHaveLeft) {
  const auto agent = attach("agent");
  const auto channel = registry_->open_channel(agent.id, {"pipe", control::ChannelEnd::Sender, 112, 16});
  ASSERT_TRUE(channel);
  // As after a kill between the last end's leaving and the ring's.
  auto* entry = const_cast<layout::RingEntry*>(segments_->map().ring_entry(channel->ring_id));
  entry->producer = 0;
  registry_.reset();
  registry_.emplace(*segments_);
  EXPECT_TRUE(registry_->open_channel(agent.id, {"pipe", control::ChannelEnd::Sender, 240, 4}))
      << "the name is free, for any geometry";
}

TEST_F(RegistryTest, TheNextSupervisorFinishesWhatAKillInterrupted) {
  const auto agent = attach("planner");
  const auto subscribed = registry_->subscribe(agent.id, {"a", 0, false, 0, 0});
  ASSERT_TRUE(subscribed);
  // As after a kill between the first and the second store of a settlement.
  auto* entry = const_cast<layout::AgentEntry*>(view().agent_entry(agent.id));
  entry->word.store(layout::make_agent_word(agent.incarnation, layout::AgentState::Dead));
  registry_.reset();
  registry_.emplace(*segments_);
  EXPECT_TRUE(route(subscribed->topic_id).empty());
  EXPECT_EQ(registry_->find_agent("planner"), std::nullopt);
}

TEST_F(RegistryTest, AReaderNeverCopiesARouteThatNeverWas) {
  // One thread subscribes and unsubscribes, another copies: it sees one or two receivers, each whole.
  const auto one = attach("one");
  const auto two = attach("two");
  const auto topic = registry_->subscribe(one.id, {"a", 0, false, 0, 0});
  ASSERT_TRUE(topic);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    std::vector<layout::RouteReceiver> receivers;
    while (!stop.load()) {
      if (!view().copy_route(topic->topic_id, receivers)) continue;
      const bool sound = (receivers.size() == 1 || receivers.size() == 2) && receivers[0].agent == one.id &&
                         (receivers.size() == 1 || (receivers[1].agent == two.id && receivers[1].incarnation == two.incarnation));
      if (!sound) ++wrong;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto second = registry_->subscribe(two.id, {"a", 0, false, 0, 0});
    ASSERT_TRUE(second);
    ASSERT_TRUE(registry_->unsubscribe(two.id, second->subscription_id));
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

// A request comes again when its answer was lost, to this supervisor or to its successor.
TEST_F(RegistryTest, ARequestThatComesAgainMakesNothingTwice) {
  const auto agent = attach("planner");
  control::SubscribeRequest subscribe{"a", 0, true, 0, 0, 7};
  const auto made = registry_->subscribe(agent.id, subscribe);
  ASSERT_TRUE(made);
  control::ChannelOpenRequest open{"c", control::ChannelEnd::Sender, 112, 4, 8};
  const auto opened = registry_->open_channel(agent.id, open);
  ASSERT_TRUE(opened);
  for (const bool is_successor : {false, true}) {
    if (is_successor) registry_.emplace(*segments_);
    const auto again = registry_->subscribe(agent.id, subscribe);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->subscription_id, made->subscription_id);
    EXPECT_EQ(again->ring_id, made->ring_id);
    EXPECT_EQ(again->topic_id, made->topic_id);
    EXPECT_EQ(route(made->topic_id).size(), 1u);
    const auto reopened = registry_->open_channel(agent.id, open);
    ASSERT_TRUE(reopened) << to_string(reopened.error());
    EXPECT_EQ(reopened->ring_id, opened->ring_id);
    EXPECT_EQ(reopened->incarnation, opened->incarnation);
  }
  // Another request, though it asks for the same.
  subscribe.ticket = 9;
  open.ticket = 10;
  EXPECT_NE(registry_->subscribe(agent.id, subscribe)->subscription_id, made->subscription_id);
  EXPECT_EQ(registry_->open_channel(agent.id, open).error().code, Errc::ChannelBusy);
  // Nor is another agent's.
  const auto other = attach("other");
  subscribe.ticket = 7;
  EXPECT_NE(registry_->subscribe(other.id, subscribe)->subscription_id, made->subscription_id);
}

TEST_F(RegistryTest, ASuccessorEndsARingThatNoSubscriptionNames) {
  // As a kill leaves it between the ring's word and the subscription's.
  const auto agent = attach("planner");
  const auto made = registry_->subscribe(agent.id, {"a", 0, true, 0, 0});
  ASSERT_TRUE(made);
  auto& entry = const_cast<layout::SubscriptionEntry&>(*view().subscription_entry(made->subscription_id));
  entry.word.store(entry.word.load() & ~uint64_t{3});
  registry_.emplace(*segments_);
  EXPECT_EQ(view().ring_entry(made->ring_id)->word.load() & 3, 0u);
  EXPECT_TRUE(route(made->topic_id).empty());
}

}  // namespace
}  // namespace ripstop::supervisor
