//! Callers in a closed loop: each asks again as soon as it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;

/// Lets `callers` call for a while, and tells how many calls a second were answered. A caller is told its number and
/// that of its call. The first failure ends the measurement.
pub async fn closed_loop<Called>(
    callers: u64,
    time: Duration,
    call: impl Fn(u64, u64) -> Called + Clone + Send + 'static,
) -> Result<f64, Failure>
where
    Called: Future<Output = Result<(), Failure>> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (stop, call) = (Arc::clone(&stop), call.clone());
            tokio::spawn(async move {
                let mut answered = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    call(caller, answered).await?;
                    answered += 1;
                }
                Ok::<u64, Failure>(answered)
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for task in tasks {
        answered += task.await??;
    }
    Ok(answered as f64 / began.elapsed().as_secs_f64())
}

/// Somebody who calls again as soon as it is answered, and keeps what it needs between calls, such as a connection.
pub trait Caller: Send + 'static {
    /// Calls once and waits for the answer.
    fn call(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What came of a timed loop.
pub struct Answered {
    /// Calls a second.
    pub per_second: f64,
    /// How long each call took, the shortest first.
    pub took: Sorted,
}

/// Times in milliseconds, the shortest first.
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Sorts times.
    pub fn new(mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_unstable_by(f64::total_cmp);
        Self(times_ms)
    }

    /// The time that so many of a hundred do not pass; 0 if there are none.
    pub fn percentile(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// Lets callers call for a while, as [`closed_loop`] does, and times each call. The callers come back with whatever
/// they kept.
pub async fn timed_loop<C: Caller>(callers: Vec<C>, time: Duration) -> Result<(Answered, Vec<C>), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut took = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    caller.call().await?;
                    took.push(milliseconds(asked.elapsed()));
                }
                Ok::<_, Failure>((took, caller))
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let (mut took, mut callers) = (Vec::new(), Vec::new());
    for task in tasks {
        let (of_caller, caller) = task.await??;
        took.extend(of_caller);
        callers.push(caller);
    }
    let per_second = took.len() as f64 / began.elapsed().as_secs_f64();
    Ok((Answered { per_second, took: Sorted::new(took) }, callers))
}

/// A time in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
