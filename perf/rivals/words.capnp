# What a topic's round trip of 64 bytes carries: words that count up, as every rival's payload (payload.h).
@0xb0a1f66d13c58e27;

struct Words {
  first @0 :UInt64;
  second @1 :UInt64;
  third @2 :UInt64;
  fourth @3 :UInt64;
  fifth @4 :UInt64;
  sixth @5 :UInt64;
  seventh @6 :UInt64;
}
