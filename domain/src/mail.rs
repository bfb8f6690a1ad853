//! Decisions about mail: claim an attempt, record its outcome, give up, cancel (R26).

use std::collections::HashMap;

use crate::account::{Account, InvitationStatus};
use crate::authority::Scene;
use crate::event::{
    CancelReason, Event, MailAttempted, MailBounced, MailCancelled, MailDeferred, MailOutcomeUnknown, MailParked,
    MailRefused, MailSent, NoticeTo, ParkReason, Recorded,
};
use crate::ids::{AccountId, InvitationId, MailId, ProfessionalId};
use crate::refusal::Refusal;
use crate::time::{Millis, Timestamp};

/// How long a claimed attempt counts as under way; longer than the longest send a mailer allows.
pub const CLAIM_LIFETIME: Millis = Millis::minutes(5);
/// How long a mail may be deferred in all, from its first deferral on: what waited while no worker ran is not to blame.
pub const DEFERRED_MAX: Millis = Millis::hours(24);
/// Unknown outcomes after which a mail is sent again; one more parks it.
pub const UNKNOWN_RETRIES_MAX: u32 = 2;
/// The wait after the first deferral; it doubles each time.
pub const FIRST_RETRY_AFTER: Millis = Millis::seconds(30);
/// The longest wait between two attempts, before it is spread.
pub const LONGEST_RETRY_AFTER: Millis = Millis::hours(1);
/// The wait after an unknown outcome: the first copy may just be slow.
pub const UNKNOWN_RETRY_AFTER: Millis = Millis::minutes(5);

/// What came of an attempt to send, with what the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server took the mail over.
    Sent {
        /// What it answered.
        reply: String,
    },
    /// The server refused it for good (5xx).
    Refused {
        /// Its code.
        code: Option<u16>,
        /// What it answered.
        reply: String,
    },
    /// The server refused it for now (4xx), or it was never handed over.
    Deferred {
        /// Its code.
        code: Option<u16>,
        /// What it answered, or what went wrong.
        reply: String,
    },
    /// There was nobody to send it to but those who are told anyway; only of notices.
    NoOtherAddress,
    /// Nobody knows.
    Unknown {
        /// What was seen.
        reply: String,
    },
}

/// What a mail carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailContent {
    /// The link of a generation.
    Link,
    /// A mailbox code.
    Code {
        /// When the code dies.
        expires_at: Timestamp,
    },
    /// A notice.
    Notice {
        /// Where it goes.
        to: NoticeTo,
    },
}

/// A mail that waits for an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// To whom.
    pub professional: ProfessionalId,
    /// About which invitation; none for a notice.
    pub invitation: Option<InvitationId>,
    /// About which generation; 0 for a notice.
    pub generation: u32,
    /// What it carries.
    pub content: MailContent,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// When it was first deferred.
    pub deferred_since: Option<Timestamp>,
    /// How many attempts were claimed.
    pub attempts: u32,
    /// How many outcomes were unknown.
    pub unknown: u32,
    /// When the attempt under way was claimed.
    pub claimed_at: Option<Timestamp>,
}

/// Takes one event into the mails that wait.
pub(crate) fn evolve(mails: &mut HashMap<MailId, Mail>, recorded: &Recorded) {
    let at = recorded.recorded_at;
    let waiting = |professional, invitation, generation, content| Mail {
        professional,
        invitation,
        generation,
        content,
        due_at: at,
        deferred_since: None,
        attempts: 0,
        unknown: 0,
        claimed_at: None,
    };
    match &recorded.event {
        Event::InvitationIssued(e) => {
            mails.insert(e.mail, waiting(e.professional, Some(e.invitation), e.generation, MailContent::Link));
        }
        Event::LatestLinkRequested(e) => {
            mails
                .entry(e.mail)
                .or_insert_with(|| waiting(e.professional, Some(e.invitation), e.generation, MailContent::Link));
        }
        Event::MailboxCodeIssued(e) => {
            let content = MailContent::Code { expires_at: e.expires_at };
            mails.insert(e.mail, waiting(e.professional, Some(e.invitation), e.generation, content));
        }
        Event::NoticeIssued(e) => {
            mails.insert(e.mail, waiting(e.professional, None, 0, MailContent::Notice { to: e.to }));
        }
        Event::MailAttempted(e) => {
            if let Some(mail) = mails.get_mut(&e.mail) {
                mail.attempts = e.attempt;
                mail.claimed_at = Some(at);
            }
        }
        Event::MailDeferred(e) => {
            if let Some(mail) = mails.get_mut(&e.mail) {
                mail.claimed_at = None;
                mail.due_at = e.retry_at;
                mail.deferred_since.get_or_insert(at);
            }
        }
        Event::MailOutcomeUnknown(e) => {
            if let Some(mail) = mails.get_mut(&e.mail) {
                mail.claimed_at = None;
                mail.due_at = e.retry_at;
                mail.unknown += 1;
            }
        }
        Event::MailSent(e) => drop(mails.remove(&e.mail)),
        Event::MailRefused(e) => drop(mails.remove(&e.mail)),
        Event::MailParked(e) => drop(mails.remove(&e.mail)),
        Event::MailCancelled(e) => drop(mails.remove(&e.mail)),
        _ => {}
    }
}

/// Claims the next attempt, or ends the mail if it is no longer wanted. A claim whose worker died counts as an unknown
/// outcome.
pub(crate) fn attempt(account: &Account, id: AccountId, mail: MailId, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let found = account.mails.get(&mail).ok_or(Refusal::MailNotWaiting)?;
    let at = EventOf { account: id, mail, found };
    let mut events = Vec::new();
    let mut unknown = found.unknown;
    if let Some(claimed_at) = found.claimed_at {
        if now < claimed_at + CLAIM_LIFETIME {
            return Err(Refusal::MailClaimed);
        }
        events.push(at.unknown(now, "the worker that claimed this attempt reported nothing"));
        unknown += 1;
    } else if now < found.due_at {
        return Err(Refusal::MailNotWaiting);
    }
    if let Some(reason) = unwanted(account, found, now) {
        events.push(at.cancelled(reason));
    } else if found.content == MailContent::Link && !account.may_invite(now) {
        return Err(Refusal::InvitationFrozen); // R20: it waits for the plan
    } else if unknown > UNKNOWN_RETRIES_MAX {
        events.push(at.parked(ParkReason::UnknownTooOften));
    } else {
        events.push(at.attempted());
    }
    Ok(events)
}

/// Records what came of an attempt. That a mail was sent is taken from any attempt; everything else only from the one
/// under way.
pub(crate) fn record(
    account: &Account,
    id: AccountId,
    mail: MailId,
    attempt: u32,
    outcome: &MailOutcome,
    jitter_permille: u32,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let found = account.mails.get(&mail).ok_or(Refusal::MailNotWaiting)?;
    let at = EventOf { account: id, mail, found };
    let is_under_way = found.claimed_at.is_some() && attempt == found.attempts;
    let is_late_success = matches!(outcome, MailOutcome::Sent { .. }) && (1..=found.attempts).contains(&attempt);
    if !is_under_way && !is_late_success {
        return Err(Refusal::MailNotWaiting);
    }
    Ok(match outcome {
        MailOutcome::Sent { reply } => vec![at.sent(attempt, reply)],
        MailOutcome::Refused { code, reply } => vec![at.refused(*code, reply)],
        MailOutcome::Deferred { code, reply } => {
            let retry_at = now + back_off(attempt, jitter_permille);
            let mut events = vec![at.deferred(*code, retry_at, reply)];
            if retry_at >= found.deferred_since.unwrap_or(now) + DEFERRED_MAX {
                events.push(at.parked(ParkReason::DeferredTooLong));
            }
            events
        }
        MailOutcome::NoOtherAddress => vec![at.cancelled(CancelReason::NoOtherAddress)],
        MailOutcome::Unknown { reply } => {
            let mut events = vec![at.unknown(now + UNKNOWN_RETRY_AFTER, reply)];
            if found.unknown + 1 > UNKNOWN_RETRIES_MAX {
                events.push(at.parked(ParkReason::UnknownTooOften));
            }
            events
        }
    })
}

/// The wait before the attempt after `attempt`: doubling, bounded, spread by a fifth either way.
fn back_off(attempt: u32, jitter_permille: u32) -> Millis {
    let doublings = attempt.saturating_sub(1).min(16);
    let wait = (FIRST_RETRY_AFTER.0 << doublings).min(LONGEST_RETRY_AFTER.0);
    Millis(wait * (800 + i64::from(jitter_permille.min(999)) * 2 / 5) / 1000)
}

/// A mail that had been taken over came back: recorded once for each mail (rules.md, bounces).
pub(crate) fn bounce(
    account: &Account,
    id: AccountId,
    professional: ProfessionalId,
    mail: MailId,
    status: Option<&str>,
    reply: &str,
) -> Result<Vec<Event>, Refusal> {
    let sent = account.sent.get(&mail).filter(|sent| sent.professional == professional);
    let sent = sent.ok_or(Refusal::UnknownMail)?;
    if sent.has_bounced {
        return Ok(vec![]);
    }
    let (status, reply) = (status.map(Into::into), Some(reply.into()));
    Ok(vec![
        MailBounced { account: id, professional, invitation: sent.invitation, mail, attempt: 0, status, reply }.into(),
    ])
}

/// Cancels every mail to a person that waits, in order of their ids.
pub(crate) fn cancel_all(scene: &Scene<'_>, of: ProfessionalId, reason: CancelReason) -> Vec<Event> {
    let mut waiting: Vec<_> = scene.account.mails.iter().filter(|(_, mail)| mail.professional == of).collect();
    waiting.sort_unstable_by_key(|(id, _)| **id);
    waiting
        .into_iter()
        .map(|(mail, found)| EventOf { account: scene.id, mail: *mail, found }.cancelled(reason))
        .collect()
}

/// Why the mail need not be sent any more, if so.
fn unwanted(account: &Account, mail: &Mail, now: Timestamp) -> Option<CancelReason> {
    let is_living = account.professionals.contains_key(&mail.professional);
    let Some(id) = mail.invitation else {
        // That the address or the identity changed is told even to somebody who is deleted meanwhile.
        let is_moot = !is_living && matches!(mail.content, MailContent::Notice { to: NoticeTo::Registered });
        return is_moot.then_some(CancelReason::Deleted);
    };
    if !is_living {
        return Some(CancelReason::Deleted);
    }
    let Some(invitation) = account.invitations.get(&id) else { return Some(CancelReason::Revoked) };
    if invitation.generation != mail.generation {
        return Some(CancelReason::Superseded);
    }
    match (invitation.status, mail.content) {
        (InvitationStatus::Revoked, _) => Some(CancelReason::Revoked),
        (InvitationStatus::Accepted(_), _) => Some(CancelReason::Accepted),
        (InvitationStatus::Open, MailContent::Link) if invitation.expires_at <= now => Some(CancelReason::Expired),
        (InvitationStatus::Open, MailContent::Code { expires_at }) if expires_at <= now => Some(CancelReason::Expired),
        (InvitationStatus::Open, _) => None,
    }
}

/// What all events about one mail have in common.
#[derive(Clone, Copy)]
struct EventOf<'a> {
    account: AccountId,
    mail: MailId,
    found: &'a Mail,
}

macro_rules! event_of {
    ($self:ident, $name:ident, $attempt:expr $(, $field:ident: $value:expr)*) => {
        $name {
            account: $self.account,
            professional: $self.found.professional,
            invitation: $self.found.invitation,
            mail: $self.mail,
            attempt: $attempt,
            $($field: $value),*
        }
        .into()
    };
}

impl EventOf<'_> {
    fn attempted(self) -> Event {
        event_of!(self, MailAttempted, self.found.attempts + 1)
    }

    fn sent(self, attempt: u32, reply: &str) -> Event {
        event_of!(self, MailSent, attempt, reply: Some(reply.into()))
    }

    fn refused(self, code: Option<u16>, reply: &str) -> Event {
        event_of!(self, MailRefused, self.found.attempts, code: code, reply: Some(reply.into()))
    }

    fn deferred(self, code: Option<u16>, retry_at: Timestamp, reply: &str) -> Event {
        event_of!(self, MailDeferred, self.found.attempts, code: code, retry_at: retry_at, reply: Some(reply.into()))
    }

    fn unknown(self, retry_at: Timestamp, reply: &str) -> Event {
        event_of!(self, MailOutcomeUnknown, self.found.attempts, retry_at: retry_at, reply: Some(reply.into()))
    }

    fn parked(self, reason: ParkReason) -> Event {
        event_of!(self, MailParked, self.found.attempts, reason: reason)
    }

    fn cancelled(self, reason: CancelReason) -> Event {
        event_of!(self, MailCancelled, self.found.attempts, reason: reason)
    }
}
