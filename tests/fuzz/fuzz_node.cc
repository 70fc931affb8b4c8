// A node segment in a valid state, with words of it overwritten as the input says, ten bytes each: which, and by
// what. Then everybody reads it (proof/scribbler/readers.h).
#include <cstdint>
#include <cstring>

#include "scribbler/readers.h"

using namespace ripstop::proof;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  constexpr std::size_t kRecordBytes = 10;
  static Ground grounds[] = {Ground(Ground::Kind::FanOut), Ground(Ground::Kind::Direct)};
  static Calls calls{};
  static Outcomes outcomes;
  if (size < 1 + kRecordBytes) return 0;
  Ground& ground = grounds[data[0] % 2];
  ground.restore();
  for (std::size_t at = 1; at + kRecordBytes <= size; at += kRecordBytes) {
    uint16_t word = 0;
    std::memcpy(&word, data + at, sizeof word);
    std::memcpy(ground.node().data() + ground.words()[word % ground.words().size()], data + at + sizeof word, 8);
  }
  run_readers(ground, data[0] / 2, calls, outcomes);
  return 0;
}
