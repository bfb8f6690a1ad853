//! Whoever needs a subject that is not in memory takes a turn to load it, so that it is read once and not by everybody
//! who wants something of it at the same moment.

use std::sync::Arc;
use std::time::Duration;

use domain::tag::{Subject, TagKey};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Turns that can be had at once: far more than connections, so that subjects which share one seldom wait.
const TURNS: usize = 256;
/// How long anybody waits for a turn before it does without: a database that hangs must not make callers wait in line.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(1);

/// The turns; subjects share them by their keys.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Arc<Mutex<()>>>);

impl Turns {
    pub fn new() -> Self {
        Self((0..TURNS).map(|_| Arc::default()).collect())
    }

    /// Waits for the turn of each of these subjects. The turns end when what is returned is dropped.
    pub async fn take(&self, subjects: &[Subject]) -> Vec<OwnedMutexGuard<()>> {
        let mut places: Vec<usize> =
            subjects.iter().map(|subject| (TagKey::first(subject).0 >> 4).unsigned_abs() as usize % TURNS).collect();
        // In one order for all, so that no two wait for each other.
        places.sort_unstable();
        places.dedup();
        let mut taken = Vec::with_capacity(places.len());
        for place in places {
            match tokio::time::timeout(TURN_WAIT, Arc::clone(&self.0[place]).lock_owned()).await {
                Ok(turn) => taken.push(turn),
                Err(_) => return taken,
            }
        }
        taken
    }
}
