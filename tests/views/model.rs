//! The random histories of the domain's own tests, with their naive reference.
#![allow(dead_code, unfulfilled_lint_expectations, reason = "the domain's tests use the rest, and not this")]

#[path = "../../domain/tests/rules/harness.rs"]
mod harness;
#[path = "../../domain/tests/model/histories.rs"]
pub mod histories;
#[path = "../../domain/tests/model/reference.rs"]
mod reference;
