// What every error code means: the text behind `shmctl explain RS-0107`, and each code's exit status.
//
// One entry per Errc, no more and no fewer (tests/unit/base/error_catalog_test.cc counts them).
#pragma once

#include <span>
#include <string_view>

#include "ripstop/error.h"

namespace ripstop::base {

// One code, explained to the person who met it. Texts are static; lines are at most 76 characters.
struct ErrorEntry {
  Errc code;
  std::string_view name;     // As the enumerator: "NoSupervisor".
  int exit_status;           // Of a program that ends with it (ripstop::exit_code).
  std::string_view meaning;  // One line, a sentence without its full stop.
  std::string_view causes;   // One cause a line.
  std::string_view remedy;   // One step a line; a command stands by itself.
};

// All entries, by ascending code.
std::span<const ErrorEntry> error_catalog() noexcept;

// The entry of `code`, or null when it is not one of ours.
const ErrorEntry* find_error(Errc code) noexcept;

// The entry that a person means by `text`: "RS-0107", "rs-107", "107" or "NoSupervisor", in any case.
// Null when there is none.
const ErrorEntry* find_error(std::string_view text) noexcept;

}  // namespace ripstop::base
