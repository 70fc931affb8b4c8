// What happens when malloc has nothing left: the library's calls answer NoMemory instead of throwing, and a
// program ends with words and a status instead of abort().
#pragma once

#include <new>

#include "ripstop/error.h"

namespace ripstop::base {

// Its texts fit into std::string itself: making it allocates nothing.
inline Error no_heap() { return {Errc::NoMemory, 12, "out of memory", "malloc failed", "free some"}; }

// What `call` answers, or NoMemory when an allocation in it failed. A call that failed so has undone what it
// had begun: everything in it has an owner.
template <class Call>
auto or_no_heap(Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return no_heap();
  }
}

// For a program's main: says on standard error what no_heap() says, with `fix`, in the form of
// ripstop::exit_code, and returns the exit status for it. Allocates nothing.
int exit_without_heap(const char* fix) noexcept;

// From now on an allocation that fails where nothing can be thrown ends the process as exit_without_heap() does,
// at once. Other exceptions that nobody catches abort, as before.
void end_where_nothing_can_be_thrown(const char* fix) noexcept;

}  // namespace ripstop::base
