// Words broken into lines.
#pragma once

#include <string>
#include <string_view>

namespace ripstop::shmctl {

// `text` in lines of at most `width` columns, each begun with `indent` blanks and ended by a newline.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent);

}  // namespace ripstop::shmctl
