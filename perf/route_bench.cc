// Finding the receivers of a topic: once when a publisher meets it, again when its shard of the route
// epoch moved, and one load for every other message.
//
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
    if (!agent.view().copy_route(topic_id, entries)) return state.SkipWithError("no route");
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
