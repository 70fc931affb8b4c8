#include "shmctl/message_text.h"
#include "shmctl/receive_loop.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr uint32_t kTapSlots = 1024;

int run(const Command& command) {
  // A ring of its own that gives up the oldest: no publisher ever waits for a tap.
  return receive(command,
                 {.overflow = Overflow::DropOldest, .own_ring = true, .slot_count = kTapSlots});
}

}  // namespace

const Verb& verb_tap() {
  static const Verb verb = {
      .name = "tap",
      .summary = "Watch topics without slowing anybody; says what it skipped",
      .detail =
          "A passive observer with a ring of its own that gives up the oldest message: a publisher "
          "never waits for "
          "it. It counts as a receiver in what publishers are told. Messages it was too slow for "
          "are said on "
          "standard error, in JSON as skipped_count.",
      .access = Access::Attaches,
      .lists = false,
      .arguments = {{"TOPIC", "which topic, or a pattern of topics: 'agent.*.plan', 'agent.**'", false, Names::Topic}},
      .flags = {{"-n,--count", "N", "end after so many messages"},
                {"-t,--timeout", "TIME",
                 "end after this time; status 4 when messages are missing"}},
      .fields = fields_of(message_telling()),
      .examples = {"shmctl tap agent.planner.task", "shmctl tap '**'", "shmctl tap agent.planner.task -o jsonl"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
