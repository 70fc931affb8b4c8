#include "proof/victim.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/check.h"

// NOLINTBEGIN: the linker's and the marker's names.
extern "C" char __executable_start;
extern "C" char etext;
extern "C" char ripstop_proof_end;
// NOLINTEND

namespace ripstop::proof {

// int3, the operation, a place with a name. Weak, so that no compiler makes a second one of it.
void run_marked(const std::function<void()>& operation);
[[gnu::noinline, gnu::weak]] void run_marked(const std::function<void()>& operation) {
  asm volatile("int3" ::: "memory");
  operation();
  asm volatile(".globl ripstop_proof_end\nripstop_proof_end:\n nop" ::: "memory");
}

namespace {

constexpr greg_t kTrapFlag = 0x100;

Victim::Point the_point = nullptr;
void* the_context = nullptr;
Victim::Place the_place{0, 0};
Victim::End the_end = Victim::End::Dies;
uint64_t hit_count = 0;
uint8_t displaced = 0;  // The byte that the trap at the_place stands on.
alignas(64) std::byte handler_stack[256 * 1024];

constexpr uint8_t kTrap = 0xcc;  // int3

uint8_t* code_at(uint64_t address) noexcept { return reinterpret_cast<uint8_t*>(address); }

// Comes at the start marker, at the trap, and one instruction behind the trap, where it is set again.
void handle_trap(int, siginfo_t*, void* frame) {
  auto& registers = static_cast<ucontext_t*>(frame)->uc_mcontext.gregs;
  const bool stepped = (registers[REG_EFL] & kTrapFlag) != 0;
  auto address = static_cast<uint64_t>(registers[REG_RIP]);
  if (!stepped && address == the_place.address + 1 && *code_at(the_place.address) == kTrap) {
    address = the_place.address;
    registers[REG_RIP] = static_cast<greg_t>(address);
  }
  if (address != the_place.address) {
    *code_at(the_place.address) = kTrap;
    registers[REG_EFL] &= ~kTrapFlag;
    return;
  }
  if (++hit_count == the_place.hit) the_end == Victim::End::Dies ? Victim::die_here() : Victim::stop_here();
  *code_at(the_place.address) = displaced;
  registers[REG_EFL] |= kTrapFlag;
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

// --- touches of watched memory ----------------------------------------------------------------------
// While the child runs, the memory is protected: a touch is a fault, which is the point. Then it may be
// touched for one instruction.

struct Watch {
  std::span<const Victim::Watched> memory;
  bool writes_only;
  bool touched;    // By the instruction that is being done.
  bool is_double;  // It was split off, or the operation is over: nothing is watched any more.
  bool started;
  uint64_t* count;  // Null: nobody counts.
};
Watch watch{};

void set_protected(bool is_protected) noexcept {
  for (const Victim::Watched& part : watch.memory) {
    const int less = watch.writes_only ? PROT_READ : PROT_NONE;
    if (mprotect(part.address, part.bytes, is_protected ? less : part.protection) != 0) Victim::die_here();
  }
}

bool is_watched(const void* address) noexcept {
  for (const Victim::Watched& part : watch.memory) {
    if (static_cast<std::size_t>(static_cast<const std::byte*>(address) - static_cast<const std::byte*>(part.address)) < part.bytes) return true;
  }
  return false;
}

void come_to(uint64_t address, bool over) noexcept {
  set_protected(false);
  watch.touched = true;
  the_point(the_context, address, over);
}

void handle_step(int number, siginfo_t* info, void* frame) {
  const int saved_errno = errno;
  auto& registers = static_cast<ucontext_t*>(frame)->uc_mcontext.gregs;
  const auto address = static_cast<uint64_t>(registers[REG_RIP]);
  if (number == SIGSEGV) {
    if (watch.is_double || watch.touched || !is_watched(info->si_addr)) {
      signal(SIGSEGV, SIG_DFL);  // Its own fault: the instruction is done again, and ends it.
      registers[REG_EFL] &= ~kTrapFlag;
      return;
    }
    come_to(address, false);
  } else {
    // The start marker, or one instruction further.
    if (watch.touched || !watch.started) set_protected(true);
    watch.started = true;
    watch.touched = false;
    const bool over = address == reinterpret_cast<uint64_t>(&ripstop_proof_end);
    constexpr uint8_t kSystemCall[] = {0x0f, 0x05};
    if (watch.count != nullptr) {
      ++*watch.count;
      if (over || std::memcmp(code_at(address), kSystemCall, sizeof kSystemCall) == 0) come_to(address, over);
    } else if (over) {
      set_protected(false);
    }
    if (over) watch.is_double = true;
  }
  const bool steps = !watch.is_double && (watch.count != nullptr || watch.touched);
  if (steps) registers[REG_EFL] |= kTrapFlag;
  else registers[REG_EFL] &= ~kTrapFlag;
  errno = saved_errno;
}

}  // namespace

uint64_t program_start() noexcept { return reinterpret_cast<uint64_t>(&__executable_start); }
uint64_t program_end() noexcept { return reinterpret_cast<uint64_t>(&etext); }
bool is_kernels(uint64_t address) noexcept {
  constexpr uint64_t kVdsoBytesMax = 4 * 4096;
  return address - getauxval(AT_SYSINFO_EHDR) < kVdsoBytesMax;
}

namespace {

void catch_traps(void (*handler)(int, siginfo_t*, void*), int further_signal = SIGTRAP) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const stack_t stack{handler_stack, 0, sizeof handler_stack};
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (sigaltstack(&stack, nullptr) != 0 || sigaction(SIGTRAP, &action, nullptr) != 0 ||
      sigaction(further_signal, &action, nullptr) != 0) {
    _exit(3);
  }
}

// Its page of code becomes this process's own.
void make_writable(uint64_t address) {
  constexpr uint64_t kPage = 4096;
  if (mprotect(code_at(address & ~(kPage - 1)), kPage, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) _exit(3);
}

}  // namespace

Victim::Victim(const std::function<void()>& operation, Point point, void* context) {
  pid_ = fork();
  RIPSTOP_CHECK(pid_ >= 0);
  if (pid_ != 0) return;
  the_point = point;
  the_context = context;
  catch_traps(handle);
  run_marked(operation);
  _exit(0);
}

Victim::Victim(const std::function<void()>& operation, Place place, End end) {
  pid_ = fork();
  RIPSTOP_CHECK(pid_ >= 0);
  if (pid_ != 0) return;
  the_place = place;
  the_end = end;
  displaced = *code_at(place.address);
  make_writable(place.address);
  catch_traps(handle_trap);
  run_marked(operation);
  _exit(0);
}

Victim::Victim(const std::function<void()>& operation, std::span<const Watched> watched, bool writes_only, Point point,
               void* context, uint64_t* count) {
  pid_ = fork();
  RIPSTOP_CHECK(pid_ >= 0);
  if (pid_ != 0) return;
  the_point = point;
  the_context = context;
  watch = {watched, writes_only, false, false, false, count};
  signal(SIGCHLD, SIG_IGN);  // Its doubles leave nothing behind.
  catch_traps(handle_step, SIGSEGV);
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

pid_t Victim::split() noexcept {
  const pid_t pid = _Fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  watch.is_double = true;
  return 0;
}

void Victim::stop_here() noexcept { kill(getpid(), SIGSTOP); }

void Victim::die_here() noexcept {
  kill(getpid(), SIGKILL);
  _exit(4);
}

}  // namespace ripstop::proof
