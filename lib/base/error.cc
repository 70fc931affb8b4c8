// One place prints errors, so that tool, supervisor and library cannot differ in shape.
#include "ripstop/error.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

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

namespace {

// What a person can do about it; other reasons speak for themselves.
struct Advice {
  int sys_errno;
  const char* why;
  const char* fix;
};
constexpr Advice kAdvice[] = {
    {EMFILE, "this process has as many descriptors open as it may", "raise its limit (ulimit -n), or close some"},
    {ENFILE, "the machine has as many descriptors open as it may", "raise it:     sysctl fs.file-max"},
    {ENOMEM, "the kernel has no memory for it", "make room, or raise the control group's limit; then try again"},
    {ENOBUFS, "the kernel has no memory for it", "make room, or raise the control group's limit; then try again"},
    {ENOSPC, "there is no room left where it would be, or no more of its kind are allowed", "make room (df), then try again"},
    {EFBIG, "files of this process may not be so large", "raise its limit (ulimit -f), or configure less memory"},
    {EDQUOT, "the user's quota is used up", "make room, then try again"},
    {EAGAIN, "a limit of processes, memory or time stands in the way", "see ulimit -a; then try again"},
    {EINTR, "a signal interrupted it", "try again"},
    {EIO, "the device or file system reports damage", "see dmesg"},
    {EBADF, "a descriptor was closed by somebody else in this process", "let the program close only what it has opened"},
    {EACCES, "this user may not", "see the owner and mode of what is named, or run as another user"},
    {EPERM, "this user may not", "see the owner and mode of what is named, or run as another user"},
    {EROFS, "the file system is read-only", "use another directory"},
    {ENOSYS, "this kernel does not have the call, or a filter hides it", "use Linux 5.10 or newer, and see the container's seccomp profile"},
};

}  // namespace

Error system_error(std::string_view op, int sys_errno) {
  Error error;
  error.code = Errc::System;
  error.sys_errno = sys_errno;
  const char* reason = strerrordesc_np(sys_errno);  // Null when the kernel knows no such number.
  error.what = std::string(op) + ": " +
               (reason != nullptr ? std::string(reason) : "errno " + std::to_string(sys_errno));
  const auto* advice = std::find_if(std::begin(kAdvice), std::end(kAdvice), [=](const Advice& a) { return a.sys_errno == sys_errno; });
  error.why = advice != std::end(kAdvice) ? advice->why : "the kernel refused it";
  error.fix = advice != std::end(kAdvice) ? advice->fix : "see errno(3) for " + std::to_string(sys_errno) + "; try again, and see dmesg if it stays";
  return error;
}

}  // namespace ripstop
