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

Error bad_pattern(std::string_view pattern, std::string why) {
  return {Errc::BadTopic, 0, quoted(pattern) + " is not a topic or pattern", std::move(why),
          "use 1 to 16 tokens of A-Z a-z 0-9 _ - joined by dots, * for one of them, ** at the end for any: agent.*.task.**"};
}

std::string at_place(char c, std::size_t index) {
  return shown(c) + " at place " + std::to_string(index + 1) + " is not allowed";
}

// What is wrong with the dots of `text` and the number of its tokens; empty: nothing.
std::string why_not_tokens(std::string_view text) {
  std::size_t token_count = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '.') continue;
    const bool token_is_empty = i == 0 || text[i - 1] == '.' || i + 1 == text.size();
    if (token_is_empty) return "the token beside the dot at place " + std::to_string(i + 1) + " is empty";
    ++token_count;
  }
  if (token_count <= kTopicTokensMax) return "";
  return "it has " + std::to_string(token_count) + " tokens, 16 are allowed";
}

// What is wrong with the wildcard at `index`; empty: nothing. A wildcard is a token of its own.
std::string why_not_wildcard(std::string_view pattern, std::size_t index) {
  const std::size_t dot = pattern.find('.', index);
  const std::size_t end = dot == std::string_view::npos ? pattern.size() : dot;
  const std::size_t before = pattern.rfind('.', index);
  const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
  const std::string_view token = pattern.substr(begin, end - begin);
  if (token == "*") return "";
  if (token != "**" && token != "#") return at_place(pattern[index], index) + " beside others: a wildcard is a whole token";
  if (end == pattern.size()) return "";
  return quoted(token) + " at place " + std::to_string(begin + 1) + " is not the last token, and stands for any tail";
}

// The next token of `rest`, which is shortened by it.
std::string_view take_token(std::string_view& rest) noexcept {
  const std::size_t dot = rest.find('.');
  const std::string_view token = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  return token;
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
  for (std::size_t i = 0; i < topic.size(); ++i) {
    const char c = topic[i];
    if (c == '*' || c == '#') {
      return bad_topic(topic, shown(c) + " at place " + std::to_string(i + 1) +
                                  " is a wildcard: patterns can be subscribed to, a message has one topic");
    }
    if (c != '.' && !is_word_byte(c)) return bad_topic(topic, at_place(c, i));
  }
  if (std::string why = why_not_tokens(topic); !why.empty()) return bad_topic(topic, std::move(why));
  return {};
}

Result<void> check_pattern(std::string_view pattern) {
  if (pattern.empty()) return bad_pattern(pattern, "it is empty");
  const std::size_t bytes = pattern.size() + (pattern.ends_with('#') ? 1 : 0);
  if (bytes > kTopicBytesMax) {
    return bad_pattern(pattern, "it has " + std::to_string(bytes) + " bytes, 255 are allowed");
  }
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*' || c == '#') {
      if (std::string why = why_not_wildcard(pattern, i); !why.empty()) return bad_pattern(pattern, std::move(why));
    } else if (c != '.' && !is_word_byte(c)) {
      return bad_pattern(pattern, at_place(c, i));
    }
  }
  if (std::string why = why_not_tokens(pattern); !why.empty()) return bad_pattern(pattern, std::move(why));
  return {};
}

bool is_pattern(std::string_view text) noexcept { return text.find_first_of("*#") != std::string_view::npos; }

std::string canonical_pattern(std::string_view pattern) {
  if (!pattern.ends_with('#')) return std::string(pattern);
  return std::string(pattern.substr(0, pattern.size() - 1)) + "**";
}

bool pattern_matches(std::string_view pattern, std::string_view topic) noexcept {
  while (!pattern.empty()) {
    const std::string_view wanted = take_token(pattern);
    if (wanted == "**") return true;
    if (topic.empty()) return false;
    const std::string_view token = take_token(topic);
    if (wanted != "*" && wanted != token) return false;
  }
  return topic.empty();
}

std::string_view literal_prefix(std::string_view pattern) noexcept {
  const std::size_t wildcard = pattern.find('*');
  if (wildcard == std::string_view::npos) return pattern;
  // Without the dot: the tail behind it may be empty.
  return pattern.substr(0, wildcard == 0 ? 0 : wildcard - 1);
}

}  // namespace ripstop::control
