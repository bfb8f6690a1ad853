//! The random histories of the domain's own tests, with their naive reference.
#![expect(dead_code, reason = "the domain's tests use the rest")]

#[path = "../../domain/tests/rules/harness.rs"]
mod harness;
#[path = "../../domain/tests/model/histories.rs"]
pub mod histories;
#[path = "../../domain/tests/model/reference.rs"]
mod reference;
