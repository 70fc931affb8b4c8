// An agent's way to its supervisor, which outlives the supervisor: a call that finds the connection
// broken connects again, goes on as the same agent, and asks again.
//
// Asking again does no harm, wherever the supervisor was killed: each request that makes something
// bears a ticket, which stands beside what it made before that is committed; the same ticket gets the
// same answer. Ending what has ended is no error. So nothing is done twice and nothing is forgotten.
//
// Thread: any, one call at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "control/client.h"
#include "control/endpoint.h"
#include "control/wire.h"
#include "ripstop/result.h"

namespace ripstop::control {

class AgentLink {
 public:
  // How long a call waits for a supervisor that is being restarted.
  static constexpr std::chrono::milliseconds kRestartWait{1000};

  // Connects and attaches. `timeout` is each answer's, now and later.
  // Errors: as Client::connect() and Client::attach().
  static Result<AgentLink> attach(const Endpoint& endpoint, AttachRequest request, std::chrono::milliseconds timeout);

  // The link of an agent whose supervisor is away: its messages go on, its calls look for a supervisor in
  // vain. What the proofs in tests/proof start from, who are the supervisor themselves.
  static AgentLink unconnected(Attachment attachment);

  const Attachment& attachment() const noexcept { return attachment_; }

  // Errors: as the Client's; FabricGone: supervisor and keeper have ended; SupervisorGone: none came back within kRestartWait, or it does not know
  // this agent any more. Both say where was asked and what to do.
  Result<uint32_t> topic_id(std::string_view topic);
  // The same of a supervisor that is there: one that is away is not waited for.
  Result<uint32_t> try_topic_id(std::string_view topic);
  // Whether one that is away can come back to this agent: it was not told to end, and knows us.
  bool is_expected_back() const noexcept;
  Result<SubscribeReply> subscribe(SubscribeRequest request);
  Result<ChannelReply> open_channel(ChannelOpenRequest request);

  // Wait for no supervisor: one that is away is told at the next connection.
  void unsubscribe(uint32_t subscription_id) noexcept;
  void close_channel(uint32_t ring_id, ChannelEnd end) noexcept;
  // What it cannot tell, the kernel tells when the process ends.
  Result<void> detach();

 private:
  using Clock = std::chrono::steady_clock;
  struct Debt {  // An end that nobody could be told of.
    bool is_channel;
    uint32_t id;
    ChannelEnd end;
  };

  AgentLink(Endpoint endpoint, std::chrono::milliseconds timeout, std::optional<Client> client, Attachment attachment)
      : endpoint_(std::move(endpoint)), timeout_(timeout), client_(std::move(client)), attachment_(std::move(attachment)) {}

  const layout::Superblock& superblock() const noexcept {
    return *reinterpret_cast<const layout::Superblock*>(attachment_.control.data());
  }
  // Makes sure that there is a connection, trying until `end`.
  Result<void> connect(Clock::time_point end);
  Result<void> resume();
  Result<void> pay(const Debt& debt);
  void end(const Debt& debt) noexcept;
  Error is_away(const Error& cause) const;
  template <class Call>
  auto ask(Call call) -> decltype(call());

  Endpoint endpoint_;
  std::chrono::milliseconds timeout_;
  std::optional<Client> client_;  // None: the connection is lost.
  // Ends before the connection: who closes it and still maps the memory has only lost it.
  Attachment attachment_;
  std::optional<Error> refused_;  // The supervisor does not know us any more.
  std::vector<Debt> debts_;
  std::size_t end_count_max_ = 0;  // How many debts there can be.
  uint32_t last_ticket_ = 0;
};

}  // namespace ripstop::control
