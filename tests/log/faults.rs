//! Clients hang up, settings are weak, the database dies: nothing that was acknowledged is lost, nothing happens twice,
//! and afterwards everything works again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::tag::Subject;
use store::clock::Clock;
use store::secret::Secret;
use store::{ExecuteError, Location, OpenError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::bench::{Bench, at_once, code, open_at, queue, request, run};
use super::check::readable;
use super::commands::*;
use super::verify::unguarded;
use crate::support::postgres::Postgres;

/// Cuts the connections that appenders write on, and tells how many.
const CUT_APPENDERS: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                             where application_name = 'vinculum appender' and datname = current_database()";

on_both! {
    async fn t60_callers_that_hang_up_leave_nothing_open(bench: &Bench) {
        let store = bench.writer().await;
        let other = bench.writer().await;
        let mut accounts = Vec::new();
        for _ in 0..10 {
            accounts.push(an_account(&store).await);
        }
        let mut hung_up = 0;
        for round in 0..10 {
            let calls = (0..50_u64).map(|call| {
                let (store, account) = (store.clone(), accounts[call as usize % 10]);
                let command = match call % 3 {
                    0 => open(fresh_account(), &number()), // loads
                    1 => add(account, fresh_professional(), &address()), // does not
                    _ => register(fresh_identity()),
                };
                let patience = Duration::from_micros(call * call * 7 % 4_000);
                async move { tokio::time::timeout(patience, run(&store, &staff(), command)).await.is_err() }
            });
            hung_up += at_once(calls.collect::<Vec<_>>()).await.into_iter().filter(|hung_up| *hung_up).count();
            // Somebody else's append in between makes some of them fall.
            run(&other, &staff(), set_plan(accounts[round], "Support Plan")).await.unwrap();
        }
        assert!(hung_up > 10, "{hung_up} callers hung up");
        for number in 0..10 {
            at_once(accounts.iter().zip([&store, &other].into_iter().cycle()).map(|(account, store)| {
                let (store, account) = (store.clone(), *account);
                async move {
                    run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
                    run(&store, &staff(), set_plan(account, &format!("Plan {number}"))).await.unwrap();
                }
            }).collect::<Vec<_>>())
            .await;
        }
        nothing_is_open(bench).await;
    }

    /// Past its bound the queue tells callers to come back; whoever is in it is served once the lock is free.
    async fn a_full_queue_says_so_and_serves_everybody_in_it(bench: &Bench) {
        const MORE_THAN_FIT: usize = 2_200;
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let before = store.head().await.unwrap();
        let mut lock = bench.outside().await;
        lock.lock().await;
        let calls: Vec<_> = (0..MORE_THAN_FIT)
            .map(|_| queue_or_busy(&store, add(account, fresh_professional(), &address())))
            .collect();
        let busy = calls.iter().filter(|call| call.is_none()).count();
        // 1,024 fit into the queue; up to two batches of 512 have left it, one for the lock, one that is prepared next.
        assert!((MORE_THAN_FIT - 1_024 - 2 * 512..=MORE_THAN_FIT - 1_024).contains(&busy), "{busy} were sent away");
        lock.unlock().await;
        for call in calls.into_iter().flatten() {
            call.await.unwrap().unwrap();
        }
        // The first addition gives the four roles.
        let appended = usize::try_from(store.head().await.unwrap() - before).unwrap();
        assert_eq!(appended, MORE_THAN_FIT - busy + 4);
        run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
    }

    /// Whatever keeps the database from writing: callers are told, nothing is half there, and it goes on by itself.
    async fn t75_a_database_that_cannot_write_loses_nothing_and_recovers_by_itself(bench: &Bench) {
        let (store, other) = (bench.writer().await, bench.writer().await);
        let account = an_account(&store).await;
        let mut outside = bench.outside().await;
        let (cannot_write, can_write) = match bench.server() {
            Some(_) => (
                "create or replace function disk_full() returns trigger language plpgsql
                 as 'begin raise ''disk full''; end';
                 create trigger disk_full before insert on event for each statement execute function disk_full()",
                "drop trigger disk_full on event",
            ),
            None => (
                "create trigger disk_full before insert on event begin select raise(abort, 'disk full'); end",
                "drop trigger disk_full",
            ),
        };
        for round in 0..6 {
            let (professional, address, key) = (fresh_professional(), address(), store::random::uuid());
            let request = domain::caller::Request {
                id: key,
                key: Some(domain::tag::RequestKey(key)),
                body: Some(1),
                if_match: None,
            };
            if round % 2 == 0 {
                // What the writer remembers is out of date, so that it writes when it decides again.
                run(&other, &staff(), set_plan(account, &format!("Plan {round}"))).await.unwrap();
            }
            outside.run(cannot_write).await.unwrap();
            let command = add(account, professional, &address);
            let failed = store.execute(command.clone(), staff(), request.clone()).await;
            assert!(matches!(failed, Err(ExecuteError::Unavailable)), "{failed:?}");
            let head = store.head().await.unwrap();
            assert_eq!(store.page(0, 1_000).await.unwrap().len() as i64, head);
            let keys = outside.texts("select person from person_key").await;
            assert!(!keys.contains(&professional.to_string()), "no key without the person");
            outside.run(can_write).await.unwrap();
            let executed = store.execute(command, staff(), request).await.unwrap();
            assert_eq!((executed.replayed, executed.events[0].position), (false, head + 1));
        }
    }

    /// A handle's clones may all be gone while commands are under way: they are worked off before the task ends.
    async fn commands_under_way_are_finished_when_the_store_is_closed(bench: &Bench) {
        let (store, ended) = bench.open().await.unwrap();
        let account = an_account(&store).await;
        let mut lock = bench.outside().await;
        lock.lock().await;
        let calls: Vec<_> =
            (0..20).map(|_| queue(&store, &staff(), add(account, fresh_professional(), &address()))).collect();
        drop(store);
        lock.unlock().await;
        for call in calls {
            call.await.unwrap().unwrap();
        }
        ended.await.unwrap();
    }

    async fn a_database_that_was_never_migrated_is_not_opened(bench: &Bench) {
        let mut outside = bench.outside().await;
        let newest = outside.numbers("select max(version) from _sqlx_migrations").await[0];
        outside.run("delete from _sqlx_migrations where version > 1").await.unwrap();
        assert!(matches!(bench.open().await, Err(OpenError::NotMigrated)));
        outside.run("drop table _sqlx_migrations").await.unwrap();
        assert!(matches!(bench.open().await, Err(OpenError::NotMigrated)));
        outside.run("create table _sqlx_migrations (version bigint)").await.unwrap();
        outside.run(&format!("insert into _sqlx_migrations values ({newest})")).await.unwrap();
        bench.writer().await;
    }
}

/// As where several nodes of a new installation are started with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_migrate_the_same_new_database_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let postgres = Postgres::fresh();
        let role = format!("service_of_{}", postgres.sql("select current_database()"));
        postgres.sql(&format!("create role {role}"));
        let location = Location::Postgres(Secret::new(postgres.url().to_owned()));
        migrate_six_times_at_once(&Location::Folder(folder.path().to_owned()), None).await;
        migrate_six_times_at_once(&location, Some(&role)).await;
        for _ in 0..10 {
            // Where the schema is there and the one of the views is not, they meet at making that one.
            postgres.sql("drop schema views");
            migrate_six_times_at_once(&location, Some(&role)).await;
        }
        postgres.sql(&format!("drop owned by {role}; drop role {role}"));
    }
}

async fn migrate_six_times_at_once(location: &Location, service_role: Option<&str>) {
    let migrate = || {
        let (location, role) = (location.clone(), service_role.map(str::to_owned));
        tokio::spawn(async move { store::migrate::migrate(&location, role.as_deref()).await })
    };
    let migrating: Vec<_> = (0..6).map(|_| migrate()).collect();
    for migrated in migrating {
        migrated.await.unwrap().unwrap();
    }
}

fn queue_or_busy(store: &store::Store, command: domain::command::Command) -> Option<super::bench::Executing> {
    let store = store.clone();
    let mut execute = Box::pin(async move { run(&store, &staff(), command).await });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match execute.as_mut().poll(&mut context) {
        std::task::Poll::Pending => Some(tokio::spawn(execute)),
        std::task::Poll::Ready(result) => {
            assert!(matches!(result, Err(ExecuteError::Busy)), "{result:?}");
            None
        }
    }
}

/// Nobody but the asker holds a transaction or a lock.
async fn nothing_is_open(bench: &Bench) {
    if let Some(server) = bench.server() {
        // What is being answered at this moment ends by itself.
        let start = Instant::now();
        let open = "select count(*) from pg_stat_activity where datname = current_database() \
                    and pid <> pg_backend_pid() and xact_start is not null";
        while server.sql(open) != "0" {
            assert!(start.elapsed() < Duration::from_secs(5), "a transaction is left open");
        }
        let aborted =
            "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
        assert_eq!(server.sql(aborted), "0");
    }
    let mut outside = bench.outside().await;
    outside.lock().await;
    outside.unlock().await;
}

/// Whoever keeps an old snapshot, as a dump does, keeps every version of a row: appends make none.
#[tokio::test]
async fn an_append_leaves_nothing_behind_while_somebody_reads_an_old_snapshot() {
    let bench = Bench::postgres().await;
    let store = bench.writer().await;
    let account = an_account(&store).await;
    let mut reader = bench.outside().await;
    reader.run("begin isolation level repeatable read").await.unwrap();
    let seen = reader.numbers("select position from log_head").await;
    let mut outside = bench.outside().await;
    let lock = "select ctid::text from append_lock";
    let before = outside.texts(lock).await;
    for number in 0..50 {
        run(&store, &staff(), set_plan(account, &format!("Plan {number}"))).await.unwrap();
    }
    assert_eq!(outside.texts(lock).await, before, "the row that is locked is the one that there was");
    assert_eq!(outside.numbers("select position from log_head").await, [seen[0] + 50]);
    assert_eq!(reader.numbers("select position from log_head").await, seen, "the snapshot is an old one");
    reader.run("commit").await.unwrap();
}

#[tokio::test]
async fn t56_a_database_that_could_lose_what_it_acknowledged_is_not_opened() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let name = server.sql("select current_database()");
    for weak in ["off", "local", "remote_write"] {
        server.sql(&format!("alter database {name} set synchronous_commit = {weak}"));
        let Err(OpenError::NotDurable(weaknesses)) = bench.open().await else { panic!("opened with {weak}") };
        assert_eq!(weaknesses[0].to_string(), format!("synchronous_commit = {weak}"));
        let message = OpenError::NotDurable(weaknesses).to_string();
        assert!(message.contains(&format!("synchronous_commit = {weak}")), "{message}");
    }
    for strong in ["on", "remote_apply"] {
        server.sql(&format!("alter database {name} set synchronous_commit = {strong}"));
        let store = bench.writer().await;
        run(&store, &staff(), open(fresh_account(), &number())).await.unwrap();
    }
}

/// Settings come with the connection: one that is made while they are weak must not outlive that.
#[tokio::test]
async fn t56_a_writer_whose_new_connection_could_lose_what_it_acknowledges_does_not_write() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let name = server.sql("select current_database()");
    let store = bench.writer().await;
    let account = an_account(&store).await;
    let before = store.head().await.unwrap();
    server.sql(&format!("alter database {name} set synchronous_commit = off"));
    assert_eq!(server.sql(CUT_APPENDERS), "1");
    for _ in 0..3 {
        let result = run(&store, &staff(), add(account, fresh_professional(), &address())).await;
        assert!(matches!(result, Err(ExecuteError::Unavailable)), "{result:?}");
    }
    assert_eq!(store.head().await.unwrap(), before);
    server.sql(&format!("alter database {name} reset synchronous_commit"));
    run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
}

/// A standby that takes over without the log's end gives its positions to other events: nobody decides as if what stood
/// there before were known.
#[tokio::test]
async fn t59_a_log_that_lost_its_end_is_learnt_anew() {
    let bench = Bench::postgres().await;
    let (store, other) = (bench.writer().await, bench.writer().await);
    let account = an_account(&other).await;
    let [first, lost, taken] = [address(), address(), address()];
    run(&store, &staff(), add(account, fresh_professional(), &first)).await.unwrap();
    let kept = store.head().await.unwrap();
    run(&store, &staff(), add(account, fresh_professional(), &lost)).await.unwrap();
    let mut outside = unguarded(&bench).await;
    for table in ["event", "event_tag", "log_end"] {
        outside.run(&format!("delete from {table} where position > {kept}")).await.unwrap();
    }
    assert_eq!(bench.server().unwrap().sql(CUT_APPENDERS), "2");
    for store in [&store, &other] {
        let result = run(store, &staff(), set_plan(account, "Support Plan")).await;
        assert!(matches!(result, Err(ExecuteError::Unavailable)), "{result:?}");
    }
    store.ask(add(account, fresh_professional(), &lost), staff(), request()).await.unwrap(); // which loads the account
    run(&other, &staff(), add(account, fresh_professional(), &taken)).await.unwrap();
    assert_eq!(
        code(run(&store, &staff(), add(account, fresh_professional(), &taken)).await),
        "address_already_in_account"
    );
    run(&store, &staff(), add(account, fresh_professional(), &lost)).await.unwrap();
}

/// The appender's connection is cut, again and again, while commands are under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_outlive_the_appenders_connection() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let store = bench.writer().await;
    let account = an_account(&store).await;
    let mut acknowledged = HashMap::new();
    let mut unavailable = Vec::new();
    let waiting = "select count(*) from pg_stat_activity where application_name = 'vinculum appender' \
                   and datname = current_database() and wait_event_type = 'Lock'";
    for round in 0..8 {
        let calls = (0..60).map(|number| {
            let (store, account) = (store.clone(), account);
            let professional = fresh_professional();
            let command = match number % 3 {
                0 => open(fresh_account(), &self::number()),
                _ => add(account, professional, &address()),
            };
            async move { (command.clone(), run(&store, &staff(), command).await) }
        });
        // Every other time the connection is cut at any moment, else while the appender waits for the lock.
        let mut lock = bench.outside().await;
        if round % 2 == 0 {
            lock.lock().await;
        }
        let calls = tokio::spawn(at_once(calls.collect::<Vec<_>>()));
        if round % 2 == 0 {
            while server.sql(waiting) == "0" {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(server.sql(CUT_APPENDERS), "1");
        if round % 2 == 0 {
            lock.unlock().await;
        }
        for (command, result) in calls.await.unwrap() {
            match result {
                Ok(executed) => {
                    acknowledged.extend(executed.events.into_iter().map(|recorded| (recorded.position, recorded)));
                }
                Err(ExecuteError::Unavailable) => unavailable.push(command),
                Err(error) => panic!("{error}"),
            }
        }
        // If nothing was under way any more, the next command finds out.
        let _ = run(&store, &staff(), visit(link(account, fresh_invitation()))).await;
        run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
    }
    let log = readable(&store).await;
    let stored: HashMap<_, _> = log.iter().map(|recorded| (recorded.position, recorded)).collect();
    for (position, recorded) in &acknowledged {
        assert_eq!(stored.get(position), Some(&recorded), "acknowledged, so it is there");
    }
    // What nobody knows about can be sent again: it has its effect now, or is refused because it had it then.
    let unknown = unavailable.len();
    for command in unavailable {
        match run(&store, &staff(), command).await {
            Ok(executed) => assert!(!executed.events.is_empty()),
            Err(ExecuteError::Refused(refusal)) => {
                assert!(["id_in_use", "customer_number_taken"].contains(&refusal.code()), "{refusal:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(unknown >= 4, "{unknown} commands were cut off");
    let people = store.events_about(&Subject::Account(account)).await.unwrap();
    assert!(people.len() > 300);
    super::check::check(&bench).await;
}

/// Leads connections to a database until it is told that its host is lost: then those that there are stay open, and nobody
/// ever answers on them. New ones work.
async fn way_to(url: &str) -> (String, watch::Sender<()>) {
    let (user, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (host, name) = place.split_once('/').unwrap();
    let (host, listener) = (host.to_owned(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let way = format!("postgres://{user}@{}/{name}", listener.local_addr().unwrap());
    let (lose, lost) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut lost = lost.clone();
            lost.mark_unchanged();
            let mut server = TcpStream::connect(&host).await.unwrap();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    Ok(()) = lost.changed() => std::future::pending().await,
                }
            });
        }
    });
    (way, lose)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_lost_without_a_word_is_found_again() {
    let bench = Bench::postgres().await;
    let (way, lose) = way_to(bench.server().unwrap().url()).await;
    let (store, _appender) = open_at(Location::Postgres(Secret::new(way)), Clock::System).await.unwrap();
    let account = an_account(&store).await;
    let before = store.head().await.unwrap();
    lose.send(()).unwrap();
    let cut_off = run(&store, &staff(), add(account, fresh_professional(), &address())).await;
    assert!(matches!(cut_off, Err(ExecuteError::Unavailable)), "{cut_off:?}");
    let added = run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
    assert_eq!(store.head().await.unwrap(), added.position, "read on a connection that answers");
    assert_eq!(added.position, before + added.events.len() as i64, "nothing else came to pass");
    super::check::check(&bench).await;
}

/// Every connection is cut, those for reading too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_restarted_is_found_again() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let store = bench.writer().await;
    let account = an_account(&store).await;
    // Many readers at once, so that the pool is full of connections.
    at_once((0..32).map(|_| {
        let store = store.clone();
        async move { store.page(0, 10).await.unwrap().len() }
    }))
    .await;
    server.sql(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    );
    let start = Instant::now();
    let (mut failures, mut successes) = (0, 0);
    while successes < 40 {
        let read = store.page(0, 10).await.is_ok();
        let opened = run(&store, &staff(), open(fresh_account(), &number())).await.is_ok();
        let added = run(&store, &staff(), add(account, fresh_professional(), &address())).await.is_ok();
        match read && opened && added {
            true => successes += 1,
            false => failures += 1,
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{failures} failures");
    }
    assert!(failures <= 17, "{failures} failures: each of the 17 connections may fail once");
    super::check::check(&bench).await;
}

/// Writers that meet on one account take turns. Somebody who never gives his up stops nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_is_never_given_up_stops_nobody() {
    const ROUNDS_MAX: usize = 50;
    let bench = Bench::postgres().await;
    let writers = bench.writers(2).await;
    let account = an_account(&writers[0]).await;
    let mut outside = bench.outside().await;
    outside.run("select pg_advisory_lock(8463210021)").await.unwrap();
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                   and database = (select oid from pg_database where datname = current_database())";
    for _ in 0..ROUNDS_MAX {
        let adds = writers.iter().flat_map(|store| std::iter::repeat_n(store.clone(), 256)).map(|store| async move {
            run(&store, &staff(), add(account, fresh_professional(), &address())).await.map(drop)
        });
        let mut adds = tokio::spawn(at_once(adds.collect::<Vec<_>>()));
        let mut is_waited = false;
        let results = loop {
            tokio::select! {
                results = &mut adds => break results.unwrap(),
                numbers = outside.numbers(waiting) => is_waited |= numbers != [0],
            }
        };
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        if is_waited {
            return;
        }
    }
    panic!("nobody wanted a turn");
}

/// The keys of what another writer has appended cannot be read, and then can.
#[tokio::test]
async fn t59_a_writer_that_could_not_read_what_others_appended_is_not_misled() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let writers = bench.writers(2).await;
    let account = an_account(&writers[0]).await;
    let mut taken = Vec::new();
    for _ in 0..60 {
        taken.push(address());
        run(&writers[1], &staff(), add(account, fresh_professional(), &taken[taken.len() - 1])).await.unwrap();
    }
    server.sql(
        "alter table person_key rename to kept; \
         create function fail() returns text language plpgsql as \
         $f$ begin raise 'cut'; end $f$; \
         create view person_key as select person, wrapped || case current_setting('application_name') \
         when 'vinculum reader' then fail() else '' end as wrapped from kept; \
         create function keep() returns trigger language plpgsql as \
         $f$ begin insert into kept values (new.person, new.wrapped); return new; end $f$; \
         create trigger keep instead of insert on person_key for each row execute function keep()",
    );
    let failed = run(&writers[0], &staff(), set_plan(account, "Support Plan")).await;
    assert!(matches!(failed, Err(ExecuteError::Unavailable)), "{failed:?}");
    server.sql("drop view person_key; alter table kept rename to person_key");
    for address in &taken {
        let again = run(&writers[0], &staff(), add(account, fresh_professional(), address)).await;
        assert_eq!(code(again), "address_already_in_account");
    }
    run(&writers[0], &staff(), set_plan(account, "Support Plan")).await.unwrap();
}
