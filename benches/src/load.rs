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
