#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_fabric.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

int run(const Command& command) {
  const LibraryView library = Inspector::library();
  JsonValue answer;
  answer["version"] = library.version;
  answer["abi_version"] = library.abi_version;
  answer["layout_hash"] = hex_text(library.layout_hash);
  auto inspector = look_in(command);
  answer["fabric_abi_version"] = nullptr;
  answer["fabric_layout_hash"] = nullptr;
  std::string fabric = "fabric " + command.settings.fabric + ": ";
  if (inspector) {
    const FabricView view = inspector->fabric();
    answer["fabric_abi_version"] = view.abi_version;
    answer["fabric_layout_hash"] = hex_text(view.layout_hash);
    fabric += "ABI " + std::to_string(view.abi_version) + ", layout " + hex_text(view.layout_hash) +
              ", the same";
  } else {
    fabric += inspector.error().what;
  }
  const bool differs = !inspector && (inspector.error().code == Errc::AbiMismatch ||
                                      inspector.error().code == Errc::LayoutMismatch);
  const int status = differs ? exit_status(inspector.error().code) : 0;
  if (command.settings.json()) {
    print_json(command, answer);
    return status;
  }
  std::printf("shmctl %s, ABI %u, layout %s\n%s\n", library.version.c_str(), library.abi_version,
              hex_text(library.layout_hash).c_str(), fabric.c_str());
  return status;
}

}  // namespace

const Verb& verb_version() {
  static const Verb verb = {
      .name = "version",
      .summary = "This program's version and memory layout, and the fabric's beside it",
      .detail =
          "ABI version and layout hash must be the same on both sides; else attach is refused, and "
          "this ends with status 8.",
      .access = Access::Reads,
      .lists = false,
      .arguments = {},
      .flags = {},
      .fields = {{"version", "", Kind::Text, Show::JsonOnly, "of this program and its library"},
                 {"abi_version", "", Kind::Id, Show::JsonOnly, "of this program"},
                 {"layout_hash", "", Kind::Text, Show::JsonOnly, "of this program"},
                 {"fabric_abi_version", "", Kind::Id, Show::JsonOnly,
                  "of the fabric, if it can be read", true},
                 {"fabric_layout_hash", "", Kind::Text, Show::JsonOnly,
                  "of the fabric, if it can be read", true}},
      .examples = {"shmctl version", "shmctl --version"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
