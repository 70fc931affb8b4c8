// ZeroMQ over ipc://. PUSH/PULL for one to one and for a fan-in; XPUB/SUB for a fan-out, told to wait
// for a slow subscriber where it would drop. Its own I/O thread runs on its process's core, so there
// is nothing to gain from spinning: it runs sleeping only.
#include <unistd.h>
#include <zmq.h>

#include <cerrno>

#include "harness.h"

namespace rivals {
namespace {

void* make_socket(void* context, int type) {
  void* socket = zmq_socket(context, type);
  if (socket == nullptr) fail(zmq_strerror(zmq_errno()));
  const int retry_ms = 1;
  const int patience_ms = 100;
  const int linger_ms = 0;
  zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &retry_ms, sizeof retry_ms);
  zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
  zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
  return socket;
}

class ZeroMq {
 public:
  static std::string cannot(const Plan& plan) {
    return plan.mode == Mode::Spin ? "its I/O thread needs the core that would spin" : "";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit ZeroMq(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    // Whoever there is one of binds, the others connect to it.
    Sender(ZeroMq& rival, const Link& link, unsigned)
        : receiver_count_(link.receiver_count),
          context_(zmq_ctx_new()),
          socket_(make_socket(context_, receiver_count_ > 1 ? ZMQ_XPUB : ZMQ_PUSH)) {
      const std::string address = rival.address(link);
      const int yes = 1;
      if (receiver_count_ > 1) zmq_setsockopt(socket_, ZMQ_XPUB_NODROP, &yes, sizeof yes);
      if (receiver_count_ > 1) zmq_setsockopt(socket_, ZMQ_XPUB_VERBOSE, &yes, sizeof yes);
      const int end = receiver_count_ > 1 ? zmq_bind(socket_, address.c_str())
                                          : zmq_connect(socket_, address.c_str());
      if (end != 0) fail(zmq_strerror(zmq_errno()));
    }

    void connected() {
      if (receiver_count_ == 1) return;  // A PUSH waits for its PULL.
      // An XPUB gets one message for the first subscription of a prefix and, verbose, one for each.
      std::byte subscription[16];
      while (subscriber_count_ < receiver_count_) {
        if (zmq_recv(socket_, subscription, sizeof subscription, 0) > 0) ++subscriber_count_;
      }
    }

    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      zmq_msg_t message;
      if (zmq_msg_init_size(&message, bytes) != 0) fail("zmq_msg_init_size");
      fill(static_cast<std::byte*>(zmq_msg_data(&message)));
      while (zmq_msg_send(&message, socket_, 0) < 0) {
        if (zmq_errno() != EAGAIN && zmq_errno() != EINTR) fail(zmq_strerror(zmq_errno()));
        wait_a_moment();
      }
    }
    void flush() {}

   private:
    unsigned receiver_count_;
    unsigned subscriber_count_ = 0;
    void* context_;
    void* socket_;
  };

  class Receiver {
   public:
    Receiver(ZeroMq& rival, const Link& link, unsigned)
        : context_(zmq_ctx_new()),
          socket_(make_socket(context_, link.receiver_count > 1 ? ZMQ_SUB : ZMQ_PULL)) {
      const std::string address = rival.address(link);
      int end = 0;
      if (link.receiver_count > 1) {
        zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, "", 0);
        end = zmq_connect(socket_, address.c_str());
      } else {
        end = zmq_bind(socket_, address.c_str());
      }
      if (end != 0) fail(zmq_strerror(zmq_errno()));
    }

    template <class Consume>
    bool receive(Consume&& consume) {
      zmq_msg_t message;
      zmq_msg_init(&message);
      if (zmq_msg_recv(&message, socket_, 0) < 0) return false;
      consume(static_cast<const std::byte*>(zmq_msg_data(&message)));
      zmq_msg_close(&message);
      return true;
    }

   private:
    void* context_;
    void* socket_;
  };

 private:
  std::string address(const Link& link) const {
    return std::string("ipc://").append(plan_.scratch).append("/").append(plan_.unique_name(link));
  }

  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::ZeroMq>(rivals::parse_plan(argc, argv));
}
