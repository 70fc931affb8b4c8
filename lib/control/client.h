// An agent's or a tool's connection to the supervisor: attach, topics, subscriptions, channels.
//
// Every call is one request and one reply. An error of the supervisor comes through as it was made
// there: code, what, why, fix. Beside those, any call can answer SupervisorGone (the connection is
// lost; the data path does not need it), Timeout or Protocol.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "control/endpoint.h"
#include "control/wire.h"
#include "memory/segment.h"
#include "ripstop/result.h"

namespace ripstop::control {

// What an agent gets.
struct Attachment {
  uint32_t agent_id = 0;
  uint64_t incarnation = 0;
  uint32_t node_index = 0;             // Where its block lies.
  memory::Segment control;             // Read-only.
  std::vector<memory::Segment> nodes;  // Read-write, hidden from children made by fork.
  base::OwnedFd bell;                  // An eventfd: starts the supervisor's tick (Superblock.watch).
};

// What an onlooker gets: the same memory, read-only.
struct Observation {
  memory::Segment control;
  std::vector<memory::Segment> nodes;
};

class Client {
 public:
  // Errors: NoSupervisor (says why, and what to type), Denied, Timeout, System.
  // Thread: any; one call at a time. Not to be used in a child made by fork.
  static Result<Client> connect(const Endpoint& endpoint, std::chrono::milliseconds timeout);
  static Result<Client> connect(std::string_view socket_path, std::chrono::milliseconds timeout);

  // Observes through the supervisor or, when that does not answer, through the keeper.
  // Errors: NoSupervisor (neither answers), Denied, Timeout.
  static Result<Observation> observe(const Endpoint& endpoint, std::chrono::milliseconds timeout);

  // The connection's one agent.
  // Errors: BadName, NameTaken, Denied, AbiMismatch, LayoutMismatch, AgentsFull, Draining, NoMemory.
  Result<Attachment> attach(const AttachRequest& request);
  // The agent that this process has already: request.resume_* name it. Maps nothing.
  // Errors: NotFound (settled, another process's, or of another fabric; says which), Denied.
  Result<AttachReply> resume(const AttachRequest& request);

  // The number of a topic, which exists from now on.
  // Errors: BadTopic, TopicsFull.
  Result<uint32_t> topic_id(std::string_view topic);

  // Messages that are published after it returns arrive.
  // Errors: BadTopic, TopicsFull, SubscriptionsFull, RingsFull.
  Result<SubscribeReply> subscribe(const SubscribeRequest& request);
  Result<void> unsubscribe(uint32_t subscription_id);

  // Errors: BadName, ChannelBusy, WrongGeometry, RingsFull.
  Result<ChannelReply> open_channel(const ChannelOpenRequest& request);
  Result<void> close_channel(uint32_t ring_id, ChannelEnd end);

  // Gives everything back, as a death does; the connection can attach again.
  Result<void> detach();

  Result<Observation> observe();
  Result<StatusReply> status();
  // Drops or replays dead letters. Returns how many.
  Result<uint32_t> letters(const LettersRequest& request);
  // Asks the supervisor to end in order, as SIGTERM does.
  Result<void> drain();

  const std::string& socket_path() const noexcept { return socket_path_; }

 private:
  Client(base::OwnedFd socket, std::string socket_path) noexcept
      : socket_(std::move(socket)), socket_path_(std::move(socket_path)) {}

  struct Answer {
    Reply reply;
    std::vector<base::OwnedFd> fds;
  };
  Result<Answer> call(const Request& request);
  // The answer must hold a T; anything else is Protocol.
  template <class T>
  Result<T> call_for(const Request& request, std::vector<base::OwnedFd>* fds = nullptr);

  base::OwnedFd socket_;
  std::string socket_path_;
  uint64_t serial_ = 0;
};

}  // namespace ripstop::control
