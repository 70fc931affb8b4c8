#include "shmctl/told_agent.h"

#include <algorithm>
#include <thread>

namespace ripstop::shmctl {

namespace {

constexpr auto kSecondLook = std::chrono::milliseconds(60);  // A few of the kernel's 10 ms ticks.

using A = AgentView;

std::string text_of_char(char c) {
  return c == 0 ? "" : std::string(1, c);
}

}  // namespace

const Telling<LaneView>& lane_telling() {
  static const Telling<LaneView> telling = {
      {{"lane", "LANE", Kind::Text, Show::Table, "the lane's priority, or the ring's number"},
       [](const LaneView& l) { return l.label; }},
      {{"waiting", "WAIT", Kind::Count, Show::Table, "messages committed and not yet taken"},
       [](const LaneView& l) { return l.waiting; }},
      {{"taken", "HAND", Kind::Count, Show::Table, "slots whose message is in somebody's hand"},
       [](const LaneView& l) { return l.taken; }},
      {{"capacity", "SLOTS", Kind::Count, Show::Table, "slots of the lane"},
       [](const LaneView& l) { return l.capacity; }},
      {{"oldest_ns", "OLDEST", Kind::Duration, Show::Table, "age of the first that waits", true},
       [](const LaneView& l) { return or_null(l.oldest_ns); }},
      {{"ring_id", "RING", Kind::Id, Show::JsonOnly, "0: a lane of the inbox"},
       [](const LaneView& l) { return l.ring_id; }},
  };
  return telling;
}

const Telling<PublisherView>& publisher_telling() {
  using P = PublisherView;
  static const Telling<P> telling = {
      {{"agent", "AGENT", Kind::Text, Show::Table, "who publishes"},
       [](const P& p) { return p.agent; }},
      {{"topic", "TOPIC", Kind::Text, Show::Table, "what is published"},
       [](const P& p) { return p.topic; }},
      {{"message_count", "MESSAGES", Kind::Count, Show::Table, "sends that reached a receiver"},
       [](const P& p) { return p.message_count; }},
      {{"delivery_count", "DELIVERED", Kind::Count, Show::Table,
        "receivers reached, summed over the sends"},
       [](const P& p) { return p.delivery_count; }},
      {{"byte_count", "BYTES", Kind::Bytes, Show::Table, "payload of these sends"},
       [](const P& p) { return p.byte_count; }},
      {{"full_count", "FULL", Kind::Count, Show::Table, "receivers not reached for want of room"},
       [](const P& p) { return p.full_count; }},
      {{"none_count", "NONE", Kind::Count, Show::Table, "sends while nobody subscribed"},
       [](const P& p) { return p.none_count; }},
      {{"last_ns", "LAST", Kind::Duration, Show::Table, "age of the last send", true},
       [](const P& p) { return or_null(p.last_ns); }},
      {{"sequence", "SEQUENCE", Kind::Count, Show::JsonOnly, "the last committed"},
       [](const P& p) { return p.sequence; }},
  };
  return telling;
}

const Telling<SubscriptionView>& subscription_telling() {
  using S = SubscriptionView;
  static const Telling<S> telling = {
      {{"agent", "AGENT", Kind::Text, Show::Table, "who subscribes"},
       [](const S& s) { return s.agent; }},
      {{"topic", "TO", Kind::Text, Show::Table, "to which topic or pattern"},
       [](const S& s) { return s.topic; }},
      {{"message_count", "TAKEN", Kind::Count, Show::Table, "messages taken"},
       [](const S& s) { return s.message_count; }},
      {{"byte_count", "BYTES", Kind::Bytes, Show::Table, "their payload"},
       [](const S& s) { return s.byte_count; }},
      {{"dropped_count", "DROP", Kind::Count, Show::Table, "given up to the overflow policy"},
       [](const S& s) { return s.dropped_count; }},
      {{"lost_count", "LOST", Kind::Count, Show::Table, "gaps in the publishers' sequences"},
       [](const S& s) { return s.lost_count; }},
      {{"overflow", "WHEN FULL", Kind::Text, Show::Table,
        "what happens to a message that meets a full lane"},
       [](const S& s) { return s.overflow; }},
      {{"last_ns", "LAST", Kind::Duration, Show::Table, "age of the last take", true},
       [](const S& s) { return or_null(s.last_ns); }},
      {{"duplicate_count", "AGAIN", Kind::Count, Show::JsonOnly, "sequences that came again"},
       [](const S& s) { return s.duplicate_count; }},
      {{"ring_id", "RING", Kind::Id, Show::JsonOnly, "0: it shares the inbox"},
       [](const S& s) { return s.ring_id; }},
      {{"since_ns", "SINCE", Kind::Duration, Show::JsonOnly, "age of the subscription", true},
       [](const S& s) { return or_null(s.since_ns); }},
  };
  return telling;
}

const Telling<AgentView>& agent_row_telling() {
  static const Telling<A> telling = {
      {{"name", "AGENT", Kind::Text, Show::Table, "its name"}, [](const A& a) { return a.name; }},
      {{"pid", "PID", Kind::Id, Show::Table, "its process"},
       [](const A& a) { return a.process.pid; }},
      {{"state", "STATE", Kind::Text, Show::Table,
        "idle, active, busy, lagging, stuck, stopped, zombie or dead"},
       [](const A& a) { return to_string(a.health); }},
      {{"waiting", "WAIT", Kind::Count, Show::Table,
        "messages in its lanes, committed and not yet taken"},
       [](const A& a) { return a.waiting; }},
      {{"oldest_wait_ns", "OLDEST", Kind::Duration, Show::Table, "age of the first that waits",
        true},
       [](const A& a) { return or_null(a.oldest_wait_ns); }},
      {{"in_hand", "HAND", Kind::Count, Show::Table, "messages taken and not yet released"},
       [](const A& a) { return a.taken + a.held; }},
      {{"taken_count", "TAKEN", Kind::Count, Show::Table, "messages taken since it attached"},
       [](const A& a) { return a.taken_count; }},
      {{"published_count", "SENT", Kind::Count, Show::Table, "sends that reached a receiver"},
       [](const A& a) { return a.published_count; }},
      {{"dropped_count", "DROP", Kind::Count, Show::Table,
        "given up to its subscriptions' overflow policies"},
       [](const A& a) { return a.dropped_count; }},
      {{"p50_ns", "P50", Kind::Duration, Show::Table, "publish to take, median", true},
       [](const A& a) {
         return a.latency.count == 0 ? JsonValue(nullptr) : JsonValue(a.latency.p50_ns);
       }},
      {{"p99_ns", "P99", Kind::Duration, Show::Table, "publish to take, 99th percentile", true},
       [](const A& a) {
         return a.latency.count == 0 ? JsonValue(nullptr) : JsonValue(a.latency.p99_ns);
       }},
      {{"shared_bytes", "SHARED", Kind::Bytes, Show::Wide,
        "shared memory of its own: inbox, counters; slabs apart"},
       [](const A& a) { return a.shared_bytes; }},
      {{"slab_bytes", "SLABS", Kind::Bytes, Show::Wide, "slabs from which it alone allocates"},
       [](const A& a) { return a.slab_bytes; }},
      {{"last_take_ns", "TOOK", Kind::Duration, Show::Wide, "age of its last take", true},
       [](const A& a) { return or_null(a.last_take_ns); }},
      {{"last_publish_ns", "PUBLISHED", Kind::Duration, Show::Wide, "age of its last send", true},
       [](const A& a) { return or_null(a.last_publish_ns); }},
      {{"lost_count", "LOST", Kind::Count, Show::Wide, "gaps in the publishers' sequences"},
       [](const A& a) { return a.lost_count; }},
      {{"corrupt_count", "CORRUPT", Kind::Count, Show::Wide,
        "messages set aside because words were out of bounds"},
       [](const A& a) { return a.corrupt_count + a.corrupt; }},
      {{"cpu_ns", "CPU", Kind::Duration, Show::Wide, "processor time of its process"},
       [](const A& a) { return a.process.cpu_ns; }},
      {{"age_ns", "AGE", Kind::Duration, Show::Wide, "since it attached"},
       [](const A& a) { return a.age_ns; }},
      {{"uid", "UID", Kind::Id, Show::Wide, "its user"}, [](const A& a) { return a.uid; }},
      {{"node", "NODE", Kind::Id, Show::Wide, "NUMA node of its inbox"},
       [](const A& a) { return a.node; }},
      {{"id", "ID", Kind::Id, Show::Wide, "its slot in the registry"},
       [](const A& a) { return a.id; }},
      {{"program", "PROGRAM", Kind::Text, Show::Wide, "its process's program"},
       [](const A& a) { return a.process.program; }},
      {{"observer", "OBSERVER", Kind::Flag, Show::JsonOnly, "a tool, listed with --all"},
       [](const A& a) { return a.observer; }},
      {{"why", "WHY", Kind::Text, Show::Wide, "the evidence for its state"},
       [](const A& a) { return a.why; }},
  };
  return telling;
}

const Telling<AgentView>& agent_full_telling() {
  static const Telling<A> telling = [] {
    Telling<A> full = agent_row_telling();
    Telling<A> more = {
        {{"live", "", Kind::Flag, Show::JsonOnly, "false: its death is being settled"},
         [](const A& a) { return a.live; }},
        {{"process_state", "", Kind::Text, Show::JsonOnly,
          "R, S, D, T, t or Z, as proc(5); empty: it is gone"},
         [](const A& a) { return text_of_char(a.process.state); }},
        {{"blocked_in", "", Kind::Text, Show::JsonOnly, "the system call of its main thread"},
         [](const A& a) { return a.process.blocked_in; }},
        {{"resident_bytes", "", Kind::Bytes, Show::JsonOnly, "its process's resident memory"},
         [](const A& a) { return a.process.resident_bytes; }},
        {{"gid", "", Kind::Id, Show::JsonOnly, "its group"}, [](const A& a) { return a.gid; }},
        {{"incarnation", "", Kind::Id, Show::JsonOnly, "unlike that of any other life of its slot"},
         [](const A& a) { return a.incarnation; }},
        {{"slabs_owned", "", Kind::Count, Show::JsonOnly, "how many slabs it owns"},
         [](const A& a) { return a.slabs_owned; }},
        {{"held", "", Kind::Count, Show::JsonOnly, "messages kept beyond their slot, at most 64"},
         [](const A& a) { return a.held; }},
        {{"released_count", "", Kind::Count, Show::JsonOnly, "messages released"},
         [](const A& a) { return a.released_count; }},
        {{"orphan_count", "", Kind::Count, Show::JsonOnly,
          "arrived for a subscription that had ended"},
         [](const A& a) { return a.orphan_count; }},
        {{"sleep_count", "", Kind::Count, Show::JsonOnly, "times it went to sleep"},
         [](const A& a) { return a.sleep_count; }},
        {{"asleep", "", Kind::Flag, Show::JsonOnly,
          "its doorbell is armed: it sleeps, or is about to"},
         [](const A& a) { return a.asleep; }},
        {{"rung", "", Kind::Flag, Show::JsonOnly, "and has been rung"},
         [](const A& a) { return a.rung; }},
        {{"p95_ns", "", Kind::Duration, Show::JsonOnly, "publish to take, 95th percentile", true},
         [](const A& a) {
           return a.latency.count == 0 ? JsonValue(nullptr) : JsonValue(a.latency.p95_ns);
         }},
        {{"p999_ns", "", Kind::Duration, Show::JsonOnly, "publish to take, 99.9th percentile",
          true},
         [](const A& a) {
           return a.latency.count == 0 ? JsonValue(nullptr) : JsonValue(a.latency.p999_ns);
         }},
        {{"max_ns", "", Kind::Duration, Show::JsonOnly, "publish to take, the longest", true},
         [](const A& a) {
           return a.latency.count == 0 ? JsonValue(nullptr) : JsonValue(a.latency.max_ns);
         }},
    };
    for (auto& told : more) full.push_back(std::move(told));
    full.push_back(told_rows<A, LaneView>(
        {"lanes", "", Kind::Rows, Show::JsonOnly, "its lanes, then its own rings"}, lane_telling(),
        &A::lanes));
    full.push_back(told_rows<A, PublisherView>(
        {"publishers", "", Kind::Rows, Show::JsonOnly, "what it publishes"}, publisher_telling(),
        &A::publishers));
    full.push_back(told_rows<A, SubscriptionView>(
        {"subscriptions", "", Kind::Rows, Show::JsonOnly, "what it subscribes to"},
        subscription_telling(), &A::subscriptions));
    return full;
  }();
  return telling;
}

void judge_again(const Inspector& inspector, std::vector<AgentView>& agents) {
  const bool open = std::any_of(agents.begin(), agents.end(), [](const A& a) {
    return a.health == Health::Stuck || a.health == Health::Busy;
  });
  if (!open) return;
  std::this_thread::sleep_for(kSecondLook);
  std::vector<AgentView> later = inspector.agents();
  for (AgentView& agent : agents) {
    const auto found = std::find_if(later.begin(), later.end(), [&](const A& a) {
      return a.id == agent.id && a.incarnation == agent.incarnation;
    });
    if (found == later.end()) continue;
    Judgement judgement = judge(*found, &agent);
    agent = std::move(*found);
    agent.health = judgement.health;
    agent.why = std::move(judgement.why);
  }
}

std::vector<AgentView> judged_agents(const Inspector& inspector) {
  std::vector<AgentView> agents = inspector.agents();
  judge_again(inspector, agents);
  return agents;
}

Tone tone_of(Health health) {
  switch (health) {
    case Health::Idle: return Tone::Faint;
    case Health::Active: return Tone::Good;
    case Health::Busy: return Tone::Plain;
    case Health::Lagging: return Tone::Warn;
    case Health::Stuck:
    case Health::Stopped:
    case Health::Zombie:
    case Health::Dead: return Tone::Bad;
  }
  return Tone::Plain;
}

Tone health_tone(const JsonValue& row, const Field& field) {
  if (field.key == "dropped_count" || field.key == "lost_count" || field.key == "corrupt_count") {
    return row[field.key] > 0 ? Tone::Warn : Tone::Plain;
  }
  if (field.key != "state" && field.key != "letter") return Tone::Plain;
  const std::string state = row.value("state", "");
  for (int i = 0; i <= static_cast<int>(Health::Dead); ++i) {
    if (to_string(static_cast<Health>(i)) == state) return tone_of(static_cast<Health>(i));
  }
  return Tone::Plain;
}

}  // namespace ripstop::shmctl
