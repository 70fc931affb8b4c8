#include <sys/utsname.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "shmctl/bench_run.h"
#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

struct HostFacts {
  std::string kernel;
  std::string cpu;
  uint32_t core_count = 0;
  double load_1min = 0;
};

struct BenchFacts {
  BenchPlan plan;
  BenchResult result;
};

HostFacts look_at_host() {
  HostFacts host;
  utsname names{};
  if (uname(&names) == 0) host.kernel = std::string(names.sysname) + " " + names.release;
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    host.cpu = line.substr(std::min(line.size(), line.find(':') + 2));
    break;
  }
  host.core_count = std::thread::hardware_concurrency();
  getloadavg(&host.load_1min, 1);
  return host;
}

// Half a round trip at this share of all.
JsonValue one_way_ns(const BenchFacts& facts, double share) {
  const std::vector<uint64_t>& trips = facts.result.round_trips_ns;
  if (trips.empty()) return nullptr;
  return trips[static_cast<std::size_t>(share * static_cast<double>(trips.size() - 1))] / 2;
}

double per_second(uint64_t count, const BenchFacts& facts) {
  return facts.result.duration_ns == 0
             ? 0
             : static_cast<double>(count) * 1e9 / static_cast<double>(facts.result.duration_ns);
}

std::string wait_text(Wait wait) {
  return wait == Wait::Spin ? "spin" : wait == Wait::Sleep ? "sleep" : "adaptive";
}

const Telling<BenchFacts>& telling() {
  using B = BenchFacts;
  static const Telling<B> list = {
      {{"kind", "", Kind::Text, Show::JsonOnly, "pingpong, throughput or fanout"},
       [](const B& b) { return b.plan.kind; }},
      {{"transport", "", Kind::Text, Show::JsonOnly, "topic or channel"},
       [](const B& b) { return b.plan.channel ? "channel" : "topic"; }},
      {{"wait", "", Kind::Text, Show::JsonOnly, "adaptive, spin or sleep"},
       [](const B& b) { return wait_text(b.plan.wait); }},
      {{"payload_bytes", "", Kind::Bytes, Show::JsonOnly,
        "of each message, written and read whole"},
       [](const B& b) { return b.plan.payload_bytes; }},
      {{"receiver_count", "", Kind::Count, Show::JsonOnly, "receiving processes"},
       [](const B& b) { return b.plan.receiver_count; }},
      {{"duration_ns", "", Kind::Duration, Show::JsonOnly, "measured"},
       [](const B& b) { return b.result.duration_ns; }},
      {{"message_count", "", Kind::Count, Show::JsonOnly, "round trips, or messages published"},
       [](const B& b) { return b.result.message_count; }},
      {{"messages_per_s", "", Kind::Rate, Show::JsonOnly, "of these a second"},
       [](const B& b) { return per_second(b.result.message_count, b); }},
      {{"deliveries_per_s", "", Kind::Rate, Show::JsonOnly,
        "messages taken and read a second, over all receivers"},
       [](const B& b) { return per_second(b.result.delivery_count, b); }},
      {{"p50_ns", "", Kind::Duration, Show::JsonOnly, "one way: half the median round trip", true},
       [](const B& b) { return one_way_ns(b, 0.5); }},
      {{"p95_ns", "", Kind::Duration, Show::JsonOnly, "95th percentile", true},
       [](const B& b) { return one_way_ns(b, 0.95); }},
      {{"p99_ns", "", Kind::Duration, Show::JsonOnly, "99th percentile", true},
       [](const B& b) { return one_way_ns(b, 0.99); }},
      {{"p999_ns", "", Kind::Duration, Show::JsonOnly, "99.9th percentile", true},
       [](const B& b) { return one_way_ns(b, 0.999); }},
      {{"line_ns", "", Kind::Duration, Show::JsonOnly,
        "a bare cache line, spinning, one way, median: what the cores need for any message", true},
       [](const B& b) { return b.result.line_ns ? JsonValue(*b.result.line_ns) : JsonValue(nullptr); }},
  };
  return list;
}

const Telling<HostFacts>& host_telling() {
  using H = HostFacts;
  static const Telling<H> list = {
      {{"kernel", "", Kind::Text, Show::JsonOnly, "system and release"},
       [](const H& h) { return h.kernel; }},
      {{"cpu", "", Kind::Text, Show::JsonOnly, "its model"}, [](const H& h) { return h.cpu; }},
      {{"core_count", "", Kind::Count, Show::JsonOnly, "processors"},
       [](const H& h) { return h.core_count; }},
      {{"load_1min", "", Kind::Rate, Show::JsonOnly, "load before the run"},
       [](const H& h) { return h.load_1min; }},
  };
  return list;
}

Result<BenchPlan> plan_of(const Command& command) {
  BenchPlan plan;
  plan.kind = command.arguments[0];
  const std::string size = command.text("size", "64");
  const std::optional<uint64_t> bytes = parse_bytes(size);
  if (!bytes || *bytes < 8 || *bytes > (uint64_t{1} << 30)) {
    return usage_error("--size takes 8 bytes to 1 GiB, as 64, 4K or 1M, not '" + size + "'");
  }
  plan.payload_bytes = static_cast<uint32_t>(*bytes);
  const auto receivers = command.number("receivers", plan.kind == "fanout" ? 4 : 1, 1, 256);
  if (!receivers) return receivers.error();
  if (command.has("receivers") && plan.kind != "fanout")
    return usage_error("--receivers is for fanout");
  plan.receiver_count = static_cast<uint32_t>(*receivers);
  const auto duration = command.duration("duration", plan.duration_ns);
  if (!duration) return duration.error();
  if (*duration < 1'000'000) return usage_error("--duration takes 1ms or more");
  plan.duration_ns = *duration;
  const std::string wait = command.text("wait", "adaptive");
  plan.wait = wait == "spin" ? Wait::Spin : wait == "sleep" ? Wait::Sleep : Wait::Adaptive;
  plan.channel = command.has("channel");
  if (plan.channel && plan.kind != "pingpong")
    return usage_error("--channel is for pingpong: a channel has one receiver");
  return plan;
}

void print_words(const Command& command, const BenchFacts& facts, const HostFacts& host) {
  const bool utf8 = command.settings.terminal.utf8;
  std::printf("%s over a %s, %s, %u receiver%s, %s, %s\n", facts.plan.kind.c_str(),
              facts.plan.channel ? "channel" : "topic",
              bytes_text(facts.plan.payload_bytes).c_str(), facts.plan.receiver_count,
              facts.plan.receiver_count == 1 ? "" : "s", wait_text(facts.plan.wait).c_str(),
              duration_text(facts.result.duration_ns, utf8).c_str());
  if (!facts.result.round_trips_ns.empty()) {
    const auto text = [&](double share) {
      return duration_text(one_way_ns(facts, share).get<uint64_t>(), utf8);
    };
    std::printf("  one way     p50 %s   p95 %s   p99 %s   p99.9 %s\n", text(0.5).c_str(),
                text(0.95).c_str(), text(0.99).c_str(), text(0.999).c_str());
    std::printf("  the floor   %s\n",
                facts.result.line_ns
                    ? (duration_text(*facts.result.line_ns, utf8) + ", a bare cache line, both sides spinning").c_str()
                    : "not measured: the two processes had no two cores");
    std::printf("  trips       %s/s\n",
                count_text(std::round(per_second(facts.result.message_count, facts))).c_str());
  } else {
    std::printf("  published   %s/s\n",
                count_text(std::round(per_second(facts.result.message_count, facts))).c_str());
    std::printf("  delivered   %s/s, taken and read whole\n",
                count_text(std::round(per_second(facts.result.delivery_count, facts))).c_str());
    const double missing =
        static_cast<double>(facts.result.message_count) * facts.plan.receiver_count -
        static_cast<double>(facts.result.delivery_count);
    std::printf("  missing     %s\n", count_text(missing).c_str());
  }
  std::printf("  host        %s, %u cores, load %.2f\n", host.cpu.c_str(), host.core_count,
              host.load_1min);
}

int run(const Command& command) {
  auto plan = plan_of(command);
  if (!plan) return exit_code(plan.error());
  const HostFacts host = look_at_host();
  std::fflush(stdout);  // A child must not print what is buffered here.
  auto result = run_bench(command, *plan);
  if (!result) return exit_code(result.error());
  const BenchFacts facts{*plan, std::move(*result)};
  if (!command.settings.json()) {
    print_words(command, facts, host);
    return 0;
  }
  JsonValue answer = row_of(telling(), facts);
  answer["host"] = row_of(host_telling(), host);
  print_json(command, answer);
  return 0;
}

Fields answer_fields() {
  Fields fields = fields_of(telling());
  const Field host = {"host", "", Kind::Object, Show::JsonOnly, "the machine"};
  fields.push_back(host);
  for (Field& part : parts_of(host, fields_of(host_telling()))) fields.push_back(std::move(part));
  return fields;
}

}  // namespace

const Verb& verb_bench() {
  static const Verb verb = {
      .name = "bench",
      .summary = "Measure this fabric with real processes: pingpong, throughput or fanout",
      .detail =
          "Payloads are written whole and read whole. pingpong gives percentiles of half a round "
          "trip; the other "
          "two what receivers took and read a second. perf/compare puts such figures beside other "
          "systems'.",
      .access = Access::Attaches,
      .lists = false,
      .arguments = {{"KIND",
                     "pingpong, throughput or fanout",
                     false,
                     Names::Choice,
                     {"pingpong", "throughput", "fanout"}}},
      .flags = {{"-s,--size", "BYTES", "of a payload; 64"},
                {"-d,--duration", "TIME", "how long; 2s"},
                {"-w,--wait",
                 "HOW",
                 "how both sides wait: adaptive, spin or sleep",
                 {"adaptive", "spin", "sleep"}},
                {"-r,--receivers", "N", "fanout: receiving processes; 4"},
                {"-c,--channel", "", "pingpong: over channels instead of topics"}},
      .fields = answer_fields(),
      .examples = {"shmctl bench pingpong --wait spin", "shmctl bench throughput --size 1M",
                   "shmctl bench fanout -r 8 --json"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
