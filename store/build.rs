//! The migrations are compiled in: a new file makes the crate anew.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
