//! A mail that is no longer wanted is cancelled before an attempt, with the reason.

use domain::command::{Command, Edit};
use domain::event::{CancelReason, Event};
use domain::ids::MailId;
use domain::invitation::{CODE_LIFETIME, Link};
use domain::tag::Subject;
use domain::time::Millis;
use projections::invitations::DeliveryState;

use super::desk::{Desk, link_keys, says_once, start};
use super::post::{self, Post, Step};
use crate::log::bench::{Bench, run};
use crate::log::commands::*;
use crate::views::node::{eventually, logged};

/// Waits until a mail has been cancelled without an attempt, and tells why.
async fn cancelled(desk: &Desk, link: Link, mail: MailId) -> CancelReason {
    let events = eventually("the end of a mail", async || {
        let events = desk.events(link.account, mail).await;
        (!events.is_empty()).then_some(events)
    })
    .await;
    match &events[..] {
        [Event::MailCancelled(e)] => {
            assert_eq!(e.attempt, 0);
            e.reason
        }
        other => panic!("not just cancelled: {other:?}"),
    }
}

on_both! {
    async fn mails_of_invitations_that_have_changed_are_cancelled(bench: &Bench) {
        logged();
        let desk = Desk::open(bench).await;
        let store = &desk.node.store;
        let account = desk.account().await;
        let mut links = Vec::new();
        for _ in 0..4 {
            links.push(desk.invite(account).await);
        }
        let [superseded, revoked, accepted, wanted] = links[..] else { unreachable!() };
        run(store, &staff(), send(account, superseded.0)).await.unwrap();
        let newest = Link { generation: 2, ..superseded.1 };
        run(store, &staff(), revoke(revoked.1)).await.unwrap();
        let identity = fresh_identity();
        run(store, &person(identity), register(identity)).await.unwrap();
        run(store, &person(identity), accept(accepted.1, identity)).await.unwrap();

        let post = Post::kind();
        let working = desk.work(&post);
        desk.reaches(wanted.1, DeliveryState::Sent, 1).await;
        desk.reaches(newest, DeliveryState::Sent, 1).await;
        assert_eq!(cancelled(&desk, superseded.1, mail_of(superseded.1)).await, CancelReason::Superseded);
        assert_eq!(cancelled(&desk, revoked.1, mail_of(revoked.1)).await, CancelReason::Revoked);
        assert_eq!(cancelled(&desk, accepted.1, mail_of(accepted.1)).await, CancelReason::Accepted);
        working.end().await;
        for (link, reason) in [(superseded.1, "Superseded"), (revoked.1, "Revoked"), (accepted.1, "Accepted")] {
            says_once(link, &["INFO", "mail no longer wanted", reason]);
        }
        let mut handed: Vec<MailId> = post.handed().iter().map(|(mail, _)| mail.mail).collect();
        let mut expected = vec![mail_of(newest), mail_of(wanted.1)];
        handed.sort();
        expected.sort();
        assert_eq!(handed, expected);
        assert_eq!(desk.node.views.due_mails(desk.clock.now(), 10).await.unwrap(), []);
    }

    async fn what_no_longer_works_is_not_sent(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let store = &desk.node.store;
        let account = desk.account().await;
        let ((_, first), (_, second)) = (desk.invite(account).await, desk.invite(account).await);
        let identity = fresh_identity();
        run(store, &person(identity), register(identity)).await.unwrap();
        run(store, &person(identity), issue_code(first, identity)).await.unwrap();
        let code = MailId::derive(first.invitation, 1, "mailbox-code", 1);

        // A code dies long before its link.
        desk.pass(CODE_LIFETIME).await;
        let post = Post::kind();
        let working = desk.work(&post);
        assert_eq!(cancelled(&desk, first, code).await, CancelReason::Expired);
        desk.reaches(first, DeliveryState::Sent, 1).await;
        desk.reaches(second, DeliveryState::Sent, 1).await;
        working.end().await;
        assert_eq!(post.copies(code), 0);

        let (_, third) = desk.invite(account).await;
        desk.pass(Millis::days(7)).await;
        let working = desk.work(&post);
        assert_eq!(cancelled(&desk, third, mail_of(third)).await, CancelReason::Expired);
        working.end().await;
        assert_eq!(post.copies(mail_of(third)), 0);
    }

    /// Nobody asks for it while the account has no plan (R20).
    async fn a_link_of_an_account_without_a_plan_is_cancelled_once_no_link_can_work(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (_, link) = desk.invite(account).await;
        run(&desk.node.store, &staff(), end_plan(account)).await.unwrap();
        desk.pass(Millis::days(29)).await;
        assert_eq!(desk.node.views.due_mails(desk.clock.now(), 10).await.unwrap(), []);
        desk.pass(Millis::days(1)).await;
        let post = Post::kind();
        let working = desk.work(&post);
        assert_eq!(cancelled(&desk, link, mail_of(link)).await, CancelReason::Expired);
        working.end().await;
        assert_eq!(post.copies(mail_of(link)), 0);
    }

    /// What the views show of the address may have been changed or erased.
    async fn t59_a_notice_is_not_sent_by_views_that_stand_still(bench: &Bench) {
        let Desk { node, .. } = Desk::open(bench).await;
        let (store, views) = (node.store.clone(), node.views.clone());
        let (account, professional) = (an_account(&store).await, fresh_professional());
        run(&store, &staff(), add(account, professional, &address())).await.unwrap();
        let edit = Edit { address: Some(details(&address()).address), ..Edit::default() };
        run(&store, &staff(), Command::EditProfessional { account, professional, edit }).await.unwrap();
        node.follow().await;
        let due = views.due_mails(store.clock().now(), 10).await.unwrap().len();
        assert!(due > 0);
        node.kill().await;
        let post = Post::kind();
        let working = start(store.clone(), views, &post, link_keys("2026-11"));
        eventually("mails that are deferred", async || {
            let events = store.events_about(&Subject::Account(account)).await.unwrap();
            let deferred = events.iter().filter(|recorded| matches!(recorded.event, Event::MailDeferred(_)));
            (deferred.count() == due).then_some(())
        })
        .await;
        working.end().await;
        assert!(post.handed().is_empty());
    }

    /// T65: between two attempts the invitation is revoked.
    async fn t65_a_mail_that_waits_for_its_next_attempt_is_cancelled_too(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Say(post::deferred()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        let delivery = desk.reaches(link, DeliveryState::Deferred, 1).await;
        run(&desk.node.store, &staff(), revoke(link)).await.unwrap();
        desk.pass(delivery.retry_at.unwrap() - desk.clock.now()).await;
        desk.reaches(link, DeliveryState::Cancelled, 1).await;
        working.end().await;
        assert_eq!(desk.history(account, mail_of(link)).await, ["MailAttempted", "MailDeferred", "MailCancelled"]);
        assert_eq!(post.handed().len(), 1);
    }

    /// The views need not have followed: the claim tells.
    async fn t59_a_mail_is_not_sent_to_an_address_that_changed_after_it_was_found(bench: &Bench) {
        let Desk { node, .. } = Desk::open(bench).await;
        let (store, views) = (node.store.clone(), node.views.clone());
        let account = an_account(&store).await;
        let (professional, link) = somebody_invited(&store, account).await;
        node.follow().await;
        node.kill().await; // and the views stand still
        let edit = Edit { address: Some(details(&address()).address), ..Edit::default() };
        run(&store, &staff(), Command::EditProfessional { account, professional, edit }).await.unwrap();

        let post = Post::kind();
        let working = start(store.clone(), views, &post, link_keys("2026-11"));
        let reason = eventually("the end of a mail", async || {
            let events = store.events_about(&Subject::Account(account)).await.unwrap();
            events.into_iter().find_map(|recorded| match recorded.event {
                Event::MailCancelled(e) if e.mail == mail_of(link) => Some(e.reason),
                _ => None,
            })
        })
        .await;
        working.end().await;
        assert_eq!((reason, post.copies(mail_of(link))), (CancelReason::Revoked, 0));
    }
}
