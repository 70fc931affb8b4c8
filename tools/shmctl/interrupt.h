// ^C and SIGTERM for verbs that must put something in order before they end.
#pragma once

#include <csignal>
#include <cstdint>

namespace ripstop::shmctl {

inline constexpr int kInterruptedStatus = 130;

// While it lives, SIGINT and SIGTERM are noted instead of ending the process. One at a time.
class Interrupt {
 public:
  Interrupt() noexcept;
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool asked() const noexcept;
  // Returns false when it was ended by a signal. Units: nanoseconds.
  bool sleep(uint64_t ns) const noexcept;

 private:
  struct sigaction interrupt_before_ {};
  struct sigaction terminate_before_ {};
};

}  // namespace ripstop::shmctl
