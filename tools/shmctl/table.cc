#include "shmctl/table.h"

#include <algorithm>

#include "shmctl/units.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kTextMin = 10;  // Below this a name says nothing; then columns go instead.

struct Column {
  const Field* field;
  bool right = false;
  std::size_t width = 0;
  std::vector<std::string> cells;
};

bool is_number(Kind kind) {
  return kind == Kind::Count || kind == Kind::Id || kind == Kind::Bytes || kind == Kind::Duration ||
         kind == Kind::Rate || kind == Kind::Ratio;
}

std::vector<Column> columns_of(const Fields& fields, std::span<const JsonValue> rows,
                               const Terminal& terminal, bool wide) {
  std::vector<Column> columns;
  for (const Field& field : fields) {
    if (field.show == Show::JsonOnly || (field.show == Show::Wide && !wide)) continue;
    Column column{&field, is_number(field.kind), width_of(field.title), {}};
    for (const JsonValue& row : rows) {
      const auto found = row.find(field.key);
      const std::string text =
          printable(found == row.end() ? "-" : cell_text(*found, field.kind, terminal.utf8));
      column.width = std::max(column.width, width_of(text));
      column.cells.push_back(text);
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

std::size_t total_width(const std::vector<Column>& columns) {
  std::size_t width = 0;
  for (const Column& column : columns) width += column.width + kGap;
  return width == 0 ? 0 : width - kGap;
}

// Returns the titles of the columns that had to go.
std::string shrink(std::vector<Column>& columns, std::size_t limit) {
  std::string gone;
  while (total_width(columns) > limit) {
    Column* longest = nullptr;
    for (Column& column : columns) {
      if (column.right || column.width <= std::max(kTextMin, width_of(column.field->title)))
        continue;
      if (longest == nullptr || column.width > longest->width) longest = &column;
    }
    if (longest != nullptr) {
      --longest->width;
    } else if (columns.size() > 1) {
      gone = std::string(columns.back().field->title) + (gone.empty() ? "" : ", ") + gone;
      columns.pop_back();
    } else {
      break;
    }
  }
  return gone;
}

void append_cell(std::string& line, const std::string& text, const std::string& shown,
                 const Column& column, bool last) {
  const std::size_t pad = column.width - std::min(column.width, width_of(text));
  if (column.right) line.append(pad, ' ');
  line += shown;
  if (last) return;  // No blanks at a line's end.
  if (!column.right) line.append(pad, ' ');
  line.append(kGap, ' ');
}

}  // namespace

std::string fit(std::string_view text, std::size_t width, bool utf8) {
  if (width_of(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::string out;
  std::size_t taken = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 && ++taken == width) break;
    out += text[i];
  }
  return out + (utf8 ? "…" : "~");
}

std::string render_table(const Fields& fields, std::span<const JsonValue> rows,
                         const Terminal& terminal, const TableStyle& style) {
  std::vector<Column> columns = columns_of(fields, rows, terminal, style.wide);
  const std::string gone = style.wide ? "" : shrink(columns, terminal.columns);

  std::string out;
  std::string line;
  for (const Column& column : columns) {
    const std::string title(column.field->title);
    append_cell(line, title, toned(terminal, Tone::Bold, title), column,
                &column == &columns.back());
  }
  out += line + "\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    line.clear();
    for (const Column& column : columns) {
      const std::string text =
          style.wide ? column.cells[i] : fit(column.cells[i], column.width, terminal.utf8);
      const Tone tone = style.tone == nullptr ? Tone::Plain : style.tone(rows[i], *column.field);
      append_cell(line, text, toned(terminal, tone, text), column, &column == &columns.back());
    }
    out += line + "\n";
  }
  if (!gone.empty()) {
    out += toned(terminal, Tone::Faint, "(too narrow for " + gone + ": -o wide shows them)") + "\n";
  }
  return out;
}

}  // namespace ripstop::shmctl
