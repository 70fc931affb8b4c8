#include "proof/victim.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/check.h"

// NOLINTBEGIN: the linker's and the marker's names.
extern "C" char __executable_start;
extern "C" char etext;
extern "C" char ripstop_proof_end;
// NOLINTEND

namespace ripstop::proof {

namespace {

constexpr greg_t kTrapFlag = 0x100;

Victim::Point the_point = nullptr;
void* the_context = nullptr;
alignas(64) std::byte handler_stack[256 * 1024];

// int3, the operation, a place with a name.
[[gnu::noinline, gnu::noclone]] void run_marked(const std::function<void()>& operation) {
  asm volatile("int3" ::: "memory");
  operation();
  asm volatile(".globl ripstop_proof_end\nripstop_proof_end:\n nop" ::: "memory");
}

void handle(int, siginfo_t*, void* frame) {
  const int saved_errno = errno;
  auto& registers = static_cast<ucontext_t*>(frame)->uc_mcontext.gregs;
  const auto address = static_cast<uint64_t>(registers[REG_RIP]);
  const bool over = address == reinterpret_cast<uint64_t>(&ripstop_proof_end);
  the_point(the_context, address, over);
  if (over) registers[REG_EFL] &= ~kTrapFlag;
  else registers[REG_EFL] |= kTrapFlag;
  errno = saved_errno;
}

}  // namespace

uint64_t program_start() noexcept { return reinterpret_cast<uint64_t>(&__executable_start); }
uint64_t program_end() noexcept { return reinterpret_cast<uint64_t>(&etext); }

Victim::Victim(const std::function<void()>& operation, Point point, void* context) {
  pid_ = fork();
  RIPSTOP_CHECK(pid_ >= 0);
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  the_point = point;
  the_context = context;
  const stack_t stack{handler_stack, 0, sizeof handler_stack};
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (sigaltstack(&stack, nullptr) != 0 || sigaction(SIGTRAP, &action, nullptr) != 0) _exit(3);
  run_marked(operation);
  _exit(0);
}

Victim::~Victim() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Victim::Event Victim::wait() {
  int status = 0;
  while (waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
  }
  if (WIFSTOPPED(status)) return Event::Stopped;
  ended_ = true;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return Event::Killed;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Event::Returned : Event::Crashed;
}

void Victim::go_on() { kill(pid_, SIGCONT); }

void Victim::stop_here() noexcept { kill(getpid(), SIGSTOP); }

void Victim::die_here() noexcept {
  kill(getpid(), SIGKILL);
  _exit(4);
}

}  // namespace ripstop::proof
