//! Vinculum.

mod dev;

fn main() {}
