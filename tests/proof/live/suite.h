// The cases of a suite, what they found, and its line of figures (tools/proof).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ripstop::live {

enum class Fault : uint8_t { Lost, Doubled, Leaked, Blocked, Wrong };

// What one case found.
class Findings {
 public:
  void add(Fault fault, std::string words) { found_.push_back({fault, std::move(words)}); }
  // Something that must be so is not. Answers whether it is.
  bool expect(bool holds, std::string words, Fault fault = Fault::Wrong) {
    if (!holds) add(fault, std::move(words));
    return holds;
  }
  // It cannot be tried on this machine.
  void skip(std::string why) { skipped_ = std::move(why); }
  // Says something beside the case's line.
  void note(std::string words) { note_ = std::move(words); }

  struct Found {
    Fault fault;
    std::string words;
  };
  const std::vector<Found>& found() const { return found_; }
  const std::string& skipped() const { return skipped_; }
  const std::string& told() const { return note_; }

 private:
  std::vector<Found> found_;
  std::string skipped_;
  std::string note_;
};

// `expected`: what is to happen, said before it is tried.
struct Case {
  std::string name;
  std::string expected;
  std::function<void(Findings&)> run;
  // How many points it is: most are one.
  uint64_t point_count = 1;
};

struct SuiteOptions {
  bool is_long = false;
  bool list = false;
  std::vector<std::string> chosen;  // Names of cases; none: all.
};

// Null, with the reason printed, when the words are not understood.
// Words: --short, --long, --list, or cases.
bool parse_suite(int argc, char** argv, SuiteOptions& options);

// Runs them in order and prints a line for each, then the figures. Returns the exit status: 1 when
// something was found. `what`: of how many and what, behind the figures.
int run_suite(const std::string& name, const std::vector<Case>& cases, const SuiteOptions& options, const std::string& what);

// A suite's figures, for one that keeps its own account.
struct Figures {
  uint64_t points = 0;
  uint64_t by_fault[5] = {};
  void count(const Findings& findings);
  bool clean() const;
};
void print_figures(const std::string& name, const Figures& figures, double seconds, const std::string& what);
const char* to_string(Fault fault) noexcept;

}  // namespace ripstop::live
