//! Random histories of all commands, by everybody, in two customer accounts and a partner account. Each answer is compared
//! with the naive reference, each log with the checker, and the state at the end with both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::account::{AppointmentStatus, InvitationStatus};
use domain::caller::{Actor, Caller};
use domain::check::check;
use domain::command::{Command, Edit, NewLink, Verdict};
use domain::event::*;
use domain::ids::*;
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::mail::MailOutcome;
use domain::name::{AccountName, PersonName, Reason};
use domain::narrate::Narrator;
use domain::personal::{Grounds, Personal, ProfessionalDetails};
use domain::refusal::Refusal;
use domain::tag::{Subject, Tag};
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Language, Role, Scope};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use uuid::Uuid;

use super::harness::*;
use super::reference::{Answer, Status, World};

#[path = "histories/wishes.rs"]
mod wishes;

pub use wishes::*;

const GUILD: AccountId = AccountId(Uuid::from_u128(0xa3));
pub const ACCOUNTS: [AccountId; 3] = [HARBOUR, QUARRY, GUILD];
const NUMBERS: [&str; 3] = ["C-1001", "C-1002", "G-1"];
/// The last two are one address.
const ADDRESSES: [&str; 6] = ["a@b.example", "c@b.example", "d@b.example", "e@b.example", "f@b.example", "F@B.example"];
const NAMES: [&str; 3] = ["Robin Rivers", "Sam Sands", "Kim Keel"];

type Held = Result<(), TestCaseError>;

fn id(kind: u128, number: u128) -> Uuid {
    Uuid::from_u128((kind << 64) + number)
}

fn pick<T: Clone>(from: &[T], index: Index) -> Option<T> {
    (!from.is_empty()).then(|| index.get(from).clone())
}

/// A command that was run, and what came of it.
pub struct Asked {
    /// What the clock showed.
    pub at: Timestamp,
    pub caller: Caller,
    pub command: Command,
    pub request: Uuid,
    pub result: Result<Vec<Event>, Refusal>,
}

/// Both sides: the log with its decisions, and the reference.
pub struct Both {
    pub given: Given,
    /// Everything that was asked for, in order.
    pub asked: Vec<Asked>,
    world: World,
    seen: usize,
    narrator: Narrator,
    pub refusals: BTreeSet<&'static str>,
}

impl Both {
    /// Three accounts: Harbour and the guild have an administrator with an identity, and the guild serves Harbour.
    fn start() -> Result<Self, TestCaseError> {
        let (given, world) = (Given::nothing(), World::default());
        let (asked, narrator, refusals) = (Vec::new(), Narrator::default(), BTreeSet::new());
        let mut both = Self { given, asked, world, seen: 0, narrator, refusals };
        for (account, number) in ACCOUNTS.into_iter().zip(NUMBERS) {
            let kind = if account == GUILD { AccountKind::Partner } else { AccountKind::Customer };
            both.execute(&back_office(), &open(account, number, kind))?;
        }
        both.execute(&back_office(), &set_plan(HARBOUR, Some(plan(start(), Millis::days(300)))))?;
        both.execute(&support(), &Command::AssignPartner { account: HARBOUR, partner: GUILD })?;
        for (account, number) in [(HARBOUR, 0), (GUILD, 1)] {
            let invitation = InvitationId(id(7, number));
            let details = details("Robin Rivers", ADDRESSES[0]);
            let new = Some(new_link(invitation));
            both.execute(&support(), &add_with(account, professional_of(account, 0), details, new))?;
            let (identity, link) = (IdentityId(id(3, number)), Link { account, invitation, generation: 1 });
            both.execute(&person(identity), &register(identity))?;
            both.execute(&person(identity), &issue_code(link, identity))?;
            both.execute(&person(identity), &accept(link, identity))?;
        }
        for number in 1..4 {
            let new = (number > 1).then(|| new_link(InvitationId(id(7, 1 + u128::from(number)))));
            let details = details(NAMES[0], ADDRESSES[usize::from(number)]);
            both.execute(&support(), &add_with(HARBOUR, professional_of(HARBOUR, number), details, new))?;
        }
        Ok(both)
    }

    /// Runs a command on both sides and compares what they answer.
    fn execute(&mut self, caller: &Caller, command: &Command) -> Held {
        let now = self.now(caller, command);
        let (at, request) = (self.given.clock(), self.given.next_request());
        let result = self.given.execute(caller, command);
        let (caller_of, command_of) = (caller.clone(), command.clone());
        self.asked.push(Asked { at, caller: caller_of, command: command_of, request, result: result.clone() });
        let waits = result
            .iter()
            .flatten()
            .any(|event| matches!(event, Event::AppointmentProposed(proposed) if proposed.window_ends_at.is_some()));
        let expected = self.world.run(caller, command, now, waits);
        self.refusals.extend(result.as_ref().err().map(Refusal::code));
        if let Some(expected) = expected {
            let is_same = match (&expected, &result) {
                (Answer::Accepted, Ok(events)) => !events.is_empty(),
                (Answer::Unchanged, Ok(events)) => events.is_empty(),
                (Answer::Refused(codes), Err(refusal)) => codes.contains(&refusal.code()),
                _ => false,
            };
            prop_assert!(is_same, "{command:?}\nby {caller:?}\nis {expected:?} and comes to {result:?}");
        }
        for recorded in &self.given.log[self.seen..] {
            survives(&recorded.event)?;
            prop_assert!(self.narrator.tell(recorded).ends_with('.'));
        }
        self.seen = self.given.log.len();
        let is_repeatable = matches!(
            command,
            Command::AcceptInvitation { .. } | Command::RegisterIdentity { .. } | Command::CloseAccount { .. }
        );
        if result.is_ok() && is_repeatable {
            let again = self.given.clone().execute(caller, command);
            prop_assert_eq!(again, Ok(vec![]), "the same wish again is true already");
        }
        Ok(())
    }

    /// The one time of a command: the clock, but never before what it reads.
    fn now(&self, caller: &Caller, command: &Command) -> Timestamp {
        let boundary = command.boundary(caller);
        let newest_at = boundary.iter().filter_map(|read| Some(self.given.known().get(&read.subject)?.newest_at)).max();
        self.given.clock().max(newest_at.unwrap_or_default())
    }

    fn step(&mut self, step: &Step) -> Held {
        let given = std::mem::replace(&mut self.given, Given::nothing());
        self.given = given.after(step.turn);
        let caller = self.caller(step);
        for (caller, command) in self.commands(step, &caller) {
            self.execute(&caller, &command)?;
        }
        Ok(())
    }

    fn identity(&self, number: u8) -> IdentityId {
        // Somebody whose identity was erased and who comes again has a new one; the last one's session outlives it.
        let number = u128::from(number);
        if number == 5 {
            return IdentityId(id(3, number));
        }
        let identities = (0..).map(|life| IdentityId(id(3, number + 100 * life)));
        identities.into_iter().find(|identity| !self.world.erased.contains(identity)).unwrap()
    }

    fn administrators_of(&self, account: AccountId) -> Vec<IdentityId> {
        let found = self.world.account(account).unwrap();
        found.administrators().filter_map(|person| person.identity).collect()
    }

    /// The account; about mails, appointments and access requests one that has any.
    fn account(&self, step: &Step) -> AccountId {
        let account = ACCOUNTS[step.account];
        let has_mails = self.given.state_of(account).is_some_and(|state| !state.mails.is_empty());
        let is_about_mails = matches!(step.wish, Wish::Attempt { .. } | Wish::Record { .. } | Wish::Bounce { .. });
        if is_about_mails && !has_mails {
            return HARBOUR;
        }
        let with = |has: fn(&super::reference::Account) -> bool| {
            let found = self.world.accounts.iter().find(|it| has(it)).map(|it| it.id);
            found.filter(|_| !self.world.account(account).is_some_and(has)).unwrap_or(account)
        };
        match step.wish {
            Wish::Object { .. } | Wish::Decide { .. } | Wish::CarryOut { .. } => {
                with(|it| !it.is_closed && it.appointments.iter().any(|it| !it.has_ended))
            }
            Wish::Approve { .. } | Wish::Decline { .. } => with(|it| !it.is_closed && !it.wishes.is_empty()),
            _ => account,
        }
    }

    fn caller(&self, step: &Step) -> Caller {
        let account = self.account(step);
        match &step.who {
            Who::Apt(index) => self.apt(step, account, *index),
            Who::Staff(scope) => staff(*scope),
            Who::CommandLine(scope) => Caller::with_scopes(Actor::Cli("root".into()), [*scope]),
            Who::Administrator(index) => self.administrator(account, *index).unwrap_or_else(support),
            Who::Partner(index) => self.partner(*index).unwrap_or_else(operator),
            Who::Person { identity, signed_in_minutes_ago, acting_as, for_partner } => Caller {
                signed_in_at: signed_in_minutes_ago.map(|minutes| self.given.clock() + Millis::minutes(-minutes)),
                acting_as: acting_as.map(|number| professional_of(account, number)),
                partner: for_partner.then_some(GUILD),
                ..person(self.identity(*identity))
            },
            Who::LinkHolder => link_holder(),
            Who::Worker => worker(),
        }
    }

    fn administrator(&self, account: AccountId, index: Index) -> Option<Caller> {
        let identity = pick(&self.administrators_of(account), index)?;
        Some(Caller { signed_in_at: Some(self.given.clock()), ..person(identity) })
    }

    fn partner(&self, index: Index) -> Option<Caller> {
        let identity = pick(&self.administrators_of(GUILD), index)?;
        Some(Caller { partner: Some(GUILD), ..person(identity) })
    }

    fn apt(&self, step: &Step, account: AccountId, index: Index) -> Caller {
        let administrator = || self.administrator(account, index);
        match &step.wish {
            Wish::Open { .. } | Wish::Plan { .. } | Wish::Rename { .. } => back_office(),
            Wish::Close
            | Wish::Assign { .. }
            | Wish::Remove { .. }
            | Wish::Decide { .. }
            | Wish::Erase { .. }
            | Wish::EraseIdentity { .. } => support(),
            Wish::Bounce { .. } => operator(),
            Wish::Object { .. } => administrator().unwrap_or_else(support),
            Wish::Propose { .. } if index.index(3) > 0 => self.partner(index).unwrap_or_else(support),
            Wish::Propose { .. } => support(),
            _ if index.index(4) == 0 => self.partner(index).unwrap_or_else(support),
            _ if index.index(4) == 1 => support(),
            _ => administrator().unwrap_or_else(support),
        }
    }

    fn link(&self, account: AccountId, invitation: Index, age: u32) -> Option<Link> {
        let found = &self.world.account(account)?.invitations;
        let works = |it: &&super::reference::Invitation| {
            it.status == Status::Open && (it.expires_at > self.given.clock() || age > 1)
        };
        let open: Vec<_> = found.iter().filter(works).cloned().collect();
        // Mostly one that is open.
        let it = if open.is_empty() || invitation.index(5) == 0 {
            pick(found, invitation)
        } else {
            pick(&open, invitation)
        }?;
        Some(Link { account, invitation: it.id, generation: (it.generation + 1).saturating_sub(age).max(1) })
    }

    /// How many codes the newest generation has had.
    fn codes(&self, link: Link) -> u32 {
        let found = self.given.state_of(link.account).and_then(|account| account.invitations.get(&link.invitation));
        found.filter(|it| it.generation == link.generation).map_or(0, |it| it.codes)
    }

    /// The commands of a step, each with its caller; none where there is nothing that could be meant.
    fn commands(&mut self, step: &Step, caller: &Caller) -> Vec<(Caller, Command)> {
        let account = self.account(step);
        if let Wish::Accept { invitation, age, identity, mailbox } = step.wish {
            return self.acceptance(account, invitation, age, self.identity(identity), mailbox);
        }
        if let Wish::Flood { professional, invitation, identity, what } = step.wish {
            return self.flood(account, caller, professional, invitation, self.identity(identity), what);
        }
        let command = self
            .command_about_accounts(step, account)
            .or_else(|| self.command_about_people(step, account))
            .or_else(|| self.command_about_invitations(step, account))
            .or_else(|| self.command_about_appointments(step, account))
            .or_else(|| self.command_about_mails(step, account));
        let Some(command) = command else { return vec![] };
        if let Command::RequestAccess { identity, .. } = &command {
            // Its details are sealed under the key that its registration makes.
            return vec![(person(*identity), register(*identity)), (caller.clone(), command)];
        }
        if let (Command::RecordMailOutcome { mail, .. }, Some(state)) = (&command, self.given.state_of(account))
            && state
                .mails
                .get(mail)
                .is_some_and(|found| found.claimed_at.is_none() && found.due_at <= self.given.clock())
        {
            let attempt = Command::AttemptMail { account, mail: *mail };
            let record = match command.clone() {
                Command::RecordMailOutcome { account, professional, mail, attempt, outcome, jitter_permille } => {
                    let attempt = attempt + 1;
                    Command::RecordMailOutcome { account, professional, mail, attempt, outcome, jitter_permille }
                }
                other => other,
            };
            return vec![(worker(), attempt), (worker(), record)];
        }
        let caller = match &command {
            Command::InviteByAssociation { identity, .. }
            | Command::RequestAccess { identity, .. }
            | Command::RegisterIdentity { identity, .. }
            | Command::RecordSignIn { identity, .. }
            | Command::RecordAssociationLimit { identity, .. } => person(*identity),
            Command::RequestLatestLink { .. } | Command::RecordVisit { .. } | Command::ClickLink { .. } => {
                link_holder()
            }
            Command::AttemptMail { .. } | Command::RecordMailOutcome { .. } | Command::CarryOutAppointment { .. } => {
                worker()
            }
            _ => caller.clone(),
        };
        vec![(caller, command)]
    }

    /// One command more often than budgets allow.
    fn flood(
        &self,
        account: AccountId,
        caller: &Caller,
        professional: u8,
        invitation: Index,
        identity: IdentityId,
        what: u8,
    ) -> Vec<(Caller, Command)> {
        let new = |number| link_to_send(account, &New { number, hours: 168 });
        let professional = self.somebody(account, professional);
        let send = Command::SendInvitation { account, professional, new: new(500) };
        let Some(link) = self.link(account, invitation, 1) else { return vec![] };
        let (times, caller, command) = match what {
            0 => (22, caller.clone(), send),
            1 => (22, link_holder(), visit(link)),
            2 => (6, person(identity), issue_code(link, identity)),
            _ => {
                let older = Link { generation: 1, ..link };
                (6, link_holder(), Command::RequestLatestLink { link: older, new: new(501) })
            }
        };
        std::iter::repeat_n((caller, command), times).collect()
    }

    /// Accepting, mostly with a code that is asked for before.
    fn acceptance(
        &mut self,
        account: AccountId,
        invitation: Index,
        age: u32,
        identity: IdentityId,
        mailbox: u8,
    ) -> Vec<(Caller, Command)> {
        let Some(link) = self.link(account, invitation, age) else { return vec![] };
        let by = |command| (person(identity), command);
        match mailbox {
            0 => vec![by(accept_by(link, identity, Mailbox::Unproved))],
            1 => vec![by(accept_by(link, identity, Mailbox::TrustedAddress(address(ADDRESSES[0]))))],
            _ => {
                let code = issue_code(link, identity);
                let is_issued = self.given.clone().execute(&person(identity), &code).is_ok_and(|it| !it.is_empty());
                let proved = is_issued || self.codes(link) > 0;
                let mailbox = if proved { Mailbox::CodeEntered } else { Mailbox::Unproved };
                vec![by(register(identity)), by(code), by(accept_by(link, identity, mailbox))]
            }
        }
    }

    fn command_about_accounts(&self, step: &Step, account: AccountId) -> Option<Command> {
        let name = |text| AccountName::parse(text).unwrap();
        Some(match &step.wish {
            Wish::Open { account: other, kind } => {
                let kind = if *kind { AccountKind::Customer } else { AccountKind::Partner };
                open(account, NUMBERS[*other], kind)
            }
            Wish::Plan { days } => set_plan(account, days.map(|days| plan(self.given.clock(), Millis::days(days)))),
            Wish::Rename { name: number } => {
                Command::RenameAccount { account, name: name(["Harbour", "Quarry"][usize::from(*number)]) }
            }
            Wish::Close => Command::CloseAccount { account },
            Wish::Assign { partner } => Command::AssignPartner { account, partner: ACCOUNTS[*partner] },
            Wish::Remove { partner } => Command::RemovePartner { account, partner: ACCOUNTS[*partner] },
            Wish::Audit => {
                Command::RecordAuditRead { tag: Some(Tag::Account(account)), subject: Subject::Account(account) }
            }
            _ => return None,
        })
    }

    fn command_about_people(&self, step: &Step, account: AccountId) -> Option<Command> {
        let of = |number: u8| professional_of(account, number);
        Some(match step.wish.clone() {
            Wish::Add { professional, address, name, invitation } => {
                let professional = self.free_or_taken(account, professional);
                add_with(
                    account,
                    professional,
                    known_by(name, address),
                    invitation.map(|it| link_to_send(account, &it)),
                )
            }
            Wish::Edit { professional, name, address: at, german, invitation } => {
                let edit = Edit {
                    name: name.map(|name| PersonName::parse(NAMES[name]).unwrap()),
                    address: at.map(|at| address(ADDRESSES[at])),
                    language: german.then_some(Language::German),
                    invitation: invitation.map(|it| link_to_send(account, &it)),
                };
                Command::EditProfessional { account, professional: self.somebody(account, professional), edit }
            }
            Wish::Delete { professional } => {
                Command::DeleteProfessional { account, professional: self.somebody(account, professional) }
            }
            Wish::HandOver { professional, to } => Command::HandOver {
                account,
                professional: self.somebody(account, professional),
                to: self.somebody(account, to),
            },
            Wish::Give { professional, role } => {
                Command::GiveRole { account, professional: self.somebody(account, professional), role: role_of(role) }
            }
            Wish::Take { professional, role } => {
                Command::TakeRole { account, professional: self.somebody(account, professional), role: role_of(role) }
            }
            Wish::Unlink { professional } => {
                Command::UnlinkIdentity { account, professional: self.somebody(account, professional) }
            }
            Wish::Erase { professional, all } => {
                let professional = self.erasable(account, professional);
                let found = self.world.account(account)?.people.iter().find(|person| person.id == professional);
                let mut identities: Vec<_> = found.map(|person| person.identities.clone()).unwrap_or_default();
                identities.sort();
                identities.dedup();
                if !all {
                    identities = vec![IdentityId(id(3, 2))];
                }
                Command::ErasePerson { account, professional, identities }
            }
            Wish::Send { professional, new } => Command::SendInvitation {
                account,
                professional: if new.number % 50 == 0 {
                    of(professional)
                } else {
                    self.somebody(account, professional)
                },
                new: link_to_send(account, &new),
            },
            _ => return None,
        })
    }

    /// A person who lives, as long as there is one; people who were deleted come again under other ids.
    fn somebody(&self, account: AccountId, number: u8) -> ProfessionalId {
        let living: Vec<_> = self.world.account(account).unwrap().living().map(|person| person.id).collect();
        match number {
            0..6 if !living.is_empty() => living[usize::from(number) % living.len()],
            _ => professional_of(account, number),
        }
    }

    fn free_or_taken(&self, account: AccountId, number: u8) -> ProfessionalId {
        let people = &self.world.account(account).unwrap().people;
        if number == 0 { professional_of(account, 0) } else { professional_of(account, people.len() as u8) }
    }

    /// Somebody who was deleted and not erased, if there is one.
    fn erasable(&self, account: AccountId, number: u8) -> ProfessionalId {
        let people = &self.world.account(account).unwrap().people;
        let gone = people.iter().rfind(|person| person.is_deleted && !person.is_erased);
        gone.filter(|_| number.is_multiple_of(2)).map_or_else(|| self.somebody(account, number), |person| person.id)
    }

    fn command_about_invitations(&self, step: &Step, account: AccountId) -> Option<Command> {
        let flow = |number: u8| FlowId(id(4, u128::from(number)));
        Some(match step.wish.clone() {
            Wish::Revoke { invitation } => {
                Command::RevokeInvitation { account, invitation: self.link(account, invitation, 1)?.invitation }
            }
            Wish::Retry { invitation, professional, address: at, new } => {
                let invitation = self.link(account, invitation, 1)?.invitation;
                let of = self.world.account(account)?.invitation(invitation)?.professional;
                Command::RetryInvitation {
                    account,
                    professional: professional.map_or(of, |number| professional_of(account, number)),
                    invitation,
                    address: at.map(|at| address(ADDRESSES[at])),
                    new: link_to_send(account, &new),
                }
            }
            Wish::Associate { professional, identity, address: at, new } => {
                let professional = self.somebody(account, professional);
                let registered = self.world.account(account)?.person(professional).map(|it| it.details.address.key());
                let typed = at.map(|at| address(ADDRESSES[at]).key()).or(registered)?;
                Command::InviteByAssociation {
                    account,
                    professional,
                    identity: self.identity(identity),
                    address: typed,
                    new: link_to_send(account, &new),
                }
            }
            Wish::EraseIdentity { identity } => {
                Command::EraseIdentity { identity: IdentityId(id(3, u128::from(identity))) }
            }
            Wish::Limit { identity } => {
                Command::RecordAssociationLimit { identity: self.identity(identity), left_out: 3 }
            }
            Wish::Visit { invitation, age } => visit(self.link(account, invitation, age)?),
            Wish::Click { invitation, age, flow: number } => click(self.link(account, invitation, age)?, flow(number)),
            Wish::RequestLatest { invitation, age, new } => Command::RequestLatestLink {
                link: self.link(account, invitation, age)?,
                new: link_to_send(account, &new),
            },
            Wish::Code { invitation, age, identity } => {
                issue_code(self.link(account, invitation, age)?, self.identity(identity))
            }
            Wish::Register { identity } => register(self.identity(identity)),
            _ => return None,
        })
    }

    fn command_about_appointments(&self, step: &Step, account: AccountId) -> Option<Command> {
        let nobodys = || (AccessRequestId(Uuid::nil()), AppointmentId(Uuid::nil()));
        let found = self.world.account(account)?;
        let request = |index: Option<Index>| {
            index.and_then(|index| pick(&found.wishes, index)).map_or(nobodys().0, |wish| wish.id)
        };
        let appointment = |index: Option<Index>| {
            let waiting: Vec<_> = found.appointments.iter().filter(|it| !it.has_ended).cloned().collect();
            let among = if waiting.is_empty() { &found.appointments } else { &waiting };
            index.and_then(|index| pick(among, index)).map_or(nobodys().1, |it| it.id)
        };
        Some(match step.wish.clone() {
            Wish::Ask { request, identity, address } => Command::RequestAccess {
                account,
                // A fresh id, as the service takes it, or one that is open.
                access_request: match found.wishes.first() {
                    Some(open) if request == 0 => open.id,
                    _ => AccessRequestId(id(5, self.given.log.len() as u128)),
                },
                identity: self.identity(identity),
                details: known_by(0, address),
                language: Language::English,
            },
            Wish::Approve { request: index, professional, new } => Command::ApproveAccessRequest {
                account,
                access_request: request(index),
                professional: self.free_or_taken(account, professional),
                new: link_to_send(account, &new),
            },
            Wish::Decline { request: index } => {
                Command::DeclineAccessRequest { account, access_request: request(index) }
            }
            Wish::Propose { appointment, professional, replaces } => {
                let text = |text| Reason::parse(text).unwrap();
                Command::ProposeAppointment {
                    account,
                    appointment: AppointmentId(id(6, u128::from(appointment))),
                    professional: self.somebody(account, professional),
                    replaces: replaces.map(|number| self.somebody(account, number)),
                    grounds: Grounds { reason: text("Nobody is there"), evidence: text("Letter 12") },
                }
            }
            Wish::Object { appointment: index } => {
                Command::ObjectToAppointment { account, appointment: appointment(index) }
            }
            Wish::Decide { appointment: index, carry_out } => {
                let verdict = if carry_out { Verdict::CarryOut } else { Verdict::Reject };
                Command::DecideAppointment { account, appointment: appointment(index), verdict }
            }
            Wish::CarryOut { appointment: index } => {
                Command::CarryOutAppointment { account, appointment: appointment(index) }
            }
            Wish::SignIn { identity } => Command::RecordSignIn { account, identity: self.identity(identity) },
            _ => return None,
        })
    }

    fn command_about_mails(&self, step: &Step, account: AccountId) -> Option<Command> {
        let state = self.given.state_of(account)?;
        let reply = || String::from("so it is");
        let waiting = |index: Index| {
            let sorted: BTreeMap<_, _> = state.mails.iter().collect();
            let all: Vec<_> = sorted.into_iter().collect();
            let claimed: Vec<_> = all.iter().filter(|(_, it)| it.claimed_at.is_some()).copied().collect();
            // Outcomes are mostly of an attempt that is under way.
            let is_recorded = matches!(step.wish, Wish::Record { .. });
            pick(if is_recorded && !claimed.is_empty() { &claimed } else { &all }, index)
        };
        Some(match step.wish.clone() {
            Wish::Bounce { mail } => {
                let sorted: BTreeMap<_, _> = state.sent.iter().collect();
                let all: Vec<_> = sorted.into_iter().collect();
                // Mostly one that did not come back yet, and was not to somebody who is there.
                let gone = |of| !state.professionals.contains_key(of);
                let new: Vec<_> =
                    all.iter().filter(|(_, it)| !it.has_bounced && gone(&it.professional)).copied().collect();
                let (mail, sent) = pick(if new.is_empty() { &all } else { &new }, mail)?;
                let (professional, mail) = (sent.professional, *mail);
                Command::RecordBounce { account, professional, mail, status: Some("5.1.1".into()), reply: reply() }
            }
            Wish::Attempt { mail } => Command::AttemptMail { account, mail: *waiting(mail)?.0 },
            Wish::Record { mail, attempts_ago, outcome, jitter_permille } => {
                let (mail, found) = waiting(mail)?;
                Command::RecordMailOutcome {
                    account,
                    professional: found.professional,
                    mail: *mail,
                    attempt: (found.attempts + 1).saturating_sub(attempts_ago),
                    outcome: match outcome {
                        0 => MailOutcome::Sent { reply: reply() },
                        1 => MailOutcome::Refused { code: Some(550), reply: reply() },
                        2 => MailOutcome::Deferred { code: None, reply: reply() },
                        _ => MailOutcome::Unknown { reply: reply() },
                    },
                    jitter_permille,
                }
            }
            _ => return None,
        })
    }

    /// What must hold at the end: the checker finds nothing, and all states are the same.
    fn check(&self) -> Held {
        prop_assert_eq!(check(&read_back(&self.given.log)), vec![]);
        for (subject, known) in self.given.known() {
            prop_assert_eq!(known, &self.given.refolded(subject), "the state is what the log says");
        }
        for account in ACCOUNTS {
            let (state, expected) = (self.given.state(account), self.world.account(account).unwrap());
            prop_assert!(state.standing.check().is_ok());
            prop_assert_eq!(state.is_open(), !expected.is_closed);
            prop_assert_eq!(&state.plan, &expected.plan);
            prop_assert_eq!(&state.partners, &expected.partners.iter().copied().collect::<BTreeSet<_>>());
            let living: BTreeMap<_, _> = expected
                .living()
                .map(|it| (it.id, (Some(it.details.clone()), Some(it.language), it.identity)))
                .collect();
            let people: BTreeMap<_, _> = state
                .professionals
                .iter()
                .map(|(id, it)| {
                    let details = it.name.clone().zip(it.address.clone());
                    let details = details.map(|(name, address)| ProfessionalDetails { name, address });
                    (*id, (details, it.language, it.identity))
                })
                .collect();
            prop_assert_eq!(people, living);
            let administrators: BTreeSet<_> = expected.administrators().map(|person| person.id).collect();
            prop_assert_eq!(&state.standing.administrators, &administrators);
            let held = |person: &super::reference::Person| {
                person.contacts.iter().map(|role| (*role, person.id)).collect::<Vec<_>>()
            };
            let contacts: BTreeMap<_, _> = expected.living().flat_map(held).collect();
            prop_assert_eq!(&state.standing.contacts, &contacts);
            let addresses: HashMap<_, _> = expected.living().map(|it| (it.details.address.key(), it.id)).collect();
            prop_assert_eq!(&state.by_address, &addresses);
            let identities: HashMap<_, _> = expected.living().filter_map(|it| Some((it.identity?, it.id))).collect();
            prop_assert_eq!(&state.by_identity, &identities);
            self.check_open(&state, expected)?;
        }
        Ok(())
    }

    fn check_open(&self, state: &domain::account::Account, expected: &super::reference::Account) -> Held {
        let invitations: BTreeMap<_, _> = expected
            .invitations
            .iter()
            .map(|it| {
                let right = (it.may_replace, Some(it.by), it.partner, it.bound_to);
                (it.id, (it.professional, it.generation, it.expires_at, right, it.status))
            })
            .collect();
        let of_state: BTreeMap<_, _> = state
            .invitations
            .iter()
            .map(|(id, it)| {
                let status = match it.status {
                    InvitationStatus::Open => Status::Open,
                    InvitationStatus::Revoked => Status::Revoked,
                    InvitationStatus::Accepted(_) => Status::Accepted,
                };
                let right = (it.may_replace, it.by, it.partner, it.bound_to);
                (*id, (it.professional, it.generation, it.expires_at, right, status))
            })
            .collect();
        prop_assert_eq!(of_state, invitations);
        let wishes: BTreeSet<_> = expected.wishes.iter().map(|wish| wish.id).collect();
        prop_assert_eq!(state.access_requests.keys().copied().collect::<BTreeSet<_>>(), wishes);
        let appointments: BTreeMap<_, _> = expected
            .appointments
            .iter()
            .map(|it| {
                let status = match (it.has_ended, it.has_objection) {
                    (true, _) => AppointmentStatus::Ended,
                    (false, true) => AppointmentStatus::Objected,
                    (false, false) => AppointmentStatus::Waiting,
                };
                (it.id, (it.professional, status))
            })
            .collect();
        let of_state: BTreeMap<_, _> =
            state.appointments.iter().map(|(id, it)| (*id, (it.professional, it.status))).collect();
        prop_assert_eq!(of_state, appointments);
        Ok(())
    }
}

fn professional_of(account: AccountId, number: u8) -> ProfessionalId {
    ProfessionalId(id(account.0.as_u128(), u128::from(number)))
}

/// Any role, mostly the administrator's.
fn role_of(number: usize) -> Role {
    Role::ALL.get(number).copied().unwrap_or(Role::Administrator)
}

fn known_by(name: usize, address: usize) -> ProfessionalDetails {
    details(NAMES[name], ADDRESSES[address])
}

fn link_to_send(account: AccountId, new: &New) -> NewLink {
    let invitation = InvitationId(id(0x200 + account.0.as_u128(), u128::from(new.number)));
    NewLink { lifetime: Lifetime::hours(new.hours).unwrap(), ..new_link(invitation) }
}

/// A log as it is read back: keys of the erased are destroyed.
fn read_back(log: &[Recorded]) -> Vec<Recorded> {
    let erased: BTreeSet<_> = log.iter().filter_map(|recorded| recorded.event.erased_person()).collect();
    let mut log = log.to_vec();
    for recorded in &mut log {
        if recorded.event.personal().is_some_and(|(person, _)| erased.contains(&person)) {
            let facts = recorded.event.facts();
            recorded.event = Event::from_facts(recorded.event.name(), &mut serde_json::Deserializer::from_str(&facts))
                .unwrap()
                .unwrap();
        }
    }
    log
}

/// Every event survives the way through the log.
fn survives(event: &Event) -> Held {
    let mut read = Event::from_facts(event.name(), &mut serde_json::Deserializer::from_str(&event.facts()))
        .expect("facts")
        .expect("a known name");
    if let Some((_, personal)) = event.personal() {
        prop_assert!(&read != event, "the facts hold what is personal");
        read.set_personal(Personal::from_bytes(&personal.to_bytes()).unwrap());
    }
    prop_assert_eq!(&read, event);
    Ok(())
}

/// Runs a history on both sides, and compares them at its end.
pub fn run(steps: &[Step]) -> Result<Both, TestCaseError> {
    let mut both = Both::start()?;
    for step in steps {
        both.step(step)?;
    }
    both.check()?;
    Ok(both)
}
