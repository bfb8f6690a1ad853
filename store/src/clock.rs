//! The one place where the clock is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::time::{Millis, Timestamp};

/// Where the time comes from: the system, or a hand-turned clock in tests.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until it is turned.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Makes a clock that stands at `at`.
    pub fn manual(at: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(at.0)))
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(at) => Timestamp(at.load(Ordering::SeqCst)),
        }
    }

    /// Turns a manual clock by `length`, which may be negative; the system's clock stays as it is.
    pub fn turn(&self, length: Millis) {
        if let Self::Manual(at) = self {
            at.fetch_add(length.0, Ordering::SeqCst);
        }
    }
}
