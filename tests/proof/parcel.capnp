@0xb7c1f0a3d2e49586;

# A message of the soak that takes several chunks: each piece is asked for by itself.
struct Parcel {
  pieces @0 :List(Data);
}
