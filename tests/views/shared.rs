//! The part of the views' tests that others use, too: `#[path = "views/shared.rs"] mod views;`.
#![expect(dead_code, reason = "the views' own tests use the rest")]

pub mod node;
