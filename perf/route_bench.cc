// Finding the receivers of a topic: once when a publisher meets it, again when its shard of the route
// epoch moved, and one load for every other message.
//
// Serves "route from cache / resolve exact / resolve wildcard at 100,000 subscriptions" (RouteCached,
// FindExact, FindWildcard: half of those subscriptions are to as many patterns, which all lie in the trie).
// Serves the rows "topic publish -> one subscriber" (RouteCached is on its way) and "fan-out 1 -> 16"
// (what a change of subscriptions costs each publisher). CPU time. The iterations are fixed, because
// every attempt attaches its agents anew. Needs a ripstopd in the same build.
#include <benchmark/benchmark.h>

#include <vector>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "agent/receiver.h"
#include "bench_supervisor.h"
#include "beside.h"
#include "control/pattern_view.h"

namespace ripstop::perf {
namespace {

struct Crew {
  std::vector<Agent> agents;
  std::vector<Subscriber<Bytes>> subscribers;
  std::optional<Publisher<Bytes>> publisher;
  std::string why;
};

Crew gather(int64_t receiver_count) {
  Crew crew;
  if (!supervisor().ready()) {
    crew.why = supervisor().why();
    return crew;
  }
  for (int64_t i = 0; i <= receiver_count; ++i) {
    auto agent = Agent::attach(supervisor().options("bench-" + std::to_string(i)));
    if (!agent) {
      crew.why = to_string(agent.error());
      return crew;
    }
    crew.agents.push_back(std::move(*agent));
    if (i == 0) continue;
    auto subscriber = crew.agents.back().subscriber("bench.route");
    if (!subscriber) {
      crew.why = to_string(subscriber.error());
      return crew;
    }
    crew.subscribers.push_back(std::move(*subscriber));
  }
  auto publisher = crew.agents.front().publisher("bench.route");
  if (!publisher) {
    crew.why = to_string(publisher.error());
    return crew;
  }
  crew.publisher.emplace(std::move(*publisher));
  return crew;
}

void RouteCached(benchmark::State& state) {
  Crew crew = gather(state.range(0));
  if (!crew.why.empty()) return state.SkipWithError(crew.why.c_str());
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    benchmark::DoNotOptimize(crew.publisher->receiver_count());
  }
}
BENCHMARK(RouteCached)->ArgName("receivers")->Arg(1)->Arg(16)->Iterations(1 << 20);

void RouteResolve(benchmark::State& state) {
  Crew crew = gather(state.range(0));
  if (!crew.why.empty()) return state.SkipWithError(crew.why.c_str());
  detail::AgentCore& agent = crew.publisher->core()->agent();
  const uint32_t topic_id = crew.publisher->topic_id();
  std::vector<layout::RouteReceiver> entries;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    uint32_t corrupt_count = 0;
    if (!control::find_receivers(agent.view(), topic_id, entries)) return state.SkipWithError("no route");
    benchmark::DoNotOptimize(detail::resolve_receivers(agent.map(), entries, corrupt_count));
  }
}
BENCHMARK(RouteResolve)
    ->ArgName("receivers")
    ->Arg(1)
    ->Arg(4)
    ->Arg(16)
    ->Arg(60)
    ->Iterations(1 << 15);

// A fabric with 100,000 subscriptions: 50,000 to 1,000 topics, 50,000 to as many patterns.
struct Crowd {
  static constexpr int kAgents = 100;
  static constexpr int kEach = 1000;

  BenchSupervisor supervisor{{"agents=110", "topics=2048", "subscriptions=100100", R"(route_arena_bytes="64MiB")"}};
  std::vector<std::shared_ptr<detail::AgentCore>> agents;
  std::string why = supervisor.why();

  Crowd() {
    for (int i = 0; i < kAgents && why.empty(); ++i) join(i);
  }
  void join(int number) {
    auto agent = detail::AgentCore::attach(supervisor.options("crowd-" + std::to_string(number)));
    if (!agent) {
      why = to_string(agent.error());
      return;
    }
    agents.push_back(*agent);
    for (int i = 0; i < kEach && why.empty(); ++i) {
      control::SubscribeRequest request;
      const std::string n = std::to_string(number * kEach + i);
      // Patterns below a hundred first tokens, of three kinds.
      const std::string head = "agent" + std::to_string(i % 100);
      request.topic = i % 2 == 0 ? "topic." + std::to_string((number * kEach + i) / 2 % 1000)
                      : i % 4 == 1 ? head + "." + n + ".*" : i % 4 == 3 && i % 8 == 3 ? head + ".*." + n : head + "." + n + ".**";
      request.row = 31;
      auto made = (*agent)->control_call([&](control::AgentLink& link) { return link.subscribe(request); });
      if (!made) why = to_string(made.error());
    }
  }
  uint32_t topic(const char* name, std::initializer_list<const char*> patterns) {
    control::SubscribeRequest request;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      request.topic = patterns.begin()[i];
      request.row = 31;
      auto made = agents[i]->control_call([&](control::AgentLink& link) { return link.subscribe(request); });
      if (!made) why = to_string(made.error());
    }
    auto id = agents[0]->control_call([&](control::AgentLink& link) { return link.topic_id(name); });
    if (!id) why = to_string(id.error());
    return id ? *id : 0;
  }
};

Crowd& crowd() {
  static Crowd only;
  return only;
}

void find_receivers(benchmark::State& state, const char* topic, std::initializer_list<const char*> patterns, std::size_t expected) {
  if (!crowd().why.empty()) return state.SkipWithError(crowd().why.c_str());
  const uint32_t topic_id = crowd().topic(topic, patterns);
  if (!crowd().why.empty()) return state.SkipWithError(crowd().why.c_str());
  const control::ControlView& view = crowd().agents[0]->view();
  std::vector<layout::RouteReceiver> receivers;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    if (!control::find_receivers(view, topic_id, receivers)) return state.SkipWithError("no route");
    benchmark::DoNotOptimize(receivers.data());
  }
  if (receivers.size() != expected) state.SkipWithError((std::to_string(receivers.size()) + " receivers").c_str());
}

// One receiver, and no pattern names the topic.
void FindExact(benchmark::State& state) { find_receivers(state, "one.exact.topic", {"one.exact.topic"}, 1); }
BENCHMARK(FindExact)->Iterations(1 << 16);

// Four patterns of four agents name the topic, and one agent subscribes to it.
void FindWildcard(benchmark::State& state) {
  find_receivers(state, "agent17.solver.task", {"agent17.solver.task", "agent17.*.task", "agent17.**", "*.solver.*", "agent17.solver.**"}, 5);
}
BENCHMARK(FindWildcard)->Iterations(1 << 15);

void FindTopic(benchmark::State& state) {
  Crew crew = gather(1);
  if (!crew.why.empty()) return state.SkipWithError(crew.why.c_str());
  detail::AgentCore& agent = crew.publisher->core()->agent();
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    benchmark::DoNotOptimize(agent.view().find_topic("bench.route"));
  }
}
BENCHMARK(FindTopic)->Iterations(1 << 18);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
