// NATS core publish/subscribe over TCP loopback, with the few lines of its text protocol that this
// takes: INFO, CONNECT, SUB, PUB, MSG, PING, PONG. Up to 16 KiB of commands go out in one write, as
// its own clients do. Every message crosses the server: there are three processes, not two.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>

#include "harness.h"

namespace rivals {
namespace {

constexpr std::size_t kWriteBytes = 16U << 10U;

// One connection to the server, with what was read of it and what is not yet written.
class Connection {
 public:
  explicit Connection(const std::string& port) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      fail_errno("connect to nats");
    const int yes = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (!next_line().starts_with("INFO")) {
    }
    write_text(
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c++\",\"version\":\"0\"}\r\n");
    synchronise();
  }

  // Everything written so far has been handled by the server when this returns.
  void synchronise() {
    write_text("PING\r\n");
    flush();
    for (std::string_view line = next_line(); !line.starts_with("PONG"); line = next_line()) {
      if (line.starts_with("-ERR")) fail(line);
    }
  }

  void write_text(std::string_view text) { out_.append(text); }
  // Room for `bytes` more, to be filled by the caller.
  std::byte* extend(std::size_t bytes) {
    const std::size_t at = out_.size();
    out_.resize(at + bytes);
    return reinterpret_cast<std::byte*>(out_.data() + at);
  }
  std::size_t unwritten() const { return out_.size(); }

  void flush() {
    std::size_t written = 0;
    while (written < out_.size()) {
      const ssize_t count = write(fd_, out_.data() + written, out_.size() - written);
      if (count < 0 && errno != EINTR) fail_errno("write to nats");
      if (count > 0) written += static_cast<std::size_t>(count);
    }
    out_.clear();
  }

  // The payload of the next message, valid until the next call; empty after 100 ms without one.
  std::string_view next_message() {
    for (;;) {
      if (!has_line() && !read_more(100)) return {};
      if (!has_line()) continue;
      const std::string_view line = next_line();
      if (line.starts_with("-ERR")) fail(line);
      if (line.starts_with("PING")) {
        write_text("PONG\r\n");
        flush();
      }
      if (!line.starts_with("MSG ")) continue;
      const std::string_view length_text = line.substr(line.rfind(' ') + 1);
      std::size_t length = 0;
      std::from_chars(length_text.data(), length_text.data() + length_text.size(), length);
      while (end_ - begin_ < length + 2) read_more(-1);
      const std::string_view payload(in_.data() + begin_, length);
      begin_ += length + 2;
      return payload;
    }
  }

 private:
  bool has_line() const {
    return std::string_view(in_.data() + begin_, end_ - begin_).find("\r\n") !=
           std::string_view::npos;
  }

  std::string_view next_line() {
    while (!has_line()) read_more(-1);
    const std::string_view held(in_.data() + begin_, end_ - begin_);
    const std::string_view line = held.substr(0, held.find("\r\n"));
    begin_ += line.size() + 2;
    return line;
  }

  bool read_more(int patience_ms) {
    pollfd readable{fd_, POLLIN, 0};
    if (patience_ms >= 0 && poll(&readable, 1, patience_ms) <= 0) return false;
    if (begin_ > 0) {
      in_.erase(0, begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (in_.size() < end_ + kReadBytes) in_.resize(end_ + kReadBytes);
    const ssize_t count = read(fd_, in_.data() + end_, in_.size() - end_);
    if (count == 0) fail("nats closed the connection");
    if (count < 0 && errno != EINTR) fail_errno("read from nats");
    if (count > 0) end_ += static_cast<std::size_t>(count);
    return true;
  }

  static constexpr std::size_t kReadBytes = 256U << 10U;
  int fd_ = -1;
  std::string out_;
  std::string in_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

class Nats {
 public:
  static std::string cannot(const Plan& plan) {
    if (plan.mode == Mode::Spin) return "its server needs the core that would spin";
    if (plan.placement == Placement::OneCore) return "its server is a third process";
    return "";
  }
  static std::size_t window(const Plan& plan) { return plan.queue_length(); }

  explicit Nats(const Plan& plan) : plan_(plan) {}

  class Sender {
   public:
    Sender(Nats& rival, const Link& link, unsigned) : connection_(rival.plan_.server) {
      command_.append("PUB ").append(rival.plan_.unique_name(link)).append(" ");
      command_.append(std::to_string(rival.plan_.payload_bytes)).append("\r\n");
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t bytes, Fill&& fill) {
      connection_.write_text(command_);
      fill(connection_.extend(bytes));
      connection_.write_text("\r\n");
      if (connection_.unwritten() >= kWriteBytes) connection_.flush();
    }
    void flush() { connection_.flush(); }

   private:
    Connection connection_;
    std::string command_;
  };

  class Receiver {
   public:
    Receiver(Nats& rival, const Link& link, unsigned) : connection_(rival.plan_.server) {
      connection_.write_text(
          std::string("SUB ").append(rival.plan_.unique_name(link)).append(" 1\r\n"));
      connection_.synchronise();
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      const std::string_view payload = connection_.next_message();
      if (payload.empty()) return false;
      consume(reinterpret_cast<const std::byte*>(payload.data()));
      return true;
    }

   private:
    Connection connection_;
  };

 private:
  const Plan plan_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::Nats>(rivals::parse_plan(argc, argv));
}
