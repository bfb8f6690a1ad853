//! The part of the log's tests that others use, too: `#[path = "log/shared.rs"] mod log;`.
#![expect(dead_code, reason = "the log's own tests use the rest")]

#[macro_use]
pub mod bench;
pub mod check;
pub mod commands;
