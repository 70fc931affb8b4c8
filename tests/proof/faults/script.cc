#include "proof/faults/script.h"

#include <chrono>
#include <cstdio>
#include <new>
#include <sstream>
#include <vector>

#include "ripstop/agent.h"

namespace ripstop::faults {

using namespace std::chrono_literals;

namespace {

void say(const char* step, const Error& error) {
  std::printf("%s: %s | %s | %s | %s\n", step, error_code_text(error.code).c_str(), error.what.c_str(), error.why.c_str(), error.fix.c_str());
  std::fflush(stdout);
}

void say_outcome(const char* step, std::string_view outcome) {
  std::printf("%s: outcome %.*s\n", step, static_cast<int>(outcome.size()), outcome.data());
  std::fflush(stdout);
}

template <class T>
bool went(const char* step, const Result<T>& result) {
  if (result) return true;
  say(step, result.error());
  return false;
}

void exchange(Publisher<Bytes>& publisher, Subscriber<Bytes>& subscriber, Subscriber<Bytes>* ring) {
  SendOptions options;
  options.timeout = 1s;
  for (int i = 0; i < 3; ++i) {
    auto sent = publisher.send_copy("number", options);
    if (!went("send", sent)) continue;
    if (!*sent) say_outcome("send", to_string(sent->outcome));
    auto message = subscriber.take(1s);
    if (!message) say_outcome("take", to_string(message.outcome()));
    else if (message->text() != "number") say_outcome("take", "WRONG BYTES");
    if (ring != nullptr) (void)ring->take();
  }
  auto loans = publisher.loan_batch(2, 32);
  if (went("loan_batch", loans)) {
    for (const Sent& sent : publisher.send_batch(*loans, options)) {
      if (!sent) say_outcome("send_batch", to_string(sent.outcome));
    }
  }
  std::vector<Message<Bytes>> messages;
  (void)subscriber.take_batch(messages, 2);
  messages.clear();
  if (ring != nullptr) (void)ring->take_batch(messages, 2);
}

void use_channel(Agent& agent, const std::string& name) {
  auto sender = agent.channel_sender(name);
  if (!went("channel_sender", sender)) return;
  auto receiver = agent.channel_receiver(name);
  if (!went("channel_receiver", receiver)) return;
  const char text[] = "through the channel";
  if (sender->send_copy(std::as_bytes(std::span(text))) != ChannelOutcome::Ok) say_outcome("channel send", "not sent");
  std::span<const std::byte> payload;
  if (receiver->take(payload, 1s) != TakeOutcome::Ok) say_outcome("channel take", "not taken");
  receiver->release();
}

}  // namespace

namespace {

int live_once(const std::string& name) {
  AgentOptions options;
  options.name = name;
  options.timeout = 2s;
  options.wait = Wait::Sleep;
  auto agent = Agent::attach(options);
  if (!went("attach", agent)) return 0;
  {
    auto subscriber = agent->subscriber("f1." + name);
    auto ring = agent->subscriber("f1." + name, {.overflow = Overflow::DropOldest});
    auto publisher = agent->publisher("f1." + name);
    went("subscriber", subscriber);
    went("subscriber with a ring", ring);
    if (went("publisher", publisher) && subscriber) exchange(*publisher, *subscriber, ring ? &*ring : nullptr);
    if (subscriber) (void)subscriber->take(1ms);  // Nothing comes: it sleeps.
    went("fd", agent->fd());
    agent->clear_fd();
    if (publisher && subscriber) exchange(*publisher, *subscriber, nullptr);
    use_channel(*agent, name);
  }
  went("detach", agent->detach());
  return 0;
}

}  // namespace

int run_agent(const std::string& name) {
  try {
    return live_once(name);
  } catch (const std::bad_alloc&) {
    // The script's own: the library throws nothing.
    return 0;
  }
}

std::string untyped(const std::string& lines) {
  std::istringstream in(lines);
  std::string found;
  for (std::string line; std::getline(in, line);) {
    if (line.find("outcome ") != std::string::npos) {
      if (line.find("WRONG") != std::string::npos) found += line + "; ";
      continue;
    }
    // step: code | what | why | fix
    std::vector<std::string> parts;
    for (std::size_t at = 0; at != std::string::npos;) {
      const std::size_t end = line.find(" | ", at);
      parts.push_back(line.substr(at, end == std::string::npos ? end : end - at));
      at = end == std::string::npos ? end : end + 3;
    }
    const bool typed = parts.size() == 4 && parts[0].find("RS-") != std::string::npos && !parts[1].empty() && !parts[2].empty() && !parts[3].empty();
    if (!typed) found += line + "; ";
  }
  return found;
}

}  // namespace ripstop::faults
