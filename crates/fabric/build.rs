//! A new migration is a reason to build again: the folder is read at compile time, and cargo does not know that.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
