#include <algorithm>
#include <bit>

#include "agent/inspect_core.h"
#include "agent/process_look.h"
#include "layout/histogram.h"

namespace ripstop::detail {

namespace {

LatencyView latency_of(const layout::AgentBlock& block) {
  LatencyView view;
  std::vector<uint64_t> counts(layout::kHistogramBuckets);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    // A scribbled bucket must not wrap the sum.
    counts[i] = std::min<uint64_t>(look(block.latency_ns[i]), uint64_t{1} << 48);
    view.count += counts[i];
  }
  if (view.count == 0) return view;
  const auto percentile = [&](double share) {
    const auto rank = static_cast<uint64_t>(share * static_cast<double>(view.count - 1));
    uint64_t passed = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      passed += counts[i];
      if (passed > rank) return layout::histogram_value(i);
    }
    return layout::histogram_value(counts.size() - 1);
  };
  view.p50_ns = percentile(0.50);
  view.p95_ns = percentile(0.95);
  view.p99_ns = percentile(0.99);
  view.p999_ns = percentile(0.999);
  view.max_ns = percentile(1.0);
  return view;
}

void add_counters(const InspectCore& core, const layout::AgentBlock& block, AgentView& agent) {
  const layout::AgentCounters& counters = block.counters;
  agent.taken_count = look(counters.taken_count);
  agent.released_count = look(counters.released_count);
  agent.orphan_count = look(counters.orphan_count);
  agent.corrupt_count = look(counters.corrupt_count);
  agent.sleep_count = look(counters.sleep_count);
  agent.last_take_ns = core.age_of(look(counters.last_take_ns));
  agent.last_look_ns = core.age_of(look(counters.last_poll_ns));
  const uint32_t doorbell = look(block.front.doorbell);
  agent.asleep = (doorbell & layout::kDoorbellArmed) != 0;
  agent.rung = agent.asleep && (doorbell & layout::kDoorbellRung) != 0;
}

void add_publishers(const InspectCore& core, const AgentFacts& facts, AgentView& agent) {
  agent.publishers = view_publishers(core, facts);
  for (const PublisherView& row : agent.publishers) {
    agent.published_count += row.message_count;
    if (row.last_ns && (!agent.last_publish_ns || *row.last_ns < *agent.last_publish_ns)) {
      agent.last_publish_ns = row.last_ns;
    }
  }
}

void count_slabs(const InspectCore& core, const AgentFacts& facts, AgentView& agent) {
  const memory::ChunkMap& chunks = core.map().chunks();
  for (uint32_t node = 0; node < chunks.node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      const uint64_t owner = look(chunks.slab_owner(node, slab));
      if (layout::slab_owner_agent(owner) != facts.id ||
          layout::slab_owner_incarnation(owner) != (facts.incarnation & 0x3ffffff)) {
        continue;
      }
      const memory::SlabPlace& place = chunks.slab(node, slab);
      ++agent.slabs_owned;
      agent.slab_bytes += uint64_t{place.stride_bytes} * place.chunk_count;
    }
  }
}

AgentView view_without_subscriptions(const InspectCore& core, const AgentFacts& facts) {
  AgentView agent;
  agent.id = facts.id;
  agent.name = facts.name;
  agent.live = facts.state == layout::AgentState::Live;
  agent.observer = (facts.flags & layout::kAgentObserver) != 0;
  agent.remote = (facts.flags & layout::kAgentRemote) != 0;
  agent.process = agent::look_at_process(facts.pid, facts.attach_time_ns);
  agent.uid = facts.uid;
  agent.gid = facts.gid;
  agent.node = facts.node;
  agent.incarnation = facts.incarnation;
  agent.age_ns = core.age_of(facts.attach_time_ns).value_or(0);
  agent.shared_bytes = core.agent_block_bytes();
  const layout::AgentBlock* block = core.map().block(facts.id);
  if (block == nullptr) {
    ++agent.corrupt;
  } else {
    add_counters(core, *block, agent);
    view_lanes(core, facts, *block, agent);
    agent.latency = latency_of(*block);
    add_publishers(core, facts, agent);
  }
  count_slabs(core, facts, agent);
  return agent;
}

void add_subscription(AgentView& agent, SubscriptionView row) {
  agent.dropped_count += row.dropped_count;
  agent.lost_count += row.lost_count;
  agent.subscriptions.push_back(std::move(row));
}

void settle(AgentView& agent) {
  Judgement judgement = judge(agent, nullptr);
  agent.health = judgement.health;
  agent.why = std::move(judgement.why);
}

}  // namespace

std::vector<PublisherView> view_publishers(const InspectCore& core, const AgentFacts& facts) {
  std::vector<PublisherView> rows;
  const layout::AgentBlock* block = core.map().block(facts.id);
  if (block == nullptr) return rows;
  for (const layout::PublisherRow& row : block->publishers) {
    if (look(row.state) != 1) continue;
    PublisherView view;
    view.topic_id = look(row.topic_id);
    view.topic = core.topic_label(view.topic_id);
    view.agent = facts.name;
    view.agent_id = facts.id;
    view.sequence = look(row.sequence);
    view.message_count = look(row.message_count);
    view.byte_count = look(row.byte_count);
    view.delivery_count = look(row.delivery_count);
    view.full_count = look(row.full_count);
    view.none_count = look(row.none_count);
    view.last_ns = core.age_of(look(row.last_time_ns));
    rows.push_back(std::move(view));
  }
  return rows;
}

SubscriptionView view_subscription(const InspectCore& core, const SubscriptionFacts& facts) {
  SubscriptionView view;
  view.topic_id = facts.topic_id;
  view.topic = core.topic_label(facts);
  view.agent = core.agent_label(facts.agent);
  view.agent_id = facts.agent;
  view.ring_id = facts.ring_id;
  view.overflow = facts.overflow <= 3
                      ? std::string(to_string(static_cast<Overflow>(facts.overflow)))
                      : "unknown";
  view.since_ns = core.age_of(facts.since_ns);
  const layout::AgentBlock* block = core.map().block(facts.agent);
  if (block == nullptr || facts.row >= layout::kSubscriptionRows) return view;
  const layout::SubscriptionRow& row = block->subscriptions[facts.row];
  if (look(row.state) != 1 || look(row.topic_id) != facts.topic_id) return view;
  view.message_count = look(row.message_count);
  view.byte_count = look(row.byte_count);
  view.lost_count = look(row.lost_count);
  view.duplicate_count = look(row.duplicate_count);
  view.dropped_count = look(row.dropped_count);
  view.last_ns = core.age_of(look(row.last_time_ns));
  return view;
}

AgentView view_agent(const InspectCore& core, const AgentFacts& facts) {
  AgentView agent = view_without_subscriptions(core, facts);
  for (uint32_t id = 0; id < core.subscription_count(); ++id) {
    const std::optional<SubscriptionFacts> row = core.subscription(id);
    if (row && row->agent == facts.id) add_subscription(agent, view_subscription(core, *row));
  }
  settle(agent);
  return agent;
}

std::vector<AgentView> view_agents(const InspectCore& core) {
  std::vector<AgentView> agents;
  const uint32_t count = core.agent_count();  // Once: somebody may attach meanwhile.
  std::vector<std::size_t> place(count, SIZE_MAX);  // By agent id.
  for (uint32_t id = 1; id < count; ++id) {
    const std::optional<AgentFacts> facts = core.agent(id);
    if (!facts) continue;
    place[id] = agents.size();
    agents.push_back(view_without_subscriptions(core, *facts));
  }
  for (uint32_t id = 0; id < core.subscription_count(); ++id) {
    const std::optional<SubscriptionFacts> row = core.subscription(id);
    if (!row || row->agent >= place.size() || place[row->agent] == SIZE_MAX) continue;
    add_subscription(agents[place[row->agent]], view_subscription(core, *row));
  }
  for (AgentView& agent : agents) settle(agent);
  return agents;
}

}  // namespace ripstop::detail
