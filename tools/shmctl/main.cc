// shmctl: looks at a fabric, and lets a person speak in it. README.md beside this file.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>

#include "base/no_heap.h"
#include "shmctl/command_line.h"
#include "shmctl/interrupt.h"
#include "shmctl/verb.h"

namespace {

using namespace ripstop;
using namespace ripstop::shmctl;

// A verb that lists, again and again until somebody presses ^C.
int watch(const Command& command) {
  Interrupt interrupt;
  const Terminal& terminal = command.settings.terminal;
  const bool screen = terminal.interactive && !command.settings.json();
  while (true) {
    if (screen) std::fputs("\x1b[H\x1b[2J", stdout);
    if (const int status = command.verb->run(command); status != 0) return status;
    std::fflush(stdout);
    if (!interrupt.sleep(command.settings.watch_ns)) return kInterruptedStatus;
    if (!screen && command.settings.format == Format::Table) std::fputs("\n", stdout);
  }
}

int run(int argc, char** argv) {
  auto command = parse_command_line(argc, argv);
  if (!command) return exit_code(command.error());
  if (command->settings.watch_ns != 0) return watch(*command);
  return command->verb->run(*command);
}

}  // namespace

int main(int argc, char** argv) {
  constexpr const char* kMakeRoom = "make room, then try again";
  base::end_where_nothing_can_be_thrown(kMakeRoom);
  // `shmctl topics | head -1` ends quietly, whatever the parent did with the signal.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    const int status = run(argc, argv);
    if (std::fflush(stdout) == 0) return status;
    const int shown = exit_code(system_error("write to standard output", errno));
    return status == 0 ? shown : status;
  } catch (const std::bad_alloc&) {
    return base::exit_without_heap(kMakeRoom);
  } catch (const std::filesystem::filesystem_error& failure) {
    return exit_code(system_error(failure.what(), failure.code().value()));
  }
}
