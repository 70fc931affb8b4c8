// Everything known about one thing. What is printed for a person is the same telling that JSON has,
// as "key  value" lines, then tables of what lies inside.
#include <algorithm>
#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_agent.h"
#include "shmctl/told_fabric.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

// "oldest_wait_ns" reads "oldest wait": the value bears its unit.
std::string label_of(const std::string& key) {
  std::string label = key.ends_with("_ns") ? key.substr(0, key.size() - 3) : key;
  std::replace(label.begin(), label.end(), '_', ' ');
  return label;
}

void print_line(const Command& command, const std::string& label, const std::string& text) {
  const Terminal& t = command.settings.terminal;
  constexpr std::size_t kLabelWidth = 20;
  std::string padded = fit(label, kLabelWidth - 2, t.utf8);
  padded.append(kLabelWidth - width_of(padded), ' ');
  std::printf("  %s%s\n", toned(t, Tone::Faint, padded).c_str(),
              fit(printable(text), t.columns - kLabelWidth - 2, t.utf8).c_str());
}

// What can be typed next; left out rather than cut.
void print_next(const Command& command, const std::string& rest) {
  const std::string text = "next  " + to_type(command, rest);
  if (width_of(text) <= command.settings.terminal.columns) std::printf("\n%s\n", text.c_str());
}

// The scalar fields of `row`, a line each; nulls and empty texts are left out.
void print_scalars(const Command& command, const Fields& fields, const JsonValue& row) {
  for (const Field& field : fields) {
    const auto found = row.find(field.key);
    if (found == row.end() || found->is_null() || field.kind == Kind::Rows ||
        field.kind == Kind::Object)
      continue;
    if (field.key == "corrupt" && *found == 0) continue;
    const std::string text = cell_text(*found, field.kind, command.settings.terminal.utf8);
    if (!text.empty()) print_line(command, label_of(field.key), text);
  }
}

template <class View>
void print_part(const Command& command, const char* title, const Telling<View>& telling,
                const std::vector<View>& parts, std::string_view without = "") {
  if (parts.empty()) return;
  Fields fields = fields_of(telling);
  std::erase_if(fields, [&](const Field& field) { return field.key == without; });
  std::printf("\n%s\n", toned(command.settings.terminal, Tone::Bold, title).c_str());
  std::fputs(render_table(fields, rows_of(telling, parts), command.settings.terminal).c_str(),
             stdout);
}

template <class View>
bool printed_json(const Command& command, const char* kind, const Telling<View>& telling,
                  const View& view) {
  if (!command.settings.json()) return false;
  JsonValue answer;
  answer["kind"] = kind;
  answer[kind] = row_of(telling, view);
  print_json(command, answer);
  return true;
}

void print_title(const Command& command, const std::string& kind, const std::string& name) {
  std::printf("%s\n",
              toned(command.settings.terminal, Tone::Bold, kind + " " + printable(name)).c_str());
}

int show_agent(const Command& command, const Inspector& inspector, const std::string& name) {
  auto agent = inspector.agent(name);
  if (!agent) {
    return exit_code(with_nearest(agent.error(), name, agent_names(inspector),
                                  to_type(command, "agents --all")));
  }
  std::vector<AgentView> judged = {std::move(*agent)};
  judge_again(inspector, judged);
  const AgentView& view = judged.front();
  if (printed_json(command, "agent", agent_full_telling(), view)) return 0;
  print_title(command, "agent", view.name);
  print_scalars(command, fields_of(agent_full_telling()), row_of(agent_full_telling(), view));
  print_part(command, "lanes", lane_telling(), view.lanes);
  print_part(command, "publishes", publisher_telling(), view.publishers, "agent");
  print_part(command, "subscribes to", subscription_telling(), view.subscriptions, "agent");
  print_next(command, "show ring " + printable(view.name) + "/normal");
  return 0;
}

int show_topic(const Command& command, const Inspector& inspector, const std::string& name) {
  auto topic = inspector.topic(name);
  if (!topic)
    return exit_code(
        with_nearest(topic.error(), name, topic_names(inspector), to_type(command, "topics")));
  if (printed_json(command, "topic", topic_full_telling(), *topic)) return 0;
  print_title(command, topic->is_pattern ? "pattern" : "topic", topic->name);
  print_scalars(command, fields_of(topic_full_telling()), row_of(topic_full_telling(), *topic));
  print_part(command, "publishers", publisher_telling(), topic->publishers, "topic");
  print_part(command, "subscribers", subscription_telling(), topic->subscribers);
  if (topic->subscribers.empty())
    std::printf("\nNobody subscribes: %s\n", to_type(command, "sub " + topic->name).c_str());
  return 0;
}

int list_rings(const Command& command, const Inspector& inspector) {
  const std::vector<RingView> rings = inspector.rings();
  if (command.settings.json()) {
    JsonValue answer;
    answer["kind"] = "rings";
    answer["rings"] = rows_of(ring_row_telling(), rings);
    print_json(command, answer);
  } else if (rings.empty()) {
    std::printf(
        "No channel and no ring of its own is in use. An agent's lanes are rings too:\n  %s\n",
        to_type(command, "show ring AGENT/normal").c_str());
  } else {
    std::fputs(
        render_table(fields_of(ring_row_telling()), rows_of(ring_row_telling(), rings),
                     command.settings.terminal, {command.settings.format == Format::Wide, nullptr})
            .c_str(),
        stdout);
  }
  return 0;
}

Error with_nearest_ring(Error error, const Inspector& inspector, const std::string& label,
                        const Command& command) {
  std::vector<std::string> names;
  for (const RingView& ring : inspector.rings()) names.push_back(ring.label);
  for (const std::string& agent : agent_names(inspector)) names.push_back(agent + "/normal");
  return with_nearest(std::move(error), label, names, to_type(command, "show ring"));
}

int show_ring(const Command& command, const Inspector& inspector, const std::string& label) {
  auto ring = inspector.ring(label);
  if (!ring) return exit_code(with_nearest_ring(ring.error(), inspector, label, command));
  if (printed_json(command, "ring", ring_full_telling(), *ring)) return 0;
  print_title(command, ring->kind, ring->label);
  print_scalars(command, fields_of(ring_full_telling()), row_of(ring_full_telling(), *ring));
  std::vector<SlotView> shown = ring->slots;
  const bool all = command.has("all");
  // A large ring is mostly empty slots; what waits or is in hand is what is looked for.
  if (!all)
    std::erase_if(shown,
                  [](const SlotView& slot) { return slot.phase == "empty" && !slot.corrupt; });
  print_part(command, "slots", slot_telling(), shown);
  if (!all && shown.size() < ring->slots.size()) {
    std::printf("\n%zu empty slots: --all shows them\n", ring->slots.size() - shown.size());
  }
  const auto full =
      std::find_if(shown.begin(), shown.end(), [](const SlotView& s) { return !s.chunk.empty(); });
  if (full != shown.end()) print_next(command, "show chunk " + full->chunk);
  return 0;
}

int show_chunk(const Command& command, const Inspector& inspector, const std::string& label) {
  auto chunk = inspector.chunk(label);
  if (!chunk) {
    Error error = chunk.error();
    if (error.fix.empty()) error.fix = to_type(command, "segments") + " says how many there are";
    return exit_code(error);
  }
  if (printed_json(command, "chunk", chunk_telling(), *chunk)) return 0;
  print_title(command, "chunk", chunk->label);
  print_scalars(command, fields_of(chunk_telling()), row_of(chunk_telling(), *chunk));
  if (chunk->payload_start.empty()) return 0;
  const std::string text(chunk->payload_start.begin(), chunk->payload_start.end());
  print_line(command, "as text", text);
  return 0;
}

int run(const Command& command) {
  const std::string& kind = command.arguments[0];
  if (command.arguments.size() < 2 && kind != "ring") {
    return exit_code(usage_error("show " + kind + " needs to know which",
                                 to_type(command, "show " + kind + " NAME")));
  }
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  if (kind == "agent") return show_agent(command, *inspector, command.arguments[1]);
  if (kind == "topic") return show_topic(command, *inspector, command.arguments[1]);
  if (kind == "chunk") return show_chunk(command, *inspector, command.arguments[1]);
  if (command.arguments.size() < 2) return list_rings(command, *inspector);
  return show_ring(command, *inspector, command.arguments[1]);
}

Fields answer_fields() {
  Fields fields = {{"kind", "", Kind::Text, Show::JsonOnly, "which of the members below there is"}};
  const auto add = [&fields](const Field& outer, const Fields& inner) {
    fields.push_back(outer);
    for (Field& part : parts_of(outer, inner)) fields.push_back(std::move(part));
  };
  add({"agent", "", Kind::Object, Show::JsonOnly, "of show agent", true},
      fields_of(agent_full_telling()));
  add({"topic", "", Kind::Object, Show::JsonOnly, "of show topic", true},
      fields_of(topic_full_telling()));
  add({"ring", "", Kind::Object, Show::JsonOnly, "of show ring X", true},
      fields_of(ring_full_telling()));
  add({"rings", "", Kind::Rows, Show::JsonOnly, "of show ring", true},
      fields_of(ring_row_telling()));
  add({"chunk", "", Kind::Object, Show::JsonOnly, "of show chunk", true},
      fields_of(chunk_telling()));
  return fields;
}

}  // namespace

const Verb& verb_show() {
  static const Verb verb = {
      .name = "show",
      .summary =
          "Everything known about one agent, topic, ring or chunk, down to the words in memory",
      .detail =
          "A ring is an agent's lane (planner/normal; critical, high, normal, low, background), a "
          "ring's number or "
          "a channel's name; without X all rings of their own and channels. A chunk is "
          "node/slab/chunk, as slots "
          "name it. Words stand decoded and raw.",
      .access = Access::Reads,
      .lists = false,
      .arguments = {{"KIND",
                     "agent, topic, ring or chunk",
                     false,
                     Names::Choice,
                     {"agent", "topic", "ring", "chunk"}},
                    {"X", "its name", true, Names::Agent}},
      .flags = {{"-a,--all", "", "ring: the empty slots too"}},
      .fields = answer_fields(),
      .examples = {"shmctl show agent planner", "shmctl show topic agent.planner.task",
                   "shmctl show ring planner/normal", "shmctl show chunk 0/12/3"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
