#include "plan.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace rivals {
namespace {

constexpr std::size_t kQueueBytes = 16U << 20U;

[[noreturn]] void refuse(std::string_view option, std::string_view value) {
  std::fprintf(stderr, "perf: '%.*s' is no value for %.*s\n", static_cast<int>(value.size()),
               value.data(), static_cast<int>(option.size()), option.data());
  std::exit(2);
}

Scenario parse_scenario(std::string_view value) {
  if (value == "roundtrip") return Scenario::Roundtrip;
  if (value == "stream") return Scenario::Stream;
  if (value == "fanout") return Scenario::Fanout;
  if (value == "fanin") return Scenario::Fanin;
  if (value == "cost") return Scenario::Cost;
  if (value == "memcpy") return Scenario::Memcpy;
  refuse("--scenario", value);
}

unsigned long parse_number(std::string_view option, const char* value) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(value, &end, 10);
  if (end == value || *end != '\0') refuse(option, value);
  return number;
}

}  // namespace

std::vector<Link> Plan::links() const {
  switch (scenario) {
    case Scenario::Roundtrip: return {{0, 1, 1}, {1, 1, 1}};
    case Scenario::Fanout: return {{0, 1, peers}};
    case Scenario::Fanin: return {{0, peers, 1}};
    case Scenario::Stream:
    case Scenario::Cost: return {{0, 1, 1}};
    case Scenario::Memcpy: break;
  }
  return {};
}

unsigned Plan::process_count() const {
  if (scenario == Scenario::Fanout || scenario == Scenario::Fanin) return peers + 1;
  return 2;
}

bool Plan::oversubscribed() const {
  return placement == Placement::OneCore ||
         process_count() > static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
}

std::size_t Plan::queue_length() const {
  return std::bit_floor(std::clamp<std::size_t>(kQueueBytes / payload_bytes, 4, 1024));
}

std::string Plan::unique_name(const Link& link) const {
  // The parent's number: its children share the name.
  static const pid_t run = getpid();
  return "ripstop-perf-" + std::to_string(run) + "-" + std::to_string(link.index);
}

Plan parse_plan(int argc, char** argv) {
  Plan plan;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const char* value = argv[i + 1];
    const std::string_view word = value;
    if (option == "--scenario") {
      plan.scenario = parse_scenario(word);
    } else if (option == "--mode") {
      if (word != "spin" && word != "sleep") refuse(option, word);
      plan.mode = word == "spin" ? Mode::Spin : Mode::Sleep;
    } else if (option == "--placement") {
      if (word != "two-cores" && word != "one-core") refuse(option, word);
      plan.placement = word == "two-cores" ? Placement::TwoCores : Placement::OneCore;
    } else if (option == "--touch") {
      if (word != "all" && word != "none") refuse(option, word);
      plan.touch = word == "all";
    } else if (option == "--size") {
      plan.payload_bytes = parse_number(option, value);
      if (plan.payload_bytes < 16 || plan.payload_bytes % 8 != 0) refuse(option, word);
    } else if (option == "--peers") {
      plan.peers = static_cast<unsigned>(parse_number(option, value));
      if (plan.peers < 1 || plan.peers > 64) refuse(option, word);
    } else if (option == "--seconds") {
      plan.seconds = std::strtod(value, nullptr);
      if (!(plan.seconds > 0.0 && plan.seconds <= 60.0)) refuse(option, word);
    } else if (option == "--scratch") {
      plan.scratch = word;
    } else if (option == "--server") {
      plan.server = word;
    } else if (option == "--server-pid") {
      plan.server_pid = static_cast<pid_t>(parse_number(option, value));
    } else {
      std::fprintf(stderr, "perf: there is no option %s\n", argv[i]);
      std::exit(2);
    }
  }
  if (argc % 2 == 0) refuse(argv[argc - 1], "");
  const Link first{0, 1, 1};
  (void)plan.unique_name(first);  // Fixes the run's number before anything forks.
  return plan;
}

}  // namespace rivals
