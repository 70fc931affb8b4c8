#include "shmctl/verb.h"

#include <charconv>

#include "shmctl/units.h"

namespace ripstop::shmctl {

std::string Command::text(std::string_view flag, std::string_view otherwise) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? std::string(otherwise) : found->second;
}

Result<uint64_t> Command::number(std::string_view flag, uint64_t otherwise, uint64_t least,
                                 uint64_t most) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) return otherwise;
  const std::string& given = found->second;
  uint64_t value = 0;
  const auto [end, status] = std::from_chars(given.data(), given.data() + given.size(), value);
  const bool whole = status == std::errc{} && end == given.data() + given.size();
  if (!whole || value < least || value > most) {
    return usage_error("--" + std::string(flag) + " takes a whole number from " +
                       std::to_string(least) + " to " + std::to_string(most) + ", not '" + given +
                       "'");
  }
  return value;
}

Result<uint64_t> Command::duration(std::string_view flag, uint64_t otherwise_ns) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) return otherwise_ns;
  const std::optional<uint64_t> value = parse_duration(found->second);
  if (!value) {
    return usage_error("--" + std::string(flag) + " takes a time as 500ms, 2s or 1m, not '" +
                       found->second + "'");
  }
  return *value;
}

Error usage_error(std::string what, std::string fix) {
  return {.code = Errc::Usage,
          .sys_errno = 0,
          .what = std::move(what),
          .why = "",
          .fix = std::move(fix)};
}

}  // namespace ripstop::shmctl
