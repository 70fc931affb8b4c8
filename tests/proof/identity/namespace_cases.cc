// Processes that see other numbers than the supervisor does: in pid and user namespaces; and numbers that
// come back to somebody else.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "proof/identity/scene.h"

namespace ripstop::identity {

namespace {

using live::Case;
using live::wait_until;

bool can_unshare(int flags) {
  Child child([flags](const Link&) -> int { return unshare(flags) == 0 ? 0 : 1; });
  return child.wait() == 0;
}

bool write_text(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) close(fd);
  return done;
}

// The process's number in the harness's namespace is not what it calls itself.
int hold_in_namespace(const Link& link, const char* name) {
  auto held = hold(name);
  link.tell(held ? "ok" : "refused");
  if (!held) return 1;
  while (link.hear(60'000)) {
    int count = 0;
    while (held->subscriber.take(std::chrono::milliseconds(50))) ++count;
    link.tell(std::to_string(count));
  }
  return 0;
}

// Runs `body` as the first process of a new pid namespace, with its own /proc.
int in_pid_namespace(const Link& link, int more_flags, const std::function<int(const Link&)>& body) {
  if (unshare(CLONE_NEWPID | CLONE_NEWNS | more_flags) != 0) return link.tell("no namespace"), 3;
  const pid_t first = fork();
  if (first == 0) {
    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("proc", "/proc", "proc", 0, nullptr) != 0) {
      link.tell("no /proc of its own");
      _exit(3);
    }
    _exit(body(link));
  }
  int status = 0;
  waitpid(first, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// In a namespace of its own: an agent dies, and another process gets its number, while no supervisor is
// there, or while one is. Answers with what was found.
int reuse_a_pid(const Link& link, bool while_supervised) {
  Findings f;
  std::string words;
  {
    Fabric fabric;
    f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log());
    auto first = std::make_unique<Child>([](const Link& said) -> int { return hold_in_namespace(said, "victim"); });
    const pid_t number = first->pid();
    f.expect(first->link().hear().value_or("") == "ok", "the first one cannot attach");
    if (!while_supervised) fabric.kill_supervisor();
    first->kill();
    // The next process gets this number plus one.
    const bool may = write_text("/proc/sys/kernel/ns_last_pid", std::to_string(number - 1));
    Child second([](const Link& said) -> int {
      said.tell("here");
      while (const auto word = said.hear(60'000)) {
        auto agent = Agent::attach(options_of("victim"));
        said.tell(outcome_of(agent));
      }
      return 0;
    });
    (void)second.link().hear();
    if (!may || second.pid() != number) {
      link.tell("skip: numbers cannot be chosen here");
      return 0;
    }
    if (!while_supervised) f.expect(fabric.start(), "no take-over: " + fabric.log());
    f.expect(wait_until([] { return !live::is_attached("victim"); }), "the second process is taken for the first", Fault::Leaked);
    const std::string attached = second.ask("attach");
    f.expect(attached == "ok", attached, Fault::Blocked);
    second.kill();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  }
  for (const auto& found : f.found()) words += found.words + "; ";
  link.tell(words.empty() ? "ok" : words);
  return 0;
}

void expect_reuse(Findings& f, bool while_supervised) {
  if (!can_unshare(CLONE_NEWPID | CLONE_NEWNS)) return f.skip("no pid namespaces for this user");
  Child child([while_supervised](const Link& link) -> int {
    return in_pid_namespace(link, 0, [while_supervised](const Link& inner) -> int { return reuse_a_pid(inner, while_supervised); });
  });
  const std::string words = child.link().hear(30'000).value_or("no answer");
  if (words.starts_with("skip: ") || words.starts_with("no /proc")) return f.skip(words);
  f.expect(words == "ok", words);
}

// An agent elsewhere beside the harness's supervisor.
void expect_agent_in(Findings& f, const std::function<int(const Link&)>& body) {
  Scene scene(f);
  if (!scene.ready()) return;
  Child elsewhere(body);
  const std::string word = elsewhere.link().hear().value_or("no answer");
  if (word.starts_with("no ")) return f.skip(word);
  f.expect(word == "ok", "an agent there cannot attach");
  f.expect(scene.talk(4) == 3, "a number does not reach it");
  f.expect(elsewhere.ask("count") == "4", "it does not get the numbers", Fault::Lost);
  // Killed by the number that this side knows it by.
  const auto inspector = Inspector::open();
  const auto agent = inspector ? inspector->agent("elsewhere") : Result<AgentView>(inspector.error());
  if (f.expect(agent && agent->process.pid > 1, "it has no number here")) {
    f.expect(kill(static_cast<pid_t>(agent->process.pid), SIGKILL) == 0, "the registry names pid " + std::to_string(agent->process.pid) + ", which there is not");
  }
  f.expect(wait_until([] { return !live::is_attached("elsewhere"); }), "its death is not noticed", Fault::Blocked);
  f.expect(scene.talk(1) == 2, "the others stand still", Fault::Blocked);
  elsewhere.kill();
  scene.finish();
}

}  // namespace

std::vector<Case> namespace_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("agent-in-a-pid-namespace", "attached under the number that the supervisor sees; its death is noticed", [](Findings& f) {
    if (!can_unshare(CLONE_NEWPID | CLONE_NEWNS)) return f.skip("no pid namespaces for this user");
    expect_agent_in(f, [](const Link& link) -> int {
      return in_pid_namespace(link, 0, [](const Link& inner) -> int { return hold_in_namespace(inner, "elsewhere"); });
    });
  });
  add("agent-in-a-user-namespace", "it is who it is outside: let in where that user is; its death is noticed", [](Findings& f) {
    if (!can_unshare(CLONE_NEWUSER)) return f.skip("no user namespaces for this user");
    expect_agent_in(f, [](const Link& link) -> int {
      const uid_t uid = geteuid();
      if (unshare(CLONE_NEWUSER) != 0 || !write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1")) return link.tell("no namespace"), 3;
      return hold_in_namespace(link, "elsewhere");
    });
  });
  add("agent-in-a-network-namespace", "a socket with a path is the same everywhere: attached as usual", [](Findings& f) {
    if (!can_unshare(CLONE_NEWNET)) return f.skip("no network namespaces for this user");
    expect_agent_in(f, [](const Link& link) -> int {
      if (unshare(CLONE_NEWNET) != 0) return link.tell("no namespace"), 3;
      return hold_in_namespace(link, "elsewhere");
    });
  });
  add("pid-namespace-ends", "all of its processes die at once, agents among them: settled", [](Findings& f) {
    if (!can_unshare(CLONE_NEWPID | CLONE_NEWNS)) return f.skip("no pid namespaces for this user");
    Scene scene(f);
    if (!scene.ready()) return;
    Child space([](const Link& link) -> int {
      return in_pid_namespace(link, 0, [](const Link& inner) -> int {
        for (const char* name : {"inside-a", "inside-b", "inside-c"}) {
          if (fork() == 0) _exit(hold_in_namespace(inner, name));
        }
        for (;;) pause();
        return 0;
      });
    });
    f.expect(wait_until([&] { return scene.talk(1) == 5; }), "a number does not reach all five");
    std::ifstream children("/proc/" + std::to_string(space.pid()) + "/task/" + std::to_string(space.pid()) + "/children");
    pid_t first = 0;
    children >> first;
    f.expect(first > 0 && kill(first, SIGKILL) == 0, "the namespace has no first process");
    f.expect(wait_until([] { return !live::is_attached("inside-a") && !live::is_attached("inside-b") && !live::is_attached("inside-c"); }), "their death is not noticed", Fault::Blocked);
    f.expect(scene.talk(2) == 2, "a number reaches the dead");
    scene.finish();
  });
  add("supervisor-in-a-pid-namespace", "an agent outside has no number there, and could not be found after a restart: Denied, and where to run the supervisor", [](Findings& f) {
    if (!can_unshare(CLONE_NEWPID | CLONE_NEWNS)) return f.skip("no pid namespaces for this user");
    Fabric fabric;
    Child space([&](const Link& link) -> int {
      return in_pid_namespace(link, 0, [&](const Link& inner) -> int {
        const bool serves = [&] {
          fabric.launch();
          return wait_until([] { return Inspector::open().has_value(); });
        }();
        inner.tell(serves ? "serves" : "no supervisor: " + fabric.log());
        (void)inner.hear(60'000);
        return fabric.end();
      });
    });
    const std::string word = space.link().hear().value_or("no answer");
    if (!f.expect(word == "serves", word)) return;
    const std::string words = try_attach("outside");
    f.expect(is_error(words, Errc::Denied), words);
    f.expect(live::agent_count() == 0, "it has a place all the same", Fault::Leaked);
    const std::string status = space.ask("end");
    f.expect(space.wait() == 0, "the supervisor does not end well: " + fabric.log() + status);
    f.expect(fabric.leavings().empty(), "left behind:" + fabric.leavings(), Fault::Leaked);
  });
  add("pid-reused-while-supervised", "the pidfd says that the first one is dead: the second, with its number, is not taken for it", [](Findings& f) { expect_reuse(f, true); });
  add("pid-reused-while-no-supervisor-is-there", "the next supervisor finds that the number is another process's: settled", [](Findings& f) { expect_reuse(f, false); });
  return cases;
}

}  // namespace ripstop::identity
