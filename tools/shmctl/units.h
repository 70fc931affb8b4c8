// Numbers as a person reads and writes them. JSON has base units and does not pass here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shmctl/field.h"

namespace ripstop::shmctl {

// "870 ns", "1.25 µs", "12.4 ms", "3.1 s", "4 m 12 s", "3 h 5 m", "12 d 4 h". Without `utf8`: "us".
std::string duration_text(uint64_t ns, bool utf8);

// "512 B", "1.5 KiB", "64 MiB".
std::string bytes_text(uint64_t bytes);

// "950", "12.3 k", "4.56 M": at most three figures that count.
std::string count_text(double count);

// "0.0 %", "4.2 %", "46 %".
std::string ratio_text(double ratio);

// A cell of a table for `value`, which is a field of `kind`. Null: "-".
std::string cell_text(const JsonValue& value, Kind kind, bool utf8);

// "500ms", "2s", "1.5m", "3h"; a bare number is seconds. Nothing when it is not a duration.
// Units: nanoseconds.
std::optional<uint64_t> parse_duration(std::string_view text);

// "4096", "64K", "1MiB" (powers of 1,024). Nothing when it is not a size.
std::optional<uint64_t> parse_bytes(std::string_view text);

// How many columns of a terminal `text` takes (UTF-8 letters count one; our texts have no wide ones).
std::size_t width_of(std::string_view text);

}  // namespace ripstop::shmctl
