#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_fabric.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

int run(const Command& command) {
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  Listing listing;
  std::vector<TopicView> rows = inspector->topics();
  for (TopicView& pattern : inspector->patterns()) rows.push_back(std::move(pattern));
  listing.rows = rows_of(topic_row_telling(), rows);
  listing.empty = "No topic has been named on fabric " + command.settings.fabric +
                  " yet. Topics need no creation; try:\n  " + to_type(command, "sub hello");
  return print_listing(command, std::move(listing));
}

}  // namespace

const Verb& verb_topics() {
  static const Verb verb = {
      .name = "topics",
      .summary = "What is published and subscribed to, with counts",
      .detail =
          "Counts are those of the agents attached now: they end with them. A topic stays known "
          "once named. Patterns that are subscribed to stand behind the topics; their subscribers "
          "are counted with each topic too.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {},
      .flags = {},
      .fields = fields_of(topic_row_telling()),
      .examples = {"shmctl topics", "shmctl topics --sort -messages",
                   "shmctl topics --filter 'name~task' -o csv"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
