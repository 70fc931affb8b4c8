// Precompiled: what nearly every verb includes, directly or through verb.h. Halves the build. No include
// guard: it is compiled as a main file.
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
