#include <algorithm>
#include <cstdio>

#include "base/nearest_name.h"
#include "shmctl/prose.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kWidth = 80;

std::string flag_words(const Flag& flag) {
  std::string name(flag.name);
  const std::size_t comma = name.find(',');
  if (comma != std::string::npos) name.insert(comma + 1, " ");
  return flag.value.empty() ? name : name + " " + std::string(flag.value);
}

// Two columns; the right one is wrapped under itself.
void print_pair(const std::string& left, std::string_view right, std::size_t left_width) {
  std::string lines = wrapped(right, kWidth, left_width + 4);
  const std::string head = "  " + left;
  if (width_of(left) <= left_width) {
    lines.replace(0, head.size(), head);
    std::printf("%s", lines.c_str());
  } else {
    std::printf("%s\n%s", head.c_str(), lines.c_str());
  }
}

void print_flags(const char* title, const std::vector<Flag>& flags) {
  if (flags.empty()) return;
  std::printf("\n%s\n", title);
  for (const Flag& flag : flags) print_pair(flag_words(flag), flag.meaning, 26);
}

std::string synopsis(const Verb& verb) {
  std::string text = "shmctl " + std::string(verb.name);
  for (const Argument& argument : verb.arguments) {
    text += argument.optional ? " [" + std::string(argument.name) + "]"
                              : " " + std::string(argument.name);
  }
  return text + (flags_of(verb).empty() ? "" : " [flags]");
}

void print_verb(const Verb& verb) {
  std::printf("%s\n\n%s", synopsis(verb).c_str(),
              wrapped(std::string(verb.summary) + ".", kWidth, 0).c_str());
  if (!verb.detail.empty()) std::printf("\n%s", wrapped(verb.detail, kWidth, 0).c_str());
  if (!verb.arguments.empty()) {
    std::printf("\narguments\n");
    for (const Argument& argument : verb.arguments)
      print_pair(std::string(argument.name), argument.meaning, 26);
  }
  std::vector<Flag> own = verb.flags;
  if (verb.lists) own.insert(own.end(), listing_flags().begin(), listing_flags().end());
  print_flags("flags", own);
  const std::vector<Flag> all = flags_of(verb);
  print_flags("flags of every verb",
              {all.begin() + static_cast<std::ptrdiff_t>(own.size()), all.end()});
  if (!verb.examples.empty()) {
    std::printf("\nexamples\n");
    for (const std::string_view example : verb.examples)
      std::printf("  %s\n", std::string(example).c_str());
  }
  if (!verb.fields.empty())
    std::printf("\nIts JSON: shmctl schema %s\n", std::string(verb.name).c_str());
}

void print_all() {
  std::printf(
      "shmctl looks at a Ripstop fabric, and lets a person speak in it.\n\nshmctl [VERB] "
      "[flags]\n");
  for (const Verb* verb : verb_table()) {
    std::string left(verb->name);
    for (const Argument& argument : verb->arguments) {
      left += argument.optional ? " [" + std::string(argument.name) + "]"
                                : " " + std::string(argument.name);
    }
    if (verb == verb_table().front()) std::printf("\nverbs\n");
    print_pair(left, verb->summary, 20);
  }
  print_flags("flags of every verb", global_flags());
  std::printf(
      "\nMore: shmctl VERB --help.  Exit status: 0 ok, 1 failed, 2 usage, 3 not found,\n"
      "4 timeout, 5 no supervisor, 6 denied, 7 refused by pressure, 8 version mismatch,\n"
      "130 interrupted.  Errors have a code: shmctl explain RS-0107.\n");
}

int run(const Command& command) {
  if (command.arguments.empty()) {
    print_all();
    return 0;
  }
  const Verb* verb = find_verb(command.arguments[0]);
  if (verb == nullptr) {
    const std::string near = base::did_you_mean(base::nearest_names(command.arguments[0], verb_names()));
    return exit_code({.code = Errc::UnknownVerb,
                      .what = "there is no verb '" + command.arguments[0] + "'",
                      .why = "",
                      .fix = near.empty() ? "shmctl help" : near});
  }
  print_verb(*verb);
  return 0;
}

}  // namespace

const Verb& verb_help() {
  static const Verb verb = {
      .name = "help",
      .summary = "The verbs, or all about one",
      .detail = "",
      .access = Access::Local,
      .lists = false,
      .arguments = {{"VERB", "which", true, Names::Verb}},
      .flags = {},
      .fields = {},
      .examples = {"shmctl help show", "shmctl show --help"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
