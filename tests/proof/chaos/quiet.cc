#include "quiet.h"

#include <unistd.h>

#include <algorithm>

#include "cast.h"
#include "ripstop/inspect.h"

namespace chaos {

namespace {

using ripstop::AgentView;
using ripstop::Inspector;

// What is still in use, in words; empty when it is what it should be.
std::string difference(const Inspector& inspector, bool anybody, Flat& flat) {
  std::string words;
  const auto expect = [&words](const std::string& what, uint64_t is, uint64_t should) {
    if (is != should) words += what + ": " + std::to_string(is) + " instead of " + std::to_string(should) + "; ";
  };
  for (const ripstop::NodeView& node : inspector.nodes()) {
    for (const ripstop::ClassView& each : node.classes) {
      const std::string size = std::to_string(each.payload_bytes) + " byte";
      expect("chunks of " + size + " loaned", each.chunks_loaned, 0);
      expect("chunks of " + size + " held", each.chunks_held, 0);
      expect("chunks of " + size + " in all", each.chunks_free, each.chunks_total);
      if (!anybody) expect("slabs of " + size + " owned", each.slabs_owned, 0);
    }
  }
  const ripstop::FabricView fabric = inspector.fabric();
  expect("agents", fabric.agent_count, anybody ? kPlayerCount : 0);
  expect("subscriptions", fabric.subscription_count, anybody ? subscription_count() : 0);
  expect("rings", fabric.ring_count, anybody ? ring_count() : 0);
  expect("topics", fabric.topic_count, kTopicCount);
  expect("corrupt words", fabric.corrupt_words, 0);
  uint32_t direct_lanes = 0;
  for (const AgentView& agent : inspector.agents()) {
    expect(agent.name + "'s mail", agent.waiting, 0);
    expect(agent.name + "'s messages in hand", agent.taken + agent.held, 0);
    expect(agent.name + "'s corrupt messages", agent.corrupt_count, 0);
    for (const ripstop::LaneView& lane : agent.lanes) direct_lanes += lane.label.rfind("direct", 0) == 0 ? 1 : 0;
  }
  flat.direct_lanes_max = std::max(flat.direct_lanes_max, direct_lanes);
  flat.deaths = fabric.death_count;
  flat.completed_sends = fabric.completed_sends;
  return words;
}

}  // namespace

void check_quiet(const Supervisor& supervisor, bool anybody, Flat& flat, Verdict& verdict) {
  std::string words = "no inspector";
  // A death or a detach is settled by an event of the supervisor's, a moment later.
  for (int tries = 0; tries < 300 && !words.empty(); ++tries) {
    if (tries != 0) usleep(20'000);
    const auto inspector = Inspector::open();
    if (inspector) words = difference(*inspector, anybody, flat);
  }
  if (!words.empty()) verdict.add(Fault::Leaked, "%s: %s", anybody ? "in a quiet phase" : "after the last agent left", words.c_str());

  flat.supervisor_bytes_last = supervisor.resident_bytes();
  if (flat.supervisor_bytes_first == 0) flat.supervisor_bytes_first = flat.supervisor_bytes_last;
  flat.supervisor_bytes_max = std::max(flat.supervisor_bytes_max, flat.supervisor_bytes_last);
}

}  // namespace chaos
