// Which names and topics there may be. One grammar for the library, the supervisor and the tools.
#pragma once

#include <string_view>

#include "ripstop/result.h"
#include "ripstop/types.h"

namespace ripstop::control {

// Agents, fabrics, channels: [A-Za-z0-9_.-]{1,64}, but not "." or "..".
// Errors: BadName, which says what is wrong with it and where.
Result<void> check_name(std::string_view name);

// Exact topics: 1 to 16 tokens of [A-Za-z0-9_-]+ joined by dots, at most 255 bytes.
// Errors: BadTopic, which says what is wrong with it and where.
Result<void> check_topic(std::string_view topic);

}  // namespace ripstop::control
