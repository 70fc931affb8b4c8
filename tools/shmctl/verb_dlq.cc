#include <cstdio>
#include <cstdlib>

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

int act(const Command& command, control::LettersRequest::Action action) {
  auto serial = serial_of(command);
  if (!serial) return exit_code(serial.error());
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
                                 : "it is no dead letter, or nobody subscribes to its topic",
                           "see " + to_type(command, "dlq")});
  }
  std::printf("%u dead letter%s %s\n", *count, *count == 1 ? "" : "s", drops ? "dropped" : "replayed");
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
          "ls (or nothing) lists them, also with the supervisor dead. drop releases one, or all. "
          "replay delivers it again, with one attempt more, to all who subscribe to its topic now; "
          "a letter whose topic nobody subscribes to stays. What still waits for a successor can "
          "be neither dropped nor replayed.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {{"ACTION", "ls, drop or replay", true, Names::Choice, {"ls", "drop", "replay"}},
                    {"NUMBER", "the letter's number, or all", true}},
      .flags = {},
      .fields = fields_of(letter_telling()),
      .examples = {"shmctl dlq", "shmctl dlq ls --filter topic=orders -o json", "shmctl dlq replay 17",
                   "shmctl dlq drop all"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
