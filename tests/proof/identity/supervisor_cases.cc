// Deaths of supervisor and keeper, and agents that die while nobody is there to notice.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "proof/identity/scene.h"

namespace ripstop::identity {

namespace {

using live::Case;
using live::wait_until;

// What the victim does in most of these: opens something whenever it is asked, and says how that went.
int open_on_demand(const Link& link, Held& held) {
  int count = 0;
  do link.tell(outcome_of(held.agent.publisher("d1.on-demand." + std::to_string(count++ % 8))));
  while (link.hear(60'000));
  return 0;
}

void take_over(Findings& f, Scene& scene) {
  f.expect(scene.fabric().start(), "no take-over: " + scene.fabric().log(), Fault::Blocked);
}

}  // namespace

std::vector<Case> supervisor_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("supervisor-killed", "messages go on without it; the next one takes over, and control calls work again", [](Findings& f) {
    Scene scene(f, open_on_demand);
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "a control call fails before");
    scene.fabric().kill_supervisor();
    f.expect(scene.talk(5) == 2, "messages do not reach both without a supervisor", Fault::Blocked);
    take_over(f, scene);
    const std::string words = scene.victim().ask("open");
    f.expect(words == "ok", words);
    scene.expect_alive();
    scene.finish();
  });
  add("supervisor-down-while-an-agent-dies", "settled by the next one", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    scene.fabric().kill_supervisor();
    scene.victim().signal(SIGKILL);
    take_over(f, scene);
    scene.expect_settled();
    scene.finish();
  });
  add("supervisor-down-while-an-agent-stops", "it keeps its place; killed later it is settled", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    scene.fabric().kill_supervisor();
    scene.victim().signal(SIGSTOP);
    take_over(f, scene);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("agent-dies-during-the-restart", "at any instant of it: settled", [](Findings& f) {
    for (int i = 0; i < 8; ++i) {
      Scene scene(f);
      if (!scene.ready()) return;
      scene.fabric().kill_supervisor();
      scene.fabric().launch();
      usleep(static_cast<useconds_t>(i * 3000));
      scene.victim().signal(SIGKILL);
      f.expect(scene.fabric().serves(), "no take-over: " + scene.fabric().log(), Fault::Blocked);
      scene.expect_settled();
      scene.finish();
    }
  });
  cases.back().point_count = 8;
  add("zombie-across-a-restart", "settled by the next supervisor though its parent has not reaped it", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    scene.victim().signal(SIGKILL);
    scene.fabric().kill_supervisor();
    take_over(f, scene);
    scene.expect_settled();
    f.expect(live::state_of(scene.victim().pid()) == 'Z', "it is no zombie, this case shows nothing");
    scene.finish();
  });
  add("main-thread-ended-across-a-restart", "another thread of it maps the memory: it keeps its place", [](Findings& f) {
    Scene scene(f, [](const Link&, Held&) -> int {
      std::thread([] { for (;;) pause(); }).detach();
      for (;;) syscall(SYS_exit, 0);  // As pthread_exit() ends the thread, without unwinding.
    });
    if (!scene.ready()) return;
    scene.act();
    f.expect(wait_until([&] { return live::state_of(scene.victim().pid()) == 'Z'; }), "its first thread does not end");
    scene.fabric().kill_supervisor();
    take_over(f, scene);
    usleep(50'000);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("supervisor-stopped", "control calls end with Timeout and what to look at; messages go on; when it goes on, so do they", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      held.loan.reset();
      held.in_hand.clear();
      (void)held.agent.detach();
      auto impatient = Agent::attach(options_of("victim", 200));
      link.tell(outcome_of(impatient));
      for (int i = 0; link.hear(60'000); ++i) link.tell(outcome_of(impatient->publisher("d1.stopped." + std::to_string(i))));
      return 0;
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "it cannot attach");
    kill(scene.fabric().supervisor(), SIGSTOP);
    const std::string words = scene.victim().ask("open");
    f.expect(is_error(words, Errc::Timeout), words);
    f.expect(scene.talk(3) == 1, "messages stand still", Fault::Blocked);
    kill(scene.fabric().supervisor(), SIGCONT);
    const std::string after = scene.victim().ask("open");
    f.expect(after == "ok", after);
    scene.finish();
  });
  add("agent-dies-while-the-supervisor-is-stopped", "settled when it goes on", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    kill(scene.fabric().supervisor(), SIGSTOP);
    scene.victim().signal(SIGKILL);
    usleep(20'000);
    kill(scene.fabric().supervisor(), SIGCONT);
    scene.expect_settled();
    scene.finish();
  });
  add("keeper-killed", "another one is there at once, and the fabric outlives its supervisor as before", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    const pid_t keeper = scene.fabric().keeper();
    scene.fabric().kill_keeper();
    const auto replaced = [&] {
      const pid_t now = scene.fabric().keeper();
      return now != keeper && now > 0 && access((scene.fabric().directory() + "/ripstop/default.keeper.sock").c_str(), F_OK) == 0;
    };
    f.expect(wait_until(replaced), "no new keeper", Fault::Blocked);
    scene.fabric().kill_supervisor();
    take_over(f, scene);
    scene.expect_alive();
    scene.finish();
  });
  add("keeper-killed-six-times", "five times it is replaced; then the supervisor says that the fabric does not outlive it any more, and serves on", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    pid_t last = 0;
    for (int i = 0; i < 6; ++i) {
      const bool is_there = wait_until([&] {
        const pid_t now = scene.fabric().keeper();
        return now > 0 && now != last;
      }, 1'000);
      if (!is_there) break;
      last = scene.fabric().keeper();
      scene.fabric().kill_keeper();
    }
    f.expect(wait_until([&] { return scene.fabric().log().find("the keeper does not stay") != std::string::npos; }), "it does not say so");
    scene.expect_alive();
    scene.finish();
  });
  add("keeper-stopped", "nobody waits for it: agents attach and end; the supervisor ends and takes it along", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    kill(scene.fabric().keeper(), SIGSTOP);
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("keeper-killed-while-the-supervisor-is-stopped", "replaced when it goes on", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    const pid_t keeper = scene.fabric().keeper();
    kill(scene.fabric().supervisor(), SIGSTOP);
    kill(keeper, SIGKILL);
    wait_until([&] { return live::has_ended(keeper); });
    kill(scene.fabric().supervisor(), SIGCONT);
    f.expect(wait_until([&] { const pid_t now = scene.fabric().keeper(); return now > 0 && now != keeper; }), "no new keeper", Fault::Blocked);
    scene.expect_alive();
    scene.finish();
  });
  const auto end_both = [](Findings& f, bool keeper_first) {
    Scene scene(f, open_on_demand);
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "a control call fails before");
    const pid_t keeper = scene.fabric().keeper();
    if (keeper_first) kill(keeper, SIGKILL);
    kill(scene.fabric().supervisor(), SIGKILL);
    scene.fabric().kill_supervisor();
    for (const pid_t pid : scene.fabric().processes()) kill(pid, SIGKILL);  // One that was just started, too.
    f.expect(wait_until([&] { return scene.fabric().processes().empty(); }), "a keeper stays", Fault::Leaked);
    f.expect(scene.talk(5) == 2, "the messages of those who are attached stand still", Fault::Blocked);
    take_over(f, scene);
    const std::string words = scene.victim().ask("open");
    f.expect(is_error(words, Errc::SupervisorGone), words);
    f.expect(scene.talk(5) == 2, "the messages of those who are attached stand still", Fault::Blocked);
    f.expect(try_attach("victim") == "ok", "the new fabric does not know the name as free", Fault::Blocked);
    scene.finish_agents();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, scene.fabric());
  };
  add("keeper-then-supervisor-killed", "the fabric starts anew; those of the old one exchange on, and are told so with SupervisorGone", [end_both](Findings& f) { end_both(f, true); });
  add("supervisor-then-keeper-killed", "as the other way round", [end_both](Findings& f) { end_both(f, false); });
  add("supervisor-killed-while-it-drains", "the next one finds the memory, and the agents", [](Findings& f) {
    Scene scene(f, {}, {"drain_timeout_ms=4000"});
    if (!scene.ready()) return;
    kill(scene.fabric().supervisor(), SIGTERM);
    f.expect(wait_until([&] { return try_attach("late").starts_with(error_code_text(Errc::Draining)); }), "it does not drain");
    scene.fabric().kill_supervisor();
    take_over(f, scene);
    scene.expect_alive();
    scene.victim().kill();
    scene.finish();
  });
  add("supervisor-ends-with-agents-attached", "they keep their memory and exchange on; nothing else stays", [](Findings& f) {
    Scene scene(f, open_on_demand);
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "a control call fails before");
    live::expect_clean_end(f, scene.fabric());
    f.expect(scene.talk(5) == 2, "the messages of those who are attached stand still", Fault::Blocked);
    std::string words;
    for (int i = 0; i < 8 && (words.empty() || words == "ok"); ++i) words = scene.victim().ask("open");
    f.expect(words == "ok" || is_error(words, Errc::SupervisorGone), words);
    scene.finish_agents();
  });
  add("two-supervisors-at-once", "one serves, the other is refused with FabricBusy and the first one's pid", [](Findings& f) {
    for (int i = 0; i < 5; ++i) {
      Fabric fabric;
      const pid_t first = fabric.launch();
      fabric.release();
      const pid_t second = fabric.launch();
      fabric.release();
      int status = 0;
      pid_t ended = 0;
      const bool one_ends = wait_until([&] {
        for (const pid_t pid : {first, second}) {
          if (waitpid(pid, &status, WNOHANG) == pid) ended = pid;
        }
        return ended != 0;
      });
      f.expect(one_ends && WIFEXITED(status) && WEXITSTATUS(status) == 1 && fabric.log().find("RS-0109") != std::string::npos, "neither is refused: " + fabric.log());
      const pid_t server = ended == first ? second : first;
      f.expect(wait_until([] { return Inspector::open().has_value(); }), "neither serves", Fault::Blocked);
      const std::string trouble = live::exchange_trouble(kChunkCount);
      f.expect(trouble.empty(), trouble);
      kill(server, SIGTERM);
      waitpid(server, &status, 0);
      f.expect(WIFEXITED(status) && WEXITSTATUS(status) == 0 && fabric.leavings().empty(), "left behind:" + fabric.leavings(), Fault::Leaked);
    }
  });
  cases.back().point_count = 5;
  add("files-of-a-dead-fabric", "a socket and a lock that nobody holds any more are no obstacle, whoever has the pid in it now", [](Findings& f) {
    Fabric fabric;
    if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
    const pid_t keeper = fabric.keeper();
    kill(fabric.supervisor(), SIGSTOP);
    kill(keeper, SIGKILL);
    fabric.kill_supervisor();
    std::ofstream(fabric.directory() + "/ripstop/default.lock") << getpid() << " 0\n";
    if (!f.expect(fabric.start(), "the next supervisor does not serve: " + fabric.log(), Fault::Blocked)) return;
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  add("runtime-directory-removed", "those who are attached exchange on and end well; newcomers are told that no supervisor answers; the supervisor ends", [](Findings& f) {
    Scene scene(f);
    if (!scene.ready()) return;
    std::filesystem::remove_all(scene.fabric().directory() + "/ripstop");
    f.expect(scene.talk(5) == 2, "messages stand still", Fault::Blocked);
    const std::string words = try_attach("late");
    f.expect(is_error(words, Errc::NoSupervisor), words);
    scene.victim().signal(SIGKILL);
    f.expect(wait_until([&] { return scene.talk(1) == 1; }), "the victim is not settled", Fault::Blocked);
    scene.finish_agents();
    live::expect_clean_end(f, scene.fabric());
  });
  return cases;
}

}  // namespace ripstop::identity
