// ripstopd: parses what was asked, finds the machine's nodes, and serves a fabric until it is told to
// end. The parts and how they are wired: supervisor.cc.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "base/atomic_pair.h"
#include "base/no_heap.h"
#include "control/topic_grammar.h"
#include "supervisor/config.h"
#include "supervisor/keeper.h"
#include "supervisor/log.h"
#include "supervisor/supervisor.h"
#include "topology/numa_topology.h"

namespace ripstop::supervisor {
namespace {

struct Options {
  std::string fabric;
  std::string config_file;
  std::string check_file;
  std::string synthetic_topology;
  std::vector<std::string> settings;
  bool print_config = false;
  bool print_schema = false;
  bool foreground = true;
  bool keeper = false;
};

void define(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "ripstopd " RIPSTOP_VERSION);
  app.add_option("--fabric", options.fabric, "Name of the fabric to serve (default: \"default\")");
  app.add_option("--config", options.config_file, "Configuration: JSON, comments allowed");
  app.add_option("--set", options.settings, "Sets one key over the file: --set agents=100")->allow_extra_args(false);
  app.add_flag("--foreground", options.foreground, "Stays in the foreground, which it always does");
  app.add_option("--check-config", options.check_file, "Checks a configuration and ends");
  app.add_flag("--print-config", options.print_config, "Prints the configuration in effect, explained, and ends");
  app.add_flag("--print-schema", options.print_schema, "Prints the configuration's JSON schema and ends");
  app.add_option("--synthetic-topology", options.synthetic_topology,
                 "Serves as on another machine, in hwloc's words: \"numa:2 core:2 pu:1\"");
  app.add_flag("--keeper", options.keeper, "Runs as a supervisor's keeper")->group("");
  app.footer(
      "Without a configuration it serves fabric \"default\" for this user, at\n"
      "$XDG_RUNTIME_DIR/ripstop/default.sock or, as root, /run/ripstop/default.sock.\n"
      "SIGTERM ends it and leaves nothing behind.\n\n"
      "  ripstopd                              all defaults\n"
      "  ripstopd --fabric test                a second fabric beside it\n"
      "  ripstopd --print-config > my.json     a configuration to start from\n"
      "  ripstopd --config my.json\n"
      "  shmctl                                what is going on");
}

Result<Config> effective_config(const Options& options) {
  Config config = default_config();
  if (!options.config_file.empty()) {
    auto loaded = load_config(options.config_file);
    if (!loaded) return loaded.error();
    config = std::move(*loaded);
  }
  for (const std::string& setting : options.settings) {
    if (auto set = set_config_key(config, setting); !set) return set.error();
  }
  if (!options.fabric.empty()) {
    if (auto named = control::check_name(options.fabric); !named) return named.error();
    config.fabric = options.fabric;
  }
  return config;
}

// One node that stands for all of them, wherever pages are.
std::vector<topology::NumaNode> as_one(std::vector<topology::NumaNode> nodes) {
  topology::NumaNode all{nodes.front().os_index, {}, 0};
  for (const topology::NumaNode& node : nodes) {
    all.cpus.insert(all.cpus.end(), node.cpus.begin(), node.cpus.end());
    all.bytes += node.bytes;
  }
  return {std::move(all)};
}

int run(const Options& options) {
  if (options.print_schema) {
    std::fputs(print_config_schema().c_str(), stdout);
    return 0;
  }
  if (!options.check_file.empty()) {
    auto checked = load_config(options.check_file);
    if (!checked) return exit_code(checked.error());
    std::printf("%s is valid\n", options.check_file.c_str());
    return 0;
  }
  auto config = effective_config(options);
  if (!config) return exit_code(config.error());
  if (options.print_config) {
    std::fputs(print_config(*config).c_str(), stdout);
    return 0;
  }
  set_log_level(config->log_level);
  if (options.keeper) {
    auto endpoint = control::own_endpoint(config->fabric);
    auto policy = AccessPolicy::create(*config);
    return endpoint && policy ? run_keeper(*endpoint, *policy) : 1;
  }
  if (!base::cpu_has_pair_swap()) {
    return exit_code({Errc::UnsupportedCpu, 0, "this processor cannot change 16 bytes as one", "it lacks cmpxchg16b (or LSE atomics)", ""});
  }
  auto nodes = topology::discover_numa_nodes(options.synthetic_topology);
  if (!nodes) return exit_code(nodes.error());
  const bool one_segment = config->numa == Numa::Off;
  const bool bind = options.synthetic_topology.empty() && !one_segment;
  auto done = run_supervisor(*config, one_segment ? as_one(std::move(*nodes)) : std::move(*nodes), bind);
  return done ? 0 : exit_code(done.error());
}

}  // namespace
}  // namespace ripstop::supervisor

namespace {

constexpr const char* kMakeRoom = "make room and start it again; agents that were attached go on, their memory is with the keeper";

int run(int argc, char** argv) {
  CLI::App app("ripstopd: the supervisor of a Ripstop fabric. It makes the shared memory, hands it out and\n"
               "cleans up after the dead; messages do not pass through it.", "ripstopd");
  ripstop::supervisor::Options options;
  ripstop::supervisor::define(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) {
    if (end.get_exit_code() == 0) return app.exit(end);  // --help, --version.
    return ripstop::exit_code({ripstop::Errc::Usage, 0, end.what(), "", "ripstopd --help"});
  }
  return ripstop::supervisor::run(options);
}

}  // namespace

// What is thrown on the way ends the parts in order, and so leaves behind what an error would.
int main(int argc, char** argv) {
  ripstop::base::end_where_nothing_can_be_thrown(kMakeRoom);
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    return ripstop::base::exit_without_heap(kMakeRoom);
  }
}
