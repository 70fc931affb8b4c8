#include "proof/faults/roles.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "proof/faults/calls.h"
#include "proof/faults/script.h"
#include "proof/live/child.h"
#include "ripstop/agent.h"
#include "ripstop/inspect.h"

namespace ripstop::faults {

namespace {

using live::Child;
using live::Fabric;
using live::Fault;
using live::Findings;
using live::Link;
using live::wait_until;

constexpr uint32_t kChunkCount = 64;
constexpr int kPatienceMs = 10'000;  // For anything that must end.

std::vector<std::string> settings() {
  return {R"(classes=[{"payload_bytes": 256, "chunk_count": 64}])", "slab_bytes=4KiB", "topics=32", "lanes.normal=8", "agents=8"};
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Drives a supervisor as its agents do: one detaches, one is killed. Whatever fails there is the fault's doing, and
// is to be said with a typed error; "" when all of it is.
std::string drive() {
  Child orderly([](const Link& link) {
    // What the script says goes to the link.
    char name[] = "/tmp/ripstop-faults-XXXXXX";
    const int fd = mkstemp(name);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) return 2;
    const int status = run_agent("orderly");
    const std::string wrong = untyped(read_file(name));
    unlink(name);
    link.tell(wrong.empty() ? "ok" : wrong);
    return status;
  });
  Child hasty([](const Link& link) {
    AgentOptions options;
    options.name = "hasty";
    options.timeout = std::chrono::seconds(2);
    auto agent = Agent::attach(options);
    if (agent) {
      auto publisher = agent->publisher("f1.hasty");
      auto loan = publisher ? publisher->loan(8) : Result<Loan<Bytes>>(publisher.error());
      link.tell("up");
      for (;;) pause();
    }
    link.tell("refused");
    return 0;
  });
  (void)hasty.link().hear(kPatienceMs);
  hasty.kill();
  const std::string words = orderly.link().hear(kPatienceMs).value_or("an agent hangs or crashes while the supervisor has its fault");
  orderly.wait(1'000);
  (void)Inspector::open();
  return words == "ok" ? "" : words;
}

// An error that a program ended with, as every program of ours prints it.
bool says_what_to_do(const std::string& output) {
  const std::size_t at = output.rfind("error RS-");
  return at != std::string::npos && output.find("\n  fix ", at) != std::string::npos && output.find("\n  why ", at) != std::string::npos;
}

std::string last_lines(const std::string& text) {
  return text.size() <= 700 ? text : "…" + text.substr(text.size() - 700);
}

// A program's end, when it was not told to die there.
void expect_orderly(Findings& f, int status, const std::string& output) {
  if (status < 0) return f.add(Fault::Blocked, "it hangs: " + last_lines(output));
  if (status >= 128) return f.add(Fault::Wrong, "it is ended by signal " + std::to_string(status - 128) + ": " + last_lines(output));
  if (status != 0) f.expect(says_what_to_do(output), "it ends with status " + std::to_string(status) + " and does not say what to do: " + last_lines(output));
}

class SupervisorRole : public Role {
 public:
  explicit SupervisorRole(Whose whose, bool takes_over) : whose_(whose), takes_over_(takes_over) {}
  std::string name() const override { return whose_ == Whose::FirstChild ? "keeper" : takes_over_ ? "successor" : "supervisor"; }
  Whose whose() const override { return whose_; }
  bool is_slow() const override { return takes_over_ || whose_ == Whose::FirstChild; }

  Happened run(const Plan& plan, Findings& f) override {
    Fabric fabric(settings());
    const std::string output = fabric.directory() + ".log";
    std::unique_ptr<Child> survivor;
    if (takes_over_) {
      if (!f.expect(fabric.start(), "the harness's own supervisor does not serve: " + fabric.log())) return {};
      survivor = std::make_unique<Child>(survive);
      if (!f.expect(survivor->link().hear().value_or("") == "up", "the harness's own agent cannot attach")) return {};
      fabric.kill_supervisor();
      std::ofstream(output, std::ios::trunc).flush();
    }
    Traced traced(fabric.words(), output, plan);
    const bool serves = wait_until([&] {
      if (traced.ended()) return true;
      const auto inspector = Inspector::open();
      return inspector && inspector->fabric().read_via == "supervisor" && inspector->fabric().supervisor.pid == static_cast<uint32_t>(traced.pid()) &&
             inspector->fabric().state == "serving";
    }, kPatienceMs) && !traced.ended();
    f.expect(serves || traced.ended(), "it neither serves nor ends: " + last_lines(fabric.log()), Fault::Blocked);
    if (serves) {
      const std::string wrong = drive();
      f.expect(wrong.empty(), wrong);
    }
    if (whose_ == Whose::FirstChild && serves) {
      // The keeper's other half: its supervisor is killed, another one is handed the memory.
      kill(traced.pid(), SIGKILL);
      (void)traced.wait(kPatienceMs);
      (void)Inspector::open();  // By the keeper.
    }
    if (!traced.ended()) {
      // The fault may come in the probe's own calls: then it is told so, and the next one succeeds.
      std::string trouble = exchange();
      if (!trouble.empty() && trouble.find("error RS-") != std::string::npos) trouble = exchange();
      f.expect(traced.ended() || trouble.empty(), trouble, Fault::Blocked);
      if (survivor) expect_survivor(f, *survivor);
      kill(traced.pid(), SIGTERM);
    }
    const int status = traced.wait(kPatienceMs);
    const bool died = status == 128 + SIGKILL && (whose_ == Whose::FirstChild || traced.hit());
    const std::string log = fabric.log();
    if (!died) expect_orderly(f, status, log);
    // In the middle of its service it leaves the memory to its keeper, as it does when it is killed.
    const bool may_leave = died || (status != 0 && (takes_over_ || log.find("ripstopd serves") != std::string::npos || serves));
    // A file that the kernel does not remove stays.
    const std::string call = traced.hit() ? name_of(traced.happened().call) : "";
    const bool cannot_remove = call == "unlink" || call == "rmdir";
    if (!may_leave && !cannot_remove) expect_nothing(f, fabric);
    if (may_leave || takes_over_ || cannot_remove) expect_next(f, fabric, survivor.get());
    f.expect(traced.wait_for_all(kPatienceMs), "a process that it started goes on", Fault::Leaked);
    return traced.happened();
  }

 private:
  static std::string exchange() { return live::exchange_trouble(kChunkCount); }

  // Attached before, during and after.
  static int survive(const Link& link) {
    AgentOptions options;
    options.name = "survivor";
    auto agent = Agent::attach(options);
    auto subscriber = agent ? agent->subscriber("f1.survivor") : Result<Subscriber<Bytes>>(agent.error());
    auto publisher = agent ? agent->publisher("f1.survivor") : Result<Publisher<Bytes>>(agent.error());
    link.tell(subscriber && publisher ? "up" : "down");
    while (link.hear(60'000)) {
      const auto sent = publisher->send_copy("still");
      const auto message = subscriber->take(std::chrono::seconds(1));
      link.tell(sent && *sent && message ? "ok" : "its messages stand still");
    }
    return 0;
  }

  static void expect_survivor(Findings& f, const Child& survivor) {
    const std::string words = survivor.ask("exchange");
    f.expect(words == "ok", "the agent that was attached before: " + words, Fault::Blocked);
  }

  static void expect_nothing(Findings& f, const Fabric& fabric) {
    wait_until([&] { return fabric.leavings().empty(); }, 2'000);
    std::string left = fabric.leavings();
    // A lock that could not be asked for may be somebody's: it is not removed.
    const std::string lock = " file " + fabric.directory() + "/ripstop file " + fabric.directory() + "/ripstop/default.lock";
    if (left == lock && fabric.log().find("flock") != std::string::npos) left.clear();
    f.expect(left.empty(), "left behind:" + left, Fault::Leaked);
  }

  // Another supervisor, without a fault, finds a way on, and leaves nothing.
  static void expect_next(Findings& f, Fabric& fabric, Child* survivor) {
    if (survivor != nullptr) expect_survivor(f, *survivor);
    // A keeper that could not answer because of the fault is asked again by a person, who is told so.
    bool serves = fabric.start();
    if (!serves && fabric.log().find("cannot be taken over") != std::string::npos && says_what_to_do(fabric.log())) {
      (void)fabric.wait();
      serves = fabric.start();
    }
    if (!f.expect(serves, "the next supervisor does not serve: " + last_lines(fabric.log()), Fault::Blocked)) return;
    if (survivor != nullptr) {
      expect_survivor(f, *survivor);
      survivor->kill();
    }
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  }

  Whose whose_;
  bool takes_over_;
};

// The fabric that agents and tools are tried on. It is made anew when it is no more.
class Ground {
 public:
  Fabric& fabric(Findings& f) {
    if (!fabric_ || live::has_ended(fabric_->supervisor())) {
      resident_.reset();
      fabric_.reset();
      fabric_ = std::make_unique<Fabric>(settings());
      f.expect(fabric_->start(), "the harness's own supervisor does not serve: " + fabric_->log());
      resident_ = std::make_unique<Child>(reside);
      f.expect(resident_->link().hear().value_or("") == "up", "the harness's own agent cannot attach");
    }
    fabric_->make_current();
    return *fabric_;
  }
  void expect_unharmed(Findings& f) {
    f.expect(!live::has_ended(fabric_->supervisor()), "the supervisor has ended: " + last_lines(fabric_->log()));
    const bool gone = wait_until([] { return live::agent_count() == 1; });
    f.expect(gone, std::to_string(live::agent_count()) + " agents are in the registry, one is attached", Fault::Leaked);
    const bool free = wait_until([] { return live::chunks_in_use() == 0; });
    f.expect(free, std::to_string(live::chunks_in_use()) + " chunks stay in use", Fault::Leaked);
    if (++run_count_ % 16 != 0 && f.found().empty()) return;
    const std::string trouble = live::exchange_trouble(kChunkCount);
    f.expect(trouble.empty(), trouble, Fault::Blocked);
  }

 private:
  // Somebody for tools to see and to speak to.
  static int reside(const Link& link) {
    AgentOptions options;
    options.name = "resident";
    options.wait = Wait::Sleep;
    auto agent = Agent::attach(options);
    auto subscriber = agent ? agent->subscriber("f1.tool") : Result<Subscriber<Bytes>>(agent.error());
    link.tell(subscriber ? "up" : "down");
    alarm(0);  // As long as the harness.
    for (;;) (void)subscriber->take(std::chrono::hours(1));
  }

  std::unique_ptr<Fabric> fabric_;
  std::unique_ptr<Child> resident_;
  uint64_t run_count_ = 0;
};

Ground& ground() {
  static Ground the_ground;
  return the_ground;
}

class AgentRole : public Role {
 public:
  std::string name() const override { return "agent"; }
  Happened run(const Plan& plan, Findings& f) override {
    Fabric& fabric = ground().fabric(f);
    const std::string output = fabric.directory() + ".agent";
    Traced traced({"/proc/self/exe", "--agent", "faulty"}, output, plan);
    const int status = traced.wait(kPatienceMs);
    f.expect(traced.wait_for_all(status < 0 ? 0 : kPatienceMs), "it goes on", Fault::Blocked);
    const std::string said = read_file(output);
    unlink(output.c_str());
    const bool died = traced.happened().hit && traced.happened().fault == kDies;
    if (!died) {
      if (status != 0) expect_orderly(f, status, said);
      const std::string wrong = untyped(said);
      f.expect(wrong.empty(), "an error that does not say what to do: " + wrong);
      f.expect(traced.happened().hit || said.empty(), "without a fault: " + said);
    }
    ground().expect_unharmed(f);
    return traced.happened();
  }
};

class ToolRole : public Role {
 public:
  explicit ToolRole(std::vector<std::string> words) : words_(std::move(words)) {}
  std::string name() const override { return "shmctl " + words_.front(); }
  Happened run(const Plan& plan, Findings& f) override {
    Fabric& fabric = ground().fabric(f);
    const std::string output = fabric.directory() + ".tool";
    std::vector<std::string> words = {live::build_file("tools/shmctl")};
    words.insert(words.end(), words_.begin(), words_.end());
    Traced traced(words, output, plan);
    const int status = traced.wait(kPatienceMs);
    f.expect(traced.wait_for_all(status < 0 ? 0 : kPatienceMs), "it goes on", Fault::Blocked);
    const std::string said = read_file(output);
    unlink(output.c_str());
    // Nothing came in time: told, and no error.
    const bool came_to_nothing = status == 4 && said.find("error RS-0112") != std::string::npos;
    // It was the words themselves that could not be written.
    const bool is_mute = traced.happened().hit && name_of(traced.happened().call).starts_with("write") && status > 0 && status < 128;
    if (!(traced.happened().hit && traced.happened().fault == kDies) && !came_to_nothing && !is_mute) expect_orderly(f, status, said);
    ground().expect_unharmed(f);
    return traced.happened();
  }

 private:
  std::vector<std::string> words_;
};

}  // namespace

std::unique_ptr<Role> supervisor_role() { return std::make_unique<SupervisorRole>(Whose::Program, false); }
std::unique_ptr<Role> successor_role() { return std::make_unique<SupervisorRole>(Whose::Program, true); }
std::unique_ptr<Role> keeper_role() { return std::make_unique<SupervisorRole>(Whose::FirstChild, false); }
std::unique_ptr<Role> agent_role() { return std::make_unique<AgentRole>(); }
std::unique_ptr<Role> tool_role(std::vector<std::string> words) { return std::make_unique<ToolRole>(std::move(words)); }

}  // namespace ripstop::faults
