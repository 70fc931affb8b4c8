// NNG over ipc://. push0/pull0 for one to one and for a fan-in; pub0/sub0 for a fan-out, which drops
// what a subscriber has no room for, so the harness keeps the publisher within the queues. Its own
// threads run on its process's core: it runs sleeping only.
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include <unistd.h>

#include "harness.h"

namespace rivals {
namespace {

constexpr int kQueueLength = 1024;

void check(int status) {
  if (status != 0) fail(nng_strerror(status));
}

// Sleeps until the other ends are there.
void dial(nng_socket socket, const std::string& address) {
  nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, 1);
  nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, 10);
  check(nng_dial(socket, address.c_str(), nullptr, NNG_FLAG_NONBLOCK));
}

class Nng {
 public:
  static std::string cannot(const Plan& plan) {
    return plan.mode == Mode::Spin ? "its threads need the core that would spin" : "";
  }
  static std::size_t window(const Plan& plan) {
    return plan.scenario == Scenario::Fanout
               ? std::min<std::size_t>(plan.queue_length(), kQueueLength / 2)
               : 0;
  }

  explicit Nng(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(Nng& rival, const Link& link, unsigned) : receiver_count_(link.receiver_count) {
      const std::string address = rival.address(link);
      check(receiver_count_ > 1 ? nng_pub0_open(&socket_) : nng_push0_open(&socket_));
      check(nng_pipe_notify(socket_, NNG_PIPE_EV_ADD_POST, &note_pipe, &pipe_count_));
      check(nng_socket_set_int(socket_, NNG_OPT_SENDBUF, kQueueLength));
      if (receiver_count_ > 1) {
        check(nng_listen(socket_, address.c_str(), nullptr, 0));
      } else {
        dial(socket_, address);
      }
    }

    void connected() {
      while (pipe_count_.load() < receiver_count_) usleep(500);
    }

    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      nng_msg* message = nullptr;
      check(nng_msg_alloc(&message, bytes));
      fill(static_cast<std::byte*>(nng_msg_body(message)));
      check(nng_sendmsg(socket_, message, 0));
    }
    void flush() {}

   private:
    static void note_pipe(nng_pipe, nng_pipe_ev, void* count) {
      ++*static_cast<std::atomic<unsigned>*>(count);
    }

    unsigned receiver_count_;
    std::atomic<unsigned> pipe_count_ = 0;
    nng_socket socket_ = NNG_SOCKET_INITIALIZER;
  };

  class Receiver {
   public:
    Receiver(Nng& rival, const Link& link, unsigned) {
      const std::string address = rival.address(link);
      const bool subscribes = link.receiver_count > 1;
      check(subscribes ? nng_sub0_open(&socket_) : nng_pull0_open(&socket_));
      check(nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0));
      check(nng_socket_set_ms(socket_, NNG_OPT_RECVTIMEO, 100));
      if (subscribes) {
        check(nng_socket_set_int(socket_, NNG_OPT_RECVBUF, kQueueLength));
        check(nng_socket_set(socket_, NNG_OPT_SUB_SUBSCRIBE, "", 0));
        dial(socket_, address);
      } else {
        check(nng_listen(socket_, address.c_str(), nullptr, 0));
      }
    }

    template <class Consume>
    bool receive(Consume&& consume) {
      nng_msg* message = nullptr;
      const int status = nng_recvmsg(socket_, &message, 0);
      if (status == NNG_ETIMEDOUT) return false;
      check(status);
      consume(static_cast<const std::byte*>(nng_msg_body(message)));
      nng_msg_free(message);
      return true;
    }

   private:
    nng_socket socket_ = NNG_SOCKET_INITIALIZER;
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
  return rivals::run<rivals::Nng>(rivals::parse_plan(argc, argv));
}
