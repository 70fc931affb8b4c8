// A verb of shmctl: what it is called, takes and tells, and the function that does it. The table of
// verbs (verb_table.h) makes from it the command line, help, manual, completion and JSON schema.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ripstop/error.h"
#include "ripstop/result.h"
#include "shmctl/field.h"
#include "shmctl/terminal.h"

namespace ripstop::shmctl {

enum class Format { Table, Wide, Json, Jsonl, Csv, Raw };

// What can stand at a place of the command line, for completion and help.
enum class Names { None, Agent, Topic, Code, Verb, Choice };

struct Argument {
  std::string_view name;  // "TOPIC".
  std::string_view meaning;
  bool optional = false;
  Names names = Names::None;
  std::vector<std::string_view> choices = {};
};

struct Flag {
  std::string_view name;   // "--count"; a short form before it: "-o,--output".
  std::string_view value;  // "N"; empty: the flag stands alone.
  std::string_view meaning;
  std::vector<std::string_view> choices = {};
};

struct Command;

// How it meets the fabric.
enum class Access {
  Local,     // Not at all.
  Reads,     // By a read-only map, also when the supervisor is dead.
  Attaches,  // As an agent (an observer): needs the supervisor.
};

struct Verb {
  std::string_view name;
  std::string_view summary;  // One line, a sentence without its full stop.
  std::string_view detail;   // A paragraph for `--help` and the manual; may be empty.
  Access access = Access::Reads;
  bool lists = false;  // Rows: takes --sort, --filter, --watch.
  std::vector<Argument> arguments;
  std::vector<Flag> flags;
  Fields fields;  // Of a row when it lists, else of the whole answer. Empty: no JSON.
  std::vector<std::string_view> examples;
  int (*run)(const Command& command);
};

// Global flags, parsed.
struct Settings {
  std::string fabric = "default";
  std::string socket;
  std::chrono::milliseconds timeout{1000};
  Format format = Format::Table;
  bool no_colour = false;
  std::string sort;
  std::string filter;
  uint64_t watch_ns = 0;  // 0: once.
  Terminal terminal;

  bool json() const { return format == Format::Json || format == Format::Jsonl; }
};

// One command line, parsed.
struct Command {
  const Verb* verb = nullptr;
  Settings settings;
  std::vector<std::string> arguments;
  std::map<std::string, std::string, std::less<>> flags;  // By long name without dashes.

  bool has(std::string_view flag) const { return flags.find(flag) != flags.end(); }
  std::string text(std::string_view flag, std::string_view otherwise = "") const;
  // Errors: Usage, naming the flag and what it takes.
  Result<uint64_t> number(std::string_view flag, uint64_t otherwise, uint64_t least,
                          uint64_t most) const;
  // Units: nanoseconds. Errors: Usage.
  Result<uint64_t> duration(std::string_view flag, uint64_t otherwise_ns) const;
};

// The errors of a command that was not understood, exit status 2.
Error usage_error(std::string what, std::string fix = "");

}  // namespace ripstop::shmctl
