// A Unix socket, SOCK_STREAM, with a length in front of every message. A pair of sockets per pair of
// processes: a fan-out writes to each, a fan-in polls all.
#include <fcntl.h>
#include <sys/socket.h>

#include "framed_stream.h"
#include "harness.h"

namespace rivals {
namespace {

class Uds {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit Uds(const Plan& plan) : plan_(plan) {
    for (const Link& link : plan.links()) {
      const unsigned pair_count = std::max(link.sender_count, link.receiver_count);
      for (unsigned i = 0; i < pair_count; ++i) pairs_.push_back(open_pair(pair_count > 1));
    }
  }

  class Sender {
   public:
    Sender(Uds& rival, const Link& link, unsigned sender_index) {
      for (unsigned i = 0; i < link.receiver_count; ++i)
        writers_.emplace_back(rival.pair(link, sender_index, i).in);
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      for (FrameWriter& writer : writers_) writer.send(bytes, fill);
    }
    void flush() {}

   private:
    std::vector<FrameWriter> writers_;
  };

  class Receiver {
   public:
    Receiver(Uds& rival, const Link& link, unsigned receiver_index) : mode_(rival.plan_.mode) {
      for (unsigned i = 0; i < link.sender_count; ++i) {
        readers_.add(rival.pair(link, i, receiver_index).out, rival.plan_.payload_bytes);
      }
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      return readers_.receive(mode_, consume);
    }

   private:
    Mode mode_;
    FrameReaders readers_;
  };

 private:
  struct Pair {
    int in;
    int out;
  };

  // Non-blocking ends where they spin, and for the one reader of several streams.
  Pair open_pair(bool several) const {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail_errno("socketpair");
    if (plan_.mode == Mode::Spin) fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (plan_.mode == Mode::Spin || several) fcntl(ends[1], F_SETFL, O_NONBLOCK);
    return {ends[0], ends[1]};
  }

  const Pair& pair(const Link& link, unsigned sender_index, unsigned receiver_index) const {
    return pairs_[link.index + std::max(sender_index, receiver_index)];
  }

  const Plan plan_;
  std::vector<Pair> pairs_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::Uds>(rivals::parse_plan(argc, argv));
}
