// One corruption of a node segment, by its number: the same number is the same corruption.
#pragma once

#include <cstdint>
#include <string>

#include "scribbler/ground.h"

namespace ripstop::proof {

// How many values each word is set to, one after the other.
uint64_t hostile_value_count();
// All single words times all hostile values.
uint64_t single_count(const Ground& ground);

// Writes the `index`-th: below single_count() one word, one hostile value; above it one of five kinds, by a
// generator whose seed is the index.
void corrupt(Ground& ground, uint64_t index);
// In words, for a person who looks for it.
std::string describe(const Ground& ground, uint64_t index);

}  // namespace ripstop::proof
