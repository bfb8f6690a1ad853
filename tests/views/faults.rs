//! The projector meets what it cannot read, or loses its database: it says so, queries go on, and it catches up.

use std::time::{Duration, Instant};

use projections::Reader;

use super::history::everything;
use super::node::{Node, eventually, logged};
use super::tables::Tables;
use crate::log::bench::{Bench, at_once, run};
use crate::log::commands::*;

on_both! {
    /// T76: a newer release has appended what this one does not know.
    async fn t76_an_unknown_event_stops_the_projector_loudly_while_queries_go_on(bench: &Bench) {
        logged();
        let node = Node::start(bench).await;
        let account = an_account(&node.store).await;
        let before = node.follow().await;
        let envelope = format!(
            "{{\"id\":\"{}\",\"type\":\"AccountPainted\",\"v\":1,\"at\":0,\"actor\":\"cli:somebody\",\
             \"request\":{{\"id\":\"{}\"}},\"tags\":[],\"facts\":{{}}}}",
            store::random::uuid(),
            store::random::uuid(),
        );
        let unknown = bench.outside().await.append_by_hand(&envelope, &[]).await;
        let after = run(&node.store, &staff(), open(fresh_account(), &number())).await.unwrap();
        let start = Instant::now();
        assert!(!node.views.wait_for(after.position).await);
        eventually("a line in the log", async || logged().contains("AccountPainted").then_some(())).await;
        let lines = |text: &str| logged().lines().filter(|line| line.contains(text)).count();
        let text = format!("the event at position {unknown} has the unknown type AccountPainted in version 1");
        assert!(logged().lines().any(|line| line.contains("ERROR") && line.contains(&text)), "{}", logged());
        while start.elapsed() < Duration::from_secs(4) {
            assert!(node.views.account(account, Reader::Staff).await.unwrap().is_some());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!((2..=6).contains(&lines("AccountPainted")), "{} lines in {:?}", lines("AccountPainted"), start.elapsed());
        assert_eq!(node.views.position(), before);

        // A node of the newer release can go on: this one does not sit on the lease.
        let newer = async || {
            let taken = node.store.take_lease("projector", "a newer release", domain::time::Millis::seconds(5)).await;
            taken.unwrap().then_some(())
        };
        eventually("the lease", newer).await;
    }

    async fn what_stands_before_an_unknown_event_is_shown(bench: &Bench) {
        let store = bench.writer().await;
        Node::start_with(store.clone()).await.stop().await;
        let account = an_account(&store).await;
        let head = store.head().await.unwrap();
        let envelope = format!(
            "{{\"id\":\"{}\",\"type\":\"AccountPainted\",\"v\":1,\"at\":0,\"actor\":\"cli:somebody\",\
             \"request\":{{\"id\":\"{}\"}},\"tags\":[],\"facts\":{{}}}}",
            store::random::uuid(),
            store::random::uuid(),
        );
        bench.outside().await.append_by_hand(&envelope, &[]).await;
        run(&store, &staff(), open(fresh_account(), &number())).await.unwrap();
        let node = Node::start_with(store.clone()).await;
        eventually("what came before", async || (node.views.position() == head).then_some(())).await;
        assert!(node.views.account(account, Reader::Staff).await.unwrap().is_some());
    }
}

/// Every connection is cut, the projector's and those of queries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_whose_database_was_away_catches_up() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let node = Node::start(&bench).await;
    let account = an_account(&node.store).await;
    node.follow().await;
    for _ in 0..3 {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where datname = current_database() and pid <> pg_backend_pid()";
        let writing = (0..20).map(|_| {
            let store = node.store.clone();
            async move { run(&store, &staff(), add(account, fresh_professional(), &address())).await.is_ok() }
        });
        let writing = tokio::spawn(at_once(writing.collect::<Vec<_>>()));
        server.sql(cut);
        writing.await.unwrap();
        let came_back = Instant::now();
        // Each connection that was cut fails once.
        eventually("a database that answers", async || {
            let appended = run(&node.store, &staff(), add(account, fresh_professional(), &address())).await;
            let position = appended.ok()?.position;
            let query = node.views.account(account, Reader::Staff).await;
            (query.is_ok() && node.views.wait_for(position).await).then_some(())
        })
        .await;
        assert!(came_back.elapsed() < Duration::from_secs(10), "it took {:?}", came_back.elapsed());
    }
    let executed =
        run(&node.store, &staff(), invite(account, fresh_professional(), &address(), fresh_invitation())).await;
    assert!(node.views.wait_for(executed.unwrap().position).await);
    everything(&node.store).await;
    node.follow().await;
    Tables::equal_the_log(&bench).await;
}
