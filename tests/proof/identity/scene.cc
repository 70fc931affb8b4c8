#include "proof/identity/scene.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

namespace ripstop::identity {

using namespace std::chrono_literals;

namespace {

constexpr const char* kTopic = "d1.numbers";
constexpr int kFirstTalk = 10;
constexpr std::size_t kInHand = 3;

bool publish(Publisher<Bytes>& publisher, uint64_t number, int& reached) {
  SendOptions options;
  options.timeout = 2s;
  const auto sent = publisher.send_copy({reinterpret_cast<const char*>(&number), sizeof number}, options);
  reached = sent ? static_cast<int>(sent->receiver_count) : -1;
  return sent.has_value();
}

// Publishes 1, 2, 3 …
int talk_on(const Link& link) {
  auto agent = Agent::attach(options_of("talker"));
  if (!agent) return link.tell(outcome_of(agent)), 2;
  auto publisher = agent->publisher(kTopic);
  if (!publisher) return link.tell(outcome_of(publisher)), 2;
  link.tell("ready");
  uint64_t number = 0;
  while (const auto word = link.hear(60'000)) {
    if (*word == "end") break;
    int reached = 0;
    for (int i = std::stoi(*word); i > 0; --i) {
      if (!publish(*publisher, ++number, reached)) break;
    }
    link.tell(std::to_string(reached));
  }
  return 0;
}

// Takes them, and says what it took when it is asked how many there should be.
int witness_all(const Link& link) {
  auto agent = Agent::attach(options_of("witness"));
  if (!agent) return link.tell(outcome_of(agent)), 2;
  auto subscriber = agent->subscriber(kTopic);
  if (!subscriber) return link.tell(outcome_of(subscriber)), 2;
  link.tell("ready");
  uint64_t expected = 1;
  std::string wrong;
  uint64_t wanted = ~uint64_t{0};
  auto until = std::chrono::steady_clock::time_point::max();
  while (wrong.empty() && std::chrono::steady_clock::now() < until && (wanted == ~uint64_t{0} || expected <= wanted)) {
    if (const auto word = link.hear(0)) {
      if (*word == "end") return 0;
      wanted = std::stoull(*word);
      until = std::chrono::steady_clock::now() + 3s;
    }
    auto message = subscriber->take(5ms);
    if (!message) continue;
    uint64_t number = 0;
    std::memcpy(&number, message->bytes().data(), std::min(sizeof number, message->bytes().size()));
    if (number != expected) wrong = (number < expected ? "doubled: number " : "lost: number ") + std::to_string(number) + " came where " + std::to_string(expected) + " was due";
    expected = number + 1;
  }
  if (wrong.empty() && expected <= wanted) wrong = "lost: numbers from " + std::to_string(expected) + " to " + std::to_string(wanted) + " did not come in 3 s";
  if (wrong.empty() && subscriber->take(20ms)) wrong = "doubled: one more than was published";
  link.tell(wrong.empty() ? "all" : wrong);
  (void)link.hear(60'000);
  return 0;
}

}  // namespace

AgentOptions options_of(const std::string& name, int timeout_ms) {
  AgentOptions options;
  options.name = name;
  options.timeout = std::chrono::milliseconds(timeout_ms);
  options.wait = Wait::Sleep;
  return options;
}

std::string try_attach(const std::string& name) {
  Child child([&](const Link& link) {
    auto agent = Agent::attach(options_of(name));
    link.tell(outcome_of(agent));
    return 0;
  });
  const std::string words = child.link().hear().value_or("no answer");
  child.wait();
  return words;
}

std::unique_ptr<Held> hold(const std::string& name) {
  auto agent = Agent::attach(options_of(name));
  if (!agent) return nullptr;
  auto publisher = agent->publisher("d1.of." + name);
  auto subscriber = agent->subscriber(kTopic);
  if (!publisher || !subscriber) return nullptr;
  return std::unique_ptr<Held>(new Held{std::move(*agent), std::move(*publisher), std::move(*subscriber), {}, {}});
}

Scene::Scene(Findings& findings, const Act& act, std::vector<std::string> settings) : findings_(findings), fabric_(std::move(settings)) {
  if (!findings.expect(fabric_.start(), "the supervisor does not serve: " + fabric_.log())) return;
  witness_ = std::make_unique<Child>(witness_all);
  victim_ = std::make_unique<Child>([act](const Link& link) {
    auto held = hold();
    if (!held) return link.tell("the victim cannot attach"), 2;
    link.tell("ready");
    if (!link.hear()) return 2;  // There is mail.
    if (held->subscriber.take_batch(held->in_hand, kInHand) != kInHand) return link.tell("the victim has no mail"), 2;
    auto loan = held->publisher.loan(100);
    if (!loan) return link.tell("the victim gets no loan"), 2;
    held->loan.emplace(std::move(*loan));
    link.tell("full");
    if (!link.hear(60'000)) return 2;
    if (act) return act(link, *held);
    for (;;) pause();
  });
  talker_ = std::make_unique<Child>(talk_on);
  for (const auto* child : {witness_.get(), victim_.get(), talker_.get()}) {
    const std::string word = child->link().hear().value_or("nothing");
    if (!findings.expect(word == "ready", "a process of the scene does not get ready: " + word)) return;
  }
  if (!findings.expect(talk(kFirstTalk) == 2, "the first numbers do not reach both")) return;
  const std::string word = victim_->ask("mail");
  ready_ = findings.expect(word == "full", "the victim's hands do not fill: " + word);
}

int Scene::talk(int count) {
  const std::string reached = talker_->ask(std::to_string(count));
  published_ += count;
  return reached.empty() ? -1 : std::stoi(reached);
}

void Scene::expect_settled(int timeout_ms) {
  const bool gone = live::wait_until([] { return !live::is_attached("victim"); }, timeout_ms);
  findings_.expect(gone, "the victim is still in the registry after " + std::to_string(timeout_ms) + " ms", Fault::Blocked);
  const int reached = talk(5);
  findings_.expect(reached == 1, "a number reaches " + std::to_string(reached) + " receivers, one lives", reached < 0 ? Fault::Blocked : Fault::Wrong);
  const std::string again = try_attach("victim");
  findings_.expect(again == "ok", "the name is not free: " + again, Fault::Blocked);
}

void Scene::expect_alive() {
  findings_.expect(live::is_attached("victim"), "the victim lives and has lost its place");
  const int reached = talk(5);
  findings_.expect(reached == 2, "a number reaches " + std::to_string(reached) + " receivers, two live", reached < 0 ? Fault::Blocked : Fault::Wrong);
}

void Scene::finish_agents() {
  if (!ready_) return;
  const std::string words = witness_->ask(std::to_string(published_));
  const Fault fault = words.starts_with("doubled") ? Fault::Doubled : words.starts_with("lost") ? Fault::Lost : Fault::Blocked;
  findings_.expect(words == "all", words.empty() ? "the witness gives no answer" : words, fault);
  if (victim_->pid() > 0) victim_->kill();
  talker_->link().tell("end");
  witness_->link().tell("end");
  talker_->wait();
  witness_->wait();
}

void Scene::finish() {
  if (!ready_) return;
  finish_agents();
  live::expect_whole(findings_, kChunkCount);
  live::expect_clean_end(findings_, fabric_);
}

}  // namespace ripstop::identity
