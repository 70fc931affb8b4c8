// What can go wrong in a cold call, as a value: a code, what happened, why, and what to do.
//
// A code's number is what a person sees (`RS-0107`) and what `shmctl explain` looks up; it never
// changes its meaning. Outcomes of hot calls (a full lane, an empty inbox) are enums of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ripstop {

enum class Errc : uint16_t {
  // Attaching and the supervisor.
  BadName = 101,
  NameTaken = 102,
  Denied = 103,
  AbiMismatch = 104,
  LayoutMismatch = 105,
  UnsupportedCpu = 106,
  NoSupervisor = 107,
  SupervisorGone = 108,
  FabricBusy = 109,
  Forked = 110,
  AgentsFull = 111,
  Timeout = 112,
  Protocol = 113,
  Draining = 114,
  SendersFull = 115,
  FabricGone = 116,

  // Memory.
  PoolEmpty = 201,
  TooLarge = 202,
  NoMemory = 203,
  NoHugepages = 204,
  Corrupt = 205,
  RingsFull = 206,
  HeldFull = 207,

  // Topics and channels.
  BadTopic = 301,
  TopicsFull = 302,
  SubscriptionsFull = 303,
  ChannelBusy = 304,
  WrongGeometry = 305,
  UnknownTopic = 306,

  // Configuration files.
  ConfigUnreadable = 401,
  ConfigSyntax = 402,
  ConfigUnknownKey = 403,
  ConfigValue = 404,

  // A person's command.
  Usage = 501,
  UnknownVerb = 502,
  NotFound = 503,
  Unavailable = 504,  // This build or machine lacks what the command needs.

  System = 901,  // A system call failed; `sys_errno` says how.
};

// Why a cold call could not do what was asked.
struct Error {
  Errc code = Errc::System;
  int sys_errno = 0;  // The failed call's errno, or 0.
  std::string what;   // One line, names the thing: "no supervisor answers at /run/…/default.sock".
  std::string why;    // Evidence, may be empty: "the socket exists but pid 4711 has ended".
  std::string fix;    // What to type or change, may be empty: "ripstopd --fabric default".
};

// "RS-0107".
std::string error_code_text(Errc code);

// The four-line form that every Ripstop program prints:
//   error RS-0107: <what>
//     why   …
//     fix   …
//     more  shmctl explain RS-0107
std::string to_string(const Error& error);

// Prints `error` to standard error in the form above and returns the process exit code for it:
// 1 failed, 2 usage, 3 not found, 4 timeout, 5 no supervisor, 6 denied, 7 refused by pressure,
// 8 version mismatch.
int exit_code(const Error& error);

// The exit code alone.
int exit_status(Errc code) noexcept;

// Builds the error of a failed system call: `op` names the call and its object ("mmap segment 0").
Error system_error(std::string_view op, int sys_errno);

}  // namespace ripstop
