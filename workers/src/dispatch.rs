//! From to-do to mail to outcome: claims an attempt in the log, sends, appends what came of it.
//!
//! No transaction is open while a mailer talks. Two workers may see the same to-do: one claims it, the other is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::{Event, Notice, NoticeTo, Position, Recorded};
use domain::ids::{AppointmentId, InvitationId, MailId};
use domain::invitation::{CODE_LIFETIME, Link};
use domain::mail::MailOutcome;
use domain::name::PersonName;
use domain::portal::Portals;
use projections::invitations::InvitationContext;
use projections::mails::{Content, MailRow};
use projections::professionals::ProfessionalRow;
use projections::views::QueryError;
use projections::{Reader, Views};
use store::token::LinkKeys;
use store::{ExecuteError, Store, random};
use tokio::sync::watch;
use tokio::task::{self, JoinSet};

use crate::mail::OutgoingMail;
use crate::mailer::{Mailer, Outcome};
use crate::notices::{NoticeMail, Told};
use crate::templates::{InvitationMail, Inviter, MailboxCodeMail, Rendered};

/// Mails that are under way at once. Most of them wait for a commit; if all wait for the relay instead, the last one's
/// turn comes in time where a mail takes no longer than 4 s over each of 4 connections.
const UNDER_WAY_MAX: usize = 64;
/// To-dos looked at in one go, and then begun one after the other: many times as many as can be under way, since the views
/// show what is under way, or just done, as due until they have followed.
const DUE_MAX: usize = 8 * UNDER_WAY_MAX;
/// How long a worker without news sleeps before it looks for mails that time has made due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a worker tries to append an outcome; after that the claim counts as dead.
const RECORD_TRIES_MAX: u32 = 60;
/// The wait between two such tries.
const RECORD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends the mails that wait.
#[derive(Clone)]
pub struct MailWorker {
    /// The log.
    pub store: Store,
    /// The views with the to-dos.
    pub views: Views,
    /// What hands mails over.
    pub mailer: Arc<dyn Mailer>,
    /// What links and codes are derived with.
    pub link_keys: LinkKeys,
    /// The public base of links, without a slash at the end.
    pub base_url: String,
    /// The portals' names.
    pub portals: Portals,
}

impl MailWorker {
    /// Works until `stop` changes; mails under way are finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut under_way: HashMap<task::Id, MailId> = HashMap::new();
        // Mails that are done, until the views show it at these positions.
        let mut recorded: HashMap<MailId, Position> = HashMap::new();
        let mut tasks: JoinSet<Option<Position>> = JoinSet::new();
        let mut due = VecDeque::new();
        let mut next = None;
        loop {
            while let Some(done) = next.take().or_else(|| tasks.try_join_next_with_id()) {
                // Invariant: handling a mail does not panic; if it does, the claim dies and the mail is tried again.
                let (task, position) = done.unwrap_or_else(|error| (error.id(), None));
                recorded.extend(under_way.remove(&task).zip(position));
            }
            let seen = self.views.position();
            recorded.retain(|_, position| *position > seen);
            if due.is_empty() && under_way.len() < UNDER_WAY_MAX {
                due.extend(self.due().await);
                due.retain(|mail: &MailRow| {
                    !recorded.contains_key(&mail.id) && under_way.values().all(|other| *other != mail.id)
                });
            }
            while under_way.len() < UNDER_WAY_MAX
                && let Some(mail) = due.pop_front()
            {
                let (worker, id) = (self.clone(), mail.id);
                let task = tasks.spawn(async move { worker.handle(&mail).await });
                under_way.insert(task.id(), id);
            }
            let is_full = under_way.len() >= UNDER_WAY_MAX;
            tokio::select! {
                Some(done) = tasks.join_next_with_id() => next = Some(done),
                () = self.views.wait_for_news(seen, LOOK_EVERY), if !is_full => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn due(&self) -> Vec<MailRow> {
        self.views.due_mails(self.store.clock().now(), DUE_MAX).await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the mails that are due cannot be read");
            Vec::new()
        })
    }

    /// Claims, sends and records one mail; tells where the log says so, if it does.
    async fn handle(&self, mail: &MailRow) -> Option<Position> {
        let (attempt, position) = self.claim(mail).await?;
        let outcome = match self.compose(mail, position).await {
            Ok(outgoing) => self.mailer.send(&outgoing, self.store.clock().now()).await.into(),
            Err(outcome) => outcome,
        };
        self.record(mail, attempt, outcome).await
    }

    /// Claims the next attempt; none if another worker has it or it is no longer wanted.
    async fn claim(&self, mail: &MailRow) -> Option<(u32, Position)> {
        let command = Command::AttemptMail { account: mail.account, mail: mail.id };
        let seen = self.views.position();
        let executed = match self.store.execute(command, caller(), request()).await {
            Ok(executed) => executed,
            Err(ExecuteError::Refused(refusal)) => {
                tracing::debug!(mail.id = %mail.id, code = refusal.code(), "the mail was not claimed");
                self.views.wait_for_news(seen, LOOK_EVERY).await;
                return None;
            }
            Err(error) => {
                tracing::error!(mail.id = %mail.id, %error, "the mail cannot be claimed");
                tokio::time::sleep(RECORD_RETRY_AFTER).await;
                return None;
            }
        };
        let attempt = executed.events.iter().find_map(|recorded| match &recorded.event {
            Event::MailAttempted(e) => Some(e.attempt),
            _ => None,
        });
        if attempt.is_none() {
            log_end(mail, &executed.events);
            self.views.wait_for(executed.position).await;
        }
        attempt.map(|attempt| (attempt, executed.position))
    }

    /// Writes the mail, with secrets derived on the spot.
    ///
    /// Invariant: a link or a code goes to the address that is registered when its mail is claimed, although the views need
    /// not show the claim yet. They showed the invitation when the mail was found, and a change of address revokes it (R16),
    /// so that the mail is cancelled in place of the claim.
    async fn compose(&self, mail: &MailRow, claimed_at: Position) -> Result<OutgoingMail, MailOutcome> {
        let composed = match (&mail.content, mail.invitation) {
            (Content::Notice { notice, to, address, appointment }, _) => {
                if !self.views.wait_for(claimed_at).await {
                    return Err(later("the views do not follow the log")); // and may show what has been changed or erased
                }
                let notice = Composed { notice: *notice, to: *to, address: address.as_deref() };
                self.compose_notice(mail, notice, *appointment).await
            }
            (_, Some(invitation)) => self.compose_invitation(mail, invitation).await,
            (_, None) => Err(never("a mail about an invitation names none")),
        };
        let (to, to_name, rendered) = composed?;
        let (subject, text, html) = (rendered.subject, rendered.text, rendered.html);
        Ok(OutgoingMail { mail: mail.id, to, to_name, subject, text, html })
    }

    /// A link or a code, to the address that is registered now.
    async fn compose_invitation(&self, mail: &MailRow, invitation: InvitationId) -> Result<Letter, MailOutcome> {
        let context = self.views.invitation_context(invitation).await.map_err(|error| later(&error.to_string()))?;
        let context = context.ok_or_else(|| later("the views do not show the invitation yet"))?;
        let (to, to_name) = addressee(&context.professional)?;
        let rendered =
            self.render(mail, &context, &to_name).ok_or_else(|| never("the key of this link or code has retired"))?;
        Ok((to, to_name, rendered))
    }

    /// A notice. Places that are told anyway, and identities without an address, get none.
    async fn compose_notice(
        &self,
        mail: &MailRow,
        Composed { notice, to, address }: Composed<'_>,
        appointment: Option<AppointmentId>,
    ) -> Result<Letter, MailOutcome> {
        let read = |error: QueryError| later(&error.to_string());
        let person = self.views.any_professional(mail.professional).await.map_err(read)?;
        let account = self.views.account(mail.account, Reader::Staff).await.map_err(read)?;
        let (person, account) =
            person.zip(account).ok_or_else(|| later("the views do not show the person or the account yet"))?;
        let (registered, recipient) = addressee(&person)?;
        let to = match to {
            NoticeTo::Registered => registered,
            NoticeTo::Former => stored_address(address).ok_or_else(|| never("the person's details were erased"))?,
            NoticeTo::Identity(identity) => {
                let identity = self.views.identity(identity).await.map_err(read)?;
                let address = stored_address(identity.and_then(|identity| identity.address).as_deref());
                let other = address.filter(|address| address.key() != registered.key());
                other.ok_or(MailOutcome::NoOtherAddress)?
            }
        };
        let told = match (notice, appointment) {
            (Notice::AddressChanged, _) => Told::AddressChanged,
            (Notice::IdentityReplaced, _) => Told::IdentityReplaced,
            (_, None) => return Err(never("a notice about an appointment names none")),
            (notice, Some(id)) => self.told_of_appointment(notice, id).await?,
        };
        let portal = self.portals.of(account.kind).name.clone();
        let content = NoticeMail { recipient: recipient.clone(), account: account.name, portal, told };
        Ok((to, recipient, content.render(person.language)))
    }

    async fn told_of_appointment(&self, notice: Notice, id: AppointmentId) -> Result<Told, MailOutcome> {
        let read = |error: QueryError| later(&error.to_string());
        let found = self.views.appointment(id).await.map_err(read)?;
        let found = found.ok_or_else(|| later("the views do not show the appointment yet"))?;
        let name = |row: Option<ProfessionalRow>| {
            row.and_then(|row| row.name).and_then(|name| PersonName::from_stored(&name).ok())
        };
        let appointed = name(self.views.any_professional(found.professional).await.map_err(read)?);
        let appointed = appointed.ok_or_else(|| never("the appointed person was erased"))?;
        let replaced = match found.replaces {
            Some(replaced) => name(self.views.any_professional(replaced).await.map_err(read)?),
            None => None,
        };
        Ok(match (notice, found.window_ends_at) {
            (Notice::AppointmentProposed, Some(window_ends_at)) => {
                Told::AppointmentProposed { appointed, replaced, window_ends_at }
            }
            _ => Told::AppointmentCarriedOut { appointed, replaced },
        })
    }

    fn render(&self, mail: &MailRow, context: &InvitationContext, recipient: &PersonName) -> Option<Rendered> {
        let (account, language) = (&context.account, context.professional.language);
        let portal = self.portals.of(account.kind).name.clone();
        match &mail.content {
            Content::Link => {
                let link = Link { account: mail.account, invitation: mail.invitation?, generation: mail.generation };
                let token = self.link_keys.token(&context.invitation.link_key, link)?;
                let content = InvitationMail {
                    recipient: recipient.clone(),
                    inviter: inviter(context),
                    account: account.name.clone(),
                    portal,
                    link: format!("{}/i/{}", self.base_url, token.reveal()),
                    expires_at: context.invitation.expires_at,
                };
                Some(content.render(language))
            }
            Content::Code { flow, number, code_key } => {
                let content = MailboxCodeMail {
                    recipient: recipient.clone(),
                    account: account.name.clone(),
                    portal,
                    code: self.link_keys.code(code_key, *flow, *number)?.reveal().clone(),
                    lifetime_minutes: CODE_LIFETIME.0 / 60_000,
                };
                Some(content.render(language))
            }
            Content::Notice { .. } => None,
        }
    }

    /// Appends the outcome, as long as it takes within bounds: an outcome that is not recorded may mean a second copy.
    async fn record(&self, mail: &MailRow, attempt: u32, outcome: MailOutcome) -> Option<Position> {
        for _ in 0..RECORD_TRIES_MAX {
            let command = Command::RecordMailOutcome {
                account: mail.account,
                professional: mail.professional,
                mail: mail.id,
                attempt,
                outcome: outcome.clone(),
                jitter_permille: u32::from(u16::from_be_bytes(random::bytes())) % 1000,
            };
            match self.store.execute(command, caller(), request()).await {
                Ok(executed) => {
                    log_outcome(mail, attempt, &outcome);
                    log_end(mail, &executed.events);
                    return Some(executed.position);
                }
                Err(ExecuteError::Refused(refusal)) => {
                    tracing::warn!(mail.id = %mail.id, code = refusal.code(), "the outcome came too late");
                    return None;
                }
                Err(error) => {
                    tracing::error!(mail.id = %mail.id, %error, "the outcome cannot be recorded yet");
                    tokio::time::sleep(RECORD_RETRY_AFTER).await;
                }
            }
        }
        None
    }
}

impl From<Outcome> for MailOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Sent { reply } => Self::Sent { reply },
            Outcome::Refused { code, reply } => Self::Refused { code: Some(code), reply },
            Outcome::Deferred { code, reply } => Self::Deferred { code, reply },
            Outcome::Unknown { reply } => Self::Unknown { reply },
        }
    }
}

/// Address, name and texts of a mail.
type Letter = (EmailAddress, PersonName, Rendered);

/// What a notice is and where it goes.
#[derive(Clone, Copy)]
struct Composed<'a> {
    notice: Notice,
    to: NoticeTo,
    address: Option<&'a str>,
}

fn later(reply: &str) -> MailOutcome {
    MailOutcome::Deferred { code: None, reply: reply.into() }
}

fn never(reply: &str) -> MailOutcome {
    MailOutcome::Refused { code: None, reply: reply.into() }
}

fn stored_address(text: Option<&str>) -> Option<EmailAddress> {
    text.and_then(|address| EmailAddress::from_stored(address).ok())
}

fn addressee(person: &ProfessionalRow) -> Result<(EmailAddress, PersonName), MailOutcome> {
    let name = person.name.as_deref().and_then(|name| PersonName::from_stored(name).ok());
    stored_address(person.address.as_deref()).zip(name).ok_or_else(|| never("the person's details were erased"))
}

/// Whose wish the newest link is.
fn inviter(context: &InvitationContext) -> Inviter {
    let person = context.inviter.as_ref().and_then(|inviter| inviter.name.as_deref());
    let person = person.and_then(|name| PersonName::from_stored(name).ok());
    let is_oneself = context.inviter.as_ref().is_some_and(|inviter| inviter.id == context.professional.id);
    let partner = context.partner.as_ref().map(|partner| partner.name.clone());
    match (context.invitation.bound_to, person) {
        (Some(_), _) => Inviter::Association,
        (None, Some(_)) if is_oneself => Inviter::Oneself,
        (None, Some(person)) => match partner {
            Some(partner) => Inviter::Partner { person, partner },
            None => Inviter::Person(person),
        },
        (None, None) => Inviter::Support,
    }
}

fn log_outcome(mail: &MailRow, attempt: u32, outcome: &MailOutcome) {
    let (mail, invitation) = (mail.id, mail.invitation.map(|invitation| invitation.to_string()));
    let invitation = invitation.as_deref().unwrap_or("none");
    match outcome {
        MailOutcome::NoOtherAddress => tracing::info!(mail.id = %mail, "the notice has no address of its own"),
        MailOutcome::Sent { .. } => tracing::info!(mail.id = %mail, invitation.id = %invitation, attempt, "mail sent"),
        MailOutcome::Refused { code, .. } => {
            tracing::error!(mail.id = %mail, invitation.id = %invitation, attempt, code, "mail refused for good");
        }
        MailOutcome::Deferred { code, .. } => {
            tracing::warn!(mail.id = %mail, invitation.id = %invitation, attempt, code, "mail deferred");
        }
        MailOutcome::Unknown { .. } => {
            tracing::warn!(mail.id = %mail, invitation.id = %invitation, attempt, "mail outcome unknown");
        }
    }
}

/// Tells that a mail is not sent any more, if these events say so, and why.
fn log_end(mail: &MailRow, events: &[Recorded]) {
    for recorded in events {
        match &recorded.event {
            Event::MailCancelled(e) => tracing::info!(mail.id = %mail.id, reason = ?e.reason, "mail no longer wanted"),
            Event::MailParked(e) => {
                let (mail, account) = (mail.id, mail.account);
                tracing::error!(mail.id = %mail, account.id = %account, reason = ?e.reason, "mail waits for an operator");
            }
            _ => {}
        }
    }
}

fn caller() -> Caller {
    Caller::new(Actor::Worker("mail".into()))
}

fn request() -> Request {
    Request { id: random::uuid(), key: None, body: None, if_match: None }
}
