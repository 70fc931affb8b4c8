// A child that runs one operation and can be stopped, or killed, between any two of its instructions.
//
// It steps itself: the processor's trap flag gives it a SIGTRAP after each instruction, and the handler,
// on a stack of its own, is the point. No other process runs in between, so a point costs 1 to 2 us on a
// busy machine too; a tracer's would cost two switches each (tried first: 5 ms where others compute).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace ripstop::proof {

class Victim {
 public:
  // Called in the child before each instruction of the operation, and once after the last. It runs in a
  // signal handler in the middle of anything.
  using Point = void (*)(void* context, uint64_t address, bool over);

  // An instruction, the `hit`th time that the operation comes to it. `hit` is at least 1.
  struct Place {
    uint64_t address;
    uint64_t hit;
  };

  // Memory whose every touch is a point.
  struct Watched {
    void* address;
    std::size_t bytes;
    int protection;  // As it is mapped.
  };

  // Forks. The child runs `operation` and ends without ending what it has inherited.
  Victim(const std::function<void()>& operation, Point point, void* context);
  // The same, but points are only the instructions that touch the watched memory, or write to it
  // (`writes_only`). At any other instruction the child stands between the same two. `count`, if there is
  // one, goes up with every instruction; then system calls and the end are points too. Without it the child
  // runs at full speed from touch to touch.
  Victim(const std::function<void()>& operation, std::span<const Watched> watched, bool writes_only, Point point, void* context,
         uint64_t* count);
  // The same, but it runs at full speed and kills itself before it does the instruction at `place`, or
  // stops for good.
  enum class End : uint8_t { Dies, Stops };
  Victim(const std::function<void()>& operation, Place place, End end = End::Dies);
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  // SIGKILL, and waits until it is gone.
  ~Victim();

  enum class Event : uint8_t { Stopped, Returned, Killed, Crashed };
  // Waits until the point function stops the child (stop_here), or it ends.
  Event wait();
  void go_on();

  // For the point function.
  static void stop_here() noexcept;
  [[noreturn]] static void die_here() noexcept;
  // In a point function of the watched kind: makes a double of the child that has come as far as the child
  // itself, and answers its id; 0 in the double, which runs on from here at full speed. The child does not
  // wait for it.
  static pid_t split() noexcept;

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
};

// Where this program's code was loaded; and its end.
uint64_t program_start() noexcept;
uint64_t program_end() noexcept;

// Whether it is code of the kernel's own page (vdso), on which no trap can be set.
bool is_kernels(uint64_t address) noexcept;

}  // namespace ripstop::proof
