// Method: a thread plays the supervisor from a script: what it hears, and whether it answers or hangs up.
#include "control/agent_link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

namespace ripstop::control {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kSegmentBytes = 8192;
constexpr uint64_t kFabricId = 4711;

class Scripted {
 public:
  // Answers a request, or hangs up with nullopt.
  using Step = std::function<std::optional<Reply>(const Request&)>;

  Scripted() {
    char name[] = "/tmp/ripstop-link-XXXXXX";
    directory_ = mkdtemp(name);
    endpoint = endpoint_at(directory_ + "/default.sock");
    for (base::OwnedFd& fd : memory_) {
      fd.reset(memfd_create("link", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      EXPECT_EQ(ftruncate(fd.get(), kSegmentBytes), 0);
      EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    }
    EXPECT_EQ(pwrite(memory_[0].get(), &kFabricId, sizeof kFabricId, offsetof(layout::Superblock, fabric_id)),
              static_cast<ssize_t>(sizeof kFabricId));
  }
  ~Scripted() {
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(directory_);
  }

  void listen() {
    unlink(endpoint.socket.c_str());
    listener_.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    endpoint.socket.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
  }
  // The socket's file stays, as after a kill.
  void stop_listening() { listener_.reset(); }

  // Plays `steps` and then hangs up.
  void play(std::vector<Step> steps) {
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([this, steps = std::move(steps)] {
      base::OwnedFd peer;
      for (const Step& step : steps) {
        if (!peer) peer.reset(accept(listener_.get(), nullptr, nullptr));
        auto packet = receive_packet(peer.get());
        if (!packet || packet->bytes.empty()) {
          ADD_FAILURE() << "nothing was asked";
          return;
        }
        auto request = decode_request(packet->bytes);
        const auto reply = step(request->body);
        if (!reply) {
          peer.reset();
          continue;
        }
        std::vector<int> fds;
        if (std::holds_alternative<AttachReply>(*reply)) fds = {memory_[0].get(), memory_[1].get(), memory_[1].get()};
        EXPECT_TRUE(send_packet(peer.get(), encode(request->serial, *reply), fds));
      }
    });
  }
  void wait() { thread_.join(); }

  Endpoint endpoint;

 private:
  std::string directory_;
  base::OwnedFd memory_[2];
  base::OwnedFd listener_;
  std::thread thread_;
};

Reply attached() { return AttachReply{3, 5, 0, {kSegmentBytes, kSegmentBytes}}; }
std::optional<Reply> hang_up(const Request&) { return std::nullopt; }
std::optional<Reply> attaches(const Request& request) {
  EXPECT_EQ(std::get<AttachRequest>(request).resume_agent_id, 0u);
  return attached();
}
std::optional<Reply> resumes(const Request& request) {
  const auto* attach = std::get_if<AttachRequest>(&request);
  EXPECT_NE(attach, nullptr);
  if (attach == nullptr) return std::nullopt;
  EXPECT_EQ(attach->resume_agent_id, 3u);
  EXPECT_EQ(attach->resume_incarnation, 5u);
  EXPECT_EQ(attach->resume_fabric_id, kFabricId);
  return attached();
}

AgentLink attach(Scripted& scripted) {
  AttachRequest request;
  request.name = "planner";
  auto link = AgentLink::attach(scripted.endpoint, request, 5s);
  if (!link) ADD_FAILURE() << to_string(link.error());
  if (!link) std::abort();
  return std::move(*link);
}

TEST(AgentLink, ACallWhoseAnswerIsLostIsAskedAgainWithItsTicket) {
  Scripted scripted;
  scripted.listen();
  uint32_t ticket = 0;
  scripted.play({attaches,
                 [&](const Request& request) -> std::optional<Reply> {
                   ticket = std::get<SubscribeRequest>(request).ticket;
                   return std::nullopt;
                 },
                 resumes,
                 [&](const Request& request) -> std::optional<Reply> {
                   EXPECT_EQ(std::get<SubscribeRequest>(request).ticket, ticket);
                   return SubscribeReply{1, 2, 0};
                 },
                 [&](const Request& request) -> std::optional<Reply> {
                   EXPECT_NE(std::get<ChannelOpenRequest>(request).ticket, ticket);
                   return ChannelReply{9, 1};
                 }});
  AgentLink link = attach(scripted);
  const auto subscribed = link.subscribe({"a", 0, false, 0, 0});
  ASSERT_TRUE(subscribed) << to_string(subscribed.error());
  EXPECT_EQ(subscribed->topic_id, 2u);
  EXPECT_NE(ticket, 0u);
  EXPECT_TRUE(link.open_channel({"c", ChannelEnd::Sender, 8, 8}));
}

TEST(AgentLink, AnAttachWhoseAnswerIsLostIsAskedAgainWithItsTicket) {
  Scripted scripted;
  scripted.listen();
  uint64_t ticket = 0;
  scripted.play({[&](const Request& request) -> std::optional<Reply> {
                   ticket = std::get<AttachRequest>(request).ticket;
                   return std::nullopt;
                 },
                 [&](const Request& request) -> std::optional<Reply> {
                   EXPECT_EQ(std::get<AttachRequest>(request).ticket, ticket);
                   return attached();
                 }});
  AgentLink link = attach(scripted);
  EXPECT_NE(ticket, 0u);
  EXPECT_EQ(link.attachment().agent_id, 3u);
}

TEST(AgentLink, ASupervisorThatComesBackWithinASecondIsWaitedFor) {
  Scripted scripted;
  scripted.listen();
  scripted.play({attaches});
  AgentLink link = attach(scripted);
  scripted.wait();
  scripted.stop_listening();
  std::thread restart([&] {
    std::this_thread::sleep_for(200ms);
    scripted.listen();
    scripted.play({hang_up, resumes, [](const Request&) -> std::optional<Reply> { return TopicReply{6}; }});
  });
  const auto topic = link.topic_id("a");
  restart.join();
  ASSERT_TRUE(topic) << to_string(topic.error());
  EXPECT_EQ(*topic, 6u);
}

TEST(AgentLink, OneThatDoesNotComeBackIsNamedWithWhatToDo) {
  Scripted scripted;
  scripted.listen();
  scripted.play({attaches});
  AgentLink link = attach(scripted);
  scripted.wait();
  scripted.stop_listening();
  const auto begin = std::chrono::steady_clock::now();
  const auto topic = link.topic_id("a");
  const auto took = std::chrono::steady_clock::now() - begin;
  ASSERT_FALSE(topic);
  EXPECT_GE(took, AgentLink::kRestartWait);
  EXPECT_EQ(topic.error().code, Errc::SupervisorGone);
  EXPECT_NE(topic.error().what.find(scripted.endpoint.socket), std::string::npos) << topic.error().what;
  EXPECT_NE(topic.error().fix.find("ripstopd --fabric default"), std::string::npos) << topic.error().fix;
}

TEST(AgentLink, WhatEndedMeanwhileIsToldBeforeAnythingElse) {
  Scripted scripted;
  scripted.listen();
  scripted.play({attaches});
  AgentLink link = attach(scripted);
  scripted.wait();
  scripted.stop_listening();
  const auto begin = std::chrono::steady_clock::now();
  link.unsubscribe(11);
  link.close_channel(12, ChannelEnd::Receiver);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2 * AgentLink::kRestartWait) << "ending something waits for nobody";
  scripted.listen();
  std::vector<std::size_t> kinds;
  const auto note = [&](const Request& request) -> std::optional<Reply> {
    kinds.push_back(request.index());
    if (std::holds_alternative<UnsubscribeRequest>(request)) return Error{Errc::NotFound, 0, "", "", ""};  // Done before.
    if (std::holds_alternative<TopicRequest>(request)) return TopicReply{6};
    return DoneReply{};
  };
  scripted.play({resumes, note, note, note});
  EXPECT_TRUE(link.topic_id("a"));
  scripted.wait();
  EXPECT_EQ(kinds, (std::vector<std::size_t>{Request(ChannelCloseRequest{}).index(), Request(UnsubscribeRequest{}).index(),
                                             Request(TopicRequest{}).index()}));
}

TEST(AgentLink, AnAgentOfAFabricThatIsGoneIsToldThat) {
  Scripted scripted;
  scripted.listen();
  scripted.play({attaches, hang_up, [](const Request&) -> std::optional<Reply> {
                   return Error{Errc::FabricGone, 0, "no", "both have ended", "attach anew"};
                 }});
  AgentLink link = attach(scripted);
  const auto topic = link.topic_id("a");
  ASSERT_FALSE(topic);
  EXPECT_EQ(topic.error().code, Errc::FabricGone);
  EXPECT_EQ(topic.error().why, "both have ended");
}

TEST(AgentLink, AnAgentThatIsNotKnownAnyMoreIsToldSoAtOnceAndEveryTime) {
  Scripted scripted;
  scripted.listen();
  scripted.play({attaches, hang_up, [](const Request&) -> std::optional<Reply> {
                   return Error{Errc::NotFound, 0, "no", "this fabric was started anew", "attach anew"};
                 }});
  AgentLink link = attach(scripted);
  for (int i = 0; i < 2; ++i) {
    const auto topic = link.topic_id("a");
    ASSERT_FALSE(topic);
    EXPECT_EQ(topic.error().code, Errc::SupervisorGone);
    EXPECT_EQ(topic.error().why, "this fabric was started anew");
  }
  EXPECT_TRUE(link.detach());
}

}  // namespace
}  // namespace ripstop::control
