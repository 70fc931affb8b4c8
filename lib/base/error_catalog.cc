// A table rather than a function per code: `shmctl explain`, the manual and the test walk it.
#include "base/error_catalog.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace ripstop::base {

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kNotFound = 3;
constexpr int kTimeout = 4;
constexpr int kNoSupervisor = 5;
constexpr int kDenied = 6;
constexpr int kPressure = 7;
constexpr int kVersion = 8;

constexpr std::array kCatalog = {
    ErrorEntry{Errc::BadName, "BadName", kUsage,
               "The name of an agent, a fabric or a channel is not allowed",
               "it is empty or longer than 64 characters\n"
               "it holds a character other than A-Z a-z 0-9 _ . -",
               "use 1 to 64 of those characters; the error names the first bad one\n"
               "names are never cut short: what was refused was not attached"},
    ErrorEntry{Errc::NameTaken, "NameTaken", kFailed,
               "Another live agent of the fabric has this name",
               "the program runs twice; the error names the process that holds the name\n"
               "the earlier process hangs or is stopped: a stopped process is not dead\n"
               "it has just died and what it held is still being settled (milliseconds)",
               "see who it is, and end that process or take another name:\n"
               "  shmctl show agent NAME\n"
               "a name is free again as soon as its holder's death is settled"},
    ErrorEntry{Errc::Denied, "Denied", kDenied,
               "The supervisor or the kernel does not let this user in",
               "this process runs as another user than the supervisor, and no group was\n"
               "  configured; the kernel's credentials decide, not what the program says\n"
               "the socket's directory is not searchable for this user",
               "run as the supervisor's user, or start a fabric of your own:\n"
               "  ripstopd --fabric NAME\n"
               "or let in users that you trust, by socket_group or allow_uids in its\n"
               "configuration; everyone in a fabric can write the memory of its messages"},
    ErrorEntry{Errc::AbiMismatch, "AbiMismatch", kVersion,
               "This program's library and the supervisor speak different versions",
               "one of the two was updated and the other still runs, or is linked, as it was",
               "see both versions, then restart the older side with the newer library:\n"
               "  shmctl version\n"
               "nothing was mapped and nothing was changed"},
    ErrorEntry{Errc::LayoutMismatch, "LayoutMismatch", kVersion,
               "Both sides have the same version but lay out shared memory differently",
               "they were built from different sources, or with different compilers' rules",
               "build both from the same commit; the error names both layout hashes:\n"
               "  shmctl version"},
    ErrorEntry{Errc::UnsupportedCpu, "UnsupportedCpu", kFailed,
               "This processor cannot change 16 bytes in one instruction",
               "x86-64 without cmpxchg16b (before 2006, or hidden by a virtual machine)\n"
               "arm64 without LSE atomics (before ARMv8.1)",
               "let the virtual machine pass the flag cx16 through, or use another machine\n"
               "there is no slower substitute: every commit of the fabric is such a change"},
    ErrorEntry{Errc::NoSupervisor, "NoSupervisor", kNoSupervisor,
               "No supervisor answers for this fabric",
               "ripstopd was never started for this fabric, or has ended\n"
               "it runs for another user or under another name: sockets lie in\n"
               "  $XDG_RUNTIME_DIR/ripstop/FABRIC.sock or /run/ripstop/FABRIC.sock\n"
               "XDG_RUNTIME_DIR differs between this shell and the supervisor's",
               "start it:\n"
               "  ripstopd --fabric NAME\n"
               "or name it with --fabric, --socket or RIPSTOP_FABRIC. After a crash start it\n"
               "again: it adopts the memory, and attached agents notice nothing"},
    ErrorEntry{Errc::SupervisorGone, "SupervisorGone", kNoSupervisor,
               "The supervisor ended while it was being asked",
               "it was stopped, or crashed, between the question and its answer\n"
               "it closed the connection because the request was not understood",
               "ask again; if it stays away, see what is left and start it anew:\n"
               "  shmctl status\n"
               "messages already accepted are not affected: the data path does not need it"},
    ErrorEntry{Errc::FabricBusy, "FabricBusy", kFailed, "A supervisor of this fabric runs already",
               "ripstopd was started twice with the same fabric name; the error names the\n"
               "  pid of the first",
               "use the one that runs, or give the second another name:\n"
               "  ripstopd --fabric OTHER"},
    ErrorEntry{Errc::Forked, "Forked", kFailed,
               "An agent of the parent process was used after fork",
               "a child has no mapping of the shared memory (MADV_DONTFORK): an agent is\n"
               "  one process, and two would corrupt its words",
               "attach in the child, under a name of its own, or fork before attaching\n"
               "exec'ing children need nothing: descriptors are close-on-exec"},
    ErrorEntry{Errc::AgentsFull, "AgentsFull", kPressure,
               "The fabric has as many agents as it was made for",
               "the configuration's limit \"agents\" is reached; the table is fixed at start\n"
               "agents that died hold their entry until what they held is settled",
               "see who is attached, detach what is idle:\n"
               "  shmctl agents --sort -age\n"
               "or restart the fabric with more:\n"
               "  ripstopd --set agents=500"},
    ErrorEntry{Errc::Timeout, "Timeout", kTimeout, "The answer, or the room, did not come in time",
               "the supervisor is stopped or overloaded\n"
               "pub: every receiver's lane stayed full for the time allowed\n"
               "wait, sub: what was waited for did not come",
               "see whether the supervisor or a receiver is stopped, stuck or only slow:\n"
               "  shmctl status\n"
               "then allow more with --timeout"},
    ErrorEntry{Errc::Protocol, "Protocol", kFailed,
               "The other end of the socket said something unexpected",
               "something other than ripstopd listens at that path\n"
               "the two programs are of different builds",
               "check --socket, and compare the builds:\n"
               "  shmctl version"},
    ErrorEntry{Errc::Draining, "Draining", kFailed,
               "The supervisor is about to end and admits nobody new",
               "it was told to stop (SIGTERM) and lets the attached agents finish",
               "wait until it is gone, then start it again:\n"
               "  ripstopd --fabric NAME"},
    ErrorEntry{Errc::SendersFull, "SendersFull", kPressure,
               "This agent publishes as much as one agent may",
               "one agent has at most 64 topics open, and 16 threads that publish\n"
               "publishers are opened per message and kept, instead of once",
               "open a publisher once and keep it; close those no longer needed\n"
               "for more topics or threads attach a second agent in the same process:\n"
               "  shmctl show agent NAME"},
    ErrorEntry{Errc::FabricGone, "FabricGone", kNoSupervisor,
               "The supervisor and its keeper have both ended, and with them the fabric",
               "somebody killed both processes; the keeper is the one called ripstop-keeper\n"
               "the machine ran out of memory and the kernel ended them",
               "what is in hand can still be read, and agents that share the old memory\n"
               "go on exchanging messages; nothing can be opened there. Then attach anew:\n"
               "  ripstopd --fabric NAME"},
    ErrorEntry{Errc::PoolEmpty, "PoolEmpty", kPressure, "No chunk of this size is free",
               "receivers hold messages longer than the fabric has memory for\n"
               "a publisher keeps loans that it neither sends nor drops\n"
               "the size class is small for this load",
               "see which class is used up and who holds it:\n"
               "  shmctl segments\n"
               "  shmctl agents -o wide\n"
               "release earlier, or give the class more chunks (\"classes\")"},
    ErrorEntry{Errc::TooLarge, "TooLarge", kFailed,
               "The payload does not fit into the largest chunk",
               "it is larger than the largest size class; the error names that class\n"
               "nothing was sent, and nothing was cut short",
               "see the classes:\n"
               "  shmctl segments\n"
               "add a larger one to \"classes\" in the configuration, or send it in parts"},
    ErrorEntry{Errc::NoMemory, "NoMemory", kFailed,
               "The kernel did not give the memory of the fabric",
               "the segments are reserved and touched at start, so that exhaustion is an\n"
               "  error now and never SIGBUS later\n"
               "the machine, the cgroup (memory.max) or RLIMIT_AS is too small",
               "configure fewer chunks (\"classes\") or agents, or raise the limit; what was\n"
               "asked for stands in the error, and what there is:\n"
               "  grep -E 'MemAvailable|Shmem' /proc/meminfo"},
    ErrorEntry{Errc::NoHugepages, "NoHugepages", kFailed,
               "Huge pages were required and there are not enough",
               "the configuration requires huge pages and the kernel's pool is too small",
               "reserve them (2 MiB each, as root):\n"
               "  sysctl vm.nr_hugepages=64\n"
               "or do not require them (\"hugepages\": \"try\"): the fabric takes transparent\n"
               "huge or 4 KiB pages, and `shmctl segments` says which"},
    ErrorEntry{Errc::Corrupt, "Corrupt", kFailed, "Words in shared memory are out of bounds",
               "a process of the fabric wrote where it should not: a stray pointer, an\n"
               "  overrun of a loan\n"
               "the supervisor, this tool and the other agents bound what they read: the\n"
               "  damage is counted and set aside, it does not spread",
               "see who counted it and from whom the messages came:\n"
               "  shmctl agents -o wide\n"
               "run the suspect under AddressSanitizer; restart the fabric if it spread"},
    ErrorEntry{Errc::RingsFull, "RingsFull", kPressure, "No ring or channel of this size is left",
               "every channel, and every subscription that drops or fails instead of\n"
               "  blocking, has a ring of its own; the ring arena is used up",
               "see who owns them and end what is not needed:\n"
               "  shmctl show ring\n"
               "or configure more: \"rings\" and \"ring_arena_bytes\""},
    ErrorEntry{Errc::HeldFull, "HeldFull", kPressure,
               "The agent holds as many messages as one agent may",
               "64 messages are kept beyond their place in the lane and not released",
               "release messages, or copy what is to be kept:\n"
               "  shmctl show agent NAME"},
    ErrorEntry{Errc::BadTopic, "BadTopic", kUsage, "The name of the topic is not allowed",
               "topics are 1 to 16 tokens of A-Z a-z 0-9 _ - joined by dots, at most 255\n"
               "  bytes: agent.planner.task\n"
               "an empty token (a..b, a trailing dot), or another character\n"
               "a wildcard where one topic is meant: patterns are for subscribers\n"
               "a wildcard that is no token of its own, or ** before the last token",
               "the error names the place; change the name there"},
    ErrorEntry{Errc::TopicsFull, "TopicsFull", kPressure,
               "The fabric knows as many topics as it was made for",
               "topic names are made up per message or per request: they are never forgotten",
               "put the varying part into the message; see which there are:\n"
               "  shmctl topics\n"
               "or configure more: \"topics\""},
    ErrorEntry{Errc::SubscriptionsFull, "SubscriptionsFull", kPressure,
               "The fabric or this agent has as many subscriptions as it may",
               "the fabric's tables are fixed at start: \"subscriptions\" entries, and\n"
               "  \"route_arena_bytes\" for routes, some 300 bytes for each new pattern",
               "end subscriptions that are not used, or configure more of what the error\n"
               "names; see which there are:\n"
               "  shmctl show agent NAME"},
    ErrorEntry{Errc::ChannelBusy, "ChannelBusy", kFailed, "That end of the channel is taken",
               "a channel has one sender and one receiver; the error names who has this end",
               "use a topic for several, or another channel name\n"
               "the end is free as soon as its holder detaches or dies"},
    ErrorEntry{Errc::WrongGeometry, "WrongGeometry", kFailed,
               "The channel exists with other slots than were asked for",
               "the first end sets payload_bytes and slot_count; the error names them",
               "ask for the same on both ends, or use another channel name"},
    ErrorEntry{Errc::UnknownTopic, "UnknownTopic", kNotFound,
               "This fabric has no topic of that name, and makes none by itself",
               "the name is misspelt; the error names the nearest ones\n"
               "the fabric is strict (strict_topics), and declare_topics has neither the\n"
               "  name nor a pattern for it",
               "use one of those that there are, or declare it in the configuration:\n"
               "  shmctl topics"},
    ErrorEntry{Errc::ConfigUnreadable, "ConfigUnreadable", kFailed,
               "The configuration file cannot be read",
               "it does not exist, or this user may not read it",
               "check the path and its mode:\n"
               "  ls -l FILE"},
    ErrorEntry{Errc::ConfigSyntax, "ConfigSyntax", kUsage, "The configuration file is not JSON",
               "a missing comma or brace; the error names line and column\n"
               "comments (// and /* */) are allowed",
               "mend that line, then:\n"
               "  ripstopd --check-config FILE"},
    ErrorEntry{Errc::ConfigUnknownKey, "ConfigUnknownKey", kUsage,
               "The configuration names a setting that does not exist",
               "a misspelt key; unknown keys are refused so that a setting is never ignored",
               "use the nearest key, which the error names; all of them, explained:\n"
               "  ripstopd --print-config"},
    ErrorEntry{Errc::ConfigValue, "ConfigValue", kUsage,
               "A setting has a value that is not allowed",
               "out of bounds, of the wrong type, or at odds with another setting",
               "the error names file, key and the values allowed; all of them:\n"
               "  ripstopd --print-config"},
    ErrorEntry{Errc::Usage, "Usage", kUsage, "The command was not understood",
               "a flag that the verb does not have, a missing or a superfluous argument",
               "see what the verb takes:\n"
               "  shmctl VERB --help"},
    ErrorEntry{Errc::UnknownVerb, "UnknownVerb", kUsage, "There is no such verb",
               "misspelt, or of a later version",
               "see the verbs:\n"
               "  shmctl --help"},
    ErrorEntry{Errc::NotFound, "NotFound", kNotFound, "There is nothing of that name",
               "an agent that is not attached, a topic that nobody has named, or one that\n"
               "  nobody subscribes to: a message for nobody is refused, not swallowed\n"
               "another fabric is meant",
               "the error names what is near; see what there is:\n"
               "  shmctl agents\n"
               "  shmctl topics"},
    ErrorEntry{Errc::Unavailable, "Unavailable", kFailed,
               "This build or this machine lacks what is needed",
               "a feature was left out of the build, or the kernel does not have it",
               "the error names it; build with the feature, or do without"},
    ErrorEntry{Errc::System, "System", kFailed, "A system call failed",
               "the error names the call and the kernel's reason",
               "the reason tells: no file descriptors (ulimit -n), no memory, no permission"},
};

bool same_letters(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

std::span<const ErrorEntry> error_catalog() noexcept {
  return kCatalog;
}

const ErrorEntry* find_error(Errc code) noexcept {
  const auto* entry = std::find_if(kCatalog.begin(), kCatalog.end(),
                                   [code](const ErrorEntry& e) { return e.code == code; });
  return entry == kCatalog.end() ? nullptr : entry;
}

const ErrorEntry* find_error(std::string_view text) noexcept {
  for (const ErrorEntry& entry : kCatalog) {
    if (same_letters(entry.name, text)) return &entry;
  }
  if (text.size() > 3 && same_letters(text.substr(0, 3), "RS-")) text.remove_prefix(3);
  unsigned number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc{} || end != text.data() + text.size()) return nullptr;
  if (number > 0xffff) return nullptr;
  return find_error(static_cast<Errc>(number));
}

}  // namespace ripstop::base
