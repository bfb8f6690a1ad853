//! What becomes of a mail that is not taken over at once: again with growing pauses, at most for a day; or never again.

use domain::event::{Event, ParkReason};
use domain::mail::{DEFERRED_MAX, FIRST_RETRY_AFTER, LONGEST_RETRY_AFTER, UNKNOWN_RETRY_AFTER};
use domain::time::Millis;
use projections::invitations::DeliveryState;

use super::desk::{Desk, says_who_must_act};
use super::post::{self, Post, Step, refused, sent, unknown};
use crate::log::bench::{Bench, run};
use crate::log::commands::*;
use crate::views::node::{eventually, logged};

on_both! {
    async fn a_deferred_mail_is_tried_again_with_growing_pauses_and_parked_after_a_day(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Say(post::deferred()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        let mut attempts = 1;
        loop {
            let delivery = eventually("the next outcome", async || {
                let delivery = desk.delivery(link).await?;
                let has_ended = matches!(delivery.state, DeliveryState::Parked | DeliveryState::Deferred);
                (has_ended && delivery.attempts == attempts).then_some(delivery)
            })
            .await;
            let handed = post.handed();
            assert_eq!((handed.len(), handed.last().unwrap().1), (attempts as usize, desk.clock.now()));
            assert_eq!((delivery.code, delivery.reply.as_deref()), (Some(451), Some("4.7.1 come back later")));
            if delivery.state == DeliveryState::Parked {
                break;
            }
            let doubled = FIRST_RETRY_AFTER.0 << (attempts - 1).min(20);
            let (expected, pause) = (doubled.min(LONGEST_RETRY_AFTER.0), delivery.retry_at.unwrap() - desk.clock.now());
            assert!((expected * 4 / 5..=expected * 6 / 5).contains(&pause.0), "{pause:?} after attempt {attempts}");
            // A moment before, nothing happens.
            desk.pass(Millis(pause.0 - 1)).await;
            assert_eq!(desk.node.views.due_mails(desk.clock.now(), 10).await.unwrap(), []);
            assert_eq!(post.handed().len(), attempts as usize);
            desk.pass(Millis(1)).await;
            attempts += 1;
        }
        let handed = post.handed();
        let tried_for = handed.last().unwrap().1 - handed[0].1;
        assert!(tried_for < DEFERRED_MAX && tried_for > Millis(DEFERRED_MAX.0 - LONGEST_RETRY_AFTER.0 * 6 / 5));
        let events = desk.events(account, mail_of(link)).await;
        assert_eq!(events.len(), 2 * attempts as usize + 1);
        let Some(Event::MailParked(parked)) = events.last() else { panic!("{events:?}") };
        assert_eq!((parked.reason, parked.attempt), (ParkReason::DeferredTooLong, attempts));
        // An operator must act; time does nothing any more.
        desk.pass(Millis::days(2)).await;
        working.end().await;
        assert_eq!(post.handed().len(), handed.len());
    }

    async fn a_deferred_mail_goes_out_when_the_server_is_ready(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, copies| Step::Say(if copies < 2 { post::deferred() } else { sent() }));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        for attempts in 1..=2 {
            let delivery = desk.reaches(link, DeliveryState::Deferred, attempts).await;
            desk.pass(delivery.retry_at.unwrap() - desk.clock.now()).await;
        }
        let delivery = desk.reaches(link, DeliveryState::Sent, 3).await;
        assert_eq!((delivery.retry_at, delivery.reply.as_deref()), (None, Some("2.0.0 queued")));
        working.end().await;
    }

    async fn a_refused_mail_is_not_tried_again(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Say(refused()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        let delivery = desk.reaches(link, DeliveryState::Refused, 1).await;
        assert_eq!((delivery.code, delivery.reply.as_deref()), (Some(550), Some("5.1.1 no such person")));
        desk.pass(Millis::days(1)).await;
        working.end().await;
        assert_eq!(desk.history(account, mail_of(link)).await, ["MailAttempted", "MailRefused"]);
        let refused = projections::invitations::Filter { delivery: "refused".into(), ..Default::default() };
        let listed = desk.node.views.invitations(&refused, i64::MAX, 10).await.unwrap();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [link.invitation], "an operator sees it");
    }

    async fn a_mail_of_unknown_outcome_is_sent_twice_more_and_parked(bench: &Bench) {
        logged();
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Say(unknown()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, link) = desk.invite(account).await;
        for attempts in 1..=2 {
            let delivery = desk.reaches(link, DeliveryState::Unknown, attempts).await;
            assert_eq!(delivery.retry_at, Some(desk.clock.now() + UNKNOWN_RETRY_AFTER));
            desk.pass(UNKNOWN_RETRY_AFTER).await;
        }
        desk.reaches(link, DeliveryState::Parked, 3).await;
        desk.pass(Millis::days(1)).await;
        working.end().await;
        assert_eq!(post.copies(mail_of(link)), 3, "one and two unknown");
        let events = desk.events(account, mail_of(link)).await;
        let Some(Event::MailParked(parked)) = events.last() else { panic!("{events:?}") };
        assert_eq!((parked.reason, events.len()), (ParkReason::UnknownTooOften, 7));
        says_who_must_act(link, "UnknownTooOften");
    }

    /// What an operator does about a parked mail: a new generation, which has its own mail and its own patience.
    async fn a_new_generation_begins_anew_after_a_refusal(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Say(refused()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (professional, link) = desk.invite(account).await;
        desk.reaches(link, DeliveryState::Refused, 1).await;
        working.end().await;
        run(&desk.node.store, &staff(), send(account, professional)).await.unwrap();
        let post = Post::kind();
        let working = desk.work(&post);
        desk.reaches(link, DeliveryState::Sent, 1).await;
        working.end().await;
        assert_eq!(post.handed().len(), 1);
    }
}
