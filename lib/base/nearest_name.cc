// Optimal string alignment over three rows: a swap of neighbours is the commonest slip of a hand, so
// it counts as one.
#include "base/nearest_name.h"

#include <algorithm>
#include <cctype>

namespace ripstop::base {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view left, std::string_view right) {
  const std::string a = lower(left);
  const std::string b = lower(right);
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t exchange = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, exchange});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::vector<std::string> nearest_names(std::string_view wanted, std::span<const std::string> names,
                                       std::size_t count) {
  struct Candidate {
    std::size_t distance;
    std::string name;
  };
  const std::string key = lower(wanted);
  const std::size_t reach = std::max<std::size_t>(1, wanted.size() / 3);
  std::vector<Candidate> candidates;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(wanted, name);
    // "plan" is meant for "agent.planner.task", though many letters apart.
    const bool part = key.size() >= 2 && lower(name).find(key) != std::string::npos;
    if (distance > reach && !part) continue;
    candidates.push_back({distance > reach ? reach + 1 : distance, name});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.distance < b.distance; });
  std::vector<std::string> near;
  for (Candidate& candidate : candidates) {
    if (near.size() == count) break;
    near.push_back(std::move(candidate.name));
  }
  return near;
}

std::string did_you_mean(std::span<const std::string> near) {
  if (near.empty()) return "";
  std::string text = "did you mean ";
  for (std::size_t i = 0; i < near.size(); ++i) {
    if (i > 0) text += i + 1 == near.size() ? " or " : ", ";
    text += near[i];
  }
  return text + "?";
}

}  // namespace ripstop::base
