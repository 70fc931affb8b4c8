// The manual as mdoc(7) source. `shmctl man | mandoc -l` shows it; meson installs it.
#include <cstdio>
#include <string>

#include "base/error_catalog.h"
#include "shmctl/prose.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kLineWidth = 78;

// Text of ours in a mdoc line: no macro by accident, no escape.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
  return out;
}

// A word that stands as an argument of a macro: never a macro itself, never split.
std::string word(std::string_view text) {
  return "\"" + ("\\&" + plain(text)) + "\"";
}

// Sentences begin lines, as mdoc wants them.
void print_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find(". ");
    if (end == std::string_view::npos) {
      std::printf("%s", wrapped(plain(text), kLineWidth, 0).c_str());
      return;
    }
    std::printf("%s", wrapped(plain(text.substr(0, end + 1)), kLineWidth, 0).c_str());
    text.remove_prefix(end + 2);
  }
}

void print_flags(const std::vector<Flag>& flags) {
  std::printf(".Bl -tag -width Ds\n");
  for (const Flag& flag : flags) {
    std::string names(flag.name);
    std::string item = ".It";
    while (!names.empty()) {
      const std::size_t comma = names.find(',');
      std::string one = names.substr(0, comma);
      names = comma == std::string::npos ? "" : names.substr(comma + 1);
      // Fl writes the first dash.
      item += " Fl " + plain(one.substr(1));
      if (!flag.value.empty()) item += " Ar " + std::string(flag.value);
      if (!names.empty()) item += " ,";
    }
    std::printf("%s\n%s\n", item.c_str(), plain(flag.meaning).c_str());
  }
  std::printf(".El\n");
}

void print_fields(const Verb& verb) {
  if (verb.fields.empty()) return;
  std::printf(".Pp\nFields:\n.Bl -tag -width Ds -compact\n");
  for (const Field& field : verb.fields) {
    // What lies inside an object stands in the schema; here it would be pages.
    if (field.key.find_first_of(".[") != std::string::npos) continue;
    std::printf(".It %s\n%s%s\n", word(field.key).c_str(), plain(field.meaning).c_str(),
                field.title.empty() || field.show == Show::JsonOnly
                    ? ""
                    : (" (" + std::string(field.show == Show::Wide ? "wide: " : "") +
                       plain(field.title) + ")")
                          .c_str());
  }
  std::printf(".El\n");
}

void print_verb(const Verb& verb) {
  std::printf(".It Cm %s", std::string(verb.name).c_str());
  for (const Argument& argument : verb.arguments) {
    std::printf(argument.optional ? " Op Ar %s" : " Ar %s", std::string(argument.name).c_str());
  }
  std::printf("\n%s", wrapped(plain(verb.summary) + ".", kLineWidth, 0).c_str());
  if (!verb.detail.empty()) print_text(verb.detail);
  if (!verb.flags.empty()) print_flags(verb.flags);
  print_fields(verb);
}

void print_exit_status() {
  static constexpr struct {
    int status;
    const char* meaning;
  } kStatuses[] = {{0, "All went well."},
                   {1, "It failed."},
                   {2, "The command was not understood."},
                   {3, "There is nothing of that name, or nobody subscribes."},
                   {4, "The time was over."},
                   {5, "Neither supervisor nor keeper answers."},
                   {6, "This user is not let in."},
                   {7, "Refused by pressure: a lane or a pool is full."},
                   {8, "The versions do not match."},
                   {130, "Interrupted."}};
  std::printf(".Sh EXIT STATUS\n.Bl -tag -width Ds -compact\n");
  for (const auto& s : kStatuses) std::printf(".It %d\n%s\n", s.status, s.meaning);
  std::printf(".El\n");
}

int run(const Command&) {
  std::printf(
      ".Dd November 23, 2026\n.Dt SHMCTL 1\n.Os\n.Sh NAME\n.Nm shmctl\n"
      ".Nd look at a Ripstop fabric, and speak in it\n"
      ".Sh SYNOPSIS\n.Nm shmctl\n.Op Ar verb\n.Op Ar argument ...\n.Op Ar flag ...\n"
      ".Sh DESCRIPTION\n.Nm\nlooks at the shared memory of a fabric: who is attached, what waits,\n"
      "what is full.\nReading costs the watched nothing and works with the supervisor dead or\n"
      "hung: the keeper hands out the memory, read\\-only.\nWithout a verb it does what\n.Cm "
      "status\ndoes.\n.Pp\nFlags of every verb:\n");
  print_flags(global_flags());
  std::printf(".Pp\nFlags of verbs that list:\n");
  print_flags(listing_flags());
  std::printf(".Pp\nThe verbs are:\n.Bl -tag -width Ds\n");
  for (const Verb* verb : verb_table()) print_verb(*verb);
  std::printf(
      ".El\n.Pp\nJSON answers bear a version,\n.Ql v ,\nand base units in their keys.\n"
      "Their schema:\n.Nm\n.Cm schema .\n");
  std::printf(
      ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
      ".It Ev RIPSTOP_FABRIC\nThe fabric, when none is named.\n"
      ".It Ev XDG_RUNTIME_DIR\nSockets lie below it, in\n.Pa ripstop/ ;\nelse in\n.Pa "
      "/run/ripstop/ .\n"
      ".It Ev NO_COLOR\nNo colours, when it is not empty.\n"
      ".It Ev COLUMNS\nThe width of tables outside a terminal; 80 else.\n.El\n");
  print_exit_status();
  std::printf(".Sh EXAMPLES\n.Bd -literal\n");
  for (const Verb* verb : verb_table()) {
    for (const std::string_view example : verb->examples)
      std::printf("%s\n", plain(example).c_str());
  }
  std::printf(".Ed\n.Sh DIAGNOSTICS\nErrors bear a code and what to do.\n.Bl -tag -width Ds\n");
  for (const base::ErrorEntry& entry : base::error_catalog()) {
    std::printf(".It %s\n%s.\n",
                word(error_code_text(entry.code) + " " + std::string(entry.name)).c_str(),
                plain(entry.meaning).c_str());
  }
  std::printf(".El\n");
  return 0;
}

}  // namespace

const Verb& verb_man() {
  static const Verb verb = {
      .name = "man",
      .summary = "The manual page, as mdoc source",
      .detail = "",
      .access = Access::Local,
      .lists = false,
      .arguments = {},
      .flags = {},
      .fields = {},
      .examples = {"shmctl man | man -l -"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
