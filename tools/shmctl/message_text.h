// A message in hand, for a person or a program to read: what sub and tap print.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ripstop/inspect.h"
#include "ripstop/subscriber.h"
#include "shmctl/told.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

// What is told of a message, copied out of it.
struct MessageFacts {
  MessageInfo info;
  std::string topic;
  std::string source;
  uint64_t age_ns = 0;  // From send to take.
  std::string payload;  // All segments, one behind the other.
  std::size_t segment_count = 1;
  bool corrupt = false;
  uint64_t skipped_count = 0;  // Messages that a tap did not see before this one.
};

const Telling<MessageFacts>& message_telling();

// Knows the names of agents by their number; asks the fabric once for each.
class SourceNames {
 public:
  explicit SourceNames(const Command& command) : command_(command) {}
  std::string name_of(uint32_t agent_id);

 private:
  const Command& command_;
  std::optional<Inspector> inspector_;
  std::map<uint32_t, std::string> names_;
};

MessageFacts facts_of(Message<Bytes>& message, SourceNames& names);

// In the format asked for: raw bytes, a JSON object a line, or a line for a person.
void print_message(const Command& command, const MessageFacts& facts);

std::string base64(std::string_view bytes);
bool is_utf8(std::string_view bytes);

}  // namespace ripstop::shmctl
