#include "shmctl/receive_loop.h"

#include <algorithm>
#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/interrupt.h"
#include "shmctl/message_text.h"
#include "shmctl/units.h"

namespace ripstop::shmctl {

namespace {

constexpr uint64_t kHeedEveryNs = 250'000'000;  // ^C is noticed at the latest after this.

// Notes what a drop-oldest ring gave up since the last message.
class Skipped {
 public:
  uint64_t since_last(const Subscriber<Bytes>& subscriber) {
    const uint64_t now = subscriber.dropped_count();
    const uint64_t count = now > seen_ ? now - seen_ : 0;
    seen_ = now;
    return count;
  }

 private:
  uint64_t seen_ = 0;
};

// Beside the messages, for a person: JSON lines bear it themselves.
void say_skipped(const Command& command, uint64_t count) {
  if (count == 0 || command.settings.json()) return;
  std::fprintf(
      stderr, "(skipped %s: they come faster than this prints)\n",
      (count_text(static_cast<double>(count)) + (count == 1 ? " message" : " messages")).c_str());
}

Error ended(const std::string& topic, TakeOutcome outcome) {
  return {.code = Errc::SupervisorGone,
          .what = "the subscription to " + topic + " has ended: " + std::string(to_string(outcome)),
          .why = "",
          .fix = "shmctl status"};
}

Error too_late(const Command& command, uint64_t got, uint64_t wanted, uint64_t timeout_ns) {
  return {.code = Errc::Timeout,
          .what = std::to_string(got) + " of " + std::to_string(wanted) + " messages came within " +
                  duration_text(timeout_ns, command.settings.terminal.utf8),
          .why = "",
          .fix = to_type(command, "show topic " + command.arguments[0]) + " says who publishes"};
}

}  // namespace

int receive(const Command& command, const SubscriberOptions& options) {
  const auto count = command.number("count", 0, 1, 1'000'000'000'000);
  const auto timeout = command.duration("timeout", ~uint64_t{0} >> 1);
  if (!count) return exit_code(count.error());
  if (!timeout) return exit_code(timeout.error());
  const std::string& topic = command.arguments[0];
  if (const auto checked = check_pattern(topic); !checked) return exit_code(checked.error());
  auto agent = go_in(command);
  if (!agent) return exit_code(agent.error());
  auto subscriber = agent->subscriber(topic, options);
  if (!subscriber) return exit_code(subscriber.error());

  Interrupt interrupt;
  SourceNames names(command);
  Skipped skipped;
  const uint64_t end_ns = now_ns() + *timeout;
  uint64_t got = 0;
  while (*count == 0 || got < *count) {
    if (interrupt.asked()) return kInterruptedStatus;
    const uint64_t time_ns = now_ns();
    if (time_ns >= end_ns) {
      // Asked for a time alone, all of it was wanted; asked for a number, it is missing.
      return *count == 0 && got > 0
                 ? 0
                 : exit_code(too_late(command, got, std::max<uint64_t>(*count, 1), *timeout));
    }
    auto message =
        subscriber->take(std::chrono::nanoseconds(std::min(kHeedEveryNs, end_ns - time_ns)));
    if (message) {
      MessageFacts facts = facts_of(*message, names);
      facts.skipped_count = skipped.since_last(*subscriber);
      message->release();  // Before printing: a slow terminal holds nobody's memory.
      say_skipped(command, facts.skipped_count);
      print_message(command, facts);
      std::fflush(stdout);
      ++got;
    } else if (message.outcome() == TakeOutcome::Detached ||
               message.outcome() == TakeOutcome::Forked) {
      return exit_code(ended(topic, message.outcome()));
    }
  }
  return 0;
}

}  // namespace ripstop::shmctl
