//! The log: load by boundary, decide, append. The one command path; sealing; working state.
//!
//! It never decides anything itself: that is `domain`'s. Reading order: [`store`] is the door, `appender` the one
//! writer, `decider` and `follower` its two hands; `memory`, `turns`, `engine` and `location` are what they work with. Then
//! what events look like at rest, and the working state.

pub mod store;
mod appender;
mod decider;
mod follower;
mod memory;
mod turns;
mod engine;
mod location;
mod copied;
pub mod envelope;
pub mod verify;
pub mod migrate;
pub mod durability;
pub mod working;
pub mod seal;
pub mod token;
pub mod secret;
pub mod clock;
pub mod random;
mod generations;
pub mod gather;

pub use location::{Location, OpenError, SqliteFile};
pub use store::{ExecuteError, Executed, ReadError, Store};
