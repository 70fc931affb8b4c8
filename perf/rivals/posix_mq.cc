// POSIX message queues. A fan-out has a queue per receiver, a fan-in one queue.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fstream>

#include "harness.h"

namespace rivals {
namespace {

constexpr long kQueueLength = 256;
constexpr long kOverheadBytes = 128;  // More than the kernel charges a message for its place.

long limit(const char* name) {
  long value = 0;
  std::ifstream(std::string("/proc/sys/fs/mqueue/") + name) >> value;
  return value;
}

// Bytes a user's queues may have together, after asking for all there is.
long memory_limit() {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  (void)setrlimit(RLIMIT_MSGQUEUE, &all);  // Needs CAP_SYS_RESOURCE.
  rlimit now{};
  getrlimit(RLIMIT_MSGQUEUE, &now);
  return now.rlim_cur > LONG_MAX ? LONG_MAX : static_cast<long>(now.rlim_cur);
}

class PosixMq {
 public:
  static std::string cannot(const Plan& plan) {
    const long most = limit("msgsize_max");
    if (static_cast<long>(plan.payload_bytes) > most) {
      return "fs.mqueue.msgsize_max is " + std::to_string(most) + " here and could not be raised";
    }
    if (queue_length(plan) < 1) {
      return "RLIMIT_MSGQUEUE is " + std::to_string(memory_limit()) +
             " bytes here and could not be raised";
    }
    return "";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit PosixMq(const Plan& plan) : plan_(plan) {
    for (const Link& link : plan.links()) {
      for (unsigned i = 0; i < link.receiver_count; ++i) queues_.push_back(open_queue(link, i));
    }
  }

  class Sender {
   public:
    Sender(PosixMq& rival, const Link& link, unsigned) : payload_(rival.plan_.payload_bytes) {
      for (unsigned i = 0; i < link.receiver_count; ++i)
        queues_.push_back(rival.queues_[link.index + i]);
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      fill(payload_.data());
      for (const mqd_t queue : queues_) {
        while (mq_send(queue, reinterpret_cast<const char*>(payload_.data()), bytes, 0) != 0) {
          if (errno != EAGAIN) fail_errno("mq_send");
          wait_a_moment();
        }
      }
    }
    void flush() {}

   private:
    std::vector<mqd_t> queues_;
    std::vector<std::byte> payload_;
  };

  class Receiver {
   public:
    Receiver(PosixMq& rival, const Link& link, unsigned receiver_index)
        : queue_(rival.queues_[link.index + receiver_index]), payload_(rival.plan_.payload_bytes) {}
    template <class Consume>
    bool receive(Consume&& consume) {
      if (mq_receive(queue_, reinterpret_cast<char*>(payload_.data()), payload_.size(), nullptr) <
          0) {
        if (errno != EAGAIN) fail_errno("mq_receive");
        return false;
      }
      consume(payload_.data());
      return true;
    }

   private:
    mqd_t queue_;
    std::vector<std::byte> payload_;
  };

 private:
  // How many messages each of the run's queues may hold, by all the limits there are.
  static long queue_length(const Plan& plan) {
    long queue_count = 0;
    for (const Link& link : plan.links()) queue_count += link.receiver_count;
    const long message_bytes = static_cast<long>(plan.payload_bytes) + kOverheadBytes;
    const long most =
        std::min({kQueueLength, limit("msg_max"), static_cast<long>(plan.queue_length())});
    return std::min(most, memory_limit() / queue_count / message_bytes);
  }

  // The name goes at once; the children inherit the descriptor.
  mqd_t open_queue(const Link& link, unsigned receiver_index) const {
    std::string name = plan_.unique_name(link);
    name.insert(0, 1, '/').append("-").append(std::to_string(receiver_index));
    mq_attr attributes{};
    attributes.mq_maxmsg = queue_length(plan_);
    attributes.mq_msgsize = static_cast<long>(plan_.payload_bytes);
    const int flags = O_RDWR | O_CREAT | O_EXCL | (plan_.mode == Mode::Spin ? O_NONBLOCK : 0);
    const mqd_t queue = mq_open(name.c_str(), flags, 0600, &attributes);
    if (queue == static_cast<mqd_t>(-1)) fail_errno("mq_open");
    mq_unlink(name.c_str());
    return queue;
  }

  const Plan plan_;
  std::vector<mqd_t> queues_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::PosixMq>(rivals::parse_plan(argc, argv));
}
