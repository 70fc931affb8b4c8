// Without descriptors a connection can neither be taken nor refused, and epoll would report it for
// ever. So one descriptor is kept in reserve: it is closed, the connection taken and dropped.
#include "supervisor/control_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "supervisor/log.h"

namespace ripstop::supervisor {

namespace {
base::OwnedFd open_spare() noexcept { return base::OwnedFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }
}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::create(EventLoop& loop, Sessions& sessions, const std::string& path,
                                                             const AccessPolicy& policy) {
  auto listener = listen_at(path, policy);
  if (!listener) return listener.error();
  std::unique_ptr<ControlServer> server(new ControlServer(loop, sessions, path, std::move(*listener)));
  auto watched = loop.watch(server->listener_.get(), EPOLLIN, [raw = server.get()](uint32_t) { raw->on_connection(); });
  if (!watched) return watched.error();
  return server;
}

ControlServer::ControlServer(EventLoop& loop, Sessions& sessions, std::string path, base::OwnedFd listener)
    : loop_(loop), sessions_(sessions), path_(std::move(path)), listener_(std::move(listener)), spare_(open_spare()) {}

ControlServer::~ControlServer() {
  loop_.unwatch(listener_.get());
  unlink(path_.c_str());
}

void ControlServer::on_connection() {
  for (;;) {
    base::OwnedFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      sessions_.open(std::move(socket));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE) {
      log(LogLevel::Error, "no descriptors left: a connection was dropped (see ulimit -n)");
      spare_.reset();
      base::OwnedFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
      spare_ = open_spare();
    }
    if (errno != EINTR && errno != ECONNABORTED) return;
  }
}

}  // namespace ripstop::supervisor
