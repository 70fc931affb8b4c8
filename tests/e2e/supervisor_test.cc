// Method: a real ripstopd's own life: its start, what refuses it one, its successor, its end.
#include "process_facts.h"
#include "supervisor_fixture.h"

namespace ripstop {
namespace {

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

// Without a descriptor for each agent it cannot know who lives: it settles nobody, and says what is missing.
TEST_F(Supervisor, ASuccessorWithTooFewDescriptorsLeavesEverythingAsItIs) {
  const pid_t first = start();
  std::vector<Client> clients;
  std::vector<control::Attachment> attachments;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(connect());
    attachments.push_back(attach(clients.back(), "agent-" + std::to_string(i)));
  }
  kill(first, SIGKILL);
  EXPECT_EQ(exit_status(first), 128 + SIGKILL);
  const std::string real = std::exchange(program_, directory_ + "/poor");
  std::ofstream(program_) << "#!/bin/sh\nulimit -n 16\nexec " << real << " \"$@\"\n";
  chmod(program_.c_str(), 0700);
  EXPECT_NE(exit_status(launch(kSmall)), 0);
  EXPECT_NE(log().find("cannot be watched"), std::string::npos) << log();
  EXPECT_NE(log().find("ulimit -n"), std::string::npos) << log();

  program_ = real;
  start();
  EXPECT_EQ(connect().status()->agent_count, 12u);
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
  const auto wakeups = [](uint32_t of) { return test::voluntary_switches(static_cast<pid_t>(of)); };
  std::this_thread::sleep_for(100ms);
  const long before = test::voluntary_switches(pid);
  const long keeper_before = wakeups(keeper_pid_);
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(test::voluntary_switches(pid), before);
  EXPECT_EQ(wakeups(keeper_pid_), keeper_before);
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
