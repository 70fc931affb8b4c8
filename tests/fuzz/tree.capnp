@0xd4b0a1c95e7f2386;

# A message of every shape that a reader has to follow: text, bytes, lists, structs in structs.
struct Tree {
  title @0 :Text;
  bytes @1 :Data;
  numbers @2 :List(UInt64);
  names @3 :List(Text);
  children @4 :List(Tree);
}
