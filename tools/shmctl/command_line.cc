// CLI11 splits the words into verb, flags and arguments; what it makes of errors is not ours in shape,
// so unknown words are let through (allow_extras) and judged here. What stands behind "--" does not
// pass through it: it would forget where the dashes were.
#include "shmctl/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <CLI/CLI.hpp>

#include "base/nearest_name.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

struct Given {
  std::map<std::string, std::string, std::less<>> values;
  std::map<std::string, bool, std::less<>> switches;
};

void add_flags(CLI::App& app, const std::vector<Flag>& flags, Given& given) {
  for (const Flag& flag : flags) {
    const std::string name = bare_name(flag);
    if (flag.value.empty()) {
      app.add_flag(std::string(flag.name), given.switches[name]);
    } else {
      app.add_option(std::string(flag.name), given.values[name])
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
}

std::string see_help(const Verb* verb) {
  return verb == nullptr ? "shmctl --help" : "shmctl " + std::string(verb->name) + " --help";
}

Error unknown_verb(const std::string& word) {
  const std::string near = base::did_you_mean(base::nearest_names(word, verb_names()));
  return {.code = Errc::UnknownVerb,
          .what = "there is no verb '" + word + "'",
          .why = "",
          .fix = near.empty() ? "shmctl --help" : near};
}

Error unknown_flag(const Verb& verb, const std::string& word) {
  std::vector<std::string> names;
  for (const Flag& flag : flags_of(verb)) names.push_back(long_name(flag));
  const std::string flag = word.substr(0, word.find('='));
  const std::string near = base::did_you_mean(base::nearest_names(flag, names));
  return usage_error(std::string(verb.name) + " has no flag " + flag,
                     near.empty() ? see_help(&verb) : near);
}

bool takes(const Verb& verb, const std::string& name) {
  const std::vector<Flag> flags = flags_of(verb);
  return std::any_of(flags.begin(), flags.end(),
                     [&](const Flag& flag) { return bare_name(flag) == name; });
}

std::string usage_of(const Verb& verb) {
  std::string text = "shmctl " + std::string(verb.name);
  for (const Argument& argument : verb.arguments) {
    text += argument.optional ? " [" + std::string(argument.name) + "]"
                              : " " + std::string(argument.name);
  }
  return text;
}

Result<void> check_arguments(const Command& command) {
  const Verb& verb = *command.verb;
  for (std::size_t i = 0; i < verb.arguments.size(); ++i) {
    const Argument& argument = verb.arguments[i];
    if (i >= command.arguments.size()) {
      if (argument.optional) break;
      return usage_error(std::string(verb.name) + " needs " + std::string(argument.name) + ": " +
                             std::string(argument.meaning),
                         usage_of(verb));
    }
    if (argument.choices.empty()) continue;
    const std::vector<std::string> choices(argument.choices.begin(), argument.choices.end());
    const std::string& word = command.arguments[i];
    if (std::find(choices.begin(), choices.end(), word) != choices.end()) continue;
    std::string all;
    for (const std::string& choice : choices) all += (all.empty() ? "" : ", ") + choice;
    Error error = usage_error(
        "'" + word + "' is no " + std::string(argument.name) + " of " + std::string(verb.name),
        base::did_you_mean(base::nearest_names(word, choices)));
    error.why = "it is one of " + all;
    return error;
  }
  if (command.arguments.size() > verb.arguments.size()) {
    return usage_error(std::string(verb.name) + " does not take '" +
                           command.arguments[verb.arguments.size()] + "'",
                       usage_of(verb));
  }
  return {};
}

// A value of a flag that has choices.
Result<void> check_choice(const Flag& flag, const std::string& value) {
  if (flag.choices.empty()) return {};
  std::string all;
  for (const std::string_view choice : flag.choices) {
    if (choice == value) return {};
    all += (all.empty() ? "" : ", ") + std::string(choice);
  }
  return usage_error(long_name(flag) + " is one of " + all + ", not '" + value + "'");
}

Format format_named(std::string_view name) {
  if (name == "wide") return Format::Wide;
  if (name == "json") return Format::Json;
  if (name == "jsonl") return Format::Jsonl;
  if (name == "csv") return Format::Csv;
  if (name == "raw") return Format::Raw;
  return Format::Table;
}

Result<Settings> settings_of(const Command& command) {
  Settings settings;
  const char* fabric = std::getenv("RIPSTOP_FABRIC");
  settings.fabric =
      command.text("fabric", fabric != nullptr && *fabric != '\0' ? fabric : "default");
  settings.socket = command.text("socket");
  if (command.has("socket") && !command.has("fabric")) {
    // The socket's file is named after its fabric.
    const std::string file = settings.socket.substr(settings.socket.rfind('/') + 1);
    settings.fabric = file.substr(0, file.rfind(".sock"));
  }
  settings.format = format_named(command.has("json") ? "json" : command.text("output"));
  settings.no_colour = command.has("no-color");
  settings.sort = command.text("sort");
  settings.filter = command.text("filter");
  auto watch = command.duration("watch", 0);
  if (!watch) return watch.error();
  if (command.has("watch") && *watch < 10'000'000) return usage_error("--watch takes 10ms or more");
  settings.watch_ns = *watch;
  settings.terminal = look_at_terminal(settings.no_colour);
  return settings;
}

// The verb that was named, the words it left over, and the flags into `given`.
struct Words {
  const Verb* verb = nullptr;
  std::vector<std::string> rest;
};

Result<Words> split(int argc, const char* const* argv, Given& given) {
  CLI::App app;
  app.set_help_flag("");
  app.allow_extras();
  app.require_subcommand(0, 1);
  std::vector<Flag> all = global_flags();
  all.insert(all.end(), listing_flags().begin(), listing_flags().end());
  all.push_back({"-V,--version", "", ""});
  add_flags(app, all, given);
  for (const Verb* verb : verb_table()) {
    CLI::App* sub = app.add_subcommand(std::string(verb->name));
    sub->set_help_flag("");
    sub->allow_extras();
    add_flags(*sub, flags_of(*verb), given);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what(), "shmctl --help");
  }
  Words words;
  for (const CLI::App* sub : app.get_subcommands()) words.verb = find_verb(sub->get_name());
  words.rest = app.remaining(true);
  return words;
}

}  // namespace

Result<Command> parse_command_line(int argc, const char* const* argv) {
  const char* const* const end = argv + argc;
  const char* const* const dashes =
      std::find_if(argv, end, [](const char* word) { return std::strcmp(word, "--") == 0; });
  Given given;
  auto words = split(static_cast<int>(dashes - argv), argv, given);
  if (!words) return words.error();

  Command command;
  for (const auto& [name, value] : given.values) {
    if (!value.empty()) command.flags[name] = value;
  }
  for (const auto& [name, set] : given.switches) {
    if (set) command.flags[name] = "";
  }
  std::vector<std::string> unknown;
  for (std::string& word : words->rest) {
    const bool flag = word.size() > 1 && word[0] == '-';
    (flag ? unknown : command.arguments).push_back(std::move(word));
  }
  if (dashes != end) command.arguments.insert(command.arguments.end(), dashes + 1, end);

  command.verb = words->verb;
  if (command.verb == nullptr && !command.arguments.empty())
    return unknown_verb(command.arguments.front());
  if (command.has("help")) {
    command.arguments.clear();
    if (command.verb != nullptr) command.arguments.emplace_back(command.verb->name);
    command.verb = find_verb("help");
  } else if (command.verb == nullptr) {
    command.verb = find_verb(command.has("version") ? "version" : "status");
  }
  if (!unknown.empty()) return unknown_flag(*command.verb, unknown.front());
  for (const Flag& flag : listing_flags()) {
    // Given in front of the verb they were let through for all.
    if (command.has(bare_name(flag)) && !takes(*command.verb, bare_name(flag))) {
      return unknown_flag(*command.verb, long_name(flag));
    }
  }
  for (const Flag& flag : flags_of(*command.verb)) {
    if (!command.has(bare_name(flag)) || flag.value.empty()) continue;
    if (auto choice = check_choice(flag, command.text(bare_name(flag))); !choice)
      return choice.error();
  }
  if (auto checked = check_arguments(command); !checked) return checked.error();
  auto settings = settings_of(command);
  if (!settings) return settings.error();
  command.settings = std::move(*settings);
  return command;
}

}  // namespace ripstop::shmctl
