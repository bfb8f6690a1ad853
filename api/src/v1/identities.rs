//! Identities: erasing one that has no profile.

use axum::extract::State;
use domain::command::Command;
use domain::ids::IdentityId;
use domain::words::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use super::Done;
use crate::asked::{Asked, InPath, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// An identity that was erased.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErasedIdentity {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub identity: IdentityId,
}

/// Erase an identity
///
/// Needs the scope `support`. For people who signed in or asked to be added and have no profile; what is personal about
/// them is destroyed, and their open access requests end.
#[utoipa::path(post, path = "/v1/identities/{identity}/erase", tag = "professionals",
    params(("identity" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Erased", body = Done<ErasedIdentity>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn erase(
    State(api): State<Api>,
    InPath(identity): InPath<IdentityId>,
    asked: Asked<Nothing>,
) -> Result<Done<ErasedIdentity>, Problem> {
    asked.by.staff(&[Scope::Support])?;
    let command = Command::EraseIdentity { identity };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    super::professionals::clean_files(&api).await;
    Ok(Done::new(ErasedIdentity { identity }, &executed, shown))
}
