// Lets clang 16 and newer read Cap'n Proto 0.9's headers in C++20; empty for other compilers.
//
// The headers compare `const char*` with kj::StringPtr and rely on the reversed operator==. Since P2468
// a class that also has operator!=, as StringPtr does, offers none; g++ 12 still lets it pass. Include
// this before any Cap'n Proto header; builds that use ripstop.pc or ripstopConfig.cmake do so already.
// A template, so that a Cap'n Proto that declares the operators itself is preferred to it.
//
// clang 16 takes these templates for rewrite targets although each has its operator!=, so `b == a` in
// here would be the template itself, turned round, for ever. With a StringPtr on the right there is
// nothing to deduce Char from, and only kj's own members are left.
#pragma once

#if defined(__clang__) && __clang_major__ >= 16

#include <concepts>
#include <kj/string.h>

namespace kj {

template <std::same_as<char> Char>
inline bool operator==(const Char* a, const StringPtr& b) {
  return b == StringPtr(a);
}
template <std::same_as<char> Char>
inline bool operator!=(const Char* a, const StringPtr& b) {
  return b != StringPtr(a);
}
template <std::same_as<char> Char>
inline bool operator==(const Char* a, const String& b) {
  return b == StringPtr(a);
}
template <std::same_as<char> Char>
inline bool operator!=(const Char* a, const String& b) {
  return b != StringPtr(a);
}

}  // namespace kj

#endif
