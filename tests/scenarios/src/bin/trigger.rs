//! Trigger.
fn main() {}
