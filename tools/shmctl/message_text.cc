#include "shmctl/message_text.h"

#include <algorithm>
#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/units.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kHexBytes = 24;  // Of a payload that is not text, in a person's line.

std::string hex_start(std::string_view bytes) {
  std::string text;
  char pair[4];
  for (std::size_t i = 0; i < std::min(bytes.size(), kHexBytes); ++i) {
    std::snprintf(pair, sizeof pair, "%02x ", static_cast<unsigned char>(bytes[i]));
    text += pair;
  }
  return text + (bytes.size() > kHexBytes ? "…" : "");
}

void print_line(const Command& command, const MessageFacts& facts) {
  const Terminal& t = command.settings.terminal;
  const bool many = !check_topic(command.arguments[0]);  // It listens to a pattern.
  const std::string head = (many ? facts.topic + " " : "") + "#" + std::to_string(facts.info.sequence) + " " +
                           printable(facts.source) + " " + duration_text(facts.age_ns, t.utf8) +
                           " " + bytes_text(facts.payload.size());
  const bool text = is_utf8(facts.payload);
  std::string body = text ? printable(facts.payload) : hex_start(facts.payload);
  if (!text && !t.utf8) body = body.substr(0, body.find("…"));
  // On a terminal a message is a line; in a pipe it is whole.
  const std::size_t head_width = width_of(head) + 2;
  if (t.interactive && t.columns > head_width + 10)
    body = fit(body, t.columns - head_width, t.utf8);
  const std::string note = facts.corrupt ? toned(t, Tone::Bad, " (damaged)") : "";
  std::printf("%s  %s%s\n", toned(t, Tone::Faint, head).c_str(), body.c_str(), note.c_str());
}

}  // namespace

const Telling<MessageFacts>& message_telling() {
  using M = MessageFacts;
  static const Telling<M> telling = {
      {{"topic", "", Kind::Text, Show::JsonOnly, "its topic"}, [](const M& m) { return m.topic; }},
      {{"source", "", Kind::Text, Show::JsonOnly,
        "who published it; (left) when it has gone meanwhile"},
       [](const M& m) { return m.source; }},
      {{"sequence", "", Kind::Id, Show::JsonOnly, "the publisher's number on the topic, from 1"},
       [](const M& m) { return m.info.sequence; }},
      {{"age_ns", "", Kind::Duration, Show::JsonOnly, "from send to take"},
       [](const M& m) { return m.age_ns; }},
      {{"priority", "", Kind::Text, Show::JsonOnly, "its lane"},
       [](const M& m) { return to_string(m.info.priority); }},
      {{"content_type", "", Kind::Text, Show::JsonOnly, "what the bytes are"},
       [](const M& m) { return to_string(m.info.content_type); }},
      {{"schema_id", "", Kind::Id, Show::JsonOnly, "of the type, 0: not told"},
       [](const M& m) { return m.info.schema_id; }},
      {{"correlation", "", Kind::Id, Show::JsonOnly, "the sender's own number"},
       [](const M& m) { return m.info.correlation; }},
      {{"attempt", "", Kind::Count, Show::JsonOnly, "earlier deliveries that were not finished"},
       [](const M& m) { return m.info.attempt; }},
      {{"payload_bytes", "", Kind::Bytes, Show::JsonOnly, "of all segments"},
       [](const M& m) { return m.payload.size(); }},
      {{"segment_count", "", Kind::Count, Show::JsonOnly, "chunks it is chained of"},
       [](const M& m) { return m.segment_count; }},
      {{"text", "", Kind::Text, Show::JsonOnly, "the payload, when it is UTF-8", true},
       [](const M& m) { return is_utf8(m.payload) ? JsonValue(m.payload) : JsonValue(nullptr); }},
      {{"base64", "", Kind::Text, Show::JsonOnly, "the payload, when it is not", true},
       [](const M& m) {
         return is_utf8(m.payload) ? JsonValue(nullptr) : JsonValue(base64(m.payload));
       }},
      {{"corrupt", "", Kind::Flag, Show::JsonOnly, "its chain of chunks is damaged"},
       [](const M& m) { return m.corrupt; }},
      {{"skipped_count", "", Kind::Count, Show::JsonOnly,
        "tap: messages not seen since the line before"},
       [](const M& m) { return m.skipped_count; }},
  };
  return telling;
}

std::string SourceNames::name_of(uint32_t agent_id) {
  if (const auto known = names_.find(agent_id); known != names_.end()) return known->second;
  if (!inspector_) {
    auto inspector = look_in(command_);
    if (!inspector) return "(unknown)";
    inspector_ = std::move(*inspector);
  }
  const auto agent = inspector_->agent("#" + std::to_string(agent_id));
  // One that has gone is not kept: its number may be another's soon.
  if (!agent) return "(left)";
  return names_[agent_id] = agent->name;
}

MessageFacts facts_of(Message<Bytes>& message, SourceNames& names) {
  MessageFacts facts;
  facts.info = message.info();
  const uint64_t now = now_ns();
  facts.age_ns = now > facts.info.publish_time_ns ? now - facts.info.publish_time_ns : 0;
  facts.topic = message.topic();
  facts.source = names.name_of(facts.info.source_id);
  const auto& segments = message.segments();
  facts.segment_count = segments.size();
  for (const std::span<const std::byte> segment : segments) {
    facts.payload.append(reinterpret_cast<const char*>(segment.data()), segment.size());
  }
  facts.corrupt = message.corrupt();
  return facts;
}

void print_message(const Command& command, const MessageFacts& facts) {
  switch (command.settings.format) {
    case Format::Raw: std::fwrite(facts.payload.data(), 1, facts.payload.size(), stdout); break;
    case Format::Json:
    case Format::Jsonl: {
      JsonValue line;
      line["v"] = kOutputVersion;
      line.update(row_of(message_telling(), facts));
      std::printf("%s\n", line.dump(-1, ' ', false, JsonValue::error_handler_t::replace).c_str());
      break;
    }
    default: print_line(command, facts);
  }
}

std::string base64(std::string_view bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= left ? kLetters[(group >> (18 - 6 * k)) & 63] : '=';
    }
  }
  return out;
}

bool is_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    if (length == 0 || i + length > bytes.size()) return false;
    if (lead == 0) return false;  // Text has no zeros.
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(bytes[i + k]) & 0xc0) != 0x80) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(bytes[i + 1]) : 0;
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90)) {
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace ripstop::shmctl
