# What the benches build and read: 64 bytes of message, one text among them.
@0xd7c1f0a36b5e4982;

struct Task {
  id @0 :UInt64;
  deadline @1 :UInt64;
  attempt @2 :UInt32;
  urgent @3 :Bool;
  goal @4 :Text;
}
