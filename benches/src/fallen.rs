//! Counts the commands that fell and were decided again, as the log's own debug lines tell.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::Failure;

static FALLEN: AtomicU64 = AtomicU64::new(0);

/// Begins to count, for the whole process.
pub fn count() -> Result<(), Failure> {
    Ok(tracing::subscriber::set_global_default(Lines)?)
}

/// How many fell since this was asked before.
pub fn take() -> u64 {
    FALLEN.swap(0, Ordering::Relaxed)
}

/// Reads the appender's lines.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "store::appender" && *metadata.level() == Level::DEBUG
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Self);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1) // nobody asks for it
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Lines {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "fallen" {
            FALLEN.fetch_add(value, Ordering::Relaxed);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
