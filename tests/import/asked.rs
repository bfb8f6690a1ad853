//! Imports that were asked for: queued in the working state, run by a worker, gone without a trace of their files.

use domain::caller::{Caller, Request};
use domain::tag::RequestKey;
use domain::time::Millis;
use domain::words::Scope;
use store::Store;
use store::working::imports::{ALIVE_FOR, IMPORTS_OPEN_MAX, KEPT_FOR, NewImport, QUEUED_MAX, Queued};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;
use workers::import::INVITATIONS_MAX;
use workers::import::worker::ImportWorker;

use crate::import::files::{ACCOUNTS, FIRST, PEOPLE, accounts, cli, people};
use crate::log::bench::{Bench, open_at, request, standing_clock};
use crate::support::eventually;

fn new(accounts: &str, people: &str) -> NewImport {
    let (accounts, professionals) = (accounts.to_owned(), people.to_owned());
    NewImport { caller: cli(), request: request(), is_dry_run: false, accounts, professionals }
}

async fn queue(store: &Store, new: &NewImport) -> Uuid {
    match store.queue_import(new).await.unwrap() {
        Queued::Id(id) => id,
        other => panic!("not queued: {other:?}"),
    }
}

/// A worker, and what stops it.
fn work(store: &Store) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    let worker = ImportWorker { store: store.clone(), link_key: "l1".into() };
    (stop, tokio::spawn(worker.run(stopped)))
}

async fn stop(worker: (watch::Sender<bool>, JoinHandle<()>)) {
    worker.0.send_replace(true);
    worker.1.await.unwrap();
}

/// Waits until an import has ended; its status, with its code.
async fn ended(store: &Store, id: Uuid) -> String {
    eventually("an import that has ended", async || {
        let state = store.import(id).await.unwrap().unwrap();
        state.ended_at.map(|_| format!("{} {}", state.status, state.code.unwrap_or_default()).trim().to_owned())
    })
    .await
}

/// Everything that stands about imports, but for what is sealed.
async fn at_rest(bench: &Bench) -> String {
    let mut outside = bench.outside().await;
    let imports = "select coalesce(sealed, 'no files') || ' ' || coalesce(wrapped, 'no key') || ' ' || actor || ' ' \
                   || coalesce(message, '') from import order by id";
    let rows = "select file || ' ' || outcome || ' ' || coalesce(message, '') || ' ' || coalesce(code, '') \
                from import_row order by number";
    [outside.texts(imports).await, outside.texts(rows).await].concat().join("\n")
}

on_both! {
    async fn an_import_that_is_asked_for_is_done_and_its_files_are_deleted(bench: &Bench) {
        let store = bench.writer().await;
        let id = queue(&store, &new(&accounts(), &people())).await;
        let waiting = at_rest(bench).await;
        assert!(!waiting.contains("meadow") && !waiting.contains("no files"), "the files stand sealed: {waiting}");
        let worker = work(&store);
        assert_eq!(ended(&store, id).await, "done");
        let state = store.import(id).await.unwrap().unwrap();
        assert_eq!((state.rows_total, state.rows_done), (14, 14));
        let counts = state.counts;
        assert_eq!((counts.created, counts.completed, counts.unchanged, counts.refused), (6, 0, 2, 6));
        let rows = store.import_rows(id, "", 0, 100).await.unwrap();
        let told: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {} {} {}", row.file, row.line, row.outcome, row.code.clone().unwrap_or_default()))
            .collect();
        assert_eq!(told.iter().map(|told| told.trim()).collect::<Vec<_>>(), FIRST);
        let refused = store.import_rows(id, "refused", 3, 2).await.unwrap();
        assert_eq!(refused.iter().map(|row| row.number).collect::<Vec<_>>(), [4, 5]);
        let left = at_rest(bench).await;
        for personal in ["Robin", "meadow", ".example"] {
            assert!(!left.contains(personal), "{left}");
        }
        assert!(left.starts_with("no files no key"), "{left}");
        stop(worker).await;
    }

    async fn an_import_of_a_file_that_cannot_be_taken_fails_and_says_why(bench: &Bench) {
        let store = bench.writer().await;
        let id = queue(&store, &new(&accounts(), "number;name\n")).await;
        let worker = work(&store);
        assert_eq!(ended(&store, id).await, "failed header_unknown_column");
        let message = store.import(id).await.unwrap().unwrap().message.unwrap();
        assert!(message.starts_with("professionals: line 1: column 1 of the header"), "{message}");
        assert!(at_rest(bench).await.starts_with("no files no key"));
        assert_eq!(store.head().await.unwrap(), 0);
        stop(worker).await;
    }

    async fn t61_a_request_that_is_sent_again_is_one_import(bench: &Bench) {
        let store = bench.writer().await;
        let key = Some(RequestKey::derive("key:1", "import"));
        let asked = |body| NewImport {
            request: Request { key, body: Some(body), ..request() },
            ..new(&accounts(), &people())
        };
        let id = queue(&store, &asked(1)).await;
        assert_eq!(queue(&store, &asked(1)).await, id);
        assert_eq!(store.queue_import(&asked(2)).await.unwrap(), Queued::KeyReused);
        for _ in 1..IMPORTS_OPEN_MAX {
            queue(&store, &new(ACCOUNTS, PEOPLE)).await;
        }
        assert_eq!(store.queue_import(&new(ACCOUNTS, PEOPLE)).await.unwrap(), Queued::TooMany);
        assert_eq!(queue(&store, &asked(1)).await, id, "an answer to what was asked before is always there");
    }

    async fn an_import_whose_node_died_ends_and_its_files_are_deleted(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let id = queue(&store, &new(&accounts(), &people())).await;
        let claimed = store.claim_import("a node that dies").await.unwrap().unwrap();
        assert_eq!(claimed.id, id);
        assert!(store.claim_import("another").await.unwrap().is_none(), "one node runs it");
        store.clock().turn(Millis(ALIVE_FOR.0 - 1));
        store.sweep_imports().await.unwrap();
        assert!(store.prolong_import(id, "a node that dies", 14, 2).await.unwrap());
        store.clock().turn(ALIVE_FOR);
        let worker = work(&store);
        assert_eq!(ended(&store, id).await, "failed import_interrupted");
        assert!(at_rest(bench).await.starts_with("no files no key"));
        // Should it live after all, it can tell nothing any more.
        assert!(!store.prolong_import(id, "a node that dies", 14, 3).await.unwrap());
        assert!(!store.finish_import(id, "a node that dies", Default::default(), &[]).await.unwrap());
        stop(worker).await;

        let nobodys = queue(&store, &new(&accounts(), &people())).await;
        store.clock().turn(QUEUED_MAX);
        store.sweep_imports().await.unwrap();
        assert_eq!(ended(&store, nobodys).await, "failed import_interrupted");
        store.clock().turn(KEPT_FOR);
        store.sweep_imports().await.unwrap();
        assert!(store.import(id).await.unwrap().is_none() && store.import(nobodys).await.unwrap().is_none());
    }

    async fn an_import_is_interrupted_when_its_node_stops_and_asking_again_completes_it(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let plan = "Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z,";
        let accounts = format!("{ACCOUNTS}C-1,customer,Meadow Mills,{plan}\n");
        let person = |n: usize| format!("C-1,Person Number {n},n{n}@meadow.example,en,,true\n");
        let people = format!("{PEOPLE}{}", (0..=INVITATIONS_MAX).map(person).collect::<String>());
        let id = queue(&store, &new(&accounts, &people)).await;
        let worker = work(&store);
        let all_but_one = async || (crate::import::files::invitations(&store).await == INVITATIONS_MAX).then_some(());
        eventually("an import that waits", all_but_one).await;
        stop(worker).await;
        assert_eq!(ended(&store, id).await, "failed import_interrupted");
        assert!(at_rest(bench).await.starts_with("no files no key"));

        store.clock().turn(Millis::minutes(2));
        let again = queue(&store, &new(&accounts, &people)).await;
        let worker = work(&store);
        assert_eq!(ended(&store, again).await, "done");
        assert_eq!(crate::import::files::invitations(&store).await, INVITATIONS_MAX + 1);
        stop(worker).await;
    }

    async fn an_import_acts_with_the_scopes_of_whoever_asked(bench: &Bench) {
        let store = bench.writer().await;
        let caller = Caller::with_scopes(cli().actor, [Scope::Support]);
        let id = queue(&store, &NewImport { caller, ..new(&accounts(), PEOPLE) }).await;
        let worker = work(&store);
        assert_eq!(ended(&store, id).await, "done");
        let rows = store.import_rows(id, "refused", 0, 1).await.unwrap();
        assert_eq!(rows[0].code.as_deref(), Some("scope_missing"));
        stop(worker).await;
    }
}

/// The service's own role on PostgreSQL may do all of it.
#[tokio::test]
async fn the_services_own_role_can_import() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let role = format!("importer_of_{}", server.sql("select current_database()"));
    server.sql(&format!("create role {role} login"));
    store::migrate::migrate(&bench.location(), Some(&role)).await.unwrap();
    let url = format!("postgres://{role}@{}", server.url().split_once('@').unwrap().1);
    let location = store::Location::Postgres(store::secret::Secret::new(url));
    let (store, appender) = open_at(location, standing_clock()).await.unwrap();
    let id = queue(&store, &new(&accounts(), &people())).await;
    let worker = work(&store);
    assert_eq!(ended(&store, id).await, "done");
    stop(worker).await;
    store.clock().turn(KEPT_FOR);
    store.sweep_imports().await.unwrap();
    assert!(store.import(id).await.unwrap().is_none());
    drop(store);
    appender.await.unwrap();
    server.sql(&format!("drop owned by {role}; drop role {role}"));
}
