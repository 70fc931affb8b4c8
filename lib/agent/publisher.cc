#include "ripstop/publisher.h"

#include <cstring>
#include <utility>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "base/no_heap.h"

namespace ripstop {

bool Loan<Bytes>::resize(std::size_t payload_bytes) noexcept {
  if (payload_bytes > capacity_) return false;
  size_ = static_cast<uint32_t>(payload_bytes);
  return true;
}

Sent Loan<Bytes>::send(const SendOptions& options) noexcept {
  if (publisher_ == nullptr) return Sent{SendOutcome::Detached, 0, 0, 0, 0};  // Sent or moved away before.
  return publisher_->send_bytes(*this, options, true);
}

Sent Loan<Bytes>::send() noexcept {
  SendOptions options;
  if (publisher_ != nullptr) options.priority = publisher_->options().priority;
  return send(options);
}

void Loan<Bytes>::abort() noexcept {
  std::exchange(publisher_, nullptr)->abort(detail::PublisherCore::chunk_of(*this), {});
}

Publisher<Bytes>::Publisher(std::unique_ptr<detail::PublisherCore> core) noexcept : core_(std::move(core)) {}
Publisher<Bytes>::Publisher(Publisher&&) noexcept = default;
Publisher<Bytes>& Publisher<Bytes>::operator=(Publisher&&) noexcept = default;
Publisher<Bytes>::~Publisher() = default;

Result<Loan<Bytes>> Publisher<Bytes>::loan(std::size_t payload_bytes) {
  return base::or_no_heap([&] { return core_->loan_bytes(payload_bytes); });
}

Result<std::vector<Loan<Bytes>>> Publisher<Bytes>::loan_batch(std::size_t count, std::size_t payload_bytes) {
  return base::or_no_heap([&]() -> Result<std::vector<Loan<Bytes>>> {
    std::vector<Loan<Bytes>> loans;
    loans.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      auto loan = core_->loan_bytes(payload_bytes);
      if (!loan) return loan.error();  // Those before end with the vector.
      loans.push_back(std::move(*loan));
    }
    return loans;
  });
}

std::vector<Sent> Publisher<Bytes>::send_batch(std::span<Loan<Bytes>> loans, const SendOptions& options) {
  std::vector<Sent> sent;
  sent.reserve(loans.size());
  for (Loan<Bytes>& loan : loans) {
    // Sent or dropped before.
    if (loan.publisher_ == nullptr) sent.push_back({SendOutcome::Detached, 0, 0, 0, 0});
    else sent.push_back(core_->send_bytes(loan, options, false));
  }
  if (core_->agent().usable()) core_->ring_all();
  return sent;
}

Result<Sent> Publisher<Bytes>::send_copy(std::span<const std::byte> payload, const SendOptions& options) {
  auto loan = this->loan(payload.size());
  if (!loan) return loan.error();
  if (!payload.empty()) std::memcpy(loan->bytes().data(), payload.data(), payload.size());
  return loan->send(options);
}

Result<Sent> Publisher<Bytes>::send_copy(std::string_view payload, const SendOptions& options) {
  return send_copy(std::as_bytes(std::span(payload.data(), payload.size())), options);
}

Result<Sent> Publisher<Bytes>::send_copy(std::string_view payload) {
  SendOptions options;
  options.priority = core_->options().priority;
  options.content_type = ContentType::Text;
  return send_copy(payload, options);
}

std::string_view Publisher<Bytes>::topic() const noexcept { return core_->topic(); }
uint32_t Publisher<Bytes>::topic_id() const noexcept { return core_->topic_id(); }
uint64_t Publisher<Bytes>::sequence() const noexcept { return core_->sequence(); }
uint32_t Publisher<Bytes>::receiver_count() const noexcept { return core_->receiver_count(); }

}  // namespace ripstop
