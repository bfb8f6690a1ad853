//! T55: the log is append-only for everybody, and the service's own role can do no more than it must.

use domain::words::AccountKind;
use sqlx::{Connection as _, PgConnection};
use store::Location;
use store::clock::Clock;
use store::secret::Secret;

use super::bench::{Bench, open_at, run};
use super::commands::*;

on_both! {
    async fn t55_no_event_can_be_changed_or_removed_even_by_the_owner(bench: &Bench) {
        let store = bench.writer().await;
        an_account(&store).await;
        let mut outside = bench.outside().await;
        let before = outside.texts("select envelope from event order by position").await;
        let mut attempts = vec![
            "update event set envelope = 'x'",
            "update event set position = position + 10 where position = 2",
            "delete from event",
            "delete from event where position = 2",
            "update event_tag set tag = 0",
            "delete from event_tag where position = 1",
        ];
        match bench.server() {
            Some(_) => attempts.extend([
                "truncate event",
                "truncate event, event_tag",
                "truncate event_tag cascade",
                "update log_end set position = position + 10",
                "delete from log_end",
                "truncate log_end",
            ]),
            // What SQLite replaces, it deletes without a word to triggers, unless told otherwise.
            None => attempts.extend([
                "insert or replace into event (position, envelope) values (2, 'x')",
                "replace into event (position, envelope) values (1, 'x')",
                "replace into event_tag (tag, position) select tag, position from event_tag",
                "update or replace event set position = 1 where position = 2",
            ]),
        }
        for sql in attempts {
            let error = outside.run(sql).await.expect_err(sql).to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
        assert_eq!(outside.texts("select envelope from event order by position").await, before);
    }
}

#[tokio::test]
async fn t55_the_services_own_role_can_append_and_nothing_else() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let role = format!("service \"{}\"", server.sql("select current_database()"));
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    server.sql(&format!("create role {quoted} login"));
    store::migrate::migrate(&bench.location(), Some(&role)).await.unwrap();
    store::migrate::migrate(&bench.location(), Some(&role)).await.unwrap(); // again changes nothing

    let address_of = server.url().split_once('@').unwrap().1;
    let user: String = role.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let url = format!("postgres://{user}@{address_of}");
    let location = Location::Postgres(Secret::new(url.clone()));
    let (store, ended) = open_at(location, Clock::System).await.unwrap();

    // Everything that the store does works.
    let account = an_account(&store).await;
    let (professional, link) = somebody_invited(&store, account).await;
    run(&store, &worker(), attempt(link)).await.unwrap();
    run(&store, &worker(), record_outcome(link, professional, 1, deferred())).await.unwrap();
    let other = bench.writer().await;
    run(&other, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
    run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
    run(&store, &staff(), open_as(fresh_account(), &number(), AccountKind::Partner)).await.unwrap();
    let count = store.page(0, 100).await.unwrap().len();

    let mut service = PgConnection::connect(&url).await.unwrap();
    for sql in [
        "insert into event (position, envelope) values (1000, '{}')",
        "insert into event_tag (tag, position) values (1, 1)",
        "update event set envelope = '{}'",
        "update event_tag set tag = 1",
        "update append_lock set one = true",
        "delete from event",
        "delete from event_tag",
        "delete from append_lock",
        "insert into log_end values (1000)",
        "update log_end set position = 0",
        "delete from log_end",
        "truncate event",
        "update person_key set wrapped = ''",
        "alter table event disable trigger all",
        "set session_replication_role = replica",
        "drop trigger event_is_append_only on event",
        "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'",
        "create table public.event_of_mine (position bigint)",
        "delete from _sqlx_migrations",
    ] {
        let refused = run_as(&mut service, sql).await.expect_err(sql).to_string();
        let is_denied = ["permission denied", "must be owner"].iter().any(|reason| refused.contains(reason));
        assert!(is_denied, "{sql}: {refused}");
    }
    // Tables of the role's own must not stand in for those that the functions mean: they run with the owner's rights.
    run_as(
        &mut service,
        "create temporary table log_end (position bigint); insert into log_end values (500);
         create temporary table append_lock (one boolean);
         create temporary table event (position bigint, envelope text);
         create temporary table event_tag (tag bigint, position bigint);
         create temporary table person_key (person text, wrapped text);
         grant all on append_lock, log_end, event, event_tag, person_key to public",
    )
    .await
    .unwrap();
    let append = "select log_append(0, '{1}', '{}', '{}', '{}', 0, '{1}', '{never}', '{}', '{}', '{}', '{}', '{}')";
    run_as(&mut service, "begin").await.unwrap();
    run_as(&mut service, append).await.unwrap();
    let diverted: i64 = sqlx::query_scalar("select count(*) from pg_temp.event").fetch_one(&mut service).await.unwrap();
    run_as(&mut service, "rollback").await.unwrap();
    assert_eq!(diverted, 0, "the append went where the role wanted it");

    assert_eq!(store.page(0, 100).await.unwrap().len(), count);
    super::check::check(&bench).await;
    drop((store, service));
    ended.await.unwrap();
    server.sql(&format!("drop owned by {quoted}; drop role {quoted}"));
}

async fn run_as(service: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(service).await.map(drop)
}

#[tokio::test]
async fn t55_only_the_owner_and_the_service_may_append() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let name = server.sql("select current_database()");
    server.sql(&format!("create role service_of_{name} login; create role guest_of_{name} login"));
    store::migrate::migrate(&bench.location(), Some(&format!("service_of_{name}"))).await.unwrap();
    let address_of = server.url().split_once('@').unwrap().1;
    let mut guest = PgConnection::connect(&format!("postgres://guest_of_{name}@{address_of}")).await.unwrap();
    for sql in [
        "select log_lock()",
        "select log_append(0, '{1}', '{}', '{}', '{}', 0, '{1}', '{x}', '{}', '{}', '{}', '{}', '{}')",
        "select * from event",
        "select * from person_key",
        "select * from views.nothing",
    ] {
        let refused = run_as(&mut guest, sql).await.expect_err(sql).to_string();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
    drop(guest);
    for role in ["service", "guest"] {
        server.sql(&format!("drop owned by {role}_of_{name}; drop role {role}_of_{name}"));
    }
}
