#include "shmctl/prose.h"

#include "shmctl/units.h"

namespace ripstop::shmctl {

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  std::string line;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    if (!line.empty() && indent + width_of(line) + 1 + width_of(word) > width) {
      out += std::string(indent, ' ') + line + "\n";
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  if (!line.empty()) out += std::string(indent, ' ') + line + "\n";
  return out;
}

}  // namespace ripstop::shmctl
