// The outcomes and enumerators in words.
#include <cstdio>

#include "base/clock.h"
#include "ripstop/types.h"

namespace ripstop {

std::string_view to_string(Priority priority) noexcept {
  switch (priority) {
    case Priority::Critical: return "critical";
    case Priority::High: return "high";
    case Priority::Normal: return "normal";
    case Priority::Low: return "low";
    case Priority::Background: return "background";
  }
  return "unknown";
}

std::string_view to_string(Overflow overflow) noexcept {
  switch (overflow) {
    case Overflow::Block: return "block";
    case Overflow::Fail: return "fail";
    case Overflow::DropNewest: return "drop-newest";
    case Overflow::DropOldest: return "drop-oldest";
  }
  return "unknown";
}

std::string_view to_string(ContentType type) noexcept {
  switch (type) {
    case ContentType::Bytes: return "bytes";
    case ContentType::Capnp: return "capnp";
    case ContentType::Text: return "text";
    case ContentType::Json: return "json";
    case ContentType::MsgPack: return "msgpack";
    case ContentType::Arrow: return "arrow";
    case ContentType::User: return "user";
  }
  return "unknown";
}

std::string_view to_string(SendOutcome outcome) noexcept {
  switch (outcome) {
    case SendOutcome::Delivered: return "delivered";
    case SendOutcome::NoReceiver: return "no receiver";
    case SendOutcome::Partial: return "partly delivered";
    case SendOutcome::Full: return "full";
    case SendOutcome::Gone: return "receivers gone";
    case SendOutcome::Expired: return "expired";
    case SendOutcome::Corrupt: return "corrupt memory";
    case SendOutcome::Forked: return "used after fork";
    case SendOutcome::PoolEmpty: return "pool empty";
    case SendOutcome::Detached: return "detached";
    case SendOutcome::Unnamed: return "topic not named yet";
  }
  return "unknown";
}

std::string_view to_string(TakeOutcome outcome) noexcept {
  switch (outcome) {
    case TakeOutcome::Ok: return "ok";
    case TakeOutcome::Empty: return "empty";
    case TakeOutcome::HeldFull: return "too many messages in hand";
    case TakeOutcome::Corrupt: return "corrupt message";
    case TakeOutcome::Forked: return "used after fork";
    case TakeOutcome::Detached: return "detached";
  }
  return "unknown";
}

std::string_view to_string(ReleaseOutcome outcome) noexcept {
  switch (outcome) {
    case ReleaseOutcome::Ok: return "ok";
    case ReleaseOutcome::Revoked: return "revoked";
    case ReleaseOutcome::Gone: return "gone";
  }
  return "unknown";
}

namespace {

// What to do about it.
std::string_view advice(const Sent& sent) noexcept {
  switch (sent.outcome) {
    case SendOutcome::Delivered: return "";
    case SendOutcome::NoReceiver: return "start a subscriber, or look who there is: shmctl topics";
    case SendOutcome::Partial:
    case SendOutcome::Full:
      if (sent.full_count == 0) return "a receiver ended meanwhile: send again";
      return "see who is behind: shmctl agents; or allow more time (SendOptions::timeout)";
    case SendOutcome::Gone: return "the receivers ended meanwhile: send again";
    case SendOutcome::Expired: return "its deadline was over: set a later one (SendOptions::deadline_ns)";
    case SendOutcome::Corrupt: return "see what was scribbled on: shmctl status; then restart the fabric";
    case SendOutcome::Forked: return "attach an agent in the child";
    case SendOutcome::PoolEmpty: return "see who holds the chunks: shmctl segments";
    case SendOutcome::Detached: return "attach again";
    case SendOutcome::Unnamed: return "its supervisor, who names it, is away: start it, then send again";
  }
  return "";
}

}  // namespace

int explain(const Sent& sent) {
  if (sent) return 0;
  const std::string_view outcome = to_string(sent.outcome);
  const std::string_view what_to_do = advice(sent);
  std::fprintf(stderr, "not sent to all: %.*s (%u reached, %u full, %u gone); %.*s\n", static_cast<int>(outcome.size()),
               outcome.data(), sent.receiver_count, sent.full_count, sent.gone_count,
               static_cast<int>(what_to_do.size()), what_to_do.data());
  return 1;
}

uint64_t now_ns() noexcept { return base::monotonic_ns(); }

}  // namespace ripstop
