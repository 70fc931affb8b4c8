// A pipe with a length in front of every message. A fan-out has a pipe per receiver, a fan-in one
// pipe that all write to, which the kernel keeps whole up to PIPE_BUF bytes.
#include <fcntl.h>

#include <climits>

#include "framed_stream.h"
#include "harness.h"

namespace rivals {
namespace {

constexpr int kPipeBytes = 1 << 20;  // What an ordinary user may ask for.

class Pipe {
 public:
  static std::string cannot(const Plan& plan) {
    if (plan.scenario == Scenario::Fanin && plan.payload_bytes + sizeof(std::uint64_t) > PIPE_BUF) {
      return "messages of several writers above PIPE_BUF (4096) bytes would mix";
    }
    return "";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit Pipe(const Plan& plan) : plan_(plan) {
    for (const Link& link : plan.links()) {
      for (unsigned i = 0; i < link.receiver_count; ++i) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC | (plan.mode == Mode::Spin ? O_NONBLOCK : 0)) != 0)
          fail_errno("pipe2");
        (void)fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);  // Smaller is slower, not wrong.
        pipes_.push_back({ends[0], ends[1]});
      }
    }
  }

  class Sender {
   public:
    Sender(Pipe& rival, const Link& link, unsigned) {
      for (unsigned i = 0; i < link.receiver_count; ++i)
        writers_.emplace_back(rival.pipes_[link.index + i].in);
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
    Receiver(Pipe& rival, const Link& link, unsigned receiver_index)
        : reader_(rival.pipes_[link.index + receiver_index].out, rival.plan_.payload_bytes) {}
    template <class Consume>
    bool receive(Consume&& consume) {
      return reader_.receive(consume);
    }

   private:
    FrameReader reader_;
  };

 private:
  struct Ends {
    int out;
    int in;
  };

  const Plan plan_;
  std::vector<Ends> pipes_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::Pipe>(rivals::parse_plan(argc, argv));
}
