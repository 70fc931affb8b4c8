// The supervisor's one log function: short lines for people, on standard error.
//   ripstopd[4711] 14:02:11 agent planner (pid 4712) attached as 3
#pragma once

#include <cstdint>
#include <string_view>

#include "ripstop/error.h"

namespace ripstop::supervisor {

enum class LogLevel : uint8_t { Error = 0, Warning = 1, Info = 2, Debug = 3 };

void set_log_level(LogLevel level) noexcept;
// What stands before each line, instead of "ripstopd".
void set_log_name(std::string_view name);

[[gnu::format(printf, 2, 3)]] void log(LogLevel level, const char* format, ...) noexcept;

// The error's four lines as one: "RS-0203 <what>: <why>".
void log_error(LogLevel level, std::string_view what, const Error& error);

}  // namespace ripstop::supervisor
