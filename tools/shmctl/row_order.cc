// --filter and --sort. A key may be given with its unit or without ("age" for age_ns): people type
// what they see over the column.
#include <algorithm>
#include <cctype>

#include "base/nearest_name.h"
#include "shmctl/listing.h"
#include "shmctl/units.h"

namespace ripstop::shmctl {

namespace {

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

bool is_unit(std::string_view ending) {
  return ending == "_ns" || ending == "_bytes" || ending == "_count" || ending == "_per_s";
}

Result<const Field*> find_field(const Fields& fields, std::string_view key) {
  for (const Field& field : fields) {
    if (same_letters(field.key, key) || same_letters(field.title, key)) return &field;
  }
  for (const Field& field : fields) {
    if (field.key.size() > key.size() &&
        same_letters(std::string_view(field.key).substr(0, key.size()), key) &&
        is_unit(std::string_view(field.key).substr(key.size()))) {
      return &field;
    }
  }
  std::vector<std::string> keys;
  std::string all;
  for (const Field& field : fields) {
    if (field.kind == Kind::Rows || field.kind == Kind::Object) continue;
    keys.emplace_back(field.key);
    all += (all.empty() ? "" : " ") + field.key;
  }
  Error error = usage_error("there is no field '" + std::string(key) + "'",
                            base::did_you_mean(base::nearest_names(key, keys)));
  error.why = "the fields are: " + all;
  return error;
}

struct Condition {
  const Field* field;
  char op;  // One of = ! ~ > <.
  std::string text;
  double number;
};

Result<Condition> parse_condition(const Fields& fields, std::string_view filter) {
  const std::size_t at = filter.find_first_of("=!~<>");
  if (at == std::string_view::npos || at == 0) {
    return usage_error("--filter takes KEY=TEXT, KEY!=TEXT, KEY~PART, KEY>NUMBER or KEY<NUMBER",
                       "--filter 'state=stuck'");
  }
  auto field = find_field(fields, filter.substr(0, at));
  if (!field) return field.error();
  Condition condition{*field, filter[at], "", 0};
  std::string_view rest = filter.substr(at + 1);
  if (condition.op == '!' && !rest.empty() && rest.front() == '=') rest.remove_prefix(1);
  condition.text = rest;
  if (condition.op != '>' && condition.op != '<') return condition;

  std::optional<uint64_t> number = parse_bytes(rest);
  if (condition.field->kind == Kind::Duration) {
    // A bare number is in the key's unit, one with a unit in that.
    const bool bare = rest.find_first_not_of("0123456789.") == std::string_view::npos;
    if (!bare) number = parse_duration(rest);
  }
  if (!number) return usage_error("--filter compares with a number, not '" + condition.text + "'");
  condition.number = static_cast<double>(*number);
  return condition;
}

std::string plain_text(const JsonValue& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool passes(const JsonValue& row, const Condition& condition) {
  const auto found = row.find(condition.field->key);
  if (found == row.end() || found->is_null()) return condition.op == '!';
  switch (condition.op) {
    case '=': return plain_text(*found) == condition.text;
    case '!': return plain_text(*found) != condition.text;
    case '~': return plain_text(*found).find(condition.text) != std::string::npos;
    case '>': return found->is_number() && found->get<double>() > condition.number;
    case '<': return found->is_number() && found->get<double>() < condition.number;
  }
  return false;
}

}  // namespace

Result<std::vector<JsonValue>> filter_rows(std::vector<JsonValue> rows, const Fields& fields,
                                           std::string_view filter) {
  if (filter.empty()) return rows;
  auto condition = parse_condition(fields, filter);
  if (!condition) return condition.error();
  std::erase_if(rows, [&](const JsonValue& row) { return !passes(row, *condition); });
  return rows;
}

Result<std::vector<JsonValue>> sort_rows(std::vector<JsonValue> rows, const Fields& fields,
                                         std::string_view key) {
  if (key.empty()) return rows;
  const bool descending = key.front() == '-';
  if (descending) key.remove_prefix(1);
  auto field = find_field(fields, key);
  if (!field) return field.error();
  const std::string& name = (*field)->key;
  const auto known = [&](const JsonValue& row) {
    return row.contains(name) && !row.at(name).is_null();
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const JsonValue& a, const JsonValue& b) {
    if (!known(a) || !known(b)) return known(a) && !known(b);
    return descending ? b.at(name) < a.at(name) : a.at(name) < b.at(name);
  });
  return rows;
}

}  // namespace ripstop::shmctl
