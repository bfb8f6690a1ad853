//! A row as of a moment is the row that the live view showed then: at every position, and at every time.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::Command;
use domain::event::{Position, Recorded, ServicePlan};
use domain::tag::Subject;
use domain::time::{Millis, Timestamp};
use projections::ALL;
use projections::accounts::Accounts;
use projections::as_of::{self, Moment};
use projections::professionals::Professionals;
use projections::view::View;
use store::Store;

use super::history::Writer;
use super::node::Node;
use super::tables::{Rows, Tables, folded};
use crate::log::bench::{Bench, open_at, run, standing_clock};
use crate::log::check::readable;
use crate::log::commands::*;

/// The body of each row of a view, by key.
type Bodies = BTreeMap<String, String>;

fn bodies(rows: Rows) -> Bodies {
    rows.into_iter().filter_map(|(key, mut row)| Some((key, row.pop()?))).collect()
}

/// The subject that holds all events of a row.
fn subject_of(key: &str, body: &str) -> Subject {
    let row: serde_json::Value = serde_json::from_str(body).unwrap();
    let account = row["account"].as_str().unwrap_or(key);
    Subject::Account(account.parse().unwrap())
}

/// Every row of these keys as of a moment, as the store reads it.
async fn read_as_of<V: View>(store: &Store, keys: &Bodies, moment: Moment) -> Bodies {
    let mut found = Bodies::new();
    for (key, body) in keys {
        let row = as_of::read::<V>(store, &subject_of(key, body), key, moment).await.unwrap();
        found.extend(row.map(|row| (key.clone(), serde_json::to_string(&row).unwrap())));
    }
    found
}

/// What was shown after each step: the log's head, the time, and both views.
struct Shown {
    head: Position,
    at: Timestamp,
    accounts: Bodies,
    professionals: Bodies,
}

/// Every row of a view as of a moment, of a log in memory.
fn folded_as_of<V: View>(log: &[Recorded], moment: Moment) -> Bodies {
    let keys = log.iter().flat_map(V::keys).collect::<BTreeSet<_>>();
    let rows = keys.into_iter().filter_map(|key| {
        let body = serde_json::to_string(&as_of::fold::<V>(&key, None, log, moment)?).unwrap();
        Some((key, body))
    });
    rows.collect()
}

/// Checks every row of a view as of every position.
fn at_every_position<V: View>(log: &[Recorded]) {
    let view = ALL.iter().find(|view| view.name == V::NAME).unwrap();
    for end in 0..=log.len() {
        let expected = bodies(folded(view, &log[..end], usize::MAX));
        assert_eq!(folded_as_of::<V>(log, Moment::Position(end as Position)), expected, "{} at {end}", V::NAME);
    }
}

/// The last position that had been reached at a time.
fn last_at(log: &[Recorded], at: Timestamp) -> Position {
    log.iter().take_while(|recorded| recorded.recorded_at <= at).last().map_or(0, |recorded| recorded.position)
}

on_both! {
    async fn a_row_as_of_then_is_the_row_that_was_shown_then(bench: &Bench) {
        let clock = standing_clock();
        let (store, _) = open_at(bench.location(), clock.clone()).await.unwrap();
        let (node, tables) = (Node::start_with(store.clone()).await, Tables::of(bench).await);
        let view = |name: &str| ALL.iter().find(|view| view.name == name).unwrap();
        let mut writer = Writer::new(store.clone(), 11);
        let mut shown = Vec::new();
        for step in 0..40 {
            clock.turn(Millis::seconds(step % 3)); // some things happen at the same time
            writer.steps(4).await;
            let head = node.follow().await;
            let accounts = bodies(tables.rows(view("accounts")).await);
            let professionals = bodies(tables.rows(view("professionals")).await);
            shown.push(Shown { head, at: clock.now(), accounts, professionals });
        }
        let log = readable(&store).await;
        let Shown { accounts, professionals, .. } = shown.pop().unwrap();
        assert!(accounts.len() > 1 && professionals.len() > 3, "{} {}", accounts.len(), professionals.len());
        for (n, then) in shown.iter().enumerate() {
            assert_eq!(folded_as_of::<Accounts>(&log, Moment::Position(then.head)), then.accounts, "at {}", then.head);
            assert_eq!(folded_as_of::<Professionals>(&log, Moment::Position(then.head)), then.professionals);
            let (time, last) = (Moment::Time(then.at), Moment::Position(last_at(&log, then.at)));
            assert_eq!(folded_as_of::<Accounts>(&log, time), folded_as_of::<Accounts>(&log, last), "at {}", then.at);
            assert_eq!(folded_as_of::<Professionals>(&log, time), folded_as_of::<Professionals>(&log, last));
            if n % 8 == 0 {
                let (moment, store) = (Moment::Position(then.head), &store);
                assert_eq!(read_as_of::<Accounts>(store, &accounts, moment).await, then.accounts, "at {}", then.head);
                assert_eq!(read_as_of::<Professionals>(store, &professionals, moment).await, then.professionals);
            }
        }
        let changed = shown.windows(2).filter(|two| two[0].professionals != two[1].professionals).count();
        assert!(changed > 10, "the past differs from now: {changed}");
        at_every_position::<Accounts>(&log);
        at_every_position::<Professionals>(&log);
    }

    async fn before_it_was_made_there_is_nothing_and_a_plan_counts_at_its_time(bench: &Bench) {
        let clock = standing_clock();
        let (store, _) = open_at(bench.location(), clock.clone()).await.unwrap();
        let (account, at) = (fresh_account(), clock.now());
        let (subject, key) = (Subject::Account(account), account.to_string());
        let opened = run(&store, &staff(), open(account, &number())).await.unwrap();
        clock.turn(Millis::hours(1));
        let plan = ServicePlan { starts_at: at, ends_at: at + Millis::hours(2), ..plan("Support Plan") };
        run(&store, &staff(), Command::SetServicePlan { account, plan: Some(plan) }).await.unwrap();
        clock.turn(Millis::hours(2));
        run(&store, &staff(), end_plan(account)).await.unwrap();
        let read = async |moment| as_of::read::<Accounts>(&store, &subject, &key, moment).await.unwrap();

        assert_eq!(read(Moment::Position(opened.position - 1)).await, None);
        assert_eq!(read(Moment::Time(Timestamp(at.0 - 1))).await, None);
        assert_eq!(read(Moment::Position(opened.position)).await.and_then(|row| row.plan), None);
        assert_eq!(read(Moment::Time(at)).await.map(|row| row.position), Some(opened.position));
        let entitled = read(Moment::Time(at + Millis::hours(1))).await.unwrap();
        assert!(entitled.plan_allows_entry(at + Millis::hours(1)) && !entitled.plan_allows_entry(at + Millis::hours(2)));
        assert_eq!(read(Moment::Time(at + Millis::hours(3))).await.unwrap().plan, None);
        let (nobody, now) = (fresh_account().to_string(), Moment::Time(clock.now()));
        assert_eq!(as_of::read::<Accounts>(&store, &subject, &nobody, now).await.unwrap(), None);
    }
}
