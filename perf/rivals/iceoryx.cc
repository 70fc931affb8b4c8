// Eclipse iceoryx 2.0 with its RouDi: untyped publisher and subscriber, payload built and read in its
// shared memory, full queues block the publisher. Spinning polls the subscriber, sleeping waits in a
// WaitSet. RouDi is not on the way of a message.
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include <unistd.h>

#include <memory>

#include "harness.h"

namespace rivals {
namespace {

// Once per process: it says who we are to RouDi.
void join_roudi() {
  static bool joined = false;
  if (joined) return;
  joined = true;
  const std::string name = "ripstop-perf-" + std::to_string(getpid());
  iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
}

iox::capro::ServiceDescription service_of(const Plan& plan, const Link& link) {
  return {"perf", "rivals",
          iox::capro::IdString_t(iox::cxx::TruncateToCapacity, plan.unique_name(link))};
}

class Iceoryx {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit Iceoryx(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(Iceoryx& rival, const Link& link, unsigned) {
      join_roudi();
      iox::popo::PublisherOptions options;
      options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      publisher_ =
          std::make_unique<iox::popo::UntypedPublisher>(service_of(rival.plan_, link), options);
    }
    void connected() {
      while (!publisher_->hasSubscribers()) usleep(500);
    }

    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      for (bool sent = false; !sent;) {
        publisher_->loan(static_cast<std::uint32_t>(bytes))
            .and_then([&](void* chunk) {
              fill(static_cast<std::byte*>(chunk));
              publisher_->publish(chunk);
              sent = true;
            })
            .or_else([](auto&) { wait_a_moment(); });
      }
    }
    void flush() {}

   private:
    std::unique_ptr<iox::popo::UntypedPublisher> publisher_;
  };

  class Receiver {
   public:
    Receiver(Iceoryx& rival, const Link& link, unsigned)
        : sleeps_(rival.plan_.mode == Mode::Sleep) {
      join_roudi();
      iox::popo::SubscriberOptions options;
      options.queueCapacity = std::min<std::size_t>(rival.plan_.queue_length(), 256);
      options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      subscriber_ =
          std::make_unique<iox::popo::UntypedSubscriber>(service_of(rival.plan_, link), options);
      if (sleeps_) {
        wait_set_ = std::make_unique<iox::popo::WaitSet<>>();
        wait_set_->attachState(*subscriber_, iox::popo::SubscriberState::HAS_DATA)
            .or_else([](auto&) { fail("attachState"); });
      }
    }

    void connected() {
      while (subscriber_->getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) usleep(500);
    }

    template <class Consume>
    bool receive(Consume&& consume) {
      if (take(consume)) return true;
      if (!sleeps_) return false;
      (void)wait_set_->timedWait(iox::units::Duration::fromMilliseconds(100));
      return take(consume);
    }

   private:
    template <class Consume>
    bool take(Consume& consume) {
      bool taken = false;
      subscriber_->take().and_then([&](const void* chunk) {
        consume(static_cast<const std::byte*>(chunk));
        subscriber_->release(chunk);
        taken = true;
      });
      return taken;
    }

    bool sleeps_;
    std::unique_ptr<iox::popo::UntypedSubscriber> subscriber_;
    std::unique_ptr<iox::popo::WaitSet<>> wait_set_;
  };

 private:
  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::Iceoryx>(rivals::parse_plan(argc, argv));
}
