#include "shmctl/interrupt.h"

#include <cerrno>
#include <ctime>

namespace ripstop::shmctl {

namespace {

volatile std::sig_atomic_t noted = 0;

void note(int) {
  noted = 1;
}

}  // namespace

Interrupt::Interrupt() noexcept {
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note;  // No SA_RESTART: what waits is to come back.
  sigaction(SIGINT, &action, &interrupt_before_);
  sigaction(SIGTERM, &action, &terminate_before_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &interrupt_before_, nullptr);
  sigaction(SIGTERM, &terminate_before_, nullptr);
}

bool Interrupt::asked() const noexcept {
  return noted != 0;
}

bool Interrupt::sleep(uint64_t ns) const noexcept {
  timespec rest{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  while (!asked()) {
    if (nanosleep(&rest, &rest) == 0) return !asked();
    if (errno != EINTR) return true;
  }
  return false;
}

}  // namespace ripstop::shmctl
