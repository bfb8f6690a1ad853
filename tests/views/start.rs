//! Views are disposable: whatever is missing, old, left behind or ahead at a start is made anew.

use std::time::Duration;

use projections::{ALL, Projector, Reader};

use super::history::write;
use super::node::{Node, eventually};
use super::tables::Tables;
use crate::log::bench::{Bench, run};
use crate::log::commands::*;

/// A log with rows in every view, projected and at rest.
async fn at_rest(bench: &Bench) -> store::Store {
    let store = bench.writer().await;
    let node = Node::start_with(store.clone()).await;
    let account = an_account(&store).await;
    somebody_invited(&store, account).await;
    run(&store, &staff(), register(fresh_identity())).await.unwrap();
    write(&store, 60).await;
    node.follow().await;
    node.stop().await;
    store
}

/// Starts, lets it follow, and compares.
async fn start_and_compare(bench: &Bench, store: &store::Store) {
    let node = Node::start_with(store.clone()).await;
    node.follow().await;
    Tables::equal_the_log(bench).await;
    node.stop().await;
}

on_both! {
    async fn views_that_were_deleted_are_made_anew(bench: &Bench) {
        let store = at_rest(bench).await;
        Tables::drop_all(bench).await;
        start_and_compare(bench, &store).await;
        assert_eq!(Tables::of(bench).await.names().await.len(), ALL.len() + 1);
    }

    async fn a_view_of_another_version_is_made_anew_at_the_next_start(bench: &Bench) {
        let store = at_rest(bench).await;
        for view in ALL {
            let tables = Tables::of(bench).await;
            // What an older release wrote is not what this one reads.
            let old = tables.live(view.name).await;
            tables.run(&format!("update {old} set body = '{{}}'")).await;
            tables.run(&format!("update view_checkpoint set version = version - 1 where view = '{}'", view.name)).await;
            drop(tables);
            start_and_compare(bench, &store).await;
            let tables = Tables::of(bench).await;
            assert_eq!(tables.names().await.len(), ALL.len() + 1, "the old table is gone");
            let version = format!("select version from view_checkpoint where view = '{}'", view.name);
            assert_eq!(tables.number(&version).await, view.version);
        }
    }

    /// A start that died while it filled a table.
    async fn a_table_that_was_half_filled_is_dropped_by_the_next_start(bench: &Bench) {
        let store = at_rest(bench).await;
        let tables = Tables::of(bench).await;
        tables.run("update view_checkpoint set version = 0").await;
        for delay in [1, 3, 6, 12, 25] {
            let opening = Projector::open(store.clone());
            let _ = tokio::time::timeout(Duration::from_millis(delay), opening).await;
        }
        drop(tables);
        start_and_compare(bench, &store).await;
        assert_eq!(Tables::of(bench).await.names().await.len(), ALL.len() + 1);
    }

    /// Somebody has put an older log in place, beside views of a newer one.
    async fn views_that_are_ahead_of_the_log_are_made_anew(bench: &Bench) {
        let store = at_rest(bench).await;
        let tables = Tables::of(bench).await;
        tables.run("update view_checkpoint set position = position + 100").await;
        let live = tables.live("accounts").await;
        tables.run(&format!("delete from {live}")).await;
        drop(tables);
        start_and_compare(bench, &store).await;
    }

    /// Two nodes of a new release start at the same moment.
    async fn several_nodes_may_make_the_same_views_at_once(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        run(&store, &staff(), register(fresh_identity())).await.unwrap();
        somebody_invited(&store, account).await;
        write(&store, 240).await;
        for _ in 0..2 {
            let (one, two, three) = tokio::join!(Node::start(bench), Node::start(bench), Node::start(bench));
            for node in [&one, &two, &three] {
                node.follow().await;
            }
            Tables::equal_the_log(bench).await;
            for node in [one, two, three] {
                node.stop().await;
            }
            Tables::of(bench).await.run("update view_checkpoint set version = version - 1").await;
        }
    }

    /// A later release has one view less; its checkpoint must not hold the others back.
    async fn a_view_that_this_release_does_not_have_holds_nobody_back(bench: &Bench) {
        let store = at_rest(bench).await;
        let tables = Tables::of(bench).await;
        tables.run("insert into view_checkpoint (view, generation, version, position, is_live) \
                    values ('portraits', 1, 1, 1, 1)").await;
        let node = Node::start_with(store.clone()).await;
        let executed = run(&store, &staff(), open(fresh_account(), &number())).await.unwrap();
        assert!(node.views.wait_for(executed.position).await);
        for _ in 0..20 {
            assert!(node.views.position() >= executed.position, "it does not fall back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A newer release has raised the version of a view while this node runs: only a node of that release can keep it.
    async fn a_node_whose_views_have_been_replaced_leaves_projecting_to_others(bench: &Bench) {
        let store = at_rest(bench).await;
        let node = Node::start_with(store.clone()).await;
        let account = an_account(&store).await;
        let tables = Tables::of(bench).await;
        node.follow().await;
        tables.run("update view_checkpoint set version = version + 1").await;
        let newer = async || {
            let taken = store.take_lease("projector", "a newer release", domain::time::Millis::seconds(60)).await;
            taken.unwrap().then_some(())
        };
        eventually("the lease", newer).await;
        let before = node.store.head().await.unwrap();
        let executed = run(&store, &staff(), open(fresh_account(), &number())).await.unwrap();
        assert!(!node.views.wait_for(executed.position).await, "nobody has applied it");
        assert!(node.views.position() <= before);
        assert!(node.views.account(account, Reader::Staff).await.unwrap().is_some());
        // Back to this release: it has its views again.
        tables.run("update view_checkpoint set version = version - 1").await;
        bench.outside().await.run("delete from lease").await.unwrap();
        eventually("views that follow", async || (node.views.position() >= executed.position).then_some(())).await;
    }
}

/// SQLite does not wait by itself where several make a file at the same moment, or one leaves it while others come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_the_same_new_file_at_once() {
    for _ in 0..200 {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let location = store::Location::Folder(folder.path().to_owned());
            tokio::spawn(async move { location.views_pool(2).await.map(drop) })
        };
        let opening: Vec<_> = (0..8).map(|_| open()).collect();
        for opened in opening {
            opened.await.unwrap().unwrap();
        }
    }
}
