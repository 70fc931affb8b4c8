// The table, and the one way from JSON to Config and back. A nested key is written with a dot in the
// table ("lanes.normal") and as an object in the file. Each row reads and writes its field through the
// same variant of member pointers, so that a new key is one row and one field.
#include "supervisor/config.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <system_error>
#include <variant>

#include "base/nearest_name.h"
#include "control/topic_grammar.h"
#include "layout/chunk_header.h"
#include "layout/words.h"

namespace ripstop::supervisor {

namespace {

// Keeps the order in which keys were written.
using Json = nlohmann::ordered_json;

struct Lane {
  std::size_t index;
};

// Also of text that is not UTF-8: what comes by --set need not be JSON, and an error has to name it.
std::string text_of(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

using Field = std::variant<uint64_t Config::*, bool Config::*, std::string Config::*, LogLevel Config::*,
                           Hugepages Config::*, Numa Config::*, OnDeath Config::*, std::vector<uint64_t> Config::*,
                           std::vector<std::string> Config::*,
                           std::vector<ChunkClass> Config::*, Lane>;

struct Key {
  const char* name;
  Field field;
  const char* default_json;
  const char* unit;
  uint64_t min;
  uint64_t max;
  const char* choices;  // Space-separated, or null.
  const char* help;
};

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;
constexpr uint64_t kLaneSlotsMin = 4;
constexpr uint64_t kLaneSlotsMax = 65536;

const Key kKeys[] = {
    {"fabric", &Config::fabric, R"("default")", "", 1, 64, nullptr,
     "Its name; several fabrics run side by side."},
    {"socket_group", &Config::socket_group, R"("")", "", 0, 64, nullptr,
     "Unix group whose members may attach; they can write each other's messages. Empty: this user alone."},
    {"allow_uids", &Config::allow_uids, "[]", "", 0, 4294967294u, nullptr,
     "Further users who may attach, by number."},
    {"log_level", &Config::log_level, R"("info")", "", 0, 0, "error warning info debug", "What is logged to standard error."},
    {"hugepages", &Config::hugepages, R"("try")", "", 0, 0, "off try require",
     "2 MiB pages for the messages: never, if there are any, or refuse to start without."},
    {"reserve_hugepages", &Config::reserve_hugepages, "true", "", 0, 0, nullptr,
     "As root: add missing pages to the kernel's pool (vm.nr_hugepages), give them back at the end."},
    {"numa", &Config::numa, R"("auto")", "", 0, 0, "auto off",
     "auto: one segment per NUMA node, bound to it. off: one segment, wherever pages are."},
    {"keeper", &Config::keeper, "true", "", 0, 0, nullptr,
     "A small process that holds the memory, so that it outlives a killed supervisor."},
    {"drain_timeout_ms", &Config::drain_timeout_ms, "500", "ms", 0, 4000, nullptr,
     "At the end: how long agents have to detach by themselves."},
    {"soft_lease_ms", &Config::soft_lease_ms, "0", "ms", 0, 86'400'000, nullptr,
     "A message that its agent has in hand for so long goes on in a copy, and its late release is refused. 0: none does."},
    {"soft_lease_requeues", &Config::soft_lease_requeues, "1", "times", 0, layout::kAttemptMax, nullptr,
     "How often it comes to its agent again before it is a dead letter; what a death or a replay added counts."},
    {"hard_lease_ms", &Config::hard_lease_ms, "0", "ms", 0, 86'400'000, nullptr,
     "An agent that holds messages and neither takes nor releases one for so long is killed. 0: nobody is."},
    {"cpu_affinity", &Config::cpu_affinity, "[]", "", 0, 1023, nullptr,
     "Processors the supervisor may run on. Empty: all."},
    {"agents", &Config::agents, "250", "agents", 1, layout::kAgentIdMax, nullptr,
     "Attached at the same time; each takes some 23 KiB."},
    {"topics", &Config::topics, "1024", "topics", 1, kMiB, nullptr, "Names of topics, over the fabric's life."},
    {"strict_topics", &Config::strict_topics, "false", "", 0, 0, nullptr,
     "Refuse topics that are not declared, with the nearest names. false: a topic exists once it is named."},
    {"declare_topics", &Config::declare_topics, "[]", "", 0, kTopicBytesMax, nullptr,
     "Topics that exist from the start, and patterns (agent.*.plan, jobs.**) of what may be named."},
    {"subscriptions", &Config::subscriptions, "100000", "subscriptions", 1, 16 * kMiB, nullptr, "At the same time."},
    {"rings", &Config::rings, "1024", "rings", 1, kMiB, nullptr,
     "Channels, and subscriptions with a ring of their own."},
    {"ring_arena_bytes", &Config::ring_arena_bytes, R"("4MiB")", "bytes", 64 * kKiB, 64 * kGiB, nullptr,
     "Memory for them, divided among the nodes."},
    {"route_arena_bytes", &Config::route_arena_bytes, R"("6MiB")", "bytes", 64 * kKiB, kGiB, nullptr,
     "Memory for routes: 32 bytes for a subscription, some 300 more for each pattern; change needs room too."},
    {"successor_grace_ms", &Config::successor_grace_ms, "5000", "ms", 0, 3'600'000, nullptr,
     "How long an agent's messages, and its publishers' sequences, wait for another of its name. 0: for none."},
    {"on_death", &Config::on_death, R"("dead_letter")", "", 0, 0, "dead_letter release",
     "What becomes of messages that a dead agent had not handled and no successor took."},
    {"dead_letters", &Config::dead_letters, "1024", "messages", 0, kMiB, nullptr,
     "Kept at the same time, those that wait for a successor too; beyond that the oldest is released."},
    {"dead_letter_share", &Config::dead_letter_share, "25", "%", 1, 100, nullptr,
     "Of a class's chunks, at most, may be kept so."},
    {"slab_bytes", &Config::slab_bytes, R"("512KiB")", "bytes", 4 * kKiB, 2 * kMiB, nullptr,
     "A slab belongs to one agent at a time: this much of a class, but 1 to 64 chunks."},
    {"lanes.critical", Lane{0}, "32", "slots", kLaneSlotsMin, kLaneSlotsMax, nullptr,
     "Messages of this priority an inbox holds. A power of two."},
    {"lanes.high", Lane{1}, "64", "slots", kLaneSlotsMin, kLaneSlotsMax, nullptr, "As above."},
    {"lanes.normal", Lane{2}, "128", "slots", kLaneSlotsMin, kLaneSlotsMax, nullptr, "As above."},
    {"lanes.low", Lane{3}, "64", "slots", kLaneSlotsMin, kLaneSlotsMax, nullptr, "As above."},
    {"lanes.background", Lane{4}, "32", "slots", kLaneSlotsMin, kLaneSlotsMax, nullptr, "As above."},
    {"classes", &Config::classes,
     R"([{"payload_bytes": 256, "chunk_count": 12288}, {"payload_bytes": "1KiB", "chunk_count": 5120},
         {"payload_bytes": "4KiB", "chunk_count": 1536}, {"payload_bytes": "16KiB", "chunk_count": 496},
         {"payload_bytes": "64KiB", "chunk_count": 112}, {"payload_bytes": "256KiB", "chunk_count": 18},
         {"payload_bytes": "1MiB", "chunk_count": 7}])",
     "", 1, layout::kClassCountMax, nullptr,
     "Sizes of messages: the payload of a chunk, and how many chunks the fabric has of it. Ascending."},
};

// --- where an error is ------------------------------------------------------------------------------

struct Source {
  std::string_view text;
  std::string_view file;

  std::size_t line_of_offset(std::size_t offset) const {
    return 1 + static_cast<std::size_t>(
                   std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size())), '\n'));
  }
  // "file:line" of the key's last part, or the file alone when it cannot be found.
  std::string place_of(std::string_view key) const {
    const std::size_t dot = key.rfind('.');
    const std::string quoted = "\"" + std::string(dot == std::string_view::npos ? key : key.substr(dot + 1)) + "\"";
    const std::size_t at = text.find(quoted);
    if (at == std::string_view::npos) return std::string(file);
    return std::string(file) + ":" + std::to_string(line_of_offset(at));
  }
};

Error value_error(const Source& source, std::string_view key, const Json& value, std::string allowed) {
  return {Errc::ConfigValue, 0, source.place_of(key) + ": \"" + std::string(key) + "\" cannot be " + text_of(value),
          std::move(allowed), "correct the value, or leave the key out for its default"};
}

Error unknown_key(const Source& source, const std::string& name) {
  const Key* nearest = std::min_element(std::begin(kKeys), std::end(kKeys), [&](const Key& a, const Key& b) {
    return base::edit_distance(name, a.name) < base::edit_distance(name, b.name);
  });
  return {Errc::ConfigUnknownKey, 0, source.place_of(name) + ": there is no key \"" + name + "\"",
          "the nearest one is \"" + std::string(nearest->name) + "\"", "ripstopd --print-config     lists all keys"};
}

// --- values -----------------------------------------------------------------------------------------

// 4096, "4096", "4KiB", "1.5MiB" is not one: whole numbers of bytes only.
std::optional<uint64_t> parse_bytes(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (!value.is_string()) return std::nullopt;
  const std::string text = value.get<std::string>();
  uint64_t number = 0;
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9' && digits < 12) {
    number = number * 10 + static_cast<uint64_t>(text[digits++] - '0');
  }
  if (digits == 0) return std::nullopt;
  const std::string unit = text.substr(digits);
  if (unit.empty()) return number;
  if (unit == "KiB") return number * kKiB;
  if (unit == "MiB") return number * kMiB;
  if (unit == "GiB") return number * kGiB;
  return std::nullopt;
}

Json bytes_json(uint64_t bytes) {
  if (bytes != 0 && bytes % kGiB == 0) return std::to_string(bytes / kGiB) + "GiB";
  if (bytes != 0 && bytes % kMiB == 0) return std::to_string(bytes / kMiB) + "MiB";
  if (bytes != 0 && bytes % kKiB == 0) return std::to_string(bytes / kKiB) + "KiB";
  return bytes;
}

bool in_bytes(const Key& key) { return std::string_view(key.unit) == "bytes"; }

std::string range_text(const Key& key) {
  const std::string unit = *key.unit == '\0' ? "" : std::string(" ") + key.unit;
  return std::to_string(key.min) + " to " + std::to_string(key.max) + unit +
         (in_bytes(key) ? ", as a number or as \"64KiB\", \"4MiB\"" : "");
}

std::vector<std::string> choices_of(const Key& key) {
  std::istringstream in(key.choices);
  return {std::istream_iterator<std::string>(in), {}};
}

// Stores what `value` says, or tells what would be allowed.
struct Assign {
  Config& config;
  const Key& key;
  const Json& value;

  using Trouble = std::optional<std::string>;

  Trouble number(uint64_t& to) const {
    const auto got = in_bytes(key) ? parse_bytes(value)
                     : value.is_number_unsigned() ? std::optional(value.get<uint64_t>()) : std::nullopt;
    if (!got || *got < key.min || *got > key.max) return "allowed are " + range_text(key);
    to = *got;
    return std::nullopt;
  }
  template <class E>
  Trouble choice(E& to) const {
    const auto choices = choices_of(key);
    const auto found = value.is_string() ? std::find(choices.begin(), choices.end(), value.get<std::string>()) : choices.end();
    if (found == choices.end()) {
      std::string all;
      for (const auto& each : choices) all += (all.empty() ? "\"" : ", \"") + each + "\"";
      return "allowed are " + all;
    }
    to = static_cast<E>(found - choices.begin());
    return std::nullopt;
  }

  Trouble operator()(uint64_t Config::*field) const { return number(config.*field); }
  Trouble operator()(bool Config::*field) const {
    if (!value.is_boolean()) return "allowed are true, false";
    config.*field = value.get<bool>();
    return std::nullopt;
  }
  Trouble operator()(std::string Config::*field) const {
    if (!value.is_string() || value.get<std::string>().size() > key.max) return "allowed is a text of at most 64 bytes";
    if (field == &Config::fabric) {
      if (auto named = control::check_name(value.get<std::string>()); !named) return named.error().why;
    }
    config.*field = value.get<std::string>();
    return std::nullopt;
  }
  Trouble operator()(LogLevel Config::*field) const { return choice(config.*field); }
  Trouble operator()(Hugepages Config::*field) const { return choice(config.*field); }
  Trouble operator()(Numa Config::*field) const { return choice(config.*field); }
  Trouble operator()(OnDeath Config::*field) const { return choice(config.*field); }
  Trouble operator()(std::vector<uint64_t> Config::*field) const {
    std::vector<uint64_t> numbers;
    const bool is_list = value.is_array();
    for (const Json& each : is_list ? value : Json::array()) {
      if (!each.is_number_unsigned() || each.get<uint64_t>() > key.max) return "allowed is a list of numbers, 0 to " + std::to_string(key.max);
      numbers.push_back(each.get<uint64_t>());
    }
    if (!is_list) return "allowed is a list of numbers: [1, 2]";
    config.*field = std::move(numbers);
    return std::nullopt;
  }
  Trouble operator()(std::vector<std::string> Config::*field) const {
    if (!value.is_array()) return R"(allowed is a list of topics and patterns: ["agent.*.plan"])";
    std::vector<std::string> names;
    for (const Json& each : value) {
      if (!each.is_string()) return R"(allowed is a list of topics and patterns: ["agent.*.plan"])";
      names.push_back(each.get<std::string>());
      if (auto checked = control::check_pattern(names.back()); !checked) return checked.error().what + ": " + checked.error().why;
    }
    config.*field = std::move(names);
    return std::nullopt;
  }
  Trouble operator()(Lane lane) const {
    uint64_t slots = 0;
    if (auto trouble = number(slots)) return trouble;
    if (!std::has_single_bit(slots)) return "allowed are powers of two, " + range_text(key);
    config.lanes[lane.index] = slots;
    return std::nullopt;
  }
  Trouble operator()(std::vector<ChunkClass> Config::*field) const {
    constexpr uint64_t kPayloadMin = sizeof(layout::ReceiverNames);
    if (!value.is_array() || value.empty() || value.size() > layout::kClassCountMax) {
      return "allowed is a list of 1 to " + std::to_string(layout::kClassCountMax) + " classes";
    }
    std::vector<ChunkClass> classes;
    for (const Json& each : value) {
      if (!each.is_object() || each.size() != 2 || !each.contains("payload_bytes") || !each.contains("chunk_count")) {
        return R"(a class is {"payload_bytes": "4KiB", "chunk_count": 2048})";
      }
      const auto payload = parse_bytes(each["payload_bytes"]);
      if (!payload || *payload < kPayloadMin || *payload > kGiB || *payload % 64 != 0) {
        return "a class's payload_bytes is " + std::to_string(kPayloadMin) + " bytes to 1GiB, a multiple of 64";
      }
      if (!classes.empty() && *payload <= classes.back().payload_bytes) return "classes ascend by payload_bytes";
      const Json& count = each["chunk_count"];
      if (!count.is_number_unsigned() || count.get<uint64_t>() == 0 || count.get<uint64_t>() > (uint64_t{1} << 24)) {
        return "a class's chunk_count is 1 to 16777216";
      }
      classes.push_back({*payload, count.get<uint64_t>()});
    }
    config.*field = std::move(classes);
    return std::nullopt;
  }
};

struct Show {
  const Config& config;
  const Key& key;

  Json operator()(uint64_t Config::*field) const { return in_bytes(key) ? bytes_json(config.*field) : Json(config.*field); }
  Json operator()(bool Config::*field) const { return config.*field; }
  Json operator()(std::string Config::*field) const { return config.*field; }
  Json operator()(LogLevel Config::*field) const { return choices_of(key)[static_cast<std::size_t>(config.*field)]; }
  Json operator()(Hugepages Config::*field) const { return choices_of(key)[static_cast<std::size_t>(config.*field)]; }
  Json operator()(Numa Config::*field) const { return choices_of(key)[static_cast<std::size_t>(config.*field)]; }
  Json operator()(OnDeath Config::*field) const { return choices_of(key)[static_cast<std::size_t>(config.*field)]; }
  Json operator()(std::vector<uint64_t> Config::*field) const { return config.*field; }
  Json operator()(std::vector<std::string> Config::*field) const { return config.*field; }
  Json operator()(Lane lane) const { return config.lanes[lane.index]; }
  Json operator()(std::vector<ChunkClass> Config::*field) const {
    Json list = Json::array();
    for (const ChunkClass& each : config.*field) {
      list.push_back({{"payload_bytes", bytes_json(each.payload_bytes)}, {"chunk_count", each.chunk_count}});
    }
    return list;
  }
};

const Key* find_key(const std::string& name) {
  const auto found = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& key) { return key.name == name; });
  return found == std::end(kKeys) ? nullptr : found;
}

Result<void> assign(Config& config, const Source& source, const std::string& name, const Json& value) {
  const Key* key = find_key(name);
  if (key == nullptr) return unknown_key(source, name);
  if (auto trouble = std::visit(Assign{config, *key, value}, key->field)) {
    return value_error(source, name, value, std::move(*trouble));
  }
  return {};
}

// A line of a comment, wrapped so that it stays readable.
std::string bounds_text(const Key& key) {
  if (key.choices != nullptr) return std::string(" (") + key.choices + ")";
  if (*key.unit != '\0') return " (" + std::to_string(key.min) + " to " + std::to_string(key.max) + " " + key.unit + ")";
  return "";
}

Json schema_of(const Key& key) {
  Json schema;
  const Json number = {{"type", "integer"}, {"minimum", key.min}, {"maximum", key.max}};
  const Json size = {{"type", "string"}, {"pattern", "^[0-9]+(KiB|MiB|GiB)?$"}};
  if (key.choices != nullptr) schema = {{"enum", choices_of(key)}};
  else if (std::holds_alternative<bool Config::*>(key.field)) schema = {{"type", "boolean"}};
  else if (std::holds_alternative<std::string Config::*>(key.field)) schema = {{"type", "string"}, {"maxLength", key.max}};
  else if (std::holds_alternative<std::vector<uint64_t> Config::*>(key.field)) schema = {{"type", "array"}, {"items", number}};
  else if (std::holds_alternative<std::vector<std::string> Config::*>(key.field)) {
    schema = {{"type", "array"}, {"items", {{"type", "string"}, {"maxLength", key.max}}}};
  } else if (std::holds_alternative<std::vector<ChunkClass> Config::*>(key.field)) {
    const Json payload = {{"anyOf", {{{"type", "integer"}, {"minimum", sizeof(layout::ReceiverNames)}}, size}}};
    schema = {{"type", "array"}, {"minItems", key.min}, {"maxItems", key.max},
              {"items", {{"type", "object"}, {"required", {"payload_bytes", "chunk_count"}}, {"additionalProperties", false},
                         {"properties", {{"payload_bytes", payload}, {"chunk_count", {{"type", "integer"}, {"minimum", 1}}}}}}}};
  } else if (in_bytes(key)) schema = {{"anyOf", {number, size}}};
  else schema = number;
  schema["description"] = key.help;
  schema["default"] = Json::parse(key.default_json);
  return schema;
}

}  // namespace

Config default_config() {
  Config config;
  for (const Key& key : kKeys) {
    // The table's own defaults are within the table's own bounds (config_test).
    static_cast<void>(assign(config, {"", "defaults"}, key.name, Json::parse(key.default_json)));
  }
  return config;
}

Result<Config> parse_config(std::string_view text, std::string_view file) {
  const Source source{text, file};
  Json root;
  try {
    root = Json::parse(text, nullptr, true, true);
  } catch (const Json::parse_error& failure) {
    const std::size_t offset = failure.byte > 0 ? failure.byte - 1 : 0;
    const std::size_t line_start = text.substr(0, std::min(offset, text.size())).rfind('\n');
    const std::size_t column = offset - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
    std::string why = failure.what();
    why = why.substr(why.rfind("] ") == std::string::npos ? 0 : why.rfind("] ") + 2);
    return Error{Errc::ConfigSyntax, 0,
                 std::string(file) + ":" + std::to_string(source.line_of_offset(offset)) + ":" + std::to_string(column) +
                     ": this is not JSON",
                 std::move(why), "ripstopd --print-config     shows a whole file"};
  }
  if (!root.is_object()) {
    return Error{Errc::ConfigSyntax, 0, std::string(file) + ":1:1: the file is not an object", "it must begin with {",
                 "ripstopd --print-config     shows a whole file"};
  }
  Config config = default_config();
  for (const auto& [name, value] : root.items()) {
    if (name == "$schema") continue;
    const bool is_group = value.is_object() && std::any_of(std::begin(kKeys), std::end(kKeys), [&](const Key& key) {
                            return std::string_view(key.name).starts_with(name + ".");
                          });
    if (!is_group) {
      if (auto done = assign(config, source, name, value); !done) return done.error();
      continue;
    }
    for (const auto& [part, inner] : value.items()) {
      if (auto done = assign(config, source, name + "." + part, inner); !done) return done.error();
    }
  }
  return config;
}

Result<Config> load_config(const std::string& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  if (const int failed = errno; !in.is_open() || in.bad() || failed == EISDIR) {
    return Error{Errc::ConfigUnreadable, failed, "the configuration " + file + " cannot be read",
                 std::generic_category().message(failed), "ripstopd --print-config > " + file};
  }
  return parse_config(text, file);
}

Result<void> set_config_key(Config& config, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return Error{Errc::Usage, 0, "--set " + std::string(assignment) + " sets nothing", "a key and its value are needed",
                 "--set agents=100"};
  }
  const std::string text(assignment.substr(equals + 1));
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) value = text;  // A text needs no quotes here.
  return assign(config, {"", "--set"}, std::string(assignment.substr(0, equals)), value);
}

std::string print_config(const Config& config) {
  std::string text = "// Ripstop's configuration. Every key may be left out; shown are the values in effect.\n{\n";
  std::string group;
  const Key* last = std::end(kKeys) - 1;
  for (const Key& key : kKeys) {
    const std::string name = key.name;
    const std::size_t dot = name.find('.');
    const std::string wanted = dot == std::string::npos ? "" : name.substr(0, dot);
    if (wanted != group && !group.empty()) {
      text.erase(text.size() - 2, 1);  // The comma after the group's last key.
      text += "  },\n";
    }
    if (wanted != group && !wanted.empty()) text += "  \"" + wanted + "\": {\n";
    group = wanted;
    const std::string indent = group.empty() ? "  " : "    ";
    const Json value = std::visit(Show{config, key}, key.field);
    text += indent + "// " + key.help + bounds_text(key) + "\n";
    text += indent + "\"" + (dot == std::string::npos ? name : name.substr(dot + 1)) + "\": ";
    if (value.is_array() && !value.empty() && value[0].is_object()) {
      text += "[\n";
      for (std::size_t i = 0; i < value.size(); ++i) {
        text += indent + "  " + text_of(value[i]) + (i + 1 < value.size() ? ",\n" : "\n");
      }
      text += indent + "]";
    } else {
      text += text_of(value);
    }
    text += &key == last ? "\n" : ",\n";
  }
  return text + "}\n";
}

std::string print_config_schema() {
  Json properties = {{"$schema", {{"type", "string"}}}};
  for (const Key& key : kKeys) {
    const std::string name = key.name;
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos) {
      properties[name] = schema_of(key);
      continue;
    }
    Json& group = properties[name.substr(0, dot)];
    group["type"] = "object";
    group["additionalProperties"] = false;
    group["properties"][name.substr(dot + 1)] = schema_of(key);
  }
  const Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                       {"title", "Ripstop's configuration"},
                       {"type", "object"},
                       {"additionalProperties", false},
                       {"properties", properties}};
  return schema.dump(2) + "\n";
}

}  // namespace ripstop::supervisor
