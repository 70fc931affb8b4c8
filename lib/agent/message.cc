#include <utility>

#include "agent/agent_core.h"
#include "agent/inbox.h"
#include "ripstop/subscriber.h"

namespace ripstop {

ReleaseOutcome Message<Bytes>::give_back() noexcept {
  data_ = nullptr;
  payload_bytes_ = 0;
  return std::exchange(inbox_, nullptr)->release(*in_hand_);
}

MessageInfo Message<Bytes>::info() const noexcept {
  if (inbox_ == nullptr || !inbox_->agent().usable()) return {};
  MessageInfo info = inbox_->info(*in_hand_, data_);
  info.payload_bytes = payload_bytes_;
  return info;
}

std::string Message<Bytes>::topic() const {
  if (inbox_ == nullptr || !inbox_->agent().usable()) return {};
  return std::string(inbox_->agent().view().topic_name(info().topic_id));
}

const std::vector<std::span<const std::byte>>& Message<Bytes>::segments() const {
  if (segments_ == nullptr) {
    segments_ = std::make_unique<std::vector<std::span<const std::byte>>>();
    segments_->push_back(bytes());
    if (inbox_ != nullptr && inbox_->agent().usable() && !inbox_->segments(data_, *segments_)) corrupt_ = true;
  }
  return *segments_;
}

}  // namespace ripstop
