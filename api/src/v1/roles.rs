//! Roles: give, which moves a mandatory one, and take away.

use axum::extract::State;
use domain::command::Command;
use domain::ids::{AccountId, ProfessionalId};
use domain::words::Role;
use projections::Reader;

use super::Done;
use super::professionals::{ChangedProfessional, Warning};
use crate::asked::{Asked, InPath, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// Give a role
///
/// For administrators of the account, partners who serve it, support and the back office. A mandatory contact role moves
/// from whoever holds it. Where an administrator has an identity, partners and support appoint another instead.
#[utoipa::path(put, path = "/v1/accounts/{account}/roles/{role}/{professional}", tag = "professionals",
    params(("account" = uuid::Uuid, Path,),
        ("role" = String, Path, description = "`administrator`, `billing_contact`, `customer_care_contact` or `shipping_contact`"),
        ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "The person has the role", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn give(
    State(api): State<Api>,
    InPath((account, role, professional)): InPath<(AccountId, Role, ProfessionalId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let command = Command::GiveRole { account, professional, role };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let mut changed = ChangedProfessional::new(professional, &executed);
    if role == Role::Administrator {
        changed.warnings = warnings(&api, account, Some(professional)).await?;
    }
    Ok(Done::new(changed, &executed, shown))
}

/// Take a role away
///
/// For administrators of the account, partners who serve it, support and the back office. The last administrator keeps
/// the role, and a mandatory contact role only moves.
#[utoipa::path(delete, path = "/v1/accounts/{account}/roles/{role}/{professional}", tag = "professionals",
    params(("account" = uuid::Uuid, Path,),
        ("role" = String, Path, description = "`administrator`, `billing_contact`, `customer_care_contact` or `shipping_contact`"),
        ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "The person does not have the role", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn take(
    State(api): State<Api>,
    InPath((account, role, professional)): InPath<(AccountId, Role, ProfessionalId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let command = Command::TakeRole { account, professional, role };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let mut changed = ChangedProfessional::new(professional, &executed);
    if role == Role::Administrator {
        changed.warnings = warnings(&api, account, None).await?;
    }
    Ok(Done::new(changed, &executed, shown))
}

/// What should be known after roles or identities have changed: that a new administrator cannot sign in yet, or that no
/// administrator can.
pub(crate) async fn warnings(
    api: &Api,
    account: AccountId,
    promoted: Option<ProfessionalId>,
) -> Result<Vec<Warning>, Problem> {
    let mut warnings = Vec::new();
    let promoted = match promoted {
        Some(promoted) => api.views.professional(account, promoted, Reader::Staff).await?,
        None => None,
    };
    if promoted.is_some_and(|promoted| promoted.is_administrator() && promoted.identity.is_none()) {
        let message = "This administrator has no identity yet; send an invitation.";
        warnings.push(Warning { code: "administrator_without_identity", message });
    }
    if api.views.linked_administrators(account, 1).await? == 0 {
        let message = "No administrator of the account has an identity, so none can sign in.";
        warnings.push(Warning { code: "no_administrator_with_identity", message });
    }
    Ok(warnings)
}
