//! Each event is applied exactly once and in order, with two projectors on one database, and wherever they die.

use std::time::{Duration, Instant};

use domain::time::Millis;

use super::history::{Writer, everything};
use super::node::{Node, eventually, logged};
use super::tables::Tables;
use crate::log::bench::{Bench, at_once, run};
use crate::log::commands::*;

/// A node that has died is replaced within this time.
const TAKE_OVER_MAX: Duration = Duration::from_secs(9);

/// Lets several writers wish at once until the time is over.
async fn write(nodes: &[&Node], span: Duration) {
    let writing = (0..4_u64).map(|seed| {
        let mut writer = Writer::new(nodes[seed as usize % nodes.len()].store.clone(), seed);
        let start = Instant::now();
        async move {
            while start.elapsed() < span {
                writer.step().await;
            }
        }
    });
    at_once(writing.collect::<Vec<_>>()).await;
    everything(&nodes[0].store).await;
}

on_both! {
    /// The lease is taken away all the time, so that both project at once.
    async fn two_projectors_apply_each_event_once(bench: &Bench) {
        logged();
        let (one, two) = (Node::start(bench).await, Node::start(bench).await);
        let mut outside = bench.outside().await;
        let span = Duration::from_millis(1_500);
        let quarrel = async {
            let start = Instant::now();
            while start.elapsed() < span {
                outside.run("delete from lease").await.unwrap();
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        };
        let nodes = [&one, &two];
        tokio::join!(write(&nodes, span), quarrel);
        assert_eq!(one.follow().await, two.follow().await);
        let log = Tables::equal_the_log(bench).await;
        assert!(log.len() > 50, "{} events", log.len());
        assert!(!logged().contains("cannot follow"), "being overtaken is no error: {}", logged());
    }

    async fn a_node_that_does_not_project_follows_the_one_that_does(bench: &Bench) {
        let (one, two) = (Node::start(bench).await, Node::start(bench).await);
        for node in [&one, &two] {
            let executed = run(&node.store, &staff(), open(fresh_account(), &number())).await.unwrap();
            assert!(one.views.wait_for(executed.position).await && two.views.wait_for(executed.position).await);
        }
    }

    async fn a_projector_that_dies_under_load_is_replaced_within_seconds(bench: &Bench) {
        let (one, two) = (Node::start(bench).await, Node::start(bench).await);
        let account = an_account(&one.store).await;
        one.follow().await; // it has the lease
        let both = [&one, &two];
        write(&both, Duration::from_millis(300)).await;
        let store = one.store.clone();
        one.kill().await;
        let died = Instant::now();
        let executed = run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
        eventually("another projector", async || (two.views.position() >= executed.position).then_some(())).await;
        assert!(died.elapsed() < TAKE_OVER_MAX, "it took {:?}", died.elapsed());
        write(&[&two], Duration::from_millis(300)).await;
        two.follow().await;
        Tables::equal_the_log(bench).await;
    }

    /// Whatever a projector is in the middle of when it dies, the next one goes on from there.
    async fn a_projector_may_die_at_any_moment(bench: &Bench) {
        let store = bench.writer().await;
        let mut writer = Writer::new(store.clone(), 7);
        let mut outside = bench.outside().await;
        Node::start_with(store.clone()).await.stop().await;
        for round in 0..20_u64 {
            writer.steps(10).await;
            outside.run("delete from lease").await.unwrap();
            let node = Node::start_with(store.clone()).await;
            tokio::time::sleep(Duration::from_micros(round * round * 90)).await;
            node.kill().await;
        }
        everything(&store).await;
        outside.run("delete from lease").await.unwrap();
        Node::start_with(store.clone()).await.follow().await;
        Tables::equal_the_log(bench).await;
    }

    async fn a_projector_that_is_stopped_hands_over_at_once(bench: &Bench) {
        let (one, two) = (Node::start(bench).await, Node::start(bench).await);
        let executed = run(&one.store, &staff(), open(fresh_account(), &number())).await.unwrap();
        assert!(two.views.wait_for(executed.position).await);
        one.stop().await;
        let executed = run(&two.store, &staff(), open(fresh_account(), &number())).await.unwrap();
        assert!(two.views.wait_for(executed.position).await, "the bounded wait is longer than a hand-over");
    }

    /// T74: a node whose clock is a day ahead takes the lease for a day, and dies.
    async fn t74_a_lease_that_seems_to_last_for_a_day_is_not_waited_for(bench: &Bench) {
        let node = Node::start(bench).await;
        node.follow().await;
        let mut outside = bench.outside().await;
        eventually("the lease", async || {
            outside.run("delete from lease").await.unwrap();
            node.store.take_lease("projector", "the dead", Millis::days(1)).await.unwrap().then_some(())
        })
        .await;
        // The pass that had the lease goes on for a second; then nobody projects; from then on this node does.
        let (start, mut behind, mut current_since) = (Instant::now(), 0, None);
        while current_since.is_none_or(|since: Instant| behind == 0 || since.elapsed() < Duration::from_secs(2)) {
            let executed = run(&node.store, &staff(), open(fresh_account(), &number())).await.unwrap();
            if node.views.wait_for(executed.position).await {
                current_since.get_or_insert_with(Instant::now);
            } else {
                (behind, current_since) = (behind + 1, None);
            }
            assert!(start.elapsed() < TAKE_OVER_MAX * 2, "behind {behind} times in {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!((1..=4).contains(&behind), "behind {behind} times");
        node.follow().await;
    }

    /// A command answers that the views are behind instead of waiting for ever.
    async fn waiting_for_views_that_nobody_makes_is_bounded(bench: &Bench) {
        let store = bench.writer().await;
        let (projector, views) = projections::Projector::open(store.clone()).await.unwrap();
        let executed = run(&store, &staff(), open(fresh_account(), &number())).await.unwrap();
        let start = Instant::now();
        assert!(!views.wait_for(executed.position).await);
        assert!((2_000..3_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert!(views.wait_for(0).await);

        // Where the projector has gone, whoever waits for news must not be woken again and again.
        drop(projector);
        let start = Instant::now();
        views.wait_for_news(0, Duration::from_millis(300)).await;
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        let start = Instant::now();
        assert!(!views.wait_for(executed.position).await && start.elapsed() < Duration::from_secs(3));
    }

    async fn news_wakes_whoever_waits_even_if_it_came_before(bench: &Bench) {
        let node = Node::start(bench).await;
        for _ in 0..5 {
            let seen = node.follow().await;
            let views = node.views.clone();
            let waiting = tokio::spawn(async move { views.wait_for_news(seen, Duration::from_secs(20)).await });
            run(&node.store, &staff(), open(fresh_account(), &number())).await.unwrap();
            let start = Instant::now();
            waiting.await.unwrap();
            node.views.wait_for_news(seen, Duration::from_secs(20)).await;
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
