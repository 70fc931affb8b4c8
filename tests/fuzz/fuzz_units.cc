// What a person types after shmctl's flags: durations and sizes.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "shmctl/units.h"

using namespace ripstop;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ns = shmctl::parse_duration(text)) RIPSTOP_CHECK(!shmctl::duration_text(*ns, size % 2 == 0).empty());
  if (const auto bytes = shmctl::parse_bytes(text)) RIPSTOP_CHECK(!shmctl::bytes_text(*bytes).empty());
  return 0;
}
