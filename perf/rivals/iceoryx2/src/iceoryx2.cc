// iceoryx2 without a daemon: publish/subscribe on slices of words, built and read in its shared
// memory; a full queue blocks the publisher. Spinning polls the subscriber; sleeping waits for an
// event of its event service, which the publisher notifies for every message.
#include <unistd.h>

#include "harness.h"

// What main.rs gives us. A handle is never null; these functions end the process when they fail.
extern "C" {
struct Iox2Options {
  const char* name;
  const char* scratch;
  std::size_t payload_bytes;
  std::size_t queue_length;
  std::size_t sender_count;
  std::size_t receiver_count;
  bool sleeps;
};
void* iox2_sender_open(const Iox2Options* options);
std::size_t iox2_sender_receiver_count(void* sender);
std::byte* iox2_sender_loan(void* sender);  // Null: all chunks are under way.
void iox2_sender_send(void* sender);        // Sends the last loan.
void iox2_sender_close(void* sender);
void* iox2_receiver_open(const Iox2Options* options);
const std::byte* iox2_receiver_take(void* receiver);  // Null: there is none.
void iox2_receiver_release(void* receiver);           // Gives back the last one taken.
void iox2_receiver_wait(void* receiver);              // For an event, up to 100 ms.
void iox2_receiver_close(void* receiver);
void iox2_failed(const char* what) {
  rivals::fail(what);
}
int iox2_run(int argc, char** argv);
}

namespace rivals {
namespace {

class Iceoryx2 {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit Iceoryx2(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(Iceoryx2& rival, const Link& link, unsigned) : receiver_count_(link.receiver_count) {
      const std::string name = rival.plan_.unique_name(link);
      const Iox2Options options = rival.options(link, name);
      sender_ = iox2_sender_open(&options);
    }
    ~Sender() { iox2_sender_close(sender_); }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;
    void connected() {
      while (iox2_sender_receiver_count(sender_) < receiver_count_) usleep(500);
    }
    template <class Fill>
    void send(std::size_t, Fill&& fill) {
      std::byte* chunk = iox2_sender_loan(sender_);
      for (; chunk == nullptr; chunk = iox2_sender_loan(sender_)) wait_a_moment();
      fill(chunk);
      iox2_sender_send(sender_);
    }
    void flush() {}

   private:
    unsigned receiver_count_;
    void* sender_ = nullptr;
  };

  class Receiver {
   public:
    Receiver(Iceoryx2& rival, const Link& link, unsigned)
        : sleeps_(rival.plan_.mode == Mode::Sleep) {
      const std::string name = rival.plan_.unique_name(link);
      const Iox2Options options = rival.options(link, name);
      receiver_ = iox2_receiver_open(&options);
    }
    ~Receiver() { iox2_receiver_close(receiver_); }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    template <class Consume>
    bool receive(Consume&& consume) {
      const std::byte* chunk = iox2_receiver_take(receiver_);
      if (chunk == nullptr) {
        if (!sleeps_) return false;
        iox2_receiver_wait(receiver_);
        chunk = iox2_receiver_take(receiver_);
        if (chunk == nullptr) return false;
      }
      consume(chunk);
      iox2_receiver_release(receiver_);
      return true;
    }

   private:
    bool sleeps_;
    void* receiver_ = nullptr;
  };

 private:
  Iox2Options options(const Link& link, const std::string& name) const {
    return {.name = name.c_str(),
            .scratch = plan_.scratch.c_str(),
            .payload_bytes = plan_.payload_bytes,
            .queue_length = std::min<std::size_t>(plan_.queue_length(), 256),
            .sender_count = link.sender_count,
            .receiver_count = link.receiver_count,
            .sleeps = plan_.mode == Mode::Sleep};
  }

  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int iox2_run(int argc, char** argv) {
  return rivals::run<rivals::Iceoryx2>(rivals::parse_plan(argc, argv));
}
