// Who somebody is: names, users, connections that change hands, handshakes that are not finished.
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "control/wire.h"
#include "layout/layout_hash.h"
#include "proof/identity/scene.h"

namespace ripstop::identity {

namespace {

using live::Case;
using live::wait_until;

constexpr uid_t kNobody = 65534;

// A connection as the library makes it, and no more.
int connect_raw(const Fabric& fabric) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fabric.directory() + "/ripstop/default.sock";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
  return fd;
}

std::vector<std::byte> attach_packet(const std::string& name) {
  control::AttachRequest request;
  request.name = name;
  return control::encode(1, control::Request(request));
}

// Asks over a raw connection; the answer's error as words, "ok" otherwise.
std::string ask_raw(int fd, const std::vector<std::byte>& packet) {
  if (auto sent = control::send_packet(fd, packet); !sent) return words_of(sent.error());
  auto answer = control::receive_packet(fd);
  if (!answer) return words_of(answer.error());
  if (answer->bytes.empty()) return "closed";
  auto reply = control::decode_reply(answer->bytes);
  if (!reply) return words_of(reply.error());
  if (const Error* error = std::get_if<Error>(&reply->body)) return words_of(*error);
  return "ok";
}

// Gives `fd` to whoever reads the other end.
bool pass(int over, int fd) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  return sendmsg(over, &message, 0) == 1;
}

int receive_passed(int over) {
  auto packet = control::receive_packet(over);
  if (!packet || packet->fds.empty()) return -1;
  return packet->fds.front().release();
}

// A process that attaches `name` and holds it; "ok" or the error is what it says first.
Child holder(const std::string& name) {
  return Child([name](const Link& link) -> int {
    auto agent = Agent::attach(options_of(name));
    link.tell(outcome_of(agent));
    if (!agent) return 1;
    for (;;) pause();
  });
}

void with_fabric(Findings& findings, const std::function<void(Fabric&)>& run, std::vector<std::string> settings = {}) {
  Fabric fabric(std::move(settings));
  if (!findings.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
  run(fabric);
  live::expect_whole(findings, kChunkCount);
  live::expect_clean_end(findings, fabric);
}

}  // namespace

std::vector<Case> identity_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("two-names-in-one-process", "two agents, each with its own mail; the process's death ends both", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      auto second = hold("second");
      link.tell(second ? "ok" : "refused");
      for (;;) pause();
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "a process cannot have a second agent");
    f.expect(scene.talk(1) == 3, "a number does not reach all three");
    scene.victim().signal(SIGKILL);
    f.expect(wait_until([] { return !live::is_attached("second"); }), "the second agent stays", Fault::Leaked);
    scene.expect_settled();
    scene.finish();
  });
  add("one-name-twice-in-one-process", "refused with NameTaken and its own pid; the first agent is unaffected", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held&) -> int {
      const std::string words = outcome_of(Agent::attach(options_of("victim")));
      link.tell(is_error(words, Errc::NameTaken) && words.find("pid " + std::to_string(getpid())) != std::string::npos ? "refused" : words);
      for (;;) pause();
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "refused", words);
    scene.expect_alive();
    scene.finish();
  });
  add("name-of-a-living-one", "refused with NameTaken, its pid, and what to do", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    const std::string words = try_attach("victim");
    f.expect(is_error(words, Errc::NameTaken) && words.find(std::to_string(scene.victim().pid())) != std::string::npos, words);
    scene.finish();
  });
  add("name-of-a-stopped-one", "refused with NameTaken: a late process is not declared dead", [](Findings& f) {
    Scene scene(f, {});
    if (!scene.ready()) return;
    scene.victim().signal(SIGSTOP);
    const std::string words = try_attach("victim");
    f.expect(is_error(words, Errc::NameTaken), words);
    scene.finish();
  });
  add("name-of-one-that-has-just-died", "the name is free in the same instant, whatever the supervisor has read yet", [](Findings& f) {
    with_fabric(f, [&](Fabric&) {
      for (int i = 0; i < 50; ++i) {
        Child first = holder("heir");
        const std::string held = first.link().hear().value_or("");
        first.kill();
        const std::string words = try_attach("heir");
        if (!f.expect(held == "ok" && words == "ok", "at the " + std::to_string(i) + "th time: " + held + "; " + words, Fault::Blocked)) break;
      }
    });
  });
  cases.back().point_count = 50;
  add("name-of-a-zombie", "free: a zombie is dead", [](Findings& f) {
    with_fabric(f, [&](Fabric&) {
      Child first = holder("zombie");
      f.expect(first.link().hear().value_or("") == "ok", "it cannot attach");
      first.signal(SIGKILL);
      const bool zombie = wait_until([&] { return live::state_of(first.pid()) == 'Z'; });
      const std::string words = try_attach("zombie");
      f.expect(zombie && words == "ok", words, Fault::Blocked);
    });
  });
  add("detached-twice", "the second time succeeds and does nothing", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      held.loan.reset();
      held.in_hand.clear();
      link.tell(outcome_of(held.agent.detach()));
      link.tell(outcome_of(held.agent.detach()));
      link.tell(outcome_of(held.publisher.loan(8)));
      for (;;) pause();
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "ok", "the first detach fails");
    f.expect(scene.victim().link().hear().value_or("") == "ok", "the second detach fails");
    const std::string words = scene.victim().link().hear().value_or("");
    f.expect(is_error(words, Errc::SupervisorGone), "a loan after it: " + words);
    scene.expect_settled();
    scene.finish();
  });
  add("attached-again-under-the-same-name", "after a detach the process gets the name at once", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      held.loan.reset();
      held.in_hand.clear();
      (void)held.agent.detach();
      std::string words = "ok";
      for (int i = 0; i < 20 && words == "ok"; ++i) words = outcome_of(Agent::attach(options_of("victim")));
      link.tell(words);
      for (;;) pause();
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "ok", words, Fault::Blocked);
    scene.expect_settled();
    scene.finish();
  });
  add("setuid-after-attach", "who attached goes on; its connection is the one it made; its death is noticed", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) return 2;
      link.tell(outcome_of(held.agent.publisher("d1.as-nobody")));
      for (;;) pause();
    });
    if (geteuid() != 0) return f.skip("needs root to become another user");
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "ok", words);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("setuid-and-the-supervisor-restarts", "another user's process is not let in again: Denied; messages go on; its death is noticed", [](Findings& f) {
    if (geteuid() != 0) return f.skip("needs root to become another user");
    Scene scene(f, [](const Link& link, Held& held) -> int {
      if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) return 2;
      link.tell("nobody");
      while (link.hear(60'000)) link.tell(outcome_of(held.agent.publisher("d1.as-nobody")));
      return 0;
    });
    if (!scene.ready()) return;
    f.expect(scene.victim().ask("act") == "nobody", "it cannot become nobody");
    scene.fabric().kill_supervisor();
    if (!f.expect(scene.fabric().start(), "no take-over: " + scene.fabric().log())) return;
    const std::string words = scene.victim().ask("open");
    f.expect(is_error(words, Errc::Denied), words);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  add("another-user-attaches", "Denied, with both uids' rule and what to do; no agent is made", [](Findings& f) {
    if (geteuid() != 0) return f.skip("needs root to become another user");
    with_fabric(f, [&](Fabric& fabric) {
      // Even where the files let it through.
      const std::string open_up = "chmod 0755 " + fabric.directory() + " " + fabric.directory() + "/ripstop; chmod 0666 " + fabric.directory() + "/ripstop/default.sock";
      f.expect(std::system(open_up.c_str()) == 0, "chmod");
      Child child([path = fabric.directory() + "/ripstop/default.sock"](const Link& link) -> int {
        if (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) return 2;
        AgentOptions options = options_of("intruder");
        options.socket = path;
        link.tell(outcome_of(Agent::attach(options)));
        return 0;
      });
      const std::string words = child.link().hear().value_or("no answer");
      f.expect(is_error(words, Errc::Denied), words);
    });
  });
  add("credentials-in-the-packet", "who somebody is is what the kernel said at connect: pid and uid in SCM_CREDENTIALS are not read", [](Findings& f) {
    if (geteuid() != 0) return f.skip("needs root to lie about a pid");
    with_fabric(f, [&](Fabric& fabric) {
      Child child([&](const Link& link) -> int {
        const int fd = connect_raw(fabric);
        std::vector<std::byte> packet = attach_packet("liar");
        iovec part{packet.data(), packet.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_CREDENTIALS;
        header->cmsg_len = CMSG_LEN(sizeof(ucred));
        const ucred lie{1, kNobody, kNobody};
        std::memcpy(CMSG_DATA(header), &lie, sizeof lie);
        if (sendmsg(fd, &message, 0) < 0) return link.tell("the kernel refuses the lie"), 0;
        const auto answer = control::receive_packet(fd);
        link.tell(answer && !answer->bytes.empty() ? "answered" : "closed");
        for (;;) pause();
      });
      const std::string word = child.link().hear().value_or("no answer");
      if (word == "answered") {
        const auto inspector = Inspector::open();
        const auto agent = inspector ? inspector->agent("liar") : Result<AgentView>(inspector.error());
        f.expect(agent && agent->process.pid == static_cast<uint32_t>(child.pid()) && agent->uid == geteuid(),
                 agent ? "it is taken for pid " + std::to_string(agent->process.pid) : "it is not there");
      }
      child.kill();
    });
  });
  add("socket-passed-on-and-its-maker-dies", "the agent would be its maker's, and that is dead: nothing stays", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return;
      {
        Child maker([&](const Link& link) -> int {
          link.tell(pass(pair[1], connect_raw(fabric)) ? "passed" : "not passed");
          return 0;
        });
        f.expect(maker.link().hear().value_or("") == "passed", "the socket is not passed on");
        maker.wait();
      }
      Child user([&](const Link& link) -> int {
        const int fd = receive_passed(pair[0]);
        link.tell(ask_raw(fd, attach_packet("borrowed")));
        for (;;) pause();
      });
      const std::string words = user.link().hear().value_or("no answer");
      f.note("the attach was answered: " + words.substr(0, 60));
      f.expect(wait_until([] { return !live::is_attached("borrowed"); }), "an agent of a dead process stays", Fault::Leaked);
      user.kill();
      close(pair[0]);
      close(pair[1]);
    });
  });
  add("socket-passed-on-and-its-maker-lives", "the agent is its maker's: the user's death does not end it, its maker's does", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return;
      Child maker([&](const Link& link) -> int {
        const int fd = connect_raw(fabric);
        link.tell(pass(pair[1], fd) ? "passed" : "not passed");
        for (;;) pause();
      });
      f.expect(maker.link().hear().value_or("") == "passed", "the socket is not passed on");
      Child user([&](const Link& link) -> int {
        link.tell(ask_raw(receive_passed(pair[0]), attach_packet("lent")));
        for (;;) pause();
      });
      const std::string words = user.link().hear().value_or("no answer");
      f.expect(words == "ok", words);
      {
        const auto inspector = Inspector::open();
        const auto agent = inspector ? inspector->agent("lent") : Result<AgentView>(inspector.error());
        f.expect(agent && agent->process.pid == static_cast<uint32_t>(maker.pid()), "the agent is not its maker's");
      }
      user.kill();
      maker.kill();
      f.expect(wait_until([] { return !live::is_attached("lent"); }), "the agent of two dead processes stays", Fault::Leaked);
      close(pair[0]);
      close(pair[1]);
    });
  });
  add("dies-after-connect", "nothing stays of a connection that asked for nothing", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      for (int i = 0; i < 20; ++i) {
        Child child([&](const Link& link) -> int {
          link.tell(connect_raw(fabric) >= 0 ? "connected" : "refused");
          for (;;) pause();
        });
        f.expect(child.link().hear().value_or("") == "connected", "no connection", Fault::Blocked);
        child.kill();
      }
      f.expect(try_attach("after-them") == "ok", "another one cannot attach", Fault::Blocked);
    });
  });
  cases.back().point_count = 20;
  add("dies-before-its-answer", "an attach whose asker is dead leaves no agent", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      for (int i = 0; i < 20; ++i) {
        kill(fabric.supervisor(), SIGSTOP);  // The answer cannot be there before the death.
        Child child([&](const Link& link) -> int {
          const auto packet = attach_packet("in-a-hurry");
          link.tell(send(connect_raw(fabric), packet.data(), packet.size(), 0) > 0 ? "asked" : "not asked");
          for (;;) pause();
        });
        f.expect(child.link().hear().value_or("") == "asked", "it cannot ask");
        child.kill();
        kill(fabric.supervisor(), SIGCONT);
      }
      const std::string words = try_attach("in-a-hurry");
      f.expect(words == "ok", words, Fault::Blocked);
    });
  });
  cases.back().point_count = 20;
  add("half-an-attach", "a packet that is cut short, at each of its words: refused, and only that connection ends", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      const std::size_t whole = attach_packet("torn").size();
      Child child([&](const Link& link) -> int {
        std::string wrong;
        for (std::size_t bytes = 1; bytes < whole; ++bytes) {
          std::vector<std::byte> packet = attach_packet("torn");
          packet.resize(bytes);
          const int fd = connect_raw(fabric);
          const std::string words = ask_raw(fd, packet);
          close(fd);
          if (words == "ok" || words == "no answer") wrong += " " + std::to_string(bytes) + " bytes: " + words;
        }
        link.tell(wrong.empty() ? "refused" : wrong);
        return 0;
      });
      const std::string words = child.link().hear().value_or("no answer");
      f.expect(words == "refused", words);
    });
  });
  cases.back().point_count = attach_packet("torn").size() - 1;
  add("many-idle-connections", "those who connect and say nothing keep nobody out", [](Findings& f) {
    with_fabric(f, [&](Fabric& fabric) {
      Child child([&](const Link& link) -> int {
        for (int i = 0; i < 200; ++i) {
          if (connect_raw(fabric) < 0) return link.tell("refused at " + std::to_string(i)), 1;
        }
        link.tell("connected");
        for (;;) pause();
      });
      const std::string words = child.link().hear().value_or("no answer");
      f.expect(words == "connected", words);
      f.expect(try_attach("busy") == "ok", "another one cannot attach", Fault::Blocked);
      child.kill();
    });
  });
  add("closes-its-descriptors-behind-the-library", "its place is its own while it lives; messages go on; a control call works again or says why not; its death is noticed", [](Findings& f) {
    Scene scene(f, [](const Link& link, Held& held) -> int {
      for (int fd = 3; fd < 64; ++fd) {
        if (fd != link.fd()) close(fd);
      }
      const auto opened = held.agent.publisher("d1.after-close");
      link.tell(outcome_of(opened));
      int count = 0;
      held.in_hand.clear();
      while (held.subscriber.take(std::chrono::milliseconds(50))) ++count;
      link.tell(std::to_string(count));
      for (;;) pause();
    });
    if (!scene.ready()) return;
    const std::string words = scene.victim().ask("act");
    f.expect(words == "ok" || words.starts_with("RS-"), "no answer: " + words, Fault::Blocked);
    f.note("the control call: " + words.substr(0, 60));
    f.expect(scene.victim().link().hear().value_or("") == "7", "its mail is lost", Fault::Lost);
    scene.expect_alive();
    scene.victim().signal(SIGKILL);
    scene.expect_settled();
    scene.finish();
  });
  return cases;
}

}  // namespace ripstop::identity
