//! Invitations with the state of their delivery.

use std::collections::HashMap;

use domain::caller::Actor;
use domain::event::{Event, ParkReason, Position, Recorded, RevocationReason};
use domain::ids::{AccountId, EventId, IdentityId, InvitationId, MailId, ProfessionalId};
use domain::time::Timestamp;
use domain::words::Authority;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use crate::accounts::AccountRow;
use crate::professionals::ProfessionalRow;
use crate::tables::json;
use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views, read};

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
    /// The server took it over, and it came back.
    Bounced,
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
            Self::Bounced => "bounced",
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
    /// Why it waits for an operator, if it was parked.
    pub parked_for: Option<ParkReason>,
    /// When the next attempt is due, if one is.
    pub retry_at: Option<Timestamp>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Delivery {
    /// What stands in its way, in one word: why it was parked, else the server's code.
    pub fn reason(&self) -> Option<String> {
        match self.parked_for {
            Some(ParkReason::DeferredTooLong) => Some("deferred_too_long".into()),
            Some(ParkReason::UnknownTooOften) => Some("unknown_too_often".into()),
            None => self.code.map(|code| code.to_string()),
        }
    }
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
    /// Why it was revoked, if it was.
    pub revoked_for: Option<RevocationReason>,
    /// Who issued the newest generation.
    pub issued_by: Actor,
    /// With what right.
    pub by: Option<Authority>,
    /// The partner on whose behalf it was issued.
    pub partner: Option<AccountId>,
    /// The only identity that can accept it (R14).
    pub bound_to: Option<IdentityId>,
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
    /// The last event that changed it: its entity tag.
    pub changed_by: EventId,
}

impl View for Invitations {
    const NAME: &'static str = "invitations";
    const VERSION: i64 = 3;
    const COLUMNS: &'static [Column] = &[
        Column::Text("account"),
        Column::Text("delivery"),
        Column::Text("reason"),
        Column::Text("mail"),
        Column::Number("changed_at"),
        Column::Number("changed"),
    ];
    type Row = InvitationRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::ProfessionalErased(e) => e.invitations.iter().map(ToString::to_string).collect(),
            event => event.about().invitation.iter().map(ToString::to_string).collect(),
        }
    }

    fn apply(_: &str, row: Option<InvitationRow>, recorded: &Recorded) -> Option<InvitationRow> {
        let (position, changed_by, at) = (recorded.position, recorded.id, recorded.recorded_at);
        if let Event::InvitationIssued(e) = &recorded.event {
            return Some(InvitationRow {
                id: e.invitation,
                account: e.account,
                professional: e.professional,
                generation: e.generation,
                status: Status::Open,
                revoked_for: None,
                issued_by: recorded.actor.clone(),
                by: e.by,
                partner: e.partner,
                bound_to: e.bound_to,
                issued_at: at,
                expires_at: e.expires_at,
                link_key: e.link_key.clone(),
                visits: row.as_ref().map_or(0, |row| row.visits),
                clicks: row.as_ref().map_or(0, |row| row.clicks),
                delivery: waiting(e.mail, at),
                position,
                changed_by,
            });
        }
        if let Event::ProfessionalErased(_) = &recorded.event {
            // Not a change to page by: it touches many rows at one position.
            return row.map(|row| InvitationRow { delivery: Delivery { reply: None, ..row.delivery }, ..row });
        }
        let mut row = InvitationRow { position, changed_by, ..row? };
        match &recorded.event {
            Event::InvitationRevoked(e) => {
                row.status = Status::Revoked;
                row.revoked_for = Some(e.reason);
            }
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
            Value::Text(row.delivery.reason()),
            Value::Text(Some(row.delivery.mail.to_string())),
            Value::Number(Some(row.delivery.changed_at.0)),
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
        parked_for: None,
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
            let changed_at = recorded.recorded_at;
            *delivery = Delivery { mail, state, attempts, code, reply, parked_for: None, retry_at, changed_at };
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
        Event::MailParked(e) => {
            change(e.mail, e.attempt, DeliveryState::Parked, None, None, None);
            delivery.parked_for = (e.mail == delivery.mail).then_some(e.reason).or(delivery.parked_for);
        }
        Event::MailCancelled(e) => change(e.mail, e.attempt, DeliveryState::Cancelled, None, None, None),
        Event::MailBounced(e) => change(e.mail, e.attempt, DeliveryState::Bounced, None, e.reply.as_ref(), None),
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
    /// Who invited, if it was one of the account's own people or of its partner's.
    pub inviter: Option<ProfessionalRow>,
    /// The partner on whose behalf it was issued.
    pub partner: Option<AccountRow>,
}

/// Which invitations to list; what is empty or at its bound stands for any.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of this account.
    pub account: String,
    /// Whose newest mail is in this state.
    pub delivery: String,
    /// Whose newest mail has this reason: why it was parked, or the server's code.
    pub reason: String,
    /// Whose newest mail changed at this time or later.
    pub since: Timestamp,
    /// Whose newest mail changed before this time.
    pub until: Timestamp,
}

impl Default for Filter {
    fn default() -> Self {
        let any = String::new;
        Self { account: any(), delivery: any(), reason: any(), since: Timestamp(i64::MIN), until: Timestamp(i64::MAX) }
    }
}

impl Views {
    /// Finds an invitation that the reader may see: staff any, administrators those of their account and of the accounts
    /// that they serve.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitation(&self, id: InvitationId, reader: Reader) -> Result<Option<InvitationRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.find(
            "select i.body from invitations i where i.key = $1 and ($2 = '' or exists (select 1 from professionals r \
             where r.account = i.account and r.identity = $2 and ($3 = '' or r.key = $3) and r.is_administrator = 1) \
             or exists (select 1 from partnerships s join professionals r on r.account = s.partner \
             where s.account = i.account and r.identity = $2 and ($3 = '' or r.key = $3) and r.is_administrator = 1))",
            &[&id.to_string(), &identity, &profile],
        )
        .await
    }

    /// Lists invitations, those that changed last first, older than the position `before`; for staff.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitations(
        &self,
        filter: &Filter,
        before: Position,
        limit: usize,
    ) -> Result<Vec<InvitationRow>, QueryError> {
        self.list(
            "select i.body from invitations i where ($1 = '' or i.account = $1) and ($2 = '' or i.delivery = $2) \
             and ($3 = '' or i.reason = $3) and i.changed_at >= cast($4 as bigint) \
             and i.changed_at < cast($5 as bigint) and i.changed < cast($6 as bigint) order by i.changed desc limit $7",
            &[
                &filter.account,
                &filter.delivery,
                &filter.reason,
                &filter.since.0.to_string(),
                &filter.until.0.to_string(),
                &before.to_string(),
            ],
            limit.min(PAGE_MAX),
        )
        .await
    }

    /// Finds the invitation whose newest mail this is; for staff.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitation_of_mail(&self, mail: MailId) -> Result<Option<InvitationRow>, QueryError> {
        self.find("select i.body from invitations i where i.mail = $1", &[&mail.to_string()]).await
    }

    /// Finds what the page and the mail of an invitation show; nothing where its person is deleted.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn invitation_context(&self, id: InvitationId) -> Result<Option<InvitationContext>, QueryError> {
        self.contexts.get(id, |ids| self.invitation_contexts(ids)).await
    }

    async fn invitation_contexts(
        &self,
        ids: Vec<InvitationId>,
    ) -> Result<HashMap<InvitationId, Option<InvitationContext>>, QueryError> {
        let select = format!("select i.body from invitations i where {}", self.location.is_listed("i.key"));
        let bodies: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(select)).bind(json(&ids)).fetch_all(&self.pool).await?;
        let mut invitations: HashMap<String, InvitationRow> = HashMap::with_capacity(bodies.len());
        for body in &bodies {
            let invitation: InvitationRow = read(body)?;
            invitations.insert(invitation.id.to_string(), invitation);
        }
        let concerned: Vec<_> = invitations.values().map(concerned).collect();
        // Not joins, for which PostgreSQL would read whole tables.
        let select = format!(
            "select value ->> 0, (select p.body from professionals p \
             where p.key = value ->> 1 and p.account = value ->> 2 and p.is_deleted = 0), \
             (select a.body from accounts a where a.key = value ->> 2), \
             (select min(p.body) from professionals p where p.account = value ->> 3 and p.identity = value ->> 4), \
             (select a.body from accounts a where a.key = value ->> 5) from {}",
            self.location.elements()
        );
        let rows: Vec<ConcernedRow> =
            sqlx::query_as(AssertSqlSafe(select)).bind(json(&concerned)).fetch_all(&self.pool).await?;
        let mut contexts = HashMap::with_capacity(rows.len());
        for (id, professional, account, inviter, partner) in rows {
            if let Some(((invitation, professional), account)) = invitations.remove(&id).zip(professional).zip(account)
            {
                let context = InvitationContext {
                    professional: read(&professional)?,
                    account: read(&account)?,
                    inviter: inviter.as_deref().map(read).transpose()?,
                    partner: partner.as_deref().map(read).transpose()?,
                    invitation,
                };
                contexts.insert(context.invitation.id, Some(context));
            }
        }
        Ok(contexts)
    }
}

/// An invitation's id, and the bodies of the invited person, the account, the inviter and the partner.
type ConcernedRow = (String, Option<String>, Option<String>, Option<String>, Option<String>);

/// Whom an invitation concerns: itself, the invited person and their account, the inviter's account and identity, and
/// the partner.
fn concerned(
    row: &InvitationRow,
) -> (InvitationId, ProfessionalId, AccountId, AccountId, Option<IdentityId>, Option<AccountId>) {
    let inviter = match row.issued_by {
        Actor::Identity(identity) => Some(identity),
        _ => None,
    };
    (row.id, row.professional, row.account, row.partner.unwrap_or(row.account), inviter, row.partner)
}
