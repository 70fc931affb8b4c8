// The supervisor is asked first, because it may know a newer fabric of that name; then the keeper,
// which holds the same descriptors and has nothing else to do. A hung supervisor accepts connections
// (the kernel does) and never answers: that costs the timeout once.
#include "ripstop/inspect.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "agent/inspect_core.h"
#include "agent/process_look.h"
#include "control/client.h"
#include "control/endpoint.h"
#include "control/topic_grammar.h"
#include "layout/layout_hash.h"
#include "memory/segment.h"

#ifndef RIPSTOP_VERSION
#define RIPSTOP_VERSION "unknown"
#endif

namespace ripstop {

namespace {

using detail::InspectCore;

std::string state_text(uint32_t state) {
  switch (state) {
    case 0: return "starting";
    case 1: return "serving";
    case 2: return "draining";
    case 3: return "ended";
    default: return "unknown";
  }
}

Result<control::Observation> observe_at(const std::string& socket,
                                        std::chrono::milliseconds timeout) {
  auto client = control::Client::connect(socket, timeout);
  if (!client) return client.error();
  return client->observe();
}

// Whether asking the keeper would be wrong: the answer is final.
bool is_final(Errc code) {
  return code == Errc::Denied || code == Errc::BadName;
}

Result<std::shared_ptr<const InspectCore>> make_core(control::Observation&& observation,
                                                     std::string_view read_via, std::string silence,
                                                     bool survive_lost_pages) {
  auto maps = std::make_shared<const control::Observation>(std::move(observation));
  std::vector<std::span<const std::byte>> nodes;
  for (const memory::Segment& node : maps->nodes) nodes.push_back(node.bytes());
  InspectCore::Origin origin{std::string(read_via), std::move(silence), maps, {}};
  for (const memory::Segment& node : maps->nodes) {
    if (!survive_lost_pages) break;
    auto watched = memory::LostPages::watch(node, memory::Access::ReadOnly, nullptr, nullptr);
    if (!watched) return watched.error();
    origin.lost_pages.push_back(std::move(*watched));
  }
  return InspectCore::create(maps->control.bytes(), nodes, std::move(origin));
}

// Finds the one in `items` whose name is `name`, or whose id is n when `name` is "#n".
template <class View>
const View* find_named(const std::vector<View>& items, std::string_view name) {
  for (const View& item : items) {
    if (item.name == name || "#" + std::to_string(item.id) == name) return &item;
  }
  return nullptr;
}

}  // namespace

Inspector::Inspector(std::shared_ptr<const InspectCore> core) noexcept : core_(std::move(core)) {}

Result<Inspector> Inspector::open(InspectOptions options) {
  if (options.fabric == "default") {
    if (const char* fabric = std::getenv("RIPSTOP_FABRIC"); fabric != nullptr && *fabric != '\0')
      options.fabric = fabric;
  }
  control::Endpoint endpoint;
  if (!options.socket.empty()) {
    endpoint = control::endpoint_at(options.socket);
  } else {
    auto found = control::find_endpoint(options.fabric);
    if (!found) return found.error();
    endpoint = std::move(*found);
  }

  auto seen = observe_at(endpoint.socket, options.timeout);
  std::string read_via = "supervisor";
  std::string silence;
  if (!seen) {
    const Error first = seen.error();
    if (is_final(first.code)) return first;
    seen = observe_at(endpoint.keeper_socket, options.timeout);
    if (!seen) return first;  // What is wrong with the supervisor is what a person can mend.
    read_via = "keeper";
    silence = first.why.empty() ? first.what : first.why;
  }
  auto core = make_core(std::move(*seen), read_via, std::move(silence), options.survive_lost_pages);
  if (!core) return core.error();
  return Inspector(std::move(*core));
}

FabricView Inspector::fabric() const {
  return detail::view_fabric(*core_);
}
std::vector<NodeView> Inspector::nodes() const {
  return detail::view_nodes(*core_);
}
std::vector<AgentView> Inspector::agents() const {
  return detail::view_agents(*core_);
}
std::vector<TopicView> Inspector::topics() const {
  return detail::view_topics(*core_);
}
std::vector<TopicView> Inspector::patterns() const {
  return detail::view_patterns(*core_);
}
std::vector<RingView> Inspector::rings() const {
  return detail::view_rings(*core_);
}
std::vector<LetterView> Inspector::letters() const {
  return detail::view_letters(*core_);
}

Result<AgentView> Inspector::agent(std::string_view name) const {
  for (uint32_t id = 1; id < core_->agent_count(); ++id) {
    const auto facts = core_->agent(id);
    if (facts && (facts->name == name || "#" + std::to_string(id) == name))
      return detail::view_agent(*core_, *facts);
  }
  return detail::not_found("agent", name);
}

Result<TopicView> Inspector::topic(std::string_view name) const {
  const bool is_pattern = control::is_pattern(name);
  const std::string pattern = control::canonical_pattern(name);
  if (is_pattern) name = pattern;
  const std::vector<TopicView> all = is_pattern ? patterns() : topics();
  const TopicView* found = find_named(all, name);
  if (found == nullptr) return detail::not_found(is_pattern ? "subscription to" : "topic", name);
  return *found;
}

Result<RingView> Inspector::ring(std::string_view label) const {
  return detail::view_ring(*core_, label);
}
Result<ChunkView> Inspector::chunk(std::string_view label) const {
  return detail::view_chunk(*core_, label);
}

LibraryView Inspector::library() {
  return {RIPSTOP_VERSION, layout::kAbiVersion, layout::layout_hash()};
}

std::vector<std::string> Inspector::fabric_names() {
  std::vector<std::string> names;
  const auto endpoint = control::find_endpoint("default");
  if (!endpoint) return names;
  constexpr std::string_view kEnding = ".sock";
  constexpr std::string_view kKeeper = ".keeper.sock";
  std::error_code failed;  // A directory that is not there has no fabrics.
  for (const auto& file : std::filesystem::directory_iterator(endpoint->directory, failed)) {
    const std::string name = file.path().filename();
    if (!name.ends_with(kEnding) || name.ends_with(kKeeper)) continue;
    names.push_back(name.substr(0, name.size() - kEnding.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

FabricView detail::view_fabric(const InspectCore& core) {
  const layout::Superblock& super = core.superblock();
  FabricView view;
  view.name = control::ControlView::text_of(super.fabric_name, sizeof super.fabric_name);
  view.fabric_id = super.fabric_id;
  view.abi_version = super.abi_version;
  view.layout_hash = super.layout_hash;
  view.state = state_text(look(super.state));
  view.read_via = core.origin().read_via;
  view.supervisor_silence = core.origin().supervisor_silence;
  view.supervisor = agent::look_at_process(look(super.supervisor_pid), 0);
  view.keeper = agent::look_at_process(look(super.keeper_pid), 0);
  view.epoch = look(super.supervisor_epoch);
  view.create_time_ns = super.create_time_ns;
  view.control_bytes = core.control_bytes();
  view.total_bytes = core.control_bytes();
  for (uint32_t node = 0; node < core.node_count(); ++node)
    view.total_bytes += core.node_bytes(node);
  for (uint32_t id = 1; id < core.agent_count(); ++id) {
    const auto facts = core.agent(id);
    view.agent_count += facts && facts->state == layout::AgentState::Live;
  }
  for (uint32_t id = 0; id < core.topic_count(); ++id)
    view.topic_count += core.topic(id).has_value();
  for (uint32_t id = 0; id < core.subscription_count(); ++id)
    view.subscription_count += core.subscription(id).has_value();
  for (uint32_t id = 0; id < core.ring_count(); ++id) view.ring_count += core.ring(id).has_value();
  view.agent_capacity = core.view().agent_capacity() - 1;  // Entry 0 is the supervisor's.
  view.topic_capacity = core.view().topic_capacity();
  view.subscription_capacity = core.view().subscription_capacity();
  view.ring_capacity = core.view().ring_capacity();
  view.attach_count = look(super.attach_count);
  view.detach_count = look(super.detach_count);
  view.death_count = look(super.death_count);
  view.recovered_messages = look(super.recovered_messages);
  view.recovered_chunks = look(super.recovered_chunks);
  view.completed_sends = look(super.completed_sends);
  view.corrupt_words = look(super.corrupt_words);
  for (const LetterView& letter : view_letters(core)) ++(letter.waits ? view.waiting_letters : view.dead_letters);
  view.letter_capacity = core.view().letter_capacity();
  const auto released = [&](layout::LetterEnd end) { return look(super.letters_released[static_cast<std::size_t>(end)]); };
  view.letters_unkept = released(layout::LetterEnd::Policy);
  view.letters_without_place = released(layout::LetterEnd::TableFull);
  view.letters_beyond_share = released(layout::LetterEnd::ShareFull);
  view.letters_dropped = released(layout::LetterEnd::Dropped);
  view.messages_revoked = look(super.revoked_messages);
  return view;
}

}  // namespace ripstop
