// fork, vfork and exec: what a child has of its parent's agent (nothing), and what is left of an agent whose
// process becomes another program.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "proof/identity/scene.h"

extern char** environ;

namespace ripstop::identity {

namespace {

using live::Case;
using live::wait_until;

// What a process has of the fabric: descriptors and maps of its memory, connected sockets.
std::string has_of_fabric(pid_t pid) {
  std::string found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.find("ripstop:") != std::string::npos || target.starts_with("socket:")) found += " " + target;
  }
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:ripstop:") != std::string::npos) found += " " + line;
  }
  return found;
}

// A child maps the control segment, read-only, and no node.
bool maps_a_node(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:ripstop:") != std::string::npos && line.find(":node") != std::string::npos) return true;
  }
  return false;
}

const char* const kSleep[] = {"sleep", "30", nullptr};
char* const* sleep_words() { return const_cast<char* const*>(kSleep); }

bool is_sleep(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name == "sleep";
}

// The victim tells the pid of a child of its own.
pid_t told_pid(Scene& scene) {
  const std::string word = scene.victim().ask("act");
  return word.empty() ? 0 : std::atoi(word.c_str());
}

void pause_for_ever() {
  for (;;) pause();
}

}  // namespace

std::vector<Case> fork_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("fork-child-uses-the-agent", "each call in the child is refused with Forked and says what to do; the parent is unaffected", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      if (fork() == 0) {
        const auto opened = held.agent.publisher("d1.child");
        const auto loan = held.publisher.loan(8);
        const bool refused = !opened && is_error(words_of(opened.error()), Errc::Forked) && !loan && loan.error().code == Errc::Forked &&
                             held.loan->send().outcome == SendOutcome::Forked && held.subscriber.take().outcome() == TakeOutcome::Forked;
        link.tell(refused ? "refused" : "not refused: " + outcome_of(opened));
        _exit(0);
      }
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "refused", words.empty() ? "the child crashes" : words);
    scene.expect_alive();
    scene.finish();
  });
  add("fork-grandchild-uses-the-agent", "refused with Forked, as in the child", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      if (fork() == 0) {
        if (fork() == 0) {
          link.tell(outcome_of(held.agent.subscriber("d1.child")));
          _exit(0);
        }
        _exit(0);
      }
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(is_error(words, Errc::Forked), words);
    scene.expect_alive();
    scene.finish();
  });
  add("fork-parent-dies", "the agent dies with its process, though a child holds its socket open", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      const pid_t child = fork();
      if (child == 0) pause_for_ever();
      link.tell(std::to_string(child));
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const pid_t child = told_pid(scene);
    f.expect(!maps_a_node(child), "the child maps the memory of the parent's messages");
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    f.expect(kill(child, SIGKILL) == 0, "the child does not outlive the parent, this case shows nothing");
    scene.finish();
  });
  add("fork-child-dies", "nothing happens to the parent's agent", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      const pid_t child = fork();
      if (child == 0) pause_for_ever();
      link.tell(std::to_string(child));
      waitpid(child, nullptr, 0);
      link.tell("reaped");
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    kill(told_pid(scene), SIGKILL);
    f.expect(scene.victim().link().hear().value_or("") == "reaped", "the child is not killed");
    scene.expect_alive();
    scene.finish();
  });
  add("fork-child-exits-with-destructors", "ending what it has inherited is harmless: the parent's agent goes on", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      const pid_t child = fork();
      if (child == 0) {
        held.loan.reset();
        held.in_hand.clear();
        { const Held ended = std::move(held); }
        _exit(7);
      }
      int status = 0;
      waitpid(child, &status, 0);
      link.tell(WIFEXITED(status) && WEXITSTATUS(status) == 7 ? "ended" : "crashed");
      // What the parent had is still its own.
      link.tell(held.in_hand[0].bytes().size() == 8 && held.loan->bytes().size() == 100 && held.publisher.loan(8) ? "whole" : "damaged");
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ended", "the child crashes");
    f.expect(scene.victim().link().hear().value_or("") == "whole", "the parent's messages or loan are damaged", Fault::Lost);
    scene.expect_alive();
    scene.finish();
  });
  add("fork-child-attaches-its-own", "both agents work; the parent's death ends its own alone", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      const pid_t child = fork();
      if (child == 0) {
        auto own = hold("of-the-child");
        link.tell(own ? std::to_string(getpid()) : "0");
        pause_for_ever();
      }
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const pid_t child = told_pid(scene);
    if (!f.expect(child > 0 && live::is_attached("of-the-child"), "the child cannot attach")) return;
    f.expect(scene.talk(1) == 3, "a number does not reach all three");
    scene.victim().signal(SIGKILL);
    f.expect(wait_until([] { return !live::is_attached("victim"); }), "the parent is not settled", Fault::Blocked);
    f.expect(scene.talk(1) == 2, "the child's agent does not outlive the parent");
    kill(child, SIGKILL);
    f.expect(wait_until([] { return !live::is_attached("of-the-child"); }), "the child is not settled", Fault::Leaked);
    scene.finish();
  });
  add("fork-child-takes-the-name", "refused with NameTaken and the parent's pid while that lives", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      if (fork() == 0) {
        const auto agent = Agent::attach(options_of("victim"));
        const std::string words = outcome_of(agent);
        link.tell(is_error(words, Errc::NameTaken) && words.find(std::to_string(getppid())) != std::string::npos ? "refused" : words);
        _exit(0);
      }
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "refused", words);
    scene.expect_alive();
    scene.finish();
  });
  add("fork-child-closes-all-descriptors", "nothing happens to the parent's agent", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      if (fork() == 0) {
        closefrom(3);
        _exit(0);
      }
      wait(nullptr);
      link.tell("done");
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "done", "no child");
    scene.expect_alive();
    scene.finish();
  });
  add("daemonized-after-attach", "the agent was the parent's: settled when that ends; the daemon's calls say Forked", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      const pid_t victim = getpid();
      if (fork() == 0) {
        setsid();
        if (fork() == 0) {
          wait_until([&] { return live::has_ended(victim); });
          link.tell(outcome_of(held.publisher.loan(8)));
          _exit(0);
        }
        _exit(0);
      }
      _exit(0);
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(is_error(words, Errc::Forked), words);
    scene.expect_settled();
    scene.finish();
  });
  add("exec", "the process has no memory of the fabric any more: settled; no descriptor of it survives", [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int { return execvp("sleep", sleep_words()); });
    if (!scene.ready()) return;
    scene.act();
    f.expect(wait_until([&] { return is_sleep(scene.victim().pid()); }), "it does not execute");
    const std::string has = has_of_fabric(scene.victim().pid());
    f.expect(has.empty(), "the new program has inherited:" + has, Fault::Leaked);
    scene.expect_settled();
    scene.finish();
  });
  add("exec-by-another-thread", "as any exec: settled", [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int {
      std::thread([] { execvp("sleep", sleep_words()); }).join();
      return 2;
    });
    if (!scene.ready()) return;
    scene.act();
    f.expect(wait_until([&] { return is_sleep(scene.victim().pid()); }), "it does not execute");
    scene.expect_settled();
    scene.finish();
  });
  add("exec-that-fails", "nothing has happened: its agent goes on", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      execl("/nowhere/at-all", "x", nullptr);
      link.tell(outcome_of(held.agent.publisher("d1.after-exec")));
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "ok", words);
    scene.expect_alive();
    scene.finish();
  });
  add("exec-while-no-supervisor-is-there", "the next supervisor finds that its memory is given up: settled", [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int { return execvp("sleep", sleep_words()); });
    if (!scene.ready()) return;
    scene.fabric().kill_supervisor();
    scene.act();
    f.expect(wait_until([&] { return is_sleep(scene.victim().pid()); }), "it does not execute");
    if (!f.expect(scene.fabric().start(), "no take-over: " + scene.fabric().log())) return;
    scene.expect_settled();
    scene.finish();
  });
  add("fork-and-exec", "the executed child has nothing of the fabric, the parent's agent goes on", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      const pid_t child = fork();
      if (child == 0) {
        execvp("sleep", sleep_words());
        _exit(127);
      }
      link.tell(std::to_string(child));
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const pid_t child = told_pid(scene);
    f.expect(wait_until([&] { return is_sleep(child); }), "the child does not execute");
    const std::string has = has_of_fabric(child);
    f.expect(has.empty(), "the child has inherited:" + has, Fault::Leaked);
    scene.expect_alive();
    kill(child, SIGKILL);
    scene.finish();
  });
  add("vfork-and-exec", "the parent, that shared its memory for a moment, goes on", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      pid_t child = 0;
      if (posix_spawnp(&child, "sleep", nullptr, nullptr, sleep_words(), environ) != 0) return 2;
      link.tell(std::to_string(child));
      (void)link.hear();
      link.tell(outcome_of(held.agent.publisher("d1.after-vfork")));
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const pid_t child = told_pid(scene);
    f.expect(wait_until([&] { return is_sleep(child); }), "the child does not execute");
    const std::string has = has_of_fabric(child);
    f.expect(has.empty(), "the child has inherited:" + has, Fault::Leaked);
    const std::string words = scene.victim().ask("go on");
    f.expect(words == "ok", words);
    scene.expect_alive();
    kill(child, SIGKILL);
    scene.finish();
  });
  add("vfork-child-exits", "the parent's agent goes on, and is not taken for forked", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
      const pid_t child = vfork();
      if (child == 0) _exit(0);
#pragma GCC diagnostic pop
      waitpid(child, nullptr, 0);
      link.tell(outcome_of(held.publisher.loan(8)));
      pause_for_ever();
      return 0;
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "ok", words);
    scene.expect_alive();
    scene.finish();
  });
  return cases;
}

}  // namespace ripstop::identity
