// What is told of rings, slots and chunks: the words that commit, decoded and raw.
#include <cinttypes>
#include <cstdio>

#include "shmctl/told_fabric.h"

namespace ripstop::shmctl {

namespace {

std::string hex_bytes(const std::vector<uint8_t>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

std::string hex_text(uint64_t word) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%016" PRIx64, word);
  return text;
}

const Telling<SlotView>& slot_telling() {
  using S = SlotView;
  static const Telling<S> telling = {
      {{"index", "SLOT", Kind::Id, Show::Table, "place in the ring"},
       [](const S& s) { return s.index; }},
      {{"phase", "PHASE", Kind::Text, Show::Table, "empty, full, taken or closed"},
       [](const S& s) { return s.phase; }},
      {{"turn", "TURN", Kind::Id, Show::Table, "lap of the ring"},
       [](const S& s) { return s.turn; }},
      {{"chunk", "CHUNK", Kind::Text, Show::Table, "node/slab/chunk of the message"},
       [](const S& s) { return s.chunk; }},
      {{"generation", "GEN", Kind::Id, Show::JsonOnly,
        "life of the chunk that is meant, the low 36 bits"},
       [](const S& s) { return s.generation; }},
      {{"bit", "BIT", Kind::Id, Show::Table, "the delivery's bit among the holders"},
       [](const S& s) { return s.bit; }},
      {{"attempt", "TRY", Kind::Count, Show::JsonOnly, "earlier deliveries that were not finished"},
       [](const S& s) { return s.attempt; }},
      {{"owner", "OWNER", Kind::Text, Show::Table, "who has taken it"},
       [](const S& s) { return s.owner; }},
      {{"current", "NOTE", Kind::Flag, Show::JsonOnly,
        "the chunk lives that generation and bears the bit"},
       [](const S& s) { return s.current; }},
      {{"corrupt", "", Kind::Flag, Show::JsonOnly, "it names a chunk or bit that does not exist"},
       [](const S& s) { return s.corrupt; }},
      {{"word_high", "STATE WORD", Kind::Text, Show::Table,
        "turn:36 bit:6 attempt:6 owner:14 phase:2"},
       [](const S& s) { return hex_text(s.high); }},
      {{"word_low", "REFERENCE WORD", Kind::Text, Show::Table,
        "chunk:28 generation:36, or the ring's incarnation"},
       [](const S& s) { return hex_text(s.low); }},
  };
  return telling;
}

const Telling<RingView>& ring_row_telling() {
  using R = RingView;
  static const Telling<R> telling = {
      {{"label", "RING", Kind::Text, Show::Table,
        "agent/lane, a ring's number or a channel's name"},
       [](const R& r) { return r.label; }},
      {{"kind", "KIND", Kind::Text, Show::Table, "lane, queue or channel"},
       [](const R& r) { return r.kind; }},
      {{"owner", "TAKER", Kind::Text, Show::Table, "who takes from it"},
       [](const R& r) { return r.owner; }},
      {{"producer", "SENDER", Kind::Text, Show::Table, "who sends into the channel"},
       [](const R& r) { return r.producer; }},
      {{"waiting", "WAIT", Kind::Count, Show::Table, "messages not yet taken"},
       [](const R& r) { return r.waiting; }},
      {{"taken", "HAND", Kind::Count, Show::Table, "slots whose message is in hand"},
       [](const R& r) { return r.taken; }},
      {{"slot_count", "SLOTS", Kind::Count, Show::Table, "slots"},
       [](const R& r) { return r.slot_count; }},
      {{"slot_bytes", "SLOT", Kind::Bytes, Show::Table, "bytes of one slot"},
       [](const R& r) { return r.slot_bytes; }},
      {{"overflow", "WHEN FULL", Kind::Text, Show::Wide,
        "what happens to a message that meets it full"},
       [](const R& r) { return r.overflow; }},
      {{"id", "ID", Kind::Id, Show::Wide, "0: a lane of an inbox"},
       [](const R& r) { return r.id; }},
      {{"node", "NODE", Kind::Id, Show::Wide, "the fabric's node it lies on"},
       [](const R& r) { return r.node; }},
      {{"incarnation", "INCARNATION", Kind::Id, Show::Wide, "compared by every push"},
       [](const R& r) { return r.incarnation; }},
      {{"closed", "", Kind::Count, Show::JsonOnly, "closed slots"},
       [](const R& r) { return r.closed; }},
      {{"head", "HEAD", Kind::Id, Show::Wide, "hint: slots below are empty"},
       [](const R& r) { return r.head; }},
      {{"tail", "TAIL", Kind::Id, Show::Wide, "hint: slots below have been pushed"},
       [](const R& r) { return r.tail; }},
      {{"doorbell", "", Kind::Text, Show::JsonOnly,
        "the futex word: sleep number:30 rung:1 armed:1"},
       [](const R& r) { return hex_text(r.doorbell); }},
      {{"space_waiters", "", Kind::Count, Show::JsonOnly, "a publisher sleeps until there is room"},
       [](const R& r) { return r.space_waiters; }},
      {{"corrupt", "CORRUPT", Kind::Count, Show::Wide, "words out of bounds in this look"},
       [](const R& r) { return r.corrupt; }},
  };
  return telling;
}

const Telling<RingView>& ring_full_telling() {
  static const Telling<RingView> telling = [] {
    Telling<RingView> full = ring_row_telling();
    full.push_back(told_rows<RingView, SlotView>(
        {"slots", "", Kind::Rows, Show::JsonOnly, "every slot; none of a channel"}, slot_telling(),
        &RingView::slots));
    return full;
  }();
  return telling;
}

const Telling<ChunkView>& chunk_telling() {
  using C = ChunkView;
  static const Telling<C> telling = {
      {{"label", "", Kind::Text, Show::JsonOnly, "node/slab/chunk"},
       [](const C& c) { return c.label; }},
      {{"id", "", Kind::Id, Show::JsonOnly, "node:4 slab:18 index:6"},
       [](const C& c) { return c.id; }},
      {{"state", "", Kind::Text, Show::JsonOnly, "free, loaned, held or closing"},
       [](const C& c) { return c.state; }},
      {{"holders", "", Kind::List, Show::JsonOnly, "who keeps it alive"},
       [](const C& c) { return c.holders; }},
      {{"generation", "", Kind::Id, Show::JsonOnly, "its life"},
       [](const C& c) { return c.generation; }},
      {{"holder_bits", "", Kind::Text, Show::JsonOnly,
        "publisher:1 closing:1 link:1 late:8 deliveries:53"},
       [](const C& c) { return hex_text(c.bits); }},
      {{"slab_owner", "", Kind::Text, Show::JsonOnly, "who allocates from its slab"},
       [](const C& c) { return c.slab_owner; }},
      {{"payload_bytes_max", "", Kind::Bytes, Show::JsonOnly, "the largest payload of its class"},
       [](const C& c) { return c.payload_bytes_max; }},
      {{"role", "", Kind::Text, Show::JsonOnly,
        "root, continuation, receiver list or branch; empty when free"},
       [](const C& c) { return c.role; }},
      {{"topic", "", Kind::Text, Show::JsonOnly, "the message's topic"},
       [](const C& c) { return c.topic; }},
      {{"source", "", Kind::Text, Show::JsonOnly, "who published it"},
       [](const C& c) { return c.source; }},
      {{"sequence", "", Kind::Id, Show::JsonOnly, "the publisher's number on the topic"},
       [](const C& c) { return c.sequence; }},
      {{"age_ns", "", Kind::Duration, Show::JsonOnly, "since it was sent", true},
       [](const C& c) { return or_null(c.age_ns); }},
      {{"deadline_ns", "", Kind::Id, Show::JsonOnly, "on the fabric's clock, 0: none"},
       [](const C& c) { return c.deadline_ns; }},
      {{"payload_bytes", "", Kind::Bytes, Show::JsonOnly, "bytes of payload"},
       [](const C& c) { return c.payload_bytes; }},
      {{"priority", "", Kind::Text, Show::JsonOnly, "its lane"},
       [](const C& c) { return c.priority; }},
      {{"content_type", "", Kind::Text, Show::JsonOnly, "what the bytes are"},
       [](const C& c) { return c.content_type; }},
      {{"schema_id", "", Kind::Id, Show::JsonOnly, "of the type, 0: not told"},
       [](const C& c) { return c.schema_id; }},
      {{"correlation", "", Kind::Id, Show::JsonOnly, "the sender's own number"},
       [](const C& c) { return c.correlation; }},
      {{"link", "", Kind::Text, Show::JsonOnly, "the next linked chunk, empty: none"},
       [](const C& c) { return c.link; }},
      {{"root", "", Kind::Text, Show::JsonOnly, "of a linked chunk: its message"},
       [](const C& c) { return c.root; }},
      {{"payload_start", "", Kind::Text, Show::JsonOnly, "the first 64 bytes, in hex"},
       [](const C& c) { return hex_bytes(c.payload_start); }},
      {{"corrupt", "", Kind::Count, Show::JsonOnly, "words out of bounds in this look"},
       [](const C& c) { return c.corrupt; }},
  };
  return telling;
}

}  // namespace ripstop::shmctl
