//! Whatever several writers answer to many commands at once, the log explains it: every decision is the one that the
//! domain makes on all that stands before it.

use std::collections::BTreeMap;

use domain::account::Account;
use domain::caller::{Caller, Context, Request};
use domain::command::Command;
use domain::decide::{Known, Past, decide};
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, IdentityId, InvitationId, MailId, ProfessionalId};
use domain::invitation::Link;
use domain::mail::MailOutcome;
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::time::{Millis, Timestamp};
use store::{ExecuteError, Executed, Store};
use uuid::Uuid;

use super::bench::{Bench, at_once, open_at, request, run, standing_clock};
use super::check::readable;
use super::commands::*;

const ROUNDS: u64 = 30;
const CALLS_IN_A_ROUND: usize = 24;

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// An id out of a few; ids of different accounts and kinds differ.
    fn id(&mut self, kind: u64, of: u64, sides: u64) -> Uuid {
        Uuid::new_v5(&Uuid::from_u64_pair(kind, of), &self.throw(sides).to_be_bytes())
    }

    fn one_of<'a, T>(&mut self, those: &'a [T]) -> Option<&'a T> {
        if those.is_empty() { None } else { those.get(self.throw(those.len() as u64) as usize) }
    }

    /// A link: mostly one that works, as far as anybody can tell.
    fn link(&mut self, of: u64, state: &Account) -> Link {
        let mut newest: Vec<_> = state.invitations.iter().map(|(id, it)| (*id, it.generation)).collect();
        newest.sort_unstable();
        let any = (InvitationId(self.id(2, of, 6)), 1 + self.throw(2) as u32);
        let found = if self.throw(4) > 0 { self.one_of(&newest).copied() } else { None };
        let (invitation, generation) = found.unwrap_or(any);
        Link { account: account(of), invitation, generation }
    }

    /// A wish about one of two small accounts, so that everything meets everything.
    fn wish(&mut self, states: &[Account; 2]) -> (Caller, Command) {
        let of = self.throw(2);
        let (account, state) = (account(of), &states[of as usize]);
        let professional = ProfessionalId(self.id(1, of, 4));
        let invitation = InvitationId(self.id(2, of, 6));
        let identity = IdentityId(self.id(3, 0, 6));
        let address = format!("n{}@harbour.example", self.throw(6));
        let link = self.link(of, state);
        match self.throw(24) {
            0 => (staff(), open(account, &format!("C-{}", self.throw(3)))),
            1 => (staff(), set_plan(account, &format!("Plan {}", self.throw(2)))),
            2 if self.throw(4) == 0 => (staff(), end_plan(account)),
            2 | 3 => (staff(), set_plan(account, "Enhancement Plan")),
            4 => (staff(), add(account, professional, &address)),
            5..=7 => (staff(), invite(account, professional, &address, invitation)),
            8 => (staff(), Command::SendInvitation { account, professional, new: new_link(invitation) }),
            9 if self.throw(2) == 0 => (staff(), revoke(link)),
            9 | 10 => (person(identity), register(identity)),
            11 => (link_holder(), visit(link)),
            12 => (link_holder(), click(link)),
            13 => {
                let link = Link { generation: 1, ..link };
                (link_holder(), Command::RequestLatestLink { link, new: new_link(invitation) })
            }
            14 | 15 => (person(identity), issue_code(link, identity)),
            16 => (person(identity), accept(link, identity)),
            _ => (worker(), self.mail_wish(account, state)),
        }
    }

    /// Mostly about a mail that waits.
    fn mail_wish(&mut self, account: AccountId, state: &Account) -> Command {
        let mut waiting: Vec<_> = state.mails.iter().collect();
        waiting.sort_unstable_by_key(|(id, _)| **id);
        let found = self.one_of(&waiting).map(|(id, mail)| (**id, mail.professional, mail.attempts, mail.claimed_at));
        let nothing = (MailId(Uuid::nil()), ProfessionalId(Uuid::nil()), 1, None);
        let (mail, professional, attempt, claimed_at) = found.unwrap_or(nothing);
        if claimed_at.is_none() || self.throw(3) == 0 {
            return Command::AttemptMail { account, mail };
        }
        let (code, reply) = (Some(451), "robin@harbour.example".to_owned());
        let outcome = match self.throw(6) {
            0 => MailOutcome::Sent { reply },
            1 => MailOutcome::Refused { code, reply },
            2 => MailOutcome::Deferred { code, reply },
            _ => MailOutcome::Unknown { reply },
        };
        Command::RecordMailOutcome { account, professional, mail, attempt, outcome, jitter_permille: 500 }
    }
}

fn account(of: u64) -> AccountId {
    AccountId(Uuid::new_v5(&Uuid::from_u128(7), &of.to_be_bytes()))
}

/// The accounts as they are now.
async fn states(store: &Store) -> [Account; 2] {
    let mut states = [Account::default(), Account::default()];
    for (of, state) in states.iter_mut().enumerate() {
        let events = store.events_about(&Subject::Account(account(of as u64))).await.unwrap();
        events.iter().for_each(|recorded| state.evolve(recorded));
    }
    states
}

/// A command, what came of it, and the heads between which it was decided.
struct Call {
    caller: Caller,
    command: Command,
    request: Request,
    now: Timestamp,
    is_question: bool,
    before: Position,
    result: Result<Executed, ExecuteError>,
    asked: Vec<Event>,
    after: Position,
}

async fn call(store: Store, caller: Caller, command: Command, is_question: bool, now: Timestamp) -> Call {
    let before = store.head().await.unwrap();
    let request = request();
    let (result, asked) = if is_question {
        match store.ask(command.clone(), caller.clone(), request.clone()).await {
            Ok(asked) => (Ok(Executed { events: Vec::new(), position: 0, replayed: false }), asked),
            Err(error) => (Err(error), Vec::new()),
        }
    } else {
        (store.execute(command.clone(), caller.clone(), request.clone()).await, Vec::new())
    };
    let after = store.head().await.unwrap();
    Call { caller, command, request, now, is_question, before, result, asked, after }
}

/// What the domain decides on the log up to a position.
fn decided(log: &[Recorded], until: Position, call: &Call) -> Result<Vec<Event>, Refusal> {
    let boundary = call.command.boundary(&call.caller);
    let known: Vec<(Subject, Known)> = boundary
        .iter()
        .map(|read| {
            let mut known = Known::nothing(&read.subject);
            let until = log.iter().take_while(|recorded| recorded.position <= until);
            until.filter(|it| it.event.subjects().contains(&read.subject)).for_each(|it| known.evolve(it));
            (read.subject.clone(), known)
        })
        .collect();
    let past: Past<'_> = known.iter().map(|(subject, known)| (subject, known)).collect();
    let context = Context { now: call.now, caller: call.caller.clone(), request: call.request.clone() };
    decide(&past, &call.command, &context)
}

fn explain(log: &[Recorded], call: &Call) {
    let name = call.command.name();
    let answer = match &call.result {
        Ok(executed) if call.is_question => {
            assert!(executed.events.is_empty());
            Ok(call.asked.clone())
        }
        Ok(executed) => Ok(executed.events.iter().map(|recorded| recorded.event.clone()).collect()),
        Err(ExecuteError::Refused(refusal)) => Err(refusal.clone()),
        Err(error) => panic!("{name}: {error}"),
    };
    match call.result.as_ref().ok().and_then(|executed| executed.events.first()) {
        Some(first) => {
            assert!(call.before < first.position && first.position <= call.after, "{name}: in its time");
            assert_eq!(answer, decided(log, first.position - 1, call), "{name} at {}", first.position);
        }
        None => {
            let is_explained = (call.before..=call.after).any(|until| decided(log, until, call) == answer);
            assert!(is_explained, "{name} between {} and {}: {answer:?}", call.before, call.after);
        }
    }
}

/// Before each call, or all calls at once, the last writer appends so many events that concern none of them.
async fn every_answer_is_explained(
    bench: &Bench,
    writers: usize,
    strangers: usize,
    seed: u64,
) -> BTreeMap<String, usize> {
    let clock = standing_clock();
    let mut stores = Vec::new();
    for _ in 0..writers {
        stores.push(open_at(bench.location(), clock.clone()).await.unwrap().0);
    }
    let elsewhere = an_account(&stores[writers - 1]).await;
    let (mut dice, mut calls) = (Dice(seed), Vec::new());
    for round in 0..ROUNDS {
        // Sometimes alone and one after the other, sometimes all at once.
        let at_a_time = if round % 5 == 0 { 1 } else { CALLS_IN_A_ROUND };
        let (now, states) = (clock.now(), states(&stores[0]).await);
        for _ in 0..CALLS_IN_A_ROUND / at_a_time {
            let adds = (0..strangers).map(|_| {
                let store = stores[writers - 1].clone();
                async move { run(&store, &staff(), add(elsewhere, fresh_professional(), &address())).await.map(drop) }
            });
            assert!(at_once(adds.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
            let wishes: Vec<_> = (0..at_a_time)
                .map(|_| {
                    let (caller, command) = dice.wish(&states);
                    let store = stores[dice.throw(writers as u64) as usize].clone();
                    call(store, caller, command, dice.throw(6) == 0, now)
                })
                .collect();
            calls.extend(at_once(wishes).await);
        }
        clock.turn(Millis::minutes(1 + 8 * dice.throw(2) as i64));
    }
    let log = readable(&stores[0]).await;
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for call in &calls {
        explain(&log, call);
        let events = call.result.iter().flat_map(|executed| &executed.events);
        for answered in events {
            let stored = &log[answered.position as usize - 1];
            assert_eq!(
                (stored.id, stored.recorded_at, &stored.actor, &stored.request),
                (answered.id, call.now, &call.caller.actor, &call.request)
            );
            assert_eq!(stored.event.facts(), answered.event.facts());
            *words.entry(answered.event.name().into()).or_default() += 1;
        }
        if let Err(error) = &call.result {
            *words.entry(error.to_string()).or_default() += 1;
        }
    }
    let is_stranger = |recorded: &&Recorded| recorded.event.subjects().contains(&Subject::Account(elsewhere));
    let strangers = log.iter().filter(is_stranger).count();
    assert_eq!(
        calls.iter().flatten_events().count() + strangers,
        log.len(),
        "nothing is in the log that nobody was told of"
    );
    words
}

trait FlattenEvents<'a> {
    fn flatten_events(self) -> impl Iterator<Item = &'a Recorded>;
}

impl<'a, I: Iterator<Item = &'a Call>> FlattenEvents<'a> for I {
    fn flatten_events(self) -> impl Iterator<Item = &'a Recorded> {
        self.flat_map(|call| call.result.iter().flat_map(|executed| &executed.events))
    }
}

on_both! {
    async fn the_log_explains_every_answer_of_one_writer(bench: &Bench) {
        every_answer_is_explained(bench, 1, 0, 1).await;
    }

    async fn the_log_explains_every_answer_of_two_writers(bench: &Bench) {
        let words = every_answer_is_explained(bench, 2, 0, 2).await;
        // The dice met what matters.
        for name in [
            "ProfessionalAdded",
            "InvitationIssued",
            "IdentityAssociated",
            "IdentityRegistered",
            "LinkVisited",
            "MailAttempted",
            "MailOutcomeUnknown",
        ] {
            assert!(words.contains_key(name), "{name} never happened: {words:?}");
        }
    }

    async fn the_log_explains_every_answer_of_four_writers(bench: &Bench) {
        every_answer_is_explained(bench, 4, 0, 3).await;
    }

    /// More than it reads to keep up, where it has few commands, and not more where it has many.
    async fn the_log_explains_every_answer_of_a_writer_that_keeps_losing_track(bench: &Bench) {
        every_answer_is_explained(bench, 2, 20, 4).await;
    }
}
