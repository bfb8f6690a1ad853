//! A look at something outside that many want at the same moment: those who ask while one is under way share the next.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::turns::TURN_WAIT;

/// Looks at one thing, one after the other.
///
/// Invariant: whoever asks is answered by a look that began after that and succeeded.
#[derive(Debug, Default)]
pub(crate) struct Look {
    begun: AtomicU64,
    /// The number of the newest look that succeeded; whoever holds it looks.
    succeeded: Mutex<u64>,
}

impl Look {
    /// Looks, unless somebody else does so in the meantime.
    pub async fn share<E>(&self, look: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let mut turn = timeout(TURN_WAIT, self.succeeded.lock()).await;
        if turn.as_ref().is_ok_and(|succeeded| **succeeded > begun_before) {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        look.await?;
        if let Ok(succeeded) = &mut turn {
            **succeeded = number;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_while_somebody_looks_share_the_next_look() {
        let (look, looks) = (Look::default(), Cell::new(0));
        let ask = || {
            look.share(async {
                looks.set(looks.get() + 1);
                yield_now().await;
                Ok::<(), ()>(())
            })
        };
        assert!(join_all((0..10).map(|_| ask())).await.iter().all(Result::is_ok));
        assert_eq!(looks.get(), 2);
        ask().await.unwrap();
        assert_eq!(looks.get(), 3, "what was seen before it was asked for is no answer");
    }

    #[tokio::test]
    async fn a_look_that_fails_is_nobody_elses_answer() {
        let (look, looks) = (Look::default(), Cell::new(0));
        let ask = || {
            look.share(async {
                looks.set(looks.get() + 1);
                yield_now().await;
                if looks.get() < 4 { Err(()) } else { Ok(()) }
            })
        };
        let failed = join_all((0..10).map(|_| ask())).await.iter().filter(|answer| answer.is_err()).count();
        assert_eq!((failed, looks.get()), (3, 4));
    }
}
