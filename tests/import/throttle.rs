//! An account's mailboxes are not flooded: at most so many invitations in a minute, whatever happens to the import.

use std::collections::{HashMap, HashSet};

use domain::event::Event;
use domain::time::{Millis, Timestamp};
use store::Store;
use workers::import::{INVITATIONS_MAX, INVITATIONS_WINDOW, ImportError, Progress, RowResult};

use super::files::{ACCOUNTS, PEOPLE, dry_run, import, invitations, told};
use crate::log::bench::{Bench, open_at, run, standing_clock};
use crate::log::check::readable;
use crate::log::commands::{send, staff};
use crate::support::eventually;

/// People of the account whose invitations do not fit into one minute.
const PEOPLE_MANY: usize = 2 * INVITATIONS_MAX + 3;

type Running = tokio::task::JoinHandle<Result<Vec<RowResult>, ImportError>>;

fn files() -> (String, String) {
    let plan = "Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z,";
    let accounts = format!("{ACCOUNTS}C-1,customer,Meadow Mills,{plan}\nC-2,customer,Harbour Lights,{plan}\n");
    let person =
        |account: usize, n: usize| format!("C-{account},Person Number {n},n{n}@c-{account}.example,en,,true\n");
    let many: String = (0..PEOPLE_MANY).map(|n| person(1, n)).collect();
    (accounts, format!("{PEOPLE}{many}{}", person(2, 1)))
}

/// Begins an import and comes back when it waits for the next minute.
async fn begin(store: &Store) -> Running {
    let (import, progress, (accounts, people)) = (import(store), Progress::default(), files());
    let seen = progress.clone();
    let running = tokio::spawn(async move { import.run(accounts.into_bytes(), people.into_bytes(), &progress).await });
    eventually("an import that waits", async || seen.is_waiting().then_some(())).await;
    assert_eq!(seen.done(), seen.total(), "every row is done but for its mail");
    running
}

on_both! {
    async fn an_account_gets_so_many_invitations_in_a_minute(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let running = begin(&store).await;
        assert_eq!(invitations(&store).await, INVITATIONS_MAX + 1, "the other account has a minute of its own");
        // A crash, and another run within the same minute: it sends nothing more.
        running.abort();
        let _ = running.await;
        let running = begin(&store).await;
        assert_eq!(invitations(&store).await, INVITATIONS_MAX + 1);

        store.clock().turn(INVITATIONS_WINDOW);
        eventually("the next wave", async || (invitations(&store).await == 2 * INVITATIONS_MAX + 1).then_some(())).await;
        store.clock().turn(Millis(INVITATIONS_WINDOW.0 + 1));
        let rows = running.await.unwrap().unwrap();
        let rows = told(&rows);
        // The people were there already when the second run began, and some were invited.
        assert_eq!(rows.iter().filter(|told| told.ends_with("completed")).count(), PEOPLE_MANY - INVITATIONS_MAX);
        assert_eq!(rows.iter().filter(|told| told.ends_with("unchanged")).count(), 3 + INVITATIONS_MAX);
        assert_eq!(invitations(&store).await, PEOPLE_MANY + 1, "nobody is left out and nobody is invited twice");

        let mut issued: HashMap<_, Vec<Timestamp>> = HashMap::new();
        for recorded in readable(&store).await {
            if let Event::InvitationIssued(e) = &recorded.event {
                issued.entry(e.account).or_default().push(recorded.recorded_at);
            }
        }
        for times in issued.values() {
            for (first, last) in times.iter().zip(times.iter().skip(INVITATIONS_MAX)) {
                assert!((*last - *first).0 >= INVITATIONS_WINDOW.0, "more than {INVITATIONS_MAX} within a minute");
            }
        }
    }

    async fn whoever_is_invited_while_an_import_waits_is_not_invited_again(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let running = begin(&store).await;
        let (mut added, mut issued) = (Vec::new(), HashSet::new());
        for recorded in readable(&store).await {
            match recorded.event {
                Event::ProfessionalAdded(e) => added.push((e.account, e.professional)),
                Event::InvitationIssued(e) => drop(issued.insert(e.professional)),
                _ => {}
            }
        }
        let (account, professional) = added.into_iter().rfind(|(_, of)| !issued.contains(of)).unwrap();
        run(&store, &staff(), send(account, professional)).await.unwrap();
        store.clock().turn(INVITATIONS_WINDOW);
        eventually("the next wave", async || (invitations(&store).await == 2 * INVITATIONS_MAX + 2).then_some(())).await;
        store.clock().turn(Millis(INVITATIONS_WINDOW.0 + 1));
        let rows = running.await.unwrap().unwrap();
        assert!(told(&rows).iter().all(|told| told.ends_with("created")), "{rows:?}");
        assert_eq!(invitations(&store).await, PEOPLE_MANY + 1, "nobody is left out and nobody is invited twice");
    }

    async fn a_dry_run_does_not_wait(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let (accounts, people) = files();
        let rows = dry_run(&store, &accounts, &people).await;
        assert!(told(&rows).iter().all(|told| told.ends_with("created")));
        assert_eq!(store.head().await.unwrap(), 0);
    }
}
