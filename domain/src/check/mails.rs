//! Mails (R26): each is wanted, attempted by one worker at a time, and ends once.

use super::state::{Account, Carries, InvitationState, Mail, Sent};
use super::{Append, Report};
use crate::event::{Event, NoticeTo, Recorded};
use crate::ids::{InvitationId, MailId, ProfessionalId};
use crate::time::{Millis, Timestamp};

const UNKNOWN_MAX: u32 = 3;
const DEFERRED_MAX: Millis = Millis::hours(24);
const CLAIM_LIFETIME: Millis = Millis::minutes(5);

/// How an event speaks of a mail.
struct Spoken {
    mail: MailId,
    professional: ProfessionalId,
    invitation: Option<InvitationId>,
    attempt: u32,
}

macro_rules! spoken {
    ($e:expr) => {
        Some(Spoken { mail: $e.mail, professional: $e.professional, invitation: $e.invitation, attempt: $e.attempt })
    };
}

fn spoken(event: &Event) -> Option<Spoken> {
    match event {
        Event::MailAttempted(e) => spoken!(e),
        Event::MailSent(e) => spoken!(e),
        Event::MailRefused(e) => spoken!(e),
        Event::MailDeferred(e) => spoken!(e),
        Event::MailOutcomeUnknown(e) => spoken!(e),
        Event::MailParked(e) => spoken!(e),
        Event::MailCancelled(e) => spoken!(e),
        _ => None,
    }
}

impl Account {
    pub(super) fn see_mails(&mut self, append: &Append<'_>, recorded: &Recorded, report: &mut Report<'_>) {
        let at = recorded.recorded_at;
        match &recorded.event {
            Event::InvitationIssued(e) => {
                self.want(e.mail, waiting(e.professional, Some(e.invitation), e.generation, Carries::Link, at), report);
            }
            Event::LatestLinkRequested(e) => {
                let comes_with_it =
                    append.has(|event| matches!(event, Event::InvitationIssued(it) if it.mail == e.mail));
                if !comes_with_it {
                    let mail = waiting(e.professional, Some(e.invitation), e.generation, Carries::Link, at);
                    self.want(e.mail, mail, report);
                }
            }
            Event::MailboxCodeIssued(e) => {
                let carries = Carries::Code { expires_at: e.expires_at };
                self.want(e.mail, waiting(e.professional, Some(e.invitation), e.generation, carries, at), report);
            }
            Event::NoticeIssued(e) => {
                self.want(e.mail, waiting(e.professional, None, 0, Carries::Notice(e.to), at), report);
            }
            Event::MailBounced(e) => {
                let sent = self.sent.get_mut(&e.mail).filter(|sent| sent.professional == e.professional);
                let Some(sent) = report.found(sent, "R26", "no such mail was taken over") else { return };
                report.need(!sent.has_bounced, "R26", "the mail came back already");
                sent.has_bounced = true;
            }
            event => {
                if let Some(spoken) = spoken(event) {
                    self.see_mail(append, event, &spoken, at, report);
                }
            }
        }
    }

    fn want(&mut self, id: MailId, mail: Mail, report: &mut Report<'_>) {
        let is_new = !self.sent.contains_key(&id) && self.mails.insert(id, mail).is_none();
        report.need(is_new, "R26", "the mail was wanted already");
    }

    fn see_mail(
        &mut self,
        append: &Append<'_>,
        event: &Event,
        spoken: &Spoken,
        at: Timestamp,
        report: &mut Report<'_>,
    ) {
        let found = self.mails.get(&spoken.mail).cloned();
        let Some(mut mail) = report.found(found, "R26", "no such mail waits") else { return };
        let is_same = (mail.professional, mail.invitation) == (spoken.professional, spoken.invitation);
        report.need(is_same, "R26", "the mail is somebody else's, or about something else");
        let is_under_way = mail.is_claimed && spoken.attempt == mail.attempts;
        let mut has_ended = false;
        match event {
            Event::MailAttempted(_) => {
                self.check_wanted(&mail, at, report);
                report.need(!mail.is_claimed, "R26", "another attempt is under way");
                report.need(mail.due_at <= at, "R26", "the attempt is not due");
                report.need(mail.unknown < UNKNOWN_MAX, "R26", "the outcome was unknown too often");
                let is_next = mail.attempts.checked_add(1) == Some(spoken.attempt);
                report.need(is_next, "R26", "the attempts are counted wrong");
                (mail.is_claimed, mail.attempts, mail.claimed_at) = (true, spoken.attempt, at);
            }
            Event::MailSent(_) => {
                let was_made = (1..=mail.attempts).contains(&spoken.attempt);
                report.need(was_made, "R26", "no such attempt was made");
                self.sent.insert(spoken.mail, Sent { professional: mail.professional, has_bounced: false });
                has_ended = true;
            }
            Event::MailRefused(_) => {
                report.need(is_under_way, "R26", "the attempt is not under way");
                has_ended = true;
            }
            Event::MailDeferred(e) => {
                report.need(is_under_way, "R26", "the attempt is not under way");
                report.need(e.retry_at > at, "R26", "a deferred mail is not tried again at once");
                (mail.is_claimed, mail.due_at) = (false, e.retry_at);
                let since = *mail.deferred_since.get_or_insert(at);
                let is_over = e.retry_at >= since + DEFERRED_MAX;
                report.need(!is_over || parks(append, spoken.mail), "R26", "the mail is deferred for too long");
            }
            Event::MailOutcomeUnknown(e) => {
                report.need(is_under_way, "R26", "the attempt is not under way");
                let is_taken_over =
                    append.has(|event| matches!(event, Event::MailAttempted(it) if it.mail == spoken.mail));
                let is_over = !is_taken_over || mail.claimed_at + CLAIM_LIFETIME <= at;
                report.need(is_over, "R26", "another worker's claim is not over");
                (mail.is_claimed, mail.due_at) = (false, e.retry_at);
                mail.unknown = mail.unknown.saturating_add(1);
            }
            Event::MailParked(_) => {
                report.need(!mail.is_claimed, "R26", "an attempt is under way");
                has_ended = true;
            }
            Event::MailCancelled(e) => {
                let is_erasure = e.reason == crate::event::CancelReason::Erased;
                report.need(!mail.is_claimed || is_erasure, "R26", "an attempt is under way");
                has_ended = true;
            }
            _ => {}
        }
        if has_ended {
            self.mails.remove(&spoken.mail);
        } else {
            self.mails.insert(spoken.mail, mail);
        }
    }

    /// R20, R26: that nothing is sent which was revoked, superseded, accepted, or whose reader is gone.
    fn check_wanted(&self, mail: &Mail, at: Timestamp, report: &mut Report<'_>) {
        let is_living = self.living(mail.professional).is_some();
        let Some(id) = mail.invitation else {
            let is_moot = !is_living && mail.carries == Carries::Notice(NoticeTo::Registered);
            return report.need(!is_moot, "R26", "the mail is to somebody who is gone");
        };
        report.need(is_living, "R26", "the mail is to somebody who is gone");
        let Some(it) = self.invitations.get(&id) else { return };
        let is_current = it.state == InvitationState::Open && it.generation == mail.generation;
        report.need(is_current, "R26", "the mail was revoked, superseded or used");
        let is_expired = match mail.carries {
            Carries::Code { expires_at } => expires_at <= at,
            _ => it.expires_at <= at,
        };
        report.need(!is_expired, "R26", "what the mail carries has expired");
        let is_frozen = mail.carries == Carries::Link && !self.has_plan_at(at);
        report.need(!is_frozen, "R20", "the account has no current plan");
    }
}

fn parks(append: &Append<'_>, mail: MailId) -> bool {
    append.has(|event| matches!(event, Event::MailParked(it) if it.mail == mail))
}

fn waiting(
    professional: ProfessionalId,
    invitation: Option<InvitationId>,
    generation: u32,
    carries: Carries,
    due_at: Timestamp,
) -> Mail {
    Mail {
        professional,
        invitation,
        generation,
        carries,
        due_at,
        deferred_since: None,
        attempts: 0,
        unknown: 0,
        is_claimed: false,
        claimed_at: due_at,
    }
}
