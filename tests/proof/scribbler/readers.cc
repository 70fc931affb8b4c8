#include "scribbler/readers.h"

#include <cstring>
#include <vector>

#include "agent/inspect_core.h"
#include "base/check.h"
#include "base/clock.h"
#include "control/overdue.h"
#include "control/sleepers.h"
#include "proof/states.h"
#include "scribbler/steps.h"

namespace ripstop::proof {

namespace {

constexpr uint32_t kSends = 3;
constexpr uint64_t kReborn = 8;

class Readers {
 public:
  Readers(Ground& ground, uint64_t index, Calls& calls, Outcomes& outcomes)
      : ground_(ground), index_(index), calls_(calls), outcomes_(outcomes) {}

  void look();
  void supervise();
  void receive();
  void publish();
  void use_channel();
  void recover();

 private:
  template <class Body>
  void call(Call which, Body body) {
    step_count = 0;
    const uint64_t begin_ns = base::monotonic_ns();
    body();
    const uint64_t ns = base::monotonic_ns() - begin_ns;
    CallFigures& figures = calls_[static_cast<std::size_t>(which)];
    if (step_count > figures.steps_max) figures = {step_count, index_, ns};
    else if (step_count == figures.steps_max && figures.worst == index_ && ns < figures.ns) figures.ns = ns;
  }
  void take_all(std::size_t member);

  Ground& ground_;
  uint64_t index_;
  Calls& calls_;
  Outcomes& outcomes_;
};

void Readers::look() {
  const std::span<const std::byte> nodes[] = {ground_.node()};
  auto core = detail::InspectCore::create(ground_.control(), nodes, {"supervisor", "", nullptr, {}});
  RIPSTOP_CHECK(core.has_value());
  const Inspector inspector(*core);
  call(Call::Look, [&] { (void)inspector.nodes(); });
  call(Call::Look, [&] { (void)inspector.rings(); });
  call(Call::Look, [&] { (void)inspector.letters(); });
  call(Call::Look, [&] { (void)inspector.topics(); });
  call(Call::Look, [&] { (void)detail::view_fabric(**core); });
  for (uint32_t id = 1; id < (*core)->agent_count(); ++id) {
    const auto facts = (*core)->agent(id);
    if (!facts) continue;
    AgentView view;
    call(Call::Look, [&] { detail::view_lanes(**core, *facts, *(*core)->map().block(id), view); });
    call(Call::Look, [&] { (void)detail::view_publishers(**core, *facts); });
  }
  // Of what is looked at by name, a part each time.
  constexpr const char* kRings[] = {"victim/normal", "other/critical", "receiver1/normal", "receiver0/direct", "1", "2", "7", "proof.channel"};
  call(Call::Look, [&] { (void)inspector.ring(kRings[index_ / 3 % std::size(kRings)]); });
  const std::string chunk = "0/" + std::to_string(index_ / 3 % 10) + "/" + std::to_string(index_ / 30 % 8);
  call(Call::Look, [&] { (void)inspector.chunk(chunk); });
}

void Readers::supervise() {
  const control::FabricMap& map = ground_.world().map();
  control::Sleepers sleepers(map);
  for (int look = 0; look < 2; ++look) {
    call(Call::Sleepers, [&] {
      (void)sleepers.ring();
      (void)sleepers.is_anyone_sending();
      (void)sleepers.push_count();
    });
  }
  control::Overdue overdue(map);
  call(Call::Overdue, [&] { (void)overdue.find(1, 10); });
  call(Call::Overdue, [&] { (void)overdue.find(100, 10); });
}

void Readers::take_all(std::size_t member) {
  std::vector<Message> kept;
  const layout::AgentCounters& counters = ground_.receiver(member).core->block().counters;
  call(Call::Take, [&] {
    ground_.take_all(
        member,
        [&](Message& message) {
          ++outcomes_.taken;
          (void)message.info();
          (void)message.topic();
          uint64_t sum = 0;  // Every byte that it hands out is there.
          for (const auto& segment : message.segments()) {
            for (const std::byte byte : segment) sum += static_cast<uint64_t>(byte);
          }
          outcomes_.corrupt += message.corrupt() ? 1 : 0;
          if (sum % 3 == 0) kept.push_back(std::move(message));
        },
        [&] {
          ++outcomes_.corrupt;
          outcomes_.named += counters.corrupt_source.load() != 0 ? 1 : 0;
        },
        [&] { kept.clear(); });
  });
}

void Readers::receive() {
  World& world = ground_.world();
  for (std::size_t i = 2; i < world.members().size(); ++i) {
    if ((i + index_) % 3 == 0) take_all(i);
  }
}

void Readers::publish() {
  std::shared_ptr<detail::AgentCore> core = ground_.reborn(index_ % 2);
  auto publisher = core->open_publisher(kTopic, {});
  if (!publisher) return;
  SendOptions options;
  options.timeout = std::chrono::nanoseconds(0);
  for (uint32_t i = 0; i < kSends; ++i) {
    call(Call::Send, [&] {
      auto loan = (*publisher)->loan_bytes(sizeof(Payload));
      if (!loan) return;
      std::memset(loan->bytes().data(), 1, loan->bytes().size());
      if (i != 1) (void)loan->send(options);  // The second is given back unsent.
    });
  }
  call(Call::Send, [&] { publisher->reset(); });
  call(Call::Send, [&] { (void)core->detach(); });
}

void Readers::use_channel() {
  World& world = ground_.world();
  if (victim(world).channel == nullptr) return;
  for (const bool sends : {true, false}) {
    std::shared_ptr<detail::AgentCore> core = ground_.reborn(sends ? 0 : 2);
    for (uint32_t ring_id = 1; ring_id < ground_.world().segments().superblock().ring_high.load(); ++ring_id) {
      const auto place = core->map().channel(ring_id);
      if (!place) continue;
      call(Call::Channel, [&] {
        detail::ChannelCore channel(core, ring_id, *place, sends);
        for (int i = 0; i < 3; ++i) {
          std::span<const std::byte> payload;
          if (sends) {
            (void)channel.send(8, 1);
          } else if (channel.take(payload) == TakeOutcome::Ok) {
            for (const std::byte byte : payload) outcomes_.taken += byte == std::byte{255} ? 1 : 0;
            channel.release();
          }
        }
      });
    }
    (void)core->detach();
  }
}

// As a day in a supervisor's life: an agent dies, another of its name comes, one detaches; in every fourth run
// it was killed before and is killed after, and dead letters are dealt with.
void Readers::recover() {
  World& world = ground_.world();
  const bool is_long = index_ / 6 % 4 == 0;
  call(Call::TakeOver, [&] { world.take_over(); });
  supervisor::Registry& registry = world.registry();
  const auto& members = world.members();
  const std::size_t first = index_ / 3 % members.size();
  call(Call::SettleDeath, [&] { registry.settle(members[first].place.id, true); });
  supervisor::AgentIdentity identity;
  identity.name = members[first].name;
  uint32_t heir = 0;
  std::optional<uint32_t> own_ring;
  call(Call::Attach, [&] {
    if (auto place = registry.attach(identity, 0)) heir = place->id;
    control::SubscribeRequest request;
    request.topic = kTopic;
    if (heir == 0) return;
    (void)registry.subscribe(heir, request);
    request.own_ring = true;
    request.slot_count = 4;
    if (auto subscribed = registry.subscribe(heir, request)) own_ring = subscribed->subscription_id;
  });
  if (own_ring) call(Call::Unsubscribe, [&] { (void)registry.unsubscribe(heir, *own_ring); });
  call(Call::Detach, [&] { registry.settle(members[(first + 1) % members.size()].place.id, false); });
  if (!is_long) return;
  call(Call::Letters, [&] { (void)registry.replay_letters(0); });
  for (std::size_t i = 2; i < members.size(); ++i) {
    call(Call::SettleDeath, [&] { registry.settle(members[(first + i) % members.size()].place.id, true); });
  }
  call(Call::TakeOver, [&] { world.take_over(); });
  call(Call::Letters, [&] { world.registry().expire_letters(~uint64_t{0}); });
  call(Call::Letters, [&] { (void)world.registry().replay_letters(0); });
  call(Call::Letters, [&] { (void)world.registry().drop_letters(0); });
  if (heir != 0) call(Call::SettleDeath, [&] { world.registry().settle(heir, true); });
}

}  // namespace

const char* name_of(Call call) {
  constexpr const char* kNames[] = {"look", "sleepers", "overdue", "take-over", "death", "detach",
                                    "attach", "unsubscribe", "letters", "take", "send", "channel"};
  static_assert(std::size(kNames) == kCallCount);
  return kNames[static_cast<std::size_t>(call)];
}

bool is_privileged(Call call) { return call < Call::Take; }

void run_readers(Ground& ground, uint64_t index, Calls& calls, Outcomes& outcomes) {
  Readers readers(ground, index, calls, outcomes);
  the_world = &ground.world();
  // A library that is made anew costs as much as all others together.
  const bool is_reborn = index / 6 % kReborn == 0;
  const auto agents = [&] {
    readers.receive();
    if (!is_reborn) return;
    readers.publish();
    readers.use_channel();
  };
  // Each of them meets the damage first in its turn: some mend it as they go.
  switch (index % 3) {
    case 0:
      readers.look();
      readers.supervise();
      agents();
      readers.recover();
      break;
    case 1:
      readers.recover();
      readers.look();
      agents();
      break;
    default:
      agents();
      readers.supervise();
      readers.recover();
      readers.look();
      break;
  }
}

}  // namespace ripstop::proof
