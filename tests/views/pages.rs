//! Rows are folds: however the log is cut into pages, the same rows come out.

use std::collections::BTreeSet;

use domain::command::Command;
use domain::event::Event;
use domain::time::Millis;
use projections::ALL;

use super::history::{Writer, everything};
use super::node::Node;
use super::tables::{Tables, folded};
use crate::log::bench::{Bench, open_at, run, standing_clock};
use crate::log::check::readable;
use crate::log::commands::person;

/// Random histories; the number is the seed.
const HISTORIES: u64 = 4;
/// Wishes in each; about half are refused.
const WISHES: usize = 150;

on_both! {
    async fn pages_of_any_size_make_the_same_rows(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        for seed in 0..HISTORIES {
            let mut writer = Writer::new(store.clone(), seed);
            for _ in 0..WISHES {
                writer.step().await;
                store.clock().turn(Millis::minutes(1)); // what was deferred becomes due, claims die, codes expire
            }
        }
        let (account, identity) = everything(&store).await;
        store.clock().turn(Millis::hours(24));
        run(&store, &person(identity), Command::RecordSignIn { account, identity }).await.unwrap();
        let log = readable(&store).await;
        let names: BTreeSet<&str> = log.iter().map(|recorded| recorded.event.name()).collect();
        assert_eq!(names, Event::NAMES.iter().copied().collect(), "every kind of event is among them");
        for view in ALL {
            let expected = folded(view, &log, 1_000);
            for page_size in [1, 2, 7, 100, usize::MAX] {
                assert_eq!(folded(view, &log, page_size), expected, "{} in pages of {page_size}", view.name);
            }
        }
        // The same from the database: made anew in large pages, then followed in whatever pages come.
        let node = Node::start_with(store.clone()).await;
        let mut writer = Writer::new(store.clone(), HISTORIES);
        writer.steps(WISHES).await;
        node.follow().await;
        Tables::equal_the_log(bench).await;
    }
}
