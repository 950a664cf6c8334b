//! Platform Kernel: the door.
fn main() {}
