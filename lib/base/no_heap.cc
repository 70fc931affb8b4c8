#include "base/no_heap.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>

namespace ripstop::base {

namespace {

const char* the_fix = "";

void say(const char* words) noexcept { [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words, std::strlen(words)); }

[[noreturn]] void end() noexcept {
  if (const std::exception_ptr thrown = std::current_exception(); thrown != nullptr) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
      _exit(exit_without_heap(the_fix));
    } catch (const std::exception& failure) {
      say(failure.what());
      say("\n");
    } catch (...) {
    }
  }
  std::abort();
}

}  // namespace

int exit_without_heap(const char* fix) noexcept {
  say("error RS-0203: out of memory\n  why   malloc failed: the machine, the control group or ulimit -v has no more\n  fix   ");
  say(fix);
  say("\n  more  shmctl explain RS-0203\n");
  return exit_status(Errc::NoMemory);
}

void end_where_nothing_can_be_thrown(const char* fix) noexcept {
  the_fix = fix;
  std::set_terminate(end);
}

}  // namespace ripstop::base
