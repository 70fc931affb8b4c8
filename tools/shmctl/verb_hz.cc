// Rates from two readings of the publishers' counters: nothing is subscribed, nobody is slowed.
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "ripstop/agent.h"
#include "shmctl/door.h"
#include "shmctl/interrupt.h"
#include "shmctl/listing.h"
#include "shmctl/told.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

struct Rate {
  std::string topic;
  std::string agent;  // "" : all publishers together.
  double seconds = 0;
  double messages_per_s = 0;
  double bytes_per_s = 0;
  double deliveries_per_s = 0;
  uint64_t full_count = 0;
  uint64_t none_count = 0;
};

const Telling<Rate>& telling() {
  static const Telling<Rate> list = {
      {{"topic", "TOPIC", Kind::Text, Show::Table, "the topic; of all together, what was asked for"},
       [](const Rate& r) { return r.topic; }},
      {{"agent", "AGENT", Kind::Text, Show::Table, "who publishes; empty: all together"},
       [](const Rate& r) { return r.agent; }},
      {{"messages_per_s", "MESSAGES/s", Kind::Rate, Show::Table,
        "sends that reached a receiver, a second"},
       [](const Rate& r) { return r.messages_per_s; }},
      {{"bytes_per_s", "BYTES/s", Kind::Rate, Show::Table, "their payload, a second"},
       [](const Rate& r) { return r.bytes_per_s; }},
      {{"deliveries_per_s", "DELIVERED/s", Kind::Rate, Show::Table, "receivers reached, a second"},
       [](const Rate& r) { return r.deliveries_per_s; }},
      {{"full_count", "FULL", Kind::Count, Show::Table,
        "receivers not reached for want of room, meanwhile"},
       [](const Rate& r) { return r.full_count; }},
      {{"none_count", "NONE", Kind::Count, Show::Table, "sends while nobody subscribed, meanwhile"},
       [](const Rate& r) { return r.none_count; }},
      {{"seconds", "", Kind::Rate, Show::JsonOnly, "between the two readings"},
       [](const Rate& r) { return r.seconds; }},
  };
  return list;
}

// A counter that went back belongs to a new life of its row: it began at 0.
uint64_t grown(uint64_t now, uint64_t before) {
  return now >= before ? now - before : now;
}

std::vector<Rate> rates_between(const TopicView& before, const TopicView& now, double seconds) {
  std::vector<Rate> rates = {{.topic = now.name, .agent = "", .seconds = seconds}};
  for (const PublisherView& publisher : now.publishers) {
    const auto earlier = std::find_if(
        before.publishers.begin(), before.publishers.end(), [&](const PublisherView& p) {
          return p.agent_id == publisher.agent_id && p.agent == publisher.agent && p.topic_id == publisher.topic_id;
        });
    const PublisherView base = earlier == before.publishers.end() ? PublisherView{} : *earlier;
    Rate rate{.topic = publisher.topic, .agent = publisher.agent, .seconds = seconds};
    rate.messages_per_s =
        static_cast<double>(grown(publisher.message_count, base.message_count)) / seconds;
    rate.bytes_per_s = static_cast<double>(grown(publisher.byte_count, base.byte_count)) / seconds;
    rate.deliveries_per_s =
        static_cast<double>(grown(publisher.delivery_count, base.delivery_count)) / seconds;
    rate.full_count = grown(publisher.full_count, base.full_count);
    rate.none_count = grown(publisher.none_count, base.none_count);
    rates[0].messages_per_s += rate.messages_per_s;
    rates[0].bytes_per_s += rate.bytes_per_s;
    rates[0].deliveries_per_s += rate.deliveries_per_s;
    rates[0].full_count += rate.full_count;
    rates[0].none_count += rate.none_count;
    rates.push_back(std::move(rate));
  }
  return rates;
}

void print_rates(const Command& command, const std::vector<Rate>& rates) {
  if (command.settings.format == Format::Json) {
    JsonValue answer;
    answer["rows"] = rows_of(telling(), rates);
    print_json(command, answer);
    return;
  }
  if (command.settings.json()) {
    for (const Rate& rate : rates) print_json(command, row_of(telling(), rate));
    return;
  }
  const Rate& all = rates[0];
  std::printf(
      "%s msg/s   %s/s   %s delivered/s   %zu publisher%s%s%s\n",
      count_text(all.messages_per_s).c_str(),
      bytes_text(static_cast<uint64_t>(all.bytes_per_s)).c_str(),
      count_text(all.deliveries_per_s).c_str(), rates.size() - 1, rates.size() == 2 ? "" : "s",
      all.full_count > 0 ? ("   full " + count_text(static_cast<double>(all.full_count))).c_str()
                         : "",
      all.none_count > 0
          ? ("   to nobody " + count_text(static_cast<double>(all.none_count)) + " in " +
             duration_text(static_cast<uint64_t>(all.seconds * 1e9),
                           command.settings.terminal.utf8))
                .c_str()
          : "");
  if (command.settings.format == Format::Wide) {
    const std::vector<Rate> each(rates.begin() + 1, rates.end());
    std::fputs(
        render_table(fields_of(telling()), rows_of(telling(), each), command.settings.terminal)
            .c_str(),
        stdout);
  }
}

// What is published to all topics that a pattern names, as if it were one.
TopicView seen_together(const Inspector& inspector, const std::string& pattern) {
  TopicView all;
  all.name = pattern;
  for (TopicView& topic : inspector.topics()) {
    if (!pattern_matches(pattern, topic.name)) continue;
    std::move(topic.publishers.begin(), topic.publishers.end(), std::back_inserter(all.publishers));
  }
  return all;
}

Result<TopicView> seen(const Inspector& inspector, const std::string& name) {
  if (check_topic(name) || !check_pattern(name)) return inspector.topic(name);
  return seen_together(inspector, name);
}

int run(const Command& command) {
  const auto interval = command.duration("interval", 1'000'000'000);
  const auto count = command.number("count", 0, 1, 1'000'000'000);
  if (!interval) return exit_code(interval.error());
  if (!count) return exit_code(count.error());
  if (*interval < 10'000'000) return exit_code(usage_error("--interval takes 10ms or more"));
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  const std::string& name = command.arguments[0];
  auto before = seen(*inspector, name);
  if (!before)
    return exit_code(
        with_nearest(before.error(), name, topic_names(*inspector), to_type(command, "topics")));

  Interrupt interrupt;
  uint64_t before_ns = now_ns();
  for (uint64_t i = 0; *count == 0 || i < *count; ++i) {
    if (!interrupt.sleep(*interval)) return kInterruptedStatus;
    auto now = seen(*inspector, name);
    if (!now) return exit_code(now.error());
    const uint64_t time_ns = now_ns();
    print_rates(command,
                rates_between(*before, *now, static_cast<double>(time_ns - before_ns) / 1e9));
    std::fflush(stdout);
    before = std::move(now);
    before_ns = time_ns;
  }
  return 0;
}

Fields answer_fields() {
  const Field rows = {"rows", "", Kind::Rows, Show::JsonOnly, "all publishers together, then each"};
  Fields fields = {rows};
  for (Field& part : parts_of(rows, fields_of(telling()))) fields.push_back(std::move(part));
  return fields;
}

}  // namespace

const Verb& verb_hz() {
  static const Verb verb = {
      .name = "hz",
      .summary = "How fast a topic is published: messages and bytes a second",
      .detail =
          "Read from the publishers' counters: nothing is subscribed. One line an interval until "
          "^C; -o wide has "
          "a line for each publisher.",
      .access = Access::Reads,
      .lists = false,
      .arguments = {{"TOPIC", "which topic, or a pattern: all topics that it names", false, Names::Topic}},
      .flags = {{"-n,--count", "N", "end after so many lines"},
                {"-i,--interval", "TIME", "of one line; 1s"}},
      .fields = answer_fields(),
      .examples = {"shmctl hz agent.planner.task", "shmctl hz 'agent.**' -o wide", "shmctl hz agent.planner.task -n 1 --json"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
