//! The log: load by boundary, decide, append. The one command path; sealing; working state.

pub mod clock;
pub mod random;
pub mod secret;
