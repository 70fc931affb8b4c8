#include "proof/explorer/search.h"

#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "proof/explorer/arena.h"

namespace ripstop::explorer {

namespace {

constexpr uint64_t kRunsBetweenChecks = 997;

// Follows a schedule and goes on without a choice.
class Follower : public Chooser {
 public:
  explicit Follower(const std::string& schedule) {
    std::istringstream words(schedule);
    std::string word;
    while (std::getline(words, word, ',')) {
      char* kind = nullptr;
      const uint64_t count = std::strtoull(word.c_str(), &kind, 10);
      if (*kind != '\0') steps_.push_back({{count, *kind}, kind + 1});
    }
  }
  int choose(std::span<const Option> options, const Place& place, uint64_t) override {
    const ArenaPause pause;
    if (next_ == steps_.size() || steps_[next_].place != place) return 0;
    const std::string& wanted = steps_[next_++].choice;
    for (std::size_t i = 0; i < options.size(); ++i) {
      if (to_text(options[i]) == wanted) return static_cast<int>(i);
    }
    std::printf("explorer: the schedule does not fit: no choice '%s' at %llu\n", wanted.c_str(), static_cast<unsigned long long>(place.access_count));
    return -1;
  }

 private:
  struct Step {
    Place place;
    std::string choice;
  };
  std::vector<Step> steps_;
  std::size_t next_ = 0;
};

}  // namespace

double now_seconds() {
  timeval now{};
  gettimeofday(&now, nullptr);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_usec) * 1e-6;
}

Seen::~Seen() { std::free(keys_); }

void Seen::clear() {
  std::free(keys_);
  keys_ = nullptr;
  mask_ = count_ = 0;
}

void Seen::grow() {
  uint64_t* old = keys_;
  const std::size_t old_count = keys_ == nullptr ? 0 : mask_ + 1;
  const std::size_t size = std::max<std::size_t>(1024, old_count * 2);
  keys_ = static_cast<uint64_t*>(std::calloc(size, sizeof(uint64_t)));
  if (keys_ == nullptr) std::abort();
  mask_ = size - 1;
  count_ = 0;
  for (std::size_t i = 0; i < old_count; ++i) {
    if (old[i] != 0) insert(old[i]);
  }
  std::free(old);
}

bool Seen::insert(uint64_t key) {
  if (key == 0) key = 1;
  if (keys_ == nullptr || count_ * 4 >= mask_ * 3) grow();
  for (std::size_t at = key & mask_;; at = (at + 1) & mask_) {
    if (keys_[at] == key) return false;
    if (keys_[at] != 0) continue;
    keys_[at] = key;
    ++count_;
    return true;
  }
}

int Search::choose(std::span<const Option> options, const Place& place, uint64_t state) {
  const ArenaPause pause;
  const bool is_new = depth_ >= prefix_;
  if (is_new && !seen_.insert(state)) return -1;
  if (options.size() == 1) return 0;
  if (depth_ < prefix_) {
    const Choice& choice = choices_[depth_++];
    if (choice.count != options.size() || choice.place != place) {
      std::fprintf(stderr, "explorer: a run that is repeated goes another way: something in it is not deterministic\n");
      std::abort();
    }
    return static_cast<int>(choice.chosen);
  }
  Choice choice{};
  std::copy(options.begin(), options.end(), choice.options);
  choice.count = static_cast<uint32_t>(options.size());
  choice.place = place;
  choices_.push_back(choice);
  ++depth_;
  ++prefix_;  // What is chosen now is no choice to be repeated, and the next state is a new one.
  return 0;
}

bool Search::advance() {
  while (!choices_.empty()) {
    Choice& last = choices_.back();
    if (++last.chosen < last.count) {
      if (last.options[last.chosen].kind == Option::Kill) ++explored_.kill_count;
      return true;
    }
    choices_.pop_back();
  }
  return false;
}

void Search::restart() {
  machine.heed_learned();
  choices_.clear();
  seen_.clear();
  explored_ = Explored{};
}

std::string Search::schedule() const {
  std::string text;
  for (const Choice& choice : choices_) {
    if (choice.chosen == 0) continue;
    if (!text.empty()) text += ',';
    text += std::to_string(choice.place.access_count) + choice.place.kind + to_text(choice.options[choice.chosen]);
  }
  return text.empty() ? "-" : text;
}

Explored Search::explore(const Bounds& bounds, double seconds_max) {
  const double start = now_seconds();
  // What is to be learned is learned within narrower bounds, mostly, where to begin anew costs little.
  for (uint32_t preemptions = 0; preemptions < bounds.preemptions && preemptions < 2; ++preemptions) {
    do {
      restart();
    } while (go({preemptions, bounds.kills, bounds.holds}, start, seconds_max, false) == Round::Learned);
    if (explored_.finding.harm != Harm::None) return explored_;
  }
  do {
    restart();
  } while (go(bounds, start, seconds_max, true) == Round::Learned);
  return explored_;
}

// `stops`: at the first run that shows something new, instead of at the end.
Search::Round Search::go(const Bounds& bounds, double start, double seconds_max, bool stops) {
  do {
    depth_ = 0;
    prefix_ = choices_.size();
    const End end = machine.run(bounds, *this);
    ++explored_.run_count;
    explored_.state_count = seen_.size();
    if (machine.has_learned()) {
      if (stops) return Round::Learned;
      continue;
    }
    if (explored_.run_count % kRunsBetweenChecks == 1 && !machine.is_well_kept()) {
      explored_.finding = {Harm::Wrong, "the explorer missed a change of the memory"};
    }
    if (end == End::Quiet) {
      ++explored_.end_count;
      if (Finding finding = machine.judge(); finding.harm != Harm::None) explored_.finding = finding;
    } else if (end == End::Endless) {
      explored_.finding = {Harm::Blocked, "somebody goes on without end"};
    }
    if (explored_.finding.harm != Harm::None) {
      explored_.schedule = schedule();
      return Round::Over;
    }
    if (seconds_max != 0 && explored_.run_count % 256 == 0 && now_seconds() - start > seconds_max) return Round::Over;
  } while (advance());
  if (machine.has_learned()) return Round::Learned;
  explored_.is_complete = true;
  return Round::Over;
}

Explored Search::replay(const std::string& schedule, const Bounds& bounds) {
  Explored explored;
  Follower follower(schedule);
  explored.run_count = 1;
  machine.heeds_all = true;
  const End end = machine.run(bounds, follower);
  if (end == End::Quiet) explored.finding = machine.judge();
  else if (end == End::Endless) explored.finding = {Harm::Blocked, "somebody goes on without end"};
  else explored.finding = {Harm::Wrong, "the schedule does not fit this build"};
  machine.heeds_all = false;
  return explored;
}

}  // namespace ripstop::explorer
