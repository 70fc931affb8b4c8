// Redis publish/subscribe through hiredis on the server's Unix socket. A publisher has up to 16
// PUBLISH commands under way; the harness keeps it within a window, since Redis cuts off subscribers
// that are far behind. Every message crosses the server: there are three processes, not two.
#include <hiredis/hiredis.h>
#include <poll.h>

#include "harness.h"

namespace rivals {
namespace {

redisContext* connect_to(const std::string& server) {
  redisContext* context = redisConnectUnix(server.c_str());
  if (context == nullptr || context->err != 0)
    fail(context == nullptr ? "redisConnectUnix" : context->errstr);
  return context;
}

class Redis {
 public:
  static std::string cannot(const Plan& plan) {
    if (plan.mode == Mode::Spin) return "its server needs the core that would spin";
    if (plan.placement == Placement::OneCore) return "its server is a third process";
    return "";
  }
  static std::size_t window(const Plan& plan) {
    return std::min<std::size_t>(plan.queue_length(), 256);
  }

  explicit Redis(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(Redis& rival, const Link& link, unsigned)
        : context_(connect_to(rival.plan_.server)),
          channel_(rival.plan_.unique_name(link)),
          payload_(rival.plan_.payload_bytes) {}
    void connected() {}

    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      fill(payload_.data());
      const char* words[] = {"PUBLISH", channel_.c_str(),
                             reinterpret_cast<const char*>(payload_.data())};
      const std::size_t lengths[] = {7, channel_.size(), bytes};
      if (redisAppendCommandArgv(context_, 3, words, lengths) != REDIS_OK) fail(context_->errstr);
      if (++pending_count_ >= 16) flush();
    }

    void flush() {
      for (; pending_count_ > 0; --pending_count_) {
        void* reply = nullptr;
        if (redisGetReply(context_, &reply) != REDIS_OK) fail(context_->errstr);
        freeReplyObject(reply);
      }
    }

   private:
    redisContext* context_;
    std::string channel_;
    std::vector<std::byte> payload_;
    unsigned pending_count_ = 0;
  };

  class Receiver {
   public:
    Receiver(Redis& rival, const Link& link, unsigned) : context_(connect_to(rival.plan_.server)) {
      void* reply = redisCommand(context_, "SUBSCRIBE %s", rival.plan_.unique_name(link).c_str());
      if (reply == nullptr) fail(context_->errstr);
      freeReplyObject(reply);
    }

    template <class Consume>
    bool receive(Consume&& consume) {
      void* got = nullptr;
      if (redisGetReplyFromReader(context_, &got) != REDIS_OK) fail(context_->errstr);
      if (got == nullptr) {
        pollfd readable{context_->fd, POLLIN, 0};
        if (poll(&readable, 1, 100) <= 0) return false;
        if (redisBufferRead(context_) != REDIS_OK) fail(context_->errstr);
        if (redisGetReplyFromReader(context_, &got) != REDIS_OK) fail(context_->errstr);
        if (got == nullptr) return false;
      }
      const auto* reply = static_cast<const redisReply*>(got);
      if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) fail("no message from redis");
      consume(reinterpret_cast<const std::byte*>(reply->element[2]->str));
      freeReplyObject(got);
      return true;
    }

   private:
    redisContext* context_;
  };

 private:
  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::Redis>(rivals::parse_plan(argc, argv));
}
