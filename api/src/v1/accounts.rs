//! Accounts: open, read, rename, close, set the service plan and the partners.

use axum::extract::State;
use axum::response::Response;
use domain::command::Command;
use domain::event::{Event, ServicePlan};
use domain::ids::AccountId;
use domain::name::{AccountName, CustomerNumber};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use domain::words::{AccountKind, Scope};
use projections::accounts::AccountRow;
use serde::{Deserialize, Serialize};
use store::random;
use utoipa::ToSchema;

use super::as_of::{self, AsOfQuery};
use super::{Done, created, with_etag};
use crate::asked::{Asked, Authenticated, InPath, InQuery, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// Who may read every account.
pub(crate) const READERS: &[Scope] = &[Scope::BackOffice, Scope::Support, Scope::Operator, Scope::Auditor];

/// A service plan.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name, 1 to 80 characters.
    #[schema(example = "Enhancement Plan")]
    pub name: String,
    /// Its first moment (RFC 3339).
    #[schema(example = "2026-01-01T00:00:00Z", format = DateTime)]
    pub starts_at: String,
    /// The first moment after it (RFC 3339).
    #[schema(example = "2027-01-01T00:00:00Z", format = DateTime)]
    pub ends_at: String,
}

impl Plan {
    pub(crate) fn from_domain(plan: &ServicePlan) -> Self {
        Self { name: plan.name.to_string(), starts_at: plan.starts_at.to_string(), ends_at: plan.ends_at.to_string() }
    }

    fn parse(&self) -> Result<ServicePlan, Problem> {
        let time = |text: &str| {
            Timestamp::parse(text)
                .map_err(|_| Problem::invalid("time_invalid", "A time is not in the form of RFC 3339."))
        };
        Ok(ServicePlan {
            name: account_name(&self.name)?,
            starts_at: time(&self.starts_at)?,
            ends_at: time(&self.ends_at)?,
        })
    }
}

/// What opens an account.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAccount {
    /// The vendor's number for it: 3 to 32 letters, digits and hyphens.
    #[schema(example = "C-1001")]
    pub customer_number: String,
    /// `customer` or `partner`.
    #[schema(value_type = String, example = "customer")]
    pub kind: AccountKind,
    /// The organisation's name, 1 to 80 characters.
    #[schema(example = "Harbour Lights Bakery")]
    pub name: String,
}

/// An account that was opened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OpenedAccount {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
}

/// An account.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Account {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AccountId,
    /// The vendor's number for it.
    pub customer_number: String,
    /// `customer` or `partner`.
    #[schema(value_type = String)]
    pub kind: AccountKind,
    /// The organisation's name.
    pub name: String,
    /// Its service plan, current or not.
    pub service_plan: Option<Plan>,
    /// Whether its people may enter their portal as far as the plan goes.
    pub plan_allows_entry: bool,
    /// The partners that serve it.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub partners: Vec<AccountId>,
    /// When it was opened (RFC 3339).
    pub opened_at: String,
    /// When it was closed (RFC 3339); null while it is open.
    pub closed_at: Option<String>,
}

impl Account {
    pub(crate) fn from_row(row: &AccountRow, now: Timestamp) -> Self {
        Self {
            id: row.id,
            customer_number: row.customer_number.to_string(),
            kind: row.kind,
            name: row.name.to_string(),
            service_plan: row.plan.as_ref().map(Plan::from_domain),
            plan_allows_entry: row.plan_allows_entry(now),
            partners: row.partners.iter().copied().collect(),
            opened_at: row.opened_at.to_string(),
            closed_at: row.closed_at.map(|at| at.to_string()),
        }
    }
}

/// Open an account
///
/// A customer number opens one account. Needs the scope `back_office`.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = OpenAccount,
    params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 201, description = "Opened", body = Done<OpenedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn open(State(api): State<Api>, asked: Asked<OpenAccount>) -> Result<Response, Problem> {
    let command = Command::OpenAccount {
        account: AccountId(random::uuid()),
        customer_number: CustomerNumber::parse(&asked.body.customer_number)
            .map_err(|error| Problem::invalid(error.code(), sentence(&error)))?,
        kind: asked.body.kind,
        name: account_name(&asked.body.name)?,
    };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let account = executed.events.iter().find_map(|recorded| match &recorded.event {
        Event::AccountOpened(e) => Some(e.account),
        _ => None,
    });
    let account = account.ok_or_else(Problem::unavailable)?;
    Ok(created(&format!("/v1/accounts/{account}"), Done::new(OpenedAccount { account }, &executed, shown)))
}

/// Read an account
///
/// Staff read any account, people those they have a profile in or serve as a partner's administrator.
#[utoipa::path(get, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = uuid::Uuid, Path,), AsOfQuery),
    responses((status = 200, description = "The account", body = Account), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(
    State(api): State<Api>,
    by: Authenticated,
    InPath(account): InPath<AccountId>,
    InQuery(query): InQuery<AsOfQuery>,
) -> Result<Response, Problem> {
    if let Some(as_of) = &query.as_of {
        return as_of::account(&api, &by, account, as_of).await;
    }
    let found = api.views.account(account, by.person_or(READERS)?).await?.ok_or(Refusal::UnknownAccount)?;
    Ok(with_etag(found.changed_by, Account::from_row(&found, api.store.clock().now())))
}

/// The plan to set; `null` ends the entitlement.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetServicePlan {
    /// The plan. Leaving it out is refused, so that no slip ends an entitlement.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    pub service_plan: Option<Plan>,
}

/// An account that was changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangedAccount {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
}

/// Set the service plan
///
/// Needs the scope `back_office`. Inviting to a customer account, and its links, need a current plan.
#[utoipa::path(put, path = "/v1/accounts/{account}/service-plan", tag = "accounts", request_body = SetServicePlan,
    params(("account" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Set", body = Done<ChangedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn set_service_plan(
    State(api): State<Api>,
    InPath(account): InPath<AccountId>,
    asked: Asked<SetServicePlan>,
) -> Result<Done<ChangedAccount>, Problem> {
    let plan = asked.body.service_plan.as_ref().map(Plan::parse).transpose()?;
    let command = Command::SetServicePlan { account, plan };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAccount { account }, &executed, shown))
}

/// The account's new name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameAccount {
    /// The organisation's name, 1 to 80 characters.
    #[schema(example = "Harbour Lights Trading")]
    pub name: String,
}

/// Rename an account
///
/// Needs the scope `back_office` or `support`.
#[utoipa::path(patch, path = "/v1/accounts/{account}", tag = "accounts", request_body = RenameAccount,
    params(("account" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Renamed", body = Done<ChangedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn rename(
    State(api): State<Api>,
    InPath(account): InPath<AccountId>,
    asked: Asked<RenameAccount>,
) -> Result<Done<ChangedAccount>, Problem> {
    let command = Command::RenameAccount { account, name: account_name(&asked.body.name)? };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAccount { account }, &executed, shown))
}

/// Close an account
///
/// Needs the scope `support`. Open invitations, access requests and appointments end with it; nothing but erasure happens
/// in it any more.
#[utoipa::path(post, path = "/v1/accounts/{account}/close", tag = "accounts",
    params(("account" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Closed", body = Done<ChangedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn close(
    State(api): State<Api>,
    InPath(account): InPath<AccountId>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedAccount>, Problem> {
    let (executed, shown) = api.execute(Command::CloseAccount { account }, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAccount { account }, &executed, shown))
}

/// Let a partner serve an account
///
/// Needs the scope `back_office` or `support`. The partner's administrators then add, edit and invite people there.
#[utoipa::path(put, path = "/v1/accounts/{account}/partners/{partner}", tag = "accounts",
    params(("account" = uuid::Uuid, Path,), ("partner" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "It serves the account", body = Done<ChangedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn assign_partner(
    State(api): State<Api>,
    InPath((account, partner)): InPath<(AccountId, AccountId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedAccount>, Problem> {
    let command = Command::AssignPartner { account, partner };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAccount { account }, &executed, shown))
}

/// End a partner's service
///
/// Needs the scope `back_office` or `support`. The partner's open invitations there are revoked; whom it added stays.
#[utoipa::path(delete, path = "/v1/accounts/{account}/partners/{partner}", tag = "accounts",
    params(("account" = uuid::Uuid, Path,), ("partner" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "It serves the account no longer", body = Done<ChangedAccount>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn remove_partner(
    State(api): State<Api>,
    InPath((account, partner)): InPath<(AccountId, AccountId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedAccount>, Problem> {
    let command = Command::RemovePartner { account, partner };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAccount { account }, &executed, shown))
}

pub(crate) fn account_name(text: &str) -> Result<AccountName, Problem> {
    AccountName::parse(text).map_err(|error| Problem::invalid(error.code(), sentence(&error)))
}

/// A parse error as a sentence for people.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => text,
    }
}
