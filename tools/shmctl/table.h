// A table of rows for a person: columns from fields, at most as wide as the terminal.
#pragma once

#include <span>
#include <string>

#include "shmctl/field.h"
#include "shmctl/terminal.h"

namespace ripstop::shmctl {

struct TableStyle {
  bool wide = false;  // The wide columns too, and no bound on the width.
  // The tone of one cell; null: plain.
  Tone (*tone)(const JsonValue& row, const Field& field) = nullptr;
};

// One line of titles, then one a row, each ended by a newline. Numbers stand right, texts left.
// A table that is too wide first loses the ends of its longest texts ("planner-of-th…"), at the
// worst its last columns, and then says below which.
std::string render_table(const Fields& fields, std::span<const JsonValue> rows,
                         const Terminal& terminal, const TableStyle& style = {});

// `text` cut to `width` columns with an ellipsis at its end when it is longer.
std::string fit(std::string_view text, std::size_t width, bool utf8);

}  // namespace ripstop::shmctl
