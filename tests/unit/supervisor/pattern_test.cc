// Method: a registry over real segments, read as publishers read it. What each topic's receivers are is held
// against a plain list of subscriptions and a matcher of our own. A second registry over the same memory
// stands for the next supervisor after a kill.
#include <gtest/gtest.h>
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/name_hash.h"
#include "control/pattern_view.h"
#include "control/topic_grammar.h"
#include "supervisor/registry.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {
namespace {

// Tokens whose hashes are equal, found by searching.
constexpr std::string_view kTwin = "7mohtcOFVz";
constexpr std::string_view kOtherTwin = "c1E51sSEyx";
constexpr std::string_view kLongTwin = "8yn0iYCKYHlIj4-BwPqk";
constexpr std::string_view kOtherLongTwin = "GReLUrM4wMqfg9yzV3KQ";

std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens(1);
  for (const char c : text) {
    if (c == '.') tokens.emplace_back();
    else tokens.back() += c;
  }
  return tokens;
}

// Another way to say what topic_grammar.h says: from the back.
bool names(const std::vector<std::string>& pattern, std::size_t i, const std::vector<std::string>& topic, std::size_t j) {
  if (i == pattern.size()) return j == topic.size();
  if (pattern[i] == "**") return true;
  return j < topic.size() && (pattern[i] == "*" || pattern[i] == topic[j]) && names(pattern, i + 1, topic, j + 1);
}

class PatternTest : public testing::Test {
 protected:
  void SetUp() override { create(64, 4096, 1 << 20); }

  void create(uint64_t topics, uint64_t subscriptions, uint64_t route_arena_bytes) {
    Config config = default_config();
    config.hugepages = Hugepages::Off;
    config.agents = 8;
    config.topics = topics;
    config.subscriptions = subscriptions;
    config.rings = 64;
    config.ring_arena_bytes = 256 * 1024;
    config.route_arena_bytes = route_arena_bytes;
    config.classes = {{256, 64}};
    const std::vector<topology::NumaNode> nodes = {{0, {0}, 0}};
    registry_.reset();
    auto segments = SegmentManager::create(config, nodes, false);
    ASSERT_TRUE(segments) << to_string(segments.error());
    segments_.emplace(std::move(*segments));
    registry_.emplace(*segments_);
  }

  AgentPlace attach(const std::string& name) {
    AgentIdentity identity;
    identity.name = name;
    identity.pid = 4711;
    auto place = registry_->attach(identity, 0);
    EXPECT_TRUE(place) << (place ? "" : to_string(place.error()));
    return place ? *place : AgentPlace{};
  }
  uint32_t topic(std::string_view name) {
    auto id = registry_->topic(name);
    EXPECT_TRUE(id) << (id ? "" : to_string(id.error()));
    return id ? *id : 0;
  }
  uint32_t subscribe(const AgentPlace& agent, std::string_view text, bool own_ring = false) {
    auto made = registry_->subscribe(agent.id, {std::string(text), 0, own_ring, 4, 0});
    EXPECT_TRUE(made) << text << (made ? "" : to_string(made.error()));
    return made ? made->subscription_id : 0;
  }
  std::vector<layout::RouteReceiver> receivers(uint32_t topic_id) {
    std::vector<layout::RouteReceiver> found;
    EXPECT_TRUE(control::find_receivers(view(), topic_id, found));
    return found;
  }
  std::vector<layout::RouteReceiver> receivers(std::string_view name) { return receivers(topic(name)); }
  std::vector<std::string> patterns() {
    std::vector<control::PatternReceivers> found;
    EXPECT_TRUE(control::PatternView(view()).list(found));
    std::vector<std::string> texts;
    for (const auto& each : found) texts.push_back(each.text);
    std::sort(texts.begin(), texts.end());
    return texts;
  }
  void restart() {
    registry_.reset();
    registry_.emplace(*segments_);
  }
  const control::ControlView& view() { return segments_->view(); }
  std::array<uint64_t, layout::kEpochShards> epochs() {
    std::array<uint64_t, layout::kEpochShards> all;
    for (uint32_t i = 0; i < all.size(); ++i) all[i] = view().route_epoch(i);
    return all;
  }

  std::optional<SegmentManager> segments_;
  std::optional<Registry> registry_;
};

TEST_F(PatternTest, WhoReceivesATopicIsWhatAPlainListSays) {
  struct Subscription {
    AgentPlace agent;
    std::vector<std::string> pattern;
    bool own_ring;
  };
  std::mt19937 random(4);
  const auto one_of = [&](const auto& list) { return list[random() % list.size()]; };
  const std::vector<std::string> literals = {"a", "b", "c", std::string(kTwin), std::string(kOtherTwin)};
  const std::vector<std::string> wanted = {"a", "b", "c", "*", "*", std::string(kTwin), std::string(kOtherTwin)};
  const auto make = [&](const std::vector<std::string>& from, bool may_have_tail) {
    std::string text = one_of(from);
    for (uint32_t i = random() % 4; i > 0; --i) text += "." + one_of(from);
    if (may_have_tail && random() % 3 == 0) text = random() % 8 == 0 ? "**" : text + (random() % 2 == 0 ? ".**" : ".#");
    return text;
  };
  std::map<std::string, uint32_t> topics;
  while (topics.size() < 60) {
    const std::string name = make(literals, false);
    topics[name] = topic(name);
  }
  std::vector<AgentPlace> agents;
  for (int i = 0; i < 5; ++i) agents.push_back(attach("agent" + std::to_string(i)));
  std::map<uint32_t, Subscription> subscriptions;
  uint32_t rings = 0;
  for (int step = 0; step < 3000; ++step) {
    if (subscriptions.empty() || (subscriptions.size() < 40 && random() % 2 == 0)) {
      const std::string pattern = make(wanted, true);
      if (!control::is_pattern(pattern) && topics.find(pattern) == topics.end()) continue;  // No further topics.
      const bool own_ring = random() % 3 == 0 && rings < 40;
      const AgentPlace agent = one_of(agents);
      rings += own_ring ? 1 : 0;
      subscriptions[subscribe(agent, pattern, own_ring)] = {agent, tokens_of(control::canonical_pattern(pattern)), own_ring};
    } else {
      auto at = subscriptions.begin();
      std::advance(at, random() % subscriptions.size());
      ASSERT_TRUE(registry_->unsubscribe(at->second.agent.id, at->first));
      rings -= at->second.own_ring ? 1 : 0;
      subscriptions.erase(at);
    }
    if (step % 250 == 249) restart();
    const auto& [name, topic_id] = *std::next(topics.begin(), random() % topics.size());
    std::multiset<std::pair<uint32_t, uint32_t>> expected;  // Agent, and its ring's subscription or 0.
    std::set<uint32_t> inboxes;
    for (const auto& [id, subscription] : subscriptions) {
      if (!names(subscription.pattern, 0, tokens_of(name), 0)) continue;
      if (subscription.own_ring) expected.insert({subscription.agent.id, id});
      else if (inboxes.insert(subscription.agent.id).second) expected.insert({subscription.agent.id, 0});
    }
    std::multiset<std::pair<uint32_t, uint32_t>> found;
    for (const layout::RouteReceiver& receiver : receivers(topic_id)) {
      found.insert({receiver.agent, receiver.ring_id == 0 ? 0 : receiver.subscription});
    }
    ASSERT_EQ(found, expected) << name << " after step " << step;
  }
  for (const auto& [id, subscription] : subscriptions) ASSERT_TRUE(registry_->unsubscribe(subscription.agent.id, id));
  EXPECT_TRUE(patterns().empty());
  EXPECT_EQ(static_cast<uint32_t>(view().pattern_root()), 0u);
}

TEST_F(PatternTest, NamesAreComparedWhereHashesAreEqual) {
  ASSERT_EQ(base::name_hash(kTwin), base::name_hash(kOtherTwin));
  ASSERT_EQ(base::name_hash(kLongTwin), base::name_hash(kOtherLongTwin));
  const auto one = attach("one");
  const auto two = attach("two");
  const std::string first = std::string(kTwin) + ".*";
  const std::string second = std::string(kOtherTwin) + ".*";
  const uint32_t subscription = subscribe(one, first);
  EXPECT_EQ(receivers(std::string(kTwin) + ".x").size(), 1u);
  EXPECT_TRUE(receivers(std::string(kOtherTwin) + ".x").empty());
  subscribe(two, second);
  ASSERT_EQ(receivers(std::string(kOtherTwin) + ".x").size(), 1u);
  EXPECT_EQ(receivers(std::string(kOtherTwin) + ".x")[0].agent, two.id);
  EXPECT_EQ(receivers(std::string(kTwin) + ".x")[0].agent, one.id);
  EXPECT_EQ(patterns(), (std::vector<std::string>{first, second}));
  restart();
  ASSERT_TRUE(registry_->unsubscribe(one.id, subscription));
  EXPECT_TRUE(receivers(std::string(kTwin) + ".x").empty());
  EXPECT_EQ(receivers(std::string(kOtherTwin) + ".x").size(), 1u);
  // Topics too.
  subscribe(one, kLongTwin);
  subscribe(two, kOtherLongTwin);
  EXPECT_NE(topic(kLongTwin), topic(kOtherLongTwin));
  ASSERT_EQ(receivers(kLongTwin).size(), 1u);
  EXPECT_EQ(receivers(kLongTwin)[0].agent, one.id);
  EXPECT_EQ(receivers(kOtherLongTwin)[0].agent, two.id);
}

TEST_F(PatternTest, AnInboxIsNamedOnceAndEachRingBesides) {
  const auto agent = attach("planner");
  subscribe(agent, "a.b");
  subscribe(agent, "a.*");
  subscribe(agent, "**");
  const uint32_t own = subscribe(agent, "a.**", true);
  const auto found = receivers("a.b");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].ring_id, 0u);
  EXPECT_EQ(found[1].subscription, own);
}

TEST_F(PatternTest, AnotherSpellingIsTheSamePattern) {
  const auto agent = attach("planner");
  EXPECT_EQ(registry_->subscribe(agent.id, {"a.#", 0, false, 0, 0})->topic_id, registry_->subscribe(agent.id, {"a.**", 0, false, 0, 0})->topic_id);
  EXPECT_EQ(patterns(), std::vector<std::string>{"a.**"});
}

TEST_F(PatternTest, ABadPatternIsRefused) {
  const auto agent = attach("planner");
  for (const char* text : {"a.**.b", "a*", "a..*", "#.x"}) {
    const auto refused = registry_->subscribe(agent.id, {text, 0, false, 0, 0});
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, Errc::BadTopic);
  }
  EXPECT_EQ(registry_->topic("a.*").error().code, Errc::BadTopic);
}

TEST_F(PatternTest, APatternMovesTheShardsOfTheTopicsThatItNamesAlone) {
  const auto agent = attach("planner");
  for (const char* name : {"a.x", "a.y", "b.x", "ab.x"}) topic(name);
  const auto shard = [&](std::string_view name) { return control::ControlView::shard_of(base::name_hash(name)); };
  const auto moved = [&](std::string_view pattern) {
    const auto before = epochs();
    subscribe(agent, pattern);
    const auto after = epochs();
    std::set<uint32_t> shards;
    for (uint32_t i = 0; i < after.size(); ++i) {
      if (after[i] != before[i]) shards.insert(i);
    }
    return shards;
  };
  EXPECT_EQ(moved("a.*"), (std::set<uint32_t>{shard("a.x"), shard("a.y")}));
  EXPECT_EQ(moved("a.**"), (std::set<uint32_t>{shard("a.x"), shard("a.y")}));
  EXPECT_EQ(moved("*.x"), (std::set<uint32_t>{shard("a.x"), shard("b.x"), shard("ab.x")}));
  EXPECT_EQ(moved("none.**"), std::set<uint32_t>{}) << "nobody publishes what nobody has named";
}

TEST_F(PatternTest, ManyPatternsBelowOneTokenAreFoundAndAllTheirMemoryComesBack) {
  create(4096, 8192, 4 << 20);
  const auto agent = attach("planner");
  std::vector<uint32_t> ids;
  constexpr int kCount = 2000;
  for (int i = 0; i < kCount; ++i) {
    ids.push_back(subscribe(agent, "task." + std::to_string(i) + ".*", false));
    topic("task." + std::to_string(i) + ".x");
  }
  const auto expect_all = [&] {
    for (int i = 0; i < kCount; ++i) {
      const auto found = receivers("task." + std::to_string(i) + ".x");
      ASSERT_EQ(found.size(), 1u) << i;
      EXPECT_EQ(found[0].subscription, ids[static_cast<std::size_t>(i)]);
    }
  };
  expect_all();
  restart();
  expect_all();
  for (const uint32_t id : ids) ASSERT_TRUE(registry_->unsubscribe(agent.id, id));
  EXPECT_EQ(static_cast<uint32_t>(view().pattern_root()), 0u);
  // With a tenth of the room that all of them took together, one after the other has its place.
  create(64, 64, 64 * 1024);
  const auto next = attach("next");
  for (int i = 0; i < 500; ++i) {
    const uint32_t id = subscribe(next, "t" + std::to_string(i) + ".*");
    ASSERT_TRUE(registry_->unsubscribe(next.id, id));
  }
}

TEST_F(PatternTest, WhatIsFullIsATypedErrorAndGivesNothingAway) {
  create(64, 8, 64 * 1024);
  const auto agent = attach("planner");
  for (int i = 0; i < 8; ++i) subscribe(agent, "p" + std::to_string(i) + ".*");
  const auto refused = registry_->subscribe(agent.id, {"more.*", 0, false, 0, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::SubscriptionsFull);
  EXPECT_NE(refused.error().why.find("all 8"), std::string::npos);

  create(64, 4096, 64 * 1024);
  const auto other = attach("other");
  std::vector<uint32_t> ids;
  Error error;
  while (ids.size() < 2000) {
    auto made = registry_->subscribe(other.id, {"p" + std::to_string(ids.size()) + ".*", 0, false, 0, 0});
    if (!made) {
      error = made.error();
      break;
    }
    ids.push_back(made->subscription_id);
  }
  EXPECT_EQ(error.code, Errc::SubscriptionsFull);
  EXPECT_NE(error.fix.find("route_arena_bytes"), std::string::npos);
  ASSERT_GT(ids.size(), 100u);
  EXPECT_EQ(patterns().size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i % 50 != 0) continue;
    EXPECT_EQ(receivers("p" + std::to_string(i) + ".x").size(), 1u) << "who was there before still is";
  }
  // Ending one may need more room than there is; what ended is no subscription, and is out of the trie in the end.
  for (const uint32_t id : ids) ASSERT_TRUE(registry_->unsubscribe(other.id, id));
  EXPECT_TRUE(patterns().empty());
  EXPECT_NE(subscribe(other, "again.*"), 0u);
}

TEST_F(PatternTest, TheNextSupervisorFindsEveryPatternInTheSegment) {
  const auto one = attach("one");
  const auto two = attach("two");
  const uint32_t first = subscribe(one, "a.*");
  subscribe(two, "a.*", true);
  subscribe(two, "**");
  const uint64_t root = view().pattern_root();
  const auto before = epochs();
  restart();
  EXPECT_EQ(view().pattern_root(), root) << "nothing was torn";
  for (uint32_t i = 0; i < before.size(); ++i) EXPECT_NE(epochs()[i], before[i]) << "a kill may have come before the epoch";
  EXPECT_EQ(receivers("a.b").size(), 3u);
  EXPECT_EQ(patterns(), (std::vector<std::string>{"**", "a.*"}));
  ASSERT_TRUE(registry_->unsubscribe(one.id, first));
  EXPECT_EQ(receivers("a.b").size(), 2u);
  registry_->settle(two.id, true);
  EXPECT_TRUE(receivers("a.b").empty());
  EXPECT_TRUE(patterns().empty());
}

TEST_F(PatternTest, TheNextSupervisorMakesARouteThatAKillPrevented) {
  const auto agent = attach("planner");
  subscribe(agent, "x.*");
  const uint64_t root = view().pattern_root();
  subscribe(agent, "a.*");
  // As after a kill between the subscription's word and the root: what the new root leads to is never read.
  segments_->superblock().pattern_root.store(root);
  EXPECT_TRUE(receivers("a.b").empty());
  restart();
  EXPECT_EQ(receivers("a.b").size(), 1u);
  EXPECT_EQ(receivers("x.b").size(), 1u);
}

TEST_F(PatternTest, TheNextSupervisorEndsARouteWhoseSubscriptionHasEnded) {
  const auto agent = attach("planner");
  subscribe(agent, "x.*");
  const uint32_t id = subscribe(agent, "a.*");
  // As after a kill between the subscription's word and the root.
  auto& entry = const_cast<layout::SubscriptionEntry&>(*view().subscription_entry(id));
  entry.word.store(entry.word.load() & ~uint64_t{3});
  restart();
  EXPECT_EQ(patterns(), std::vector<std::string>{"x.*"});
  EXPECT_NE(subscribe(agent, "a.*"), 0u);
  EXPECT_EQ(receivers("a.b").size(), 1u);
}

TEST_F(PatternTest, ARequestThatComesAgainMakesNothingTwice) {
  const auto agent = attach("planner");
  const control::SubscribeRequest request{"a.*", 0, false, 0, 0, 7};
  const auto made = registry_->subscribe(agent.id, request);
  ASSERT_TRUE(made);
  for (const bool is_successor : {false, true}) {
    if (is_successor) restart();
    const auto again = registry_->subscribe(agent.id, request);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->subscription_id, made->subscription_id);
    EXPECT_EQ(again->topic_id, made->topic_id);
    EXPECT_EQ(receivers("a.b").size(), 1u);
  }
}

TEST_F(PatternTest, AReaderNeverCopiesReceiversThatNeverWere) {
  // One thread subscribes and unsubscribes patterns of changing size, so that memory is used again and again;
  // another resolves: it sees the one that stays, and the others whole or not at all.
  create(64, 4096, 256 * 1024);
  const auto stays = attach("stays");
  const auto goes = attach("goes");
  const uint32_t topic_id = topic("a.b.c");
  subscribe(stays, "a.**");
  for (int i = 0; i < 40; ++i) subscribe(stays, "other" + std::to_string(i) + ".*");
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> looks{0};
  std::thread reader([&] {
    std::vector<layout::RouteReceiver> found;
    while (!stop.load()) {
      if (!control::find_receivers(view(), topic_id, found)) continue;
      const bool sound = (found.size() == 1 || found.size() == 2) && found[0].agent == stays.id &&
                         found[0].incarnation == stays.incarnation &&
                         (found.size() == 1 || (found[1].agent == goes.id && found[1].incarnation == goes.incarnation));
      if (!sound) ++wrong;
      ++looks;
    }
  });
  const uint64_t end_ns = base::monotonic_ns() + 400'000'000;  // Memory is used again after 100 ms.
  std::mt19937 random(7);
  while (base::monotonic_ns() < end_ns || looks.load() < 100) {
    const char* const texts[] = {"a.*.c", "a.b.*", "*.b.**", "*.*.*", "a.b.c.**"};
    const uint32_t id = subscribe(goes, texts[random() % std::size(texts)]);
    ASSERT_NE(id, 0u);
    ASSERT_TRUE(registry_->unsubscribe(goes.id, id));
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

void stand_still(int) {
  const timespec longer_than_memory_waits{0, 130'000'000};
  nanosleep(&longer_than_memory_waits, nullptr);
}

TEST_F(PatternTest, AReaderThatStoodStillLooksAgain) {
  // A signal stops the reader wherever it is, for longer than replaced nodes wait to be used again.
  create(64, 4096, 64 * 1024);
  struct sigaction action{};
  action.sa_handler = stand_still;
  struct sigaction before{};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const auto stays = attach("stays");
  const auto goes = attach("goes");
  const uint32_t topic_id = topic("a.b.c.d.e.f");
  // The last place that the walk comes to, below nodes that each change replaces. There are many before.
  subscribe(stays, "*.*.*.*.*.*");
  for (int mask = 1; mask < 32; ++mask) {
    std::string pattern;
    for (int token = 0; token < 5; ++token) pattern += ((mask >> token) & 1) != 0 ? std::string(1, static_cast<char>('a' + token)) + "." : "*.";
    subscribe(stays, pattern + "z");
  }
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::mt19937 random(5);
  std::thread reader([&] {
    std::vector<layout::RouteReceiver> found;
    while (!stop.load()) {
      if (!control::find_receivers(view(), topic_id, found)) continue;
      const bool sound = found.size() == 1 && found[0].agent == stays.id && found[0].incarnation == stays.incarnation;
      if (!sound) ++wrong;
    }
  });
  for (int round = 0; round < 12; ++round) {
    pthread_kill(reader.native_handle(), SIGUSR1);
    const uint64_t end_ns = base::monotonic_ns() + 125'000'000;
    while (base::monotonic_ns() < end_ns) {  // Of other topics, each with another number of nodes.
      std::string pattern = "*.y";
      for (uint32_t i = random() % 8; i > 0; --i) pattern.insert(0, "*.");
      const uint32_t id = subscribe(goes, pattern);
      ASSERT_TRUE(registry_->unsubscribe(goes.id, id));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  stop.store(true);
  reader.join();
  sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(wrong.load(), 0);
}

TEST_F(PatternTest, DamagedWordsLeadNowhere) {
  // The reader trusts no index: with the arena full of other words it ends, and says that it could not.
  const auto agent = attach("planner");
  for (int i = 0; i < 200; ++i) subscribe(agent, (i % 2 == 0 ? "a." : "*.") + std::to_string(i) + ".*");
  const uint32_t topic_id = topic("a.4.c");
  layout::Superblock& super = segments_->superblock();
  std::vector<uint32_t> words(super.routes_bytes / sizeof(uint32_t));
  auto* const arena = segments_->control_data() + super.routes_offset;
  std::vector<std::byte> sound(arena, arena + super.routes_bytes);
  std::mt19937 random(11);
  const auto units = static_cast<uint32_t>(super.routes_bytes / layout::kRouteUnitBytes);
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::memcpy(arena, sound.data(), sound.size());
    const uint32_t damage = 1 + random() % 3000;
    for (uint32_t i = 0; i < damage; ++i) {
      const auto any = static_cast<uint32_t>(random());
      const uint32_t kinds[] = {any, any % units, layout::kPatternBranchBit | (any % units), ~0u, units};
      // Near the end, where the trie lies.
      std::memcpy(arena + super.routes_bytes - 4 - 4 * (random() % 32'000), &kinds[random() % std::size(kinds)], 4);
    }
    std::vector<layout::RouteReceiver> found;
    if (!control::find_receivers(view(), topic_id, found)) ++refused;
    EXPECT_LE(found.size(), 2 * view().subscription_capacity());
    std::vector<control::PatternReceivers> all;
    (void)control::PatternView(view()).list(all);
  }
  EXPECT_GT(refused, 0);
  std::memcpy(arena, sound.data(), sound.size());
  EXPECT_EQ(receivers(topic_id).size(), 1u);
}

TEST_F(PatternTest, AStrictFabricRefusesWhatIsNotDeclaredWithTheNearestNames) {
  registry_.reset();
  registry_.emplace(*segments_, control::LetterPolicy{}, TopicPolicy(true, {"agent.planner.plan", "jobs.#"}));
  const auto agent = attach("planner");
  ASSERT_TRUE(view().find_topic("agent.planner.plan")) << "it exists from the start";
  EXPECT_TRUE(registry_->topic("jobs.mend.net"));
  const auto refused = registry_->topic("agent.planer.plan");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::UnknownTopic);
  EXPECT_EQ(refused.error().fix, "did you mean agent.planner.plan?");
  EXPECT_EQ(registry_->subscribe(agent.id, {"agent.planer.plan", 0, false, 0, 0}).error().code, Errc::UnknownTopic);
  EXPECT_NE(registry_->topic("zzz").error().fix.find("shmctl topics"), std::string::npos);
  EXPECT_NE(subscribe(agent, "agent.*.plan"), 0u) << "a pattern makes no topic";
  registry_.emplace(*segments_);  // The next one's configuration counts.
  EXPECT_TRUE(registry_->topic("agent.planer.plan"));
}

TEST(TopicNames, LooksAtNamesThatBeginAsThePatternDoesAndAtNotTooMany) {
  TopicNames names;
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back("many." + std::to_string(i) + ".x");
  texts.push_back("few.1.x");
  for (const std::string& text : texts) names.add(text, base::name_hash(text));
  const auto bit = [](std::string_view name) { return uint64_t{1} << control::ControlView::shard_of(base::name_hash(name)); };
  EXPECT_EQ(names.shards_of("few.*.x"), bit("few.1.x"));
  EXPECT_EQ(names.shards_of("many.17.*"), bit("many.17.x"));
  EXPECT_EQ(names.shards_of("none.**"), 0u);
  EXPECT_EQ(names.shards_of("many.*.y"), ~uint64_t{0}) << "nobody looks at 5,000 names for one subscription";
}

TEST(RouteArena, SinglesLieBehindRunsAndBothComeBack) {
  RouteArena arena(100);
  EXPECT_EQ(arena.allocate(1, 0), 99u);
  EXPECT_EQ(arena.allocate(1, 0), 98u);
  EXPECT_EQ(arena.allocate(10, 0), 1u);
  EXPECT_EQ(arena.allocate(87, 0), 11u);
  EXPECT_EQ(arena.free_count(), 0u);
  EXPECT_EQ(arena.allocate(1, 0), std::nullopt);
  arena.retire(1, 10, 5);
  EXPECT_EQ(arena.next_reuse_ns(), 100'000'005u);
  EXPECT_EQ(arena.allocate(10, 100'000'004), std::nullopt);
  EXPECT_EQ(arena.allocate(11, 100'000'005), std::nullopt);
  EXPECT_EQ(arena.allocate(10, 100'000'005), 1u);
  arena.give_back(99, 1);
  EXPECT_EQ(arena.allocate(1, 0), 99u);
  EXPECT_FALSE(arena.claim(99, 1));
  EXPECT_FALSE(arena.claim(0, 1));
  EXPECT_FALSE(arena.claim(99, 2));
  arena.give_back(11, 87);
  EXPECT_TRUE(arena.claim(90, 8));
  EXPECT_FALSE(arena.claim(80, 11));
  EXPECT_EQ(arena.allocate(79, 0), 11u);
}

}  // namespace
}  // namespace ripstop::supervisor
