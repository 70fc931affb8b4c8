// Real programs of the build, started in a runtime directory of the test's own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace ripstop::e2e {

// What a program said and how it ended.
struct Ended {
  int status = -1;  // 128 + the signal, when one ended it.
  std::string out;
  std::string err;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline int status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// A program that runs until it ends or the object does. Its output goes to two files.
class Running {
 public:
  // `files`: the beginning of the two files' names. Standard input is empty.
  Running(const std::vector<std::string>& words, std::string files) : files_(std::move(files)) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    redirect("/dev/null", O_RDONLY, STDIN_FILENO);
    redirect(files_ + ".out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect(files_ + ".err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  Running(Running&& other) noexcept
      : files_(std::move(other.files_)), pid_(std::exchange(other.pid_, -1)) {}
  Running& operator=(Running&&) = delete;
  ~Running() {
    if (pid_ > 0) (void)end(SIGKILL);
  }

  pid_t pid() const { return pid_; }
  void signal(int number) const { kill(pid_, number); }

  Ended wait() {
    int status = 0;
    if (pid_ > 0) waitpid(pid_, &status, 0);
    pid_ = -1;
    return {status_of(status), read_file(files_ + ".out"), read_file(files_ + ".err")};
  }
  Ended end(int number) {
    signal(number);
    return wait();
  }

 private:
  static void redirect(const std::string& path, int flags, int to) {
    const int fd = open(path.c_str(), flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0) _exit(126);
  }

  std::string files_;
  pid_t pid_ = -1;
};

}  // namespace ripstop::e2e
