//! The part of the surroundings that a test of the store alone needs: `#[path = "…/support/database.rs"] mod support;`.
#![expect(dead_code, reason = "a test needs a database and no server of its own")]

pub mod postgres;
pub mod server;
