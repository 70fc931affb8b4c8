#include "oracle.h"

#include <algorithm>
#include <string>

#include "ripstop/types.h"

namespace chaos {

namespace {

using ripstop::SendOutcome;

constexpr uint64_t kPatienceNs = 5'000'000'000;

// What to say of a message.
#define STREAM_FORMAT "message %u of %s's incarnation %u on %s"
#define STREAM_WORDS(stream, number) number, cast()[(stream).player].name, (stream).incarnation, topic_name((stream).topic)

}  // namespace

void Oracle::born(uint32_t player, uint32_t incarnation) {
  incarnation_[player] = incarnation;
  receivers_.push_back({player, incarnation, {}, {}, false, 0, 0});
  living_[player] = &receivers_.back();
}

void Oracle::died(uint32_t player, uint64_t now_ns) {
  Receiver& receiver = living(player);
  receiver.ended = true;
  for (auto& [key, stream] : streams_) {
    if (stream.player != player || stream.ended) continue;
    stream.ended = true;
    stream.ended_ns = now_ns;
  }
}

Oracle::Stream* Oracle::stream(uint32_t player, uint32_t incarnation, uint8_t topic) {
  const auto found = streams_.find({player, incarnation, topic});
  if (found != streams_.end()) return &found->second;
  if (player >= kPlayerCount || incarnation != incarnation_[player] || !says(player, topic) || living(player).ended) return nullptr;
  Stream& stream = streams_[{player, incarnation, topic}];
  stream.player = player;
  stream.incarnation = incarnation;
  stream.topic = topic;
  // Also those that have ended: it may have sent to them before, and is read late.
  for (Receiver& receiver : receivers_) {
    if (receiver.ears[topic].begin_ns != 0) receiver.pairs[&stream];
  }
  return &stream;
}

void Oracle::read(uint32_t player, const Entry& entry, bool complete) {
  Receiver& receiver = living(player);
  switch (entry.kind) {
    case Kind::Sent: {
      Stream* stream = this->stream(player, receiver.incarnation, entry.topic);
      if (stream != nullptr) sent(*stream, entry);
      break;
    }
    case Kind::Took: took(receiver, entry); break;
    case Kind::Empty: receiver.last_empty_ns = entry.begin_ns; break;
    case Kind::Subscribed:
      for (Receiver& earlier : receivers_) {
        if (earlier.player == player && earlier.ended && earlier.settled_ns == 0) earlier.settled_ns = entry.begin_ns;
      }
      receiver.ears[entry.topic].begin_ns = entry.begin_ns;
      if (complete) receiver.ears[entry.topic].end_ns = entry.end_ns;
      for (auto& [key, stream] : streams_) {
        if (stream.topic == entry.topic) receiver.pairs[&stream];
      }
      break;
    case Kind::Dropped: {
      follow();
      // An evictor that was killed had dropped one and not counted it: seldom, and bounded.
      const uint64_t missing = receiver.ears[entry.topic].missing;
      if (missing > entry.number + 64) {
        verdict_.add(Fault::Lost, "%s's ring for %s says that it dropped %u, and %llu are missing", cast()[player].name,
                     topic_name(entry.topic), entry.number, static_cast<unsigned long long>(missing));
      }
      break;
    }
  }
}

void Oracle::sent(Stream& stream, const Entry& entry) {
  const uint32_t index = entry.number - stream.base - 1;
  if (index >= stream.rows.size()) stream.rows.resize(index + 1);
  Row& row = stream.rows[index];
  row.begin_ns = entry.begin_ns;
  row.priority = entry.priority;
  row.state = Row::Running;
  if (entry.done.load(std::memory_order_acquire) == 0) {
    ++figures_.running;
    return;
  }
  row.state = Row::Done;
  row.end_ns = entry.end_ns;
  row.reached = entry.reached;
  row.full = static_cast<uint16_t>(entry.full);
  row.outcome = entry.outcome;
  ++figures_.sent;
  figures_.reached += row.reached;
  suspect_refusal(stream, row, entry.number);
  check_full(stream, row);
}

// "Nobody is there" is a lie when somebody was, all the time; that it was shows when it writes again.
void Oracle::suspect_refusal(const Stream& stream, const Row& row, uint32_t number) {
  const auto outcome = static_cast<SendOutcome>(row.outcome);
  if (outcome != SendOutcome::NoReceiver && outcome != SendOutcome::Gone) return;
  for (const Receiver& receiver : receivers_) {
    const Ear& ear = receiver.ears[stream.topic];
    if (ear.end_ns == 0 || ear.end_ns >= row.begin_ns || receiver.ended) continue;
    suspicions_.push_back({receiver.player, receiver.incarnation, stream.player, stream.incarnation, stream.topic, number, row.outcome, row.end_ns});
  }
}

void Oracle::follow_suspicions() {
  std::erase_if(suspicions_, [this](const Suspicion& each) {
    const Receiver& receiver = living(each.receiver);
    if (receiver.ended || receiver.incarnation != each.receiver_incarnation) return true;
    if (receiver.last_empty_ns <= each.end_ns) return false;
    verdict_.add(Fault::Phantom, STREAM_FORMAT " was refused (%s) though %s's incarnation %u was there", STREAM_WORDS(each, each.number),
                 std::string(ripstop::to_string(static_cast<SendOutcome>(each.outcome))).c_str(), cast()[each.receiver].name,
                 each.receiver_incarnation);
    return true;
  });
}

// Full for longer than we have patience, while every receiver finds nothing: a ring takes no more.
void Oracle::check_full(Stream& stream, const Row& row) {
  if (row.full == 0) {
    stream.full_since_ns = 0;
    return;
  }
  if (stream.full_since_ns == 0) stream.full_since_ns = row.begin_ns;
  if (row.end_ns - stream.full_since_ns < kPatienceNs) return;
  bool idle = false;
  for (const Receiver& receiver : receivers_) {
    const Ear& ear = receiver.ears[stream.topic];
    if (receiver.ended || ear.begin_ns == 0) continue;
    if (ear.end_ns == 0 || ear.end_ns > stream.full_since_ns || stopped_until_ns_[receiver.player] > stream.full_since_ns) return;
    if (receiver.last_empty_ns < stream.full_since_ns + kPatienceNs / 2) return;
    idle = true;
  }
  if (!idle) return;
  verdict_.add(Fault::Blocked, "%s's incarnation %u finds no room on %s for 5 s, and its receivers no mail",
               cast()[stream.player].name, stream.incarnation, topic_name(stream.topic));
  stream.full_since_ns = 0;
}

void Oracle::took(Receiver& receiver, const Entry& entry) {
  ++figures_.taken;
  const char* who = cast()[receiver.player].name;
  if (entry.peer >= kPlayerCount || entry.topic >= kTopicCount || entry.priority >= 5) {
    verdict_.add(Fault::Torn, "%s's incarnation %u took a message that says nothing of itself", who, receiver.incarnation);
    return;
  }
  if (entry.outcome != 0) {
    verdict_.add(Fault::Torn, "%s's incarnation %u took message %u of %s's incarnation %u with other bytes", who,
                 receiver.incarnation, entry.number, cast()[entry.peer].name, entry.peer_incarnation);
  }
  Stream* stream = this->stream(entry.peer, entry.peer_incarnation, entry.topic);
  if (stream == nullptr || entry.number <= stream->base || receiver.ears[entry.topic].begin_ns == 0) {
    // Of a stream that was settled already, or of none: doubled or never sent, we cannot tell any more.
    verdict_.add(Fault::Doubled, "%s's incarnation %u took message %u of %s's incarnation %u on %s, which was not for it or settled before",
                 who, receiver.incarnation, entry.number, cast()[entry.peer].name, entry.peer_incarnation, topic_name(entry.topic));
    return;
  }
  Pair& pair = receiver.pairs[stream];
  const uint32_t index = entry.number - stream->base - 1;
  if (index >= stream->rows.size()) stream->rows.resize(index + 1);
  if (index >= pair.taken.size()) pair.taken.resize(index + 256);
  if (pair.taken[index]) {
    verdict_.add(Fault::Doubled, STREAM_FORMAT " was taken twice by %s's incarnation %u", STREAM_WORDS(*stream, entry.number), who,
                 receiver.incarnation);
    return;
  }
  pair.taken[index] = true;
  if (stream->rows[index].takers < 255) ++stream->rows[index].takers;
  uint32_t& last = pair.last[entry.priority];
  if (entry.number < last) {
    verdict_.add(Fault::Order, STREAM_FORMAT " was taken after message %u by %s's incarnation %u", STREAM_WORDS(*stream, entry.number),
                 last, who, receiver.incarnation);
  }
  last = std::max(last, entry.number);
}

bool Oracle::due(const Receiver& receiver, const Stream& stream, const Row& row) const {
  const Ear& ear = receiver.ears[stream.topic];
  return row.state == Row::Done && row.reached > 0 && row.full == 0 && ear.end_ns != 0 && ear.end_ns < row.begin_ns;
}

void Oracle::follow() {
  for (Receiver& receiver : receivers_) {
    for (auto& [stream, pair] : receiver.pairs) follow(receiver, *stream, pair);
  }
  follow_suspicions();
}

void Oracle::follow(Receiver& receiver, Stream& stream, Pair& pair) {
  const Hears* hears = hearing(receiver.player, stream.topic);
  for (uint8_t priority = 0; priority < 5; ++priority) {
    uint32_t& cursor = pair.cursor[priority];
    for (; cursor < stream.rows.size(); ++cursor) {
      const Row& row = stream.rows[cursor];
      if (row.state == Row::Unknown) break;  // Its publisher's page is read later than the receiver's.
      if (row.priority != priority) continue;
      if (row.state == Row::Running || !due(receiver, stream, row)) continue;
      if (cursor < pair.taken.size() && pair.taken[cursor]) continue;
      const uint32_t number = stream.base + cursor + 1;
      if (pair.last[priority] > number) {
        if (lossy(*hears)) {
          ++receiver.ears[stream.topic].missing;
          ++figures_.dropped;
          continue;
        }
        verdict_.add(Fault::Lost, STREAM_FORMAT " reached %u, and %s's incarnation %u took message %u but not this one",
                     STREAM_WORDS(stream, number), row.reached, cast()[receiver.player].name, receiver.incarnation, pair.last[priority]);
        continue;
      }
      if (receiver.ended) break;
      if (!lossy(*hears) && !pair.told_blocked && receiver.last_empty_ns > row.end_ns + kPatienceNs) {
        pair.told_blocked = true;
        verdict_.add(Fault::Blocked, STREAM_FORMAT " reached %u, and for 5 s %s's incarnation %u has found nothing",
                     STREAM_WORDS(stream, number), row.reached, cast()[receiver.player].name, receiver.incarnation);
      }
      break;
    }
  }
}

}  // namespace chaos
