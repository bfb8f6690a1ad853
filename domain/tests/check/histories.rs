//! Histories that real commands made, and what may be done to them.

use std::collections::HashSet;

use domain::caller::{Actor, Caller, Request};
use domain::command::{Command, Edit, NewLink, Verdict};
use domain::event::*;
use domain::ids::*;
use domain::invitation::{Lifetime, Link};
use domain::mail::MailOutcome;
use domain::name::Reason;
use domain::personal::{Grounds, Person};
use domain::tag::{Subject, Tag};
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Authority, Language, Role};
use uuid::Uuid;

use super::harness::*;

/// A partner account that serves Harbour.
pub const GUILD: AccountId = AccountId(Uuid::from_u128(0xa3));
/// The administrator of the partner account.
pub const PAT: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb4));
/// Somebody whom nobody has added.
pub const LEE: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb5));
/// The identity of the partner's administrator.
pub const PATS: IdentityId = IdentityId(Uuid::from_u128(0xc4));
/// The invitation that Pat accepted.
pub const THIRD: InvitationId = InvitationId(Uuid::from_u128(0xd3));
/// Kim's invitation, which is open.
pub const FOURTH: InvitationId = InvitationId(Uuid::from_u128(0xd4));
/// An invitation that nobody has issued.
pub const FIFTH: InvitationId = InvitationId(Uuid::from_u128(0xd5));
/// An invitation that nobody has issued.
pub const SIXTH: InvitationId = InvitationId(Uuid::from_u128(0xd6));
pub const APPOINTMENT: AppointmentId = AppointmentId(Uuid::from_u128(0x1a));
pub const REQUEST: AccessRequestId = AccessRequestId(Uuid::from_u128(0x1b));

pub fn partner() -> Caller {
    Caller { partner: Some(GUILD), ..person(PATS) }
}

pub fn grounds() -> Grounds {
    let text = |text| Reason::parse(text).unwrap();
    Grounds { reason: text("The administrator has left"), evidence: text("Letter 12") }
}

pub fn propose(professional: ProfessionalId, replaces: Option<ProfessionalId>) -> Command {
    let (account, appointment) = (HARBOUR, APPOINTMENT);
    Command::ProposeAppointment { account, appointment, professional, replaces, grounds: grounds() }
}

pub fn ask_to_join(identity: IdentityId) -> Command {
    let details = details("Lee Lantern", "lee@harbour.example");
    let language = Language::English;
    Command::RequestAccess { account: HARBOUR, access_request: REQUEST, identity, details, language }
}

pub fn erase(professional: ProfessionalId, identities: &[IdentityId]) -> Command {
    Command::ErasePerson { account: HARBOUR, professional, identities: identities.to_vec() }
}

pub fn delete(professional: ProfessionalId) -> Command {
    Command::DeleteProfessional { account: HARBOUR, professional }
}

pub fn by_association(professional: ProfessionalId, identity: IdentityId, new: NewLink) -> Command {
    let address = details_of(professional).address.key();
    Command::InviteByAssociation { account: HARBOUR, professional, identity, address, new }
}

pub fn within_a_day(invitation: InvitationId) -> NewLink {
    NewLink { lifetime: Lifetime::hours(24).unwrap(), ..new_link(invitation) }
}

/// Accepts as people do: with a code that was issued.
fn join(given: Given, link: Link, identity: IdentityId) -> Given {
    let oneself = person(identity);
    given.and(&oneself, issue_code(link, identity)).and(&oneself, accept(link, identity))
}

fn linked(given: Given, professional: ProfessionalId, invitation: InvitationId, identity: IdentityId) -> Given {
    let given =
        given.and(&support(), add_and_invite(professional, invitation)).and(&person(identity), register(identity));
    join(given, link(invitation, 1), identity)
}

/// Harbour, served by a partner, with Robin (administrator) and Sam, both linked, and Kim, who was invited.
pub fn harbour() -> Given {
    let given = linked(Given::account(), ROBIN, FIRST, ROBINS);
    let given = linked(given, SAM, SECOND, SAMS);
    let pats = details("Pat Pilot", "pat@guild.example");
    let given = given
        .and(&back_office(), open(GUILD, "G-1", AccountKind::Partner))
        .and(&support(), add_with(GUILD, PAT, pats, Some(new_link(THIRD))))
        .and(&person(PATS), register(PATS));
    let given = join(given, Link { account: GUILD, invitation: THIRD, generation: 1 }, PATS);
    given
        .and(&support(), Command::AssignPartner { account: HARBOUR, partner: GUILD })
        .and(&support(), add_and_invite(KIM, FOURTH))
        .and(&person(STRANGERS), register(STRANGERS))
        .after(Millis::minutes(1))
}

/// Takes a mail through an attempt to its end.
fn mailed(given: Given, mail: MailId, to: ProfessionalId, outcome: MailOutcome) -> Given {
    let record = Command::RecordMailOutcome {
        account: HARBOUR,
        professional: to,
        mail,
        attempt: 1,
        outcome,
        jitter_permille: 500,
    };
    given.and(&worker(), attempt(mail)).and(&worker(), record)
}

/// Histories in which every type of event happens.
pub fn all() -> Vec<Given> {
    vec![harbour(), people_and_mails(), appointments(), departures()]
}

fn people_and_mails() -> Given {
    let reply = || String::from("so it is");
    let given = mailed(harbour(), link_mail(link(FOURTH, 1)), KIM, MailOutcome::Sent { reply: reply() });
    let mail = link_mail(link(FOURTH, 1));
    let bounced = Command::RecordBounce { account: HARBOUR, professional: KIM, mail, status: None, reply: reply() };
    let given = given
        .and(&operator(), bounced)
        .and(&link_holder(), visit(link(FOURTH, 1)))
        .and(&link_holder(), click(link(FOURTH, 1), FLOW))
        .and(
            &operator(),
            Command::RetryInvitation {
                account: HARBOUR,
                professional: KIM,
                invitation: FOURTH,
                address: None,
                new: new_link(FIFTH),
            },
        )
        .and(&link_holder(), request_latest(link(FOURTH, 1)));
    let given = mailed(given, link_mail(link(FOURTH, 2)), KIM, MailOutcome::Refused { code: None, reply: reply() });
    let latest = latest_link_mail(link(FOURTH, 2), 1);
    let deferred = MailOutcome::Deferred { code: None, reply: reply() };
    let mut given = mailed(given, latest, KIM, deferred).after(Millis::minutes(1));
    for number in 2..=4 {
        let outcome = MailOutcome::Unknown { reply: reply() };
        let (account, professional, jitter_permille) = (HARBOUR, KIM, 500);
        let record = Command::RecordMailOutcome {
            account,
            professional,
            mail: latest,
            attempt: number,
            outcome,
            jitter_permille,
        };
        given = given.and(&worker(), attempt(latest)).and(&worker(), record).after(Millis::minutes(10));
    }
    let moved = Edit { address: Some(address("kim@new.example")), ..Edit::default() };
    let given = given
        .and(&person(ROBINS), Command::EditProfessional { account: HARBOUR, professional: KIM, edit: moved })
        .and(&person(ROBINS), send(KIM, FIFTH));
    let link_of_fifth = link(FIFTH, 1);
    let given = join(given, link_of_fifth, STRANGERS)
        .and(&worker(), attempt(link_mail(link_of_fifth)))
        .and(&person(ROBINS), send(SAM, SIXTH));
    let other = IdentityId(Uuid::from_u128(0xc8));
    let given = given
        .and(&person(ROBINS), revoke(SIXTH))
        .and(&person(ROBINS), send(SAM, InvitationId(Uuid::from_u128(0xd8))))
        .and(&person(other), register(other));
    let given = join(given, link(InvitationId(Uuid::from_u128(0xd8)), 1), other);
    let third = InvitationId(Uuid::from_u128(0xd9));
    given
        .and(&person(ROBINS), Command::UnlinkIdentity { account: HARBOUR, professional: SAM })
        .and(&person(other), by_association(SAM, other, within_a_day(third)))
        .and(&person(other), accept(link(third, 1), other))
        .and(&person(other), Command::RecordAssociationLimit { identity: other, left_out: 2 })
        .and(
            &person(ROBINS),
            Command::RecordAuditRead { tag: Some(Tag::Account(HARBOUR)), subject: Subject::Account(HARBOUR) },
        )
        .and(&person(ROBINS), Command::GiveRole { account: HARBOUR, professional: KIM, role: Role::BillingContact })
}

fn appointments() -> Given {
    let appointment = APPOINTMENT;
    harbour()
        .after(Millis::days(2))
        .and(&person(ROBINS), Command::RecordSignIn { account: HARBOUR, identity: ROBINS })
        .and(&partner(), propose(SAM, Some(ROBIN)))
        .and(&person(ROBINS), Command::ObjectToAppointment { account: HARBOUR, appointment })
        .and(&support(), Command::DecideAppointment { account: HARBOUR, appointment, verdict: Verdict::CarryOut })
        .after(Millis::days(1))
        .and(&person(SAMS), Command::GiveRole { account: HARBOUR, professional: KIM, role: Role::Administrator })
        .and(&person(SAMS), Command::TakeRole { account: HARBOUR, professional: KIM, role: Role::Administrator })
}

fn departures() -> Given {
    let name = domain::name::AccountName::parse("Harbour and Sons").unwrap();
    let asked = AccessRequestId(Uuid::from_u128(0x2b));
    let again = Command::RequestAccess {
        account: HARBOUR,
        access_request: asked,
        identity: STRANGERS,
        details: details("Lee Lantern", "lee@harbour.example"),
        language: Language::German,
    };
    let approve = Command::ApproveAccessRequest {
        account: HARBOUR,
        access_request: asked,
        professional: LEE,
        new: new_link(FIFTH),
    };
    harbour()
        .and(&back_office(), Command::RenameAccount { account: HARBOUR, name })
        .and(&person(STRANGERS), ask_to_join(STRANGERS))
        .and(&person(ROBINS), Command::DeclineAccessRequest { account: HARBOUR, access_request: REQUEST })
        .and(&person(STRANGERS), again)
        .and(&partner(), approve)
        .and(&partner(), propose(LEE, None))
        .and(&support(), Command::RemovePartner { account: HARBOUR, partner: GUILD })
        .and(&person(ROBINS), Command::HandOver { account: HARBOUR, professional: ROBIN, to: SAM })
        .and(&support(), erase(ROBIN, &[ROBINS]))
        .and(&support(), Command::CloseAccount { account: HARBOUR })
        .and(&support(), erase(SAM, &[SAMS]))
}

/// A log as it is read back: keys of the erased are destroyed.
pub fn read_back(mut log: Vec<Recorded>) -> Vec<Recorded> {
    let erased: HashSet<Person> = log.iter().filter_map(|recorded| recorded.event.erased_person()).collect();
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

/// A log that somebody tampers with.
pub struct Log {
    pub events: Vec<Recorded>,
    /// Where the breach is.
    pub position: usize,
    clock: Timestamp,
}

impl Log {
    /// What the commands made, read back.
    pub fn of(given: Given) -> Self {
        let clock = given.log.last().unwrap().recorded_at + Millis::minutes(1);
        Self { events: read_back(given.log), position: 0, clock }
    }

    /// Turns the clock of what is put on the end.
    pub fn after(mut self, length: Millis) -> Self {
        self.clock = self.clock + length;
        self
    }

    /// What the clock shows.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Puts an append on the end; the breach is at its first event.
    pub fn and<E: Into<Event>>(self, actor: &Actor, events: impl IntoIterator<Item = E>) -> Self {
        let at = self.events.len();
        self.put(at, actor, events)
    }

    /// Puts an append in; the breach is at its first event.
    fn put<E: Into<Event>>(mut self, at: usize, actor: &Actor, events: impl IntoIterator<Item = E>) -> Self {
        let id = Uuid::from_u128(0xff_0000 + self.events.len() as u128);
        for (place, event) in events.into_iter().enumerate() {
            let recorded = Recorded {
                position: 0,
                id: EventId(Uuid::from_u128(0xff_0000 + self.events.len() as u128)),
                recorded_at: self.clock,
                actor: actor.clone(),
                request: Request { id, key: None, body: None, if_match: None },
                event: event.into(),
            };
            self.events.insert(at + place, recorded);
        }
        self.position = at + 1;
        self
    }

    /// Changes the last event of a type.
    pub fn alter(mut self, name: &str, change: impl FnOnce(&mut Recorded)) -> Self {
        let index = self.index(name);
        change(&mut self.events[index]);
        self.position = index + 1;
        self
    }

    /// Drops the last event of a type; the breach is where it was.
    pub fn without(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.events.remove(index);
        self.position = index + 1;
        self
    }

    /// Doubles the last event of a type; the breach is at the copy.
    pub fn doubled(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.events.insert(index + 1, self.events[index].clone());
        self.position = index + 2;
        self
    }

    /// Exchanges the last event of a type with the one before; the breach is where that was.
    pub fn swapped(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.events.swap(index - 1, index);
        self.position = index;
        self
    }

    /// The breach is at the last event of this type.
    pub fn at(mut self, name: &str) -> Self {
        self.position = self.index(name) + 1;
        self
    }

    /// The breach is some places further.
    pub fn then(mut self, places: isize) -> Self {
        self.position = self.position.strict_add_signed(places);
        self
    }

    fn index(&self, name: &str) -> usize {
        self.events.iter().rposition(|recorded| recorded.event.name() == name).expect(name)
    }

    /// The positions, without gaps again.
    pub fn renumbered(mut self) -> Self {
        for (index, recorded) in self.events.iter_mut().enumerate() {
            recorded.position = index as Position + 1;
        }
        self
    }
}

/// The first generation of an invitation that support issues at a time.
pub fn issue(invitation: InvitationId, to: ProfessionalId, at: Timestamp) -> InvitationIssued {
    InvitationIssued { by: Some(Authority::Staff), ..issued(link(invitation, 1), to, at + Millis::days(7)) }
}
