//! T64: what is wrong with one mail is the trouble of that mail alone.

use std::time::Duration;

use domain::mail::CLAIM_LIFETIME;
use domain::time::Millis;
use projections::invitations::DeliveryState;

use super::desk::{Desk, says_who_must_act};
use super::post::{self, Post, Step, sent};
use crate::log::bench::{Bench, at_once, run};
use crate::log::commands::*;
use crate::views::node::{eventually, logged};

/// Mails that a worker hands over at once.
const UNDER_WAY_MAX: usize = 64;

on_both! {
    async fn t64_good_mails_are_delivered_beside_poisonous_ones(bench: &Bench) {
        const GOOD: usize = 200;
        logged();
        let desk = Desk::open(bench).await;
        let mut accounts = Vec::new();
        for _ in 0..5 {
            accounts.push(desk.account().await);
        }
        // The poison comes first, and the oldest is looked at first.
        let (account, mut poison) = (accounts[0], Vec::new());
        for name in ["panics", "hangs", "deferred"] {
            let (professional, invitation) = (fresh_professional(), fresh_invitation());
            let address = format!("{name}@harbour.example");
            run(&desk.node.store, &staff(), invite(account, professional, &address, invitation)).await.unwrap();
            poison.push(link(account, invitation));
        }
        let [panics, hangs, is_deferred] = poison[..] else { unreachable!() };
        desk.clock.turn(Millis(1));
        let good = at_once((0..GOOD).map(|number| {
            let (store, account) = (desk.node.store.clone(), accounts[number % 5]);
            async move { somebody_invited(&store, account).await.1 }
        }).collect::<Vec<_>>())
        .await;
        let post = Post::new(|mail, _| match mail.to.as_str().split('@').next() {
            Some("panics") => Step::PanicAt(1),
            Some("hangs") => Step::Hold(sent()),
            Some("deferred") => Step::Say(post::deferred()),
            _ => Step::Say(sent()),
        });
        let working = desk.work(&post);
        for link in &good {
            desk.reaches(*link, DeliveryState::Sent, 1).await;
        }
        assert!(good.iter().all(|link| post.copies(mail_of(*link)) == 1));
        desk.reaches(is_deferred, DeliveryState::Deferred, 1).await;
        desk.reaches(panics, DeliveryState::Sending, 1).await;
        desk.reaches(hangs, DeliveryState::Sending, 1).await;
        post.release();
        desk.reaches(hangs, DeliveryState::Sent, 1).await;
        for attempts in 2..=3 {
            desk.pass(CLAIM_LIFETIME).await;
            desk.reaches(panics, DeliveryState::Sending, attempts).await;
        }
        desk.pass(CLAIM_LIFETIME).await;
        desk.reaches(panics, DeliveryState::Parked, 3).await;
        working.end().await;
        assert_eq!((post.copies(mail_of(panics)), post.copies(mail_of(hangs))), (3, 1));
        says_who_must_act(panics, "UnknownTooOften");
    }

    /// A relay has a limit of its own: even after a panic no more are under way than before.
    async fn mails_under_way_are_bounded_even_after_a_panic(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (professional, invitation) = (fresh_professional(), fresh_invitation());
        let command = invite(account, professional, "panics@harbour.example", invitation);
        run(&desk.node.store, &staff(), command).await.unwrap();
        desk.clock.turn(Millis(1));
        let good = at_once((0..2 * UNDER_WAY_MAX).map(|_| {
            let store = desk.node.store.clone();
            async move { somebody_invited(&store, account).await.1 }
        }).collect::<Vec<_>>())
        .await;
        desk.node.follow().await;
        let post = Post::new(|mail, _| match mail.to.as_str().starts_with("panics") {
            true => Step::PanicAt(UNDER_WAY_MAX),
            false => Step::Hold(sent()),
        });
        let working = desk.work(&post);
        eventually("one more in its place", async || {
            (post.handed().len() > UNDER_WAY_MAX && post.under_way().0 == UNDER_WAY_MAX).then_some(())
        })
        .await;
        desk.pass(Millis(1)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((post.handed().len(), post.under_way()), (UNDER_WAY_MAX + 1, (UNDER_WAY_MAX, UNDER_WAY_MAX)));
        post.release();
        for link in good {
            desk.reaches(link, DeliveryState::Sent, 1).await;
        }
        working.end().await;
        assert_eq!(post.under_way().1, UNDER_WAY_MAX);
    }

    /// Mails that are claimed together are read together.
    async fn t64_a_row_that_cannot_be_read_is_the_trouble_of_its_own_mail_alone(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (broken, first) = desk.invite(account).await;
        let good = at_once((0..20).map(|_| {
            let store = desk.node.store.clone();
            async move { somebody_invited(&store, account).await.1 }
        }).collect::<Vec<_>>())
        .await;
        desk.node.follow().await;
        let views = bench.location().views_pool(1).await.unwrap();
        let update = sqlx::query("update professionals_1 set body = '{}' where key = $1").bind(broken.to_string());
        assert_eq!(update.execute(&views).await.unwrap().rows_affected(), 1);
        let post = Post::kind();
        let working = desk.work(&post);
        for link in good {
            desk.reaches(link, DeliveryState::Sent, 1).await;
        }
        desk.reaches(first, DeliveryState::Deferred, 1).await;
        working.end().await;
        assert_eq!(post.copies(mail_of(first)), 0);
    }
}
