// What a verb has to tell, in the format that was asked for.
#pragma once

#include <string>
#include <vector>

#include "shmctl/field.h"
#include "shmctl/table.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

inline constexpr int kOutputVersion = 1;  // "v" of every JSON answer.

// The rows of a verb that lists. `empty` says to a person why there are none and what to type;
// `summary` stands below a table. Both may be of several lines.
struct Listing {
  std::vector<JsonValue> rows;
  std::string empty;
  std::string summary;
  Tone (*tone)(const JsonValue& row, const Field& field) = nullptr;
};

// Filters, sorts and prints. JSON: {"v":1,"verb":…,"fabric":…,"rows":[…]}; jsonl: one row a line,
// each with "v"; csv: a header and the scalar fields.
// Returns the exit status. Errors (a bad --sort or --filter) are printed.
int print_listing(const Command& command, Listing listing);

// One JSON answer of a verb that does not list: {"v":1,"verb":…, then the members of `answer`}.
// In one line when jsonl is asked for.
void print_json(const Command& command, const JsonValue& answer);

// The rows that pass `filter`: KEY=TEXT, KEY!=TEXT, KEY~PART, KEY>NUMBER, KEY<NUMBER; a size or a
// time may bear its unit (age_ns>2s). Empty: all.
// Errors: Usage, with the nearest key.
Result<std::vector<JsonValue>> filter_rows(std::vector<JsonValue> rows, const Fields& fields,
                                           std::string_view filter);

// Ascending by `key`, descending by "-key"; rows that lack it come last. Empty: as they are.
// Errors: Usage, with the nearest key.
Result<std::vector<JsonValue>> sort_rows(std::vector<JsonValue> rows, const Fields& fields,
                                         std::string_view key);

}  // namespace ripstop::shmctl
