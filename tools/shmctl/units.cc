#include "shmctl/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace ripstop::shmctl {

namespace {

// Three figures that count: 1.25, 12.5, 125.
std::string three_figures(double value) {
  char text[32];
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string two_units(uint64_t large, const char* large_unit, uint64_t small,
                      const char* small_unit) {
  std::string text = std::to_string(large) + " " + large_unit;
  if (small != 0) text += " " + std::to_string(small) + " " + small_unit;
  return text;
}

struct Unit {
  std::string_view name;
  double factor;
};

template <std::size_t N>
std::optional<uint64_t> parse_with_units(std::string_view text, const std::array<Unit, N>& units) {
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc{} || !(value >= 0)) return std::nullopt;
  std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  for (const Unit& unit : units) {
    if (rest != unit.name) continue;
    const double scaled = value * unit.factor;
    if (scaled > 9e18) return std::nullopt;
    return static_cast<uint64_t>(std::llround(scaled));
  }
  return std::nullopt;
}

}  // namespace

std::string duration_text(uint64_t ns, bool utf8) {
  const auto value = static_cast<double>(ns);
  if (ns < 1'000) return std::to_string(ns) + " ns";
  if (value < 999.5e3) return three_figures(value / 1e3) + (utf8 ? " µs" : " us");
  if (value < 999.5e6) return three_figures(value / 1e6) + " ms";
  if (value < 60e9) return three_figures(value / 1e9) + " s";
  const uint64_t s = ns / 1'000'000'000;
  if (s < 3'600) return two_units(s / 60, "m", s % 60, "s");
  if (s < 86'400) return two_units(s / 3'600, "h", s % 3'600 / 60, "m");
  return two_units(s / 86'400, "d", s % 86'400 / 3'600, "h");
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1'024) return std::to_string(bytes) + " B";
  static constexpr const char* kNames[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes) / 1'024;
  std::size_t unit = 0;
  while (value >= 1'023.5 && unit + 1 < std::size(kNames)) {
    value /= 1'024;
    ++unit;
  }
  // Whole powers stay whole: "64 MiB", not "64.0 MiB".
  const bool whole = value == std::floor(value);
  return (whole ? std::to_string(static_cast<uint64_t>(value)) : three_figures(value)) + " " +
         kNames[unit];
}

std::string count_text(double count) {
  if (count < 0) return "-" + count_text(-count);
  const bool whole = count == std::floor(count);
  if (count < 99'999.5 && whole) return std::to_string(static_cast<uint64_t>(count));
  if (count < 999.5) return three_figures(count);
  if (count < 999.5e3) return three_figures(count / 1e3) + " k";
  if (count < 999.5e6) return three_figures(count / 1e6) + " M";
  return three_figures(count / 1e9) + " G";
}

std::string ratio_text(double ratio) {
  char text[32];
  std::snprintf(text, sizeof text, ratio < 0.0995 ? "%.1f %%" : "%.0f %%", ratio * 100);
  return text;
}

std::string cell_text(const JsonValue& value, Kind kind, bool utf8) {
  if (value.is_null()) return "-";
  switch (kind) {
    case Kind::Text: return value.is_string() ? value.get<std::string>() : value.dump();
    case Kind::Id: return value.is_number() ? value.dump() : "-";
    case Kind::Count:
    case Kind::Rate: return value.is_number() ? count_text(value.get<double>()) : "-";
    case Kind::Bytes: return value.is_number() ? bytes_text(value.get<uint64_t>()) : "-";
    case Kind::Duration:
      return value.is_number() ? duration_text(value.get<uint64_t>(), utf8) : "-";
    case Kind::Ratio: return value.is_number() ? ratio_text(value.get<double>()) : "-";
    case Kind::Flag: return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : "-";
    case Kind::List: {
      std::string text;
      for (const JsonValue& item : value) {
        if (!text.empty()) text += ' ';
        text += item.is_string() ? item.get<std::string>() : item.dump();
      }
      return text.empty() ? "-" : text;
    }
    case Kind::Object:
    case Kind::Rows: return value.dump();
  }
  return "-";
}

std::optional<uint64_t> parse_duration(std::string_view text) {
  static constexpr std::array<Unit, 9> kUnits = {{{"", 1e9},
                                                  {"s", 1e9},
                                                  {"ms", 1e6},
                                                  {"us", 1e3},
                                                  {"µs", 1e3},
                                                  {"ns", 1},
                                                  {"m", 60e9},
                                                  {"h", 3600e9},
                                                  {"d", 86400e9}}};
  return parse_with_units(text, kUnits);
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  static constexpr double kKi = 1024;
  static constexpr std::array<Unit, 8> kUnits = {{{"", 1},
                                                  {"B", 1},
                                                  {"K", kKi},
                                                  {"KiB", kKi},
                                                  {"M", kKi * kKi},
                                                  {"MiB", kKi * kKi},
                                                  {"G", kKi * kKi * kKi},
                                                  {"GiB", kKi * kKi * kKi}}};
  return parse_with_units(text, kUnits);
}

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return width;
}

}  // namespace ripstop::shmctl
