#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ripstop::base {

void check_failed(const char* expr, const char* file, int line) noexcept {
  std::fprintf(stderr, "ripstop: bug: %s does not hold at %s:%d\n", expr, file, line);
  std::abort();
}

}  // namespace ripstop::base
