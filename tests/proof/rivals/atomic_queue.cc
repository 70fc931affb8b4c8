// Maxim Egorushkin's atomic_queue, the one for elements of any kind: claim an index, then fill the place.
#include <atomic_queue/atomic_queue.h>
#include <sys/mman.h>

#include <new>

#include "proof/rivals/rival.h"

namespace ripstop::rivals {

namespace {

using Queue = atomic_queue::AtomicQueue2<uint64_t, kCapacity>;

class AtomicQueue : public Rival {
 public:
  explicit AtomicQueue(void* place) : queue_(new (place) Queue) {}
  std::span<std::byte> memory() override { return {reinterpret_cast<std::byte*>(queue_), sizeof(Queue)}; }
  // It rounds up.
  std::size_t capacity() const override { return queue_->capacity(); }
  bool send(uint64_t number) override { return queue_->try_push(number); }
  bool receive(uint64_t& number) override { return queue_->try_pop(number); }

 private:
  Queue* queue_;
};

}  // namespace

std::unique_ptr<Rival> atomic_queue_2(std::string& absent) {
  void* place = mmap(nullptr, sizeof(Queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place != MAP_FAILED) return std::make_unique<AtomicQueue>(place);
  absent = "there is no memory for it";
  return nullptr;
}

}  // namespace ripstop::rivals
