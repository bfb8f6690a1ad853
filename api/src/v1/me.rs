//! The signed-in person: the identity and all its profiles.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use domain::portal::Portals;
use domain::time::Timestamp;
use domain::words::{AccountKind, IdentityKind, Role};
use projections::accounts::AccountRow;
use projections::professionals::ProfessionalRow;
use serde::{Deserialize, Serialize};
use store::random;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access_requests::Taken;
use super::accounts::Plan;
use super::professionals::address;
use crate::asked::{Asked, Authenticated};
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
    /// The accounts that this profile serves as an administrator of a partner.
    pub serves: Vec<ServedAccount>,
}

/// An account that a partner's administrator serves.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServedAccount {
    /// The account's id.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
    /// The account's name.
    pub account_name: String,
    /// The vendor's number for the account.
    pub customer_number: String,
}

impl ServedAccount {
    fn from_row(row: &AccountRow) -> Self {
        Self { account: row.id, account_name: row.name.to_string(), customer_number: row.customer_number.to_string() }
    }
}

impl Profile {
    pub(crate) fn from_rows(
        professional: &ProfessionalRow,
        account: &AccountRow,
        portals: &Portals,
        now: Timestamp,
    ) -> Self {
        let portal = portals.of(account.kind);
        let barred = barred(account, now);
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
            may_enter: barred.is_none(),
            barred,
            serves: Vec::new(),
        }
    }

    /// Whether there can be accounts that it serves (R22).
    fn may_serve(&self) -> bool {
        self.account_kind == AccountKind::Partner && self.roles.contains(&Role::Administrator)
    }
}

/// R19: what keeps the people of an account from entering its portal now.
pub(crate) fn barred(account: &AccountRow, now: Timestamp) -> Option<Barred> {
    if account.closed_at.is_some() {
        return Some(Barred {
            code: "account_closed",
            reason: "The account is closed.",
            next_step: "Ask support if this is a surprise.",
        });
    }
    (!account.plan_allows_entry(now)).then_some(Barred {
        code: "no_service_plan",
        reason: "The account has no current service plan.",
        next_step: "Ask an administrator of the account, or your partner, to renew the plan.",
    })
}

/// Who am I, and which profiles are mine
///
/// For a signed-in person's bearer token: the identity and all its profiles, and for each whether it may enter now.
#[utoipa::path(get, path = "/v1/me", tag = "me",
    params(("Act-As" = Option<uuid::Uuid>, Header, description = "One of the identity's profiles")),
    responses((status = 200, description = "The identity", body = Me), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(State(api): State<Api>, by: Authenticated) -> Result<Json<Me>, Problem> {
    let identity = by.person()?;
    let (found, profiles) = api.views.identity_with_profiles(identity).await?;
    let now = api.store.clock().now();
    let portals = &api.settings.portals;
    let mut shown: Vec<Profile> =
        profiles.iter().map(|(profile, account)| Profile::from_rows(profile, account, portals, now)).collect();
    // Most people serve nobody, which their profiles tell already.
    if shown.iter().any(Profile::may_serve) {
        for (served, account) in api.views.served_by(identity).await? {
            let servers = shown.iter_mut().filter(|profile| profile.account == served.partner && profile.may_serve());
            servers.for_each(|profile| profile.serves.push(ServedAccount::from_row(&account)));
        }
    }
    Ok(Json(Me {
        identity,
        issuer: found.as_ref().map(|found| found.issuer.clone()),
        kind: found.as_ref().map(|found| found.kind),
        name: found.as_ref().and_then(|found| found.name.clone()),
        address: found.as_ref().and_then(|found| found.address.clone()),
        profiles: shown,
    }))
}

/// The address that the person is known by.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Associate {
    /// The address.
    #[schema(example = "robin.rivers@harbour.example")]
    pub email: String,
}

/// Ask for links by the address one is known by
///
/// For signed-in people. Every profile that is registered with the address gets a mail at that address, with a link that
/// only this identity can use. The answer is the same whatever is found, and beyond the limits, too: an address is mailed
/// 3 times an hour and 10 times a day at most, for an identity 5 times an hour.
#[utoipa::path(post, path = "/v1/me/associations", tag = "me", request_body = Associate,
    params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller, key and address")),
    responses((status = 202, description = "Taken", body = Taken), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn associate(State(api): State<Api>, asked: Asked<Associate>) -> Result<Response, Problem> {
    let identity = asked.by.person()?;
    let address = address(&asked.body.email)?;
    asked.by.register(&api).await?;
    // Nothing is refused here, so a key that comes with another address is another request.
    let id = asked.request.key.map_or_else(random::uuid, |key| Uuid::new_v5(&key.0, address.key().as_str().as_bytes()));
    api.store.request_association(&api.look_up_key, id, identity, &address).await?;
    Ok((StatusCode::ACCEPTED, Json(Taken { taken: true })).into_response())
}
