// The table of verbs: the one place that knows which there are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shmctl/verb.h"

namespace ripstop::shmctl {

// In the order of the help.
const std::vector<const Verb*>& verb_table();

// Null when there is none of that name.
const Verb* find_verb(std::string_view name);

// The flags that every verb takes, then those of verbs that list.
const std::vector<Flag>& global_flags();
const std::vector<Flag>& listing_flags();

// All flags of `verb`: its own, then the global ones that it heeds.
std::vector<Flag> flags_of(const Verb& verb);

// "--count" of "-n,--count"; "count" for the map of a Command.
std::string long_name(const Flag& flag);
std::string bare_name(const Flag& flag);

std::vector<std::string> verb_names();

// One file each: verb_NAME.cc.
const Verb& verb_status();
const Verb& verb_top();
const Verb& verb_agents();
const Verb& verb_topics();
const Verb& verb_segments();
const Verb& verb_dlq();
const Verb& verb_show();
const Verb& verb_pub();
const Verb& verb_sub();
const Verb& verb_tap();
const Verb& verb_hz();
const Verb& verb_wait();
const Verb& verb_bench();
const Verb& verb_version();
const Verb& verb_explain();
const Verb& verb_completion();
const Verb& verb_man();
const Verb& verb_schema();
const Verb& verb_help();

}  // namespace ripstop::shmctl
