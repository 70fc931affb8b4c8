// pingpong measures round trips at the sender: half of one is the time one way. The other two count
// what receivers have taken and read. A message whose first eight bytes are kEnd ends a receiver.
#include "shmctl/bench_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "ripstop/agent.h"
#include "shmctl/bench_child.h"
#include "shmctl/bench_line.h"
#include "shmctl/door.h"

namespace ripstop::shmctl {

namespace {

constexpr uint64_t kEnd = ~uint64_t{0};
constexpr uint64_t kComeNs = 5'000'000'000;     // A child's time to attach.
constexpr uint64_t kAnswerNs = 10'000'000'000;  // And to report.
constexpr auto kPatience = std::chrono::seconds(5);
constexpr uint64_t kWarmUpCount = 200;

// What the payload does in real use: it is written whole and read whole.
void fill(std::span<std::byte> bytes, uint64_t first) {
  std::memset(bytes.data(), static_cast<int>(first & 0x7f), bytes.size());
  std::memcpy(bytes.data(), &first, std::min(bytes.size(), sizeof first));
}

uint64_t first_word(std::span<const std::byte> bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof word));
  return word;
}

uint64_t sum(std::span<const std::byte> bytes) {
  uint64_t total = 0;
  for (std::size_t at = 0; at + sizeof total <= bytes.size(); at += sizeof total) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    total += word;
  }
  return total;
}

volatile uint64_t sink;  // Keeps the sums from being left out.

// A topic is known for ever once it was named: few names, and two benches at once seldom share one.
std::string topic_of(pid_t bench, std::string_view what) {
  return "bench." + std::to_string(bench % 16) + "." + std::string(what);
}

Error no_answer(const char* what) {
  return {.code = Errc::Timeout,
          .what = std::string("a bench process did not ") + what,
          .why = "",
          .fix = "shmctl status"};
}

bool ended(TakeOutcome outcome) {
  return outcome == TakeOutcome::Detached || outcome == TakeOutcome::Forked;
}

// --- over topics -----------------------------------------------------------------------------------

bool send(Publisher<Bytes>& publisher, uint32_t payload_bytes, uint64_t first) {
  auto loan = publisher.loan(payload_bytes);
  if (!loan) return false;
  fill(loan->bytes(), first);
  return static_cast<bool>(loan->send(SendOptions{}));
}

std::optional<uint64_t> echo_topic(const Command& command, const BenchPlan& plan, pid_t bench,
                                   const BenchChild::Ready& ready) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return std::nullopt;
  auto pings = agent->subscriber(topic_of(bench, "ping"));
  auto pongs = agent->publisher(topic_of(bench, "pong"));
  if (!pings || !pongs) return std::nullopt;
  ready();
  uint64_t count = 0;
  while (true) {
    auto ping = pings->take(kPatience);
    if (!ping) return ended(ping.outcome()) ? std::nullopt : std::optional<uint64_t>(count);
    const uint64_t first = first_word(ping->bytes());
    sink = sum(ping->bytes());
    ping->release();
    if (first == kEnd) return count;
    if (!send(*pongs, plan.payload_bytes, first)) return std::nullopt;
    ++count;
  }
}

std::optional<uint64_t> count_topic(const Command& command, const BenchPlan& plan, pid_t bench,
                                    const BenchChild::Ready& ready) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return std::nullopt;
  auto stream = agent->subscriber(topic_of(bench, "stream"));
  if (!stream) return std::nullopt;
  ready();
  uint64_t count = 0;
  while (true) {
    auto message = stream->take(kPatience);
    if (!message) return ended(message.outcome()) ? std::nullopt : std::optional<uint64_t>(count);
    if (first_word(message->bytes()) == kEnd) return count;
    sink = sum(message->bytes());
    ++count;
  }
}

Result<BenchResult> pingpong_topic(const Command& command, const BenchPlan& plan, pid_t bench) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return agent.error();
  auto pings = agent->publisher(topic_of(bench, "ping"));
  if (!pings) return pings.error();
  auto pongs = agent->subscriber(topic_of(bench, "pong"));
  if (!pongs) return pongs.error();
  BenchResult result;
  uint64_t start_ns = now_ns();
  for (uint64_t i = 0; i < kWarmUpCount || now_ns() - start_ns < plan.duration_ns; ++i) {
    if (i == kWarmUpCount) start_ns = now_ns();
    const uint64_t sent_ns = now_ns();
    if (!send(*pings, plan.payload_bytes, i)) return no_answer("get a ping");
    auto pong = pongs->take(kPatience);
    if (!pong) return no_answer("send a pong");
    sink = sum(pong->bytes());
    pong->release();
    if (i >= kWarmUpCount) result.round_trips_ns.push_back(now_ns() - sent_ns);
  }
  result.duration_ns = now_ns() - start_ns;
  (void)send(*pings, std::max<uint32_t>(plan.payload_bytes, sizeof kEnd), kEnd);
  return result;
}

Result<BenchResult> stream_topic(const Command& command, const BenchPlan& plan, pid_t bench) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return agent.error();
  auto publisher = agent->publisher(topic_of(bench, "stream"));
  if (!publisher) return publisher.error();
  BenchResult result;
  const uint64_t start_ns = now_ns();
  while (now_ns() - start_ns < plan.duration_ns) {
    auto loan = publisher->loan(plan.payload_bytes);
    if (!loan) {
      // Receivers hold all of the class: as good as a full lane, it frees as they read.
      if (loan.error().code == Errc::PoolEmpty) continue;
      return loan.error();
    }
    fill(loan->bytes(), result.message_count);
    const Sent sent = loan->send(SendOptions{});
    if (!sent) return no_answer("take from its inbox");
    ++result.message_count;
  }
  if (!send(*publisher, std::max<uint32_t>(plan.payload_bytes, sizeof kEnd), kEnd))
    return no_answer("take the last message");
  result.duration_ns = now_ns() - start_ns;
  return result;
}

// --- over channels ---------------------------------------------------------------------------------

std::optional<uint64_t> echo_channel(const Command& command, const BenchPlan& plan, pid_t bench,
                                     const BenchChild::Ready& ready) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return std::nullopt;
  const ChannelOptions options{.payload_bytes = plan.payload_bytes};
  auto pings = agent->channel_receiver(topic_of(bench, "ping"), options);
  auto pongs = agent->channel_sender(topic_of(bench, "pong"), options);
  if (!pings || !pongs) return std::nullopt;
  ready();
  uint64_t count = 0;
  while (true) {
    std::span<const std::byte> ping;
    if (pings->take(ping, kPatience) != TakeOutcome::Ok) return count;
    const uint64_t first = first_word(ping);
    sink = sum(ping);
    pings->release();
    if (first == kEnd) return count;
    const std::span<std::byte> slot = pongs->slot();
    if (slot.size() < plan.payload_bytes) return std::nullopt;
    fill(slot.first(plan.payload_bytes), first);
    if (pongs->send(plan.payload_bytes) != ChannelOutcome::Ok) return std::nullopt;
    ++count;
  }
}

Result<BenchResult> pingpong_channel(const Command& command, const BenchPlan& plan, pid_t bench) {
  auto agent = go_in(command, plan.wait);
  if (!agent) return agent.error();
  const ChannelOptions options{.payload_bytes = plan.payload_bytes};
  auto pings = agent->channel_sender(topic_of(bench, "ping"), options);
  if (!pings) return pings.error();
  auto pongs = agent->channel_receiver(topic_of(bench, "pong"), options);
  if (!pongs) return pongs.error();
  BenchResult result;
  uint64_t start_ns = now_ns();
  for (uint64_t i = 0; i < kWarmUpCount || now_ns() - start_ns < plan.duration_ns; ++i) {
    if (i == kWarmUpCount) start_ns = now_ns();
    const uint64_t sent_ns = now_ns();
    const std::span<std::byte> slot = pings->slot();
    if (slot.size() < plan.payload_bytes) return no_answer("empty its channel");
    fill(slot.first(plan.payload_bytes), i);
    if (pings->send(plan.payload_bytes) != ChannelOutcome::Ok) return no_answer("get a ping");
    std::span<const std::byte> pong;
    if (pongs->take(pong, kPatience) != TakeOutcome::Ok) return no_answer("send a pong");
    sink = sum(pong);
    pongs->release();
    if (i >= kWarmUpCount) result.round_trips_ns.push_back(now_ns() - sent_ns);
  }
  result.duration_ns = now_ns() - start_ns;
  const std::span<std::byte> slot = pings->slot();
  if (!slot.empty()) {
    fill(slot.first(plan.payload_bytes), kEnd);
    (void)pings->send(plan.payload_bytes);
  }
  return result;
}

}  // namespace

Result<BenchResult> run_bench(const Command& command, const BenchPlan& plan) {
  // A fabric that does not answer is said once, not by every child.
  if (auto probe = look_in(command); !probe) return probe.error();
  const pid_t bench = getpid();
  const bool pingpong = plan.kind == "pingpong";
  std::vector<BenchChild> children;
  for (uint32_t i = 0; i < (pingpong ? 1 : plan.receiver_count); ++i) {
    auto child = BenchChild::start([&](const BenchChild::Ready& ready) {
      if (!pingpong) return count_topic(command, plan, bench, ready);
      return plan.channel ? echo_channel(command, plan, bench, ready)
                          : echo_topic(command, plan, bench, ready);
    });
    if (!child) return child.error();
    children.push_back(std::move(*child));
  }
  for (const BenchChild& child : children) {
    if (!child.wait_ready(kComeNs)) return no_answer("attach");
  }
  auto result = !pingpong      ? stream_topic(command, plan, bench)
                : plan.channel ? pingpong_channel(command, plan, bench)
                               : pingpong_topic(command, plan, bench);
  if (!result) return result.error();
  for (const BenchChild& child : children) {
    const std::optional<uint64_t> count = child.wait_count(kAnswerNs);
    if (!count) return no_answer("report what it took");
    result->delivery_count += *count;
  }
  if (pingpong) {
    result->message_count = result->round_trips_ns.size();
    std::sort(result->round_trips_ns.begin(), result->round_trips_ns.end());
    auto line_ns = measure_line_ns();
    if (!line_ns) return line_ns.error();
    result->line_ns = *line_ns;
  }
  return result;
}

}  // namespace ripstop::shmctl
