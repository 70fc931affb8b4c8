// Which names and topics there may be. One grammar for the library, the supervisor and the tools.
#pragma once

#include <string>
#include <string_view>

#include "ripstop/result.h"
#include "ripstop/types.h"

namespace ripstop::control {

// Agents, fabrics, channels: [A-Za-z0-9_.-]{1,64}, but not "." or "..".
// Errors: BadName, which says what is wrong with it and where.
Result<void> check_name(std::string_view name);

// Exact topics: 1 to 16 tokens of [A-Za-z0-9_-]+ joined by dots, at most 255 bytes.
// Errors: BadTopic, which says what is wrong with it and where.
Result<void> check_topic(std::string_view topic);

// What may be subscribed to: topics, and patterns that name many of them. The tokens of a pattern are
// those of a topic, and
//   *    exactly one token
//   **   as the last token: any number of tokens, none included. `#` is another spelling of it.
// So agent.*.plan names agent.solver.plan alone; agent.** names agent, agent.solver and agent.solver.plan;
// ** names every topic. At most 16 tokens and 255 bytes, `#` counted as `**`.
// tests/conformance/topics.json holds all of it for other languages.
// Errors: BadTopic, which says what is wrong with it and where.
Result<void> check_pattern(std::string_view pattern);

// Whether it has a wildcard, and names more than itself.
bool is_pattern(std::string_view text) noexcept;

// The one spelling that is stored and shown: `#` is written `**`. Of a checked pattern.
std::string canonical_pattern(std::string_view pattern);

// Whether the pattern, canonical, names the topic. Both are checked.
bool pattern_matches(std::string_view pattern, std::string_view topic) noexcept;

// The part of a canonical pattern that every topic it names begins with.
std::string_view literal_prefix(std::string_view pattern) noexcept;

}  // namespace ripstop::control
