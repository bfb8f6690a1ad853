//! The part of the views' tests that others use, too: `#[path = "views/shared.rs"] mod views;`.
#![allow(dead_code, reason = "the views' own tests use the rest")]

pub mod node;
