// /tmp is not used when there is no runtime directory: anybody could be there first under our name.
//
// The lock is flock(2): it ends with its holder, however that ends. A supervisor removes its file
// while it holds it, so whoever got the lock looks whether the file is still the one at the path.
#include "control/endpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "control/peer.h"
#include "control/topic_grammar.h"

namespace ripstop::control {

namespace {

constexpr std::string_view kSystemDirectory = "/run/ripstop";
constexpr std::string_view kSocketSuffix = ".sock";
constexpr int kLockTries = 16;
constexpr int kDeadHolderPauses = 100;  // Of 10 ms.

Endpoint make_endpoint(std::string directory, std::string_view fabric) {
  Endpoint endpoint;
  endpoint.fabric = fabric;
  const std::string stem = directory + "/" + endpoint.fabric;
  endpoint.socket = stem + ".sock";
  endpoint.keeper_socket = stem + ".keeper.sock";
  endpoint.lock = stem + ".lock";
  endpoint.directory = std::move(directory);
  return endpoint;
}

// Why $XDG_RUNTIME_DIR cannot be used; `passing`: it is not known whether it can. Then root does not go elsewhere:
// two supervisors of one fabric in two directories would not know of one another.
struct Trouble {
  std::string words;  // "" when it can be used.
  bool passing = false;
};

Trouble trouble_of(int sys_errno) {
  return {std::strerror(sys_errno), sys_errno != ENOENT && sys_errno != ENOTDIR && sys_errno != EACCES && sys_errno != EROFS && sys_errno != ELOOP};
}

// Null when it is not set.
std::optional<Trouble> runtime_directory_trouble(const char* path) {
  if (path == nullptr || *path == '\0') return std::nullopt;
  struct stat status{};
  if (*path != '/') return Trouble{"it is not an absolute path"};
  if (stat(path, &status) != 0) return trouble_of(errno);
  if (!S_ISDIR(status.st_mode)) return Trouble{"it is not a directory"};
  if (status.st_uid != geteuid()) return Trouble{"it belongs to uid " + std::to_string(status.st_uid)};
  if (access(path, W_OK | X_OK) != 0) return errno == EACCES ? Trouble{"it is not writable"} : trouble_of(errno);
  return Trouble{};
}

bool exists(const std::string& path) noexcept {
  struct stat status{};
  return stat(path.c_str(), &status) == 0;
}

LockRecord parse_record(const std::string& text) {
  LockRecord record;
  std::istringstream in(text);
  in >> record.pid >> record.hugepages_added;
  return record;
}

std::string read_all(int fd) {
  char text[128];
  const ssize_t got = pread(fd, text, sizeof text, 0);
  return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : std::string();
}

// A supervisor that was killed while its keeper was being made: that one has the lock until it executes.
bool is_a_dead_ones(pid_t pid) {
  const auto pidfd = pid > 0 ? open_pidfd(pid) : Result<base::OwnedFd>(Error{});
  return pidfd ? has_ended(pidfd->get()) : pidfd.error().code == Errc::NotFound;
}

}  // namespace

Result<Endpoint> own_endpoint(std::string_view fabric) {
  if (auto named = check_name(fabric); !named) return named.error();
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const auto trouble = runtime_directory_trouble(runtime);
  Endpoint endpoint;
  if (trouble && trouble->words.empty()) {
    endpoint = make_endpoint(std::string(runtime) + "/ripstop", fabric);
  } else if (geteuid() == 0 && !(trouble && trouble->passing)) {
    endpoint = make_endpoint(std::string(kSystemDirectory), fabric);
  } else {
    return Error{Errc::Unavailable, 0, "there is no place for the socket of fabric " + std::string(fabric),
                 trouble ? "XDG_RUNTIME_DIR is " + std::string(runtime) + ", and " + trouble->words
                         : "XDG_RUNTIME_DIR is not set, and /run/ripstop is root's",
                 "export XDG_RUNTIME_DIR=/run/user/$(id -u)     (a directory that only you can write to)"};
  }
  if (endpoint.keeper_socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error{Errc::BadName, 0, "the socket's path is too long: " + endpoint.keeper_socket,
                 "the kernel allows " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes",
                 "use a shorter XDG_RUNTIME_DIR or a shorter fabric name"};
  }
  return endpoint;
}

Result<Endpoint> find_endpoint(std::string_view fabric) {
  auto own = own_endpoint(fabric);
  if (own && (exists(own->socket) || exists(own->lock))) return own;
  if (auto named = check_name(fabric); !named) return named.error();
  Endpoint system = make_endpoint(std::string(kSystemDirectory), fabric);
  if (exists(system.socket)) return system;
  return own;
}

Endpoint endpoint_at(std::string_view socket_path) {
  const std::size_t slash = socket_path.rfind('/');
  std::string_view file = slash == std::string_view::npos ? socket_path : socket_path.substr(slash + 1);
  const std::string_view directory = slash == std::string_view::npos ? "." : socket_path.substr(0, slash);
  if (file.ends_with(kSocketSuffix)) file.remove_suffix(kSocketSuffix.size());
  Endpoint endpoint = make_endpoint(std::string(directory), file);
  endpoint.socket = socket_path;
  return endpoint;
}

Result<void> make_directory(const Endpoint& endpoint, bool shared) {
  const mode_t mode = shared ? 0711 : 0700;
  if (mkdir(endpoint.directory.c_str(), mode) != 0 && errno != EEXIST) {
    return system_error("mkdir " + endpoint.directory, errno);
  }
  struct stat status{};
  if (lstat(endpoint.directory.c_str(), &status) != 0) return system_error("stat " + endpoint.directory, errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
    return Error{Errc::Denied, 0, endpoint.directory + " is not a directory that only this user can write to",
                 "whoever can write to it could stand in for the supervisor", "remove it, or set its owner and mode 0700"};
  }
  if (shared && (status.st_mode & 0111) != 0111 && chmod(endpoint.directory.c_str(), mode) != 0) {
    return system_error("chmod " + endpoint.directory, errno);
  }
  return {};
}

void remove_directory(const Endpoint& endpoint) noexcept { rmdir(endpoint.directory.c_str()); }

std::optional<LockRecord> read_lock(const Endpoint& endpoint) {
  std::ifstream file(endpoint.lock);
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  return parse_record(text);
}

bool lock_is_held(const Endpoint& endpoint) noexcept {
  const base::OwnedFd fd(open(endpoint.lock.c_str(), O_RDONLY | O_CLOEXEC));
  return fd && flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

Result<FabricLock> FabricLock::take(const Endpoint& endpoint) {
  int pauses = 0;
  for (int tries = 0; tries < kLockTries; ++tries) {
    base::OwnedFd fd(open(endpoint.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd && errno == ENOENT) {
      // The supervisor before us took the directory away with its last file.
      if (auto made = make_directory(endpoint, false); !made) return made.error();
      continue;
    }
    if (!fd) return system_error("open " + endpoint.lock, errno);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return system_error("flock " + endpoint.lock, errno);
      const pid_t holder = parse_record(read_all(fd.get())).pid;
      if (is_a_dead_ones(holder) && ++pauses < kDeadHolderPauses) {
        usleep(10'000);
        --tries;
        continue;
      }
      const std::string pid = std::to_string(holder);
      return Error{Errc::FabricBusy, 0, "fabric " + endpoint.fabric + " has a supervisor already, pid " + pid,
                   "it holds " + endpoint.lock,
                   "use it as it is, or     kill " + pid + "     or     ripstopd --fabric OTHER"};
    }
    struct stat ours{}, there{};
    if (fstat(fd.get(), &ours) == 0 && stat(endpoint.lock.c_str(), &there) == 0 && ours.st_ino == there.st_ino) {
      const LockRecord left_behind = parse_record(read_all(fd.get()));
      return FabricLock(std::move(fd), endpoint.lock, left_behind);
    }
  }
  return Error{Errc::FabricBusy, 0, "fabric " + endpoint.fabric + " changes supervisors all the time",
               endpoint.lock + " was removed whenever it was locked", "try again"};
}

Result<void> FabricLock::write(const LockRecord& record) {
  const std::string text = std::to_string(record.pid) + " " + std::to_string(record.hugepages_added) + "\n";
  if (pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ftruncate(fd_.get(), static_cast<off_t>(text.size())) != 0) {
    return system_error("write " + path_, errno);
  }
  return {};
}

void FabricLock::remove() noexcept {
  unlink(path_.c_str());
  fd_.reset();
}

Error no_supervisor(const Endpoint& endpoint, int sys_errno) {
  Error error{Errc::NoSupervisor, sys_errno, "no supervisor answers at " + endpoint.socket, "",
              "ripstopd --fabric " + endpoint.fabric};
  const auto record = read_lock(endpoint);
  const std::string pid = record ? std::to_string(record->pid) : "";
  const bool ended = record && record->pid > 0 && kill(record->pid, 0) != 0 && errno == ESRCH;
  if (sys_errno == ENOENT) {
    error.what += " (no such file)";
    error.why = ended ? "its last supervisor (pid " + pid + ") has ended"
                      : "no supervisor of fabric " + endpoint.fabric + " has been started by this user";
  } else if (sys_errno == ECONNREFUSED) {
    error.what += " (connection refused)";
    error.why = ended    ? "the socket exists but ripstopd (pid " + pid + ") has ended"
                : record ? "the socket exists but pid " + pid + " does not listen on it"
                         : "the socket exists but nobody listens on it";
  } else {
    const Error reason = system_error("connect", sys_errno);
    error.what += " (" + std::string(std::strerror(sys_errno)) + ")";
    error.why = reason.why;
    error.fix = reason.fix;
  }
  return error;
}

}  // namespace ripstop::control
