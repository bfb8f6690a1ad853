//! Given, when, then: a log in memory that commands run through, and the people that the tests speak of.

use std::collections::HashMap;

use domain::account::Account;
use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Context, Request};
use domain::command::{Command, NewLink};
use domain::decide::{Known, Past, State, decide};
use domain::event::*;
use domain::ids::*;
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::mail::MailOutcome;
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::{IdentityDetails, ProfessionalDetails};
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Authority, IdentityKind, Language, Role, Scope};
use uuid::Uuid;

/// A customer account.
pub const HARBOUR: AccountId = AccountId(Uuid::from_u128(0xa1));
/// Another customer account.
pub const QUARRY: AccountId = AccountId(Uuid::from_u128(0xa2));

/// The first professional of the account, and so its administrator.
pub const ROBIN: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb1));
/// An ordinary professional.
pub const SAM: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb2));
/// Another ordinary professional.
pub const KIM: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb3));

/// The identity that Robin accepts with.
pub const ROBINS: IdentityId = IdentityId(Uuid::from_u128(0xc1));
/// The identity that Sam accepts with.
pub const SAMS: IdentityId = IdentityId(Uuid::from_u128(0xc2));
/// An identity that nobody in the account has.
pub const STRANGERS: IdentityId = IdentityId(Uuid::from_u128(0xc3));

/// The first invitation of the account.
pub const FIRST: InvitationId = InvitationId(Uuid::from_u128(0xd1));
/// The second invitation of the account.
pub const SECOND: InvitationId = InvitationId(Uuid::from_u128(0xd2));

/// One passage of one browser.
pub const FLOW: FlowId = FlowId(Uuid::from_u128(0xf1));

/// When every test begins.
pub fn start() -> Timestamp {
    Timestamp::parse("2026-11-20T08:00:00Z").unwrap()
}

// Callers.

pub fn staff(scope: Scope) -> Caller {
    Caller::with_scopes(Actor::Key(Uuid::from_u128(0xe1)), [scope])
}

pub fn back_office() -> Caller {
    staff(Scope::BackOffice)
}

pub fn support() -> Caller {
    staff(Scope::Support)
}

pub fn operator() -> Caller {
    staff(Scope::Operator)
}

/// A person whose sign-in is long past.
pub fn person(identity: IdentityId) -> Caller {
    Caller::new(Actor::Identity(identity))
}

pub fn person_signed_in_at(identity: IdentityId, at: Timestamp) -> Caller {
    Caller { signed_in_at: Some(at), ..person(identity) }
}

pub fn worker() -> Caller {
    Caller::new(Actor::Worker("mail".into()))
}

pub fn link_holder() -> Caller {
    Caller::new(Actor::Link)
}

// Commands.

pub fn number(text: &str) -> CustomerNumber {
    CustomerNumber::parse(text).unwrap()
}

pub fn open(account: AccountId, customer_number: &str, kind: AccountKind) -> Command {
    let name = AccountName::parse("Harbour Trading").unwrap();
    Command::OpenAccount { account, customer_number: number(customer_number), kind, name }
}

pub fn plan(starts_at: Timestamp, length: Millis) -> ServicePlan {
    ServicePlan { name: AccountName::parse("Enhancement Plan").unwrap(), starts_at, ends_at: starts_at + length }
}

pub fn set_plan(account: AccountId, plan: Option<ServicePlan>) -> Command {
    Command::SetServicePlan { account, plan }
}

pub fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

pub fn details(name: &str, at: &str) -> ProfessionalDetails {
    ProfessionalDetails { name: PersonName::parse(name).unwrap(), address: address(at) }
}

/// The name and the registered address of a professional of the tests.
pub fn details_of(professional: ProfessionalId) -> ProfessionalDetails {
    match professional {
        ROBIN => details("Robin Rivers", "robin@harbour.example"),
        SAM => details("Sam Sands", "sam@harbour.example"),
        _ => details("Kim Keel", "kim@harbour.example"),
    }
}

pub fn new_link(invitation: InvitationId) -> NewLink {
    NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: "2026-11".into() }
}

pub fn add_with(
    account: AccountId,
    professional: ProfessionalId,
    details: ProfessionalDetails,
    invitation: Option<NewLink>,
) -> Command {
    Command::AddProfessional { account, professional, details, language: Language::English, invitation }
}

/// Adds to Harbour without an invitation.
pub fn add(professional: ProfessionalId) -> Command {
    add_with(HARBOUR, professional, details_of(professional), None)
}

/// Adds to Harbour and invites.
pub fn add_and_invite(professional: ProfessionalId, invitation: InvitationId) -> Command {
    add_with(HARBOUR, professional, details_of(professional), Some(new_link(invitation)))
}

pub fn send(professional: ProfessionalId, invitation: InvitationId) -> Command {
    Command::SendInvitation { account: HARBOUR, professional, new: new_link(invitation) }
}

pub fn revoke(invitation: InvitationId) -> Command {
    Command::RevokeInvitation { account: HARBOUR, invitation }
}

pub fn link(invitation: InvitationId, generation: u32) -> Link {
    Link { account: HARBOUR, invitation, generation }
}

pub fn visit(link: Link) -> Command {
    Command::RecordVisit { link }
}

pub fn click(link: Link, flow: FlowId) -> Command {
    Command::ClickLink { link, flow }
}

/// Asks for the newest link; `SECOND` is the id that must not be used, since the invitation goes on.
pub fn request_latest(link: Link) -> Command {
    Command::RequestLatestLink { link, new: new_link(SECOND) }
}

pub fn issue_code(link: Link, identity: IdentityId) -> Command {
    Command::IssueMailboxCode { link, flow: FLOW, identity, code_key: "2026-11".into() }
}

/// Accepts with the code from the registered mailbox.
pub fn accept(link: Link, identity: IdentityId) -> Command {
    accept_by(link, identity, Mailbox::CodeEntered)
}

pub fn accept_by(link: Link, identity: IdentityId, mailbox: Mailbox) -> Command {
    Command::AcceptInvitation { link, identity, mailbox }
}

pub fn register(identity: IdentityId) -> Command {
    let details = IdentityDetails { name: None, address: Some(address("robin@mail.example")) };
    Command::RegisterIdentity { identity, issuer: "microsoft".into(), kind: IdentityKind::Personal, details }
}

pub fn link_mail(link: Link) -> MailId {
    MailId::derive(link.invitation, link.generation, "invitation", 1)
}

pub fn latest_link_mail(link: Link, number: u32) -> MailId {
    MailId::derive(link.invitation, link.generation, "latest-link", number)
}

pub fn code_mail(link: Link, number: u32) -> MailId {
    MailId::derive(link.invitation, link.generation, "mailbox-code", number)
}

pub fn attempt(mail: MailId) -> Command {
    Command::AttemptMail { account: HARBOUR, mail }
}

/// Records what came of an attempt to write to Robin, in the middle of the spread of retries.
pub fn record(mail: MailId, attempt: u32, outcome: MailOutcome) -> Command {
    record_with(mail, attempt, outcome, 500)
}

pub fn record_with(mail: MailId, attempt: u32, outcome: MailOutcome, jitter_permille: u32) -> Command {
    Command::RecordMailOutcome { account: HARBOUR, professional: ROBIN, mail, attempt, outcome, jitter_permille }
}

// Events.

pub fn issued(link: Link, professional: ProfessionalId, expires_at: Timestamp) -> InvitationIssued {
    InvitationIssued {
        account: link.account,
        professional,
        invitation: link.invitation,
        generation: link.generation,
        expires_at,
        link_key: "2026-11".into(),
        may_replace: true,
        mail: link_mail(link),
        by: Some(Authority::Staff),
        partner: None,
        bound_to: None,
    }
}

pub fn associated(link: Link, professional: ProfessionalId, to: IdentityId) -> IdentityAssociated {
    IdentityAssociated {
        account: link.account,
        professional,
        invitation: link.invitation,
        generation: link.generation,
        from: None,
        to,
        proof: MailboxProof::Code,
    }
}

pub fn added(professional: ProfessionalId) -> ProfessionalAdded {
    let details = Some(details_of(professional));
    ProfessionalAdded { account: HARBOUR, professional, language: Language::English, details }
}

pub fn role_given(professional: ProfessionalId, role: Role) -> RoleGiven {
    RoleGiven { account: HARBOUR, professional, role, from: None }
}

// The log.

/// What has happened so far.
#[derive(Clone)]
pub struct Given {
    pub log: Vec<Recorded>,
    known: HashMap<Subject, Known>,
    clock: Timestamp,
}

/// What a command came to.
pub struct Then {
    given: Given,
    result: Result<Vec<Event>, Refusal>,
}

impl Given {
    /// The empty log.
    pub fn nothing() -> Self {
        Self { log: Vec::new(), known: HashMap::new(), clock: start() }
    }

    /// Harbour, a customer with a plan for a year and nobody in it.
    pub fn account() -> Self {
        Self::nothing()
            .and(&back_office(), open(HARBOUR, "C-1001", AccountKind::Customer))
            .and(&back_office(), set_plan(HARBOUR, Some(plan(start(), Millis::days(365)))))
    }

    /// Harbour with Robin, the administrator, who was not invited.
    pub fn robin() -> Self {
        Self::account().and(&support(), add(ROBIN))
    }

    /// Harbour with Robin, the administrator, who was sent the link `link(FIRST, 1)` at the start.
    pub fn robin_invited() -> Self {
        Self::account().and(&support(), add_and_invite(ROBIN, FIRST))
    }

    /// Harbour with Robin, the administrator, who accepted `link(FIRST, 1)` with `ROBINS`.
    pub fn robin_linked() -> Self {
        Self::robin_invited().and(&person(ROBINS), accept(link(FIRST, 1), ROBINS))
    }

    /// Harbour with Robin, the administrator, and Sam; both linked, each by an invitation of their own.
    pub fn robin_and_sam_linked() -> Self {
        let sams = InvitationId(Uuid::from_u128(0xd9));
        Self::robin_linked().and(&support(), add_and_invite(SAM, sams)).and(&person(SAMS), accept(link(sams, 1), SAMS))
    }

    /// Runs a command that must be accepted.
    pub fn and(mut self, caller: &Caller, command: Command) -> Self {
        match self.execute(caller, &command) {
            Ok(_) => self,
            Err(refusal) => panic!("given {}: refused: {}", command.name(), refusal.code()),
        }
    }

    /// Runs a command that must be accepted several times.
    pub fn and_times(self, times: u32, caller: &Caller, command: &Command) -> Self {
        (0..times).fold(self, |given, _| given.and(caller, command.clone()))
    }

    /// Turns the clock; back, if the length is negative.
    pub fn after(mut self, length: Millis) -> Self {
        self.clock = self.clock + length;
        self
    }

    /// What the clock shows.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Runs the command in question.
    pub fn when(mut self, caller: &Caller, command: Command) -> Then {
        let result = self.execute(caller, &command);
        Then { given: self, result }
    }

    /// Runs the command in question for a caller who has read what this event changed (`If-Match`).
    pub fn when_read(mut self, known: EventId, caller: &Caller, command: Command) -> Then {
        let result = self.execute_if(Some(known), caller, &command);
        Then { given: self, result }
    }

    /// Decides a command on the past of its boundary and appends the events.
    pub fn execute(&mut self, caller: &Caller, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.execute_if(None, caller, command)
    }

    fn execute_if(
        &mut self,
        if_match: Option<EventId>,
        caller: &Caller,
        command: &Command,
    ) -> Result<Vec<Event>, Refusal> {
        let boundary = command.boundary(caller);
        for read in &boundary {
            self.known.entry(read.subject.clone()).or_insert_with(|| Known::nothing(&read.subject));
        }
        let past: Past<'_> = boundary.iter().map(|read| (&read.subject, &self.known[&read.subject])).collect();
        let now = self.clock.max(past.newest_at());
        let request = Request { id: self.next_request(), key: None, body: None, if_match };
        let events = decide(&past, command, &Context { now, caller: caller.clone(), request: request.clone() })?;
        for event in &events {
            for read in boundary.iter().filter(|read| event.subjects().contains(&read.subject)) {
                assert!(read.classes.contains(&event.class()), "{} appends what it does not read", command.name());
            }
            self.append(now, &caller.actor, &request, event);
        }
        Ok(events)
    }

    /// The id of the next request.
    pub fn next_request(&self) -> Uuid {
        Uuid::from_u128(0xee00 + self.log.len() as u128)
    }

    fn append(&mut self, now: Timestamp, actor: &Actor, request: &Request, event: &Event) {
        let position = self.log.len() as i64 + 1;
        let recorded = Recorded {
            position,
            id: EventId(Uuid::from_u128(position as u128)),
            recorded_at: now,
            actor: actor.clone(),
            request: request.clone(),
            event: event.clone(),
        };
        for subject in event.subjects() {
            self.known.entry(subject.clone()).or_insert_with(|| Known::nothing(&subject)).evolve(&recorded);
        }
        self.log.push(recorded);
    }

    /// The state of an account; none where nobody ever spoke of it.
    pub fn state_of(&self, account: AccountId) -> Option<&Account> {
        match self.known.get(&Subject::Account(account)).map(|known| &known.state) {
            Some(State::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// A copy of the state of an account.
    pub fn state(&self, account: AccountId) -> Account {
        self.state_of(account).cloned().unwrap_or_default()
    }

    /// All that is known of a subject, folded from the log anew.
    pub fn refolded(&self, subject: &Subject) -> Known {
        let mut known = Known::nothing(subject);
        self.log.iter().filter(|recorded| recorded.event.subjects().contains(subject)).for_each(|it| known.evolve(it));
        known
    }

    /// All that is known, as the commands left it.
    pub fn known(&self) -> &HashMap<Subject, Known> {
        &self.known
    }
}

impl Then {
    /// The command was accepted with exactly these events.
    #[track_caller]
    pub fn then<E: Into<Event>>(self, events: impl IntoIterator<Item = E>) -> Given {
        let expected: Vec<Event> = events.into_iter().map(Into::into).collect();
        assert_eq!(self.result, Ok(expected));
        self.given
    }

    /// The wish was true already.
    #[track_caller]
    pub fn then_nothing(self) -> Given {
        self.then(Vec::<Event>::new())
    }

    /// The command was accepted with events of these types.
    #[track_caller]
    pub fn then_types<const N: usize>(self, names: [&str; N]) -> Given {
        let events = self.result.expect("accepted");
        assert_eq!(events.iter().map(Event::name).collect::<Vec<_>>(), names);
        self.given
    }

    /// The command was refused with these blockers, each a code and the command that gets past it.
    #[track_caller]
    pub fn then_blocked(self, code: &str, expected: &[(&str, &str)]) -> Given {
        let refusal = self.result.expect_err("refused");
        assert_eq!(refusal.code(), code);
        let found = refusal.blockers().iter().map(|it| (it.code, it.command.as_deref().unwrap_or_default()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        self.given
    }

    /// The command was refused with this code; says how many blockers there are.
    #[track_caller]
    pub fn then_blocked_with(self, code: &str) -> usize {
        let refusal = self.result.expect_err("refused");
        assert_eq!(refusal.code(), code);
        refusal.blockers().len()
    }

    /// The command was accepted, whatever came of it.
    #[track_caller]
    pub fn then_accepted(self) -> Given {
        self.result.expect("accepted");
        self.given
    }

    /// The command was accepted, and its last event is of this type.
    #[track_caller]
    pub fn then_last(self, name: &str) -> Given {
        let events = self.result.expect("accepted");
        assert_eq!(events.last().map(Event::name), Some(name));
        self.given
    }

    /// The command was refused, and nothing was appended.
    #[track_caller]
    pub fn then_refused(self, refusal: Refusal) -> Given {
        assert_eq!(self.result, Err(refusal));
        self.given
    }
}
