//! What durability rests on. A weakened database is read, never written.

use std::fmt;

/// A setting under which an acknowledged event could be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The setting's name in the database.
    pub setting: String,
    /// Its value.
    pub value: String,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.setting, self.value)
    }
}
