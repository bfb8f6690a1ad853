//! From the past and a command to events or a refusal.

use std::collections::BTreeSet;

use crate::account::Account;
use crate::appointment::{self, Proposal};
use crate::authority::{Scene, need_scope};
use crate::caller::Context;
use crate::command::Command;
use crate::event::{
    AccessRequested, AccountOpened, AdministratorSignedIn, AssociationMailsLimited, AuditRead, Event,
    IdentityRegistered, Recorded,
};
use crate::ids::{AccessRequestId, AccountId, IdentityId, ProfessionalId};
use crate::people::NewPerson;
use crate::refusal::Refusal;
use crate::tag::Subject;
use crate::time::{Millis, Timestamp};
use crate::words::Scope;
use crate::{access, accounts, erasure, invitation, mail, people};

/// Sign-ins of one administrator are recorded at most this often.
pub const SIGN_IN_RECORDED_EVERY: Millis = Millis::hours(24);
/// Who may report bounces.
const BOUNCE_REPORTERS: &[Scope] = &[Scope::Operator, Scope::BackOffice, Scope::Support];

/// The state of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Whether it has signed in.
    pub is_registered: bool,
    /// Whether what was personal was erased.
    pub is_erased: bool,
    /// The profiles that it is associated with now.
    pub profiles: BTreeSet<(AccountId, ProfessionalId)>,
    /// Its open access requests.
    pub access_requests: BTreeSet<AccessRequestId>,
    /// The accounts that it asked to be added to.
    pub asked: BTreeSet<AccountId>,
}

impl Identity {
    fn evolve(&mut self, id: IdentityId, event: &Event) {
        match event {
            Event::IdentityRegistered(_) => self.is_registered = true,
            Event::IdentityErased(_) => self.is_erased = true,
            Event::IdentityAssociated(e) if e.to == id => {
                self.profiles.insert((e.account, e.professional));
            }
            Event::IdentityAssociated(e) => {
                self.profiles.remove(&(e.account, e.professional));
            }
            Event::IdentityUnlinked(e) => {
                self.profiles.remove(&(e.account, e.professional));
            }
            Event::AccessRequested(e) => {
                self.access_requests.insert(e.access_request);
                self.asked.insert(e.account);
            }
            _ => {}
        }
    }
}

/// The state of one subject, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Of an account.
    Account(Box<Account>),
    /// Of an identity.
    Identity(IdentityId, Identity),
    /// Of a customer number: the account that it opened.
    CustomerNumber(Option<AccountId>),
}

impl State {
    /// The state of a subject without events.
    pub fn empty(subject: &Subject) -> Self {
        match subject {
            Subject::Account(_) => Self::Account(Box::default()),
            Subject::Identity(id) => Self::Identity(*id, Identity::default()),
            Subject::CustomerNumber(_) | Subject::Request(_) => Self::CustomerNumber(None),
        }
    }

    /// Takes one event about the subject in.
    pub fn evolve(&mut self, recorded: &Recorded) {
        match self {
            Self::Account(account) => account.evolve(recorded),
            Self::Identity(id, identity) => identity.evolve(*id, &recorded.event),
            Self::CustomerNumber(owner) => {
                if let Event::AccountOpened(e) = &recorded.event {
                    *owner = Some(e.account);
                }
            }
        }
    }
}

/// One subject's past: its state, and the time of its newest event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The state.
    pub state: State,
    /// When its newest event was recorded; the epoch if it has none.
    pub newest_at: Timestamp,
}

impl Known {
    /// A subject without events.
    pub fn nothing(subject: &Subject) -> Self {
        Self { state: State::empty(subject), newest_at: Timestamp::default() }
    }

    /// Takes one event about the subject in.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.newest_at = self.newest_at.max(recorded.recorded_at);
        self.state.evolve(recorded);
    }
}

/// What a command reads: the states of its boundary's subjects.
#[derive(Clone, Debug)]
pub struct Past<'a>(Vec<(&'a Subject, &'a Known)>);

impl<'a> FromIterator<(&'a Subject, &'a Known)> for Past<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a Subject, &'a Known)>>(known: T) -> Self {
        Self(known.into_iter().collect())
    }
}

impl Past<'_> {
    /// The time of the newest event that was read: the command's `now` is never before it.
    pub fn newest_at(&self) -> Timestamp {
        self.0.iter().map(|(_, known)| known.newest_at).max().unwrap_or_default()
    }

    fn state(&self, subject: &Subject) -> Option<&State> {
        self.0.iter().find(|(of, _)| *of == subject).map(|(_, known)| &known.state)
    }

    /// Invariant: the boundary of every command about an account names it, so the state is always there.
    fn account(&self, id: AccountId) -> &Account {
        match self.state(&Subject::Account(id)) {
            Some(State::Account(account)) => account,
            _ => unreachable!("invariant: the boundary names the account"),
        }
    }

    /// Invariant: as for accounts.
    fn identity(&self, id: IdentityId) -> &Identity {
        match self.state(&Subject::Identity(id)) {
            Some(State::Identity(_, identity)) => identity,
            _ => unreachable!("invariant: the boundary names the identity"),
        }
    }
}

/// Decides a command on the past. No events mean that the wish is already true.
///
/// # Errors
/// The command is refused.
pub fn decide(past: &Past<'_>, command: &Command, context: &Context) -> Result<Vec<Event>, Refusal> {
    check_not_erased(past, command)?;
    let events = match command.account() {
        Some(id) => {
            let partner = context.caller.partner.map(|partner| (partner, past.account(partner)));
            let scene = Scene { id, account: past.account(id), partner, context };
            let events = decide_about_account(past, &scene, command)?;
            check_unchanged(&scene, command)?;
            events
        }
        None => decide_alone(past, command, context)?,
    };
    check_invariants(past, &events)?;
    Ok(events)
}

/// R27: nothing new begins for an identity that was erased.
fn check_not_erased(past: &Past<'_>, command: &Command) -> Result<(), Refusal> {
    let (Command::AcceptInvitation { identity, .. }
    | Command::RequestAccess { identity, .. }
    | Command::InviteByAssociation { identity, .. }
    | Command::RecordAssociationLimit { identity, .. }) = command
    else {
        return Ok(());
    };
    if past.identity(*identity).is_erased { Err(Refusal::IdentityErased) } else { Ok(()) }
}

/// Decides a command about an identity or a history.
fn decide_alone(past: &Past<'_>, command: &Command, context: &Context) -> Result<Vec<Event>, Refusal> {
    Ok(match command {
        Command::RegisterIdentity { identity, issuer, kind, details } => {
            if past.identity(*identity).is_registered {
                return Ok(vec![]);
            }
            let (identity, issuer, kind) = (*identity, issuer.clone(), *kind);
            vec![IdentityRegistered { identity, issuer, kind, details: Some(details.clone()) }.into()]
        }
        Command::EraseIdentity { identity } => {
            return erasure::erase_identity(*identity, past.identity(*identity), context);
        }
        Command::RecordAssociationLimit { identity, left_out } => {
            vec![AssociationMailsLimited { identity: *identity, left_out: *left_out }.into()]
        }
        Command::RecordAuditRead { tag, subject } => {
            need_audit(context)?;
            let (account, identity) = match subject {
                Subject::Account(account) => (Some(*account), None),
                Subject::Identity(identity) => (None, Some(*identity)),
                Subject::CustomerNumber(_) | Subject::Request(_) => (None, None),
            };
            let tag = tag.as_ref().map_or_else(|| AuditRead::WHOLE_LOG.to_owned(), ToString::to_string);
            vec![AuditRead { account, identity, tag }.into()]
        }
        _ => unreachable!("invariant: every other command is about an account"),
    })
}

/// Who may read a history is checked where it is read, by its rows; here only that somebody does.
fn need_audit(context: &Context) -> Result<(), Refusal> {
    match context.caller.actor {
        crate::caller::Actor::Identity(_) | crate::caller::Actor::Cli(_) => Ok(()),
        _ => need_scope(&context.caller, &[Scope::Auditor, Scope::Support]),
    }
}

fn decide_about_account(past: &Past<'_>, scene: &Scene<'_>, command: &Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::OpenAccount { account, customer_number, kind, name } => {
            let owner = match past.state(&Subject::CustomerNumber(customer_number.clone())) {
                Some(State::CustomerNumber(owner)) => *owner,
                _ => None,
            };
            let (account, customer_number, kind, name) = (*account, customer_number.clone(), *kind, name.clone());
            accounts::open(owner, scene.account, AccountOpened { account, customer_number, kind, name }, scene.context)
        }
        Command::SetServicePlan { plan, .. } => accounts::set_plan(scene, plan.as_ref()),
        Command::RenameAccount { name, .. } => accounts::rename(scene, name),
        Command::CloseAccount { .. } => accounts::close(scene),
        Command::AssignPartner { partner, .. } => accounts::assign_partner(scene, *partner, past.account(*partner)),
        Command::RemovePartner { partner, .. } => accounts::remove_partner(scene, *partner),
        Command::ProposeAppointment { appointment, professional, replaces, grounds, .. } => {
            let (appointment, professional, replaces) = (*appointment, *professional, *replaces);
            appointment::propose(scene, &Proposal { appointment, professional, replaces, grounds })
        }
        Command::ObjectToAppointment { appointment, .. } => appointment::object(scene, *appointment),
        Command::DecideAppointment { appointment, verdict, .. } => appointment::decide(scene, *appointment, *verdict),
        Command::CarryOutAppointment { appointment, .. } => appointment::carry_out_due(scene, *appointment),
        Command::RequestAccess { access_request, identity, details, language, .. } => {
            let (account, access_request, identity) = (scene.id, *access_request, *identity);
            let (language, details) = (*language, Some(details.clone()));
            access::request(scene, AccessRequested { account, access_request, identity, language, details })
        }
        Command::ApproveAccessRequest { access_request, professional, new, .. } => {
            access::approve(scene, *access_request, *professional, new)
        }
        Command::DeclineAccessRequest { access_request, .. } => access::decline(scene, *access_request),
        Command::ErasePerson { professional, identities, .. } => {
            let identities = identities.iter().map(|id| (*id, past.identity(*id))).collect();
            erasure::erase(scene, *professional, &identities)
        }
        Command::RecordSignIn { identity, .. } => Ok(record_sign_in(scene, *identity)),
        _ => decide_about_people(scene, command),
    }
}

fn decide_about_people(scene: &Scene<'_>, command: &Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::AddProfessional { professional, details, language, invitation, .. } => {
            let (professional, language, invitation) = (*professional, *language, invitation.as_ref());
            people::add(scene, &NewPerson { professional, details, language, invitation })
        }
        Command::EditProfessional { professional, edit, .. } => people::edit(scene, *professional, edit),
        Command::DeleteProfessional { professional, .. } => people::delete(scene, *professional),
        Command::HandOver { professional, to, .. } => people::hand_over(scene, *professional, *to),
        Command::GiveRole { professional, role, .. } => people::give_role(scene, *professional, *role),
        Command::TakeRole { professional, role, .. } => people::take_role(scene, *professional, *role),
        Command::UnlinkIdentity { professional, .. } => people::unlink(scene, *professional),
        Command::SendInvitation { professional, new, .. } => invitation::send(scene, *professional, new),
        Command::RevokeInvitation { invitation, .. } => invitation::revoke(scene, *invitation),
        Command::RetryInvitation { professional, invitation, address, new, .. } => {
            invitation::retry(scene, *invitation, *professional, address.as_ref(), new)
        }
        Command::InviteByAssociation { professional, identity, address, new, .. } => {
            access::invite(scene, *professional, *identity, address, new)
        }
        _ => decide_about_link_or_mail(scene, command),
    }
}

fn decide_about_link_or_mail(scene: &Scene<'_>, command: &Command) -> Result<Vec<Event>, Refusal> {
    let (account, now) = (scene.account, scene.now());
    match command {
        Command::RecordVisit { link } => invitation::visit(account, *link),
        Command::ClickLink { link, flow } => invitation::click(account, *link, *flow, now),
        Command::RequestLatestLink { link, new } => invitation::request_latest(scene, *link, new),
        Command::IssueMailboxCode { link, flow, identity, code_key } => {
            invitation::issue_code(scene, *link, *flow, *identity, code_key)
        }
        Command::AcceptInvitation { link, identity, mailbox } => invitation::accept(scene, *link, *identity, mailbox),
        Command::AttemptMail { mail, .. } => mail::attempt(account, scene.id, *mail, now),
        Command::RecordMailOutcome { professional, mail, attempt, outcome, jitter_permille, .. } => {
            let found = account.mails.get(mail);
            if found.is_some_and(|found| found.professional != *professional) {
                return Err(Refusal::MailNotWaiting); // else the answer would be sealed under another person's key
            }
            mail::record(account, scene.id, *mail, *attempt, outcome, *jitter_permille, now)
        }
        Command::RecordBounce { professional, mail, status, reply, .. } => {
            need_scope(&scene.context.caller, BOUNCE_REPORTERS)?;
            mail::bounce(account, scene.id, *professional, *mail, status.as_deref(), reply)
        }
        _ => unreachable!("invariant: every command about an account is decided in one place"),
    }
}

/// R21: that an administrator signed in, at most once in [`SIGN_IN_RECORDED_EVERY`].
fn record_sign_in(scene: &Scene<'_>, identity: IdentityId) -> Vec<Event> {
    let account = scene.account;
    let Some(professional) = account.by_identity.get(&identity).copied().filter(|_| account.is_open()) else {
        return vec![];
    };
    let seen = account.professionals.get(&professional).and_then(|found| found.signed_in_at);
    let is_recent = seen.is_some_and(|seen| scene.now() < seen + SIGN_IN_RECORDED_EVERY);
    if is_recent || !account.standing.administrators.contains(&professional) {
        return vec![];
    }
    vec![AdministratorSignedIn { account: scene.id, professional, identity }.into()]
}

/// `If-Match`: that nobody has changed what the command is about since the caller read it. It is checked once the caller
/// is known to be allowed to.
fn check_unchanged(scene: &Scene<'_>, command: &Command) -> Result<(), Refusal> {
    let Some(known) = scene.context.request.if_match else { return Ok(()) };
    let changed_by = match command.professional() {
        Some(id) => scene.account.professionals.get(&id).and_then(|found| found.changed_by),
        None => scene.account.changed_by,
    };
    if changed_by == Some(known) { Ok(()) } else { Err(Refusal::ChangedSinceRead) }
}

/// Checks every account of the boundary as the events would leave it, so that no command can go round a guard.
fn check_invariants(past: &Past<'_>, events: &[Event]) -> Result<(), Refusal> {
    for (subject, known) in &past.0 {
        if let (Subject::Account(id), State::Account(account)) = (subject, &known.state) {
            let mut standing = account.standing.clone();
            events.iter().filter(|event| event.about().account == Some(*id)).for_each(|event| standing.evolve(event));
            standing.check()?;
        }
    }
    Ok(())
}
