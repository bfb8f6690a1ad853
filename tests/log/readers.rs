//! T57: whoever reads in pages after the last position it saw never skips an event, whatever writers do meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::event::Recorded;
use store::Store;

use super::bench::{Bench, Outside, run};
use super::check::readable;
use super::commands::*;

/// How long eight writers write; on a machine that is busy with other things, so long that they write at least this often.
const SPAN: Duration = Duration::from_millis(2_000);
const ROUNDS_MIN: usize = 4;

/// Reads what is new until it is told to stop and nothing is new any more.
async fn tail(store: Store, page_size: i64, is_over: Arc<AtomicBool>) -> Vec<Recorded> {
    let mut read: Vec<Recorded> = Vec::new();
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        let after = read.last().map_or(0, |recorded| recorded.position);
        let page = store.page(after, page_size).await.unwrap();
        if page.is_empty() && was_over {
            return read;
        }
        read.extend(page);
    }
}

/// Writes about an account of its own and about one that all write about.
async fn write(store: Store, shared: domain::ids::AccountId) -> usize {
    let (start, mut rounds, mut written) = (Instant::now(), 0, 0);
    let own = an_account(&store).await;
    let (_, link) = somebody_invited(&store, own).await;
    while start.elapsed() < SPAN || rounds < ROUNDS_MIN {
        rounds += 1;
        for command in [
            add(own, fresh_professional(), &address()),
            visit(link),
            set_plan(shared, &format!("Plan {written}")),
            add(shared, fresh_professional(), "taken@harbour.example"),
        ] {
            let executed = run(&store, &staff(), command).await;
            written += executed.map_or(0, |executed| executed.events.len());
        }
    }
    written
}

/// Takes the lock, moves the head, stalls and rolls back; and again.
async fn stall(mut outside: Outside, stall: Duration, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        outside.lock().await;
        let position = outside.numbers("select position from log_head").await[0] + 1;
        outside.run(&format!("insert into event values ({position}, 'never committed')")).await.unwrap();
        outside.set_head(position).await;
        tokio::time::sleep(stall).await;
        outside.unlock().await;
        tokio::time::sleep(stall * 7).await;
    }
}

on_both! {
    async fn t57_a_reader_that_tails_the_log_skips_nothing(bench: &Bench) {
        let writers = bench.writers(3).await;
        let shared = an_account(&writers[0]).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = [(0, 1_000), (1, 7), (2, 1)]
            .into_iter()
            .map(|(store, page_size)| tokio::spawn(tail(writers[store].clone(), page_size, Arc::clone(&is_over))))
            .collect();
        let writing: Vec<_> =
            (0..8).map(|number| tokio::spawn(write(writers[number % 3].clone(), shared))).collect();
        let mut stalling = Vec::new();
        for stalled in [3, 11] {
            let (outside, stalled) = (bench.outside().await, Duration::from_millis(stalled));
            stalling.push(tokio::spawn(stall(outside, stalled, Arc::clone(&is_over))));
        }
        let mut written = 0;
        for writer in writing {
            written += writer.await.unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        for stalled in stalling {
            stalled.await.unwrap();
        }
        let log = readable(&writers[0]).await;
        assert!(written > 8 * ROUNDS_MIN && log.len() > written, "{written} events were written");
        for reader in readers {
            assert_eq!(reader.await.unwrap(), log);
        }
    }

    /// The store tells its own node's newest position; it never runs ahead of what can be read.
    async fn a_position_that_was_told_can_be_read(bench: &Bench) {
        let store = bench.writer().await;
        let mut appended = store.appended();
        let account = an_account(&store).await;
        for _ in 0..50 {
            appended.mark_unchanged();
            let writing = { let store = store.clone(); tokio::spawn(async move {
                run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap()
            }) };
            appended.changed().await.unwrap();
            let told = *appended.borrow();
            assert_eq!(store.page(told - 1, 10).await.unwrap().len(), 1);
            assert_eq!(writing.await.unwrap().position, told);
        }
    }
}
