@0xb1a7d2f06c3e5498;

struct Step {
  number @0 :UInt64;
  note @1 :Text;
}

struct Plan {
  title @0 :Text;
  steps @1 :List(Step);
}
