#include "soak.h"

#include <inttypes.h>
#include <unistd.h>

#include <cstdio>

#include "ripstop/types.h"

namespace chaos {

namespace {

using ripstop::now_ns;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1000 * kMs;

}  // namespace

bool Soak::run() {
  const uint64_t begin_ns = now_ns();
  const uint64_t end_ns = begin_ns + options_.seconds * kSecond;
  uint64_t quiet_ns = begin_ns + options_.quiet_seconds * kSecond;
  bool going = supervisor_.start() && wait_for("the supervisor serves", [this] { return supervisor_.serves(); }) &&
               wait_for("all are attached", [this] { return troupe_.all_attached(); });
  act_ns_ = now_ns() + 100 * kMs;
  kill_supervisor_ns_ = now_ns() + 5 * kSecond;
  while (going && now_ns() < end_ns && (options_.kill_count == 0 || kills() < options_.kill_count)) {
    const uint64_t now = now_ns();
    tend(now);
    if (now >= act_ns_) act(now);
    act_on_supervisor(now);
    if (now < quiet_ns) continue;
    going = quiet() && verdict_.clean();
    quiet_ns = now_ns() + options_.quiet_seconds * kSecond;
  }
  if (going) going = quiet() && end();
  seconds_ = (now_ns() - begin_ns) / kSecond;
  report();
  return verdict_.clean();
}

void Soak::tend(uint64_t now) {
  if (!troupe_.tend(now)) usleep(300);
  if (now < look_ns_) return;
  look_ns_ = now + 50 * kMs;
  oracle_.follow();
  troupe_.look_for_blocked(now);
  int status = 0;
  if (supervisor_.ended_by_itself(status)) {
    verdict_.add(Fault::Broken, "the supervisor ended by itself, with wait status %d", status);
    start_supervisor_ns_ = now;
  }
}

// One decision. What it meets depends on the machine; what is decided, on the seed alone.
void Soak::act(uint64_t now) {
  const std::size_t player = dice_.below(kPlayerCount);
  const uint64_t what = dice_.below(100);
  const uint64_t stop_ms = 20 + (dice_.chance(70) ? dice_.below(300) : dice_.below(1500));
  const bool then_kill = dice_.chance(30);
  act_ns_ += (1 + dice_.below(2 * options_.kill_pause_ms)) * kMs;
  if (act_ns_ < now) act_ns_ = now;
  ++decision_count_;
  bool done = false;
  if (what < 80) {
    done = troupe_.kill(player);
  } else if (what < 95) {
    done = troupe_.stop(player, now + stop_ms * kMs, then_kill);
  } else {
    done = troupe_.ask_to_leave(player);
  }
  if (options_.verbose) {
    std::fprintf(stderr, "%" PRIu64 " %s %s%s\n", decision_count_, what < 80 ? "kill" : what < 95 ? "stop" : "leave", cast()[player].name,
                 done ? "" : " (not there)");
  }
}

void Soak::act_on_supervisor(uint64_t now) {
  if (supervisor_.running() && now >= kill_supervisor_ns_) {
    supervisor_.kill();
    ++supervisor_kills_;
    // Most come back at once, some leave their agents alone for a while.
    const uint64_t roll = mix(options_.seed ^ (supervisor_kills_ << 32));  // Apart from act()'s: their order varies.
    start_supervisor_ns_ = now + (roll % 10 < 7 ? 0 : (roll >> 32) % 1000 * kMs);
    kill_supervisor_ns_ = now + 5 * kSecond;
    if (options_.verbose) std::fprintf(stderr, "- kill the supervisor\n");
  }
  if (!supervisor_.running() && now >= start_supervisor_ns_) (void)supervisor_.start();
}

template <class Condition>
bool Soak::wait_for(const char* what, Condition condition) {
  const uint64_t end_ns = now_ns() + 60 * kSecond;
  while (!condition()) {
    const uint64_t now = now_ns();
    if (!supervisor_.running()) (void)supervisor_.start();
    tend(now);
    if (now < end_ns) continue;
    verdict_.add(Fault::Blocked, "after 60 s it is still not true that %s", what);
    for (std::size_t player = 0; player < kPlayerCount; ++player) {
      const Page& page = ledger_.pages[player];
      std::fprintf(stderr, "  %s: %s, attached %u, silent in phase %u, drained in phase %u\n", cast()[player].name,
                   to_string(page.doing.load()), page.attached.load(), page.silent.load(), page.drained.load());
    }
    return false;
  }
  return true;
}

bool Soak::quiet() {
  if (!supervisor_.running()) (void)supervisor_.start();
  if (!wait_for("the supervisor serves", [this] { return supervisor_.serves(); })) return false;
  troupe_.all_up(now_ns());
  if (!wait_for("all are attached", [this] { return troupe_.all_attached(); })) return false;
  const uint32_t phase = ++ledger_.phase;
  if (!wait_for("all are silent", [&] { return troupe_.all_at(phase, &Page::silent); })) return false;
  ledger_.drain = phase;
  if (!wait_for("all have taken what there was", [&] { return troupe_.all_at(phase, &Page::drained); })) return false;
  while (troupe_.tend(now_ns())) {
  }
  oracle_.settle();
  check_quiet(supervisor_, true, flat_, verdict_);
  ++quiet_count_;
  ++ledger_.phase;
  // Nothing is expected to have happened meanwhile.
  act_ns_ = now_ns() + 20 * kMs;
  return true;
}

bool Soak::end() {
  troupe_.last_act();
  ledger_.phase = kPhaseEnd;
  if (!wait_for("all have left", [this] { return troupe_.all_ended(); })) return false;
  oracle_.settle();
  check_quiet(supervisor_, false, flat_, verdict_);
  const int status = supervisor_.end();
  if (status != 0) verdict_.add(Fault::Broken, "the supervisor ended with %d when it was asked to end", status);
  return true;
}

void Soak::report() {
  const Figures& figures = oracle_.figures();
  if (!verdict_.clean()) {
    supervisor_.keep_directory = true;
    std::fprintf(stderr, "after decision %" PRIu64 " of seed %" PRIu64 "; the supervisor's log ends:\n%s", decision_count_, options_.seed,
                 supervisor_.log_tail().c_str());
  }
  std::printf("deliveries: %" PRIu64 " told of, %" PRIu64 " taken, %" PRIu64 " died with their receiver (%" PRIu64
              " more in its hand), %" PRIu64 " given up by a drop-oldest ring\n",
              figures.reached, figures.taken, figures.died_with, troupe_.in_hand_at_death, figures.dropped);
  std::printf("sends cut off by a kill: %" PRIu64 ", %" PRIu64 " of them committed, %" PRIu64 " short of a receiver without room; kills while attaching: %" PRIu64
              "; sends that recovery completed: %" PRIu64 "\n",
              figures.running, figures.running_taken, figures.running_halves, troupe_.killed_in_attach, flat_.completed_sends);
  std::printf("quiet phases: %" PRIu64 "; machine stood still: %" PRIu64 " times; left: %" PRIu64 "; timed out: %" PRIu64 "; slowest attach %.0f ms; direct lanes at once: %u; supervisor's memory %.1f to %.1f MiB, at most %.1f\n",
              quiet_count_, troupe_.stall_count, troupe_.leave_count, troupe_.retry_count, static_cast<double>(troupe_.attach_ns_max) / 1e6, flat_.direct_lanes_max,
              static_cast<double>(flat_.supervisor_bytes_first) / 1048576.0, static_cast<double>(flat_.supervisor_bytes_last) / 1048576.0,
              static_cast<double>(flat_.supervisor_bytes_max) / 1048576.0);
  const auto count = [this](Fault fault) { return verdict_.count(fault); };
  std::printf("C1 chaos: %" PRIu64 " kills (%" PRIu64 " publishers, %" PRIu64 " receivers, %" PRIu64 " supervisors), %" PRIu64
              " stops, %" PRIu64 " messages: %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " torn, %" PRIu64 " out of order, %" PRIu64
              " leaked, %" PRIu64 " blocked",
              kills(), troupe_.publisher_kills, troupe_.receiver_kills, supervisor_kills_, troupe_.stop_count, figures.sent,
              count(Fault::Lost), count(Fault::Doubled), count(Fault::Torn), count(Fault::Order), count(Fault::Leaked),
              count(Fault::Blocked));
  if (count(Fault::Phantom) != 0) std::printf(", %" PRIu64 " phantom", count(Fault::Phantom));
  if (count(Fault::Broken) != 0) std::printf(", %" PRIu64 " broken", count(Fault::Broken));
  std::printf("; seed %" PRIu64 "\n", options_.seed);
  // The line that tools/proof reads.
  const uint64_t wrong = count(Fault::Torn) + count(Fault::Order) + count(Fault::Phantom) + count(Fault::Broken);
  std::printf("C1 points=%" PRIu64 " lost=%" PRIu64 " doubled=%" PRIu64 " leaked=%" PRIu64 " blocked=%" PRIu64 " wrong=%" PRIu64
              " seconds=%" PRIu64 " what=points are kills: %" PRIu64 " of supervisors; %" PRIu64 " stops, %" PRIu64
              " messages, seed %" PRIu64 "\n",
              kills(), count(Fault::Lost), count(Fault::Doubled), count(Fault::Leaked), count(Fault::Blocked), wrong,
              seconds_, supervisor_kills_, troupe_.stop_count, figures.sent, options_.seed);
}

}  // namespace chaos
