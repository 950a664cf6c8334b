//! The console is carried in the binary: built anew, it is embedded anew.

fn main() {
    println!("cargo:rerun-if-changed=../../web/dist");
}
