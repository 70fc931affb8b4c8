// JSON Schema (2020-12) of every verb's answer, made from its fields.
#include <cstdio>

#include "shmctl/listing.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

JsonValue type_of(const Field& field) {
  JsonValue type;
  switch (field.kind) {
    case Kind::Text: type["type"] = "string"; break;
    case Kind::Count:
    case Kind::Id:
    case Kind::Bytes:
    case Kind::Duration: type["type"] = "integer"; break;
    case Kind::Rate:
    case Kind::Ratio: type["type"] = "number"; break;
    case Kind::Flag: type["type"] = "boolean"; break;
    case Kind::List:
      type["type"] = "array";
      type["items"]["type"] = "string";
      break;
    case Kind::Object:
      type["type"] = "object";
      type["properties"] = JsonValue::object();
      break;
    case Kind::Rows:
      type["type"] = "array";
      type["items"]["type"] = "object";
      type["items"]["properties"] = JsonValue::object();
      break;
  }
  if (field.optional) type["type"] = JsonValue::array({type["type"], "null"});
  type["description"] = std::string(field.meaning);
  return type;
}

// Puts the field where its key leads: "agents[].lanes[].waiting".
void place(JsonValue& properties, const Field& field, std::string_view key) {
  const std::size_t dot = key.find('.');
  if (dot == std::string_view::npos) {
    properties[std::string(key)] = type_of(field);
    return;
  }
  std::string_view outer = key.substr(0, dot);
  const bool rows = outer.ends_with("[]");
  if (rows) outer.remove_suffix(2);
  JsonValue& inside = properties[std::string(outer)];
  place(rows ? inside["items"]["properties"] : inside["properties"], field, key.substr(dot + 1));
}

JsonValue object_of(const Fields& fields) {
  JsonValue schema;
  schema["type"] = "object";
  schema["properties"] = JsonValue::object();
  for (const Field& field : fields) place(schema["properties"], field, field.key);
  return schema;
}

// Verbs that answer with an object a line, not with one answer.
bool is_stream(const Verb& verb) {
  return verb.name == "sub" || verb.name == "tap";
}

JsonValue schema_of(const Verb& verb) {
  JsonValue schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "shmctl " + std::string(verb.name) + (is_stream(verb) ? ", one line" : "");
  schema["type"] = "object";
  JsonValue& properties = schema["properties"];
  properties["v"] = {{"const", kOutputVersion}};
  if (!is_stream(verb)) properties["verb"] = {{"const", std::string(verb.name)}};
  if (verb.lists) {
    properties["fabric"] = {{"type", "string"}};
    properties["rows"] = {{"type", "array"}, {"items", object_of(verb.fields)}};
  } else {
    const JsonValue members = object_of(verb.fields)["properties"];
    properties.update(members);
  }
  return schema;
}

int run(const Command& command) {
  JsonValue out;
  if (command.arguments.empty()) {
    for (const Verb* verb : verb_table()) {
      if (!verb->fields.empty()) out[std::string(verb->name)] = schema_of(*verb);
    }
  } else {
    const Verb* verb = find_verb(command.arguments[0]);
    if (verb == nullptr || verb->fields.empty()) {
      std::string all;
      for (const Verb* other : verb_table()) {
        if (!other->fields.empty()) all += (all.empty() ? "" : " ") + std::string(other->name);
      }
      return exit_code({.code = Errc::NotFound,
                        .what = "'" + command.arguments[0] + "' has no JSON answer",
                        .why = "",
                        .fix = "those that have: " + all});
    }
    out = schema_of(*verb);
  }
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace

const Verb& verb_schema() {
  static const Verb verb = {
      .name = "schema",
      .summary = "The JSON schema of a verb's answer, or of all",
      .detail = "",
      .access = Access::Local,
      .lists = false,
      .arguments = {{"VERB", "which", true, Names::Verb}},
      .flags = {},
      .fields = {},
      .examples = {"shmctl schema agents"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
