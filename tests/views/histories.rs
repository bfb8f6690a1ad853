//! Random histories of everything that can be asked for, on the real stores: each answer is the one that the naive
//! reference agreed to, and at the end views and mails show what the reference's accounts hold.

use std::collections::{BTreeMap, BTreeSet};

use domain::account::{Account, AppointmentStatus, InvitationStatus};
use domain::caller::Request;
use domain::event::Position;
use domain::ids::{AccountId, EventId};
use domain::mail::{CLAIM_LIFETIME, MailContent};
use domain::time::{Millis, Timestamp};
use projections::Reader;
use projections::appointments;
use projections::invitations::{Filter, Status};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use store::{ExecuteError, Store};

use super::model::histories::{ACCOUNTS, Both, any_step, run};
use super::node::Node;
use crate::log::bench::{Bench, open_at, standing_clock};
use crate::log::check::check;

/// Histories on SQLite; each has a database of its own.
const ON_SQLITE: u8 = 24;
/// Histories on PostgreSQL.
const ON_POSTGRES: u8 = 8;
/// Wishes in each.
const WISHES: usize = 100;

/// The history of a seed, which reference and decisions agree on.
fn history(seed: u8) -> Both {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps = proptest::collection::vec(any_step(), WISHES).new_tree(&mut runner).unwrap().current();
    run(&steps).unwrap()
}

/// Asks a store for all of it. Two writers take turns, so that what one remembers is often out of date.
async fn ask(writers: &[Store], both: &Both) {
    for (number, asked) in both.asked.iter().enumerate() {
        let store = &writers[number % writers.len()];
        let clock = store.clock();
        clock.turn(Millis(asked.at.0 - clock.now().0));
        let request = Request { id: asked.request, key: None, body: None, if_match: None };
        let executed = store.execute(asked.command.clone(), asked.caller.clone(), request).await;
        let result = match executed {
            Ok(executed) => Ok(executed.events.into_iter().map(|recorded| recorded.event).collect()),
            Err(ExecuteError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("{:?}: {error}", asked.command),
        };
        assert_eq!(result, asked.result, "wish {number}: {:?} by {:?}", asked.command, asked.caller);
    }
}

/// Compares every view of an account with its state.
async fn compare(node: &Node, id: AccountId, state: &Account, now: Timestamp) {
    let (views, staff) = (&node.views, Reader::Staff);
    let row = views.account(id, staff).await.unwrap().expect("every account was opened");
    assert_eq!((Some(&row.name), &row.plan, &row.partners), (state.name.as_ref(), &state.plan, &state.partners));
    assert_eq!((row.closed_at.is_none(), Some(row.position)), (state.is_open(), state.changed_by.map(position)));

    let people = views.professionals(id, staff, "", 200).await.unwrap();
    let shown: BTreeMap<_, _> = people
        .iter()
        .map(|row| {
            let details = (row.name.clone(), row.address.clone(), Some(row.language));
            (row.id, (details, row.identity, row.invitation, row.roles.clone(), Some(row.position)))
        })
        .collect();
    let expected: BTreeMap<_, _> = state
        .professionals
        .iter()
        .map(|(id, it)| {
            let name = it.name.as_ref().map(|name| name.as_str().to_owned());
            let address = it.address.as_ref().map(|address| address.as_str().to_owned());
            let roles: BTreeSet<_> = state.standing.roles_of(*id).into_iter().collect();
            (*id, ((name, address, it.language), it.identity, it.invitation, roles, it.changed_by.map(position)))
        })
        .collect();
    assert_eq!(shown, expected);

    let filter = Filter { account: id.to_string(), ..Filter::default() };
    let mut shown = BTreeMap::new();
    let mut before = i64::MAX;
    loop {
        let page = views.invitations(&filter, before, 200).await.unwrap();
        let Some(last) = page.last() else { break };
        before = last.position;
        shown.extend(page.into_iter().map(|row| {
            let status = match row.status {
                Status::Open => "open",
                Status::Accepted => "accepted",
                Status::Revoked => "revoked",
            };
            (row.id, (row.professional, row.generation, row.expires_at, row.by, row.partner, row.bound_to, status))
        }));
    }
    let expected: BTreeMap<_, _> = state
        .invitations
        .iter()
        .map(|(id, it)| {
            let status = match it.status {
                InvitationStatus::Open => "open",
                InvitationStatus::Accepted(_) => "accepted",
                InvitationStatus::Revoked => "revoked",
            };
            (*id, (it.professional, it.generation, it.expires_at, it.by, it.partner, it.bound_to, status))
        })
        .collect();
    assert_eq!(shown, expected);

    let wishes = views.access_requests(&id.to_string(), staff, "", 200).await.unwrap();
    let wishes: BTreeSet<_> = wishes.iter().map(|row| row.id).collect();
    assert_eq!(wishes, state.access_requests.keys().copied().collect());
    let shown: BTreeMap<_, _> = views
        .appointments(id, staff)
        .await
        .unwrap()
        .into_iter()
        .map(|row| {
            let status = match row.status {
                appointments::Status::Waiting => AppointmentStatus::Waiting,
                appointments::Status::Objected => AppointmentStatus::Objected,
                _ => AppointmentStatus::Ended,
            };
            (row.id, (row.professional, row.replaces, row.partner, row.window_ends_at, status))
        })
        .collect();
    let expected: BTreeMap<_, _> = state
        .appointments
        .iter()
        .map(|(id, it)| (*id, (it.professional, it.replaces, it.partner, it.window_ends_at, it.status)))
        .collect();
    assert_eq!(shown, expected);

    // The mails that a worker would send at this moment.
    let due = views.due_mails(now, 10_000).await.unwrap();
    let due: BTreeSet<_> = due.iter().filter(|row| row.account == id).map(|row| row.id).collect();
    let expected: BTreeSet<_> = state
        .mails
        .iter()
        .filter(|(_, mail)| mail.claimed_at.map_or(mail.due_at, |claimed_at| claimed_at + CLAIM_LIFETIME) <= now)
        .filter(|(_, mail)| mail.content != MailContent::Link || state.may_invite(now))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(due, expected);
}

/// Where an event stands: the log of the domain's tests numbers its events so.
fn position(id: EventId) -> Position {
    id.0.as_u128() as Position
}

async fn one(bench: &Bench, seed: u8) {
    let both = history(seed);
    let clock = standing_clock();
    let mut writers = Vec::new();
    for _ in 0..2 {
        writers.push(open_at(bench.location(), clock.clone()).await.unwrap().0);
    }
    ask(&writers, &both).await;
    let node = Node::start_with(writers.remove(0)).await;
    node.follow().await;
    for account in ACCOUNTS {
        compare(&node, account, &both.given.state(account), both.given.clock()).await;
    }
    node.stop().await;
    check(bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_come_to_what_the_reference_says_on_sqlite() {
    for seed in 0..ON_SQLITE {
        one(&Bench::sqlite().await, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_come_to_what_the_reference_says_on_postgres() {
    for seed in 0..ON_POSTGRES {
        one(&Bench::postgres().await, ON_SQLITE + seed).await;
    }
}
