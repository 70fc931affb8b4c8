#include <cstdio>

#include "base/error_catalog.h"
#include "base/nearest_name.h"
#include "shmctl/listing.h"
#include "shmctl/told.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

using base::ErrorEntry;

const Telling<ErrorEntry>& telling() {
  using E = ErrorEntry;
  static const Telling<E> list = {
      {{"code", "CODE", Kind::Text, Show::Table, "as it is printed"},
       [](const E& e) { return error_code_text(e.code); }},
      {{"name", "NAME", Kind::Text, Show::Table, "as ripstop::Errc has it"},
       [](const E& e) { return e.name; }},
      {{"exit_status", "EXIT", Kind::Id, Show::Table, "of a program that ends with it"},
       [](const E& e) { return e.exit_status; }},
      {{"meaning", "MEANING", Kind::Text, Show::Table, "in one line"},
       [](const E& e) { return e.meaning; }},
      {{"causes", "", Kind::Text, Show::JsonOnly, "what brings it about"},
       [](const E& e) { return e.causes; }},
      {{"remedy", "", Kind::Text, Show::JsonOnly, "what to do"},
       [](const E& e) { return e.remedy; }},
  };
  return list;
}

void print_block(const char* title, std::string_view text) {
  std::printf("\n%s\n", title);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::printf("  %s\n", std::string(text.substr(0, end)).c_str());
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}

Error unknown_code(const std::string& text) {
  std::vector<std::string> names;
  for (const ErrorEntry& entry : base::error_catalog()) {
    names.emplace_back(entry.name);
    names.push_back(error_code_text(entry.code));
  }
  const std::string near = base::did_you_mean(base::nearest_names(text, names));
  return {.code = Errc::NotFound,
          .what = "there is no error code '" + text + "'",
          .why = "",
          .fix = near.empty() ? "shmctl explain" : near};
}

int run(const Command& command) {
  if (command.arguments.empty()) {
    Listing listing;
    for (const ErrorEntry& entry : base::error_catalog())
      listing.rows.push_back(row_of(telling(), entry));
    return print_listing(command, std::move(listing));
  }
  const ErrorEntry* entry = base::find_error(std::string_view(command.arguments[0]));
  if (entry == nullptr) return exit_code(unknown_code(command.arguments[0]));
  if (command.settings.format != Format::Table) {
    Listing listing;
    listing.rows.push_back(row_of(telling(), *entry));
    return print_listing(command, std::move(listing));
  }
  std::printf("%s %s  (exit status %d)\n%s.\n", error_code_text(entry->code).c_str(),
              std::string(entry->name).c_str(), entry->exit_status,
              std::string(entry->meaning).c_str());
  print_block("causes", entry->causes);
  print_block("what to do", entry->remedy);
  return 0;
}

}  // namespace

const Verb& verb_explain() {
  static const Verb verb = {
      .name = "explain",
      .summary = "What an error code means and what to do; all of them without a code",
      .detail = "",
      .access = Access::Local,
      .lists = true,
      .arguments = {{"CODE", "as RS-0107, 107 or NoSupervisor", true, Names::Code}},
      .flags = {},
      .fields = fields_of(telling()),
      .examples = {"shmctl explain RS-0107", "shmctl explain"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
