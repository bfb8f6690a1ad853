//! Invitations with the state of their delivery.

use domain::caller::Actor;
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, InvitationId, MailId, ProfessionalId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accounts::AccountRow;
use crate::professionals::ProfessionalRow;
use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views};

/// The largest page of invitations.
pub const PAGE_MAX: usize = 200;

/// The view of invitations, by invitation id.
#[derive(Debug)]
pub struct Invitations;

/// Where an invitation stands, time and plan aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It may be accepted until it expires.
    Open,
    /// It was accepted.
    Accepted,
    /// It was revoked.
    Revoked,
}

/// Where the newest mail of an invitation stands (R26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its first attempt.
    Waiting,
    /// A worker is sending it.
    Sending,
    /// The server took it over.
    Sent,
    /// The server refused it for now; it is tried again.
    Deferred,
    /// Nobody knows whether the server took it over; it is tried again.
    Unknown,
    /// The server refused it for good. An operator must act.
    Refused,
    /// It was tried for too long or too often. An operator must act.
    Parked,
    /// It was no longer wanted.
    Cancelled,
}

impl DeliveryState {
    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The newest mail of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The mail.
    pub mail: MailId,
    /// Where it stands.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// The server's last code.
    pub code: Option<u16>,
    /// The server's last answer; none once erased.
    pub reply: Option<String>,
    /// When the next attempt is due, if one is.
    pub retry_at: Option<Timestamp>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// One invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRow {
    /// Its id.
    pub id: InvitationId,
    /// The account.
    pub account: AccountId,
    /// Who is invited.
    pub professional: ProfessionalId,
    /// Its newest generation.
    pub generation: u32,
    /// Where it stands.
    pub status: Status,
    /// Who issued the newest generation.
    pub issued_by: Actor,
    /// When.
    pub issued_at: Timestamp,
    /// The first moment at which the newest link no longer works.
    pub expires_at: Timestamp,
    /// The key that the newest link's token is derived with.
    pub link_key: String,
    /// How many visits of its links are recorded; they may be automatic (R24).
    pub visits: u32,
    /// How often the click that starts the sign-in is recorded.
    pub clicks: u32,
    /// The newest mail that carries its link.
    pub delivery: Delivery,
    /// The position of the last event that changed it.
    pub position: Position,
}

impl View for Invitations {
    const NAME: &'static str = "invitations";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] = &[Column::Text("account"), Column::Text("delivery"), Column::Number("changed")];
    type Row = InvitationRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        recorded.event.about().invitation.iter().map(ToString::to_string).collect()
    }

    fn apply(_: &str, row: Option<InvitationRow>, recorded: &Recorded) -> Option<InvitationRow> {
        let (position, at) = (recorded.position, recorded.recorded_at);
        if let Event::InvitationIssued(e) = &recorded.event {
            return Some(InvitationRow {
                id: e.invitation,
                account: e.account,
                professional: e.professional,
                generation: e.generation,
                status: Status::Open,
                issued_by: recorded.actor.clone(),
                issued_at: at,
                expires_at: e.expires_at,
                link_key: e.link_key.clone(),
                visits: row.as_ref().map_or(0, |row| row.visits),
                clicks: row.as_ref().map_or(0, |row| row.clicks),
                delivery: waiting(e.mail, at),
                position,
            });
        }
        let mut row = InvitationRow { position, ..row? };
        match &recorded.event {
            Event::InvitationRevoked(_) => row.status = Status::Revoked,
            Event::IdentityAssociated(_) => row.status = Status::Accepted,
            Event::LinkVisited(_) => row.visits += 1,
            Event::LinkClicked(_) => row.clicks += 1,
            Event::LatestLinkRequested(e) if e.mail != row.delivery.mail => row.delivery = waiting(e.mail, at),
            _ => apply_to_delivery(&mut row.delivery, recorded),
        }
        Some(row)
    }

    fn columns(row: &InvitationRow) -> Vec<Value> {
        vec![
            Value::Text(Some(row.account.to_string())),
            Value::Text(Some(row.delivery.state.as_str().into())),
            Value::Number(Some(row.position)),
        ]
    }
}

fn waiting(mail: MailId, at: Timestamp) -> Delivery {
    Delivery {
        mail,
        state: DeliveryState::Waiting,
        attempts: 0,
        code: None,
        reply: None,
        retry_at: None,
        changed_at: at,
    }
}

/// Takes one event about the newest mail in; events about other mails of the invitation change nothing.
fn apply_to_delivery(delivery: &mut Delivery, recorded: &Recorded) {
    let mut change = |mail: MailId, attempt: u32, state, code: Option<u16>, reply: Option<&String>, retry_at| {
        if mail == delivery.mail {
            let (code, reply) = (code.or(delivery.code), reply.cloned().or_else(|| delivery.reply.clone()));
            let attempts = delivery.attempts.max(attempt);
            *delivery = Delivery { mail, state, attempts, code, reply, retry_at, changed_at: recorded.recorded_at };
        }
    };
    match &recorded.event {
        Event::MailAttempted(e) => change(e.mail, e.attempt, DeliveryState::Sending, None, None, None),
        Event::MailSent(e) => change(e.mail, e.attempt, DeliveryState::Sent, None, e.reply.as_ref(), None),
        Event::MailRefused(e) => change(e.mail, e.attempt, DeliveryState::Refused, e.code, e.reply.as_ref(), None),
        Event::MailDeferred(e) => {
            change(e.mail, e.attempt, DeliveryState::Deferred, e.code, e.reply.as_ref(), Some(e.retry_at));
        }
        Event::MailOutcomeUnknown(e) => {
            change(e.mail, e.attempt, DeliveryState::Unknown, None, e.reply.as_ref(), Some(e.retry_at));
        }
        Event::MailParked(e) => change(e.mail, e.attempt, DeliveryState::Parked, None, None, None),
        Event::MailCancelled(e) => change(e.mail, e.attempt, DeliveryState::Cancelled, None, None, None),
        _ => {}
    }
}

/// An invitation with everything that its page and its mail show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationContext {
    /// The invitation.
    pub invitation: InvitationRow,
    /// Who is invited.
    pub professional: ProfessionalRow,
    /// To which account.
    pub account: AccountRow,
    /// Who invited, if it was one of the account's own people.
    pub inviter: Option<ProfessionalRow>,
}

impl Views {
    /// Finds an invitation that the reader may see: staff any, administrators those of their account.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitation(&self, id: InvitationId, reader: Reader) -> Result<Option<InvitationRow>, QueryError> {
        self.find(
            "select i.body from invitations i where i.key = $1 and ($2 = '' or exists (select 1 from professionals r \
             where r.account = i.account and r.identity = $2 and r.is_administrator = 1))",
            &[&id.to_string(), &reader.identity_or_empty()],
        )
        .await
    }

    /// Lists invitations, those that changed last first, older than the position `before`; for staff.
    /// An empty `account` or `delivery` stands for any.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitations(
        &self,
        account: &str,
        delivery: &str,
        before: Position,
        limit: usize,
    ) -> Result<Vec<InvitationRow>, QueryError> {
        self.list(
            "select i.body from invitations i where ($1 = '' or i.account = $1) and ($2 = '' or i.delivery = $2) \
             and i.changed < cast($3 as bigint) order by i.changed desc limit $4",
            &[account, delivery, &before.to_string()],
            limit.min(PAGE_MAX),
        )
        .await
    }

    /// Finds what the page and the mail of an invitation show.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitation_context(&self, id: InvitationId) -> Result<Option<InvitationContext>, QueryError> {
        let Some(invitation) = self.invitation(id, Reader::Staff).await? else { return Ok(None) };
        let professional = self.professional(invitation.account, invitation.professional, Reader::Staff).await?;
        let account = self.account(invitation.account, Reader::Staff).await?;
        let inviter: Option<ProfessionalRow> = match invitation.issued_by {
            Actor::Identity(identity) => {
                self.find(
                    "select p.body from professionals p where p.account = $1 and p.identity = $2",
                    &[&invitation.account.to_string(), &identity.to_string()],
                )
                .await?
            }
            _ => None,
        };
        Ok(professional.zip(account).map(|(professional, account)| InvitationContext {
            invitation,
            professional,
            account,
            inviter,
        }))
    }
}
