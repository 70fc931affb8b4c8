// Boost.Interprocess message_queue. A fan-out has a queue per receiver, a fan-in one queue.
#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>

#include <memory>

#include "harness.h"

namespace rivals {
namespace {

namespace ipc = boost::interprocess;
using Queue = ipc::message_queue;

class BoostMq {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit BoostMq(const Plan& plan) : plan_(plan) {
    for (const Link& link : plan.links()) {
      for (unsigned i = 0; i < link.receiver_count; ++i) queues_.push_back(open_queue(link, i));
    }
  }

  class Sender {
   public:
    Sender(BoostMq& rival, const Link& link, unsigned)
        : mode_(rival.plan_.mode), payload_(rival.plan_.payload_bytes) {
      for (unsigned i = 0; i < link.receiver_count; ++i)
        queues_.push_back(rival.queues_[link.index + i].get());
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      fill(payload_.data());
      for (Queue* queue : queues_) {
        if (mode_ == Mode::Sleep) {
          queue->send(payload_.data(), bytes, 0);
        } else {
          while (!queue->try_send(payload_.data(), bytes, 0)) wait_a_moment();
        }
      }
    }
    void flush() {}

   private:
    Mode mode_;
    std::vector<Queue*> queues_;
    std::vector<std::byte> payload_;
  };

  class Receiver {
   public:
    Receiver(BoostMq& rival, const Link& link, unsigned receiver_index)
        : mode_(rival.plan_.mode),
          queue_(*rival.queues_[link.index + receiver_index]),
          payload_(rival.plan_.payload_bytes) {}
    template <class Consume>
    bool receive(Consume&& consume) {
      Queue::size_type bytes = 0;
      unsigned priority = 0;
      if (mode_ == Mode::Sleep) {
        queue_.receive(payload_.data(), payload_.size(), bytes, priority);
      } else if (!queue_.try_receive(payload_.data(), payload_.size(), bytes, priority)) {
        return false;
      }
      consume(payload_.data());
      return true;
    }

   private:
    Mode mode_;
    Queue& queue_;
    std::vector<std::byte> payload_;
  };

 private:
  // The name goes at once; the children inherit the mapping.
  std::unique_ptr<Queue> open_queue(const Link& link, unsigned receiver_index) const {
    const std::string name = plan_.unique_name(link) + "-" + std::to_string(receiver_index);
    Queue::remove(name.c_str());
    auto queue = std::make_unique<Queue>(ipc::create_only, name.c_str(), plan_.queue_length(),
                                         plan_.payload_bytes);
    Queue::remove(name.c_str());
    return queue;
  }

  const Plan plan_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::BoostMq>(rivals::parse_plan(argc, argv));
}
