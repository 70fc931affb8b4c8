// Method: what a killed supervisor leaves with its keeper, or with systemd, which a socket of the test's plays:
// it holds what it is given, and gives it to the next supervisor as systemd would ($LISTEN_FDS).
#include <linux/sched.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "control/peer.h"
#include "control/wire.h"
#include "supervisor_fixture.h"

namespace ripstop {
namespace {

// Descriptors of processes that a process holds.
std::size_t count_pidfds(pid_t pid) {
  std::size_t count = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", none)) {
    count += fs::read_symlink(entry.path(), none).string().find("pidfd") != std::string::npos ? 1 : 0;
  }
  return count;
}

class Keeper : public Supervisor {
 protected:
  pid_t agent(const std::string& name) {
    return in_child([this, name] {
      static Client client = connect();
      static auto attachment = attach(client, name);
      return true;
    });
  }
  uint32_t keeper_now() {
    const auto status = connect().status();
    keeper_pid_ = status ? status->keeper_pid : 0;
    return keeper_pid_;
  }
  void end_supervisor(pid_t pid) {
    kill(pid, SIGKILL);
    EXPECT_EQ(exit_status(pid), 128 + SIGKILL);
  }
  void end_keeper() {
    const auto pidfd = control::open_pidfd(static_cast<pid_t>(keeper_pid_));
    ASSERT_TRUE(pidfd);
    kill(static_cast<pid_t>(keeper_pid_), SIGKILL);
    EXPECT_TRUE(wait_until([&] { return control::has_ended(pidfd->get()); }));
  }
  void end_agent(pid_t pid) {
    kill(pid, SIGKILL);
    (void)exit_status(pid);
  }
};

TEST_F(Keeper, HoldsTheProcessOfEachAgentAndSoDoesItsSuccessor) {
  const pid_t supervisor = start();
  const auto keeper = static_cast<pid_t>(keeper_pid_);
  ASSERT_EQ(count_pidfds(keeper), 0u);
  const pid_t one = agent("one");
  (void)agent("two");
  EXPECT_TRUE(wait_until([&] { return count_pidfds(keeper) == 2; })) << count_pidfds(keeper);
  end_agent(one);
  EXPECT_TRUE(wait_until([&] { return count_pidfds(keeper) == 1; })) << count_pidfds(keeper);

  kill(keeper, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return keeper_now() != 0 && keeper_now() != static_cast<uint32_t>(keeper); }));
  EXPECT_EQ(count_pidfds(static_cast<pid_t>(keeper_pid_)), 1u) << "refilled";
  end_supervisor(supervisor);
  start();
  EXPECT_EQ(connect().status()->agent_count, 1u);
  EXPECT_EQ(count_pidfds(static_cast<pid_t>(keeper_pid_)), 1u);
}

TEST_F(Keeper, ThatIsStoppedHoldsUpNobodyAndIsReplacedWhenItTakesNothingMore) {
  start();
  const auto keeper = static_cast<pid_t>(keeper_pid_);
  kill(keeper, SIGSTOP);
  // Each attach and detach is two words to it; a socket holds some hundred.
  for (int i = 0; i < 1000 && keeper_now() == static_cast<uint32_t>(keeper); ++i) {
    Client client = connect();
    (void)attach(client, "passer-by");
    EXPECT_TRUE(client.detach());
  }
  EXPECT_TRUE(wait_until([&] { return keeper_now() != 0 && keeper_now() != static_cast<uint32_t>(keeper); })) << log();
  EXPECT_NE(log().find("the keeper takes nothing any more"), std::string::npos) << log();
}

// A process that has the number of a dead agent's is not taken for it.
TEST_F(Keeper, AnAgentsNumberThatAnotherProcessHasMeansNothing) {
  const pid_t supervisor = start();
  const pid_t dead = agent("dead");
  EXPECT_TRUE(wait_until([&] { return count_pidfds(static_cast<pid_t>(keeper_pid_)) == 1; }));
  end_supervisor(supervisor);
  end_agent(dead);
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<uint64_t>(&dead);
  arguments.set_tid_size = 1;
  const auto heir = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (heir == 0) {
    for (;;) pause();
  }
  if (heir < 0) GTEST_SKIP() << "no right to choose a pid: " << std::strerror(errno);
  children_.push_back(heir);
  ASSERT_EQ(heir, dead);
  start();
  EXPECT_EQ(connect().status()->agent_count, 0u) << log();
  EXPECT_NE(log().find("agent dead (pid " + std::to_string(dead) + ", agent 1) had ended; settled"), std::string::npos) << log();
}

// --- systemd --------------------------------------------------------------------------------------------

class FdStore : public Keeper {
 protected:
  void SetUp() override {
    Keeper::SetUp();
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory_ + "/notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("NOTIFY_SOCKET");
    Keeper::TearDown();
  }

  // Takes what came: as systemd does, by name.
  void listen() {
    for (;;) {
      auto packet = control::receive_packet(socket_.get());
      if (!packet) return;
      const std::string words(reinterpret_cast<const char*>(packet->bytes.data()), packet->bytes.size());
      const std::size_t at = words.find("FDNAME=");
      const std::string name = at == std::string::npos ? "" : words.substr(at + 7, words.find('\n', at) - at - 7);
      if (words.find("FDSTORE=1") != std::string::npos && packet->fds.size() == 1) stored_[name] = std::move(packet->fds[0]);
      if (words.find("FDSTOREREMOVE=1") != std::string::npos) stored_.erase(name);
    }
  }
  std::size_t count(const std::string& prefix) {
    listen();
    return static_cast<std::size_t>(std::count_if(stored_.begin(), stored_.end(), [&](const auto& each) { return each.first.starts_with(prefix); }));
  }
  // Starts ripstopd with what is stored, from descriptor 3 on.
  pid_t start_again(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program_);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const std::string path = log_path();
    const pid_t pid = fork();
    if (pid == 0) {
      const int log = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(log, STDOUT_FILENO);
      dup2(log, STDERR_FILENO);
      std::string names;
      std::vector<int> above;  // Out of the way of where they belong.
      for (const auto& [name, fd] : stored_) {
        above.push_back(fcntl(fd.get(), F_DUPFD, 200));
        names += (names.empty() ? "" : ":") + name;
      }
      for (std::size_t i = 0; i < above.size(); ++i) dup2(above[i], 3 + static_cast<int>(i));
      for (const int fd : above) close(fd);
      setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
      setenv("LISTEN_FDS", std::to_string(above.size()).c_str(), 1);
      setenv("LISTEN_FDNAMES", names.c_str(), 1);
      execv(words[0], words.data());
      _exit(127);
    }
    children_.push_back(pid);
    EXPECT_TRUE(wait_until([&] { return fs::exists(endpoint_.socket) && Client::connect(endpoint_, 1000ms).has_value(); })) << log();
    keeper_now();
    return pid;
  }

  base::OwnedFd socket_;
  std::map<std::string, base::OwnedFd> stored_;
};

TEST_F(FdStore, HoldsWhatTheNextProcessOfTheServiceNeeds) {
  std::vector<std::string> arguments = kSmall;
  arguments.insert(arguments.end(), {"--set", "keeper=false"});
  const pid_t first = start(arguments);
  Client client = connect();
  const auto mine = attach(client, "mine");
  const pid_t mortal = agent("mortal");
  ASSERT_TRUE(wait_until([&] { return count("ripstop-agent-") == 2; }));
  EXPECT_EQ(count("ripstop-segment-"), 2u);
  EXPECT_EQ(count("ripstop-bell"), 1u);

  end_supervisor(first);
  end_agent(mortal);
  const pid_t second = start_again(arguments);
  EXPECT_EQ(connect().status()->agent_count, 1u) << log();
  EXPECT_NE(log().find("took over from pid " + std::to_string(first)), std::string::npos) << log();
  EXPECT_NE(log().find("agent mortal (pid " + std::to_string(mortal) + ", agent 2) had ended; settled"), std::string::npos) << log();
  EXPECT_EQ(count("ripstop-agent-"), 1u);
  EXPECT_EQ(reinterpret_cast<const layout::Superblock*>(mine.control.data())->supervisor_epoch.load(), 2u) << "the same memory";

  EXPECT_EQ(stop(second), 0);
  EXPECT_EQ(count(""), 0u) << "a fabric that ends leaves nothing";
}

TEST_F(FdStore, MakesUpForAKeeperThatWasKilledToo) {
  const pid_t first = start();
  Client client = connect();
  const auto mine = attach(client, "mine");
  const uint64_t fabric = fabric_id(mine);
  ASSERT_TRUE(wait_until([&] { return count("ripstop-agent-") == 1; }));
  end_supervisor(first);
  kill(static_cast<pid_t>(keeper_pid_), SIGKILL);
  start_again(kSmall);
  EXPECT_EQ(connect().status()->agent_count, 1u) << log();
  EXPECT_NE(keeper_pid_, 0u);
  EXPECT_EQ(count_pidfds(static_cast<pid_t>(keeper_pid_)), 1u) << "the new keeper is filled";
  Client again = connect();
  control::AttachRequest request;
  request.name = "mine";
  request.resume_agent_id = mine.agent_id;
  request.resume_incarnation = mine.incarnation;
  request.resume_fabric_id = fabric;
  EXPECT_TRUE(again.attach(request));
}

TEST_F(FdStore, WhatIsNotThisFabricsIsNotTakenOver) {
  const pid_t first = start();
  ASSERT_TRUE(wait_until([&] { return count("ripstop-segment-") == 2; }));
  end_supervisor(first);
  end_keeper();
  stored_.erase("ripstop-bell");
  start_again(kSmall);
  EXPECT_EQ(connect().status()->epoch, 1u) << "half a memory is none";
}

}  // namespace
}  // namespace ripstop
