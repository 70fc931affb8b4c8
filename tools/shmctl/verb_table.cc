#include "shmctl/verb_table.h"

#include <algorithm>

namespace ripstop::shmctl {

const std::vector<const Verb*>& verb_table() {
  static const std::vector<const Verb*> table = {
      &verb_status(),     &verb_top(),   &verb_agents(),  &verb_topics(),  &verb_segments(),
      &verb_dlq(),        &verb_show(),  &verb_pub(),   &verb_sub(),     &verb_tap(),     &verb_hz(),
      &verb_wait(),       &verb_bench(), &verb_explain(), &verb_version(), &verb_schema(),
      &verb_completion(), &verb_man(),   &verb_help(),
  };
  return table;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb* verb : verb_table()) {
    if (verb->name == name) return verb;
  }
  return nullptr;
}

const std::vector<Flag>& global_flags() {
  static const std::vector<Flag> flags = {
      {"-f,--fabric", "NAME", "which fabric; else $RIPSTOP_FABRIC, else 'default'"},
      {"--socket", "PATH", "its supervisor's socket, wherever it lies"},
      {"-o,--output",
       "FORMAT",
       "table, wide, json, jsonl, csv or raw, where the verb has it",
       {"table", "wide", "json", "jsonl", "csv", "raw"}},
      {"--json", "", "the same as -o json"},
      {"--no-color", "", "no colours; $NO_COLOR does the same"},
      {"-h,--help", "", "what the verb does and takes"},
  };
  return flags;
}

const std::vector<Flag>& listing_flags() {
  static const std::vector<Flag> flags = {
      {"--sort", "KEY", "by this field; -KEY: the largest first"},
      {"--filter", "COND", "rows with KEY=TEXT, KEY!=TEXT, KEY~PART, KEY>N or KEY<N"},
      {"--watch", "TIME", "again and again, every 2s or 500ms"},
  };
  return flags;
}

std::vector<Flag> flags_of(const Verb& verb) {
  std::vector<Flag> flags = verb.flags;
  if (verb.lists) flags.insert(flags.end(), listing_flags().begin(), listing_flags().end());
  for (const Flag& flag : global_flags()) {
    const std::string name = long_name(flag);
    const bool meets_fabric = verb.access != Access::Local;
    const bool has_json = !verb.fields.empty();
    if ((name == "--fabric" || name == "--socket") && !meets_fabric) continue;
    if ((name == "--output" || name == "--json") && !has_json) continue;
    flags.push_back(flag);
  }
  return flags;
}

std::string long_name(const Flag& flag) {
  const std::size_t comma = flag.name.find(',');
  return std::string(comma == std::string_view::npos ? flag.name : flag.name.substr(comma + 1));
}

std::string bare_name(const Flag& flag) {
  return long_name(flag).substr(2);
}

std::vector<std::string> verb_names() {
  std::vector<std::string> names;
  for (const Verb* verb : verb_table()) names.emplace_back(verb->name);
  return names;
}

}  // namespace ripstop::shmctl
