// The payload of every message: 64-bit words that count up from its sequence. The sender writes all
// of them, the receiver adds all of them up and knows what the sum has to be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rivals {

// The sequence of the last message of a sender.
inline constexpr std::uint64_t kStop = ~std::uint64_t{0};

inline std::uint64_t first_word(const std::byte* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline void write_payload(std::byte* to, std::size_t payload_bytes, std::uint64_t sequence,
                          bool touch) {
  const std::size_t word_count = touch ? payload_bytes / sizeof(std::uint64_t) : 1;
  for (std::size_t i = 0; i < word_count; ++i) {
    const std::uint64_t word = sequence + i;
    std::memcpy(to + i * sizeof word, &word, sizeof word);
  }
}

// The sum of `word_count` words that count up from `sequence`.
inline std::uint64_t sum_of_words(std::uint64_t sequence, std::size_t word_count) {
  return sequence * word_count + word_count * (word_count - 1) / 2;
}

// True if the words are those of `sequence`, as far as they are touched.
inline bool read_payload(const std::byte* from, std::size_t payload_bytes, std::uint64_t sequence,
                         bool touch) {
  if (!touch) return first_word(from) == sequence;
  const std::size_t word_count = payload_bytes / sizeof(std::uint64_t);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < word_count; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + i * sizeof word, sizeof word);
    sum += word;
  }
  return sum == sum_of_words(sequence, word_count);
}

// What a sender fills a payload with: bytes, or, where a rival builds messages of its own kind, the words
// themselves.
struct Filling {
  std::size_t payload_bytes;
  std::uint64_t sequence;
  bool touch;

  void operator()(std::byte* to) const { write_payload(to, payload_bytes, sequence, touch); }
};

// What a receiver does with a payload. `right`: it was what was sent.
struct Consumed {
  std::size_t payload_bytes;
  bool touch;
  std::uint64_t sequence = 0;
  bool right = true;

  void operator()(const std::byte* from) {
    sequence = first_word(from);
    right = read_payload(from, payload_bytes, sequence, touch);
  }
  // The same of words that were read and added up already.
  void words(std::uint64_t first, std::uint64_t sum, std::size_t word_count) {
    sequence = first;
    right = sum == sum_of_words(first, word_count);
  }
};

}  // namespace rivals
