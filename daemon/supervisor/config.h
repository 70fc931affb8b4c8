// What a user can tune. One table in config.cc gives each key its default, unit, bounds and help; the
// example file, the manual and the schema are made from it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layout/control_segment.h"
#include "ripstop/result.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

enum class Hugepages : uint8_t { Off, Try, Require };
enum class Numa : uint8_t { Auto, Off };
// What becomes of a message that a dead agent had not handled, and that no successor took.
enum class OnDeath : uint8_t { DeadLetter, Release };

// Chunks of one size, in the whole fabric; divided among the nodes.
struct ChunkClass {
  uint64_t payload_bytes = 0;
  uint64_t chunk_count = 0;
  friend bool operator==(const ChunkClass&, const ChunkClass&) = default;
};

// The values here only stand until the table's defaults are filled in.
struct Config {
  std::string fabric;
  std::string socket_group;
  std::vector<uint64_t> allow_uids;
  LogLevel log_level = LogLevel::Info;
  Hugepages hugepages = Hugepages::Try;
  bool reserve_hugepages = true;
  Numa numa = Numa::Auto;
  bool keeper = true;
  uint64_t drain_timeout_ms = 0;
  uint64_t soft_lease_ms = 0;
  uint64_t soft_lease_requeues = 0;
  uint64_t hard_lease_ms = 0;
  std::vector<uint64_t> cpu_affinity;
  uint64_t agents = 0;
  uint64_t topics = 0;
  bool strict_topics = false;
  std::vector<std::string> declare_topics;  // Topics and patterns.
  uint64_t subscriptions = 0;
  uint64_t rings = 0;
  uint64_t ring_arena_bytes = 0;
  uint64_t route_arena_bytes = 0;
  uint64_t slab_bytes = 0;
  OnDeath on_death = OnDeath::DeadLetter;
  uint64_t successor_grace_ms = 0;
  uint64_t dead_letters = 0;
  uint64_t dead_letter_share = 0;  // Per cent.
  std::array<uint64_t, layout::kLaneCount> lanes{};  // Slots, critical first.
  std::vector<ChunkClass> classes;                   // Ascending by payload.
};

// Every key at its default.
Config default_config();

// Reads JSON; comments (//, /* */) are allowed. `file` is only named in errors.
// Errors: ConfigSyntax (line and column), ConfigUnknownKey (the nearest key), ConfigValue (what is
//         allowed); each names file and line.
Result<Config> parse_config(std::string_view text, std::string_view file);

// Errors: as parse_config(), and ConfigUnreadable.
Result<Config> load_config(const std::string& file);

// Sets one key, as `--set agents=100` does. Errors: Usage, ConfigUnknownKey, ConfigValue.
Result<void> set_config_key(Config& config, std::string_view assignment);

// The configuration as a file that parse_config() reads, each key with its unit, bounds and help.
std::string print_config(const Config& config);

// The JSON schema (draft 2020-12) of a configuration file.
std::string print_config_schema();

}  // namespace ripstop::supervisor
