#include "ledger.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "ripstop/types.h"

namespace chaos {

const char* to_string(Doing doing) {
  switch (doing) {
    case Doing::Starting: return "starting";
    case Doing::Attaching: return "attaching";
    case Doing::Opening: return "opening its topics";
    case Doing::Sending: return "sending";
    case Doing::Taking: return "taking";
    case Doing::Writing: return "waiting for the ledger";
    case Doing::Resting: return "resting";
    case Doing::Detaching: return "detaching";
  }
  return "?";
}

Ledger* Ledger::create() {
  void* memory = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<Ledger*>(memory);  // All zero is its empty state.
}

Entry& Writer::begin(Kind kind, uint8_t topic) {
  const uint64_t tail = page_.tail.load(std::memory_order_relaxed);  // Only this side writes it.
  while (tail - page_.head.load(std::memory_order_acquire) >= kEntryCount) {
    page_.doing = Doing::Writing;
    page_.beat.fetch_add(1, std::memory_order_relaxed);  // It is the parent that is slow.
    usleep(200);
  }
  Entry& entry = page_.entries[tail % kEntryCount];
  entry.done.store(0, std::memory_order_relaxed);  // Published below.
  entry.kind = kind;
  entry.topic = topic;
  entry.outcome = 0;
  entry.reached = entry.full = entry.gone = 0;
  entry.begin_ns = ripstop::now_ns();
  entry.end_ns = 0;
  return entry;
}

void Writer::publish() {
  page_.tail.fetch_add(1, std::memory_order_release);
}

void Writer::finish(Entry& entry) {
  entry.end_ns = ripstop::now_ns();
  entry.done.store(1, std::memory_order_release);
}

void Writer::note(Kind kind, uint8_t topic, uint32_t number, uint64_t begin_ns) {
  Entry& entry = begin(kind, topic);
  entry.number = number;
  entry.begin_ns = begin_ns;
  finish(entry);
  publish();
}

}  // namespace chaos
