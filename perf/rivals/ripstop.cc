// Ripstop itself, through its public headers: RIVAL is RipstopChannel or RipstopTopic. perf/compare
// starts a ripstopd whose classes hold the payloads; --server names its socket.
//
// The channel is one to one: a fan-out has a channel per receiver, a fan-in one per sender, polled in
// turn by one agent. The topic is one publication for all its subscribers. Its round trip of 64 bytes is
// a Cap'n Proto message of as many words, built and read in place; everything else is plain bytes.
#include <ripstop/agent.h>
#include <ripstop/capnp.h>

#include <unistd.h>

#include <optional>

#include "harness.h"
#include "words.capnp.h"

namespace rivals {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{100};

template <class T>
T need(ripstop::Result<T> result) {
  if (!result) fail(ripstop::to_string(result.error()));
  return std::move(*result);
}

ripstop::Agent& attach(const Plan& plan) {
  static std::optional<ripstop::Agent> agent;
  if (!agent) {
    ripstop::AgentOptions options;
    options.name = "perf-" + std::to_string(getpid());
    options.socket = plan.server;
    options.wait = plan.mode == Mode::Spin ? ripstop::Wait::Spin : ripstop::Wait::Sleep;
    agent.emplace(need(ripstop::Agent::attach(std::move(options))));
  }
  return *agent;
}

// A Cap'n Proto message of 64 bytes: a root pointer and seven words.
constexpr std::size_t kTypedBytes = 64;
constexpr std::size_t kTypedWords = 7;

void build(Words::Builder words, std::uint64_t sequence) {
  words.setFirst(sequence);
  words.setSecond(sequence + 1);
  words.setThird(sequence + 2);
  words.setFourth(sequence + 3);
  words.setFifth(sequence + 4);
  words.setSixth(sequence + 5);
  words.setSeventh(sequence + 6);
}
std::uint64_t sum(Words::Reader words) {
  return words.getFirst() + words.getSecond() + words.getThird() + words.getFourth() + words.getFifth() +
         words.getSixth() + words.getSeventh();
}

class RipstopTopic {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit RipstopTopic(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(RipstopTopic& rival, const Link& link, unsigned)
        : receiver_count_(link.receiver_count),
          publisher_(need(attach(rival.plan_).publisher(rival.topic(link)))) {
      if (rival.typed()) typed_.emplace(need(attach(rival.plan_).publisher<Words>(rival.topic(link))));
    }
    void connected() {
      while (publisher_.receiver_count() < receiver_count_) usleep(500);
    }
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      if (typed_) return send_typed(fill.sequence);
      for (;;) {
        auto loan = publisher_.loan(bytes);
        if (!loan) {  // All chunks of the class are under way.
          wait_a_moment();
          continue;
        }
        fill(loan->bytes().data());
        if (!loan->send()) fail("a send did not reach every receiver");
        return;
      }
    }
    void flush() {}

   private:
    void send_typed(std::uint64_t sequence) {
      for (;;) {
        auto loan = typed_->loan();
        if (!loan) {  // As above.
          wait_a_moment();
          continue;
        }
        build(loan->root(), sequence);
        if (!loan->send()) fail("a send did not reach every receiver");
        return;
      }
    }

    unsigned receiver_count_;
    ripstop::Publisher<ripstop::Bytes> publisher_;
    std::optional<ripstop::Publisher<Words>> typed_;
  };

  class Receiver {
   public:
    Receiver(RipstopTopic& rival, const Link& link, unsigned)
        : sleeps_(rival.plan_.mode == Mode::Sleep),
          typed_(rival.typed()),
          subscriber_(need(attach(rival.plan_).subscriber(rival.topic(link)))) {}
    template <class Consume>
    bool receive(Consume&& consume) {
      auto message = sleeps_ ? subscriber_.take(kPatience) : subscriber_.take();
      if (!message) {
        if (message.outcome() != ripstop::TakeOutcome::Empty)
          fail(ripstop::to_string(message.outcome()));
        return false;
      }
      if (typed_) {
        ripstop::Message<Words> typed(std::move(*message));
        const Words::Reader words = typed.root();
        consume.words(words.getFirst(), sum(words), kTypedWords);
      } else {
        consume(message->bytes().data());
      }
      return true;
    }

   private:
    bool sleeps_;
    bool typed_;
    ripstop::Subscriber<ripstop::Bytes> subscriber_;
  };

 private:
  bool typed() const { return plan_.scenario == Scenario::Roundtrip && plan_.payload_bytes == kTypedBytes; }
  std::string topic(const Link& link) const { return "perf." + plan_.unique_name(link); }

  const Plan plan_;
};

class RipstopChannel {
 public:
  static std::string cannot(const Plan& plan) {
    if (plan.scenario == Scenario::Fanin && plan.mode == Mode::Sleep)
      return "a channel sleeps on one sender alone";
    return "";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit RipstopChannel(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(RipstopChannel& rival, const Link& link, unsigned sender_index) {
      for (unsigned i = 0; i < link.receiver_count; ++i) {
        channels_.push_back(
            need(attach(rival.plan_)
                     .channel_sender(rival.name(link, sender_index + i), rival.options())));
      }
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      for (auto& channel : channels_) {
        std::span<std::byte> slot = channel.slot();
        for (; slot.empty(); slot = channel.slot()) wait_a_moment();
        fill(slot.data());
        if (channel.send(bytes) != ripstop::ChannelOutcome::Ok)
          fail("a send into the slot in hand failed");
      }
    }
    void flush() {}

   private:
    std::vector<ripstop::Channel<ripstop::Bytes>::Sender> channels_;
  };

  class Receiver {
   public:
    Receiver(RipstopChannel& rival, const Link& link, unsigned receiver_index)
        : sleeps_(rival.plan_.mode == Mode::Sleep) {
      for (unsigned i = 0; i < link.sender_count; ++i) {
        channels_.push_back(
            need(attach(rival.plan_)
                     .channel_receiver(rival.name(link, receiver_index + i), rival.options())));
      }
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      for (std::size_t i = 0; i < channels_.size(); ++i) {
        auto& channel = channels_[next_];
        next_ = next_ + 1 == channels_.size() ? 0 : next_ + 1;
        std::span<const std::byte> payload;
        const ripstop::TakeOutcome outcome =
            sleeps_ ? channel.take(payload, kPatience) : channel.take(payload);
        if (outcome == ripstop::TakeOutcome::Empty) continue;
        if (outcome != ripstop::TakeOutcome::Ok) fail(ripstop::to_string(outcome));
        consume(payload.data());
        channel.release();
        return true;
      }
      return false;
    }

   private:
    bool sleeps_;
    std::vector<ripstop::Channel<ripstop::Bytes>::Receiver> channels_;
    std::size_t next_ = 0;
  };

 private:
  std::string name(const Link& link, unsigned index) const {
    return plan_.unique_name(link) + "-" + std::to_string(index);
  }
  ripstop::ChannelOptions options() const {
    ripstop::ChannelOptions options;
    options.payload_bytes = static_cast<std::uint32_t>(plan_.payload_bytes);
    options.slot_count = static_cast<std::uint32_t>(plan_.queue_length());
    return options;
  }

  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::RIVAL>(rivals::parse_plan(argc, argv));
}
