#include "proof/faults/tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <stddef.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "proof/faults/calls.h"
#include "proof/faults/marks.h"
#include "proof/live/child.h"
#include "proof/live/fabric.h"

namespace ripstop::faults {

namespace {

constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;

// One traced process.
struct Tracee {
  bool counts = false;   // Its calls are counted, from here on.
  bool is_counted = false;  // It is the one whose calls are.
  int pending = 0;       // What the call that it is in answers; 0: what it does.
  uint64_t argument = 0;      // What it was called with, to be set back.
  uint64_t shortened_at = 0;  // Where a length was halved, to be set back.
  uint64_t shortened_from = 0;
};

bool is_entry(pid_t pid, bool& known) {
  struct __ptrace_syscall_info info{};
  known = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0;
  return known && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

uint64_t peek(pid_t pid, uint64_t address) { return static_cast<uint64_t>(ptrace(PTRACE_PEEKDATA, pid, address, nullptr)); }
void poke(pid_t pid, uint64_t address, uint64_t value) { ptrace(PTRACE_POKEDATA, pid, address, value); }

// Whether this call can fail: of futex only a wait can, and what is watched can always be unwatched.
bool can_fail(const user_regs_struct& registers) {
  const uint64_t operation = registers.rsi & 0x7f;
  const bool is_wake = registers.orig_rax == SYS_futex && operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET;
  if (registers.orig_rax == SYS_epoll_ctl && registers.rsi == EPOLL_CTL_DEL) return false;
  return !is_wake && !faults_of(registers.orig_rax).empty();
}

// Halves what the call is to move.
void shorten(pid_t pid, user_regs_struct& registers, Tracee& tracee) {
  if (registers.orig_rax == SYS_sendmsg || registers.orig_rax == SYS_recvmsg) {
    const uint64_t vector = peek(pid, registers.rsi + offsetof(msghdr, msg_iov));
    tracee.shortened_at = vector + offsetof(iovec, iov_len);
    tracee.shortened_from = peek(pid, tracee.shortened_at);
    // The receiver's buffer is larger than any packet: so that the packet is cut, too.
    poke(pid, tracee.shortened_at, registers.orig_rax == SYS_recvmsg ? 16 : tracee.shortened_from / 2);
    return;
  }
  if (registers.rdx > 1) registers.rdx /= 2;
  ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
}

}  // namespace

Traced::Traced(std::vector<std::string> words, const std::string& output, Plan plan)
    : words_(std::move(words)), output_(output), plan_(plan), thread_([this] { trace(); }) {
  live::wait_until([this] { return pid_.load() != 0; });
}

Traced::~Traced() {
  (void)wait_for_all(0);
  thread_.join();
}

int Traced::wait(int timeout_ms) {
  live::wait_until([this] { return ended(); }, timeout_ms);
  return status_.load();
}

bool Traced::wait_for_all(int timeout_ms) {
  if (live::wait_until([this] { return all_ended_.load(); }, timeout_ms)) return true;
  {
    const std::lock_guard<std::mutex> held(lock_);
    gives_up_ = true;
    for (const pid_t pid : traced_) kill(pid, SIGKILL);
  }
  live::wait_until([this] { return all_ended_.load(); });
  return false;
}

void Traced::run_child(const std::string& output) {
  std::vector<char*> arguments;
  for (std::string& word : words_) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) _exit(126);
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(125);
  raise(SIGSTOP);
  execv(arguments[0], arguments.data());
  _exit(127);
}

void Traced::know(pid_t pid) {
  const std::lock_guard<std::mutex> held(lock_);
  traced_.insert(pid);
  if (gives_up_) kill(pid, SIGKILL);
}

void Traced::trace() {
  static const std::string probe = live::build_file("tests/proof/libproof_faults_probe.so");
  // In the harness's environment, by the one thread that starts programs with it.
  const pid_t program = fork();
  if (program == 0) {
    setenv("LD_PRELOAD", probe.c_str(), 1);
    setenv("RIPSTOP_FAULT_ROLE", plan_.whose == Whose::FirstChild ? "keeper" : "program", 1);
    setenv("RIPSTOP_FAULT_ALLOCATION", std::to_string(plan_.allocation).c_str(), 1);
    setenv("RIPSTOP_FAULT_ALLOCATIONS", std::to_string(plan_.allocation_count).c_str(), 1);
    run_child(output_);
  }
  know(program);
  pid_ = program;
  std::map<pid_t, Tracee> tracees;
  tracees[program].is_counted = plan_.whose == Whose::Program;
  bool is_set_up = false;
  bool child_found = false;
  uint64_t count = 0;
  while (!tracees.empty()) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, __WALL | __WNOTHREAD);
    if (pid < 0) break;
    if (!WIFSTOPPED(status)) {
      if (pid == program) status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      tracees.erase(pid);
      const std::lock_guard<std::mutex> held(lock_);
      traced_.erase(pid);
      continue;
    }
    if (!tracees.contains(pid)) {  // A new thread, or the first child before its parent told of it.
      Tracee tracee;
      tracee.is_counted = plan_.whose == Whose::Program || !child_found;
      tracee.counts = tracee.is_counted;
      child_found = true;
      tracees[pid] = tracee;
      know(pid);
    }
    Tracee& tracee = tracees[pid];
    const int stop = WSTOPSIG(status);
    const int event = status >> 16;
    int deliver = 0;
    if (!is_set_up && pid == program && stop == SIGSTOP) {
      // Threads of the program are traced for their calls; its children only where they are asked for.
      ptrace(PTRACE_SETOPTIONS, pid, nullptr,
             kOptions | PTRACE_O_TRACECLONE | (plan_.whose == Whose::FirstChild ? PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK : 0));
      is_set_up = true;
    } else if (event == PTRACE_EVENT_EXEC) {
      tracee.counts = false;  // What follows is the loader's, up to main.
    } else if (event != 0 || (stop == SIGSTOP && pid != program)) {
      // A child was made, or begins.
    } else if (stop == (SIGTRAP | 0x80)) {
      user_regs_struct registers{};
      bool known = false;
      const bool entry = is_entry(pid, known);
      if (known && ptrace(PTRACE_GETREGS, pid, nullptr, &registers) == 0) {
        const bool is_mark = registers.orig_rax == SYS_prctl;
        if (entry && is_mark && registers.rdi == kMarkMain) {
          tracee.counts = tracee.is_counted;
        } else if (entry && is_mark && registers.rdi == kMarkAllocation) {
          happened_.hit = true;
          happened_.fault = ENOMEM;
          hit_ = true;
        } else if (entry && tracee.counts && can_fail(registers)) {
          happened_.calls.push_back(registers.orig_rax);
          if (++count == plan_.nth) {
            const auto faults = faults_of(registers.orig_rax);
            happened_.hit = true;
            happened_.call = registers.orig_rax;
            happened_.fault = faults[plan_.fault_index % faults.size()];
            hit_ = true;
            if (happened_.fault == kDies) {
              kill(pid, SIGKILL);
            } else if (happened_.fault == kShort) {
              shorten(pid, registers, tracee);
            } else if (registers.orig_rax == SYS_brk) {
              tracee.argument = registers.rdi;
              registers.rdi = 0;  // It fails by answering with the break that there is.
              ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
            } else {
              tracee.pending = happened_.fault;
              if (registers.orig_rax != SYS_close) {  // A close that fails has closed all the same.
                registers.orig_rax = static_cast<unsigned long long>(-1);
                ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
              }
            }
          }
        } else if (!entry && tracee.pending != 0) {
          registers.rax = static_cast<unsigned long long>(-static_cast<long long>(tracee.pending));
          ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
          tracee.pending = 0;
        } else if (!entry && tracee.argument != 0) {
          registers.rdi = std::exchange(tracee.argument, 0);  // The caller goes on using it.
          ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
        } else if (!entry && tracee.shortened_at != 0) {
          poke(pid, tracee.shortened_at, tracee.shortened_from);
          tracee.shortened_at = 0;
        }
      }
    } else if (stop != SIGTRAP) {
      deliver = stop;
    }
    // Who is not counted, or has had its fault, goes at full speed, but for threads that are yet to come.
    const bool steps = tracee.is_counted && (!hit_ || tracee.pending != 0 || tracee.argument != 0 || tracee.shortened_at != 0);
    ptrace(steps ? PTRACE_SYSCALL : PTRACE_CONT, pid, nullptr, deliver);
  }
  all_ended_ = true;
}

}  // namespace ripstop::faults
