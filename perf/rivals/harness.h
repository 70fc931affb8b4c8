// The measurement, the same for every rival: two or more processes, pinned, that send and receive.
//
// A rival is one file with a class of this shape and a `main` that calls
// `run<Rival>(parse_plan(argc, argv))`:
//
//   struct Rival {
//     // Why this run makes no sense for it, or "".
//     static std::string cannot(const Plan& plan);
//     // Messages in flight the harness allows, or 0 where the rival itself holds senders back.
//     static std::size_t window(const Plan& plan);
//     // In the parent, before it forks: what all processes inherit.
//     explicit Rival(const Plan& plan);
//     struct Sender {
//       Sender(Rival& rival, const Link& link, unsigned sender_index);
//       void connected();                        // Returns when every receiver would get a message.
//       template <class Fill> void send(std::size_t bytes, Fill&& fill);   // Filling: fill(std::byte* to)
//       void flush();                            // What was sent is on its way.
//     };
//     struct Receiver {
//       Receiver(Rival& rival, const Link& link, unsigned receiver_index);
//       void connected();                        // Optional, as that of a sender.
//       // Takes one message: consume(const std::byte* from), a Consumed. False if there was none: at once when
//       // spinning, after about 100 ms when sleeping.
//       template <class Consume> bool receive(Consume&& consume);
//     };
//   };
//
// `fill` is called once, on the memory that the receiver gets where the rival lends it.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>

#include "control.h"
#include "payload.h"
#include "plan.h"

namespace rivals {

// Forks `body(process_index)` for every process of the plan, pins them, waits for them, and prints
// the run's figures as one line of JSON. Returns the exit status.
int run_processes(const Plan& plan, const std::function<void(unsigned)>& body);
int print_skip(const std::string& reason);

// What a process counts from when the warm-up is over.
struct Clock {
  explicit Clock(const Plan& plan)
      : start(control().start_tsc.load(std::memory_order_relaxed)),
        warm(start + static_cast<std::uint64_t>(0.15 * plan.seconds * tsc_hz())),
        end(start + static_cast<std::uint64_t>(plan.seconds * tsc_hz())) {}
  std::uint64_t start;
  std::uint64_t warm;
  std::uint64_t end;
};

template <class Rival>
class Processes {
 public:
  using Sender = typename Rival::Sender;
  using Receiver = typename Rival::Receiver;

  Processes(const Plan& plan, Rival& rival)
      : plan_(plan), rival_(rival), window_(Rival::window(plan)) {}

  void run(unsigned index) {
    const auto links = plan_.links();
    switch (plan_.scenario) {
      case Scenario::Roundtrip:
        if (index == 0) return ping(links[0], links[1]);
        return pong(links[0], links[1]);
      case Scenario::Stream:
      case Scenario::Fanout:
        if (index == 0) return produce(links[0], 0);
        return consume(links[0], index - 1, index);
      case Scenario::Fanin:
        if (index == 0) return consume(links[0], 0, index);
        return produce(links[0], index - 1);
      case Scenario::Cost:
        if (index == 0) return produce_paced(links[0]);
        return consume_paced(links[0], index);
      case Scenario::Memcpy: break;
    }
    fail("this program has no such scenario");
  }

 private:
  static constexpr std::uint64_t kLeastSamples = 5;

  bool has_line() const {
    return plan_.mode == Mode::Spin && plan_.placement == Placement::TwoCores;
  }

  static void await(Receiver& receiver) {
    if constexpr (requires { receiver.connected(); }) receiver.connected();
  }

  void send(Sender& sender, std::uint64_t sequence) {
    sender.send(plan_.payload_bytes, Filling{plan_.payload_bytes, sequence, plan_.touch});
  }

  // Takes the next message into `sequence`, waits for it, and adds it up.
  void receive(Receiver& receiver, std::uint64_t& sequence) {
    while (!take(receiver, sequence)) wait_a_moment();
  }

  bool take(Receiver& receiver, std::uint64_t& sequence) {
    Consumed consumed{plan_.payload_bytes, plan_.touch};
    if (!receiver.receive(consumed)) return false;
    if (!consumed.right) fail("a payload is not what was sent");
    sequence = consumed.sequence;
    return true;
  }

  void ping(const Link& out, const Link& back) {
    Receiver receiver(rival_, back, 0);
    Sender sender(rival_, out, 0);
    meet(plan_, 0);
    sender.connected();
    await(receiver);
    meet(plan_, 1);
    if (has_line()) measure_line(0, 0);
    const Clock clock(plan_);
    Control& shared = control();
    // Larger messages: every place of the queue has been touched by both sides.
    const std::uint64_t warm_sequence = plan_.payload_bytes < 16384 ? 0 : plan_.queue_length() + 8;
    std::uint64_t count = 0;
    for (std::uint64_t sequence = 1;; ++sequence) {
      const std::uint64_t begin = tsc();
      if (begin >= clock.end && count >= kLeastSamples) break;
      send(sender, sequence);
      sender.flush();
      std::uint64_t answer = 0;
      receive(receiver, answer);
      const std::uint64_t end = tsc();
      if (answer != sequence) fail("an answer is out of order");
      if (begin >= clock.warm && sequence > warm_sequence && count < kMaxSamples) {
        shared.samples[count++] =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(end - begin, UINT32_MAX));
      }
    }
    shared.sample_count = count;
    send(sender, kStop);
    sender.flush();
    if (has_line()) measure_line(0, 1);
    meet(plan_, 2);
  }

  void pong(const Link& in, const Link& back) {
    Receiver receiver(rival_, in, 0);
    Sender sender(rival_, back, 0);
    meet(plan_, 0);
    sender.connected();
    await(receiver);
    meet(plan_, 1);
    if (has_line()) measure_line(1, 0);
    for (;;) {
      std::uint64_t sequence = 0;
      receive(receiver, sequence);
      if (sequence == kStop) break;
      send(sender, sequence);
      sender.flush();
    }
    if (has_line()) measure_line(1, 1);
    meet(plan_, 2);
  }

  void hold_within_window(const Link& link) {
    Control& shared = control();
    const std::uint64_t sent = shared.sent_count.fetch_add(1, std::memory_order_relaxed) + 1;
    for (unsigned i = 0; i < link.receiver_count; ++i) {
      while (sent > shared.received[i].count.load(std::memory_order_relaxed) + window_)
        wait_a_moment();
    }
  }

  void produce(const Link& link, unsigned sender_index) {
    Sender sender(rival_, link, sender_index);
    meet(plan_, 0);
    sender.connected();
    meet(plan_, 1);
    const Clock clock(plan_);
    const std::uint64_t look_mask = plan_.payload_bytes >= 4096 ? 0 : 63;
    for (std::uint64_t sequence = 1;; ++sequence) {
      if ((sequence & look_mask) == 0 && tsc() >= clock.end) break;
      send(sender, sequence);
      if (window_ != 0) {
        if ((sequence & 15U) == 0) sender.flush();
        hold_within_window(link);
      }
    }
    send(sender, kStop);
    sender.flush();
    control().finished_count.fetch_add(1);
    meet(plan_, 2);
  }

  void consume(const Link& link, unsigned receiver_index, unsigned process_index) {
    Receiver receiver(rival_, link, receiver_index);
    meet(plan_, 0);
    await(receiver);
    meet(plan_, 1);
    const Clock clock(plan_);
    Control& shared = control();
    const std::uint64_t look_mask = plan_.payload_bytes >= 4096 ? 0 : 63;
    bool warm = false;
    unsigned stop_count = 0;
    std::uint64_t count = 0;
    std::uint64_t before = 0;
    std::uint64_t idle_since = 0;
    while (stop_count < link.sender_count) {
      std::uint64_t sequence = 0;
      if (!take(receiver, sequence)) {
        if (lost_the_end(link, idle_since)) break;
        wait_a_moment();
        continue;
      }
      idle_since = 0;
      if (sequence == kStop) ++stop_count;
      ++count;
      if (window_ != 0)
        shared.received[receiver_index].count.store(count, std::memory_order_relaxed);
      if (!warm && (count & look_mask) == 0 && tsc() >= clock.warm) {
        warm = true;
        before = count;
      }
    }
    ProcessResult& result = shared.results[process_index];
    result.end_tsc = idle_since != 0 ? idle_since : tsc();
    result.count = warm ? count - before : 0;
    meet(plan_, 2);
  }

  // Every sender is done and nothing came for 200 ms: the rival lost messages.
  static bool lost_the_end(const Link& link, std::uint64_t& idle_since) {
    if (control().finished_count.load(std::memory_order_relaxed) < link.sender_count) return false;
    const std::uint64_t now = tsc();
    if (idle_since == 0) idle_since = now;
    return static_cast<double>(now - idle_since) > 0.2 * tsc_hz();
  }

  std::uint64_t paced_count() const {
    return static_cast<std::uint64_t>(plan_.rate_hz * plan_.seconds);
  }

  void produce_paced(const Link& link) {
    Sender sender(rival_, link, 0);
    meet(plan_, 0);
    sender.connected();
    meet(plan_, 1);
    const std::uint64_t total = paced_count();
    const long period_ns = 1'000'000'000L / plan_.rate_hz;
    std::uint64_t cpu_ns = 0;
    timespec next{};
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (std::uint64_t sequence = 1; sequence <= total; ++sequence) {
      if (sequence == total / 8) cpu_ns = own_cpu_ns() + cpu_ns_of(plan_.server_pid);
      next.tv_nsec += period_ns;
      if (next.tv_nsec >= 1'000'000'000L) {
        next.tv_nsec -= 1'000'000'000L;
        ++next.tv_sec;
      }
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
      send(sender, sequence);
      sender.flush();
    }
    ProcessResult& result = control().results[0];
    result.cpu_ns = own_cpu_ns() + cpu_ns_of(plan_.server_pid) - cpu_ns;
    send(sender, kStop);
    sender.flush();
    control().finished_count.fetch_add(1);
    meet(plan_, 2);
  }

  void consume_paced(const Link& link, unsigned process_index) {
    Receiver receiver(rival_, link, 0);
    meet(plan_, 0);
    await(receiver);
    meet(plan_, 1);
    const std::uint64_t total = paced_count();
    std::uint64_t cpu_ns = 0;
    std::uint64_t idle_since = 0;
    ProcessResult& result = control().results[process_index];
    for (;;) {
      std::uint64_t sequence = 0;
      if (!take(receiver, sequence)) {
        if (lost_the_end(link, idle_since)) fail("the last message never came");
        wait_a_moment();
        continue;
      }
      if (sequence == kStop) break;
      if (sequence == total / 8) cpu_ns = own_cpu_ns();
      if (sequence > total / 8) ++result.count;
    }
    result.cpu_ns = own_cpu_ns() - cpu_ns;
    meet(plan_, 2);
  }

  const Plan& plan_;
  Rival& rival_;
  const std::size_t window_;
};

template <class Rival>
int run(const Plan& plan) {
  const std::string reason =
      plan.scenario == Scenario::Memcpy ? "only the floor copies memory" : Rival::cannot(plan);
  if (!reason.empty()) return print_skip(reason);
  (void)control();
  Rival rival(plan);
  Processes<Rival> processes(plan, rival);
  return run_processes(plan, [&](unsigned index) { processes.run(index); });
}

}  // namespace rivals
