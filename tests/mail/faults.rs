//! The log does not answer, or the views stand still: an outcome is not lost, and nobody runs in circles.

use std::time::{Duration, Instant};

use domain::command::Command;
use projections::invitations::DeliveryState;
use store::{ExecuteError, Store};

use super::desk::{Desk, link_keys, start};
use super::post::{Post, Step, sent};
use crate::log::bench::{Bench, run};
use crate::log::commands::*;
use crate::views::node::{eventually, logged};

/// Fills the queue of a writer that is held up, until it tells callers to come back.
async fn fill_queue(store: &Store, command: impl Fn() -> Command) -> tokio::task::JoinSet<()> {
    let mut calls = tokio::task::JoinSet::new();
    let is_busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    while !is_busy.load(std::sync::atomic::Ordering::SeqCst) {
        for _ in 0..100 {
            let (store, command, is_busy) = (store.clone(), command(), std::sync::Arc::clone(&is_busy));
            calls.spawn(async move {
                if let Err(ExecuteError::Busy) = run(&store, &staff(), command).await {
                    is_busy.store(true, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    calls
}

on_both! {
    async fn an_outcome_outlasts_a_writer_that_is_busy(bench: &Bench) {
        logged();
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Hold(sent()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        eventually("a mail under way", async || (post.under_way().0 == 1).then_some(())).await;
        let mut lock = bench.outside().await;
        lock.lock().await;
        let calls = fill_queue(&desk.node.store, || visit(self::link(account, fresh_invitation()))).await;
        post.release();
        eventually("a try in vain", async || logged().contains("cannot be recorded yet").then_some(())).await;
        lock.unlock().await;
        desk.reaches(link, DeliveryState::Sent, 1).await;
        calls.join_all().await;
        working.end().await;
        assert_eq!(desk.history(account, mail_of(link)).await, ["MailAttempted", "MailSent"]);
        assert_eq!(post.copies(mail_of(link)), 1);
        let tries = logged().lines().filter(|line| line.contains("cannot be recorded yet")).count();
        assert!(tries < 10, "{tries} tries");
    }

    /// The view says that a mail is due, the log that somebody has claimed it, and nobody projects.
    async fn a_claim_that_is_refused_is_not_repeated_without_a_pause(bench: &Bench) {
        logged();
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (_, link) = desk.invite(account).await;
        desk.node.follow().await;
        let Desk { node, clock } = desk;
        let (store, views) = (node.store.clone(), node.views.clone());
        node.kill().await;
        run(&store, &worker(), attempt(link)).await.unwrap();
        assert_eq!(views.due_mails(clock.now(), 10).await.unwrap().len(), 1);
        let post = Post::kind();
        let working = start(store, views, &post, link_keys("2026-11"));
        let began = Instant::now();
        let refused = || logged().lines().filter(|line| line.contains("the mail was not claimed")).count();
        eventually("three claims that are refused", async || (refused() >= 3).then_some(())).await;
        assert!(began.elapsed() > Duration::from_millis(1_500), "{} claims in {:?}", refused(), began.elapsed());
        working.end().await;
        assert!(refused() <= 5 && post.handed().is_empty());
    }
}

/// The connection of the writer is cut when the outcome is to be recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_outlasts_a_log_that_is_away() {
    logged();
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let desk = Desk::open(&bench).await;
    let post = Post::new(|_, _| Step::Hold(sent()));
    let account = desk.account().await;
    let working = desk.work(&post);
    let (_, link) = desk.invite(account).await;
    eventually("a mail under way", async || (post.under_way().0 == 1).then_some(())).await;
    let mut lock = bench.outside().await;
    lock.lock().await;
    post.release();
    let waiting = "select count(*) from pg_stat_activity where application_name = 'vinculum appender' \
                   and datname = current_database() and wait_event_type = 'Lock'";
    eventually("a writer that waits", async || (server.sql(waiting) == "1").then_some(())).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = 'vinculum appender' and datname = current_database()";
    assert_eq!(server.sql(cut), "1");
    eventually("a try in vain", async || logged().contains("cannot be recorded yet").then_some(())).await;
    lock.unlock().await;
    desk.reaches(link, DeliveryState::Sent, 1).await;
    working.end().await;
    assert_eq!(desk.history(account, mail_of(link)).await, ["MailAttempted", "MailSent"]);
    assert_eq!(post.copies(mail_of(link)), 1);
    crate::log::check::check(&bench).await;
}

/// Every connection is cut, again and again, while mails go out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_database_comes_and_goes() {
    let bench = Bench::postgres().await;
    let server = bench.server().unwrap();
    let desk = Desk::open(&bench).await;
    let post = Post::kind();
    let account = desk.account().await;
    let working = desk.work(&post);
    let mut links = Vec::new();
    for _ in 0..3 {
        for _ in 0..6 {
            // Whoever meets a connection that was cut is told so, and asks again.
            let invited = eventually("an invitation", async || {
                let (professional, invitation) = (fresh_professional(), fresh_invitation());
                let command = invite(account, professional, &address(), invitation);
                run(&desk.node.store, &staff(), command).await.is_ok().then(|| link(account, invitation))
            });
            links.push(invited.await);
        }
        server.sql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()",
        );
    }
    let start = Instant::now();
    for link in links {
        // A claim whose answer was cut off is dead after its time only.
        eventually("the mail", async || {
            let events = desk.node.store.events_about(&domain::tag::Subject::Account(account)).await.ok()?;
            let has_ended = events.iter().any(|recorded| match &recorded.event {
                domain::event::Event::MailSent(e) => e.mail == mail_of(link),
                _ => false,
            });
            if !has_ended && start.elapsed() > Duration::from_secs(3) {
                desk.clock.turn(domain::time::Millis::seconds(20));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            has_ended.then_some(())
        })
        .await;
        let events = eventually("its history", async || {
            let events = desk.node.store.events_about(&domain::tag::Subject::Account(account)).await.ok()?;
            Some(events.into_iter().map(|recorded| recorded.event).collect::<Vec<_>>())
        })
        .await;
        let unknown = events
            .iter()
            .filter(|event| matches!(event, domain::event::Event::MailOutcomeUnknown(e) if e.mail == mail_of(link)));
        let (unknown, copies) = (unknown.count(), post.copies(mail_of(link)));
        assert!((1..=1 + unknown).contains(&copies), "{copies} copies, {unknown} unknown");
    }
    working.end().await;
}
