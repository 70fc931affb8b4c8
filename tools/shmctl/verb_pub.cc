// The words keep to what is known: a message is delivered when it lies in a receiver's inbox; whether
// it was taken is not known here.
#include <algorithm>
#include <cstdio>

#include "base/nearest_name.h"
#include "shmctl/door.h"
#include "shmctl/interrupt.h"
#include "shmctl/listing.h"
#include "shmctl/payloads.h"
#include "shmctl/told.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr uint64_t kLookEveryNs = 20'000'000;

struct Tally {
  std::string topic;
  uint64_t sent_count = 0;  // Messages that reached all receivers.
  uint64_t partial_count = 0;
  uint64_t none_count = 0;
  uint64_t full_count = 0;
  uint64_t failed_count = 0;  // Gone, expired, corrupt …
  uint64_t delivery_count = 0;
  uint64_t byte_count = 0;
  uint64_t last_sequence = 0;
  uint32_t receiver_count = 0;  // Of the last.
  SendOutcome last_outcome = SendOutcome::Delivered;
};

const Telling<Tally>& telling() {
  static const Telling<Tally> list = {
      {{"topic", "", Kind::Text, Show::JsonOnly, "the topic"},
       [](const Tally& t) { return t.topic; }},
      {{"sent_count", "", Kind::Count, Show::JsonOnly, "messages in every receiver's inbox"},
       [](const Tally& t) { return t.sent_count; }},
      {{"partial_count", "", Kind::Count, Show::JsonOnly,
        "messages that some receivers did not get"},
       [](const Tally& t) { return t.partial_count; }},
      {{"none_count", "", Kind::Count, Show::JsonOnly,
        "messages that nobody subscribed to: not sent"},
       [](const Tally& t) { return t.none_count; }},
      {{"full_count", "", Kind::Count, Show::JsonOnly, "messages that no receiver had room for"},
       [](const Tally& t) { return t.full_count; }},
      {{"failed_count", "", Kind::Count, Show::JsonOnly, "messages not sent for another reason"},
       [](const Tally& t) { return t.failed_count; }},
      {{"delivery_count", "", Kind::Count, Show::JsonOnly, "inboxes reached, summed"},
       [](const Tally& t) { return t.delivery_count; }},
      {{"byte_count", "", Kind::Bytes, Show::JsonOnly, "payload of what was sent"},
       [](const Tally& t) { return t.byte_count; }},
      {{"receiver_count", "", Kind::Count, Show::JsonOnly, "inboxes that the last message reached"},
       [](const Tally& t) { return t.receiver_count; }},
      {{"last_sequence", "", Kind::Id, Show::JsonOnly, "sequence of the last message"},
       [](const Tally& t) { return t.last_sequence; }},
  };
  return list;
}

Result<Priority> parse_priority(const std::string& text) {
  for (std::size_t i = 0; i < kPriorityCount; ++i) {
    if (to_string(static_cast<Priority>(i)) == text) return static_cast<Priority>(i);
  }
  return usage_error("there is no priority '" + text + "'");
}

Result<double> parse_rate(const Command& command) {
  if (!command.has("rate")) return 0.0;
  const std::string text = command.text("rate");
  char* end = nullptr;
  const double rate = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !(rate > 0) || rate > 1e9) {
    return usage_error("--rate takes messages a second, not '" + text + "'");
  }
  return rate;
}

void count(Tally& tally, const Sent& sent, std::size_t bytes) {
  tally.last_outcome = sent.outcome;
  tally.receiver_count = sent.receiver_count;
  tally.delivery_count += sent.receiver_count;
  if (sent.sequence != 0) tally.last_sequence = sent.sequence;
  switch (sent.outcome) {
    case SendOutcome::Delivered: ++tally.sent_count; break;
    case SendOutcome::Partial: ++tally.partial_count; break;
    case SendOutcome::NoReceiver: ++tally.none_count; return;
    case SendOutcome::Full: ++tally.full_count; return;
    default: ++tally.failed_count; return;
  }
  tally.byte_count += bytes;
}

std::string plural(uint64_t count, const char* one, const char* more) {
  return count_text(static_cast<double>(count)) + " " + (count == 1 ? one : more);
}

Error nobody(const Command& command, const Tally& tally) {
  const std::string& topic = tally.topic;
  const bool at_all = tally.sent_count + tally.partial_count > 0;
  Error error{.code = Errc::NotFound,
              .what = at_all
                          ? "for " + plural(tally.none_count, "message", "messages") +
                                " nobody subscribed to " + topic + " any more: these were not sent"
                          : "nobody subscribes to " + topic + ": nothing was sent",
              .why = "",
              .fix = ""};
  std::vector<std::string> heard;
  if (auto inspector = look_in(command)) {
    for (const TopicView& other : inspector->topics()) {
      if (!other.subscribers.empty() && other.name != topic) heard.push_back(other.name);
    }
  }
  error.fix = base::did_you_mean(base::nearest_names(topic, heard));
  if (error.fix.empty())
    error.fix = to_type(command, "sub " + topic) + "   or wait: --wait-for-subscriber";
  return error;
}

// Says how it went and returns the exit status.
int finish(const Command& command, const Tally& tally, uint64_t timeout_ns) {
  if (command.settings.json()) {
    print_json(command, row_of(telling(), tally));
  } else if (tally.sent_count + tally.partial_count > 0) {
    const uint64_t messages = tally.sent_count + tally.partial_count;
    std::printf(
        "delivered %s to %s (sequence %llu)\n", plural(messages, "message", "messages").c_str(),
        messages == 1 ? plural(tally.delivery_count, "inbox", "inboxes").c_str()
                      : (plural(tally.delivery_count, "inbox", "inboxes") + " in all").c_str(),
        static_cast<unsigned long long>(tally.last_sequence));
  }
  const bool utf8 = command.settings.terminal.utf8;
  if (tally.full_count + tally.partial_count > 0) {
    Error full{
        .code = Errc::Timeout,
        .what = plural(tally.full_count + tally.partial_count, "message was", "messages were") +
                " refused by a full lane for " + duration_text(timeout_ns, utf8),
        .why = "a receiver takes slower than this sends, is stuck, or drops what is new",
        .fix = to_type(command, "agents")};
    exit_code(full);
    return exit_status(Errc::PoolEmpty);  // Refused by pressure.
  }
  if (tally.none_count > 0) return exit_code(nobody(command, tally));
  if (tally.failed_count > 0) {
    return exit_code({.code = Errc::SupervisorGone,
                      .what = plural(tally.failed_count, "message was", "messages were") +
                              " not sent: " + std::string(to_string(tally.last_outcome)),
                      .why = "",
                      .fix = to_type(command, "status")});
  }
  return 0;
}

// Whether anybody subscribes: asked before anything is named, because a topic is known for ever once
// somebody opened it, a misspelt one too.
bool somebody_subscribes(const Command& command, const std::string& topic) {
  auto inspector = look_in(command);
  if (!inspector) return true;  // Attach will say what is wrong.
  return has_subscriber(*inspector, topic);
}

// Until the topic has a receiver. 0: it has; else the exit status.
int wait_for_receiver(const Command& command, const Publisher<Bytes>& publisher,
                      const Interrupt& interrupt, uint64_t timeout_ns) {
  const uint64_t end_ns = now_ns() + timeout_ns;
  while (publisher.receiver_count() == 0) {
    if (now_ns() >= end_ns) {
      return exit_code({.code = Errc::Timeout,
                        .what = "nobody subscribed to " + std::string(publisher.topic()) +
                                " within " +
                                duration_text(timeout_ns, command.settings.terminal.utf8),
                        .why = "",
                        .fix = "wait longer: --timeout 1m"});
    }
    if (!interrupt.sleep(kLookEveryNs)) return kInterruptedStatus;
  }
  return 0;
}

int run(const Command& command) {
  const auto repeat = command.number("count", 0, 1, 1'000'000'000'000);
  const auto timeout = command.duration("timeout", 5'000'000'000);
  const auto rate = parse_rate(command);
  const auto priority = parse_priority(command.text("priority", "normal"));
  if (!repeat) return exit_code(repeat.error());
  if (!timeout) return exit_code(timeout.error());
  if (!rate) return exit_code(rate.error());
  if (!priority) return exit_code(priority.error());
  const std::string& topic = command.arguments[0];
  if (const auto checked = check_topic(topic); !checked) return exit_code(checked.error());
  auto payloads = Payloads::open(command);
  if (!payloads) return exit_code(payloads.error());
  const bool wait = command.has("wait-for-subscriber");
  if (!wait && !somebody_subscribes(command, topic))
    return finish(command, {.topic = topic, .none_count = 1}, *timeout);
  auto agent = go_in(command);
  if (!agent) return exit_code(agent.error());
  auto publisher = agent->publisher(topic);
  if (!publisher) return exit_code(publisher.error());

  Interrupt interrupt;
  if (wait) {
    if (const int status = wait_for_receiver(command, *publisher, interrupt, *timeout); status != 0)
      return status;
  }
  // Once, all lines, or as often as was asked for.
  const uint64_t most = command.has("count") ? *repeat : payloads->lines() ? ~uint64_t{0} : 1;
  SendOptions options{.priority = *priority, .timeout = std::chrono::nanoseconds(*timeout)};
  options.content_type = ContentType::Text;
  Tally tally{.topic = topic};
  const uint64_t start_ns = now_ns();
  std::string payload;
  for (uint64_t i = 0; i < most && !interrupt.asked() && payloads->next(payload); ++i) {
    if (*rate > 0) {
      const uint64_t due_ns =
          start_ns + static_cast<uint64_t>(static_cast<double>(i) * 1e9 / *rate);
      const uint64_t time_ns = now_ns();
      if (due_ns > time_ns && !interrupt.sleep(due_ns - time_ns)) break;
    }
    const auto sent = publisher->send_copy(payload, options);
    if (!sent) return exit_code(sent.error());
    count(tally, *sent, payload.size());
    if (sent->outcome == SendOutcome::NoReceiver && tally.sent_count == 0)
      break;  // It would be so for all.
  }
  const int status = finish(command, tally, *timeout);
  return interrupt.asked() ? kInterruptedStatus : status;
}

}  // namespace

const Verb& verb_pub() {
  static const Verb verb = {
      .name = "pub",
      .summary = "Publish a message, the lines of standard input, or a file",
      .detail =
          "Says how many inboxes have it; nobody there is an error (status 3), a lane that stays "
          "full is another "
          "(status 7). - sends each line of standard input as a message, @FILE a file as one "
          "message.",
      .access = Access::Attaches,
      .lists = false,
      .arguments = {{"TOPIC", "which topic", false, Names::Topic},
                    {"DATA", "a text, - or @FILE; without it: -", true}},
      .flags = {{"-n,--count", "N", "so many messages"},
                {"-r,--rate", "R", "so many a second"},
                {"-p,--priority",
                 "LANE",
                 "critical, high, normal, low or background",
                 {"critical", "high", "normal", "low", "background"}},
                {"-w,--wait-for-subscriber", "", "wait until somebody subscribes, for --timeout"},
                {"-t,--timeout", "TIME",
                 "how long a full lane, or nobody there, is waited for; 5s"}},
      .fields = fields_of(telling()),
      .examples = {"shmctl pub hello 'how do you do'", "seq 1000 | shmctl pub numbers -",
                   "shmctl pub image @photo.png",
                   "shmctl pub beat tick -n 100 -r 10 --wait-for-subscriber"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
