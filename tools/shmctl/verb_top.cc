// Two looks, an interval apart, make the rates and decide between stuck and thinking. On a terminal
// the screen is redrawn in place; elsewhere each look is a table of its own.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/interrupt.h"
#include "shmctl/listing.h"
#include "shmctl/told_agent.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

struct TopRow {
  AgentView agent;
  double cpu_ratio = 0;
  double taken_per_s = 0;
  double sent_per_s = 0;
  uint64_t dropped = 0;  // Meanwhile.
  std::optional<uint64_t> busy_ns;
};

char letter_of(Health health) {
  switch (health) {
    case Health::Idle: return 'I';
    case Health::Active: return 'A';
    case Health::Busy: return 'B';
    case Health::Lagging: return 'L';
    case Health::Stuck: return 'S';
    case Health::Stopped: return 'T';
    case Health::Zombie: return 'Z';
    case Health::Dead: return 'X';
  }
  return '?';
}

// Without the backlog, which has columns of its own here.
std::string short_why(const std::string& why) {
  const std::size_t at = why.find("; ");
  return at == std::string::npos ? why : why.substr(at + 2);
}

const Telling<TopRow>& telling() {
  static const Telling<TopRow> list = {
      {{"name", "AGENT", Kind::Text, Show::Table, "its name"},
       [](const TopRow& r) { return r.agent.name; }},
      {{"letter", "S", Kind::Text, Show::Table,
        "Idle, Active, Busy, Lagging, Stuck, sTopped, X dead"},
       [](const TopRow& r) { return std::string(1, letter_of(r.agent.health)); }},
      {{"oldest_wait_ns", "WAIT", Kind::Duration, Show::Table, "queue age: of the first that waits",
        true},
       [](const TopRow& r) { return or_null(r.agent.oldest_wait_ns); }},
      {{"busy_ns", "BUSY", Kind::Duration, Show::Table,
        "handler time: since the take of what is in its hand", true},
       [](const TopRow& r) { return or_null(r.busy_ns); }},
      {{"waiting", "LAG", Kind::Count, Show::Table, "messages that wait"},
       [](const TopRow& r) { return r.agent.waiting; }},
      {{"dropped", "DROP", Kind::Count, Show::Table, "given up to overflow policies meanwhile"},
       [](const TopRow& r) { return r.dropped; }},
      {{"taken_per_s", "IN/s", Kind::Rate, Show::Table, "messages taken a second"},
       [](const TopRow& r) { return r.taken_per_s; }},
      {{"sent_per_s", "OUT/s", Kind::Rate, Show::Table, "sends a second"},
       [](const TopRow& r) { return r.sent_per_s; }},
      {{"cpu_ratio", "CPU", Kind::Ratio, Show::Table, "of one core"},
       [](const TopRow& r) { return r.cpu_ratio; }},
      {{"why", "WHY", Kind::Text, Show::Table, "the evidence for its state"},
       [](const TopRow& r) { return short_why(r.agent.why); }},
      {{"state", "STATE", Kind::Text, Show::Wide, "the letter in a word"},
       [](const TopRow& r) { return to_string(r.agent.health); }},
      {{"pid", "PID", Kind::Id, Show::Wide, "its process"},
       [](const TopRow& r) { return r.agent.process.pid; }},
      {{"p50_ns", "P50", Kind::Duration, Show::Wide, "publish to take, median since it attached"},
       [](const TopRow& r) { return r.agent.latency.p50_ns; }},
      {{"p99_ns", "P99", Kind::Duration, Show::Wide, "publish to take, 99th percentile"},
       [](const TopRow& r) { return r.agent.latency.p99_ns; }},
  };
  return list;
}

double per_second(uint64_t now, uint64_t before, double seconds) {
  return now > before ? static_cast<double>(now - before) / seconds : 0;
}

std::vector<TopRow> compare(const std::vector<AgentView>& before, std::vector<AgentView> now,
                            double seconds, bool all) {
  std::vector<TopRow> rows;
  for (AgentView& agent : now) {
    if (agent.observer && !all) continue;
    const auto earlier = std::find_if(before.begin(), before.end(), [&](const AgentView& a) {
      return a.id == agent.id && a.incarnation == agent.incarnation;
    });
    TopRow row;
    if (earlier != before.end()) {
      Judgement judgement = judge(agent, &*earlier);
      agent.health = judgement.health;
      agent.why = std::move(judgement.why);
      row.cpu_ratio = per_second(agent.process.cpu_ns, earlier->process.cpu_ns, seconds) / 1e9;
      row.taken_per_s = per_second(agent.taken_count, earlier->taken_count, seconds);
      row.sent_per_s = per_second(agent.published_count, earlier->published_count, seconds);
      row.dropped = agent.dropped_count > earlier->dropped_count
                        ? agent.dropped_count - earlier->dropped_count
                        : 0;
    }
    if (agent.taken + agent.held > 0) row.busy_ns = agent.last_take_ns;
    row.agent = std::move(agent);
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const TopRow& a, const TopRow& b) {
    const auto bad = [](const TopRow& r) {
      return r.agent.health >= Health::Lagging ? r.agent.health : Health::Idle;
    };
    if (bad(a) != bad(b)) return bad(a) > bad(b);
    return a.taken_per_s + a.sent_per_s > b.taken_per_s + b.sent_per_s;
  });
  return rows;
}

// Keys without Enter and without echo, while it lives.
class Keys {
 public:
  Keys() {
    active_ = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!active_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    std::fputs("\x1b[?1049h\x1b[?25l", stdout);  // The other screen, without cursor.
  }
  ~Keys() {
    if (!active_) return;
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  // Waits; true when q was pressed.
  bool quit_within(uint64_t ns) const {
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    if (poll(&keys, 1, static_cast<int>(ns / 1'000'000)) <= 0) return false;
    char key = 0;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
  }

 private:
  termios before_{};
  bool active_ = false;
};

void draw(const Command& command, const std::vector<TopRow>& rows, const FabricView& fabric,
          double seconds) {
  const Terminal terminal =
      look_at_terminal(command.settings.no_colour);  // It may have been resized.
  std::vector<JsonValue> shown = rows_of(telling(), rows);
  const std::size_t room = terminal.lines > 5 ? terminal.lines - 5 : 1;
  const std::size_t more = shown.size() > room ? shown.size() - room : 0;
  shown.resize(shown.size() - more);
  double taken_per_s = 0;
  for (const TopRow& row : rows) taken_per_s += row.taken_per_s;
  const std::string head =
      "fabric " + fabric.name + "  " +
      (fabric.read_via == "supervisor" ? fabric.state : "without supervisor") + "  " +
      std::to_string(rows.size()) + (rows.size() == 1 ? " agent  " : " agents  ") +
      count_text(taken_per_s) + " taken/s  every " +
      duration_text(static_cast<uint64_t>(seconds * 10) * 100'000'000, terminal.utf8) + "  q quits";
  std::string screen = "\x1b[H\x1b[2J" +
                       toned(terminal, Tone::Bold, fit(head, terminal.columns, terminal.utf8)) +
                       "\n\n";
  screen +=
      rows.empty()
          ? "No agent is attached. In another terminal: " + to_type(command, "sub hello") + "\n"
          : render_table(fields_of(telling()), shown, terminal,
                         {command.settings.format == Format::Wide, health_tone});
  if (more > 0) screen += "and " + std::to_string(more) + " more\n";
  std::fputs(screen.c_str(), stdout);
  std::fflush(stdout);
}

int print_look(const Command& command, const std::vector<TopRow>& rows) {
  Listing listing;
  listing.rows = rows_of(telling(), rows);
  listing.tone = health_tone;
  listing.empty = "No agent is attached to fabric " + command.settings.fabric + ". Try:\n  " +
                  to_type(command, "sub hello");
  const int status = print_listing(command, std::move(listing));
  std::fflush(stdout);
  return status;
}

int watch_screen(const Command& command, const Inspector& inspector, uint64_t interval_ns) {
  Interrupt interrupt;
  const Keys keys;
  std::vector<AgentView> before = inspector.agents();
  uint64_t before_ns = now_ns();
  uint64_t wait_ns = 200'000'000;  // The first picture comes soon.
  while (!interrupt.asked()) {
    if (keys.quit_within(wait_ns)) return 0;
    if (interrupt.asked()) break;
    std::vector<AgentView> now = inspector.agents();
    const uint64_t time_ns = now_ns();
    const double seconds = static_cast<double>(time_ns - before_ns) / 1e9;
    draw(command, compare(before, now, seconds, command.has("all")), inspector.fabric(),
         static_cast<double>(interval_ns) / 1e9);
    before = std::move(now);
    before_ns = time_ns;
    wait_ns = interval_ns;
  }
  return kInterruptedStatus;
}

int run(const Command& command) {
  const auto interval = command.duration("interval", 1'000'000'000);
  auto count = command.number("count", 0, 1, 1'000'000'000);
  if (!interval) return exit_code(interval.error());
  if (!count) return exit_code(count.error());
  if (*interval < 10'000'000) return exit_code(usage_error("--interval takes 10ms or more"));
  if (command.has("once")) count = uint64_t{1};
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  const bool screen =
      command.settings.terminal.interactive && *count == 0 &&
      (command.settings.format == Format::Table || command.settings.format == Format::Wide);
  if (screen) return watch_screen(command, *inspector, *interval);

  Interrupt interrupt;
  std::vector<AgentView> before = inspector->agents();
  uint64_t before_ns = now_ns();
  for (uint64_t i = 0; *count == 0 || i < *count; ++i) {
    if (!interrupt.sleep(*interval)) return kInterruptedStatus;
    std::vector<AgentView> now = inspector->agents();
    const uint64_t time_ns = now_ns();
    const auto rows =
        compare(before, now, static_cast<double>(time_ns - before_ns) / 1e9, command.has("all"));
    if (const int status = print_look(command, rows); status != 0) return status;
    before = std::move(now);
    before_ns = time_ns;
  }
  return 0;
}

}  // namespace

const Verb& verb_top() {
  static const Verb verb = {
      .name = "top",
      .summary = "Live: agents with queue age, handler time, lag, drops, state and why",
      .detail =
          "S is the state: I idle, A active, B busy (thinking), L lagging, S stuck, T stopped, X "
          "dead; WHY is the "
          "evidence. Those that need somebody come first. On a terminal q ends it; elsewhere, or "
          "with --once or "
          "--count, each look is a table of its own.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {},
      .flags = {{"-1,--once", "", "one look, then end"},
                {"-n,--count", "N", "so many looks, then end"},
                {"-i,--interval", "TIME", "between looks; 1s"},
                {"-a,--all", "", "tools too"}},
      .fields = fields_of(telling()),
      .examples = {"shmctl top", "shmctl top --once", "shmctl top -n 3 -i 500ms -o jsonl"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
