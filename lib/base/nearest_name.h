// The names a person may have meant.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ripstop::base {

// How many insertions, deletions, exchanges and swaps of neighbours turn `a` into `b`.
// Letters are compared without case. Costs O(|a| |b|); meant for names, not for texts.
std::size_t edit_distance(std::string_view a, std::string_view b);

// Up to `count` of `names` that are near `wanted`, the nearest first: within a third of its length,
// or names that it begins or contains. Empty when none is.
std::vector<std::string> nearest_names(std::string_view wanted, std::span<const std::string> names,
                                       std::size_t count = 3);

// "did you mean planner or planer2?", or "" when `near` is empty.
std::string did_you_mean(std::span<const std::string> near);

}  // namespace ripstop::base
