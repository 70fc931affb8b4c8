#include "scribbler/calls.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "control/wire.h"
#include "mapping/fabric.h"

namespace ripstop::proof {

namespace {

using Random = std::mt19937_64;

constexpr uint64_t kAskEvery = 200;  // After so many sequences the supervisor is asked whether it is there.
constexpr uint32_t kBystanders = 2;

uint64_t number(Random& random) {
  constexpr std::array<uint64_t, 10> kNumbers = {0, 1, 2, 3, 15, 16, 17, 0x7fffffff, 0xffffffff, ~uint64_t{0}};
  return random() % 4 == 0 ? random() : kNumbers[random() % kNumbers.size()];
}
uint32_t small(Random& random) { return static_cast<uint32_t>(number(random)); }

std::string text(Random& random) {
  switch (random() % 8) {
    case 0: return "";
    case 1: return std::string(random() % 300, 'a');
    case 2: return "bystander-one";
    case 3: return "a..b";
    case 4: return std::string("\0\xff\x80", 3);
    default: return "hostile." + std::to_string(random() % 6);
  }
}

// Everything but Drain, which ends the supervisor, as it may.
control::Request request(Random& random) {
  using control::ChannelEnd;
  const auto end = random() % 2 == 0 ? ChannelEnd::Sender : ChannelEnd::Receiver;
  switch (random() % 14) {
    case 0:
    case 1:
    case 2: {
      control::AttachRequest attach;
      attach.name = text(random);
      attach.node = static_cast<int32_t>(random() % 4) - 1;
      attach.flags = small(random);
      attach.ticket = number(random);
      if (random() % 4 == 0) attach.resume_agent_id = small(random), attach.resume_incarnation = number(random), attach.resume_fabric_id = number(random);
      if (random() % 8 == 0) attach.abi_version = small(random);
      if (random() % 8 == 0) attach.layout_hash = number(random);
      return attach;
    }
    case 3: return control::TopicRequest{text(random)};
    case 4:
    case 5: return control::SubscribeRequest{text(random), static_cast<uint8_t>(random() % 7), random() % 2 == 0, small(random), small(random), small(random)};
    case 6: return control::UnsubscribeRequest{small(random)};
    case 7: return control::ChannelOpenRequest{text(random), end, small(random), small(random), small(random)};
    case 8: return control::ChannelCloseRequest{small(random), end};
    case 9: return control::DetachRequest{};
    case 10: return control::ObserveRequest{};
    case 11: return control::StatusRequest{};
    case 12: return control::LettersRequest{random() % 2 == 0 ? control::LettersRequest::Action::Drop : control::LettersRequest::Action::Replay, number(random)};
    default: {
      const control::Request keepers[] = {control::KeepRequest{{number(random), number(random)}}, control::AdoptRequest{}, control::EndRequest{}};
      return keepers[random() % std::size(keepers)];
    }
  }
}

void run_sequence(const Fabric& fabric, uint64_t seed, int junk) {
  Random random(seed);
  const base::OwnedFd socket = fabric.connect();
  if (!socket) return;
  const uint64_t count = random() % 16 == 0 ? 200 : 1 + random() % 12;  // Now and then a flood.
  const bool reads = random() % 4 != 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::vector<std::byte> bytes = control::encode(number(random), request(random));
    if (random() % 5 == 0) bytes.resize(random() % (bytes.size() + 1));
    for (uint64_t n = random() % 6 == 0 ? 1 + random() % 8 : 0; n > 0 && !bytes.empty(); --n) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    if (random() % 50 == 0) bytes.resize(control::kPacketBytesMax);
    const std::array fds = {junk, junk, junk};
    const std::size_t fd_count = random() % 4 == 0 ? random() % 4 : 0;
    if (reads || random() % 2 == 0) {
      if (!control::send_packet(socket.get(), bytes, {fds.data(), fd_count})) return;
    } else if (send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      return;  // It does not read faster than that; or it has closed.
    }
    if (reads && !bytes.empty()) {
      auto packet = control::receive_packet(socket.get());
      if (!packet || packet->bytes.empty()) return;
    }
  }
}

uint32_t agent_count(const Fabric& fabric) {
  auto client = control::Client::connect(fabric.endpoint(), std::chrono::milliseconds(5000));
  if (!client) return ~0u;
  auto status = client->status();
  return status ? status->agent_count : ~0u;
}

std::size_t open_descriptors(pid_t pid) {
  std::error_code none;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(pid) + "/fd", none), last; at != last; at.increment(none)) ++count;
  return count;
}

template <class Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace

CallsFigures run_calls(uint64_t first, uint64_t count) {
  CallsFigures figures;
  const auto wrong = [&](const std::string& what) {
    std::printf("FAULT calls: %s\n", what.c_str());
    ++figures.wrong;
  };
  Fabric fabric(Pages::Small);
  if (!fabric.trouble().empty()) {
    wrong("there is no fabric: " + fabric.trouble());
    return figures;
  }
  const base::OwnedFd junk(open("/dev/null", O_RDWR | O_CLOEXEC));
  (void)fabric.answers();
  const std::size_t descriptors = open_descriptors(fabric.pid());
  for (uint64_t seed = first; seed < first + count; ++seed) {
    run_sequence(fabric, seed, junk.get());
    ++figures.sequences;
    if (seed % kAskEvery != 0 && seed + 1 != first + count) continue;
    if (waitpid(fabric.pid(), nullptr, WNOHANG) != 0) {
      wrong("the supervisor has ended by sequence " + std::to_string(seed) + " or one of " + std::to_string(kAskEvery) + " before it: " + fabric.log());
      return figures;
    }
    if (!fabric.answers()) wrong("the supervisor does not answer after sequence " + std::to_string(seed));
  }
  // Everything that was asked for is given back: agents, descriptors.
  if (!comes_true([&] { return agent_count(fabric) == kBystanders; })) wrong(std::to_string(agent_count(fabric)) + " agents are left, of " + std::to_string(kBystanders));
  if (!comes_true([&] { return open_descriptors(fabric.pid()) <= descriptors; })) {
    wrong("the supervisor keeps " + std::to_string(open_descriptors(fabric.pid())) + " descriptors, of " + std::to_string(descriptors));
  }
  if (!fabric.bystanders_talk()) wrong("the bystanders do not talk any more");
  return figures;
}

}  // namespace ripstop::proof
