//! R13: what was typed on the association page comes to mails, within the limits and without a word about them.

use domain::address::EmailAddress;
use domain::event::Event;
use domain::ids::IdentityId;
use domain::tag::Subject;
use domain::time::Millis;
use store::random;
use store::secret::Secret;
use store::working::identities::LookUpKey;
use tokio::sync::watch;
use workers::associations::{AssociationWorker, MAILS_MAX};

use super::desk::{Desk, link_keys};
use crate::log::bench::{Bench, run};
use crate::log::commands::*;
use crate::views::node::eventually;

fn look_up_key() -> LookUpKey {
    Secret::new([7; 32])
}

async fn visitor(desk: &Desk) -> IdentityId {
    let identity = fresh_identity();
    run(&desk.node.store, &person(identity), register(identity)).await.unwrap();
    identity
}

/// Keeps a request, and waits until the worker has handled it.
async fn ask(desk: &Desk, identity: IdentityId, address: &EmailAddress) {
    let store = &desk.node.store;
    store.request_association(&look_up_key(), random::uuid(), identity, address).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let (store, views) = (desk.node.store.clone(), desk.node.views.clone());
    let worker = AssociationWorker { store, views, link_keys: link_keys("2026-11") };
    let working = tokio::spawn(worker.run(stopped));
    eventually("a request that is handled", async || {
        let waits = desk.node.store.waiting_associations().await.unwrap();
        (waits == 0).then_some(())
    })
    .await;
    stop.send_replace(true);
    working.await.unwrap();
    desk.node.follow().await;
}

/// A desk where one person is known, by this address.
async fn desk_of_somebody(bench: &Bench) -> (Desk, EmailAddress) {
    let desk = Desk::open(bench).await;
    let (account, address) = (desk.account().await, details("robin@harbour.example").address);
    run(&desk.node.store, &staff(), add(account, fresh_professional(), address.as_str())).await.unwrap();
    desk.node.follow().await;
    (desk, address)
}

/// How many links an identity was sent.
async fn links_of(desk: &Desk, identity: IdentityId) -> usize {
    let log = crate::log::check::readable(&desk.node.store).await;
    let is_its = |event: &Event| matches!(event, Event::InvitationIssued(e) if e.bound_to == Some(identity));
    log.iter().filter(|recorded| is_its(&recorded.event)).count()
}

on_both! {
    async fn one_request_mails_fifty_profiles_and_tells_support_of_the_rest(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let shared = details("everybody@harbour.example").address;
        for _ in 0..MAILS_MAX + 2 {
            let account = desk.account().await;
            let added = add(account, fresh_professional(), shared.as_str());
            run(&desk.node.store, &staff(), added).await.unwrap();
        }
        desk.node.follow().await;
        let identity = visitor(&desk).await;
        ask(&desk, identity, &shared).await;
        assert_eq!(links_of(&desk, identity).await, MAILS_MAX);
        let told = desk.node.store.events_about(&Subject::Identity(identity)).await.unwrap();
        let left_out: Vec<u32> = told
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::AssociationMailsLimited(e) => Some(e.left_out),
                _ => None,
            })
            .collect();
        assert_eq!(left_out, [2]);
    }

    async fn an_address_is_mailed_three_times_an_hour_and_ten_times_a_day(bench: &Bench) {
        let (desk, _) = desk_of_somebody(bench).await;
        // Whoever asks, and whatever the letters' case: it is one mailbox.
        let typed = details("Robin@HARBOUR.example").address;
        let mut mailed = Vec::new();
        for _ in 0..6 {
            for _ in 0..4 {
                let identity = visitor(&desk).await;
                ask(&desk, identity, &typed).await;
                mailed.push(links_of(&desk, identity).await);
            }
            desk.clock.turn(Millis::hours(1));
        }
        let by_hour: Vec<usize> = mailed.chunks(4).map(|hour| hour.iter().sum()).collect();
        assert_eq!(by_hour, [3, 3, 3, 1, 0, 0]);
        desk.clock.turn(Millis::hours(18));
        let identity = visitor(&desk).await;
        ask(&desk, identity, &typed).await;
        assert_eq!(links_of(&desk, identity).await, 1, "a day later");
    }

    /// What was handled counts, whatever the clock says now.
    async fn t48_t74_an_address_is_not_mailed_more_often_because_a_clock_is_set_back(bench: &Bench) {
        let (desk, address) = desk_of_somebody(bench).await;
        let mut mailed = Vec::new();
        for _ in 0..5 {
            let identity = visitor(&desk).await;
            ask(&desk, identity, &address).await;
            mailed.push(links_of(&desk, identity).await);
            desk.clock.turn(Millis::minutes(-5));
        }
        assert_eq!(mailed, [1, 1, 1, 0, 0]);
    }

    async fn an_identity_is_mailed_five_times_an_hour(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let (account, identity) = (desk.account().await, visitor(&desk).await);
        for number in 0..7 {
            let address = details(&format!("person{number}@harbour.example")).address;
            run(&desk.node.store, &staff(), add(account, fresh_professional(), address.as_str())).await.unwrap();
            desk.node.follow().await;
            ask(&desk, identity, &address).await;
        }
        assert_eq!(links_of(&desk, identity).await, 5);
    }
}
