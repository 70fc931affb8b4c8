// Method: every test starts the real ripstopd in a runtime directory of its own and speaks to it as the
// library does. Small fabrics without huge pages, so that the tests disturb neither each other nor the
// machine; one test asks for the defaults.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "control/client.h"
#include "control/control_view.h"

namespace ripstop {
namespace {

namespace fs = std::filesystem;
using control::Client;
using namespace std::chrono_literals;

const std::vector<std::string> kSmall = {"--set", "hugepages=off", "--set", "agents=16", "--set", "drain_timeout_ms=0",
                                         "--set", R"(classes=[{"payload_bytes": 256, "chunk_count": 256}])",
                                         "--set", "ring_arena_bytes=262144"};

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = 5000ms) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Supervisor : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = std::getenv("RIPSTOP_BUILD_DIR");
    ASSERT_NE(build, nullptr) << "RIPSTOP_BUILD_DIR names the build";
    program_ = std::string(build) + "/daemon/ripstopd";
    char name[] = "/tmp/ripstop-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    setenv("XDG_RUNTIME_DIR", name, 1);
    endpoint_ = *control::own_endpoint("default");
  }

  void TearDown() override {
    for (const pid_t pid : children_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (const uint32_t keeper = keeper_pid_; keeper != 0) kill(static_cast<pid_t>(keeper), SIGKILL);
    fs::remove_all(directory_);
  }

  // Starts ripstopd; its output goes to `log_`.
  pid_t launch(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program_);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const std::string log = log_path();
    const pid_t pid = fork();
    if (pid == 0) {
      const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(fd, STDOUT_FILENO);
      dup2(fd, STDERR_FILENO);
      execv(words[0], words.data());
      _exit(127);
    }
    children_.push_back(pid);
    return pid;
  }

  pid_t start(const std::vector<std::string>& arguments = kSmall) {
    const pid_t pid = launch(arguments);
    EXPECT_TRUE(wait_until([&] { return fs::exists(endpoint_.socket) && Client::connect(endpoint_, 1000ms).has_value(); }))
        << read_file(log_path());
    if (auto status = connect().status()) keeper_pid_ = status->keeper_pid;
    return pid;
  }

  int exit_status(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    std::erase(children_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  int stop(pid_t pid) {
    kill(pid, SIGTERM);
    keeper_pid_ = 0;
    return exit_status(pid);
  }

  Client connect() {
    auto client = Client::connect(endpoint_, 5000ms);
    EXPECT_TRUE(client) << (client ? "" : to_string(client.error()));
    if (!client) std::abort();
    return std::move(*client);
  }

  control::Attachment attach(Client& client, const std::string& name, int node = -1) {
    control::AttachRequest request;
    request.name = name;
    request.node = node;
    auto attachment = client.attach(request);
    EXPECT_TRUE(attachment) << (attachment ? "" : to_string(attachment.error()));
    if (!attachment) std::abort();
    return std::move(*attachment);
  }

  static uint64_t fabric_id(const control::Attachment& attachment) {
    return reinterpret_cast<const layout::Superblock*>(attachment.control.data())->fabric_id;
  }

  // Runs `body` in a child process, which waits to be killed when it returns.
  // `thread_ends`: its first thread ends instead.
  pid_t in_child(const std::function<bool()>& body, bool thread_ends = false) {
    int pipe_fds[2];
    EXPECT_EQ(pipe(pipe_fds), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      const char answer = body() ? '1' : '0';
      if (write(pipe_fds[1], &answer, 1) != 1) _exit(1);
      if (thread_ends) syscall(SYS_exit, 0);  // As pthread_exit() ends it, without unwinding the test.
      for (;;) pause();
    }
    children_.push_back(pid);
    char answer = 0;
    EXPECT_EQ(read(pipe_fds[0], &answer, 1), 1);
    EXPECT_EQ(answer, '1');
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return pid;
  }

  std::string log_path() const { return directory_ + "/log"; }
  std::string log() const { return read_file(log_path()); }

  std::string program_;
  std::string directory_;
  control::Endpoint endpoint_;
  std::vector<pid_t> children_;
  uint32_t keeper_pid_ = 0;
};

TEST_F(Supervisor, AttachGivesTheMemoryThatTheControlSegmentDescribes) {
  start();
  Client client = connect();
  const auto attachment = attach(client, "planner");
  EXPECT_GE(attachment.agent_id, 1u);
  const auto view = control::ControlView::open(attachment.control.bytes());
  ASSERT_TRUE(view) << to_string(view.error());
  EXPECT_EQ(view->nodes().size(), attachment.nodes.size());
  EXPECT_EQ(view->nodes()[0].segment_bytes, attachment.nodes[0].size());
  const layout::AgentEntry* entry = view->agent_entry(attachment.agent_id);
  EXPECT_EQ(entry->word.load(), layout::make_agent_word(attachment.incarnation, layout::AgentState::Live));
  EXPECT_STREQ(entry->name, "planner");
  EXPECT_EQ(entry->pid, static_cast<uint32_t>(getpid()));
  EXPECT_TRUE(client.detach());
  EXPECT_EQ(layout::agent_word_state(entry->word.load()), layout::AgentState::Free);
}

TEST_F(Supervisor, ASubscriptionIsInTheRouteWhenItReturns) {
  start();
  Client client = connect();
  const auto attachment = attach(client, "planner");
  const auto view = control::ControlView::open(attachment.control.bytes());
  ASSERT_TRUE(view);
  const auto topic = client.topic_id("agent.task");
  ASSERT_TRUE(topic);
  EXPECT_EQ(view->find_topic("agent.task"), *topic);
  std::vector<layout::RouteReceiver> route;
  ASSERT_TRUE(view->copy_route(*topic, route));
  EXPECT_TRUE(route.empty());

  const auto subscribed = client.subscribe({"agent.task", 0, false, 0, 0});
  ASSERT_TRUE(subscribed) << to_string(subscribed.error());
  const auto own_ring = client.subscribe({"agent.task", 3, false, 100, 1});
  ASSERT_TRUE(own_ring) << to_string(own_ring.error());
  ASSERT_TRUE(view->copy_route(*topic, route));
  ASSERT_EQ(route.size(), 2u);
  EXPECT_EQ(route[0].agent, attachment.agent_id);
  EXPECT_EQ(route[0].incarnation, attachment.incarnation);
  EXPECT_EQ(route[1].ring_id, own_ring->ring_id);
  EXPECT_EQ(view->ring_entry(own_ring->ring_id)->slot_count, 128u);

  EXPECT_TRUE(client.unsubscribe(subscribed->subscription_id));
  EXPECT_TRUE(client.unsubscribe(own_ring->subscription_id));
  ASSERT_TRUE(view->copy_route(*topic, route));
  EXPECT_TRUE(route.empty());
  EXPECT_EQ(client.unsubscribe(own_ring->subscription_id).error().code, Errc::NotFound);
}

TEST_F(Supervisor, AChannelHasTwoEndsOfOneGeometry) {
  start();
  Client one = connect();
  Client two = connect();
  attach(one, "one");
  attach(two, "two");
  const auto sender = one.open_channel({"pipe", control::ChannelEnd::Sender, 112, 256});
  ASSERT_TRUE(sender) << to_string(sender.error());
  EXPECT_EQ(two.open_channel({"pipe", control::ChannelEnd::Sender, 112, 256}).error().code, Errc::ChannelBusy);
  EXPECT_EQ(two.open_channel({"pipe", control::ChannelEnd::Receiver, 512, 256}).error().code, Errc::WrongGeometry);
  const auto receiver = two.open_channel({"pipe", control::ChannelEnd::Receiver, 112, 256});
  ASSERT_TRUE(receiver);
  EXPECT_EQ(receiver->ring_id, sender->ring_id);
  EXPECT_TRUE(one.close_channel(sender->ring_id, control::ChannelEnd::Sender));
  EXPECT_EQ(one.close_channel(sender->ring_id, control::ChannelEnd::Sender).error().code, Errc::NotFound);
  EXPECT_TRUE(two.open_channel({"pipe", control::ChannelEnd::Sender, 112, 256}));
}

TEST_F(Supervisor, WhatCannotBeIsATypedError) {
  start();
  Client client = connect();
  control::AttachRequest request;
  request.name = "bad name";
  EXPECT_EQ(client.attach(request).error().code, Errc::BadName);
  EXPECT_EQ(client.topic_id("a").error().code, Errc::Protocol);  // Before attaching.
  attach(client, "planner");
  EXPECT_EQ(client.topic_id("a.*").error().code, Errc::BadTopic);
  EXPECT_EQ(client.subscribe({"a", 9, false, 0, 0}).error().code, Errc::Protocol);
  EXPECT_EQ(client.subscribe({"a", 0, false, 0, 99}).error().code, Errc::Protocol);
  EXPECT_EQ(client.open_channel({"c", control::ChannelEnd::Sender, 1 << 20, 65536}).error().code, Errc::RingsFull);
  ASSERT_TRUE(client.topic_id("still.serving"));
}

TEST_F(Supervisor, ANameIsTakenOnceAndTheErrorNamesTheHolder) {
  start();
  Client one = connect();
  Client two = connect();
  attach(one, "planner");
  control::AttachRequest request;
  request.name = "planner";
  const auto second = two.attach(request);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::NameTaken);
  EXPECT_NE(second.error().why.find("pid " + std::to_string(getpid())), std::string::npos) << second.error().why;
  ASSERT_TRUE(one.detach());
  EXPECT_TRUE(two.attach(request));
}

TEST_F(Supervisor, MoreAgentsThanConfiguredAreRefused) {
  start();
  std::vector<Client> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(connect());
    attach(clients.back(), "agent" + std::to_string(i));
  }
  Client last = connect();
  control::AttachRequest request;
  request.name = "one-too-many";
  EXPECT_EQ(last.attach(request).error().code, Errc::AgentsFull);
}

TEST_F(Supervisor, AnOldLibraryIsRefusedAndBothVersionsAreNamed) {
  start();
  Client client = connect();
  control::AttachRequest request;
  request.name = "old";
  request.abi_version = layout::kAbiVersion - 1;
  const auto old_abi = client.attach(request);
  ASSERT_FALSE(old_abi);
  EXPECT_EQ(old_abi.error().code, Errc::AbiMismatch);
  EXPECT_NE(old_abi.error().what.find("version " + std::to_string(layout::kAbiVersion - 1)), std::string::npos);
  EXPECT_NE(old_abi.error().what.find("version " + std::to_string(layout::kAbiVersion)), std::string::npos);
  request.abi_version = layout::kAbiVersion;
  request.layout_hash = 0x4711;
  const auto old_layout = client.attach(request);
  ASSERT_FALSE(old_layout);
  EXPECT_EQ(old_layout.error().code, Errc::LayoutMismatch);
  EXPECT_NE(old_layout.error().what.find("0000000000004711"), std::string::npos) << old_layout.error().what;
}

TEST_F(Supervisor, AnotherUserIsDenied) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  start();
  // The kernel stops another user at the socket's mode; opened up, the credentials decide.
  for (const bool open_up : {false, true}) {
    if (open_up) {
      chmod(directory_.c_str(), 0711);
      chmod(endpoint_.directory.c_str(), 0711);
      chmod(endpoint_.socket.c_str(), 0666);
    }
    in_child([&] {
      if (setgid(65534) != 0 || setuid(65534) != 0) return false;
      auto client = Client::connect(endpoint_, 2000ms);
      if (!client) return !open_up && client.error().code == Errc::Denied;
      control::AttachRequest request;
      request.name = "stranger";
      const auto attachment = client->attach(request);
      return open_up && !attachment && attachment.error().code == Errc::Denied;
    });
  }
}

TEST_F(Supervisor, TheDeathOfAnAgentIsNoticedAtOnce) {
  start();
  const pid_t child = in_child([&] {
    static Client client = connect();
    static auto attachment = attach(client, "mortal");
    return client.subscribe({"a.topic", 0, false, 0, 0}).has_value();
  });
  auto observation = Client::observe(endpoint_, 1000ms);
  ASSERT_TRUE(observation);
  const auto view = control::ControlView::open(observation->control.bytes());
  ASSERT_TRUE(view);
  std::vector<layout::RouteReceiver> route;
  ASSERT_TRUE(view->copy_route(*view->find_topic("a.topic"), route));
  ASSERT_EQ(route.size(), 1u);
  const layout::AgentEntry* entry = view->agent_entry(route[0].agent);

  kill(child, SIGKILL);  // It stays a zombie until TearDown: a pidfd says so all the same.
  EXPECT_TRUE(wait_until([&] { return layout::agent_word_state(entry->word.load()) == layout::AgentState::Free; }, 1000ms));
  EXPECT_EQ(view->superblock().death_count.load(), 1u);
  ASSERT_TRUE(view->copy_route(*view->find_topic("a.topic"), route));
  EXPECT_TRUE(route.empty());
  Client client = connect();
  attach(client, "mortal");
}

TEST_F(Supervisor, AnAgentThatExecutesAnotherProgramIsSettled) {
  start();
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    Client client = connect();
    const auto attachment = attach(client, "caterpillar");
    execlp("sleep", "sleep", "60", nullptr);
    _exit(1);
  }
  children_.push_back(child);
  EXPECT_TRUE(wait_until([&] { return log().find("caterpillar") != std::string::npos; }));
  EXPECT_TRUE(wait_until([&] { return log().find("gave up its memory") != std::string::npos; })) << log();
  EXPECT_EQ(kill(child, 0), 0);  // The process lives, the agent does not.
}

TEST_F(Supervisor, AnAgentThatLosesItsConnectionGoesOnWhereItWas) {
  start();
  std::optional<Client> client = connect();
  const auto attachment = attach(*client, "planner");
  client.reset();
  EXPECT_TRUE(wait_until([&] { return log().find("lost its connection") != std::string::npos; })) << log();
  Client again = connect();
  control::AttachRequest request;
  request.name = "planner";
  EXPECT_EQ(again.attach(request).error().code, Errc::NameTaken);
  request.resume_agent_id = attachment.agent_id;
  request.resume_incarnation = attachment.incarnation;
  request.resume_fabric_id = fabric_id(attachment);
  const auto resumed = again.attach(request);
  ASSERT_TRUE(resumed) << to_string(resumed.error());
  EXPECT_EQ(resumed->agent_id, attachment.agent_id);
  EXPECT_EQ(resumed->incarnation, attachment.incarnation);
}

TEST_F(Supervisor, AnAgentOfAnotherFabricCannotGoOnHere) {
  // Numbers are given anew when a fabric is: only its own number tells them apart.
  start();
  Client client = connect();
  const auto attachment = attach(client, "planner");
  Client again = connect();
  control::AttachRequest request;
  request.resume_agent_id = attachment.agent_id;
  request.resume_incarnation = attachment.incarnation;
  request.resume_fabric_id = fabric_id(attachment) + 1;
  const auto resumed = again.resume(request);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Errc::NotFound);
  EXPECT_NE(resumed.error().why.find("started anew"), std::string::npos) << resumed.error().why;
}

TEST_F(Supervisor, AnAttachThatComesAgainBecauseItsAnswerWasLostGetsTheSameEntry) {
  start();
  std::optional<Client> client = connect();
  control::AttachRequest request;
  request.name = "planner";
  request.ticket = 4711;
  const auto attachment = client->attach(request);
  ASSERT_TRUE(attachment);
  client.reset();
  Client again = connect();
  const auto repeated = again.attach(request);
  ASSERT_TRUE(repeated) << to_string(repeated.error());
  EXPECT_EQ(repeated->agent_id, attachment->agent_id);
  EXPECT_EQ(repeated->incarnation, attachment->incarnation);
  Client other = connect();
  request.ticket = 4712;
  EXPECT_EQ(other.attach(request).error().code, Errc::NameTaken);
}

TEST_F(Supervisor, AnAgentWhoseFirstThreadHasEndedKeepsItsPlaceWithoutAConnection) {
  start();
  in_child([&] {
    static Client client = connect();
    static auto attachment = attach(client, "headless");
    std::thread([] {
      std::this_thread::sleep_for(100ms);  // Until the first thread is a zombie; its maps are empty then.
      { const Client ended = std::move(client); }
      for (;;) pause();
    }).detach();
    return true;
  }, true);
  EXPECT_TRUE(wait_until([&] { return log().find("lost its connection") != std::string::npos; })) << log();
  EXPECT_EQ(log().find("gave up its memory"), std::string::npos) << log();
}

TEST_F(Supervisor, ASecondSupervisorIsRefusedWithTheFirstOnesPid) {
  const pid_t first = start();
  const pid_t second = launch(kSmall);
  EXPECT_EQ(exit_status(second), 1);
  EXPECT_NE(log().find("RS-0109"), std::string::npos) << log();
  EXPECT_NE(log().find("pid " + std::to_string(first)), std::string::npos) << log();
  EXPECT_TRUE(connect().status());
}

TEST_F(Supervisor, TwoFabricsServeSideBySide) {
  start();
  std::vector<std::string> other = kSmall;
  other.insert(other.end(), {"--fabric", "other"});
  const pid_t pid = launch(other);
  const auto endpoint = *control::own_endpoint("other");
  ASSERT_TRUE(wait_until([&] { return Client::connect(endpoint, 1000ms).has_value(); })) << log();
  auto client = Client::connect(endpoint, 1000ms);
  Client first = connect();
  attach(*client, "planner");
  attach(first, "planner");
  EXPECT_EQ(client->status()->fabric, "other");
  kill(pid, SIGTERM);
  EXPECT_EQ(exit_status(pid), 0);
  EXPECT_TRUE(first.status());
}

// Names in /dev/shm that could be ours: the rivals' of perf/compare, which may run beside, are not.
std::vector<std::string> shared_memory_names() {
  std::vector<std::string> names;
  for (const auto& each : fs::directory_iterator("/dev/shm")) {
    const std::string name = each.path().filename();
    if (name.starts_with("ripstop") && !name.starts_with("ripstop-perf")) names.push_back(name);
  }
  return names;
}

TEST_F(Supervisor, SigtermLeavesNothingBehind) {
  const pid_t pid = start();
  const uint32_t keeper = connect().status()->keeper_pid;
  ASSERT_NE(keeper, 0u);
  Client client = connect();
  const auto attachment = attach(client, "planner");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(stop(pid), 0) << log();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_FALSE(fs::exists(endpoint_.directory));
  EXPECT_EQ(kill(static_cast<pid_t>(keeper), 0), -1);
  EXPECT_TRUE(shared_memory_names().empty()) << shared_memory_names().front();
  // The memory stays as long as somebody maps it, and says what happened.
  EXPECT_EQ(reinterpret_cast<const layout::Superblock*>(attachment.control.data())->state.load(), 3u);
  const auto refused = Client::connect(endpoint_, 1000ms);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::NoSupervisor);
}

TEST_F(Supervisor, WhileItDrainsItTakesNoNewAgents) {
  auto arguments = kSmall;
  arguments.insert(arguments.end(), {"--set", "drain_timeout_ms=3000"});
  const pid_t pid = start(arguments);
  Client client = connect();
  attach(client, "planner");
  Client late = connect();
  ASSERT_TRUE(client.drain());
  control::AttachRequest request;
  request.name = "late";
  EXPECT_EQ(late.attach(request).error().code, Errc::Draining);
  EXPECT_TRUE(client.detach());  // The last one: it does not wait any longer.
  keeper_pid_ = 0;
  EXPECT_EQ(exit_status(pid), 0);
}

TEST_F(Supervisor, AKilledSupervisorIsSucceededAndAgentsGoOn) {
  const pid_t first = start();
  const uint32_t keeper = keeper_pid_;
  Client client = connect();
  const auto attachment = attach(client, "planner");
  ASSERT_TRUE(client.subscribe({"a.topic", 0, false, 0, 0}));
  const auto view = control::ControlView::open(attachment.control.bytes());
  ASSERT_TRUE(view);
  const pid_t mortal = in_child([&] {
    static Client mine = connect();
    static auto theirs = attach(mine, "mortal");
    return mine.subscribe({"a.topic", 0, false, 0, 0}).has_value();
  });
  kill(first, SIGKILL);
  EXPECT_EQ(exit_status(first), 128 + SIGKILL);
  kill(mortal, SIGKILL);

  // Tools look on, through the keeper.
  auto refused = Client::connect(endpoint_, 1000ms);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::NoSupervisor);
  EXPECT_NE(refused.error().why.find(std::to_string(first)), std::string::npos) << refused.error().why;
  const auto observation = Client::observe(endpoint_, 1000ms);
  ASSERT_TRUE(observation) << to_string(observation.error());
  EXPECT_STREQ(reinterpret_cast<const layout::Superblock*>(observation->control.data())->fabric_name, "default");

  start();
  EXPECT_EQ(keeper_pid_, keeper);
  EXPECT_EQ(view->superblock().supervisor_epoch.load(), 2u);
  std::vector<layout::RouteReceiver> route;
  ASSERT_TRUE(view->copy_route(*view->find_topic("a.topic"), route));
  ASSERT_EQ(route.size(), 1u);  // The one that died meanwhile is settled.
  EXPECT_EQ(route[0].agent, attachment.agent_id);
  Client again = connect();
  control::AttachRequest request;
  request.name = "planner";
  request.resume_agent_id = attachment.agent_id;
  request.resume_incarnation = attachment.incarnation;
  request.resume_fabric_id = fabric_id(attachment);
  ASSERT_TRUE(again.attach(request));
  EXPECT_TRUE(again.subscribe({"b.topic", 0, false, 0, 1}));
  Client fresh = connect();
  EXPECT_GT(attach(fresh, "mortal").incarnation, attachment.incarnation);
}

TEST_F(Supervisor, ALostKeeperIsReplaced) {
  start();
  const uint32_t first = keeper_pid_;
  kill(static_cast<pid_t>(first), SIGKILL);
  EXPECT_TRUE(wait_until([&] {
    const auto status = connect().status();
    keeper_pid_ = status ? status->keeper_pid : 0;
    return keeper_pid_ != 0 && keeper_pid_ != first;
  }));
  control::Endpoint keeper_only = endpoint_;
  keeper_only.socket = directory_ + "/none.sock";
  EXPECT_TRUE(Client::observe(keeper_only, 1000ms));
}

TEST_F(Supervisor, AMachineOfTwoNodesHasTwoSegments) {
  auto arguments = kSmall;
  arguments.insert(arguments.end(), {"--synthetic-topology", "numa:2 core:1 pu:1"});
  start(arguments);
  Client one = connect();
  Client two = connect();
  const auto first = attach(one, "one", 0);
  const auto second = attach(two, "two", 1);
  EXPECT_EQ(first.nodes.size(), 2u);
  EXPECT_EQ(first.node_index, 0u);
  EXPECT_EQ(second.node_index, 1u);
  const auto view = control::ControlView::open(first.control.bytes());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->nodes()[1].bound, 0);  // Nothing is bound to a node that is not there.
}

TEST_F(Supervisor, ADamagedConfigurationIsNamedByFileAndLine) {
  const std::string file = directory_ + "/bad.json";
  std::ofstream(file) << "{\n  \"agents\": 12,\n  \"topisc\": 3\n}\n";
  EXPECT_EQ(exit_status(launch({"--config", file})), ripstop::exit_status(Errc::ConfigUnknownKey));
  EXPECT_NE(log().find("RS-0403"), std::string::npos) << log();
  EXPECT_NE(log().find(file + ":3"), std::string::npos) << log();
  EXPECT_NE(log().find("\"topics\""), std::string::npos) << log();
  EXPECT_FALSE(fs::exists(endpoint_.directory));
}

TEST_F(Supervisor, MoreMemoryThanThereIsIsRefusedAtTheStart) {
  EXPECT_NE(exit_status(launch({"--set", "hugepages=off", "--set", R"(classes=[{"payload_bytes": "64MiB", "chunk_count": 65536}])"})), 0);
  EXPECT_NE(log().find("RS-0203"), std::string::npos) << log();
  EXPECT_NE(log().find("MiB are available"), std::string::npos) << log();
  EXPECT_FALSE(fs::exists(endpoint_.directory));
}

TEST_F(Supervisor, RequiredHugePagesThatAreNotThereAreNamed) {
  EXPECT_NE(exit_status(launch({"--set", "hugepages=require", "--set", "reserve_hugepages=false", "--set",
                                R"(classes=[{"payload_bytes": "64MiB", "chunk_count": 65536}])"})), 0);
  EXPECT_NE(log().find("RS-0204"), std::string::npos) << log();
  EXPECT_NE(log().find("pages of 2 MiB are needed"), std::string::npos) << log();
}

TEST_F(Supervisor, IdleItDoesNotWake) {
  const pid_t pid = start();
  std::vector<Client> clients;
  std::vector<control::Attachment> attachments;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(connect());
    attachments.push_back(attach(clients.back(), "idle" + std::to_string(i)));
  }
  const auto wakeups = [&](pid_t of) {
    std::istringstream status(read_file("/proc/" + std::to_string(of) + "/status"));
    std::string word;
    while (status >> word) {
      if (word == "voluntary_ctxt_switches:") status >> word;
      else continue;
      return std::stol(word);
    }
    return -1L;
  };
  std::this_thread::sleep_for(100ms);
  const long before = wakeups(pid);
  const long keeper_before = wakeups(static_cast<pid_t>(keeper_pid_));
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(wakeups(pid), before);
  EXPECT_EQ(wakeups(static_cast<pid_t>(keeper_pid_)), keeper_before);
}

TEST_F(Supervisor, NonsenseOnTheSocketEndsThatConnectionAlone) {
  start();
  Client good = connect();
  attach(good, "planner");
  const int bad = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  endpoint_.socket.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(bad, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string nonsense(1000, '\xff');
  ASSERT_EQ(send(bad, nonsense.data(), nonsense.size(), 0), 1000);
  const auto answer = control::receive_packet(bad);
  ASSERT_TRUE(answer);
  const auto reply = control::decode_reply(answer->bytes);
  ASSERT_TRUE(reply);
  EXPECT_EQ(std::get<Error>(reply->body).code, Errc::Protocol);
  char byte = 0;
  EXPECT_EQ(recv(bad, &byte, 1, 0), 0);
  close(bad);
  EXPECT_TRUE(good.topic_id("still.here"));
}

}  // namespace
}  // namespace ripstop
