@0xa8c53e0f9d7b6241;

# What the crew says to one another.

struct Job {
  number @0 :UInt64;   # The planner's, from 1.
  seed @1 :UInt64;
  rounds @2 :UInt32;   # How much work it is.
  text @3 :Text;
}

struct Answer {
  number @0 :UInt64;   # The job's.
  worker @1 :Text;
  value @2 :UInt64;    # work(seed, rounds); the planner checks it.
  attempt @3 :UInt8;   # The job's: how many workers had it before.
}
