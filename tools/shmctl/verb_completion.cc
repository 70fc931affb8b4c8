// Completion scripts. Verbs and flags are written into them; names of agents and topics are asked of
// the fabric when they are needed, and are simply missing when it does not answer.
#include <cstdio>
#include <string>

#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

std::string words_of_flags(const Verb& verb) {
  std::string words;
  for (const Flag& flag : flags_of(verb)) {
    std::string names(flag.name);
    for (char& c : names) {
      if (c == ',') c = ' ';
    }
    words += (words.empty() ? "" : " ") + names;
  }
  return words;
}

std::string all_verbs() {
  std::string words;
  for (const std::string& name : verb_names()) words += (words.empty() ? "" : " ") + name;
  return words;
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : " ") + std::string(word);
  return text;
}

// The shell command that prints what can stand at an argument's place; "" when anything can.
std::string source_of(const Argument& argument) {
  switch (argument.names) {
    case Names::Agent: return "shmctl agents -o csv 2>/dev/null | tail -n +2 | cut -d, -f1";
    case Names::Topic: return "shmctl topics -o csv 2>/dev/null | tail -n +2 | cut -d, -f1";
    case Names::Code: return "shmctl explain -o csv 2>/dev/null | tail -n +2 | cut -d, -f1";
    case Names::Verb: return "echo " + all_verbs();
    case Names::Choice: return "echo " + joined(argument.choices);
    case Names::None: return "";
  }
  return "";
}

void print_bash() {
  std::printf(
      "# bash completion of shmctl: source it, or install it as \"shmctl\" among "
      "bash-completion's.\n"
      "_shmctl() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" verb= "
      "place=0 i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"${COMP_WORDS[i]}\" in\n"
      "      -*) ;;\n"
      "      *) if [[ -z $verb ]]; then verb=\"${COMP_WORDS[i]}\"; else place=$((place + 1)); fi "
      ";;\n"
      "    esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$before\" in\n");
  for (const Flag& flag : global_flags()) {
    if (flag.choices.empty()) continue;
    std::string names(flag.name);
    names.replace(names.find(','), 1, "|");
    std::printf("    %s) COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;;\n", names.c_str(),
                joined(flag.choices).c_str());
  }
  std::printf(
      "  esac\n"
      "  if [[ -z $verb ]]; then COMPREPLY=($(compgen -W \"%s --help --version\" -- \"$word\")); "
      "return; fi\n"
      "  case \"$verb\" in\n",
      all_verbs().c_str());
  for (const Verb* verb : verb_table()) {
    std::printf(
        "    %s)\n      if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); "
        "return; fi\n",
        std::string(verb->name).c_str(), words_of_flags(*verb).c_str());
    for (std::size_t i = 0; i < verb->arguments.size(); ++i) {
      const std::string source = source_of(verb->arguments[i]);
      if (source.empty()) continue;
      std::printf(
          "      if ((place == %zu)); then COMPREPLY=($(compgen -W \"$(%s)\" -- \"$word\")); fi\n",
          i, source.c_str());
    }
    std::printf("      ;;\n");
  }
  std::printf("  esac\n}\ncomplete -o default -F _shmctl shmctl\n");
}

// Text between single quotes of zsh's and fish's.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string zsh_spec(std::string_view name, const Flag& flag) {
  std::string meaning(flag.meaning);
  for (const char c : {'[', ']', ':'}) {
    for (std::size_t at = 0; (at = meaning.find(c, at)) != std::string::npos; at += 2)
      meaning.insert(at, 1, '\\');
  }
  std::string spec = std::string(name) + "[" + meaning + "]";
  if (flag.value.empty()) return in_quotes(spec);
  spec += ":" + std::string(flag.value) + ":";
  if (!flag.choices.empty()) spec += "(" + joined(flag.choices) + ")";
  return in_quotes(spec);
}

void print_zsh() {
  std::printf(
      "#compdef shmctl\n# zsh completion of shmctl: install it as \"_shmctl\" in a directory of "
      "$fpath.\n"
      "_shmctl() {\n  local -a verbs\n  verbs=(\n");
  for (const Verb* verb : verb_table()) {
    std::printf("    %s\n",
                in_quotes(std::string(verb->name) + ":" + std::string(verb->summary)).c_str());
  }
  std::printf(
      "  )\n  if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n"
      "  local verb=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $verb in\n");
  for (const Verb* verb : verb_table()) {
    std::printf("    %s)\n      _arguments", std::string(verb->name).c_str());
    for (const Flag& flag : flags_of(*verb)) {
      const std::string names(flag.name);
      const std::size_t comma = names.find(',');
      if (comma != std::string::npos)
        std::printf(" \\\n        %s", zsh_spec(names.substr(0, comma), flag).c_str());
      std::printf(" \\\n        %s", zsh_spec(long_name(flag), flag).c_str());
    }
    for (const Argument& argument : verb->arguments) {
      const std::string source = source_of(argument);
      const std::string action = source.empty() ? "_files" : "( $(" + source + ") )";
      std::printf(" \\\n        %s",
                  in_quotes(":" + std::string(argument.name) + ":" + action).c_str());
    }
    std::printf("\n      ;;\n");
  }
  std::printf("  esac\n}\n_shmctl \"$@\"\n");
}

void print_fish() {
  std::printf(
      "# fish completion of shmctl: install it as shmctl.fish among fish's completions.\ncomplete "
      "-c shmctl -f\n");
  for (const Verb* verb : verb_table()) {
    const std::string name(verb->name);
    std::printf("complete -c shmctl -n __fish_use_subcommand -a %s -d %s\n", name.c_str(),
                in_quotes(verb->summary).c_str());
    for (const Flag& flag : flags_of(*verb)) {
      const std::size_t comma = flag.name.find(',');
      std::printf("complete -c shmctl -n '__fish_seen_subcommand_from %s' -l %s", name.c_str(),
                  bare_name(flag).c_str());
      if (comma == 2) std::printf(" -s %c", flag.name[1]);
      if (!flag.value.empty()) std::printf(" -r");
      if (!flag.choices.empty()) std::printf(" -a %s", in_quotes(joined(flag.choices)).c_str());
      std::printf(" -d %s\n", in_quotes(flag.meaning).c_str());
    }
    for (const Argument& argument : verb->arguments) {
      const std::string source = source_of(argument);
      if (source.empty()) continue;
      std::printf("complete -c shmctl -n '__fish_seen_subcommand_from %s' -a %s\n", name.c_str(),
                  in_quotes("(" + source + " | string split ' ')").c_str());
    }
  }
}

int run(const Command& command) {
  const std::string& shell = command.arguments[0];
  if (shell == "bash") print_bash();
  if (shell == "zsh") print_zsh();
  if (shell == "fish") print_fish();
  return 0;
}

}  // namespace

const Verb& verb_completion() {
  static const Verb verb = {
      .name = "completion",
      .summary = "A completion script for bash, zsh or fish",
      .detail = "",
      .access = Access::Local,
      .lists = false,
      .arguments = {{"SHELL", "bash, zsh or fish", false, Names::Choice, {"bash", "zsh", "fish"}}},
      .flags = {},
      .fields = {},
      .examples = {"source <(shmctl completion bash)"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
