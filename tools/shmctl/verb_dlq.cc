#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "control/client.h"
#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_fabric.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

int list(const Command& command) {
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  Listing listing;
  listing.rows = rows_of(letter_telling(), inspector->letters());
  listing.empty = "No message is undelivered on fabric " + command.settings.fabric +
                  ". What a dead agent had not handled waits here for its successor, then stays\n"
                  "until it is dropped or replayed, or newer ones need its place.";
  listing.summary = "again, to those who subscribe now:  " + to_type(command, "dlq replay all") +
                    "\nnever again:                        " + to_type(command, "dlq drop all");
  return print_listing(command, std::move(listing));
}

// A letter's number, or 0 for all.
Result<uint64_t> serial_of(const Command& command) {
  const std::string text = command.arguments.size() < 2 ? "" : command.arguments[1];
  if (text == "all") return uint64_t{0};
  char* end = nullptr;
  const uint64_t serial = std::strtoull(text.c_str(), &end, 10);
  if (serial == 0 || *end != '\0') {
    return usage_error("dlq " + command.arguments[0] + " takes a letter's number, or all",
                       "see " + to_type(command, "dlq"));
  }
  return serial;
}

std::string count_text(std::size_t count) {
  return std::to_string(count) + " dead letter" + (count == 1 ? "" : "s");
}

// What a drop would drop: how many, and a line for each.
Result<std::size_t> preview(const Command& command, uint64_t serial, bool prints) {
  auto inspector = look_in(command);
  if (!inspector) return inspector.error();
  std::size_t count = 0;
  for (const LetterView& letter : inspector->letters()) {
    if (letter.waits || (serial != 0 && letter.serial != serial)) continue;
    ++count;
    if (!prints) continue;
    std::printf("would drop %llu: %s, message %llu of %s for %s\n", static_cast<unsigned long long>(letter.serial),
                letter.reason.c_str(), static_cast<unsigned long long>(letter.sequence), letter.topic.c_str(),
                letter.agent.empty() ? "nobody known" : letter.agent.c_str());
  }
  return count;
}

// A drop is for ever: whoever sits there is asked, and a script says --yes.
Result<bool> may_drop(const Command& command, uint64_t serial) {
  if (command.has("yes")) return true;
  if (isatty(STDIN_FILENO) != 1) {
    return usage_error("dlq drop asks before it drops, and nobody is here to answer",
                       to_type(command, "dlq drop " + command.arguments[1] + " --yes") + "     or look first, with --dry-run");
  }
  const auto count = preview(command, serial, false);
  if (!count) return count.error();
  if (*count == 0) return true;  // The supervisor says why.
  std::printf("Drop %s for ever? [y/N] ", count_text(*count).c_str());
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int act(const Command& command, control::LettersRequest::Action action) {
  auto serial = serial_of(command);
  if (!serial) return exit_code(serial.error());
  if (action == control::LettersRequest::Action::Drop) {
    if (command.has("dry-run")) {
      const auto count = preview(command, *serial, true);
      if (!count) return exit_code(count.error());
      std::printf("%s would be dropped; nothing was done\n", count_text(*count).c_str());
      return 0;
    }
    const auto may = may_drop(command, *serial);
    if (!may) return exit_code(may.error());
    if (!*may) {
      std::printf("Nothing was dropped\n");
      return 0;
    }
  }
  auto endpoint = command.settings.socket.empty()
                      ? control::find_endpoint(command.settings.fabric)
                      : Result<control::Endpoint>(control::endpoint_at(command.settings.socket));
  if (!endpoint) return exit_code(endpoint.error());
  auto client = control::Client::connect(*endpoint, command.settings.timeout);
  if (!client) return exit_code(client.error());
  auto count = client->letters({action, *serial});
  if (!count) return exit_code(count.error());
  const bool drops = action == control::LettersRequest::Action::Drop;
  if (*serial != 0 && *count == 0) {
    return exit_code(Error{Errc::NotFound, 0, "letter " + std::to_string(*serial) + " was not " + (drops ? "dropped" : "replayed"),
                           drops ? "it is no dead letter, or not any more"
                                 : "it is no dead letter, nobody subscribes to its topic, or its message has no holder bit left for so many",
                           "see " + to_type(command, "dlq")});
  }
  std::printf("%s %s\n", count_text(*count).c_str(), drops ? "dropped" : "replayed");
  const auto left = drops || *serial != 0 ? Result<std::size_t>(std::size_t{0}) : preview(command, 0, false);
  if (left && *left != 0) {
    std::printf("%s stayed: nobody subscribes to its topic, or its message has no holder bit left for so many\n", count_text(*left).c_str());
  }
  return 0;
}

int run(const Command& command) {
  const std::string what = command.arguments.empty() ? "ls" : command.arguments[0];
  if (what == "drop") return act(command, control::LettersRequest::Action::Drop);
  if (what == "replay") return act(command, control::LettersRequest::Action::Replay);
  if (what == "ls" && command.arguments.size() < 2) return list(command);
  return exit_code(usage_error("dlq is ls, drop or replay; the last two take a letter's number, or all",
                               to_type(command, "dlq --help")));
}

}  // namespace

const Verb& verb_dlq() {
  static const Verb verb = {
      .name = "dlq",
      .summary = "Dead letters: what nobody handled, and what waits for a successor",
      .detail =
          "ls (or nothing) lists them, also with the supervisor dead. drop releases one, or all, and asks first. "
          "replay delivers it again, with one attempt more, to all who subscribe to its topic now; "
          "a letter whose topic nobody subscribes to stays. What still waits for a successor can "
          "be neither dropped nor replayed.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {{"ACTION", "ls, drop or replay", true, Names::Choice, {"ls", "drop", "replay"}},
                    {"NUMBER", "the letter's number, or all", true}},
      .flags = {{"-y,--yes", "", "drop without a question"}, {"--dry-run", "", "print what drop would drop, and drop nothing"}},
      .fields = fields_of(letter_telling()),
      .examples = {"shmctl dlq", "shmctl dlq ls --filter topic=orders -o json", "shmctl dlq replay 17",
                   "shmctl dlq drop all --dry-run"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
