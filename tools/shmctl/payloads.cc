#include "shmctl/payloads.h"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <iterator>

#include "shmctl/door.h"

namespace ripstop::shmctl {

Result<Payloads> Payloads::open(const Command& command) {
  const bool given = command.arguments.size() > 1;
  if (!given && isatty(STDIN_FILENO) == 1) {
    return usage_error("pub needs DATA: a text, - for the lines of standard input, or @FILE",
                       to_type(command, "pub " + command.arguments[0] + " 'how do you do'"));
  }
  Payloads payloads;
  const std::string data = given ? command.arguments[1] : "-";
  payloads.lines_ = data == "-";
  if (payloads.lines_ || !data.starts_with('@')) {
    payloads.fixed_ = data;
    return payloads;
  }
  std::ifstream file(data.substr(1), std::ios::binary);
  if (!file) return system_error("open " + data.substr(1), errno);
  payloads.fixed_.assign(std::istreambuf_iterator<char>(file), {});
  return payloads;
}

bool Payloads::next(std::string& payload) const {
  if (lines_) return static_cast<bool>(std::getline(std::cin, payload));
  payload = fixed_;
  return true;
}

}  // namespace ripstop::shmctl
