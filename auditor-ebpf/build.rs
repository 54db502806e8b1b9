//! Asks the linker for the instructions that let atomics return the old value (Linux 5.12).

fn main() {
    println!("cargo:rustc-link-arg-bins=--cpu-features=+alu32");
}
