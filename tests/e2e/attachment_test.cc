// Method: what an agent asks of a real ripstopd, and by what it knows who asks.
#include "supervisor_fixture.h"

namespace ripstop {
namespace {

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
  EXPECT_EQ(resumed.error().code, Errc::FabricGone);
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

}  // namespace
}  // namespace ripstop
