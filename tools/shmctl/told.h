// What is told of a thing: each field with the way to its value. The list makes the rows and, from
// the same lines, the columns, the schema and the manual.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shmctl/field.h"

namespace ripstop::shmctl {

template <class View>
struct Told {
  Field field;
  std::function<JsonValue(const View&)> value;
  Fields inner = {};  // Of an Object or of Rows: the fields of what lies inside.
};

template <class View>
using Telling = std::vector<Told<View>>;

// One thing as a JSON object.
template <class View>
JsonValue row_of(const Telling<View>& telling, const View& view) {
  JsonValue row = JsonValue::object();
  for (const Told<View>& told : telling) row[told.field.key] = told.value(view);
  return row;
}

template <class View>
std::vector<JsonValue> rows_of(const Telling<View>& telling, const std::vector<View>& views) {
  std::vector<JsonValue> rows;
  rows.reserve(views.size());
  for (const View& view : views) rows.push_back(row_of(telling, view));
  return rows;
}

// `inner` as parts of `outer`: "lanes" and "waiting" make "lanes[].waiting".
inline Fields parts_of(const Field& outer, const Fields& inner) {
  Fields parts;
  for (Field part : inner) {
    part.key = outer.key + (outer.kind == Kind::Rows ? "[]." : ".") + part.key;
    part.show = Show::JsonOnly;
    parts.push_back(std::move(part));
  }
  return parts;
}

// The fields, with those of what lies inside behind each.
template <class View>
Fields fields_of(const Telling<View>& telling) {
  Fields fields;
  for (const Told<View>& told : telling) {
    fields.push_back(told.field);
    for (Field& part : parts_of(told.field, told.inner)) fields.push_back(std::move(part));
  }
  return fields;
}

// A field whose value is a list of things that have a telling of their own.
template <class View, class Part>
Told<View> told_rows(Field field, const Telling<Part>& telling, std::vector<Part> View::*parts) {
  return {std::move(field),
          [&telling, parts](const View& view) { return JsonValue(rows_of(telling, view.*parts)); },
          fields_of(telling)};
}

template <class T>
JsonValue or_null(const std::optional<T>& value) {
  return value ? JsonValue(*value) : JsonValue(nullptr);
}

}  // namespace ripstop::shmctl
