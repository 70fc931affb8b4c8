// The supervisor does what the victim asked for, and is killed in it. The library asks again, with the same
// ticket, when it has found the next supervisor; what it asked for has been done once by then.
#include "base/check.h"
#include "control/pattern_view.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

constexpr uint32_t kTicket = 7;

void add(Scenarios& list, const std::string& operation, const std::string& state, const std::function<void(World&)>& prepare,
         const std::function<void(World&)>& request) {
  list.push_back({operation, state, {}, prepare, {}, 0, 0});
  list.back().request = request;
}

void one_receiver(World& world) {
  make_receivers(world, 1);
  fill(world, 2);
}

// With subscriptions of the victim's, and messages in them and in its hands.
std::function<void(World&)> busy_victim(const SubscriberOptions& options, const char* to = kTopic) {
  return [=](World& world) {
    make_receivers(world, 1);
    (void)world.subscribe(victim(world), options, to);
    fill(world, 3);
    world.keep(victim(world));
    RIPSTOP_CHECK(victim(world).take_loan());
  };
}

uint32_t count_in_route(World& world, const char* topic) {
  std::vector<layout::RouteReceiver> route;
  const control::ControlView& view = victim(world).core->view();
  RIPSTOP_CHECK(control::find_receivers(view, *view.find_topic(topic), route));
  uint32_t count = 0;
  for (const layout::RouteReceiver& receiver : route) count += receiver.agent == victim(world).place.id ? 1 : 0;
  return count;
}

// `to`: a topic, or a pattern that names it.
std::function<void(World&)> subscribe_to(const char* topic, const SubscriberOptions& options, const char* to = nullptr) {
  return [=](World& world) {
    control::SubscribeRequest request;
    request.topic = to == nullptr ? topic : to;
    request.overflow = static_cast<uint8_t>(options.overflow);
    request.own_ring = options.own_ring;
    request.slot_count = kCapacity;
    request.row = 1;
    request.ticket = kTicket;
    RIPSTOP_CHECK(world.registry().subscribe(victim(world).place.id, request).has_value());
    RIPSTOP_CHECK(count_in_route(world, topic) == 1);
  };
}

void end_subscription(World& world) {
  // A subscription that has ended is not found again.
  (void)world.registry().unsubscribe(victim(world).place.id, victim(world).subscriptions.front().core->subscription_id);
  RIPSTOP_CHECK(count_in_route(world, kTopic) == 0);
}

void attach_newcomer(World& world) {
  if (world.registry().find_agent("newcomer")) return;  // Its session finds it by the ticket.
  supervisor::AgentIdentity identity;
  identity.name = "newcomer";
  identity.pid = 1;
  identity.ticket = kTicket;
  RIPSTOP_CHECK(world.registry().attach(identity, 0).has_value());
}

void add_subscriptions(Scenarios& list) {
  const SubscriberOptions own{.own_ring = true};
  add(list, "subscribe", "to an inbox", one_receiver, subscribe_to(kTopic, {}));
  add(list, "subscribe", "with a new ring", one_receiver, subscribe_to(kTopic, own));
  add(list, "subscribe", "with a used ring",
      [=](World& world) {
        one_receiver(world);
        Member& last = world.attach("last");
        (void)world.subscribe(last, own);
        world.registry().settle(last.place.id, true);
        last.dead = true;
      },
      subscribe_to(kTopic, own));
  add(list, "subscribe", "to a new topic", one_receiver, subscribe_to("proof.new", {.overflow = Overflow::DropOldest}));
  for (const SubscriberOptions& options : {SubscriberOptions{}, own, SubscriberOptions{.overflow = Overflow::DropOldest}}) {
    const bool is_inbox = !options.own_ring && options.overflow == Overflow::Block;
    add(list, "unsubscribe", is_inbox ? "from an inbox" : options.own_ring ? "from a ring of its own" : "from a drop-oldest ring",
        busy_victim(options), end_subscription);
  }
}

// Others in the trie: below the same place, beside it, and all of them.
void subscribe_others(World& world) {
  make_receivers(world, 1);
  for (const char* to : {"proof.*", "proof.**", "*.topic"}) {
    (void)world.subscribe(world.attach("listener" + std::to_string(world.members().size())), {}, to);
  }
  for (const char* to : {"other.*.**", "third.*"}) {  // They receive nothing.
    control::SubscribeRequest request;
    request.topic = to;
    RIPSTOP_CHECK(world.registry().subscribe(victim(world).place.id, request).has_value());
  }
}

void add_patterns(Scenarios& list) {
  const SubscriberOptions own{.own_ring = true};
  add(list, "subscribe", "to a pattern, the first of all", one_receiver, subscribe_to(kTopic, {}, "proof.*"));
  add(list, "subscribe", "to a pattern, with a new ring", one_receiver, subscribe_to(kTopic, own, "*.**"));
  add(list, "subscribe", "to a pattern that others subscribe to", subscribe_others, subscribe_to(kTopic, {}, "proof.*"));
  add(list, "subscribe", "to a pattern among others", subscribe_others, subscribe_to(kTopic, {}, "proof.topic.**"));
  list[list.size() - 1].shape.agents = list[list.size() - 2].shape.agents = 7;
  add(list, "unsubscribe", "from a pattern, the last of all", busy_victim({}, "proof.*"), end_subscription);
  add(list, "unsubscribe", "from a pattern, with a ring of its own", busy_victim(own, "**"), end_subscription);
  add(list, "unsubscribe", "from a pattern that others subscribe to",
      [](World& world) {
        busy_victim({}, "proof.*")(world);
        Member& third = world.attach("third");
        (void)world.subscribe(third, {}, "proof.*");
        fill(world, 1);
      },
      end_subscription);
  list.back().shape.agents = 5;
}

void add_agents(Scenarios& list) {
  add(list, "register a topic", "", one_receiver, [](World& world) { RIPSTOP_CHECK(world.registry().topic("proof.new").has_value()); });
  add(list, "attach", "to a new place", one_receiver, attach_newcomer);
  add(list, "attach", "to a used place",
      [](World& world) {
        one_receiver(world);
        Member& last = world.attach("last");
        (void)world.subscribe(last);
        fill(world, 1);
        world.keep(last);
        world.registry().settle(last.place.id, true);
        last.dead = true;
      },
      attach_newcomer);
  for (const int kind : {0, 1, 2}) {
    const char* const states[] = {"of a busy agent", "of a busy agent with a ring of its own", "of a busy agent that listens to a pattern"};
    add(list, "detach", states[kind], busy_victim({.own_ring = kind == 1}, kind == 2 ? "proof.**" : kTopic),
        [](World& world) {
          const supervisor::AgentPlace& place = victim(world).place;
          if (world.registry().agent_incarnation(place.id) != place.incarnation) return;
          if (world.registry().agent_state(place.id) != layout::AgentState::Free) world.registry().settle(place.id, false);
        });
  }
}

void add_channel_ends(Scenarios& list) {
  for (const control::ChannelEnd end : {control::ChannelEnd::Sender, control::ChannelEnd::Receiver}) {
    const bool sends = end == control::ChannelEnd::Sender;
    const control::ChannelEnd other_end = sends ? control::ChannelEnd::Receiver : control::ChannelEnd::Sender;
    const auto open = [=](World& world) {
      control::ChannelOpenRequest request;
      request.name = kChannel;
      request.end = end;
      request.payload_bytes = kPayloadBytes;
      request.slot_count = kCapacity;
      request.ticket = kTicket;
      RIPSTOP_CHECK(world.registry().open_channel(victim(world).place.id, request).has_value());
    };
    const auto close = [=](World& world) {
      const uint32_t ring_id = 1;  // The only one.
      (void)world.registry().close_channel(victim(world).place.id, ring_id, end);
    };
    const auto other_has = [=](World& world) {
      one_receiver(world);
      world.open_channel(other(world), other_end);
    };
    const std::string whose = sends ? "the sender's end" : "the receiver's end";
    add(list, "open a channel", whose + ", new", one_receiver, open);
    add(list, "open a channel", whose + ", the other is there", other_has, open);
    add(list, "close a channel", whose + ", the last", [=](World& world) { one_receiver(world), open(world); }, close);
    add(list, "close a channel", whose + ", the other stays", [=](World& world) { other_has(world), open(world); }, close);
  }
}

// Two messages that were another dead agent's: they wait for a successor, or are dead letters.
Member& leave_two_letters(World& world, bool are_dead) {
  make_receivers(world, 1);
  Member& last = world.attach("last");
  (void)world.subscribe(last);
  fill(world, 2);
  world.registry().settle(last.place.id, true);
  last.dead = true;
  if (are_dead) world.registry().expire_letters(~uint64_t{0});
  return last;
}

void add_letters(Scenarios& list) {
  Shape keeps;
  keeps.agents = 6;
  keeps.successors = true;
  // However often the supervisor is killed and asked again, the same comes of it.
  const auto add_one = [&](const std::string& operation, const std::string& state, const std::function<void(World&)>& prepare,
                           const std::function<void(World&)>& request, const std::function<Ids(World&)>& found, const Ids& expected) {
    list.push_back({operation, state, keeps, prepare, {}, 0, 0});
    list.back().request = request;
    list.back().look = [=](World& world, uint64_t, Stage& stage) -> Finding {
      stage = Stage::Either;
      const Ids here = found(world);
      if (here == expected) return {};
      return {here.size() < expected.size() ? Fault::Lost : Fault::Doubled, operation + ": " + to_text(here) + ", expected " + to_text(expected)};
    };
  };
  const auto letters = [](World& world) { return dead_letters(world, "last"); };
  add_one("expire letters", "two that wait", [](World& world) { (void)leave_two_letters(world, false); },
          [](World& world) { world.registry().expire_letters(~uint64_t{0}); }, letters, {1, 2});
  add_one("drop letters", "two dead ones", [](World& world) { (void)leave_two_letters(world, true); },
          [](World& world) { (void)world.registry().drop_letters(0); }, letters, {});
  add_one("replay letters", "two dead ones",
          [](World& world) {
            (void)leave_two_letters(world, true);
            std::deque<uint64_t>& expected = world.members()[2].subscriptions.front().expected;
            expected.insert(expected.end(), {1, 2});  // It had them once for itself.
          },
          [](World& world) { (void)world.registry().replay_letters(0); }, letters, {});
  add_one("replay letters", "nobody subscribes any more",
          [](World& world) {
            (void)leave_two_letters(world, true);
            Member& receiver = world.members()[2];
            while (!receiver.subscriptions.front().expected.empty()) world.receive(receiver);
            world.registry().settle(receiver.place.id, false);
            receiver.dead = true;
          },
          [](World& world) { (void)world.registry().replay_letters(0); }, letters, {1, 2});
  add_one("subscribe", "a successor, for whom two messages wait",
          [](World& world) {
            (void)leave_two_letters(world, false);
            (void)world.attach("last");
          },
          [](World& world) {
            Member& heir = world.members().back();
            control::SubscribeRequest request;
            request.topic = kTopic;
            request.row = 0;
            request.slot_count = kCapacity;
            request.ticket = kTicket;
            RIPSTOP_CHECK(world.registry().subscribe(heir.place.id, request).has_value());
          },
          [](World& world) {
            Ids found;
            (void)drain(world.subscribe(world.members().back()), found);
            return found;
          },
          {1, 2});
}

}  // namespace

void add_requests(Scenarios& list) {
  add_subscriptions(list);
  add_patterns(list);
  add_agents(list);
  add_channel_ends(list);
  add_letters(list);
}

}  // namespace ripstop::proof
