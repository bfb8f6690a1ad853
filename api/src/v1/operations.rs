//! Operators' work: every attempt of an invitation's mails, sending again after correcting the address, bounces.

use axum::Json;
use axum::extract::State;
use domain::caller::Request;
use domain::command::Command;
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, InvitationId, MailId};
use domain::refusal::Refusal;
use domain::tag::{RequestKey, Subject};
use domain::time::Timestamp;
use domain::words::Scope;
use projections::Reader;
use projections::invitations::{DeliveryState, Filter, InvitationRow};
use serde::{Deserialize, Serialize};
use store::working::choices::Chosen;
use store::{ExecuteError, Executed};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Done;
use super::accounts::READERS;
use super::professionals::{Page, address, new_link};
use crate::asked::{Asked, Authenticated, InPath};
use crate::problem::Problem;
use crate::state::Api;

/// Who may send failed invitations again.
const OPERATORS: &[Scope] = &[Scope::Operator, Scope::Support];
/// Who may report bounces.
const REPORTERS: &[Scope] = &[Scope::Operator, Scope::Support, Scope::BackOffice];
/// Invitations that one request sends again.
const RETRIED_MAX: usize = 199;
/// People with one address whose mail a bounce is looked for in.
const BOUNCED_MAX: usize = 1_000;
/// The longest diagnosis of a bounce that is kept, in characters.
const DIAGNOSIS_CHARS_MAX: usize = 1_000;

/// One step in the life of a mail.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// The mail.
    #[schema(value_type = Uuid)]
    pub mail: MailId,
    /// 1 for the first attempt; 0 where none was made.
    pub attempt: u32,
    /// `sending`, `sent`, `refused`, `deferred`, `unknown`, `parked`, `cancelled` or `bounced`.
    #[schema(value_type = String, example = "deferred")]
    pub state: DeliveryState,
    /// The mail server's code.
    pub code: Option<u16>,
    /// What the mail server answered; null once erased.
    pub reply: Option<String>,
    /// When the next attempt is due (RFC 3339).
    pub retry_at: Option<String>,
    /// When it happened (RFC 3339).
    pub at: String,
    /// The event's place in the log.
    pub position: Position,
}

impl Attempt {
    fn from_recorded(recorded: &Recorded, invitation: InvitationId) -> Option<Self> {
        if recorded.event.about().invitation != Some(invitation) {
            return None;
        }
        let none = (None, None, None);
        let (mail, attempt, state, (code, reply, retry_at)) = match &recorded.event {
            Event::MailAttempted(e) => (e.mail, e.attempt, DeliveryState::Sending, none),
            Event::MailSent(e) => (e.mail, e.attempt, DeliveryState::Sent, (None, e.reply.clone(), None)),
            Event::MailRefused(e) => (e.mail, e.attempt, DeliveryState::Refused, (e.code, e.reply.clone(), None)),
            Event::MailDeferred(e) => {
                (e.mail, e.attempt, DeliveryState::Deferred, (e.code, e.reply.clone(), Some(e.retry_at)))
            }
            Event::MailOutcomeUnknown(e) => {
                (e.mail, e.attempt, DeliveryState::Unknown, (None, e.reply.clone(), Some(e.retry_at)))
            }
            Event::MailParked(e) => (e.mail, e.attempt, DeliveryState::Parked, none),
            Event::MailCancelled(e) => (e.mail, e.attempt, DeliveryState::Cancelled, none),
            Event::MailBounced(e) => (e.mail, e.attempt, DeliveryState::Bounced, (None, e.reply.clone(), None)),
            _ => return None,
        };
        let (at, position) = (recorded.recorded_at.to_string(), recorded.position);
        let retry_at = retry_at.map(|at| at.to_string());
        Some(Self { mail, attempt, state, code, reply, retry_at, at, position })
    }
}

/// List every attempt of an invitation's mails
///
/// For staff, administrators of its account and of the partners that serve it: what was tried when, and what the server
/// answered, the oldest first, on one page.
#[utoipa::path(get, path = "/v1/invitations/{invitation}/attempts", tag = "invitations",
    params(("invitation" = Uuid, Path,)),
    responses((status = 200, description = "The attempts", body = Page<Attempt>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn attempts(
    State(api): State<Api>,
    by: Authenticated,
    InPath(invitation): InPath<InvitationId>,
) -> Result<Json<Page<Attempt>>, Problem> {
    let reader = by.person_or(READERS)?;
    let found = api.views.invitation(invitation, reader).await?.ok_or(Refusal::UnknownInvitation)?;
    let events = api.store.events_about(&Subject::Account(found.account)).await?;
    let items = events.iter().filter_map(|recorded| Attempt::from_recorded(recorded, invitation)).collect();
    Ok(Json(Page { items, next: None }))
}

/// How an invitation is sent again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryInvitation {
    /// The corrected address, if the registered one is wrong.
    pub address: Option<String>,
    /// How many hours the link works, 1 to 720; 168 if it is left out.
    pub lifetime_hours: Option<i64>,
}

/// An invitation that is sent again.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetriedInvitation {
    /// The invitation; another one if the address was corrected.
    #[schema(value_type = Uuid)]
    pub invitation: InvitationId,
    /// Which link of it is sent.
    pub generation: u32,
}

/// Send an invitation again
///
/// Needs the scope `operator` or `support`. It is decided on the state of now: never to an address that is registered no
/// longer, for somebody who was deleted, or for a profile that has an identity.
#[utoipa::path(post, path = "/v1/invitations/{invitation}/retry", tag = "invitations",
    request_body = Option<RetryInvitation>, params(("invitation" = Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "It will be sent", body = Done<RetriedInvitation>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn retry(
    State(api): State<Api>,
    InPath(invitation): InPath<InvitationId>,
    asked: Asked<RetryInvitation>,
) -> Result<Done<RetriedInvitation>, Problem> {
    asked.by.staff(OPERATORS)?;
    let found = api.views.invitation(invitation, Reader::Staff).await?.ok_or(Refusal::UnknownInvitation)?;
    let address = asked.body.address.as_deref().map(address).transpose()?;
    let new = new_link(&api, asked.body.lifetime_hours)?;
    let (account, professional) = (found.account, found.professional);
    let command = Command::RetryInvitation { account, professional, invitation, address, new };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let retried = retried(&executed).ok_or_else(Problem::unavailable)?;
    Ok(Done::new(retried, &executed, shown))
}

fn retried(executed: &Executed) -> Option<RetriedInvitation> {
    executed.events.iter().find_map(|recorded| match &recorded.event {
        Event::InvitationIssued(e) => Some(RetriedInvitation { invitation: e.invitation, generation: e.generation }),
        _ => None,
    })
}

/// Which invitations to send again: those named, or those that fit.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryInvitations {
    /// These, at most 199.
    #[schema(value_type = Option<Vec<Uuid>>)]
    pub invitations: Option<Vec<InvitationId>>,
    /// Else those whose newest mail is in this state, such as `refused`, `parked` or `bounced`.
    #[schema(value_type = Option<String>, example = "parked")]
    pub delivery: Option<DeliveryState>,
    /// Only those of this account.
    #[schema(value_type = Option<Uuid>)]
    pub account: Option<AccountId>,
    /// Only those with this reason: the server's code, `deferred_too_long` or `unknown_too_often`.
    pub reason: Option<String>,
    /// Only those whose mail changed at this time or later (RFC 3339).
    pub since: Option<String>,
    /// Only those whose mail changed before this time (RFC 3339).
    pub until: Option<String>,
    /// How many at most; 1 to 199, 199 if it is left out.
    pub limit: Option<usize>,
}

/// What became of one invitation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetryResult {
    /// The invitation that was to be sent again.
    #[schema(value_type = Uuid)]
    pub invitation: InvitationId,
    /// `sent`, or `refused`.
    #[schema(example = "sent")]
    pub outcome: &'static str,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// The results of a request for many.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetryResults {
    /// One for each invitation.
    pub results: Vec<RetryResult>,
}

/// Send many invitations again
///
/// Needs the scope `operator` or `support`. Each is decided by itself on the state of now, and has a result of its own.
#[utoipa::path(post, path = "/v1/invitations/retry", tag = "invitations", request_body = RetryInvitations, params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "One result for each", body = RetryResults), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn retry_many(State(api): State<Api>, asked: Asked<RetryInvitations>) -> Result<Json<RetryResults>, Problem> {
    asked.by.staff(OPERATORS)?;
    let chosen = match api.store.chosen_before(&asked.request).await? {
        Some(chosen) => chosen,
        None => api.store.choose(&asked.request, choose(&api, &asked.body).await?).await?,
    };
    let Chosen::Invitations(ids) = chosen else { return Err(Refusal::IdempotencyKeyReused.into()) };
    let (mut results, mut position) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        let outcome = match api.views.invitation(id, Reader::Staff).await? {
            Some(row) => retry_one(&api, &asked, &row).await,
            None => Err(Refusal::UnknownInvitation.into()),
        };
        results.push(match outcome {
            Ok(done) => {
                position = position.max(done);
                RetryResult { invitation: id, outcome: "sent", code: None, message: None }
            }
            Err(ExecuteError::Refused(refusal)) => {
                let (code, message) = (Some(refusal.code().into()), Some(refusal.to_string()));
                RetryResult { invitation: id, outcome: "refused", code, message }
            }
            Err(error) => return Err(error.into()),
        });
    }
    api.views.wait_for(position).await;
    Ok(Json(RetryResults { results }))
}

/// The invitations that were named, or that fit.
async fn choose(api: &Api, body: &RetryInvitations) -> Result<Vec<InvitationId>, Problem> {
    if let Some(named) = &body.invitations {
        if named.len() > RETRIED_MAX {
            return Err(Problem::invalid("too_many_invitations", "At most 199 invitations are sent again at once."));
        }
        return Ok(named.clone());
    }
    let Some(delivery) = body.delivery else {
        return Err(Problem::invalid("retry_without_choice", "Name the invitations, or the state of their mail."));
    };
    let filter = Filter {
        account: body.account.map(|account| account.to_string()).unwrap_or_default(),
        delivery: delivery.as_str().into(),
        reason: body.reason.clone().unwrap_or_default(),
        since: time(body.since.as_deref())?.unwrap_or(Timestamp(i64::MIN)),
        until: time(body.until.as_deref())?.unwrap_or(Timestamp(i64::MAX)),
    };
    let limit = body.limit.unwrap_or(RETRIED_MAX).clamp(1, RETRIED_MAX);
    let rows = api.views.invitations(&filter, Position::MAX, limit).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

async fn retry_one(api: &Api, asked: &Asked<RetryInvitations>, row: &InvitationRow) -> Result<Position, ExecuteError> {
    let new = new_link(api, None).map_err(|_| ExecuteError::Unavailable)?; // the default lifetime is within bounds
    let (account, professional, invitation) = (row.account, row.professional, row.id);
    let command = Command::RetryInvitation { account, professional, invitation, address: None, new };
    // One effect for each invitation of one request.
    let key = asked.request.key.map(|key| RequestKey(Uuid::new_v5(&key.0, invitation.0.as_bytes())));
    let request = Request { key, ..asked.request.clone() };
    let executed = api.store.execute(command, asked.by.caller.clone(), request).await?;
    Ok(executed.position)
}

/// Reads a time of a query or a body.
pub(crate) fn time(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let invalid = || Problem::invalid("time_invalid", "A time is not in the form of RFC 3339.");
    text.map(|text| Timestamp::parse(text).map_err(|_| invalid())).transpose()
}

/// A mail that came back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportBounce {
    /// The mail's Message-ID, with or without angle brackets.
    #[schema(example = "6f2c2a5e-6c1f-5b8f-9a53-0d7a4e0f1b11@mail.vendor.example")]
    pub message_id: String,
    /// The address that it was for.
    #[schema(example = "robin.rivers@harbour.example")]
    pub recipient: String,
    /// The enhanced status code (RFC 3463), if it was told.
    #[schema(example = "5.1.1")]
    pub status: Option<String>,
    /// What the server told.
    pub diagnosis: Option<String>,
}

/// A bounce that was recorded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportedBounce {
    /// The mail.
    #[schema(value_type = Uuid)]
    pub mail: MailId,
}

/// Report a bounce
///
/// Needs the scope `operator`, `support` or `back_office`. A mail that had been taken over came back: recorded once for
/// each mail. The invitation stays valid; administrators and operators see it.
#[utoipa::path(post, path = "/v1/mail-bounces", tag = "invitations", request_body = ReportBounce, params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Recorded", body = Done<ReportedBounce>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn report_bounce(
    State(api): State<Api>,
    asked: Asked<ReportBounce>,
) -> Result<Done<ReportedBounce>, Problem> {
    asked.by.staff(REPORTERS)?;
    let body = &asked.body;
    let id = body.message_id.trim().trim_start_matches('<').split('@').next().unwrap_or_default();
    let mail: MailId = id.parse().map_err(|_| Refusal::UnknownMail)?;
    if body.status.as_deref().is_some_and(|status| !is_status(status)) {
        return Err(Problem::invalid("bounce_status_invalid", "An enhanced status code has the form 5.1.1."));
    }
    let reply: String = body.diagnosis.as_deref().unwrap_or_default().chars().take(DIAGNOSIS_CHARS_MAX).collect();
    for row in api.views.professionals_of_address(&address(&body.recipient)?.key(), BOUNCED_MAX).await? {
        let (status, reply) = (body.status.clone(), reply.clone());
        let command = Command::RecordBounce { account: row.account, professional: row.id, mail, status, reply };
        match api.execute(command, asked.by.caller.clone(), asked.request.clone()).await {
            Ok((executed, shown)) => return Ok(Done::new(ReportedBounce { mail }, &executed, shown)),
            Err(ExecuteError::Refused(Refusal::UnknownMail)) => {} // of another profile with this address
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::UnknownMail.into())
}

/// `class.subject.detail` (RFC 3463).
fn is_status(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}
