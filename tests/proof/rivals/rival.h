// A queue of somebody else's in shared memory, driven one message at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ripstop::rivals {

class Rival {
 public:
  virtual ~Rival() = default;
  // All of its state: restoring these bytes restores the queue.
  virtual std::span<std::byte> memory() = 0;
  virtual std::size_t capacity() const = 0;
  // Neither waits for the other side; false: full, or empty.
  virtual bool send(uint64_t number) = 0;
  virtual bool receive(uint64_t& number) = 0;
};

inline constexpr std::size_t kCapacity = 8;

// Null, with why in `absent`, where its package is not there. Of each there is a twin for that.
std::unique_ptr<Rival> boost_message_queue(std::string& absent);  // boost_queue.cc
std::unique_ptr<Rival> atomic_queue_2(std::string& absent);       // atomic_queue.cc, atomic_queue_absent.cc

}  // namespace ripstop::rivals
