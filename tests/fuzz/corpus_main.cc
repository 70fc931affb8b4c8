// Stands in for libFuzzer where there is none: runs each file of the folders that it is given, as it is, cut
// short, and with bytes changed; always the same.
//
//   fuzz_NAME FOLDER...
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

namespace {

constexpr int kChanged = 200;

uint64_t run_count = 0;

void run(const std::vector<uint8_t>& input) {
  // A copy of exactly that size, so that AddressSanitizer sees a step behind it.
  const std::vector<uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ++run_count;
}

void run_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> input{std::istreambuf_iterator<char>(file), {}};
  run(input);
  std::mt19937_64 random(input.size());
  for (int i = 0; i < kChanged; ++i) {
    std::vector<uint8_t> changed = input;
    if (i % 4 == 0) changed.resize(random() % (changed.size() + 1));
    for (uint64_t n = random() % 8; n > 0 && !changed.empty(); --n) changed[random() % changed.size()] = static_cast<uint8_t>(random());
    run(changed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) run_file(entry.path());
  }
  std::printf("RUNS %llu\n", static_cast<unsigned long long>(run_count));
  return run_count == 0 ? 1 : 0;
}
