// Names and topics: what is allowed is as short and plain as the grammar says, however it is spelt.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/topic_grammar.h"

using namespace ripstop;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto is_plain = [&](std::string_view allowed) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || allowed.find(c) != std::string_view::npos;
    });
  };
  const auto name = control::check_name(text);
  const bool is_name = size >= 1 && size <= 64 && is_plain("_.-") && text != "." && text != "..";
  RIPSTOP_CHECK(name.has_value() == is_name);
  RIPSTOP_CHECK(is_name || (name.error().code == Errc::BadName && !name.error().why.empty()));
  const auto topic = control::check_topic(text);
  const auto dots = std::count(text.begin(), text.end(), '.');
  const bool is_topic = size >= 1 && size <= 255 && is_plain("_.-") && dots < 16 && text.front() != '.' && text.back() != '.' &&
                        text.find("..") == std::string_view::npos;
  RIPSTOP_CHECK(topic.has_value() == is_topic);
  RIPSTOP_CHECK(is_topic || topic.error().code == Errc::BadTopic);
  return 0;
}
