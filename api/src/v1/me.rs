//! The signed-in person: the identity and all its profiles.

use axum::Json;
use axum::extract::State;
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use domain::portal::Portals;
use domain::time::Timestamp;
use domain::words::{AccountKind, IdentityKind, Role};
use projections::accounts::AccountRow;
use projections::professionals::ProfessionalRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::Plan;
use crate::asked::Authenticated;
use crate::problem::Problem;
use crate::state::Api;

/// The identity and its profiles.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// The identity's id.
    #[schema(value_type = uuid::Uuid)]
    pub identity: IdentityId,
    /// The configured issuer's short name.
    pub issuer: Option<String>,
    /// `personal` or `organizational`.
    #[schema(value_type = Option<String>)]
    pub kind: Option<IdentityKind>,
    /// The name in the provider's records.
    pub name: Option<String>,
    /// The address in the provider's records.
    pub address: Option<String>,
    /// Every profile, by account name.
    pub profiles: Vec<Profile>,
}

/// Why a profile may not enter now, and what to do about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Barred {
    /// The stable code.
    #[schema(example = "no_service_plan")]
    pub code: &'static str,
    /// One sentence for people.
    pub reason: &'static str,
    /// The next step.
    pub next_step: &'static str,
}

/// One profile of the identity.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Profile {
    /// The profile's id; send it as `Act-As` to act as it.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The person's name there.
    pub name: Option<String>,
    /// The registered address.
    pub address: Option<String>,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
    /// The account's name.
    pub account_name: String,
    /// `customer` or `partner`.
    #[schema(value_type = String)]
    pub account_kind: AccountKind,
    /// The vendor's number for the account.
    pub customer_number: String,
    /// The portal's name.
    pub portal: String,
    /// Where the portal is, if there is a page to send people to.
    pub portal_url: Option<String>,
    /// The roles.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// The account's service plan, current or not.
    pub service_plan: Option<Plan>,
    /// Whether this profile may enter its portal now.
    pub may_enter: bool,
    /// Why not, where it may not.
    pub barred: Option<Barred>,
}

impl Profile {
    pub(crate) fn from_rows(
        professional: &ProfessionalRow,
        account: &AccountRow,
        portals: &Portals,
        now: Timestamp,
    ) -> Self {
        let portal = portals.of(account.kind);
        let may_enter = account.plan_allows_entry(now);
        Self {
            professional: professional.id,
            name: professional.name.clone(),
            address: professional.address.clone(),
            account: account.id,
            account_name: account.name.to_string(),
            account_kind: account.kind,
            customer_number: account.customer_number.to_string(),
            portal: portal.name.clone(),
            portal_url: portal.url.clone(),
            roles: professional.roles.iter().copied().collect(),
            service_plan: account.plan.as_ref().map(Plan::from_domain),
            may_enter,
            barred: (!may_enter).then_some(Barred {
                code: "no_service_plan",
                reason: "The account has no current service plan.",
                next_step: "Ask an administrator of the account, or your partner, to renew the plan.",
            }),
        }
    }
}

/// Who am I, and which profiles are mine
///
/// For a signed-in person's bearer token: the identity and all its profiles, and for each whether it may enter now.
#[utoipa::path(get, path = "/v1/me", tag = "me",
    params(("Act-As" = Option<uuid::Uuid>, Header, description = "One of the identity's profiles")),
    responses((status = 200, description = "The identity", body = Me), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(State(api): State<Api>, by: Authenticated) -> Result<Json<Me>, Problem> {
    let identity = by.person()?;
    let (found, profiles) = (api.views.identity(identity).await?, api.views.profiles(identity).await?);
    let now = api.store.clock().now();
    let portals = &api.settings.portals;
    Ok(Json(Me {
        identity,
        issuer: found.as_ref().map(|found| found.issuer.clone()),
        kind: found.as_ref().map(|found| found.kind),
        name: found.as_ref().and_then(|found| found.name.clone()),
        address: found.as_ref().and_then(|found| found.address.clone()),
        profiles: profiles.iter().map(|(p, account)| Profile::from_rows(p, account, portals, now)).collect(),
    }))
}
