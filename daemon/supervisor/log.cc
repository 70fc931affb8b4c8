// One write(2) per line, so that lines of supervisor and keeper do not mix.
#include "supervisor/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <string>

namespace ripstop::supervisor {

namespace {

constexpr std::size_t kLineBytesMax = 1024;

struct Settings {
  LogLevel level = LogLevel::Info;
  std::string name = "ripstopd";
};

Settings& settings() {
  static Settings instance;
  return instance;
}

const char* mark(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::Error: return "error: ";
    case LogLevel::Warning: return "warning: ";
    case LogLevel::Info:
    case LogLevel::Debug: break;
  }
  return "";
}

}  // namespace

void set_log_level(LogLevel level) noexcept { settings().level = level; }
void set_log_name(std::string_view name) { settings().name = name; }

void log(LogLevel level, const char* format, ...) noexcept {
  if (level > settings().level) return;
  char line[kLineBytesMax];
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  int length = std::snprintf(line, sizeof line, "%s[%d] %02d:%02d:%02d %s", settings().name.c_str(), getpid(),
                             local.tm_hour, local.tm_min, local.tm_sec, mark(level));
  va_list arguments;
  va_start(arguments, format);
  length += std::vsnprintf(line + length, sizeof line - static_cast<std::size_t>(length) - 1, format, arguments);
  va_end(arguments);
  const std::size_t end = std::min(static_cast<std::size_t>(length), sizeof line - 2);
  line[end] = '\n';
  // Where the log cannot be written there is nobody to tell.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, end + 1);
}

void log_error(LogLevel level, std::string_view what, const Error& error) {
  log(level, "%.*s: %s %s%s%s", static_cast<int>(what.size()), what.data(), error_code_text(error.code).c_str(),
      error.what.c_str(), error.why.empty() ? "" : ": ", error.why.c_str());
}

}  // namespace ripstop::supervisor
