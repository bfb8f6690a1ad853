//! From the past and a command to events or a refusal.

use crate::account::Account;
use crate::caller::Context;
use crate::command::Command;
use crate::event::{AccountOpened, Event, IdentityRegistered, Recorded};
use crate::ids::AccountId;
use crate::invitation;
use crate::refusal::Refusal;
use crate::tag::Subject;
use crate::time::Timestamp;
use crate::{mail, people};

/// The state of one subject, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Of an account.
    Account(Box<Account>),
    /// Of an identity: whether it is known.
    Identity(bool),
    /// Of a customer number: the account that it opened.
    CustomerNumber(Option<AccountId>),
}

impl State {
    /// The state of a subject without events.
    pub fn empty(subject: &Subject) -> Self {
        match subject {
            Subject::Account(_) => Self::Account(Box::default()),
            Subject::Identity(_) => Self::Identity(false),
            Subject::CustomerNumber(_) | Subject::Request(_) => Self::CustomerNumber(None),
        }
    }

    /// Takes one event about the subject in.
    pub fn evolve(&mut self, recorded: &Recorded) {
        match self {
            Self::Account(account) => account.evolve(recorded),
            Self::Identity(known) => *known |= matches!(recorded.event, Event::IdentityRegistered(_)),
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
}

/// Decides a command on the past. No events mean that the wish is already true.
///
/// # Errors
/// The command is refused.
pub fn decide(past: &Past<'_>, command: &Command, context: &Context) -> Result<Vec<Event>, Refusal> {
    let events = decide_command(past, command, context)?;
    check_invariants(past, &events)?;
    Ok(events)
}

fn decide_command(past: &Past<'_>, command: &Command, context: &Context) -> Result<Vec<Event>, Refusal> {
    let now = context.now;
    match command {
        Command::OpenAccount { account, customer_number, kind, name } => {
            let owner = match past.state(&Subject::CustomerNumber(customer_number.clone())) {
                Some(State::CustomerNumber(owner)) => *owner,
                _ => None,
            };
            let opened = AccountOpened {
                account: *account,
                customer_number: customer_number.clone(),
                kind: *kind,
                name: name.clone(),
            };
            people::open(owner, past.account(*account), opened, context)
        }
        Command::SetServicePlan { account, plan } => {
            people::set_plan(past.account(*account), *account, plan.as_ref(), context)
        }
        Command::AddProfessional { account, professional, details, language, invitation } => {
            let of = past.account(*account);
            people::add(of, *account, *professional, details, *language, invitation.as_ref(), context)
        }
        Command::SendInvitation { account, professional, new } => {
            invitation::send(past.account(*account), *account, *professional, new, context)
        }
        Command::RevokeInvitation { account, invitation } => {
            invitation::revoke(past.account(*account), *account, *invitation, context)
        }
        Command::RecordVisit { link } => invitation::visit(past.account(link.account), *link),
        Command::ClickLink { link, flow } => invitation::click(past.account(link.account), *link, *flow, now),
        Command::RequestLatestLink { link, new } => {
            invitation::request_latest(past.account(link.account), *link, new, now)
        }
        Command::IssueMailboxCode { link, flow, identity, code_key } => {
            invitation::issue_code(past.account(link.account), *link, *flow, *identity, code_key, now)
        }
        Command::AcceptInvitation { link, identity, mailbox } => {
            invitation::accept(past.account(link.account), *link, *identity, mailbox, now)
        }
        Command::RegisterIdentity { identity, issuer, kind, details } => {
            if past.state(&Subject::Identity(*identity)) == Some(&State::Identity(true)) {
                return Ok(vec![]);
            }
            let (identity, issuer, kind) = (*identity, issuer.clone(), *kind);
            Ok(vec![IdentityRegistered { identity, issuer, kind, details: Some(details.clone()) }.into()])
        }
        Command::AttemptMail { account, mail } => mail::attempt(past.account(*account), *account, *mail, now),
        Command::RecordMailOutcome { account, professional, mail, attempt, outcome, jitter_permille } => {
            let found = past.account(*account).mails.get(mail);
            if found.is_some_and(|found| found.professional != *professional) {
                return Err(Refusal::MailNotWaiting); // else the answer would be sealed under another person's key
            }
            mail::record(past.account(*account), *account, *mail, *attempt, outcome, *jitter_permille, now)
        }
    }
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
