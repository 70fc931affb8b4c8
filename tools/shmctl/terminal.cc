#include "shmctl/terminal.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ripstop::shmctl {

namespace {

std::size_t number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : static_cast<std::size_t>(std::strtoul(text, nullptr, 10));
}

}  // namespace

Terminal look_at_terminal(bool no_colour) {
  Terminal terminal;
  std::setlocale(LC_CTYPE, "");
  terminal.utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  terminal.interactive = isatty(STDOUT_FILENO) == 1;
  if (const std::size_t columns = number_in("COLUMNS"); columns >= 40) terminal.columns = columns;
  if (!terminal.interactive) return terminal;

  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    if (size.ws_col >= 40) terminal.columns = size.ws_col;
    if (size.ws_row >= 5) terminal.lines = size.ws_row;
  }
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  const bool refused = no_colour || (no_color != nullptr && *no_color != '\0');
  terminal.colour = !refused && !dumb;
  return terminal;
}

std::string toned(const Terminal& terminal, Tone tone, std::string_view text) {
  const char* code = "";
  switch (tone) {
    case Tone::Plain: break;
    case Tone::Bold: code = "1"; break;
    case Tone::Faint: code = "2"; break;
    case Tone::Good: code = "32"; break;
    case Tone::Warn: code = "33"; break;
    case Tone::Bad: code = "1;31"; break;
  }
  if (!terminal.colour || *code == '\0') return std::string(text);
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // 0x80..0x9f as UTF-8 (C2 80..C2 9F) are control characters too.
    const bool c1 = c == 0xc2 && i + 1 < text.size() &&
                    (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
    if (c >= 0x20 && c != 0x7f && !c1) {
      out += text[i];
      continue;
    }
    char escaped[8];
    if (c == '\n') {
      std::snprintf(escaped, sizeof escaped, "\\n");
    } else if (c == '\t') {
      std::snprintf(escaped, sizeof escaped, "\\t");
    } else {
      std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
    }
    out += escaped;
  }
  return out;
}

}  // namespace ripstop::shmctl
