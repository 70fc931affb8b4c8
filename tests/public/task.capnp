@0xd6a1f3c85b2e9047;

struct Task {
  goal @0 :Text;
  step @1 :UInt64;
}
