// Messages on a byte stream (pipe, socket): a length, then the payload.
#pragma once

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "control.h"

namespace rivals {

// Writes whole messages to `fd`, which is non-blocking when the plan spins.
class FrameWriter {
 public:
  explicit FrameWriter(int fd) : fd_(fd) {}

  template <class Fill>
  void send(std::size_t bytes, Fill& fill) {
    frame_.resize(sizeof(std::uint64_t) + bytes);
    const std::uint64_t length = bytes;
    std::memcpy(frame_.data(), &length, sizeof length);
    fill(frame_.data() + sizeof length);
    std::size_t written = 0;
    while (written < frame_.size()) {
      const ssize_t count = write(fd_, frame_.data() + written, frame_.size() - written);
      if (count >= 0) {
        written += static_cast<std::size_t>(count);
      } else if (errno == EAGAIN) {
        wait_a_moment();
      } else if (errno != EINTR) {
        fail_errno("write");
      }
    }
  }

 private:
  int fd_;
  std::vector<std::byte> frame_;
};

// Reads as much as there is at once and hands out one message at a time.
class FrameReader {
 public:
  FrameReader(int fd, std::size_t payload_bytes)
      : fd_(fd),
        buffer_(std::max<std::size_t>(64U << 10U, payload_bytes + sizeof(std::uint64_t))) {}

  template <class Consume>
  bool receive(Consume& consume) {
    if (take(consume)) return true;
    if (!read_more()) return false;
    return take(consume);
  }

  int fd() const { return fd_; }

 private:
  template <class Consume>
  bool take(Consume& consume) {
    const std::size_t held = end_ - begin_;
    std::uint64_t length = 0;
    if (held < sizeof length) return false;
    std::memcpy(&length, buffer_.data() + begin_, sizeof length);
    if (held < sizeof length + length) return false;
    consume(buffer_.data() + begin_ + sizeof length);
    begin_ += sizeof length + length;
    return true;
  }

  bool read_more() {
    if (begin_ == end_) {
      begin_ = end_ = 0;
    } else if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t count = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (count == 0) fail("the stream ended too early");
    if (count < 0 && errno != EAGAIN && errno != EINTR) fail_errno("read");
    if (count < 0) return false;
    end_ += static_cast<std::size_t>(count);
    return true;
  }

  int fd_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Reads from several streams, whichever has something; one stream is simply read.
class FrameReaders {
 public:
  void add(int fd, std::size_t payload_bytes) {
    readers_.emplace_back(fd, payload_bytes);
    polled_.push_back({fd, POLLIN, 0});
  }

  template <class Consume>
  bool receive(Mode mode, Consume& consume) {
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      FrameReader& reader = readers_[next_];
      // A blocking read of the only stream is its own wait; of several, poll says who is next.
      if (reader.receive(consume)) return true;
      next_ = next_ + 1 == readers_.size() ? 0 : next_ + 1;
    }
    if (mode == Mode::Sleep && readers_.size() > 1) (void)poll(polled_.data(), polled_.size(), 100);
    return false;
  }

 private:
  std::vector<FrameReader> readers_;
  std::vector<pollfd> polled_;
  std::size_t next_ = 0;
};

}  // namespace rivals
