// Configuration files and --set: what is accepted is printed as a file that means the same; what is not is an
// error of configurations, with words.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "supervisor/config.h"

using namespace ripstop;
using supervisor::Config;

namespace {

bool is_expected(const Error& error) {
  const bool known = error.code == Errc::ConfigSyntax || error.code == Errc::ConfigUnknownKey || error.code == Errc::ConfigValue ||
                     error.code == Errc::Usage;
  return known && !error.what.empty();
}

void check_printed(const Config& config) {
  const std::string printed = supervisor::print_config(config);
  const auto again = supervisor::parse_config(printed, "printed");
  RIPSTOP_CHECK(again.has_value());
  RIPSTOP_CHECK(supervisor::print_config(*again) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = supervisor::parse_config(text, "fuzz")) check_printed(*config);
  else RIPSTOP_CHECK(is_expected(config.error()));
  Config config = supervisor::default_config();
  if (const auto set = supervisor::set_config_key(config, text)) check_printed(config);
  else RIPSTOP_CHECK(is_expected(set.error()));
  return 0;
}
