// Tells a child of fork() that what it inherited is its parent's.
#pragma once

#include <atomic>
#include <cstdint>

namespace ripstop::detail {

// How often this process has been forked off since the library was loaded. Relaxed reads: it only
// changes in a child that has one thread.
extern std::atomic<uint32_t> fork_count;

// Registers the fork handler once. Called before the first attach.
void watch_forks() noexcept;

}  // namespace ripstop::detail
