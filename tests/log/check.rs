//! What holds of every log, whoever wrote it and however fast.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::event::{Event, Position, Recorded};
use domain::tag::{Class, Subject, TagKey};
use domain::words::Role;
use store::{ReadError, Store};

use super::bench::Bench;

/// Reads the whole log, in pages of this size.
const PAGE_SIZE: i64 = 1_000;

/// Checks the log from the outside, and from the inside as far as this release can read it.
pub async fn check(bench: &Bench) {
    let mut outside = bench.outside().await;
    let positions = outside.numbers("select position from event order by position").await;
    let count = Position::try_from(positions.len()).unwrap();
    assert!(positions.iter().copied().eq(1..=count), "positions have gaps: {positions:?}");
    assert_eq!(outside.numbers("select position from log_head").await, [count], "the head is the last position");

    let mut tags: BTreeMap<Position, Vec<i64>> = BTreeMap::new();
    let of_tags = outside.numbers("select tag from event_tag order by position, tag").await;
    let at = outside.numbers("select position from event_tag order by position, tag").await;
    for (position, tag) in at.into_iter().zip(of_tags) {
        tags.entry(position).or_default().push(tag);
    }
    let log = readable(&bench.writer().await).await;
    for recorded in &log {
        let indexed = tags.get(&recorded.position).map_or(&[][..], Vec::as_slice); // a reading of the whole log has none
        assert_eq!(indexed, expected_tags(recorded), "the index of {recorded:?}");
    }
    // The wishes of these tests are of people whose mailbox nobody looks into: R15 is not theirs.
    let breaches = domain::check::check(&log).into_iter().filter(|breach| breach.rule != "R15");
    assert_eq!(breaches.collect::<Vec<_>>(), [], "the rules hold of every log");
    Rules::default().check(&log);
}

/// The events up to the first that this release cannot read.
pub async fn readable(store: &Store) -> Vec<Recorded> {
    let mut log: Vec<Recorded> = Vec::new();
    loop {
        let after = log.last().map_or(0, |recorded| recorded.position);
        match store.page(after, PAGE_SIZE).await {
            Ok(page) if page.is_empty() => return log,
            Ok(page) => log.extend(page),
            Err(ReadError::Event(_)) => match store.page(after, 1).await {
                Ok(page) => log.extend(page),
                Err(_) => return log,
            },
            Err(error) => panic!("the log cannot be read: {error}"),
        }
    }
}

fn expected_tags(recorded: &Recorded) -> Vec<i64> {
    let subjects = recorded.event.subjects().into_iter();
    let mut tags: BTreeSet<TagKey> = subjects.map(|subject| TagKey::new(&subject, recorded.event.class())).collect();
    tags.extend(recorded.request.key.map(|key| TagKey::new(&Subject::Request(key), Class::Decision)));
    tags.into_iter().map(|tag| tag.0).collect()
}

/// What two decisions that did not see each other would break.
#[derive(Default)]
struct Rules {
    ids: HashSet<domain::ids::EventId>,
    numbers: HashSet<String>,
    identities: HashSet<domain::ids::IdentityId>,
    /// Of each account: who holds a role, and since when nothing else may have been given.
    holders: HashMap<(domain::ids::AccountId, Role), domain::ids::ProfessionalId>,
    generations: HashMap<domain::ids::InvitationId, u32>,
    ended: HashSet<domain::ids::InvitationId>,
    identity_in: HashSet<(domain::ids::AccountId, domain::ids::IdentityId)>,
    visits: HashMap<(domain::ids::InvitationId, u32), u32>,
    codes: HashMap<(domain::ids::InvitationId, u32), u32>,
    attempts: HashMap<domain::ids::MailId, u32>,
    /// Where each request's events ended.
    requests: HashMap<domain::tag::RequestKey, (Position, uuid::Uuid)>,
}

impl Rules {
    fn check(mut self, log: &[Recorded]) {
        for recorded in log {
            self.take(recorded);
        }
    }

    fn take(&mut self, recorded: &Recorded) {
        assert!(self.ids.insert(recorded.id), "one id, one event: {recorded:?}");
        if let Some(key) = recorded.request.key {
            let here = (recorded.position, recorded.request.id);
            if let Some(before) = self.requests.insert(key, here) {
                assert_eq!(before, (here.0 - 1, here.1), "a request has one effect: {recorded:?}");
            }
        }
        match &recorded.event {
            Event::AccountOpened(e) => {
                assert!(self.numbers.insert(e.customer_number.to_string()), "a number opens one account: {recorded:?}");
            }
            Event::RoleGiven(e) if e.role != Role::Administrator => {
                let before = self.holders.insert((e.account, e.role), e.professional);
                assert_eq!(before, e.from, "a role moves from its holder: {recorded:?}");
            }
            Event::IdentityRegistered(e) => {
                assert!(self.identities.insert(e.identity), "an identity is registered once: {recorded:?}");
            }
            Event::InvitationIssued(e) => {
                let before = self.generations.insert(e.invitation, e.generation).unwrap_or_default();
                assert_eq!(e.generation, before + 1, "generations follow each other: {recorded:?}");
                assert!(!self.ended.contains(&e.invitation), "what has ended is not issued again: {recorded:?}");
            }
            Event::InvitationRevoked(e) => {
                assert!(self.ended.insert(e.invitation), "an invitation ends once: {recorded:?}");
            }
            Event::IdentityAssociated(e) => {
                assert!(self.ended.insert(e.invitation), "an invitation ends once: {recorded:?}");
                assert_eq!(self.generations[&e.invitation], e.generation, "the newest link only: {recorded:?}");
                e.from.map(|from| self.identity_in.remove(&(e.account, from)));
                assert!(self.identity_in.insert((e.account, e.to)), "one profile for an identity: {recorded:?}");
            }
            Event::IdentityUnlinked(e) => {
                assert!(self.identity_in.remove(&(e.account, e.identity)), "an identity that is there: {recorded:?}");
            }
            Event::LinkVisited(e) => count(&mut self.visits, (e.invitation, e.generation), 20, recorded),
            Event::MailboxCodeIssued(e) => count(&mut self.codes, (e.invitation, e.generation), 5, recorded),
            Event::MailAttempted(e) => {
                let before = self.attempts.insert(e.mail, e.attempt).unwrap_or_default();
                assert_eq!(e.attempt, before + 1, "one worker makes an attempt: {recorded:?}");
            }
            _ => {}
        }
    }
}

fn count<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K, max: u32, recorded: &Recorded) {
    let count = counts.entry(key).or_default();
    *count += 1;
    assert!(*count <= max, "more than {max}: {recorded:?}");
}
