// How a process can end, or seem to, with an agent attached, messages in hand and in its lane, and a loan.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "proof/identity/scene.h"

namespace ripstop::identity {

namespace {

using live::Case;
using live::has_ended;
using live::state_of;
using live::wait_until;

void die_by(Findings& findings, const Scene::Act& act, int signal_number = 0) {
  Scene scene(findings, act);
  if (!scene.ready()) return;
  if (signal_number != 0) scene.victim().signal(signal_number);
  else scene.act();
  scene.expect_settled();
  scene.finish();
}

[[noreturn]] void end_thread() {
  syscall(SYS_exit, 0);  // As pthread_exit() ends it, without unwinding.
  for (;;) pause();
}

// In a stranger's debugger, stopped.
int trace(const Link& link, pid_t pid, long options) {
  if (ptrace(PTRACE_SEIZE, pid, nullptr, options) != 0 || ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0) return 2;
  int status = 0;
  if (waitpid(pid, &status, __WALL) != pid) return 3;
  link.tell("stopped");
  (void)link.hear(60'000);
  return 0;
}

}  // namespace

std::vector<Case> death_cases() {
  const std::string settled = "noticed at once, its messages and loan come back, its name is free, the others miss nothing";
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("kill-9", settled, [](Findings& f) { die_by(f, {}, SIGKILL); });
  add("sigterm", settled, [](Findings& f) { die_by(f, {}, SIGTERM); });
  add("sigsegv", settled, [](Findings& f) {
    die_by(f, [](const Link&, Held&) -> int {
      signal(SIGSEGV, SIG_DFL);
      raise(SIGSEGV);
      return 0;
    });
  });
  add("_exit", settled, [](Findings& f) { die_by(f, [](const Link&, Held&) -> int { _exit(0); }); });
  add("return-from-main", settled, [](Findings& f) {
    die_by(f, [](const Link&, Held& held) -> int {
      held.loan.reset();
      held.in_hand.clear();
      return 0;
    });
  });
  add("abort", settled, [](Findings& f) {
    die_by(f, [](const Link&, Held&) -> int {
      const rlimit none{0, 0};
      setrlimit(RLIMIT_CORE, &none);
      signal(SIGABRT, SIG_DFL);
      std::abort();
    });
  });
  add("core-dump", "while its memory is written to disk it may keep its place; the others go on meanwhile; then " + settled, [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int {
      const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
      char name[] = "/tmp/ripstop-core-XXXXXX";
      constexpr std::size_t kBytes = std::size_t{192} << 20;
      if (setrlimit(RLIMIT_CORE, &all) != 0 || mkdtemp(name) == nullptr || chdir(name) != 0) _exit(2);
      auto* memory = static_cast<volatile char*>(std::malloc(kBytes));
      for (std::size_t at = 0; memory != nullptr && at < kBytes; at += 4096) memory[at] = 1;
      // Another one removes what the dump leaves.
      const pid_t victim = getpid();
      if (fork() == 0) {
        while (!has_ended(victim)) usleep(1000);
        usleep(10'000);
        const std::string remove = "rm -rf " + std::string(name);
        _exit(std::system(remove.c_str()));
      }
      signal(SIGABRT, SIG_DFL);
      std::abort();
    });
    if (!scene.ready()) return;
    scene.act();
    // Its reach is one or two, by how far the dump has come; the witness has every number all the same.
    while (!has_ended(scene.victim().pid())) f.expect(scene.talk(1) > 0, "a send fails while the victim's core is dumped", Fault::Blocked);
    scene.expect_settled();
    scene.finish();
  });
  add("zombie", "dead is what the kernel says: settled while its parent does not reap it; its pidfd is readable", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    const pid_t pid = scene.victim().pid();
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    f.expect(state_of(pid) == 'Z', "the victim is no zombie, this case shows nothing");
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pidfd, &set);
    timeval none{0, 0};
    f.expect(select(pidfd + 1, &set, nullptr, nullptr, &none) == 1, "the kernel does not report a zombie as ended");
    close(pidfd);
    scene.finish();
  });
  add("stopped-then-killed", settled, [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    scene.victim().signal(SIGSTOP);
    f.expect(wait_until([&] { return state_of(scene.victim().pid()) == 'T'; }), "it does not stop");
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("stopped-for-a-while", "a late process is not declared dead: it keeps its place, and has all its mail when it goes on", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      held.loan.reset();
      held.in_hand.clear();
      int count = 3;
      while (auto message = held.subscriber.take(std::chrono::milliseconds(300))) ++count;
      link.tell(std::to_string(count));
      for (;;) pause();
    });
    if (!scene.ready()) return;
    scene.victim().signal(SIGSTOP);
    scene.expect_alive();
    usleep(300'000);
    scene.expect_alive();
    scene.act();
    scene.victim().signal(SIGCONT);
    const std::string count = scene.victim().link().hear().value_or("nothing");
    f.expect(count == "20", "it had " + count + " of 20 numbers", Fault::Lost);
    scene.finish();
  });
  add("stopped-in-a-control-call", "its request is answered or not, nobody waits for it; killed, it is settled", [](Findings& f) {
    Scene scene(f, [](const Link&, Held& held) -> int {
      for (int i = 0;; ++i) (void)held.agent.subscriber("d1.more." + std::to_string(i % 8));
      return 0;
    });
    if (!scene.ready()) return;
    scene.act();
    for (int i = 0; i < 20; ++i) {
      usleep(1'000);
      scene.victim().signal(SIGSTOP);
      usleep(500);
      scene.victim().signal(SIGCONT);
    }
    scene.victim().signal(SIGSTOP);
    f.expect(try_attach("other") == "ok", "another one cannot attach", Fault::Blocked);
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("traced-and-stopped", "a debugger's stop is a stop: it keeps its place; when the debugger lets go it goes on", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    {
      Child tracer([pid = scene.victim().pid()](const Link& link) -> int { return trace(link, pid, 0); });
      if (!f.expect(tracer.link().hear().value_or("") == "stopped", "no tracer")) return;
      scene.expect_alive();
      tracer.link().tell("end");
      tracer.wait();
    }
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("killed-while-traced", "SIGKILL ends it under the debugger; settled although its tracer has not reaped it", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    Child tracer([pid = scene.victim().pid()](const Link& link) -> int { return trace(link, pid, 0); });
    if (!f.expect(tracer.link().hear().value_or("") == "stopped", "no tracer")) return;
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    tracer.link().tell("end");
    tracer.wait();
    scene.finish();
  });
  add("tracer-dies-with-exitkill", "the debugger's end takes it along: settled", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    Child tracer([pid = scene.victim().pid()](const Link& link) -> int { return trace(link, pid, PTRACE_O_EXITKILL); });
    if (!f.expect(tracer.link().hear().value_or("") == "stopped", "no tracer")) return;
    tracer.kill();
    scene.expect_settled();
    scene.finish();
  });
  add("main-thread-ends", "while another thread of it lives its agent does", [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int {
      std::thread([] { for (;;) pause(); }).detach();
      end_thread();
    });
    if (!scene.ready()) return;
    scene.act();
    f.expect(wait_until([&] { return state_of(scene.victim().pid()) == 'Z'; }), "its first thread does not end");
    usleep(50'000);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("main-thread-ends-then-the-last", settled, [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int {
      std::thread([] {
        usleep(100'000);
        end_thread();
      }).detach();
      end_thread();
    });
    if (!scene.ready()) return;
    scene.act();
    scene.expect_settled();
    scene.finish();
  });
  add("thread-with-an-agent-ends", "its agent detaches when its thread ends; the other agents of the process stay", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      std::thread([&] {
        auto own = hold("of-a-thread");
        link.tell(own && live::is_attached("of-a-thread") ? "attached" : "not attached");
      }).join();
      link.tell(live::is_attached("of-a-thread") ? "still there" : "gone");
      for (;;) pause();
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "attached", "the thread's agent does not attach");
    f.expect(scene.victim().link().hear().value_or("") == "gone", "the thread's agent is still there", Fault::Leaked);
    scene.expect_alive();
    scene.finish();
  });
  add("killed-while-attaching", "at any instant of its attach: the name is free, nothing of it stays", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    scene.victim().kill();
    for (int i = 0; i < 60; ++i) {
      Child child([](const Link&) -> int {
        (void)hold("hasty");
        for (;;) pause();
        return 0;
      });
      usleep(static_cast<useconds_t>(i * 37 % 2500));
      child.kill();
    }
    f.expect(wait_until([] { return !live::is_attached("hasty"); }), "an agent of a dead process stays", Fault::Leaked);
    f.expect(try_attach("hasty") == "ok", "the name is not free", Fault::Blocked);
    scene.finish();
  });
  cases.back().point_count = 60;
  add("killed-while-detaching", "at any instant of its detach: as detached or as died, and nothing of it stays", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    scene.victim().kill();
    for (int i = 0; i < 40; ++i) {
      Child child([](const Link& link) -> int {
        auto held = hold("leaving");
        link.tell("attached");
        if (held) (void)held->agent.detach();
        for (;;) pause();
        return 0;
      });
      (void)child.link().hear();
      usleep(static_cast<useconds_t>(i * 11 % 400));
      child.kill();
    }
    f.expect(wait_until([] { return !live::is_attached("leaving"); }), "an agent of a dead process stays", Fault::Leaked);
    scene.finish();
  });
  cases.back().point_count = 40;
  return cases;
}

}  // namespace ripstop::identity
