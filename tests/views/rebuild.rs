//! A view made anew equals the live one at the same position; nobody who reads or writes meanwhile notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use domain::ids::{AccountId, IdentityId, InvitationId};
use domain::time::{Millis, Timestamp};
use projections::rebuild::{RebuildError, rebuild};
use projections::{ALL, Reader, Views};

use super::history::{Writer, everything, write};
use super::node::{Node, eventually, logged};
use super::tables::Tables;
use crate::log::bench::{Bench, at_once, open_at, run, standing_clock};
use crate::log::commands::*;

/// In this time the projector looks at least once for what was left behind.
const SEVERAL_PASSES: Duration = Duration::from_millis(1_500);

/// What stands in every view from the beginning to the end.
#[derive(Clone, Copy)]
struct Known {
    account: AccountId,
    invitation: InvitationId,
    identity: IdentityId,
}

async fn something_in_every_view(node: &Node) -> Known {
    let account = an_account(&node.store).await;
    let (_, link) = somebody_invited(&node.store, account).await;
    let identity = fresh_identity();
    run(&node.store, &person(identity), register(identity)).await.unwrap();
    everything(&node.store).await;
    node.follow().await;
    Known { account, invitation: link.invitation, identity }
}

/// A time at which links may be mailed and everything is due.
fn within_the_plan() -> Timestamp {
    Timestamp(plan("any").ends_at.0 - 1)
}

/// Asks every view until told to stop: what was there once is always there, and never older than before.
async fn look_on(views: Views, known: Known, is_over: Arc<AtomicBool>) -> usize {
    let (mut looks, mut visits) = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        assert!(views.account(known.account, Reader::Staff).await.unwrap().is_some(), "accounts");
        assert_eq!(views.professionals(known.account, Reader::Staff, "", 10).await.unwrap().len(), 1, "professionals");
        assert!(views.identity(known.identity).await.unwrap().is_some(), "identities");
        let invitation = views.invitation(known.invitation, Reader::Staff).await.unwrap().expect("invitations");
        assert!(invitation.visits >= visits, "a view never goes back");
        visits = invitation.visits;
        assert!(!views.due_mails(within_the_plan(), 1).await.unwrap().is_empty(), "mails");
        assert!(views.invitation_context(known.invitation).await.unwrap().is_some(), "all together");
        looks += 1;
    }
    looks
}

on_both! {
    async fn every_view_is_made_anew_unnoticed_while_writers_write(bench: &Bench) {
        logged();
        let (node, other) = (Node::start(bench).await, Node::start(bench).await);
        let known = something_in_every_view(&node).await;
        write(&node.store, 180).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let onlookers: Vec<_> = [&node, &other]
            .map(|node| tokio::spawn(look_on(node.views.clone(), known, Arc::clone(&is_over))))
            .into();
        let writing = (2..5).map(|seed| {
            let (mut writer, is_over) = (Writer::new(node.store.clone(), seed), Arc::clone(&is_over));
            let link = link(known.account, known.invitation);
            let store = node.store.clone();
            async move {
                while !is_over.load(Ordering::SeqCst) {
                    writer.steps(5).await;
                    let _ = run(&store, &link_holder(), visit(link)).await; // the budget of visits ends
                }
            }
        });
        let writing = tokio::spawn(at_once(writing.collect::<Vec<_>>()));
        for round in 0..2 {
            for view in ALL {
                let reached = AtomicI64::new(0);
                let rebuilt = rebuild(&node.store, view.name, |progress| {
                    assert!(progress.position <= progress.head && progress.position > reached.load(Ordering::SeqCst));
                    reached.store(progress.position, Ordering::SeqCst);
                })
                .await
                .unwrap();
                assert_eq!(rebuilt.differences, Some(0), "{} in round {round}", view.name);
                assert!(rebuilt.rows > 0 && rebuilt.position >= reached.into_inner());
            }
        }
        is_over.store(true, Ordering::SeqCst);
        writing.await.unwrap();
        for onlooker in onlookers {
            let looks = onlooker.await.unwrap();
            assert!(looks > 10, "{looks} looks");
        }
        node.follow().await;
        other.follow().await;
        Tables::equal_the_log(bench).await;
        assert_eq!(Tables::of(bench).await.names().await.len(), ALL.len() + 1, "old tables are gone");
        assert!(!logged().contains("cannot follow"), "{}", logged());
    }

    async fn a_difference_in_the_live_table_is_reported(bench: &Bench) {
        let node = Node::start(bench).await;
        something_in_every_view(&node).await;
        write(&node.store, 120).await;
        node.follow().await;
        let tables = Tables::of(bench).await;
        for view in ALL {
            let live = tables.live(view.name).await;
            let count = tables.number(&format!("select count(*) from {live}")).await;
            // A changed row differs on both sides, a lost or made-up one on one.
            let one = format!("(select min(key) from {live})");
            assert_eq!(tables.run(&format!("update {live} set body = body || ' ' where key = {one}")).await, 1);
            assert_eq!(rebuild(&node.store, view.name, |_| {}).await.unwrap().differences, Some(2), "{}", view.name);
            let live = tables.live(view.name).await;
            let one = format!("(select min(key) from {live})");
            assert_eq!(tables.run(&format!("delete from {live} where key = {one}")).await, 1);
            assert_eq!(rebuild(&node.store, view.name, |_| {}).await.unwrap().differences, Some(1), "{}", view.name);
            let live = tables.live(view.name).await;
            tables.run(&format!("insert into {live} (key, body) values ('made up', '')")).await;
            if let Some(column) = view.columns.last() {
                let value = if matches!(column, projections::view::Column::Text(_)) { "'x'" } else { "-1" };
                let sql = format!("update {live} set {} = {value} where key = (select min(key) from {live})", column.name());
                assert_eq!(tables.run(&sql).await, 1);
            }
            let rebuilt = rebuild(&node.store, view.name, |_| {}).await.unwrap();
            let expected = if view.columns.is_empty() { 1 } else { 3 };
            assert_eq!((rebuilt.differences, rebuilt.rows), (Some(expected), count), "{}", view.name);
            assert_eq!(rebuild(&node.store, view.name, |_| {}).await.unwrap().differences, Some(0));
        }
        node.follow().await;
        Tables::equal_the_log(bench).await;
    }

    async fn a_view_that_does_not_exist_cannot_be_made(bench: &Bench) {
        let node = Node::start(bench).await;
        let error = rebuild(&node.store, "portraits", |_| {}).await.unwrap_err();
        assert!(matches!(error, RebuildError::UnknownView(name) if name == "portraits"));
    }

    async fn an_empty_log_makes_empty_views(bench: &Bench) {
        let node = Node::start(bench).await;
        for view in ALL {
            let rebuilt = rebuild(&node.store, view.name, |_| {}).await.unwrap();
            assert_eq!((rebuilt.position, rebuilt.rows, rebuilt.differences), (0, 0, Some(0)));
        }
        let known = something_in_every_view(&node).await;
        assert!(node.views.account(known.account, Reader::Staff).await.unwrap().is_some());
        Tables::equal_the_log(bench).await;
    }

    /// A rebuild that dies leaves the live view as it was; the next one clears up after it.
    async fn a_rebuild_may_die_at_any_moment(bench: &Bench) {
        let node = Node::start(bench).await;
        let known = something_in_every_view(&node).await;
        write(&node.store, 180).await;
        for round in 0..20_u64 {
            let (store, name) = (node.store.clone(), ALL[round as usize % ALL.len()].name);
            let rebuilding = tokio::spawn(async move { rebuild(&store, name, |_| {}).await });
            tokio::time::sleep(Duration::from_micros(round * round * 150)).await;
            rebuilding.abort();
            let _ = rebuilding.await;
            let executed = run(&node.store, &staff(), set_plan(known.account, &format!("Plan {round}"))).await.unwrap();
            assert!(node.views.wait_for(executed.position).await, "the live views go on, round {round}");
        }
        for view in ALL {
            assert_eq!(rebuild(&node.store, view.name, |_| {}).await.unwrap().differences, Some(0));
        }
        node.follow().await;
        Tables::equal_the_log(bench).await;
        assert_eq!(Tables::of(bench).await.names().await.len(), ALL.len() + 1);
    }

    async fn a_rebuild_that_fails_leaves_nothing_behind(bench: &Bench) {
        let node = Node::start(bench).await;
        something_in_every_view(&node).await;
        bench.outside().await.append_by_hand("of a later release", &[]).await;
        rebuild(&node.store, "professionals", |_| {}).await.unwrap_err();
        assert_eq!(Tables::of(bench).await.names().await.len(), ALL.len() + 1);
    }

    /// Nothing that is erased would be taken out of it (R27).
    async fn t68_what_is_left_of_a_rebuild_that_died_is_dropped_after_a_while(bench: &Bench) {
        let (store, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        let node = Node::start_with(store).await;
        something_in_every_view(&node).await;
        let tables = Tables::of(bench).await;
        for number in [98, 99] {
            tables.run(&format!("create table professionals_{number} (key text)")).await;
            let checkpoint = format!("insert into view_checkpoint values ('professionals', {number}, 1, 5, 0)");
            tables.run(&checkpoint).await;
        }
        let clock = node.store.clock();
        tokio::time::sleep(SEVERAL_PASSES).await;
        clock.turn(Millis::hours(5));
        tokio::time::sleep(SEVERAL_PASSES).await;
        assert_eq!(tables.names().await.len(), ALL.len() + 3);
        // One of them goes on.
        tables.run("update view_checkpoint set position = 6 where generation = 99").await;
        tokio::time::sleep(SEVERAL_PASSES).await;
        clock.turn(Millis::hours(2));
        eventually("one table less", async || (tables.names().await.len() == ALL.len() + 2).then_some(())).await;
        tokio::time::sleep(SEVERAL_PASSES).await;
        assert!(tables.names().await.contains(&"professionals_99".into()));
        clock.turn(Millis::hours(7));
        eventually("the other one", async || (tables.names().await.len() == ALL.len() + 1).then_some(())).await;
        node.follow().await;
        Tables::equal_the_log(bench).await;
    }

    /// Two operators rebuild the same view: one of them may be told that another was faster; the view is right.
    async fn two_rebuilds_of_one_view_do_not_harm_it(bench: &Bench) {
        let node = Node::start(bench).await;
        let known = something_in_every_view(&node).await;
        write(&node.store, 180).await;
        for _ in 0..10 {
            let (one, two, ()) = tokio::join!(
                rebuild(&node.store, "invitations", |_| {}),
                rebuild(&node.store, "invitations", |_| {}),
                write(&node.store, 24),
            );
            assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
            for rebuilt in [one, two] {
                match rebuilt {
                    Ok(rebuilt) => assert_eq!(rebuilt.differences, Some(0)),
                    Err(error) => assert_eq!(error.to_string(), "another projector was faster", "{error:?}"),
                }
            }
            let executed = run(&node.store, &staff(), set_plan(known.account, "Support Plan")).await.unwrap();
            node.views.wait_for(executed.position).await;
        }
        node.follow().await;
        Tables::equal_the_log(bench).await;
    }
}

/// Without statistics PostgreSQL would read a new view from end to end until autovacuum comes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_made_anew_is_analyzed_on_postgres() {
    let bench = &Bench::postgres().await;
    let node = Node::start(bench).await;
    something_in_every_view(&node).await;
    node.follow().await;
    let tables = Tables::of(bench).await;
    for view in ALL {
        let before = tables.live(view.name).await;
        rebuild(&node.store, view.name, |_| {}).await.unwrap();
        let live = tables.live(view.name).await;
        assert_ne!(live, before);
        let told = format!("select count(*) from pg_stats where schemaname = 'views' and tablename = '{live}'");
        assert!(tables.number(&told).await > 0, "{live}");
    }
}
