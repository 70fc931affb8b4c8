// One screen: is it there, is it well, what is on it, what to do next.
#include <algorithm>
#include <cstdio>
#include <ctime>

#include "shmctl/alarms.h"
#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/prose.h"
#include "shmctl/told_agent.h"
#include "shmctl/told_fabric.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kFixedLines = 14;  // Of the screen, beside the rows of the two tables.
constexpr std::size_t kRowsLeast = 3;

struct Picture {
  FabricView fabric;
  std::vector<NodeView> nodes;
  std::vector<AgentView> agents;  // Without observers.
  std::vector<TopicView> topics;
  std::vector<Alarm> alarms;
  std::size_t observer_count = 0;
};

Picture take_picture(const Command& command, const Inspector& inspector) {
  Picture picture;
  picture.fabric = inspector.fabric();
  picture.nodes = inspector.nodes();
  picture.agents = judged_agents(inspector);
  picture.observer_count =
      std::erase_if(picture.agents, [](const AgentView& a) { return a.observer; });
  picture.topics = inspector.topics();
  picture.alarms = find_alarms(command, picture.fabric, picture.agents, picture.nodes);
  return picture;
}

std::string age_text(const Picture& picture, bool utf8) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const uint64_t now_ns =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
  const uint64_t made = picture.fabric.create_time_ns;
  return duration_text(now_ns > made ? now_ns - made : 0, utf8);
}

std::string process_text(const Terminal& t, const ProcessView& process, bool answers) {
  const std::string pid = "pid " + std::to_string(process.pid);
  if (!process.alive) return toned(t, Tone::Bad, process.pid == 0 ? "none" : pid + " has ended");
  if (process.state == 'T') return toned(t, Tone::Bad, pid + " is stopped");
  return answers ? toned(t, Tone::Good, pid + " answers") : pid + " lives";
}

std::string pages_text(const NodeView& node) {
  std::string text = node.pages_got == "huge"          ? "huge pages"
                     : node.pages_got == "transparent" ? "transparent huge pages"
                                                       : "4 KiB pages";
  if (node.pages_asked != node.pages_got) text += " (asked: " + node.pages_asked + ")";
  return text;
}

void print_head(const Command& command, const Picture& p) {
  const Terminal& t = command.settings.terminal;
  const bool via_supervisor = p.fabric.read_via == "supervisor";
  const std::string state = via_supervisor ? p.fabric.state : "without supervisor";
  std::printf("%s  %s, %s old\n", toned(t, Tone::Bold, "fabric " + p.fabric.name).c_str(),
              toned(t, via_supervisor ? Tone::Good : Tone::Bad, state).c_str(),
              age_text(p, t.utf8).c_str());
  std::printf("  supervisor  %s; read through the %s\n",
              process_text(t, p.fabric.supervisor, via_supervisor).c_str(),
              p.fabric.read_via.c_str());
  std::printf("  keeper      %s\n", process_text(t, p.fabric.keeper, false).c_str());
  uint64_t used_bytes = 0;
  uint64_t chunk_bytes = 0;
  for (const NodeView& node : p.nodes) {
    for (const ClassView& k : node.classes) {
      used_bytes += uint64_t{k.stride_bytes} * (k.chunks_held + k.chunks_loaned);
      chunk_bytes += uint64_t{k.stride_bytes} * k.chunks_total;
    }
  }
  std::printf("  memory      %s on %zu node%s, %s; %s of chunks in use\n",
              bytes_text(p.fabric.total_bytes).c_str(), p.nodes.size(),
              p.nodes.size() == 1 ? "" : "s", p.nodes.empty() ? "" : pages_text(p.nodes[0]).c_str(),
              ratio_text(chunk_bytes == 0
                             ? 0
                             : static_cast<double>(used_bytes) / static_cast<double>(chunk_bytes))
                  .c_str());
  std::printf("  so far      %s attached, %s detached, %s died; %s messages recovered\n",
              count_text(static_cast<double>(p.fabric.attach_count)).c_str(),
              count_text(static_cast<double>(p.fabric.detach_count)).c_str(),
              count_text(static_cast<double>(p.fabric.death_count)).c_str(),
              count_text(static_cast<double>(p.fabric.recovered_messages)).c_str());
  if (p.fabric.dead_letters + p.fabric.waiting_letters > 0) {
    std::printf("  unhandled   %u dead letter%s, %u wait%s for a successor: %s\n", p.fabric.dead_letters,
                p.fabric.dead_letters == 1 ? "" : "s", p.fabric.waiting_letters,
                p.fabric.waiting_letters == 1 ? "s" : "", to_type(command, "dlq").c_str());
  }
  const std::vector<std::string> fabrics = Inspector::fabric_names();
  if (fabrics.size() > 1) {
    std::string names;
    for (const std::string& name : fabrics) {
      if (name != p.fabric.name) names += " " + name;
    }
    std::printf("  others     %s\n", fit(names, t.columns - 13, t.utf8).c_str());
  }
}

// The first `count` rows of a table, and a line that says how many there are more.
template <class View>
void print_top(const Command& command, const Telling<View>& telling, std::vector<View> views,
               std::size_t count, const char* verb, Tone (*tone)(const JsonValue&, const Field&)) {
  const std::size_t all = views.size();
  if (views.size() > count) views.resize(count);
  std::fputs(render_table(fields_of(telling), rows_of(telling, views), command.settings.terminal,
                          {false, tone})
                 .c_str(),
             stdout);
  if (all > count) std::printf("and %zu more: %s\n", all - count, to_type(command, verb).c_str());
}

// Those that somebody should look at come first.
void worst_first(std::vector<AgentView>& agents) {
  std::stable_sort(agents.begin(), agents.end(), [](const AgentView& a, const AgentView& b) {
    const bool a_bad = a.health >= Health::Lagging;
    const bool b_bad = b.health >= Health::Lagging;
    return a_bad != b_bad ? a_bad : a.waiting > b.waiting;
  });
}

void busiest_first(std::vector<TopicView>& topics) {
  std::stable_sort(topics.begin(), topics.end(), [](const TopicView& a, const TopicView& b) {
    return a.last_publish_ns.value_or(~uint64_t{0}) < b.last_publish_ns.value_or(~uint64_t{0});
  });
}

void print_alarms(const Command& command, const std::vector<Alarm>& alarms) {
  const Terminal& t = command.settings.terminal;
  for (std::size_t i = 0; i < alarms.size() && i < 4; ++i) {
    const Alarm& alarm = alarms[i];
    const std::string lines =
        wrapped(printable(alarm.subject + " " + alarm.evidence), t.columns, 2);
    std::printf("%s %s", toned(t, Tone::Bad, "!").c_str(), lines.substr(2).c_str());
    if (!alarm.fix.empty()) std::printf("  fix   %s\n", alarm.fix.c_str());
  }
  if (alarms.size() > 4)
    std::printf("and %zu alarms more: %s\n", alarms.size() - 4,
                to_type(command, "status --json").c_str());
}

void print_next(const Command& command, const Picture& p) {
  if (p.agents.empty() && p.topics.empty()) {
    std::printf("Nobody is attached. Try, in two terminals:\n  %s\n  %s\n",
                to_type(command, "sub hello").c_str(),
                to_type(command, "pub hello 'how do you do'").c_str());
    return;
  }
  const auto live = std::find_if(p.topics.begin(), p.topics.end(),
                                 [](const TopicView& t) { return !t.publishers.empty(); });
  std::string next = "next  " + to_type(command, "top");
  if (live != p.topics.end()) {
    // Left out rather than cut.
    const std::string tap = "   " + to_type(command, "tap " + printable(live->name));
    if (width_of(next + tap) <= command.settings.terminal.columns) next += tap;
  }
  std::printf("%s\n", next.c_str());
}

void print_screen(const Command& command, Picture picture) {
  print_head(command, picture);
  const std::size_t lines =
      command.settings.terminal.interactive ? command.settings.terminal.lines : 48;
  const std::size_t alarm_lines = std::min<std::size_t>(picture.alarms.size(), 4) * 2;
  const std::size_t room =
      lines > kFixedLines + alarm_lines ? lines - kFixedLines - alarm_lines : 0;
  const std::size_t rows = std::max(kRowsLeast, room / 2);
  worst_first(picture.agents);
  busiest_first(picture.topics);
  const bool agents = !picture.agents.empty();
  const bool topics = !picture.topics.empty();
  if (agents) {
    std::printf("\n");
    print_top(command, agent_row_telling(), picture.agents, topics ? rows : 2 * rows, "agents",
              health_tone);
  }
  if (topics) {
    std::printf("\n");
    print_top(command, topic_row_telling(), picture.topics, agents ? rows : 2 * rows, "topics",
              nullptr);
  }
  std::printf("\n");
  if (picture.observer_count > 0) {
    std::printf("%zu tool%s attached: %s\n", picture.observer_count,
                picture.observer_count == 1 ? " is" : "s are",
                to_type(command, "agents --all").c_str());
  }
  print_alarms(command, picture.alarms);
  print_next(command, picture);
}

int run(const Command& command) {
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  Picture picture = take_picture(command, *inspector);
  if (!command.settings.json()) {
    print_screen(command, std::move(picture));
    return 0;
  }
  JsonValue answer;
  answer["fabric"] = row_of(fabric_telling(), picture.fabric);
  answer["agents"] = rows_of(agent_row_telling(), picture.agents);
  answer["topics"] = rows_of(topic_row_telling(), picture.topics);
  answer["alarms"] = rows_of(alarm_telling(), picture.alarms);
  print_json(command, answer);
  return 0;
}

Fields answer_fields() {
  Fields fields;
  const auto add = [&fields](const Field& outer, const Fields& inner) {
    fields.push_back(outer);
    for (Field& part : parts_of(outer, inner)) fields.push_back(std::move(part));
  };
  add({"fabric", "", Kind::Object, Show::JsonOnly, "the fabric and who serves it"},
      fields_of(fabric_telling()));
  add({"agents", "", Kind::Rows, Show::JsonOnly, "agents, tools left out"},
      fields_of(agent_row_telling()));
  add({"topics", "", Kind::Rows, Show::JsonOnly, "topics"}, fields_of(topic_row_telling()));
  add({"alarms", "", Kind::Rows, Show::JsonOnly, "what is wrong now"}, fields_of(alarm_telling()));
  return fields;
}

}  // namespace

const Verb& verb_status() {
  static const Verb verb = {
      .name = "status",
      .summary = "One screen: supervisor, agents, topics, alarms, what to do next",
      .detail =
          "What shmctl does without a verb. Works with the supervisor dead or hung: the keeper "
          "hands out the "
          "memory, read-only. An alarm bears its evidence and the command that mends it.",
      .access = Access::Reads,
      .lists = false,
      .arguments = {},
      .flags = {{"--watch", "TIME", "again and again, every 2s or 500ms"}},
      .fields = answer_fields(),
      .examples = {"shmctl", "shmctl status --json", "shmctl --fabric test status"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
