//! The rules as predicates over a log: what `vinculum verify` and the tests hold every log against.
//!
//! Written apart from the decisions on purpose: nothing here calls [`crate::decide`] or the state that it folds, and the
//! figures of the rules stand here once more. Where the two disagree, one of them is wrong.
//!
//! One pass, and state in proportion to the accounts, their people and what these were sent. No log makes it panic: ids
//! that are unknown, events that are missing, doubled or out of order are breaches themselves.
//!
//! Reading order: what is said of a log here, the state, who acts, then each kind of event.

mod state;
mod authority;
mod accounts;
mod people;
mod invitations;
mod appointments;
mod mails;
mod erasure;

use std::collections::HashMap;
use std::mem;

use crate::event::{Event, Position, Recorded};
use crate::ids::{AccountId, IdentityId, ProfessionalId};
use crate::name::CustomerNumber;
use crate::tag::Class;
use crate::time::Timestamp;

use authority::Who;
use state::{Account, Identity};

/// Breaches that are kept of one log: enough to see what happened to it, too few to fill the memory.
pub const BREACHES_MAX: usize = 10_000;

/// A rule that a log alone can show to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's number in `docs/RULES.md`, or a word for what holds of every log.
    pub number: &'static str,
    /// What is checked of it.
    pub sentence: &'static str,
}

/// A place where a log breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The event that breaks it; where something is missing, the event that called for it.
    pub position: Position,
    /// The rule's number in [`RULES`].
    pub rule: &'static str,
    /// What is wrong. Names no person and no address.
    pub what: &'static str,
}

const fn rule(number: &'static str, sentence: &'static str) -> Rule {
    Rule { number, sentence }
}

/// The rules that are checked. The others (R8's wish, R17, R18, entering in R19) leave no trace in a log.
pub const RULES: &[Rule] = &[
    rule("position", "Positions are 1, 2, 3 … without gaps."),
    rule("time", "Nothing in an account is earlier than the newest decision about it."),
    rule("one-number", "A customer number opens one account, and an account is opened once."),
    rule("one-address", "An address stands once among the living people of an account."),
    rule("R1", "A professional is added once, to an open account, before anything else is told of them."),
    rule("R2", "The first professional becomes administrator and holds the mandatory roles in the same append."),
    rule("R3", "After each append an open account with people has an administrator."),
    rule("R4", "No administrator of an open account is deleted."),
    rule("R5", "No mandatory role is without exactly one living holder, who moves it and is not deleted."),
    rule("R6", "Administrators, serving partners, staff and the person itself act; settled administrators are apart."),
    rule("R7", "Nothing happens to deleted people and closed accounts but erasure and outcomes of mail."),
    rule("R8", "An invitation is issued to a professional of the account before anything else is told of it."),
    rule("R9", "Generations count up by one, of an invitation that is open; the newest is asked for at most 5 times."),
    rule("R10", "An invitation is used only open, unexpired, in its newest generation, and accepted at most once."),
    rule("R11", "An identity is replaced only by an invitation with that right, and everybody concerned is told."),
    rule("R12", "An identity has one profile in an account."),
    rule("R13", "A link of the association page works for at most 24 hours; limits are recorded for somebody."),
    rule("R14", "A bound invitation stays bound, never replaces, and only its identity accepts it."),
    rule("R15", "The mailbox is proved by a code that was issued, by a trusted address, or by a bound link."),
    rule("R16", "Another address revokes what was open and is told to the former address, in the same append."),
    rule("R19", "Only customer accounts have service plans, which end after they start."),
    rule("R20", "Inviting, using a link and mailing it need a current plan in customer accounts."),
    rule("R21", "Appointments: proposed, told, objected to and carried out by those, and at the time, that may be."),
    rule("R22", "A partner acts only while it serves; when that ends, its invitations and appointments end."),
    rule("R23", "An access request is open once for an identity and ends once; approval adds and invites."),
    rule("R24", "At most 20 visits of a generation and one click of a flow are recorded."),
    rule("R25", "Every event names a real actor, a request and an account that was opened."),
    rule("R26", "Every mail is attempted by one worker at a time while it is wanted, and ends once."),
    rule("R27", "Nothing personal of the erased can be read anywhere, and nothing happens to them afterwards."),
];

/// Checks a whole log, as it can be read now, in the order of its positions.
pub fn check<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Vec<Breach> {
    let mut checker = Checker::default();
    events.into_iter().for_each(|recorded| checker.see(recorded));
    checker.finish()
}

/// Checks a log event by event.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    newest: Position,
    /// The append that is not complete yet.
    append: Vec<Recorded>,
    log: Log,
    breaches: Vec<Breach>,
}

/// What the events so far say.
#[derive(Clone, Debug, Default)]
struct Log {
    accounts: HashMap<AccountId, Account>,
    numbers: HashMap<CustomerNumber, AccountId>,
    identities: HashMap<IdentityId, Identity>,
}

/// The events of one command.
#[derive(Clone, Copy)]
struct Append<'a> {
    events: &'a [Recorded],
    account: Option<AccountId>,
    at: Timestamp,
    who: &'a Who,
}

impl<'a> Append<'a> {
    /// Whether one of its events is such.
    fn has(&self, test: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|recorded| test(&recorded.event))
    }

    fn events(&self) -> impl Iterator<Item = &'a Event> + use<'a> {
        self.events.iter().map(|recorded| &recorded.event)
    }

    /// Whether it carries out an appointment of this person.
    fn carries_out(&self, professional: ProfessionalId) -> bool {
        use crate::event::AppointmentOutcome::CarriedOut;
        self.has(|event| {
            matches!(event, Event::AppointmentEnded(e) if e.outcome == CarriedOut && e.professional == professional)
        })
    }
}

/// Takes breaches at one position down.
struct Report<'a> {
    position: Position,
    breaches: &'a mut Vec<Breach>,
}

impl Report<'_> {
    /// Notes a breach where something does not hold.
    fn need(&mut self, holds: bool, rule: &'static str, what: &'static str) {
        if !holds && self.breaches.len() < BREACHES_MAX {
            self.breaches.push(Breach { position: self.position, rule, what });
        }
    }

    /// The same, and passes on what is there.
    fn found<T>(&mut self, found: Option<T>, rule: &'static str, what: &'static str) -> Option<T> {
        self.need(found.is_some(), rule, what);
        found
    }
}

impl Checker {
    /// Takes the next event of the log in.
    pub fn see(&mut self, recorded: &Recorded) {
        let mut report = Report { position: recorded.position, breaches: &mut self.breaches };
        report.need(recorded.position == self.newest.saturating_add(1), "position", "the position is not the next one");
        self.newest = recorded.position;
        if !self.append.last().is_none_or(|last| is_same_append(&self.append, last, recorded)) {
            self.close_append();
        }
        self.append.push(recorded.clone());
    }

    /// Ends the log and tells every breach, in the order of positions.
    pub fn finish(mut self) -> Vec<Breach> {
        self.close_append();
        self.log.check_erased(&mut self.breaches);
        self.breaches.sort_by_key(|breach| breach.position);
        self.breaches
    }

    fn close_append(&mut self) {
        let events = mem::take(&mut self.append);
        let Some(first) = events.first() else { return };
        let account = account_of(&events);
        let who = self.log.who(account, &first.actor);
        let append = Append { events: &events, account, at: first.recorded_at, who: &who };
        let before = self.log.before(&append);
        for recorded in &events {
            self.log.see(&append, recorded, &mut self.breaches);
        }
        self.log.check_append(&append, &before, &mut self.breaches);
    }
}

/// The account of an append; none where it is about an identity or a history.
fn account_of(events: &[Recorded]) -> Option<AccountId> {
    events.iter().find_map(|recorded| recorded.event.about().account)
}

/// Whether an event comes from the same command: the same request and actor at the same time, about the same account.
fn is_same_append(append: &[Recorded], last: &Recorded, next: &Recorded) -> bool {
    let (of_append, of_next) = (account_of(append), next.event.about().account);
    (last.request.id, last.recorded_at, &last.actor) == (next.request.id, next.recorded_at, &next.actor)
        && (of_append == of_next || of_append.is_none() || of_next.is_none())
}

/// What the end of an append is compared with.
struct Before {
    /// Whom an appointment is told to: administrators and mandatory contacts.
    told: Vec<ProfessionalId>,
    /// Whether the account had nobody.
    is_empty: bool,
}

impl Log {
    fn before(&self, append: &Append<'_>) -> Before {
        let account = append.account.and_then(|id| self.accounts.get(&id));
        let appoints = append.has(|event| matches!(event, Event::AppointmentProposed(_) | Event::AppointmentEnded(_)));
        Before {
            told: account.filter(|_| appoints).map(Account::told).unwrap_or_default(),
            is_empty: account.is_none_or(|account| account.living == 0),
        }
    }

    /// Takes one event in and notes what is wrong with it by itself.
    fn see(&mut self, append: &Append<'_>, recorded: &Recorded, breaches: &mut Vec<Breach>) {
        let report = &mut Report { position: recorded.position, breaches };
        authority::check_envelope(recorded, report);
        self.see_identity(append, recorded, report);
        self.see_in_account(append, recorded, report);
        self.see_personal(recorded);
    }

    fn see_in_account(&mut self, append: &Append<'_>, recorded: &Recorded, report: &mut Report<'_>) {
        let Some(id) = recorded.event.about().account else { return };
        if let Event::AccountOpened(e) = &recorded.event {
            self.open(e, append, report);
        }
        if let Event::PartnerAssigned(e) = &recorded.event {
            let partner = self.accounts.get(&e.partner);
            report.need(partner.is_some_and(Account::is_open_partner), "R22", "it is no open partner account");
        }
        if matches!(recorded.event, Event::AuditRead(_)) {
            return; // that somebody looked for what is not there is recorded, too
        }
        let found = self.accounts.get_mut(&id);
        let Some(account) = report.found(found, "R25", "no such account was opened") else { return };
        report.need(account.newest_at <= recorded.recorded_at, "time", "it is before the account's newest decision");
        // Visits, outcomes of mail and sign-ins come from several nodes, whose clocks differ; no decision reads their times.
        if recorded.event.class() == Class::Decision {
            account.newest_at = account.newest_at.max(recorded.recorded_at);
        }
        account.check_alive(append, &recorded.event, report);
        account.check_authority(append, &recorded.event, report);
        account.see_account(&recorded.event, report);
        account.see_people(recorded, report);
        account.see_invitations(append, recorded, report);
        account.see_appointments(append, recorded, report);
        account.see_requests(append, &recorded.event, report);
        account.see_mails(append, recorded, report);
        account.see_erasure(&recorded.event, report);
    }

    /// Notes what is wrong with an append as a whole.
    fn check_append(&self, append: &Append<'_>, before: &Before, breaches: &mut Vec<Breach>) {
        let Some(account) = append.account.and_then(|id| self.accounts.get(&id)) else { return };
        let Some(last) = append.events.last() else { return };
        let report = &mut Report { position: last.position, breaches };
        account.check_standing(report);
        for recorded in append.events {
            let report = &mut Report { position: recorded.position, breaches: report.breaches };
            account.check_people_after(append, before, &recorded.event, report);
            account.check_appointments_after(append, before, &recorded.event, report);
            account.check_notice(append, &recorded.event, report);
        }
    }
}
