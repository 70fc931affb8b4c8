#include "control/wire.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <random>

namespace ripstop::control {
namespace {

class SocketPair {
 public:
  SocketPair() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    left.reset(pair[0]);
    right.reset(pair[1]);
  }
  base::OwnedFd left;
  base::OwnedFd right;
};

TEST(Wire, ARequestComesOutAsItWentIn) {
  AttachRequest attach;
  attach.name = "planner";
  attach.node = 3;
  attach.os_node = 7;
  attach.flags = 2;
  attach.resume_agent_id = 9;
  attach.resume_incarnation = ~uint64_t{0};
  attach.resume_fabric_id = 4711;
  attach.ticket = 12;
  const auto request = decode_request(encode(42, Request(attach)));
  ASSERT_TRUE(request) << to_string(request.error());
  EXPECT_EQ(request->serial, 42u);
  const auto* back = std::get_if<AttachRequest>(&request->body);
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->name, "planner");
  EXPECT_EQ(back->node, 3);
  EXPECT_EQ(back->os_node, 7u);
  EXPECT_EQ(back->flags, 2u);
  EXPECT_EQ(back->resume_agent_id, 9u);
  EXPECT_EQ(back->resume_incarnation, ~uint64_t{0});
  EXPECT_EQ(back->resume_fabric_id, 4711u);
  EXPECT_EQ(back->ticket, 12u);
  EXPECT_EQ(back->abi_version, layout::kAbiVersion);
  EXPECT_EQ(back->layout_hash, layout::layout_hash());
}

TEST(Wire, EveryRequestKeepsItsKind) {
  const Request requests[] = {AttachRequest{},      TopicRequest{"a.b"}, SubscribeRequest{"a", 1, true, 64, 3},
                              UnsubscribeRequest{5}, ChannelOpenRequest{"c", ChannelEnd::Receiver, 112, 256},
                              ChannelCloseRequest{}, DetachRequest{},     ObserveRequest{},
                              StatusRequest{},       DrainRequest{},      KeepRequest{{1, 2}},
                              AdoptRequest{},        EndRequest{},        LettersRequest{LettersRequest::Action::Replay, 7},
                              KeepProcessesRequest{{{1, 2}}}, ForgetProcessRequest{{3, 4}}, FetchProcessesRequest{5}};
  EXPECT_EQ(std::size(requests), std::variant_size_v<Request>);
  for (const Request& request : requests) {
    const auto back = decode_request(encode(1, request));
    ASSERT_TRUE(back) << to_string(back.error());
    EXPECT_EQ(back->body.index(), request.index());
  }
}

TEST(Wire, ProcessesComeThroughUpToAPacketful) {
  ProcessesReply many;
  for (uint32_t id = 1; id <= kProcessesPerPacket + 1; ++id) many.processes.push_back({id, 1000 + id});
  const auto reply = decode_reply(encode(1, Reply(many)));
  ASSERT_TRUE(reply);
  const auto& processes = std::get<ProcessesReply>(reply->body).processes;
  ASSERT_EQ(processes.size(), kProcessesPerPacket);
  EXPECT_EQ(processes.back().agent_id, kProcessesPerPacket);
  EXPECT_EQ(processes.back().incarnation, 1000 + kProcessesPerPacket);
}

TEST(Wire, AnErrorComesThroughAsItWasMade) {
  const Error error{Errc::NameTaken, 17, "what", "why", "fix"};
  const auto reply = decode_reply(encode(7, Reply(error)));
  ASSERT_TRUE(reply);
  const auto* back = std::get_if<Error>(&reply->body);
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->code, Errc::NameTaken);
  EXPECT_EQ(back->sys_errno, 17);
  EXPECT_EQ(back->what, "what");
  EXPECT_EQ(back->why, "why");
  EXPECT_EQ(back->fix, "fix");
}

TEST(Wire, WhatIsNoMessageIsProtocol) {
  const std::vector<std::byte> nothing;
  const std::vector<std::byte> odd(13);
  const std::vector<std::byte> large(kPacketBytesMax + 8);
  const std::vector<std::byte> ones(64, std::byte{0xff});
  for (const auto& bytes : {nothing, odd, large, ones}) {
    const auto request = decode_request(bytes);
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().code, Errc::Protocol);
  }
}

TEST(Wire, BytesBehindTheMessageAreProtocol) {
  auto bytes = encode(1, Request(DetachRequest{}));
  bytes.resize(bytes.size() + 8);
  const auto request = decode_request(bytes);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().code, Errc::Protocol);
}

TEST(Wire, AChannelHasNoThirdEnd) {
  const auto bytes = encode(1, Request(ChannelCloseRequest{1, static_cast<ChannelEnd>(2)}));
  const auto request = decode_request(bytes);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().code, Errc::Protocol);
}

TEST(Wire, DamagedMessagesAreAnsweredAndNeverThrow) {
  // Every byte of a message with texts and lists is damaged in several ways, then random ones at once.
  std::mt19937 random(1);
  for (const auto& whole : {encode(1, Request(SubscribeRequest{"agent.planner.task", 3, true, 64, 1})),
                            encode(1, Request(KeepRequest{{1, 2, 3}}))}) {
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const unsigned flip : {0x01u, 0x80u, 0xffu}) {
        auto bytes = whole;
        bytes[at] ^= static_cast<std::byte>(flip);
        static_cast<void>(decode_request(bytes).has_value());
      }
      static_cast<void>(decode_request({whole.data(), at}).has_value());
    }
    for (int round = 0; round < 1'000; ++round) {
      auto bytes = whole;
      for (int i = 0; i < 4; ++i) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      static_cast<void>(decode_request(bytes).has_value());
      static_cast<void>(decode_reply(bytes).has_value());
    }
  }
}

TEST(Wire, DescriptorsComeWithTheirPacketAndCloseOnExec) {
  SocketPair sockets;
  const base::OwnedFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fds[] = {file.get(), file.get()};
  ASSERT_TRUE(send_packet(sockets.left.get(), encode(1, Request(DetachRequest{})), fds));
  const auto packet = receive_packet(sockets.right.get());
  ASSERT_TRUE(packet) << to_string(packet.error());
  ASSERT_EQ(packet->fds.size(), 2u);
  EXPECT_NE(fcntl(packet->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Wire, MoreDescriptorsThanThereAreSegmentsAreRefused) {
  SocketPair sockets;
  const base::OwnedFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::vector<int> fds(kPacketFdsMax + 1, file.get());
  const auto sent = send_packet(sockets.left.get(), encode(1, Request(DetachRequest{})), fds);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::Protocol);
}

TEST(Wire, AClosedPeerIsAnEmptyPacketOrGone) {
  SocketPair sockets;
  sockets.left.reset();
  const auto packet = receive_packet(sockets.right.get());
  ASSERT_TRUE(packet);
  EXPECT_TRUE(packet->bytes.empty());
  const auto sent = send_packet(sockets.right.get(), encode(1, Request(DetachRequest{})));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::SupervisorGone);
}

TEST(Wire, APeerThatSaysNothingIsATimeout) {
  SocketPair sockets;
  const timeval value{0, 10'000};
  setsockopt(sockets.right.get(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  const auto packet = receive_packet(sockets.right.get());
  ASSERT_FALSE(packet);
  EXPECT_EQ(packet.error().code, Errc::Timeout);
}

}  // namespace
}  // namespace ripstop::control
