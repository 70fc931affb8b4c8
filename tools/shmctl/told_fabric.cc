#include "shmctl/told_fabric.h"

#include "shmctl/told_agent.h"

namespace ripstop::shmctl {

namespace {

std::vector<std::string> names_of(const auto& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(row.agent);
  return names;
}

}  // namespace

const Telling<FabricView>& fabric_telling() {
  using F = FabricView;
  static const Telling<F> telling = {
      {{"name", "", Kind::Text, Show::JsonOnly, "its name"}, [](const F& f) { return f.name; }},
      {{"state", "", Kind::Text, Show::JsonOnly, "starting, serving, draining or ended"},
       [](const F& f) { return f.state; }},
      {{"read_via", "", Kind::Text, Show::JsonOnly,
        "who handed out the memory: supervisor or keeper"},
       [](const F& f) { return f.read_via; }},
      {{"supervisor_silence", "", Kind::Text, Show::JsonOnly,
        "why the supervisor did not, empty when it did"},
       [](const F& f) { return f.supervisor_silence; }},
      {{"supervisor_pid", "", Kind::Id, Show::JsonOnly, "the last supervisor's process"},
       [](const F& f) { return f.supervisor.pid; }},
      {{"supervisor_alive", "", Kind::Flag, Show::JsonOnly, "whether that process exists"},
       [](const F& f) { return f.supervisor.alive; }},
      {{"keeper_pid", "", Kind::Id, Show::JsonOnly, "the process that holds the memory meanwhile"},
       [](const F& f) { return f.keeper.pid; }},
      {{"keeper_alive", "", Kind::Flag, Show::JsonOnly, "whether that process exists"},
       [](const F& f) { return f.keeper.alive; }},
      {{"epoch", "", Kind::Count, Show::JsonOnly, "supervisors that have served this memory"},
       [](const F& f) { return f.epoch; }},
      {{"create_time_ns", "", Kind::Id, Show::JsonOnly,
        "when the memory was made, nanoseconds since 1970"},
       [](const F& f) { return f.create_time_ns; }},
      {{"abi_version", "", Kind::Id, Show::JsonOnly, "version of the shared layout"},
       [](const F& f) { return f.abi_version; }},
      {{"layout_hash", "", Kind::Text, Show::JsonOnly, "hash over the shared layout"},
       [](const F& f) { return hex_text(f.layout_hash); }},
      {{"control_bytes", "", Kind::Bytes, Show::JsonOnly, "the control segment"},
       [](const F& f) { return f.control_bytes; }},
      {{"total_bytes", "", Kind::Bytes, Show::JsonOnly, "control and node segments"},
       [](const F& f) { return f.total_bytes; }},
      {{"agent_count", "", Kind::Count, Show::JsonOnly, "live agents, tools included"},
       [](const F& f) { return f.agent_count; }},
      {{"agent_capacity", "", Kind::Count, Show::JsonOnly, "agents it can have"},
       [](const F& f) { return f.agent_capacity; }},
      {{"topic_count", "", Kind::Count, Show::JsonOnly, "topics that have been named"},
       [](const F& f) { return f.topic_count; }},
      {{"topic_capacity", "", Kind::Count, Show::JsonOnly, "topics it can have"},
       [](const F& f) { return f.topic_capacity; }},
      {{"subscription_count", "", Kind::Count, Show::JsonOnly, "subscriptions"},
       [](const F& f) { return f.subscription_count; }},
      {{"ring_count", "", Kind::Count, Show::JsonOnly, "rings of their own and channels in use"},
       [](const F& f) { return f.ring_count; }},
      {{"attach_count", "", Kind::Count, Show::JsonOnly, "attaches so far"},
       [](const F& f) { return f.attach_count; }},
      {{"detach_count", "", Kind::Count, Show::JsonOnly, "orderly ends so far"},
       [](const F& f) { return f.detach_count; }},
      {{"death_count", "", Kind::Count, Show::JsonOnly, "agents that died so far"},
       [](const F& f) { return f.death_count; }},
      {{"recovered_messages", "", Kind::Count, Show::JsonOnly,
        "messages of the dead that were settled"},
       [](const F& f) { return f.recovered_messages; }},
      {{"recovered_chunks", "", Kind::Count, Show::JsonOnly, "chunks of the dead that were freed"},
       [](const F& f) { return f.recovered_chunks; }},
      {{"completed_sends", "", Kind::Count, Show::JsonOnly,
        "half-done sends of the dead that were finished"},
       [](const F& f) { return f.completed_sends; }},
      {{"corrupt_words", "", Kind::Count, Show::JsonOnly,
        "words out of bounds that the supervisor met"},
       [](const F& f) { return f.corrupt_words; }},
      {{"dead_letters", "", Kind::Count, Show::JsonOnly, "messages that nobody handled, kept"},
       [](const F& f) { return f.dead_letters; }},
      {{"waiting_letters", "", Kind::Count, Show::JsonOnly,
        "messages of the dead that wait for a successor"},
       [](const F& f) { return f.waiting_letters; }},
      {{"letter_capacity", "", Kind::Count, Show::JsonOnly, "of both, how many it can keep"},
       [](const F& f) { return f.letter_capacity; }},
      {{"letters_unkept", "", Kind::Count, Show::JsonOnly,
        "released instead: the configuration keeps none"},
       [](const F& f) { return f.letters_unkept; }},
      {{"letters_without_place", "", Kind::Count, Show::JsonOnly,
        "released instead: a newer one needed the place"},
       [](const F& f) { return f.letters_without_place; }},
      {{"letters_beyond_share", "", Kind::Count, Show::JsonOnly,
        "released instead: too many chunks of their class were kept"},
       [](const F& f) { return f.letters_beyond_share; }},
      {{"messages_revoked", "", Kind::Count, Show::JsonOnly, "went on without their agent: soft_lease_ms"},
       [](const F& f) { return f.messages_revoked; }},
      {{"letters_dropped", "", Kind::Count, Show::JsonOnly, "dropped by hand"},
       [](const F& f) { return f.letters_dropped; }},
  };
  return telling;
}

const Telling<LetterView>& letter_telling() {
  using L = LetterView;
  static const Telling<L> telling = {
      {{"number", "NUMBER", Kind::Id, Show::Table, "its number"},
       [](const L& l) { return l.serial; }},
      {{"state", "STATE", Kind::Text, Show::Table, "dead, or waiting for a successor"},
       [](const L& l) { return l.waits ? "waiting" : "dead"; }},
      {{"reason", "WHY", Kind::Text, Show::Table,
        "died, detached (its agent); no_room, closed (recovery could not deliver it); overdue (in hand too long)"},
       [](const L& l) { return l.reason; }},
      {{"agent", "FOR", Kind::Text, Show::Table, "the agent it was for, empty when not known"},
       [](const L& l) { return l.agent; }},
      {{"topic", "TOPIC", Kind::Text, Show::Table, "its topic"},
       [](const L& l) { return l.topic; }},
      {{"sequence", "SEQ", Kind::Id, Show::Table, "its publisher's number on the topic"},
       [](const L& l) { return l.sequence; }},
      {{"attempt", "TRY", Kind::Count, Show::Table, "of its last delivery, from 0"},
       [](const L& l) { return l.attempt; }},
      {{"priority", "PRIORITY", Kind::Text, Show::Wide, "its priority"},
       [](const L& l) { return l.priority; }},
      {{"payload_bytes", "SIZE", Kind::Bytes, Show::Table, "its payload"},
       [](const L& l) { return l.payload_bytes; }},
      {{"age_ns", "AGE", Kind::Duration, Show::Table, "since it was kept"},
       [](const L& l) { return l.age_ns; }},
      {{"wait_ns", "WAITS", Kind::Duration, Show::Table, "how much longer it waits", true},
       [](const L& l) { return or_null(l.wait_ns); }},
      {{"chunk", "CHUNK", Kind::Text, Show::Wide, "where it lies, as `show chunk` takes it"},
       [](const L& l) { return l.chunk; }},
  };
  return telling;
}

const Telling<TopicView>& topic_row_telling() {
  using T = TopicView;
  static const Telling<T> telling = {
      {{"name", "TOPIC", Kind::Text, Show::Table, "its name"}, [](const T& t) { return t.name; }},
      {{"publisher_count", "PUB", Kind::Count, Show::Table,
        "agents that have it open for publishing"},
       [](const T& t) { return t.publishers.size(); }},
      {{"subscriber_count", "SUB", Kind::Count, Show::Table, "subscriptions to it, and to patterns that name it"},
       [](const T& t) { return t.subscribers.size(); }},
      {{"message_count", "MESSAGES", Kind::Count, Show::Table,
        "sends that reached a receiver, of attached publishers"},
       [](const T& t) { return t.message_count; }},
      {{"byte_count", "BYTES", Kind::Bytes, Show::Table, "their payload"},
       [](const T& t) { return t.byte_count; }},
      {{"full_count", "FULL", Kind::Count, Show::Table, "receivers not reached for want of room"},
       [](const T& t) { return t.full_count; }},
      {{"none_count", "NONE", Kind::Count, Show::Table, "sends while nobody subscribed"},
       [](const T& t) { return t.none_count; }},
      {{"dropped_count", "DROP", Kind::Count, Show::Table,
        "given up to subscribers' overflow policies"},
       [](const T& t) { return t.dropped_count; }},
      {{"last_publish_ns", "LAST", Kind::Duration, Show::Table, "age of the last send", true},
       [](const T& t) { return or_null(t.last_publish_ns); }},
      {{"delivery_count", "DELIVERED", Kind::Count, Show::Wide,
        "receivers reached, summed over the sends"},
       [](const T& t) { return t.delivery_count; }},
      {{"id", "ID", Kind::Id, Show::Wide, "its number"}, [](const T& t) { return t.id; }},
      {{"is_pattern", "", Kind::Flag, Show::JsonOnly, "it is a pattern, and names topics"},
       [](const T& t) { return t.is_pattern; }},
      {{"topics", "NAMES", Kind::List, Show::Wide, "of a pattern: the topics that it names"},
       [](const T& t) { return t.topics; }},
      {{"publishers", "PUBLISHERS", Kind::List, Show::Wide, "who publishes"},
       [](const T& t) { return names_of(t.publishers); }},
      {{"subscribers", "SUBSCRIBERS", Kind::List, Show::Wide, "who subscribes"},
       [](const T& t) { return names_of(t.subscribers); }},
  };
  return telling;
}

const Telling<TopicView>& topic_full_telling() {
  using T = TopicView;
  static const Telling<T> telling = [] {
    Telling<T> full = topic_row_telling();
    std::erase_if(full, [](const Told<T>& told) {
      return told.field.key == "publishers" || told.field.key == "subscribers";
    });
    full.push_back(
        {{"route_version", "", Kind::Count, Show::JsonOnly, "changes of its receivers so far"},
         [](const T& t) { return t.route_version; }});
    full.push_back(
        told_rows<T, PublisherView>({"publishers", "", Kind::Rows, Show::JsonOnly, "who publishes"},
                                    publisher_telling(), &T::publishers));
    full.push_back(told_rows<T, SubscriptionView>(
        {"subscribers", "", Kind::Rows, Show::JsonOnly, "who subscribes"}, subscription_telling(),
        &T::subscribers));
    return full;
  }();
  return telling;
}

const Telling<ClassOnNode>& segment_telling() {
  using C = ClassOnNode;
  static const Telling<C> telling = {
      {{"node", "NODE", Kind::Id, Show::Table, "the fabric's node"},
       [](const C& c) { return c.node.index; }},
      {{"payload_bytes", "CHUNK", Kind::Bytes, Show::Table,
        "the largest payload of this size class"},
       [](const C& c) { return c.size_class.payload_bytes; }},
      {{"chunks_total", "CHUNKS", Kind::Count, Show::Table, "chunks of the class"},
       [](const C& c) { return c.size_class.chunks_total; }},
      {{"chunks_free", "FREE", Kind::Count, Show::Table, "chunks nobody holds"},
       [](const C& c) { return c.size_class.chunks_free; }},
      {{"chunks_loaned", "LOANED", Kind::Count, Show::Table, "chunks being filled"},
       [](const C& c) { return c.size_class.chunks_loaned; }},
      {{"chunks_held", "HELD", Kind::Count, Show::Table, "chunks sent, in somebody's lane or hand"},
       [](const C& c) { return c.size_class.chunks_held; }},
      {{"used_ratio", "USED", Kind::Ratio, Show::Table, "loaned and held chunks among all"},
       [](const C& c) {
         const ClassView& k = c.size_class;
         return k.chunks_total == 0
                    ? 0.0
                    : static_cast<double>(k.chunks_loaned + k.chunks_held) / k.chunks_total;
       }},
      {{"slabs_owned", "SLABS", Kind::Count, Show::Table, "slabs that an agent allocates from"},
       [](const C& c) { return c.size_class.slabs_owned; }},
      {{"slabs_free", "SPARE", Kind::Count, Show::Table, "slabs nobody owns"},
       [](const C& c) { return c.size_class.slabs_free; }},
      {{"stride_bytes", "STRIDE", Kind::Bytes, Show::Wide, "from chunk to chunk"},
       [](const C& c) { return c.size_class.stride_bytes; }},
      {{"segment_bytes", "SEGMENT", Kind::Bytes, Show::Wide, "the node's segment"},
       [](const C& c) { return c.node.segment_bytes; }},
      {{"pages_asked", "ASKED", Kind::Text, Show::Wide,
        "pages asked for: small, transparent or huge"},
       [](const C& c) { return c.node.pages_asked; }},
      {{"pages_got", "GOT", Kind::Text, Show::Wide, "pages got"},
       [](const C& c) { return c.node.pages_got; }},
      {{"numa_node", "NUMA", Kind::Id, Show::Wide, "the kernel's number of the node"},
       [](const C& c) { return c.node.numa_node; }},
      {{"bound", "BOUND", Kind::Flag, Show::Wide, "the kernel keeps its pages on that node"},
       [](const C& c) { return c.node.bound; }},
      {{"poisoned", "POISONED", Kind::Flag, Show::Wide, "a page of it was lost"},
       [](const C& c) { return c.node.poisoned; }},
      {{"lost_pages", "LOST", Kind::Count, Show::Wide, "pages of it that were lost, as far as they were met"},
       [](const C& c) { return c.node.lost_pages; }},
      {{"agent_count", "AGENTS", Kind::Count, Show::Wide, "agents whose inbox lies there"},
       [](const C& c) { return c.node.agent_count; }},
  };
  return telling;
}

std::vector<ClassOnNode> classes_on_nodes(const std::vector<NodeView>& nodes) {
  std::vector<ClassOnNode> rows;
  for (const NodeView& node : nodes) {
    for (const ClassView& size_class : node.classes) rows.push_back({node, size_class});
  }
  return rows;
}

}  // namespace ripstop::shmctl
