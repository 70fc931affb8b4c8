// The oracle's last word on what was sent since the last quiet phase.
#include <algorithm>

#include "oracle.h"

namespace chaos {

namespace {

// What is left of a row when those who took it are named.
constexpr const char* kFormat = "message %u of %s's incarnation %u on %s";

}  // namespace

void Oracle::settle(Stream& stream) {
  char what[160];
  bool lacked_room = false;  // Some receiver, at the last send before this one that told of it.
  for (uint32_t index = 0; index < stream.rows.size(); ++index) {
    const Row& row = stream.rows[index];
    std::snprintf(what, sizeof what, kFormat, stream.base + index + 1, cast()[stream.player].name, stream.incarnation,
                  topic_name(stream.topic));
    if (row.state == Row::Unknown) {
      if (row.takers != 0) verdict_.add(Fault::Phantom, "%s was taken and never sent", what);
      continue;
    }
    if (row.state == Row::Done && row.takers > row.reached) {
      verdict_.add(Fault::Phantom, "%s reached %u and was taken by %u", what, row.reached, row.takers);
    }
    if (row.state == Row::Done) lacked_room = row.full != 0;
    if (row.state == Row::Running) figures_.running_taken += row.takers != 0 ? 1 : 0;
    if (row.state == Row::Done && row.takers >= row.reached) continue;

    uint32_t dead = 0;     // Receivers that may have been reached and cannot answer,
    uint32_t dropping = 0;  // and those that may have given it up.
    for (const Receiver& receiver : receivers_) {
      const Ear& ear = receiver.ears[stream.topic];
      const auto pair = receiver.pairs.find(&stream);
      if (ear.begin_ns == 0 || pair == receiver.pairs.end()) continue;
      if (index < pair->second.taken.size() && pair->second.taken[index]) continue;
      const bool may_drop = lossy(*hearing(receiver.player, stream.topic));
      if (row.state == Row::Done) {
        const bool may_have_died_with_it = receiver.ended && ear.begin_ns < row.end_ns && (receiver.settled_ns == 0 || receiver.settled_ns > row.begin_ns);
        dead += may_have_died_with_it && !may_drop ? 1 : 0;
        dropping += may_drop ? 1 : 0;
      } else if (row.takers != 0 && !receiver.ended && !may_drop && ear.end_ns != 0 && ear.end_ns < row.begin_ns) {
        // All or nothing. But a receiver that had been stopped may lack room, for which recovery does not wait;
        // and in a batch, all but the last of the messages that were cut off had found a receiver full, or
        // not: if the send before it had, this one tells nothing.
        ++figures_.running_halves;
        if (stopped_until_ns_[receiver.player] < row.begin_ns && !lacked_room) {
          verdict_.add(Fault::Lost, "%s was cut off by its publisher's death, taken by %u, and not by %s's incarnation %u, who lives",
                       what, row.takers, cast()[receiver.player].name, receiver.incarnation);
        }
      }
    }
    if (row.state == Row::Running) continue;
    const uint32_t missing = row.reached - row.takers;
    figures_.died_with += std::min(missing, dead);
    if (dead + dropping < missing) {
      verdict_.add(Fault::Lost, "%s reached %u, was taken by %u, and %u at most died with it", what, row.reached, row.takers, dead + dropping);
    }
  }
}

void Oracle::settle() {
  follow();
  for (Receiver& receiver : receivers_) {
    if (receiver.ended) continue;
    for (auto& [stream, pair] : receiver.pairs) {
      if (lossy(*hearing(receiver.player, stream->topic))) continue;
      for (uint32_t index = 0; index < stream->rows.size(); ++index) {
        const Row& row = stream->rows[index];
        if (index < pair.cursor[row.priority] || !due(receiver, *stream, row)) continue;
        if (index < pair.taken.size() && pair.taken[index]) continue;
        verdict_.add(Fault::Lost, "message %u of %s's incarnation %u on %s reached %u, and %s's incarnation %u, who lives and found nothing more, never took it",
                     stream->base + index + 1, cast()[stream->player].name, stream->incarnation, topic_name(stream->topic), row.reached,
                     cast()[receiver.player].name, receiver.incarnation);
      }
    }
  }
  for (auto& [key, stream] : streams_) settle(stream);

  for (Receiver& receiver : receivers_) {
    std::erase_if(receiver.pairs, [](const auto& each) { return each.first->ended; });
    for (auto& [stream, pair] : receiver.pairs) {
      pair.taken.clear();
      pair.cursor.fill(0);
    }
  }
  std::erase_if(receivers_, [this](const Receiver& receiver) { return receiver.ended && living_[receiver.player] != &receiver; });
  std::erase_if(streams_, [](const auto& each) { return each.second.ended; });
  for (auto& [key, stream] : streams_) {
    stream.base += static_cast<uint32_t>(stream.rows.size());
    stream.rows.clear();
  }
}

}  // namespace chaos
