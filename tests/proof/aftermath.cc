#include "proof/aftermath.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include "control/delivery.h"
#include "control/pattern_view.h"
#include "control/topic_grammar.h"
#include "memory/holders.h"
#include "supervisor/ring_directory.h"

namespace ripstop::proof {

std::string to_text(const Ids& ids) {
  std::string text = "[";
  for (const uint64_t id : ids) text += (text.size() > 1 ? " " : "") + (id == ~uint64_t{0} ? "torn" : std::to_string(id));
  return text + "]";
}

bool drain(Subscription& subscription, Ids& ids) {
  for (uint32_t bound = 0; bound < 4096; ++bound) {
    const uint64_t id = subscription.take_and_release();
    if (id == 0) return true;
    ids.push_back(id);
  }
  return false;
}

Finding look_for_leaks(World& world, const std::string& when) {
  for (Member& member : world.members()) {
    if (member.dead || &member == &world.members().front()) continue;
    for (const Kept& kept : member.in_hand) {
      if (World::read(kept.message) != kept.id) return {Fault::Lost, member.name + "'s message changed in its hands"};
    }
    member.in_hand.clear();
    member.loan.reset();
  }
  const auto lives = [&](uint32_t agent_id) {
    return std::any_of(world.members().begin(), world.members().end(),
                       [&](const Member& member) { return !member.dead && member.place.id == agent_id; });
  };
  const memory::ChunkMap& chunks = world.map().chunks();
  for (uint32_t slab = 0; slab < chunks.slab_count(0); ++slab) {
    for (uint32_t index = 0; index < chunks.slab(0, slab).chunk_count; ++index) {
      const memory::Holders holders = memory::read_holders(*chunks.find(layout::make_chunk_id(0, slab, index)));
      if (holders.bits == 0) continue;
      char words[96];
      std::snprintf(words, sizeof words, "chunk %u of slab %u keeps bits %llx ", index, slab, static_cast<unsigned long long>(holders.bits));
      return {Fault::Leaked, words + when};
    }
    const uint32_t owner = layout::slab_owner_agent(chunks.slab_owner(0, slab).load());
    if (owner != 0 && !lives(owner)) return {Fault::Leaked, "slab " + std::to_string(slab) + " is still a dead agent's"};
  }
  return {};
}

Finding fill_and_drain(World& world, Member& publisher, const std::string& whose) {
  uint32_t sends = 0;
  (void)for_each_survivor(world, [&](Member&, const Subscription& subscription) {
    sends = std::max(sends, subscription.slot_count + 1);
    return Finding{};
  });
  Ids sent;
  for (uint32_t i = 0; i < sends; ++i) {
    const Sent outcome = publisher.send();
    if (outcome.outcome == SendOutcome::PoolEmpty) return {Fault::Leaked, whose + ": no chunk is left to fill the rings with"};
    sent.push_back(world.last_id());
  }
  return for_each_survivor(world, [&](Member& member, Subscription& subscription) -> Finding {
    Ids expected;
    for (uint32_t i = 0; i < subscription.slot_count; ++i) {
      expected.push_back(subscription.overflow == Overflow::DropOldest ? sent[sent.size() - subscription.slot_count + i] : sent[i]);
    }
    Ids found;
    if (!drain(subscription, found)) return {Fault::Blocked, member.name + " takes without end"};
    if (found == expected) return {};
    return {Fault::Blocked, whose + ": " + member.name + " took " + to_text(found) + " of " + to_text(sent)};
  });
}

Finding try_successor(World& world, Member& publisher) {
  Member& successor = world.attach("successor");
  (void)world.subscribe(successor);
  return fill_and_drain(world, publisher, "the successor");
}

Ids dead_letters(World& world, const std::string& name) {
  const control::FabricMap& map = world.map();
  const control::ControlView& view = world.members().front().core->view();
  Ids dead;
  for (uint32_t id = 0; id < map.superblock().letter_capacity; ++id) {
    const layout::LetterEntry& letter = *view.letter_entry(id);
    if (layout::letter_word_state(letter.word.load()) != layout::LetterState::Dead || letter.name != name) continue;
    Payload payload{};
    std::memcpy(&payload, memory::payload(*control::find_message(map, letter.reference)), sizeof payload);
    dead.push_back(payload.id);
  }
  std::sort(dead.begin(), dead.end());
  return dead;
}

void drop_letters(World& world) {
  world.registry().expire_letters(~uint64_t{0});
  (void)world.registry().drop_letters(0);
}

Finding look_at_tables(World& world) {
  const control::FabricMap& map = world.map();
  const layout::Superblock& super = map.superblock();
  const auto* subscriptions = reinterpret_cast<const layout::SubscriptionEntry*>(world.control().data() + super.subscriptions_offset);
  const auto wrong = [](std::string words) { return Finding{Fault::Wrong, std::move(words)}; };
  for (uint32_t id = 1; id < super.agent_high.load(); ++id) {
    if (layout::agent_word_state(map.agent_entry(id)->word.load()) == layout::AgentState::Dead) {
      return wrong("agent " + std::to_string(id) + " is still DEAD");
    }
  }
  using Place = std::pair<uint32_t, uint32_t>;      // An agent and its ring, 0: its inbox.
  std::map<uint32_t, std::set<Place>> of_topic;     // By topic or pattern.
  std::set<uint32_t> named;                         // Rings that a subscription names.
  for (uint32_t id = 1; id < super.subscription_high.load(); ++id) {
    const layout::SubscriptionEntry& entry = subscriptions[id];
    if ((entry.word.load() & 3) != 1) continue;
    if (map.agent_entry(entry.agent)->word.load() != layout::make_agent_word(entry.agent_incarnation, layout::AgentState::Live)) {
      return wrong("subscription " + std::to_string(id) + " is of an agent that does not live");
    }
    if (entry.ring_id != 0 && !named.insert(entry.ring_id).second) return wrong("two subscriptions name ring " + std::to_string(entry.ring_id));
    of_topic[entry.topic_id].insert({entry.agent, entry.ring_id});
  }
  for (uint32_t ring_id = 1; ring_id < super.ring_high.load(); ++ring_id) {
    const layout::RingEntry* entry = map.ring_entry(ring_id);
    const uint64_t state = entry->word.load() & 3;
    if (state == supervisor::kRingSettling) return wrong("ring " + std::to_string(ring_id) + " is still being settled");
    if (entry->kind == layout::RingKind::Channel && state == supervisor::kRingInUse && entry->owner == 0 && entry->producer == 0) {
      return wrong("channel " + std::to_string(ring_id) + " is in use, and nobody has an end of it");
    }
    if (entry->kind != layout::RingKind::Queue) continue;
    if ((state == supervisor::kRingInUse) != named.contains(ring_id)) {
      return wrong("ring " + std::to_string(ring_id) + (named.contains(ring_id) ? " is free, and named" : " is in use, and nobody's"));
    }
  }
  const control::ControlView& view = world.members().front().core->view();
  for (uint32_t topic = 0; topic < super.topic_high.load(); ++topic) {
    const std::string name(view.topic_name(topic));
    std::vector<layout::RouteReceiver> route;
    if (!control::find_receivers(view, topic, route)) return wrong("the receivers of " + name + " cannot be read");
    std::set<Place> wanted = of_topic[topic];
    for (const auto& [id, places] : of_topic) {
      if (!layout::is_pattern_id(id)) continue;
      if (control::pattern_matches(control::PatternView(view).text_of(id), name)) wanted.insert(places.begin(), places.end());
    }
    // An inbox is in a route once, however many subscriptions lead to it.
    std::set<Place> routed;
    for (const layout::RouteReceiver& receiver : route) routed.insert({receiver.agent, receiver.ring_id});
    if (routed.size() != route.size() || routed != wanted) {
      return wrong(name + " has a route to " + std::to_string(route.size()) + " receivers, not to its " + std::to_string(wanted.size()));
    }
  }
  std::vector<control::PatternReceivers> patterns;
  if (!control::PatternView(view).list(patterns)) return wrong("the patterns cannot be read");
  for (const auto& pattern : patterns) {
    const bool is_wanted = std::any_of(of_topic.begin(), of_topic.end(), [&](const auto& each) {
      return layout::is_pattern_id(each.first) && control::PatternView(view).text_of(each.first) == pattern.text;
    });
    if (!is_wanted) return wrong("the trie has " + pattern.text + ", which nobody subscribes to");
  }
  return {};
}

}  // namespace ripstop::proof
