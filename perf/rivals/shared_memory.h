// Memory that forked processes share, for the rivals that bring none of their own.
#pragma once

#include <cstddef>

namespace rivals {

// Zeroed memory that children inherit by fork, on huge pages where the kernel gives them.
// Exits with a message when there is none.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
    other.data_ = nullptr;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  SharedMemory& operator=(SharedMemory&&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  // Maps every page into the calling process, so that no first touch is measured.
  void prefault() const;

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace rivals
