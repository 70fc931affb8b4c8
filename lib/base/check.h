// RIPSTOP_CHECK(expr): our own invariant does not hold. Prints the expression and aborts. Never used
// on what another process wrote: that is answered with Corrupt.
#pragma once

namespace ripstop::base {
[[noreturn]] void check_failed(const char* expr, const char* file, int line) noexcept;
}  // namespace ripstop::base

#define RIPSTOP_CHECK(expr) \
  ((expr) ? static_cast<void>(0) : ::ripstop::base::check_failed(#expr, __FILE__, __LINE__))
