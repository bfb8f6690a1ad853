//! One read for all who ask at the same moment: a statement costs more for being one than for what it reads.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Mutex;

use tokio::sync::{Mutex as Turn, oneshot};
use tokio::time::sleep;

use crate::turns::TURN_WAIT;

/// Keys that one read is for at most: more would make the first of them wait for the last.
const GATHERED_MAX: usize = 128;

/// Those who ask, each for what there is under a key.
///
/// Invariant: whoever asks is answered by a read that began after that and succeeded, with what it found under this very
/// key. Where a read for many fails, hangs or is broken off, each of them reads for itself.
pub struct Gather<K, V> {
    asked: Mutex<Vec<(K, oneshot::Sender<V>)>>,
    /// Whoever holds it reads, for all who have asked by then.
    turn: Turn<()>,
}

impl<K, V> Default for Gather<K, V> {
    fn default() -> Self {
        Self { asked: Mutex::default(), turn: Turn::default() }
    }
}

impl<K, V> fmt::Debug for Gather<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash, V: Clone + Default> Gather<K, V> {
    /// Finds what there is under a key; nothing is what `V` is by default. `read` reads for many keys.
    ///
    /// # Errors
    /// The read for this key alone fails.
    pub async fn get<E, Reading>(&self, key: K, read: impl Fn(Vec<K>) -> Reading) -> Result<V, E>
    where
        Reading: Future<Output = Result<HashMap<K, V>, E>>,
    {
        let alone = async || Ok(read(vec![key]).await?.remove(&key).unwrap_or_default());
        let (answer, mut answered) = oneshot::channel();
        self.asked().push((key, answer));
        let _turn = tokio::select! {
            biased;
            answer = &mut answered => match answer {
                Ok(found) => return Ok(found),
                Err(_) => return alone().await,
            },
            turn = self.turn.lock() => turn,
            () = sleep(TURN_WAIT) => return alone().await,
        };
        let asked: Vec<_> = {
            let mut asked = self.asked();
            asked.retain(|(_, answer)| !answer.is_closed());
            let count = asked.len().min(GATHERED_MAX);
            asked.drain(..count).collect()
        };
        let mut keys: Vec<K> = asked.iter().map(|(key, _)| *key).collect();
        if !keys.contains(&key) {
            keys.push(key); // where more have asked before
        }
        let is_alone = keys.len() == 1;
        let found = match read(keys).await {
            Ok(found) => found,
            Err(error) if is_alone => return Err(error),
            Err(_) => {
                drop(asked); // which tells them
                return alone().await;
            }
        };
        for (key, answer) in asked {
            let _ = answer.send(found.get(&key).cloned().unwrap_or_default()); // who has gone needs no answer
        }
        Ok(found.get(&key).cloned().unwrap_or_default())
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<(K, oneshot::Sender<V>)>> {
        self.asked.lock().expect("invariant: nobody panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    type Doubles = Gather<usize, usize>;

    fn doubles(keys: &[usize]) -> HashMap<usize, usize> {
        keys.iter().filter(|key| **key < 1_000).map(|key| (*key, key * 2)).collect()
    }

    #[tokio::test]
    async fn those_who_ask_at_once_share_a_read_and_get_their_own() {
        let (gather, reads) = (Doubles::default(), AtomicUsize::new(0));
        let asks = (0..300).map(|number| {
            let key = if number == 7 { 5_000 } else { number % 200 };
            let read = async |keys: Vec<usize>| {
                reads.fetch_add(1, Ordering::SeqCst);
                assert!(keys.len() <= GATHERED_MAX + 1);
                yield_now().await;
                Ok::<_, ()>(doubles(&keys))
            };
            let gather = &gather;
            async move { (key, gather.get(key, read).await) }
        });
        for (key, found) in join_all(asks).await {
            assert_eq!(found, Ok(if key == 5_000 { 0 } else { key * 2 }));
        }
        assert!((3..=5).contains(&reads.load(Ordering::SeqCst)), "{reads:?}");
    }

    /// T64: what cannot be read is the trouble of whoever wants it.
    #[tokio::test]
    async fn t64_a_read_that_fails_for_one_fails_for_nobody_else() {
        let gather = Doubles::default();
        let asks = (0..10).map(|key| {
            gather.get(key, async |keys: Vec<usize>| {
                yield_now().await;
                if keys.contains(&3) { Err("broken") } else { Ok(doubles(&keys)) }
            })
        });
        for (key, found) in join_all(asks).await.into_iter().enumerate() {
            assert_eq!(found, if key == 3 { Err("broken") } else { Ok(key * 2) });
        }
    }

    #[tokio::test]
    async fn a_read_that_hangs_keeps_nobody_for_long() {
        let gather = Doubles::default();
        let hanging = gather.get(1, async |_: Vec<usize>| std::future::pending::<Result<_, ()>>().await);
        let other = gather.get(2, async |keys: Vec<usize>| Ok::<_, ()>(doubles(&keys)));
        tokio::select! {
            biased;
            _ = hanging => unreachable!("it hangs"),
            found = other => assert_eq!(found, Ok(4)),
        }
    }

    #[tokio::test]
    async fn what_was_read_before_somebody_asked_is_no_answer() {
        let (gather, reads) = (Doubles::default(), AtomicUsize::new(0));
        for _ in 0..2 {
            gather
                .get(1, async |keys: Vec<usize>| {
                    reads.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, ()>(doubles(&keys))
                })
                .await
                .unwrap();
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn whoever_hangs_up_while_reading_takes_nobody_along() {
        let gather = Arc::new(Doubles::default());
        let never = {
            let gather = Arc::clone(&gather);
            tokio::spawn(async move {
                gather.get(1, async |_: Vec<usize>| std::future::pending::<Result<_, ()>>().await).await
            })
        };
        yield_now().await;
        let waiting = {
            let gather = Arc::clone(&gather);
            tokio::spawn(async move { gather.get(2, async |keys: Vec<usize>| Ok::<_, ()>(doubles(&keys))).await })
        };
        yield_now().await;
        never.abort();
        assert_eq!(waiting.await.unwrap(), Ok(4));
    }
}
