// Where a publisher's chunks come from: its direct lane, its thread's slabs, a larger class; and how a loan
// ends that is not sent.
#include <algorithm>
#include <cstring>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"

namespace ripstop::detail {

namespace {

Error pool_empty(const control::FabricMap& map, uint32_t class_index) {
  // Who has the slabs of this class.
  std::vector<uint32_t> slabs_of(map.agent_capacity());
  uint32_t slab_count = 0;
  const memory::ChunkMap& chunks = map.chunks();
  for (uint32_t node = 0; node < chunks.node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      if (chunks.slab(node, slab).class_index != class_index) continue;
      ++slab_count;
      // Relaxed: evidence for a person.
      uint32_t agent = layout::slab_owner_agent(chunks.slab_owner(node, slab).load(std::memory_order_relaxed));
      // A chunk with a slab to itself is nobody's while it is under way: then it is its sender's.
      if (agent == 0) agent = layout::receiver_agent(chunks.find(layout::make_chunk_id(node, slab, 0))->source);
      if (agent != 0 && agent < slabs_of.size()) ++slabs_of[agent];
    }
  }
  const auto most = std::max_element(slabs_of.begin(), slabs_of.end());
  std::string why = "all " + std::to_string(slab_count) + " slabs of the class are in use";
  if (most != slabs_of.end() && *most > 0) {
    const auto agent = static_cast<uint32_t>(most - slabs_of.begin());
    why += ", " + std::to_string(*most) + " of them by agent " + std::string(map.agent_entry(agent)->name,
           strnlen(map.agent_entry(agent)->name, layout::kNameFieldBytes));
  }
  return Error{Errc::PoolEmpty, 0,
               "no free chunk of " + std::to_string(chunks.payload_bytes(class_index)) + " bytes or more", std::move(why),
               "see who holds them with `shmctl segments`, or give the class more slabs in the configuration (classes)"};
}

}  // namespace

void PublisherCore::prepare_root(layout::ChunkHeader& header) noexcept {
  header.role = layout::ChunkRole::Root;
  header.flags = 0;
  header.link = 0;
}

Result<memory::Loaned> PublisherCore::loan(std::size_t payload_bytes, bool root) {
  if (!agent_->usable()) return agent_->unusable();
  const memory::ChunkMap& chunks = agent_->map().chunks();
  const uint32_t class_first = chunks.class_for(payload_bytes);
  if (class_first == chunks.classes().size()) {
    return Error{Errc::TooLarge, 0,
                 "a payload of " + std::to_string(payload_bytes) + " bytes is larger than the largest size class (" +
                     std::to_string(chunks.classes().back().payload_bytes) + " bytes)",
                 "a message lives in one chunk, or in several through Cap'n Proto's segments",
                 "configure a larger class (classes), or send the payload in parts"};
  }
  if (!has_sender()) {
    return Error{Errc::SendersFull, 0, "agent " + agent_->options().name + " publishes from too many threads",
                 "an agent serves " + std::to_string(layout::kSenderCount) + " publishing threads",
                 "attach another agent for the further threads"};
  }
  if (root) {
    if (const auto loaned = direct_.loan(payload_bytes)) return *loaned;
  }
  // A full class borrows from the next larger one before it fails.
  for (uint32_t class_index = class_first; class_index < chunks.classes().size(); ++class_index) {
    if (const auto loaned = sender_->heap.loan(class_index)) {
      prepare_root(*loaned->header);
      return *loaned;
    }
  }
  if (direct_.is_open()) {  // Its slab may be the one that is missing.
    give_direct_up();
    return loan(payload_bytes, root);
  }
  return pool_empty(agent_->map(), class_first);
}

void PublisherCore::abort(const memory::Loaned& root, const Links& links) noexcept {
  if (!agent_->usable()) return;
  const auto end = [&](const memory::Loaned& loaned) {
    const bool direct = direct_.has(loaned.chunk);
    if (!direct || memory::is_loaned(*loaned.header)) memory::abort_loan(*loaned.header, loaned.generation);
    if (direct) return direct_.loan_ended();
    // A thread that is refused a sender has no heap to tell: the slab's next owner finds the chunk.
    if (finds_sender()) sender_->heap.aborted(loaned);
  };
  for (const memory::Loaned& link : links) end(link);
  end(root);
}

Result<Loan<Bytes>> PublisherCore::loan_bytes(std::size_t payload_bytes) {
  Loan<Bytes> loan;
  const auto fill = [&](const memory::Loaned& loaned, uint32_t capacity_bytes) {
    loan.publisher_ = this;
    loan.data_ = memory::payload(*loaned.header);
    loan.generation_ = loaned.generation;
    loan.size_ = static_cast<uint32_t>(payload_bytes);
    loan.capacity_ = capacity_bytes;
    loan.chunk_ = loaned.chunk;
    loan.class_index_ = loaned.class_index;
  };
  if (agent_->usable() && is_my_sender()) [[likely]] {
    if (const auto loaned = direct_.loan(payload_bytes)) {  // The usual case of a hot topic, made short.
      fill(*loaned, direct_.capacity_bytes());
      return loan;
    }
  }
  const auto loaned = this->loan(payload_bytes);
  if (!loaned) return loaned.error();
  fill(*loaned, agent_->map().chunks().payload_bytes(loaned->class_index));
  return loan;
}

}  // namespace ripstop::detail
