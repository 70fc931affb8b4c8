#include "shmctl/message_text.h"
#include "shmctl/receive_loop.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

int run(const Command& command) {
  return receive(command, {});
}

}  // namespace

const Verb& verb_sub() {
  static const Verb verb = {
      .name = "sub",
      .summary = "Subscribe to a topic or a pattern and print what comes",
      .detail =
          "A real subscriber: messages wait in its inbox, and a publisher waits when that is full. "
          "To look without "
          "being felt use tap. A line has the publisher's sequence, who sent it, the time from "
          "send to take, the "
          "size and the payload; of a pattern the topic first.",
      .access = Access::Attaches,
      .lists = false,
      .arguments = {{"TOPIC", "which topic, or a pattern of topics: 'agent.*.plan', 'agent.**'", false, Names::Topic}},
      .flags = {{"-n,--count", "N", "end after so many messages"},
                {"-t,--timeout", "TIME",
                 "end after this time; status 4 when messages are missing"}},
      .fields = fields_of(message_telling()),
      .examples = {"shmctl sub hello", "shmctl sub 'agent.**'", "shmctl sub hello -n 1 -o raw > payload",
                   "shmctl sub hello -o json | jq .text"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
