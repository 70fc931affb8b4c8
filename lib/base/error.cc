// One place prints errors, so that tool, supervisor and library cannot differ in shape.
#include "ripstop/error.h"

#include <cstdio>
#include <cstring>

#include "base/error_catalog.h"

namespace ripstop {

namespace {

// A part of several lines is indented under its label.
void append_part(std::string& text, std::string_view label, std::string_view part) {
  if (part.empty()) return;
  text += "\n  ";
  text += label;
  text.append(6 - label.size(), ' ');
  for (const char c : part) {
    text += c;
    if (c == '\n') text.append(8, ' ');
  }
}

}  // namespace

std::string error_code_text(Errc code) {
  char text[16];
  std::snprintf(text, sizeof text, "RS-%04u", static_cast<unsigned>(code));
  return text;
}

std::string to_string(const Error& error) {
  const std::string code = error_code_text(error.code);
  std::string text = "error " + code + ": ";
  const base::ErrorEntry* entry = base::find_error(error.code);
  if (!error.what.empty()) {
    text += error.what;
  } else if (entry != nullptr) {
    text += entry->meaning;
  }
  append_part(text, "why", error.why);
  append_part(text, "fix", error.fix);
  append_part(text, "more", "shmctl explain " + code);
  return text;
}

int exit_status(Errc code) noexcept {
  const base::ErrorEntry* entry = base::find_error(code);
  return entry == nullptr ? 1 : entry->exit_status;
}

int exit_code(const Error& error) {
  std::fprintf(stderr, "%s\n", to_string(error).c_str());
  return exit_status(error.code);
}

Error system_error(std::string_view op, int sys_errno) {
  Error error;
  error.code = Errc::System;
  error.sys_errno = sys_errno;
  const char* reason = strerrordesc_np(sys_errno);  // Null when the kernel knows no such number.
  error.what = std::string(op) + ": " +
               (reason != nullptr ? std::string(reason) : "errno " + std::to_string(sys_errno));
  return error;
}

}  // namespace ripstop
