// What standard output is: a terminal or not, how wide, whether it shows colours and UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ripstop::shmctl {

struct Terminal {
  bool interactive = false;  // Standard output is a terminal.
  bool colour = false;
  bool utf8 = false;
  std::size_t columns = 80;
  std::size_t lines = 24;
};

// Source: isatty(3), TIOCGWINSZ, $COLUMNS, $NO_COLOR, $TERM, the locale's character set.
// Not a terminal: 80 columns and no colour, so that what is written to a file does not depend on it.
Terminal look_at_terminal(bool no_colour);

enum class Tone { Plain, Bold, Faint, Good, Warn, Bad };

// `text` in `tone`, or as it is when the terminal has no colours.
std::string toned(const Terminal& terminal, Tone tone, std::string_view text);

// `text` with every control character written out (\x1b), so that what an agent published or was
// named cannot move the cursor of the person who looks at it. Keeps UTF-8 as it is.
std::string printable(std::string_view text);

}  // namespace ripstop::shmctl
