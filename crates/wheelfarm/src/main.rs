//! wheelfarm
fn main() {}
