#include "control/topic_grammar.h"

#include <algorithm>
#include <cstdio>
#include <string>

namespace ripstop::control {

namespace {

constexpr std::size_t kShownBytesMax = 80;

bool is_word_byte(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

// A byte as a person can read it: 'x', or 0x07.
std::string shown(char c) {
  char text[8];
  const auto byte = static_cast<unsigned char>(c);
  if (byte > 0x20 && byte < 0x7f) {
    std::snprintf(text, sizeof text, "'%c'", byte);
  } else {
    std::snprintf(text, sizeof text, "0x%02x", byte);
  }
  return text;
}

// What was refused, on one line of a terminal.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kShownBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte >= 0x20 && byte < 0x7f ? c : '?';
  }
  return out + (text.size() > kShownBytesMax ? "…\"" : "\"");
}

Error bad_name(std::string_view name, std::string why) {
  return {Errc::BadName, 0, quoted(name) + " is not a name", std::move(why),
          "use 1 to 64 of A-Z a-z 0-9 _ . -"};
}

Error bad_topic(std::string_view topic, std::string why) {
  return {Errc::BadTopic, 0, quoted(topic) + " is not a topic", std::move(why),
          "use 1 to 16 tokens of A-Z a-z 0-9 _ - joined by dots: agent.planner.task"};
}

std::string at_place(char c, std::size_t index) {
  return shown(c) + " at place " + std::to_string(index + 1) + " is not allowed";
}

}  // namespace

Result<void> check_name(std::string_view name) {
  if (name.empty()) return bad_name(name, "it is empty");
  if (name.size() > kNameBytesMax) {
    return bad_name(name, "it has " + std::to_string(name.size()) + " characters, 64 are allowed");
  }
  const auto bad = std::find_if(name.begin(), name.end(), [](char c) { return !is_word_byte(c) && c != '.'; });
  if (bad != name.end()) {
    return bad_name(name, at_place(*bad, static_cast<std::size_t>(bad - name.begin())));
  }
  if (name == "." || name == "..") return bad_name(name, "files are named after names, and this is a folder");
  return {};
}

Result<void> check_topic(std::string_view topic) {
  if (topic.empty()) return bad_topic(topic, "it is empty");
  if (topic.size() > kTopicBytesMax) {
    return bad_topic(topic, "it has " + std::to_string(topic.size()) + " bytes, 255 are allowed");
  }
  std::size_t token_count = 1;
  for (std::size_t i = 0; i < topic.size(); ++i) {
    const char c = topic[i];
    if (c == '.') {
      const bool token_is_empty = i == 0 || topic[i - 1] == '.' || i + 1 == topic.size();
      if (token_is_empty) return bad_topic(topic, "the token beside the dot at place " + std::to_string(i + 1) + " is empty");
      ++token_count;
    } else if (c == '*') {
      return bad_topic(topic, "'*' at place " + std::to_string(i + 1) +
                                  " is a wildcard: those come with patterns, this is an exact topic");
    } else if (!is_word_byte(c)) {
      return bad_topic(topic, at_place(c, i));
    }
  }
  if (token_count > kTopicTokensMax) {
    return bad_topic(topic, "it has " + std::to_string(token_count) + " tokens, 16 are allowed");
  }
  return {};
}

}  // namespace ripstop::control
