//! Links the C library for its start code, `write` and nothing else.

fn main() {
    println!("cargo::rustc-link-lib=c");
}
