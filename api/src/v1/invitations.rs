//! Invitations with their delivery: list, read, revoke.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::command::Command;
use domain::event::{Position, RevocationReason};
use domain::ids::{AccountId, InvitationId, ProfessionalId};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use domain::words::{Authority, Scope};
use projections::invitations::{DeliveryState, Filter, InvitationRow, PAGE_MAX, Status};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accounts::READERS;
use super::operations::time;
use super::professionals::Page;
use super::{Done, cut_page, read_cursor, with_etag};
use crate::asked::{Asked, Authenticated, InPath, InQuery, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// Invitations on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 50;
/// Who may revoke invitations beside the account's own people and partners.
const SENDERS: &[Scope] = &[Scope::Operator, Scope::Support, Scope::BackOffice];
/// Who may list invitations of every account.
const LISTERS: &[Scope] = &[Scope::Operator, Scope::Support];

/// How the newest mail of an invitation fares.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// `waiting`, `sending`, `sent`, `deferred`, `unknown`, `refused`, `parked`, `cancelled` or `bounced`.
    #[schema(value_type = String, example = "sent")]
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// The mail server's last code.
    pub code: Option<u16>,
    /// The mail server's last answer.
    pub reply: Option<String>,
    /// In one word why it was parked (`deferred_too_long`, `unknown_too_often`), else the server's code.
    pub reason: Option<String>,
    /// When the next attempt is due (RFC 3339).
    pub retry_at: Option<String>,
    /// When it last changed (RFC 3339).
    pub changed_at: String,
}

/// An invitation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: InvitationId,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
    /// Who is invited.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// Its newest generation.
    pub generation: u32,
    /// `open`, `accepted` or `revoked`.
    #[schema(value_type = String, example = "open")]
    pub status: Status,
    /// Why it was revoked, such as `asked` or `address_changed`.
    #[schema(value_type = Option<String>)]
    pub revoked_for: Option<RevocationReason>,
    /// Whether its newest link has expired.
    pub is_expired: bool,
    /// With what right it was issued: `staff`, `administrator`, `partner`, `oneself` or `association`.
    #[schema(value_type = Option<String>)]
    pub by: Option<Authority>,
    /// Who issued the newest generation.
    #[schema(example = "key:8d5c6a2e-0000-4000-8000-000000000000")]
    pub issued_by: String,
    /// When (RFC 3339).
    pub issued_at: String,
    /// When its newest link stops working (RFC 3339).
    pub expires_at: String,
    /// How often its links were opened; at most 20 for each are recorded, and they may be automatic.
    pub visits: u32,
    /// How often somebody clicked to sign in.
    pub clicks: u32,
    /// How its newest mail fares.
    pub delivery: Delivery,
}

impl Invitation {
    fn from_row(row: &InvitationRow, api: &Api) -> Self {
        Self {
            id: row.id,
            account: row.account,
            professional: row.professional,
            generation: row.generation,
            status: row.status,
            revoked_for: row.revoked_for,
            by: row.by,
            is_expired: row.expires_at <= api.store.clock().now(),
            issued_by: row.issued_by.to_string(),
            issued_at: row.issued_at.to_string(),
            expires_at: row.expires_at.to_string(),
            visits: row.visits,
            clicks: row.clicks,
            delivery: Delivery {
                state: row.delivery.state,
                attempts: row.delivery.attempts,
                code: row.delivery.code,
                reply: row.delivery.reply.clone(),
                reason: row.delivery.reason(),
                retry_at: row.delivery.retry_at.map(|at| at.to_string()),
                changed_at: row.delivery.changed_at.to_string(),
            },
        }
    }
}

/// Which invitations.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InvitationsQuery {
    /// Only those of this account.
    #[param(value_type = Option<uuid::Uuid>)]
    pub account: Option<AccountId>,
    /// Only those whose newest mail is in this state, such as `parked`.
    #[param(value_type = Option<String>)]
    pub delivery: Option<DeliveryState>,
    /// Only those with this reason: the server's code, `deferred_too_long` or `unknown_too_often`.
    pub reason: Option<String>,
    /// Only those whose mail changed at this time or later (RFC 3339).
    pub since: Option<String>,
    /// Only those whose mail changed before this time (RFC 3339).
    pub until: Option<String>,
    /// Where the page begins: the `next` of the one before.
    pub cursor: Option<String>,
    /// How many items at most; 1 to 199.
    pub limit: Option<usize>,
}

/// List invitations
///
/// For operators and support: what was sent, what failed and why; those that changed last come first.
#[utoipa::path(get, path = "/v1/invitations", tag = "invitations", params(InvitationsQuery),
    responses((status = 200, description = "A page", body = Page<Invitation>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn list(
    State(api): State<Api>,
    by: Authenticated,
    InQuery(query): InQuery<InvitationsQuery>,
) -> Result<Json<Page<Invitation>>, Problem> {
    by.staff(LISTERS)?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX - 1);
    let before: Position = read_cursor(query.cursor.as_deref())?.unwrap_or(Position::MAX);
    let filter = Filter {
        account: query.account.map(|account| account.to_string()).unwrap_or_default(),
        delivery: query.delivery.map_or("", DeliveryState::as_str).into(),
        reason: query.reason.unwrap_or_default(),
        since: time(query.since.as_deref())?.unwrap_or(Timestamp(i64::MIN)),
        until: time(query.until.as_deref())?.unwrap_or(Timestamp(i64::MAX)),
    };
    let rows = api.views.invitations(&filter, before, limit + 1).await?;
    let (rows, next) = cut_page(rows, limit, |row| row.position.to_string());
    Ok(Json(Page { items: rows.iter().map(|row| Invitation::from_row(row, &api)).collect(), next }))
}

/// Read an invitation
///
/// For staff and for administrators of its account. No answer of the API ever holds a link.
#[utoipa::path(get, path = "/v1/invitations/{invitation}", tag = "invitations", params(("invitation" = uuid::Uuid, Path,)),
    responses((status = 200, description = "The invitation", body = Invitation), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(
    State(api): State<Api>,
    by: Authenticated,
    InPath(invitation): InPath<InvitationId>,
) -> Result<Response, Problem> {
    let reader = by.person_or(READERS)?;
    let found = api.views.invitation(invitation, reader).await?.ok_or(Refusal::UnknownInvitation)?;
    Ok(with_etag(found.changed_by, Invitation::from_row(&found, &api)))
}

/// An invitation that was revoked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RevokedInvitation {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub invitation: InvitationId,
}

/// Revoke an invitation
///
/// Its link stops working and its mail is not sent any more. Revoking it again changes nothing.
#[utoipa::path(post, path = "/v1/invitations/{invitation}/revoke", tag = "invitations",
    params(("invitation" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Revoked", body = Done<RevokedInvitation>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn revoke(
    State(api): State<Api>,
    InPath(invitation): InPath<InvitationId>,
    asked: Asked<Nothing>,
) -> Result<Done<RevokedInvitation>, Problem> {
    let reader = asked.by.person_or(SENDERS)?;
    let found = api.views.invitation(invitation, reader).await?.ok_or(Refusal::UnknownInvitation)?;
    let command = Command::RevokeInvitation { account: found.account, invitation };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(RevokedInvitation { invitation }, &executed, shown))
}
