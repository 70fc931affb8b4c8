#include "mouth.h"

#include <algorithm>
#include <vector>

namespace chaos {

namespace {

using ripstop::Bytes;
using ripstop::Priority;
using ripstop::Result;
using ripstop::SendOptions;
using ripstop::SendOutcome;

constexpr Priority kPriorities[] = {Priority::Normal, Priority::Critical, Priority::Background};
constexpr uint32_t kPieces = 4;

}  // namespace

Result<Mouth> Mouth::open(ripstop::Agent& agent, const Says& says, uint32_t player, uint32_t incarnation) {
  auto publisher = agent.publisher(topic_name(says.topic));
  if (!publisher) return publisher.error();
  return Mouth(agent, says, std::move(*publisher), player, incarnation);
}

Label Mouth::label(Priority priority, uint32_t ahead) const {
  Label label{};
  label.player = player_;
  label.incarnation = incarnation_;
  label.number = number_ + ahead;
  label.topic = says_.topic;
  label.priority = static_cast<uint8_t>(priority);
  label.piece_count = 1;
  return label;
}

std::size_t Mouth::any_size(Dice& dice) const {
  return sizeof(Label) + dice.below(says_.payload_bytes - sizeof(Label) + 1);
}

// From now on the message may be anywhere between not called and taken.
Entry& Mouth::announce(Writer& writer, Priority priority) {
  Entry& entry = writer.begin(Kind::Sent, says_.topic);
  entry.number = ++number_;
  entry.priority = static_cast<uint8_t>(priority);
  writer.publish();
  return entry;
}

void Mouth::note(Entry& entry, const ripstop::Sent& sent) {
  entry.reached = sent.receiver_count;
  entry.full = sent.full_count;
  entry.gone = sent.gone_count;
  entry.outcome = static_cast<uint8_t>(sent.outcome);
  Writer::finish(entry);
  if (sent.outcome == SendOutcome::Corrupt || sent.outcome == SendOutcome::Detached || sent.outcome == SendOutcome::Forked) {
    trouble = "send(): " + std::string(ripstop::to_string(sent.outcome));
  }
}

Result<void> Mouth::speak(Writer& writer, Dice& dice) {
  constexpr std::chrono::microseconds kTimeouts[] = {std::chrono::microseconds(0), std::chrono::microseconds(500),
                                                     std::chrono::milliseconds(30), std::chrono::milliseconds(300)};
  SendOptions options;
  const uint64_t count = 1 + dice.below(says_.burst_max);
  for (uint64_t i = 0; i < count && trouble.empty(); ++i) {
    options.priority = kPriorities[says_.priority_count > 1 ? dice.below(says_.priority_count) : 0];
    options.timeout = kTimeouts[dice.below(4)];
    auto said = says_.chained        ? say_chained(writer, dice, options)
                : dice.below(24) == 0 ? say_batch(writer, dice, options)
                                      : say_one(writer, dice, options);
    if (said) continue;
    if (said.error().code != ripstop::Errc::PoolEmpty) return said;
    break;
  }
  next_ns = ripstop::now_ns() + dice.below(2000 * uint64_t{says_.pause_us});
  return {};
}

Result<void> Mouth::say_one(Writer& writer, Dice& dice, const SendOptions& options) {
  auto loan = publisher_.loan(any_size(dice));
  if (!loan) return loan.error();
  if (dice.below(64) == 0) return {};  // Dropped: nobody may ever see it.
  fill(loan->bytes(), label(options.priority));
  Entry& entry = announce(writer, options.priority);
  note(entry, loan->send(options));
  return {};
}

Result<void> Mouth::say_batch(Writer& writer, Dice& dice, const SendOptions& options) {
  const std::size_t count = 2 + dice.below(6);
  auto loans = publisher_.loan_batch(count, any_size(dice));
  if (!loans) return loans.error();
  std::vector<Entry*> entries;
  for (uint32_t i = 0; i < count; ++i) fill((*loans)[i].bytes(), label(options.priority, i + 1));
  for (std::size_t i = 0; i < count; ++i) entries.push_back(&announce(writer, options.priority));
  const std::vector<ripstop::Sent> sent = publisher_.send_batch(*loans, options);
  for (std::size_t i = 0; i < count; ++i) note(*entries[i], i < sent.size() ? sent[i] : ripstop::Sent{});
  return {};
}

Result<void> Mouth::say_chained(Writer& writer, Dice& dice, const SendOptions& options) {
  if (!typed_) {
    auto typed = agent_->publisher<Parcel>(topic_name(says_.topic));
    if (!typed) return typed.error();
    typed_.emplace(std::move(*typed));
  }
  auto loan = typed_->loan();
  if (!loan) return loan.error();
  auto pieces = loan->root().initPieces(kPieces);
  for (uint32_t i = 0; i < kPieces; ++i) {
    auto piece = pieces.init(i, static_cast<uint32_t>(std::max<std::size_t>(sizeof(Label), any_size(dice) / kPieces)));
    Label one = label(options.priority);
    one.piece = static_cast<uint8_t>(i);
    one.piece_count = kPieces;
    fill({reinterpret_cast<std::byte*>(piece.begin()), piece.size()}, one);
  }
  if (dice.below(16) == 0) return {};  // As in say_one().
  Entry& entry = announce(writer, options.priority);
  note(entry, loan->send(options));
  return {};
}

Heard listen(ripstop::Message<Bytes>& message) {
  Heard heard;
  const auto nobody = [] {
    Heard torn;
    torn.label.player = ~uint32_t{0};
    torn.torn = true;
    return torn;
  };
  if (message.info().content_type != ripstop::ContentType::Capnp) {
    return read(message.bytes(), heard.label, heard.torn) ? heard : nobody();
  }
  // Read where it lies; the message itself stays with the caller, who may keep it in hand.
  try {
    ripstop::detail::CapnpReader reader(message);
    const auto pieces = reader.getRoot<Parcel>().getPieces();
    for (uint32_t i = 0; i < pieces.size(); ++i) {
      bool torn = false;
      Label label;
      const auto piece = pieces[i];
      if (!read({reinterpret_cast<const std::byte*>(piece.begin()), piece.size()}, label, torn)) return nobody();
      if (i == 0) heard.label = label;
      heard.torn |= torn || label.piece != i || label.piece_count != pieces.size() || label.number != heard.label.number ||
                    label.player != heard.label.player || label.incarnation != heard.label.incarnation;
    }
    if (pieces.size() == 0 || message.corrupt()) return nobody();
    return heard;
  } catch (const ::kj::Exception&) {
    return nobody();
  }
}

}  // namespace chaos
