// Rejected: telling what was executed from how the call failed. A request that was sent may have been
// read or not, and only the supervisor's own words, in memory that outlives it, say which.
#include "control/agent_link.h"

#include <sys/random.h>

#include <algorithm>
#include <thread>

#include "control/peer.h"

namespace ripstop::control {

namespace {

constexpr std::chrono::milliseconds kPauseMin{1};
constexpr std::chrono::milliseconds kPauseMax{20};
constexpr uint32_t kStateEnded = 3;  // Superblock.state.

bool is_lost(Errc code) noexcept { return code == Errc::SupervisorGone; }

// What a supervisor answers while it is being restarted: its socket is not there yet, or not any more.
bool may_come_back(Errc code) noexcept { return code == Errc::NoSupervisor || code == Errc::SupervisorGone; }

// Also one that nobody has waited for.
bool is_gone(pid_t pid) {
  const auto pidfd = open_pidfd(pid);
  return pidfd ? has_ended(pidfd->get()) : pidfd.error().code == Errc::NotFound;
}

// Between two tries to connect: short at first, since a restart takes a few milliseconds.
class Pauses {
 public:
  // False: `end` is over.
  bool next(std::chrono::steady_clock::time_point end) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= end) return false;
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(pause_, end - now));
    pause_ = std::min(2 * pause_, kPauseMax);
    return true;
  }

 private:
  std::chrono::milliseconds pause_ = kPauseMin;
};

}  // namespace

Result<AgentLink> AgentLink::attach(const Endpoint& endpoint, AttachRequest request, std::chrono::milliseconds timeout) {
  if (getrandom(&request.ticket, sizeof request.ticket, 0) < 0) request.ticket = 0;
  Pauses pauses;
  const auto end = Clock::now() + std::min(timeout, kRestartWait);
  for (bool asked = false;;) {
    auto client = Client::connect(endpoint, timeout);
    auto attachment = client ? client->attach(request) : Result<Attachment>(client.error());
    if (attachment) return AgentLink(endpoint, timeout, std::move(*client), std::move(*attachment));
    asked = asked || client.has_value();
    // Who has never been asked is not waited for: a person may have forgotten to start it.
    if (!asked || !may_come_back(attachment.error().code) || !pauses.next(end)) return attachment.error();
  }
}

AgentLink AgentLink::unconnected(Attachment attachment) {
  return AgentLink(Endpoint{}, std::chrono::milliseconds(0), std::nullopt, std::move(attachment));
}

Error AgentLink::is_away(const Error& cause) const {
  // Relaxed: evidence for a person.
  if (superblock().state.load(std::memory_order_relaxed) == kStateEnded) {
    return {Errc::SupervisorGone, cause.sys_errno, "the supervisor at " + endpoint_.socket + " was told to end, and its fabric with it",
            "the agents that are attached can exchange messages, nothing can be opened any more",
            "start it again and attach anew:     ripstopd --fabric " + endpoint_.fabric};
  }
  // Relaxed: as above.
  const auto keeper = static_cast<pid_t>(superblock().keeper_pid.load(std::memory_order_relaxed));
  if (keeper > 0 && is_gone(keeper)) {
    return {Errc::FabricGone, cause.sys_errno, "the supervisor of fabric " + endpoint_.fabric + " has ended, and so has its keeper (pid " + std::to_string(keeper) + ")",
            "this fabric's memory is with its agents alone: messages go on among them, nothing can be opened any more",
            "read what is in hand, then start a supervisor and attach anew:     ripstopd --fabric " + endpoint_.fabric};
  }
  return {Errc::SupervisorGone, cause.sys_errno,
          "no supervisor came back at " + endpoint_.socket + " within " +
              std::to_string(std::min(timeout_, kRestartWait).count()) + " ms",
          cause.why + (cause.why.empty() ? "" : "; ") + "messages go on without it",
          "start it, and this agent goes on:     ripstopd --fabric " + endpoint_.fabric};
}

Result<void> AgentLink::resume() {
  AttachRequest request;
  request.resume_agent_id = attachment_.agent_id;
  request.resume_incarnation = attachment_.incarnation;
  request.resume_fabric_id = superblock().fabric_id;
  auto resumed = client_->resume(request);
  if (resumed && resumed->agent_id == attachment_.agent_id && resumed->incarnation == attachment_.incarnation) return {};
  const bool has_gone = !resumed && resumed.error().code == Errc::FabricGone;
  if (resumed || has_gone || resumed.error().code == Errc::NotFound) {
    refused_ = Error{has_gone ? Errc::FabricGone : Errc::SupervisorGone, 0, "the supervisor at " + endpoint_.socket + " does not know this agent",
                     resumed ? "it took it for another one" : resumed.error().why,
                     "what is in hand can still be read; then detach and attach anew"};
    return *refused_;
  }
  return resumed.error();
}

Result<void> AgentLink::pay(const Debt& debt) {
  auto paid = debt.is_channel ? client_->close_channel(debt.id, debt.end) : client_->unsubscribe(debt.id);
  if (!paid && is_lost(paid.error().code)) return paid;
  return {};  // NotFound: it had been told before the answer was lost.
}

Result<void> AgentLink::connect(Clock::time_point end) {
  if (client_) return {};
  if (refused_) return *refused_;
  Pauses pauses;
  for (;;) {
    auto connected = [&]() -> Result<void> {
      auto client = Client::connect(endpoint_, timeout_);
      if (!client) return client.error();
      client_ = std::move(*client);
      if (auto resumed = resume(); !resumed) return resumed;
      while (!debts_.empty()) {
        if (auto paid = pay(debts_.back()); !paid) return paid;
        debts_.pop_back();
      }
      return {};
    }();
    if (connected) return {};
    client_.reset();
    if (refused_ || !may_come_back(connected.error().code)) return connected;
    // Relaxed: a word for a person, and the fabric's last.
    const bool has_ended = superblock().state.load(std::memory_order_relaxed) == kStateEnded;
    if (has_ended || !pauses.next(end)) return is_away(connected.error());
  }
}

template <class Call>
auto AgentLink::ask(Call call) -> decltype(call()) {
  auto end = Clock::time_point::max();
  for (;;) {
    // The wait begins when the connection turns out to be lost.
    if (!client_ && end == Clock::time_point::max()) end = Clock::now() + std::min(timeout_, kRestartWait);
    if (auto connected = connect(end); !connected) return connected.error();
    auto answer = call();
    if (answer || !is_lost(answer.error().code)) return answer;
    client_.reset();
    if (Clock::now() >= end) return is_away(answer.error());
  }
}

Result<uint32_t> AgentLink::topic_id(std::string_view topic) {
  return ask([&] { return client_->topic_id(topic); });
}

Result<uint32_t> AgentLink::try_topic_id(std::string_view topic) {
  if (auto connected = connect(Clock::now()); !connected) return connected.error();
  auto id = client_->topic_id(topic);
  if (!id && is_lost(id.error().code)) client_.reset();
  return id;
}

bool AgentLink::is_expected_back() const noexcept {
  return !refused_ && superblock().state.load(std::memory_order_relaxed) != kStateEnded;  // Relaxed: the fabric's last word.
}

Result<SubscribeReply> AgentLink::subscribe(SubscribeRequest request) {
  request.ticket = ++last_ticket_;
  debts_.reserve(++end_count_max_);  // Its end finds a place for sure.
  return ask([&] { return client_->subscribe(request); });
}

Result<ChannelReply> AgentLink::open_channel(ChannelOpenRequest request) {
  request.ticket = ++last_ticket_;
  debts_.reserve(++end_count_max_);  // Its end finds a place for sure.
  return ask([&] { return client_->open_channel(request); });
}

// Called by destructors: what fails for want of memory is paid at the next connection, as everything else.
void AgentLink::end(const Debt& debt) noexcept {
  try {
    debts_.push_back(debt);
    if (client_) {
      if (auto paid = pay(debt); paid) {
        debts_.pop_back();
        return;
      }
      client_.reset();
    }
    (void)connect(Clock::now());  // Pays all there are.
  } catch (const std::bad_alloc&) {
    client_.reset();
  }
}

void AgentLink::unsubscribe(uint32_t subscription_id) noexcept { end({false, subscription_id, ChannelEnd::Sender}); }
void AgentLink::close_channel(uint32_t ring_id, ChannelEnd which) noexcept { end({true, ring_id, which}); }

Result<void> AgentLink::detach() {
  if (client_) {
    auto done = client_->detach();
    if (done || !is_lost(done.error().code)) return done;
    client_.reset();
  }
  debts_.clear();  // They go with the agent.
  if (auto connected = connect(Clock::now()); !connected) {
    if (refused_) return {};  // It is detached, or of a fabric that is gone.
    return connected;
  }
  return client_->detach();
}

}  // namespace ripstop::control
