//! Every rule at once: random commands by random callers on a few accounts, people and identities while the clock turns,
//! in both directions. What must hold is read from the events alone, apart from the state that decisions are made on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::account::InvitationStatus;
use domain::caller::Caller;
use domain::command::{Command, NewLink};
use domain::event::*;
use domain::ids::*;
use domain::invitation::{CODES_MAX, LATEST_LINK_REQUESTS_MAX, Lifetime, Link, Mailbox, VISITS_MAX};
use domain::mail::{MailOutcome, UNKNOWN_RETRIES_MAX};
use domain::narrate::Narrator;
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Role, Scope};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{FileFailurePersistence, TestCaseError};
use uuid::Uuid;

use super::harness::*;

/// One step: who does what, and how far the clock turns before.
#[derive(Clone, Debug)]
struct Step {
    turn: Millis,
    caller: Who,
    account: bool,
    wish: Wish,
}

#[derive(Clone, Debug)]
enum Who {
    Staff(Scope),
    /// An administrator with an identity; support, where the account has none.
    Administrator,
    Person {
        identity: u8,
        signed_in_minutes_ago: Option<i64>,
        acting_as: Option<u8>,
    },
    LinkHolder,
}

#[derive(Clone, Debug)]
enum Wish {
    Open { number: u8 },
    Plan { days: Option<i64> },
    Add { professional: u8, address: u8, invitation: Option<u8> },
    Send { professional: u8, invitation: u8, hours: i64 },
    Revoke { invitation: Index },
    Use { invitation: Index, age: u32, action: Action },
    Register { identity: u8 },
    Attempt { mail: Index },
    Record { mail: Index, attempts_ago: u32, outcome: u8, jitter_permille: u32 },
}

#[derive(Clone, Debug)]
enum Action {
    Visit,
    Click { flow: u8 },
    RequestLatest { invitation: u8 },
    Code { identity: u8 },
    Accept { identity: u8, mailbox: u8 },
}

fn any_who() -> impl Strategy<Value = Who> {
    let scopes = [Scope::Support, Scope::Support, Scope::BackOffice, Scope::Operator, Scope::Auditor];
    prop_oneof![
        4 => Just(Who::Administrator),
        3 => proptest::sample::select(scopes.to_vec()).prop_map(Who::Staff),
        3 => (0..4u8, proptest::option::of(-20..20i64), proptest::option::weighted(0.2, 0..4u8)).prop_map(
            |(identity, signed_in_minutes_ago, acting_as)| Who::Person { identity, signed_in_minutes_ago, acting_as }
        ),
        1 => Just(Who::LinkHolder),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => Just(Action::Visit),
        1 => (0..4u8).prop_map(|flow| Action::Click { flow }),
        1 => (0..20u8).prop_map(|invitation| Action::RequestLatest { invitation }),
        1 => (0..4u8).prop_map(|identity| Action::Code { identity }),
        8 => (0..4u8, 0..8u8).prop_map(|(identity, mailbox)| Action::Accept { identity, mailbox }),
    ]
}

fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        1 => (0..2u8).prop_map(|number| Wish::Open { number }),
        1 => proptest::option::weighted(0.9, -2..400i64).prop_map(|days| Wish::Plan { days }),
        3 => (0..4u8, 0..4u8, proptest::option::weighted(0.8, 0..20u8))
            .prop_map(|(professional, address, invitation)| Wish::Add { professional, address, invitation }),
        6 => (0..4u8, 0..20u8, 1..200i64)
            .prop_map(|(professional, invitation, hours)| Wish::Send { professional, invitation, hours }),
        1 => any::<Index>().prop_map(|invitation| Wish::Revoke { invitation }),
        9 => (any::<Index>(), any_age(), any_action())
            .prop_map(|(invitation, age, action)| Wish::Use { invitation, age, action }),
        1 => (0..4u8).prop_map(|identity| Wish::Register { identity }),
        4 => any::<Index>().prop_map(|mail| Wish::Attempt { mail }),
        4 => (any::<Index>(), 0..2u32, 0..4u8, 0..1_000u32).prop_map(|(mail, attempts_ago, outcome, jitter_permille)| {
            Wish::Record { mail, attempts_ago, outcome, jitter_permille }
        }),
    ]
}

/// Mostly the newest generation; 0 is one that was never issued.
fn any_age() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 8 => Just(1), 2 => Just(2)]
}

/// Mostly minutes, sometimes days, sometimes back.
fn any_turn() -> impl Strategy<Value = Millis> {
    prop_oneof![
        18 => (0..10i64).prop_map(Millis::minutes),
        1 => (0..60i64).prop_map(Millis::hours),
        1 => (-30..0i64).prop_map(Millis::hours),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    (any_turn(), any_who(), proptest::bool::weighted(0.8), any_wish()).prop_map(|(turn, caller, account, wish)| Step {
        turn,
        caller,
        account,
        wish,
    })
}

fn id(kind: u128, number: u8) -> Uuid {
    Uuid::from_u128((kind << 64) + u128::from(number))
}

/// One of them, by the order of their ids, so that a sequence always means the same.
fn pick<I: Copy + Ord, T>(from: &HashMap<I, T>, index: Index) -> Option<(I, &T)> {
    let sorted: BTreeMap<_, _> = from.iter().map(|(id, it)| (*id, it)).collect();
    (!sorted.is_empty()).then(|| sorted.into_iter().nth(index.index(from.len())))?
}

impl Step {
    fn account(&self) -> AccountId {
        if self.account { HARBOUR } else { QUARRY }
    }

    fn caller(&self, given: &Given) -> Caller {
        match &self.caller {
            Who::Staff(scope) => staff(*scope),
            Who::Administrator => {
                let state = given.state(self.account());
                let identity_of = |professional| state.professionals.get(professional).and_then(|it| it.identity);
                state.standing.administrators.iter().find_map(identity_of).map_or_else(support, person)
            }
            Who::LinkHolder => link_holder(),
            Who::Person { identity, signed_in_minutes_ago, acting_as } => Caller {
                signed_in_at: signed_in_minutes_ago.map(|minutes| given.clock() + Millis::minutes(-minutes)),
                acting_as: acting_as.map(|number| self.professional(number)),
                ..person(IdentityId(id(3, *identity)))
            },
        }
    }

    fn professional(&self, number: u8) -> ProfessionalId {
        ProfessionalId(id(1 + 10 * u128::from(self.account), number))
    }

    fn new_link(&self, number: u8, hours: i64) -> NewLink {
        let invitation = InvitationId(id(2 + 10 * u128::from(self.account), number));
        NewLink { lifetime: Lifetime::hours(hours).unwrap(), ..new_link(invitation) }
    }

    /// The command; none where there is no mail or invitation that could be meant.
    fn command(&self, given: &Given) -> Option<Command> {
        let account = self.account();
        let state = given.state_of(account)?;
        Some(match self.wish.clone() {
            Wish::Open { number } => open(account, ["C-1001", "C-1002"][usize::from(number)], AccountKind::Customer),
            Wish::Plan { days } => set_plan(account, days.map(|days| plan(given.clock(), Millis::days(days)))),
            Wish::Add { professional, address, invitation } => add_with(
                account,
                self.professional(professional),
                details(
                    "Robin Rivers",
                    ["a@b.example", "A@b.example", "c@b.example", "d@b.example"][usize::from(address)],
                ),
                invitation.map(|number| self.new_link(number, 100)),
            ),
            Wish::Send { professional, invitation, hours } => Command::SendInvitation {
                account,
                professional: self.professional(professional),
                new: self.new_link(invitation, hours),
            },
            Wish::Revoke { invitation } => {
                let (invitation, _) = pick(&state.invitations, invitation)?;
                Command::RevokeInvitation { account, invitation }
            }
            Wish::Use { invitation, age, action } => {
                let (invitation, found) = pick(&state.invitations, invitation)?;
                self.use_of(
                    Link { account, invitation, generation: (found.generation + 1).saturating_sub(age) },
                    &action,
                )
            }
            Wish::Register { identity } => register(IdentityId(id(3, identity))),
            Wish::Attempt { mail } => {
                let (mail, _) = pick(&state.mails, mail)?;
                Command::AttemptMail { account, mail }
            }
            Wish::Record { mail, attempts_ago, outcome, jitter_permille } => {
                let (mail, found) = pick(&state.mails, mail)?;
                let reply = String::from("so it is");
                Command::RecordMailOutcome {
                    account,
                    professional: found.professional,
                    mail,
                    attempt: found.attempts.saturating_sub(attempts_ago),
                    outcome: match outcome {
                        0 => MailOutcome::Sent { reply },
                        1 => MailOutcome::Refused { code: Some(550), reply },
                        2 => MailOutcome::Deferred { code: None, reply },
                        _ => MailOutcome::Unknown { reply },
                    },
                    jitter_permille,
                }
            }
        })
    }

    fn use_of(&self, link: Link, action: &Action) -> Command {
        let identity_of = |number: u8| IdentityId(id(3, number));
        match *action {
            Action::Visit => visit(link),
            Action::Click { flow } => click(link, FlowId(id(4, flow))),
            Action::RequestLatest { invitation } => {
                Command::RequestLatestLink { link, new: self.new_link(invitation, 48) }
            }
            Action::Code { identity } => issue_code(link, identity_of(identity)),
            Action::Accept { identity, mailbox } => {
                let mailbox = match mailbox {
                    0 => Mailbox::Unproved,
                    1 => Mailbox::TrustedAddress(address("a@b.example")),
                    _ => Mailbox::CodeEntered,
                };
                accept_by(link, identity_of(identity), mailbox)
            }
        }
    }
}

/// What the events say, and nothing else.
#[derive(Default)]
struct Witness {
    newest_at: BTreeMap<AccountId, Timestamp>,
    customer_numbers: BTreeSet<String>,
    plans: BTreeMap<AccountId, ServicePlan>,
    people: BTreeMap<AccountId, BTreeMap<ProfessionalId, Option<IdentityId>>>,
    roles: BTreeMap<(AccountId, Role), BTreeSet<ProfessionalId>>,
    invitations: BTreeMap<InvitationId, Open>,
    flows: BTreeSet<(InvitationId, FlowId)>,
    mails: BTreeMap<MailId, Mail>,
}

struct Open {
    newest: InvitationIssued,
    ended: bool,
    visits: BTreeMap<u32, u32>,
    codes: u32,
    latest_link_requests: u32,
}

#[derive(Default)]
struct Mail {
    attempts: u32,
    claimed: bool,
    unknown: u32,
    ended: bool,
}

type Held = Result<(), TestCaseError>;

impl Witness {
    /// Takes one event in, if it may follow what is there.
    fn see(&mut self, recorded: &Recorded) -> Held {
        let at = recorded.recorded_at;
        if let Some(account) = recorded.event.about().account {
            let newest_at = self.newest_at.entry(account).or_default();
            prop_assert!(*newest_at <= at, "time within one account ran backwards");
            *newest_at = at;
        }
        match &recorded.event {
            Event::AccountOpened(e) => {
                prop_assert!(self.customer_numbers.insert(e.customer_number.to_string()), "one account for a number");
                prop_assert!(self.people.insert(e.account, BTreeMap::new()).is_none(), "opened once");
            }
            Event::ServicePlanSet(e) => match &e.plan {
                Some(plan) => drop(self.plans.insert(e.account, plan.clone())),
                None => drop(self.plans.remove(&e.account)),
            },
            Event::ProfessionalAdded(e) => {
                let people = self.people.get_mut(&e.account);
                prop_assert!(people.is_some_and(|people| people.insert(e.professional, None).is_none()), "R1");
            }
            Event::RoleGiven(e) => {
                prop_assert!(self.people[&e.account].contains_key(&e.professional), "a living professional");
                let holders = self.roles.entry((e.account, e.role)).or_default();
                prop_assert!(e.role == Role::Administrator || holders.is_empty(), "R5: one holder");
                holders.insert(e.professional);
            }
            Event::InvitationIssued(e) => self.see_issued(e, at)?,
            Event::InvitationRevoked(e) => {
                let open = self.open(e.invitation, e.generation)?;
                open.ended = true;
            }
            Event::LinkVisited(e) => {
                let visits = self.invitations.get_mut(&e.invitation).unwrap().visits.entry(e.generation).or_default();
                *visits += 1;
                prop_assert!(*visits <= VISITS_MAX, "R24: at most 20 visits of a generation");
            }
            Event::LinkClicked(e) => {
                prop_assert!(self.flows.insert((e.invitation, e.flow)), "R24: one click for a flow");
                self.usable(e.invitation, e.generation, at)?;
            }
            Event::LatestLinkRequested(e) => {
                let open = self.usable(e.invitation, e.generation, at)?;
                open.latest_link_requests += 1;
                prop_assert!(open.latest_link_requests <= LATEST_LINK_REQUESTS_MAX);
                self.mails.entry(e.mail).or_default();
            }
            Event::MailboxCodeIssued(e) => {
                let open = self.usable(e.invitation, e.generation, at)?;
                open.codes += 1;
                prop_assert!(open.codes == e.number && e.number <= CODES_MAX);
                prop_assert!(self.mails.insert(e.mail, Mail::default()).is_none(), "a mail of its own");
            }
            Event::IdentityRegistered(_) => {}
            Event::IdentityAssociated(e) => self.see_associated(e, at)?,
            Event::MailAttempted(e) => {
                let mail = self.waiting(e.mail)?;
                prop_assert!(!mail.claimed && e.attempt == mail.attempts + 1, "one worker, one attempt");
                (mail.claimed, mail.attempts) = (true, e.attempt);
            }
            Event::MailSent(e) => self.waiting(e.mail)?.ended = true,
            Event::MailRefused(e) => self.waiting(e.mail)?.ended = true,
            Event::MailParked(e) => self.waiting(e.mail)?.ended = true,
            Event::MailCancelled(e) => {
                let mail = self.waiting(e.mail)?;
                prop_assert!(!mail.claimed, "a mail under way is not cancelled");
                mail.ended = true;
            }
            Event::MailDeferred(e) => {
                let mail = self.waiting(e.mail)?;
                prop_assert!(mail.claimed && e.retry_at > at);
                mail.claimed = false;
            }
            Event::MailOutcomeUnknown(e) => {
                let mail = self.waiting(e.mail)?;
                prop_assert!(mail.claimed && e.retry_at >= at);
                mail.claimed = false;
                mail.unknown += 1;
                prop_assert!(mail.unknown <= 1 + UNKNOWN_RETRIES_MAX, "at most twice again");
            }
            Event::NoticeIssued(e) => {
                prop_assert!(self.mails.insert(e.mail, Mail::default()).is_none(), "a mail of its own");
            }
            other => panic!("no command of this test appends {}", other.name()),
        }
        Ok(())
    }

    fn see_issued(&mut self, e: &InvitationIssued, at: Timestamp) -> Held {
        prop_assert!(self.plans.get(&e.account).is_some_and(|plan| plan.is_current(at)), "R20");
        prop_assert!(self.people[&e.account].contains_key(&e.professional));
        prop_assert!(e.expires_at > at);
        let before = self.invitations.remove(&e.invitation);
        let generation = before.as_ref().map_or(1, |before| before.newest.generation + 1);
        prop_assert_eq!(e.generation, generation, "generations count up by one");
        prop_assert!(before.as_ref().is_none_or(|before| !before.ended), "an ended invitation goes on");
        let open = self.invitations.values().any(|open| !open.ended && open.newest.professional == e.professional);
        prop_assert!(!open, "one open invitation for a professional");
        prop_assert!(self.mails.insert(e.mail, Mail::default()).is_none(), "a mail of its own");
        let (visits, latest_link_requests) =
            before.map_or_else(Default::default, |before| (before.visits, before.latest_link_requests));
        let open = Open { newest: e.clone(), ended: false, visits, codes: 0, latest_link_requests };
        self.invitations.insert(e.invitation, open);
        Ok(())
    }

    fn see_associated(&mut self, e: &IdentityAssociated, at: Timestamp) -> Held {
        let open = self.usable(e.invitation, e.generation, at)?;
        prop_assert!(e.from.is_none() || open.newest.may_replace, "R11: the right to replace");
        prop_assert_eq!(open.newest.professional, e.professional);
        open.ended = true; // R10: at most once
        let people = self.people.get_mut(&e.account).unwrap();
        prop_assert!(!people.values().any(|identity| *identity == Some(e.to)), "one profile for an identity");
        let before = people.insert(e.professional, Some(e.to)).unwrap();
        prop_assert_eq!(before, e.from);
        Ok(())
    }

    /// The open invitation of which this is the newest generation.
    fn open(&mut self, invitation: InvitationId, generation: u32) -> Result<&mut Open, TestCaseError> {
        let open = self.invitations.get_mut(&invitation).expect("an invitation that was issued");
        prop_assert!(!open.ended, "R10: an ended invitation");
        prop_assert_eq!(open.newest.generation, generation, "R9: an older generation");
        Ok(open)
    }

    /// The same, where the link works.
    fn usable(&mut self, invitation: InvitationId, generation: u32, at: Timestamp) -> Result<&mut Open, TestCaseError> {
        let account = self.invitations[&invitation].newest.account;
        prop_assert!(self.plans.get(&account).is_some_and(|plan| plan.is_current(at)), "R20: frozen");
        let open = self.open(invitation, generation)?;
        prop_assert!(at < open.newest.expires_at, "R10: expired");
        Ok(open)
    }

    fn waiting(&mut self, mail: MailId) -> Result<&mut Mail, TestCaseError> {
        let mail = self.mails.get_mut(&mail).expect("a mail that was wanted");
        prop_assert!(!mail.ended, "R26: a mail ends once");
        Ok(mail)
    }

    /// What must hold between commands.
    fn check(&self, given: &Given) -> Held {
        for (account, people) in &self.people {
            let holders = |role| self.roles.get(&(*account, role)).map_or(0, BTreeSet::len);
            if !people.is_empty() {
                prop_assert!(holders(Role::Administrator) >= 1, "R3");
                prop_assert!(Role::MANDATORY.into_iter().all(|role| holders(role) == 1), "R5");
            }
            let Some(state) = given.state_of(*account) else { continue };
            prop_assert!(state.standing.check().is_ok());
            prop_assert_eq!(state.standing.people, people.len());
            let of_state: BTreeMap<_, _> = state.professionals.iter().map(|(id, it)| (*id, it.identity)).collect();
            prop_assert_eq!(&of_state, people);
            let by_identity: BTreeMap<_, _> = state.by_identity.clone().into_iter().collect();
            let expected: BTreeMap<_, _> = people.iter().filter_map(|(id, it)| it.map(|it| (it, *id))).collect();
            prop_assert_eq!(by_identity, expected);
            prop_assert_eq!(state.by_address.len(), people.len(), "an address stands once in an account");
            for (id, invitation) in &state.invitations {
                prop_assert_eq!(invitation.status != InvitationStatus::Open, self.invitations[id].ended);
            }
            for mail in state.mails.keys() {
                prop_assert!(!self.mails[mail].ended);
            }
        }
        let in_state: usize =
            [HARBOUR, QUARRY].iter().filter_map(|account| given.state_of(*account)).map(|it| it.mails.len()).sum();
        let waiting = self.mails.values().filter(|mail| !mail.ended).count();
        prop_assert_eq!(waiting, in_state);
        Ok(())
    }
}

/// Every event survives the way through the log.
fn survives(event: &Event) -> Held {
    let mut read = Event::from_facts(event.name(), &event.facts()).expect("a known name").expect("facts");
    if let Some((_, personal)) = event.personal() {
        prop_assert!(&read != event, "the facts hold what is personal");
        read.set_personal(domain::personal::Personal::from_bytes(&personal.to_bytes()).unwrap());
    }
    prop_assert_eq!(&read, event);
    Ok(())
}

fn run(steps: &[Step]) -> Held {
    let mut given = Given::account().and(&back_office(), open(QUARRY, "C-1002", AccountKind::Customer));
    let (mut witness, mut narrator) = (Witness::default(), Narrator::default());
    let mut seen = 0;
    for step in steps {
        given = given.after(step.turn);
        let Some(command) = step.command(&given) else { continue };
        let caller = step.caller(&given);
        let result = given.execute(&caller, &command);
        for recorded in &given.log[seen..] {
            witness.see(recorded)?;
            survives(&recorded.event)?;
            prop_assert!(narrator.tell(recorded).ends_with('.'));
        }
        seen = given.log.len();
        witness.check(&given)?;
        if let (Ok(_), Command::AcceptInvitation { .. } | Command::RegisterIdentity { .. }) = (&result, &command) {
            prop_assert_eq!(given.execute(&caller, &command), Ok(vec![]), "the same wish again is true already");
        }
    }
    for (subject, known) in given.known() {
        prop_assert_eq!(known, &given.refolded(subject), "the state is what the log says");
    }
    Ok(())
}

#[test]
fn whatever_is_asked_for_the_rules_hold() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/sequences.txt");
    let config = ProptestConfig {
        cases: 100,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in proptest::collection::vec(any_step(), 1..200))| run(&steps)?);
}

/// The types of the events of invitations and mail, which these sequences are about.
const TYPES: &[&str] = &[
    "AccountOpened",
    "IdentityAssociated",
    "IdentityRegistered",
    "InvitationIssued",
    "InvitationRevoked",
    "LatestLinkRequested",
    "LinkClicked",
    "LinkVisited",
    "MailAttempted",
    "MailCancelled",
    "MailDeferred",
    "MailOutcomeUnknown",
    "MailParked",
    "MailRefused",
    "MailSent",
    "MailboxCodeIssued",
    "NoticeIssued",
    "ProfessionalAdded",
    "RoleGiven",
    "ServicePlanSet",
];

#[test]
fn random_sequences_come_to_every_type_of_event() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let expected: BTreeSet<_> = TYPES.iter().copied().chain(["replaced"]).collect();
    let mut names = BTreeSet::new();
    let steps = proptest::collection::vec(any_step(), 200);
    for _ in 0..200 {
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut given = Given::account().and(&back_office(), open(QUARRY, "C-1002", AccountKind::Customer));
        for step in steps {
            given = given.after(step.turn);
            let Some(command) = step.command(&given) else { continue };
            let caller = step.caller(&given);
            let _refused = given.execute(&caller, &command);
        }
        names.extend(given.log.iter().map(|recorded| recorded.event.name()));
        let replaced = |it: &Recorded| matches!(&it.event, Event::IdentityAssociated(e) if e.from.is_some());
        if given.log.iter().any(replaced) {
            names.insert("replaced");
        }
        if names == expected {
            return;
        }
    }
    assert_eq!(names, expected);
}
