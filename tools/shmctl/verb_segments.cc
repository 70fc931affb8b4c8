#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_fabric.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

std::string node_text(const NodeView& node) {
  return "node " + std::to_string(node.index) + ": " + bytes_text(node.segment_bytes) +
         ", pages asked " + node.pages_asked + ", got " + node.pages_got + "; " +
         (node.bound ? "bound to" : "not bound to") + " NUMA node " +
         std::to_string(node.numa_node) + "; " + std::to_string(node.agent_count) +
         (node.agent_count == 1 ? " agent" : " agents") + (node.poisoned ? "; lost a page" : "");
}

int run(const Command& command) {
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  const std::vector<NodeView> nodes = inspector->nodes();
  const FabricView fabric = inspector->fabric();
  Listing listing;
  listing.rows = rows_of(segment_telling(), classes_on_nodes(nodes));
  listing.empty = "The fabric has no size classes.";
  for (const NodeView& node : nodes) listing.summary += node_text(node) + "\n";
  listing.summary += "control segment: " + bytes_text(fabric.control_bytes) + "; all together " +
                     bytes_text(fabric.total_bytes);
  return print_listing(command, std::move(listing));
}

}  // namespace

const Verb& verb_segments() {
  static const Verb verb = {
      .name = "segments",
      .summary = "The shared memory: size classes, what is free, loaned and held, pages",
      .detail =
          "Every chunk's holder word is read. Loaned: being filled. Held: sent, in somebody's lane "
          "or hand. "
          "The line below says which pages were asked for and got.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {},
      .flags = {},
      .fields = fields_of(segment_telling()),
      .examples = {"shmctl segments", "shmctl segments --filter 'used>0.5'",
                   "shmctl segments -o json"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
