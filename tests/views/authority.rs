//! T30, T38: a query gives its reader what the log gives them at that very position, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::caller::Caller;
use domain::command::Command;
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use domain::invitation::Link;
use domain::words::AccountKind;
use projections::{Reader, Views};
use store::Store;

use super::node::Node;
use crate::log::bench::{Bench, at_once, run};
use crate::log::commands::*;

/// Somebody with a profile that is tied to an identity.
#[derive(Clone, Copy)]
struct Member {
    account: AccountId,
    professional: ProfessionalId,
    link: Link,
    identity: IdentityId,
}

async fn a_member(store: &Store, account: AccountId) -> Member {
    let (professional, link) = somebody_invited(store, account).await;
    let identity = fresh_identity();
    run(store, &person(identity), register(identity)).await.unwrap();
    run(store, &person(identity), accept(link, identity)).await.unwrap();
    Member { account, professional, link, identity }
}

on_both! {
    async fn t38_a_reader_sees_only_what_it_has_or_administers(bench: &Bench) {
        let node = Node::start(bench).await;
        let (ours, theirs) = (an_account(&node.store).await, an_account(&node.store).await);
        // The first person of an account administers it.
        let administrator = a_member(&node.store, ours).await;
        let colleague = a_member(&node.store, ours).await;
        let stranger = a_member(&node.store, theirs).await;
        let guest = a_member(&node.store, theirs).await;
        let nobody = fresh_identity();
        node.follow().await;
        let views = &node.views;

        // Who may see: the account, one person of it, the list, an invitation of it.
        let sees = async |reader: Reader, of: &Member| {
            [
                views.account(of.account, reader).await.unwrap().is_some(),
                views.professional(of.account, of.professional, reader).await.unwrap().is_some(),
                !views.professionals(of.account, reader, "", 10).await.unwrap().is_empty(),
                views.invitation(of.link.invitation, reader).await.unwrap().is_some(),
            ]
        };
        let (all, none) = ([true; 4], [false; 4]);
        let as_member = |member: &Member| Reader::Identity(member.identity);
        for member in [&administrator, &colleague, &stranger, &guest] {
            assert_eq!(sees(Reader::Staff, member).await, all);
            assert_eq!(sees(Reader::Identity(nobody), member).await, none);
        }
        for member in [&administrator, &colleague] {
            assert_eq!(sees(as_member(&administrator), member).await, all);
            assert_eq!(sees(as_member(&stranger), member).await, none);
            assert_eq!(sees(as_member(&guest), member).await, none);
        }
        assert_eq!(sees(as_member(&colleague), &colleague).await, [true, true, false, false]);
        assert_eq!(sees(as_member(&colleague), &administrator).await, [true, false, false, false]);

        // An id of one account under another, by whoever administers either.
        for reader in [Reader::Staff, as_member(&administrator), as_member(&stranger)] {
            assert_eq!(views.professional(theirs, colleague.professional, reader).await.unwrap(), None);
            assert_eq!(views.professional(ours, guest.professional, reader).await.unwrap(), None);
        }
        for member in [&administrator, &colleague, &stranger, &guest] {
            let profiles = views.profiles(member.identity).await.unwrap();
            assert_eq!(profiles.len(), 1);
            assert_eq!((profiles[0].0.id, profiles[0].1.id), (member.professional, member.account));
        }
        assert_eq!(views.profiles(nobody).await.unwrap(), []);
    }

    /// T30: one read answers many who ask at once, and nobody sees another's profiles in it.
    async fn t30_of_many_who_ask_at_once_each_sees_its_own(bench: &Bench) {
        let node = Node::start(bench).await;
        let mut members = Vec::new();
        for _ in 0..5 {
            let account = an_account(&node.store).await;
            members.push(a_member(&node.store, account).await);
        }
        node.follow().await;
        let stranger = fresh_identity();
        let asked = (0..60).map(|number| members.get(number % 6).map_or(stranger, |member| member.identity));
        let asks = asked.map(|identity| {
            let views = node.views.clone();
            async move { (identity, views.identity_with_profiles(identity).await.unwrap()) }
        });
        for (identity, (found, profiles)) in at_once(asks.collect::<Vec<_>>()).await {
            let own = members.iter().find(|member| member.identity == identity);
            assert_eq!(found.map(|row| row.id), own.map(|member| member.identity));
            let seen: Vec<_> = profiles.iter().map(|(profile, account)| (profile.id, account.id)).collect();
            let expected: Vec<_> = own.map(|member| (member.professional, member.account)).into_iter().collect();
            assert_eq!(seen, expected);
        }
    }

    /// T30: whom a person acts for is read for all who give commands at the same moment, too.
    async fn t30_of_many_who_act_for_a_partner_at_once_each_acts_for_its_own(bench: &Bench) {
        let node = Node::start(bench).await;
        let store = &node.store;
        let mut customers = Vec::new();
        for _ in 0..4 {
            customers.push(an_account(store).await);
        }
        let mut people = Vec::new(); // with whom they may act for
        for served in customers.windows(2) {
            let partner = fresh_account();
            run(store, &staff(), open_as(partner, &number(), AccountKind::Partner)).await.unwrap();
            for account in served {
                run(store, &staff(), Command::AssignPartner { account: *account, partner }).await.unwrap();
            }
            people.push((a_member(store, partner).await, served.to_vec())); // the first one administers it
            people.push((a_member(store, partner).await, Vec::new()));
        }
        node.follow().await;
        let mut asks = Vec::new();
        for account in customers {
            for (member, served) in &people {
                let expected = served.contains(&account).then_some(member.account);
                let other = people[0].0.professional;
                for (reader, expected) in [
                    (Reader::Staff, None),
                    (Reader::Identity(member.identity), expected),
                    (Reader::Profile(member.identity, member.professional), expected),
                    (Reader::Profile(member.identity, other), expected.filter(|_| member.professional == other)),
                ] {
                    let views = node.views.clone();
                    asks.push(async move { (views.serving_partner(account, reader).await.unwrap(), expected) });
                }
            }
        }
        for (found, expected) in at_once(asks).await {
            assert_eq!(found, expected);
        }
    }

    /// T30: sessions ask without a pause while the profile moves from one identity to the next, again and again.
    async fn t30_the_old_identity_sees_nothing_at_a_later_position(bench: &Bench) {
        let node = Node::start(bench).await;
        let account = an_account(&node.store).await;
        let member = a_member(&node.store, account).await; // administers the account
        let mut identities = vec![member.identity];
        for _ in 0..5 {
            let identity = fresh_identity();
            run(&node.store, &person(identity), register(identity)).await.unwrap();
            identities.push(identity);
        }
        node.follow().await;
        for pair in identities.windows(2) {
            let is_over = Arc::new(AtomicBool::new(false));
            let asking: Vec<_> = pair
                .iter()
                .map(|identity| tokio::spawn(ask(node.views.clone(), member, *identity, Arc::clone(&is_over))))
                .collect();
            // Shortly after a sign-in people may invite themselves, and replace their identity.
            let fresh = Caller { signed_in_at: Some(node.store.clock().now()), ..person(pair[0]) };
            let executed = run(&node.store, &fresh, send(account, member.professional)).await.unwrap();
            let domain::event::Event::InvitationIssued(issued) = &executed.events[0].event else { unreachable!() };
            let link = Link { account, invitation: issued.invitation, generation: issued.generation };
            let moved = run(&node.store, &person(pair[1]), accept(link, pair[1])).await.unwrap();
            assert!(node.views.wait_for(moved.position).await);
            let moved = moved.events[0].position; // notices follow
            is_over.store(true, Ordering::SeqCst);
            for (asker, identity) in asking.into_iter().zip(pair) {
                let answers = asker.await.unwrap();
                let may = |at: i64| if *identity == pair[1] { at >= moved } else { at < moved };
                assert!(answers.iter().any(|answer| answer.known_before >= moved), "somebody asked afterwards");
                for answer in answers {
                    if answer.known_before >= moved {
                        assert_eq!(answer.seen, [may(moved); 5], "at {} after {moved}", answer.known_before);
                    }
                    if let Some(row) = answer.row {
                        assert!(may(row), "authorised by a row of position {row}, moved at {moved}");
                    }
                }
            }
        }
    }
}

/// What a session saw.
struct Answer {
    /// The position that the views were known to have reached before it asked.
    known_before: i64,
    seen: [bool; 5],
    /// The position of the profile's row that it saw.
    row: Option<i64>,
}

async fn ask(views: Views, member: Member, identity: IdentityId, is_over: Arc<AtomicBool>) -> Vec<Answer> {
    let (mut answers, reader) = (Vec::new(), Reader::Identity(identity));
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        let known_before = views.position();
        let row = views.professional(member.account, member.professional, reader).await.unwrap();
        let seen = [
            row.is_some(),
            views.account(member.account, reader).await.unwrap().is_some(),
            !views.professionals(member.account, reader, "", 10).await.unwrap().is_empty(),
            views.invitation(member.link.invitation, reader).await.unwrap().is_some(),
            !views.profiles(identity).await.unwrap().is_empty(),
        ];
        answers.push(Answer { known_before, seen, row: row.map(|row| row.position) });
        if is_last {
            return answers;
        }
    }
}
