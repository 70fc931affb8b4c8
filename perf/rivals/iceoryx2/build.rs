// Compiles the harness and the C++ side of this rival into the program.
fn main() {
    println!("cargo:rerun-if-changed=..");
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .opt_level(3)
        .include("..")
        .files(["../plan.cc", "../harness.cc", "../shared_memory.cc", "src/iceoryx2.cc"])
        .compile("rival");
}
