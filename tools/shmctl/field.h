// What a verb tells, field by field. One list is the table's columns, the JSON keys, the CSV header,
// the JSON schema and the manual's section of fields, so that they cannot drift apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace ripstop::shmctl {

// Ordered: keys come out in the order they were put in.
using JsonValue = nlohmann::ordered_json;

// What a value is, which decides its JSON type and how a person sees it.
enum class Kind {
  Text,      // A string.
  Count,     // A whole number; a person sees 12.3 k.
  Id,        // A whole number that names something: a person sees all of it.
  Bytes,     // Whole bytes; a person sees KiB, MiB.
  Duration,  // Whole nanoseconds; a person sees µs, ms, s.
  Rate,      // A number a second.
  Ratio,     // 0 to 1; a person sees percent.
  Flag,      // true or false.
  List,      // Texts.
  Object,    // Described by further fields, "key.part".
  Rows,      // A list of objects, described by further fields, "key[].part".
};

// Where a person sees it. JSON and CSV have all of them (CSV without Object and Rows).
enum class Show { Table, Wide, JsonOnly };

struct Field {
  std::string key;         // In JSON, with its base unit: "age_ns". Parts: "lanes[].depth".
  std::string_view title;  // Over the column: "AGE".
  Kind kind;
  Show show;
  std::string_view meaning;  // One line, for the manual and the schema.
  bool optional = false;     // May be null or absent: not known, or does not apply.
};

using Fields = std::vector<Field>;

}  // namespace ripstop::shmctl
