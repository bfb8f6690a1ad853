//! Access requests: people ask to be added, and those who can add them approve or decline (R23).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::command::Command;
use domain::ids::{AccessRequestId, AccountId, InvitationId, ProfessionalId};
use domain::name::CustomerNumber;
use domain::personal::ProfessionalDetails;
use domain::refusal::Refusal;
use domain::words::{Language, Scope};
use projections::access_requests::{AccessRequestRow, PAGE_MAX};
use serde::{Deserialize, Serialize};
use store::ExecuteError;
use utoipa::{IntoParams, ToSchema};

use super::accounts::sentence;
use super::professionals::{Page, address, new_link, person_name};
use super::{Done, cut_page, read_cursor};
use crate::asked::{Asked, Authenticated, InPath, InQuery, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// Access requests on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 50;
/// Who may read and answer access requests of every account.
const STAFF: &[Scope] = &[Scope::Support, Scope::BackOffice];

/// An open access request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccessRequest {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AccessRequestId,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
    /// The name to be known by; null once erased.
    pub name: Option<String>,
    /// The address to be known by; null once erased.
    pub address: Option<String>,
    /// The language of mail to the person.
    #[schema(value_type = String, example = "en")]
    pub language: Language,
    /// When it was made (RFC 3339).
    pub requested_at: String,
}

impl AccessRequest {
    fn from_row(row: &AccessRequestRow) -> Self {
        Self {
            id: row.id,
            account: row.account,
            name: row.name.clone(),
            address: row.address.clone(),
            language: row.language,
            requested_at: row.requested_at.to_string(),
        }
    }
}

/// Which access requests.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccessRequestsQuery {
    /// Only those of this account.
    #[param(value_type = Option<uuid::Uuid>)]
    pub account: Option<AccountId>,
    /// Where the page begins: the `next` of the one before.
    pub cursor: Option<String>,
    /// How many items at most; 1 to 199.
    pub limit: Option<usize>,
}

/// List open access requests
///
/// Staff see all, people those of the accounts that they administer or serve.
#[utoipa::path(get, path = "/v1/access-requests", tag = "access requests", params(AccessRequestsQuery),
    responses((status = 200, description = "A page, by id", body = Page<AccessRequest>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn list(
    State(api): State<Api>,
    by: Authenticated,
    InQuery(query): InQuery<AccessRequestsQuery>,
) -> Result<Json<Page<AccessRequest>>, Problem> {
    let reader = by.person_or(STAFF)?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX - 1);
    let after: Option<AccessRequestId> = read_cursor(query.cursor.as_deref())?;
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let account = query.account.map(|account| account.to_string()).unwrap_or_default();
    let rows = api.views.access_requests(&account, reader, &after, limit + 1).await?;
    let (rows, next) = cut_page(rows, limit, |row| row.id.to_string());
    Ok(Json(Page { items: rows.iter().map(AccessRequest::from_row).collect(), next }))
}

/// Who asks to be added, and where.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestAccess {
    /// The vendor's number for the account.
    #[schema(example = "C-1001")]
    pub customer_number: String,
    /// The name to be known by, 1 to 80 characters.
    #[schema(example = "Kim Keel")]
    pub name: String,
    /// The address to be known by; the invitation goes there.
    #[schema(example = "kim.keel@harbour.example")]
    pub address: String,
    /// The language of mail to the person; English if it is left out.
    #[schema(value_type = Option<String>, example = "en")]
    pub language: Option<Language>,
}

/// What was asked for was taken; the answer is the same whatever is known.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Taken {
    /// Always true.
    pub taken: bool,
}

/// Ask to be added to an account
///
/// For signed-in people. The account's administrators and partners see it. The answer does not tell whether there is such
/// an account.
#[utoipa::path(post, path = "/v1/access-requests", tag = "access requests", request_body = RequestAccess,
    params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")), responses((status = 202, description = "Taken", body = Taken), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn ask(State(api): State<Api>, asked: Asked<RequestAccess>) -> Result<Response, Problem> {
    let identity = asked.by.person()?;
    let body = &asked.body;
    let number = CustomerNumber::parse(&body.customer_number)
        .map_err(|error| Problem::invalid(error.code(), sentence(&error)))?;
    let details = ProfessionalDetails { name: person_name(&body.name)?, address: address(&body.address)? };
    // The details are sealed under the identity's key. Registered only for known numbers, `GET /v1/me` would tell them.
    asked.by.register(&api).await?;
    if let Some(account) = api.views.account_of_number(&number).await? {
        let command = Command::RequestAccess {
            account: account.id,
            access_request: AccessRequestId(api.store.fresh_id()),
            identity,
            details,
            language: body.language.unwrap_or(Language::English),
        };
        match api.execute(command, asked.by.caller, asked.request).await {
            Ok(_) => {}
            // Whatever it is, also a key that was used before: an unknown number is never refused.
            Err(ExecuteError::Refused(refusal)) => {
                tracing::info!(account.id = %account.id, code = refusal.code(), "an access request was not kept");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((StatusCode::ACCEPTED, Json(Taken { taken: true })).into_response())
}

/// Who was added for an access request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApprovedAccessRequest {
    /// The request.
    #[schema(value_type = uuid::Uuid)]
    pub access_request: AccessRequestId,
    /// The new profile.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The invitation that is sent.
    #[schema(value_type = uuid::Uuid)]
    pub invitation: InvitationId,
}

/// Approve an access request
///
/// Adds the person and sends an invitation. For administrators of the account, partners who serve it, support and the back
/// office.
#[utoipa::path(post, path = "/v1/access-requests/{access_request}/approve", tag = "access requests",
    params(("access_request" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Added and invited", body = Done<ApprovedAccessRequest>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn approve(
    State(api): State<Api>,
    InPath(access_request): InPath<AccessRequestId>,
    asked: Asked<Nothing>,
) -> Result<Done<ApprovedAccessRequest>, Problem> {
    let account = account_of(&api, &asked, access_request).await?;
    let professional = ProfessionalId(api.store.fresh_id());
    let new = new_link(&api, None)?;
    let command = Command::ApproveAccessRequest { account, access_request, professional, new };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let issued = executed.events.iter().find_map(|recorded| match &recorded.event {
        domain::event::Event::InvitationIssued(e) => Some((e.professional, e.invitation)),
        _ => None,
    });
    let (professional, invitation) = issued.ok_or_else(Problem::unavailable)?;
    Ok(Done::new(ApprovedAccessRequest { access_request, professional, invitation }, &executed, shown))
}

/// An access request that was answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeclinedAccessRequest {
    /// The request.
    #[schema(value_type = uuid::Uuid)]
    pub access_request: AccessRequestId,
}

/// Decline an access request
///
/// For administrators of the account, partners who serve it, support and the back office.
#[utoipa::path(post, path = "/v1/access-requests/{access_request}/decline", tag = "access requests",
    params(("access_request" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Declined", body = Done<DeclinedAccessRequest>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn decline(
    State(api): State<Api>,
    InPath(access_request): InPath<AccessRequestId>,
    asked: Asked<Nothing>,
) -> Result<Done<DeclinedAccessRequest>, Problem> {
    let account = account_of(&api, &asked, access_request).await?;
    let command = Command::DeclineAccessRequest { account, access_request };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(DeclinedAccessRequest { access_request }, &executed, shown))
}

/// The account of a request that the caller may see. A request that this very call answered before is found by its record.
async fn account_of(api: &Api, asked: &Asked<Nothing>, id: AccessRequestId) -> Result<AccountId, Problem> {
    let reader = asked.by.person_or(STAFF)?;
    if let Some(found) = api.views.access_request(id, reader).await? {
        return Ok(found.account);
    }
    let key = asked.request.key.ok_or(Refusal::UnknownAccessRequest)?;
    let events = api.store.events_about(&domain::tag::Subject::Request(key)).await?;
    let account = events.iter().find_map(|recorded| recorded.event.about().account);
    Ok(account.ok_or(Refusal::UnknownAccessRequest)?)
}
