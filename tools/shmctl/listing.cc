#include "shmctl/listing.h"

#include <cstdio>

namespace ripstop::shmctl {

namespace {

// Another process's bytes may be in any text; what is not UTF-8 is replaced, never thrown at.
std::string dump(const JsonValue& json, int indent) {
  return json.dump(indent, ' ', false, JsonValue::error_handler_t::replace);
}

bool is_scalar(const Field& field) {
  return field.kind != Kind::Rows && field.kind != Kind::Object &&
         field.key.find('.') == std::string_view::npos &&
         field.key.find('[') == std::string_view::npos;
}

std::string csv_cell(const JsonValue& value) {
  if (value.is_null()) return "";
  if (value.is_array()) {
    std::string joined;
    for (const JsonValue& item : value) {
      joined += (joined.empty() ? "" : " ") +
                (item.is_string() ? item.get<std::string>() : dump(item, -1));
    }
    return csv_cell(joined);
  }
  if (!value.is_string()) return dump(value, -1);
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void print_csv(const Fields& fields, const std::vector<JsonValue>& rows) {
  std::string out;
  const auto line = [&](auto cell_of) {
    bool first = true;
    for (const Field& field : fields) {
      if (!is_scalar(field)) continue;
      if (!first) out += ',';
      first = false;
      out += cell_of(field);
    }
    out += '\n';
  };
  line([](const Field& field) { return std::string(field.key); });
  for (const JsonValue& row : rows) {
    line([&](const Field& field) {
      const auto found = row.find(field.key);
      return found == row.end() ? std::string() : csv_cell(*found);
    });
  }
  std::fputs(out.c_str(), stdout);
}

JsonValue with_version(const Command& command) {
  JsonValue out;
  out["v"] = kOutputVersion;
  out["verb"] = std::string(command.verb->name);
  return out;
}

}  // namespace

int print_listing(const Command& command, Listing listing) {
  const Settings& settings = command.settings;
  const Fields& fields = command.verb->fields;
  const std::size_t all_count = listing.rows.size();
  auto passed = filter_rows(std::move(listing.rows), fields, settings.filter);
  if (!passed) return exit_code(passed.error());
  auto rows = sort_rows(std::move(*passed), fields, settings.sort);
  if (!rows) return exit_code(rows.error());

  switch (settings.format) {
    case Format::Json: {
      JsonValue out = with_version(command);
      out["fabric"] = settings.fabric;
      out["rows"] = *rows;
      std::printf("%s\n", dump(out, 2).c_str());
      break;
    }
    case Format::Jsonl:
      for (const JsonValue& row : *rows) {
        JsonValue line;
        line["v"] = kOutputVersion;
        line.update(row);
        std::printf("%s\n", dump(line, -1).c_str());
      }
      break;
    case Format::Csv: print_csv(fields, *rows); break;
    case Format::Table:
    case Format::Wide:
    case Format::Raw:
      if (rows->empty() && all_count > 0) {
        std::printf("None of %zu pass the filter %s.\n", all_count, settings.filter.c_str());
      } else if (rows->empty()) {
        std::printf("%s\n", listing.empty.c_str());
      } else {
        const TableStyle style{settings.format == Format::Wide, listing.tone};
        std::fputs(render_table(fields, *rows, settings.terminal, style).c_str(), stdout);
        if (!listing.summary.empty()) std::printf("%s\n", listing.summary.c_str());
      }
      break;
  }
  return 0;
}

void print_json(const Command& command, const JsonValue& answer) {
  JsonValue out = with_version(command);
  out.update(answer);
  std::printf("%s\n", dump(out, command.settings.format == Format::Jsonl ? -1 : 2).c_str());
}

}  // namespace ripstop::shmctl
