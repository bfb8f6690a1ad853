//! Accounts and professionals as they were (`?as_of=`): the views' own `apply` over the log up to then.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::ids::{AccountId, ProfessionalId};
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::time::Timestamp;
use projections::accounts::Accounts;
use projections::as_of::{self, Moment};
use projections::professionals::Professionals;
use serde::Deserialize;
use utoipa::IntoParams;

use super::accounts::Account;
use super::history::{READERS, check_reader};
use super::professionals::Professional;
use crate::asked::Authenticated;
use crate::problem::Problem;
use crate::state::Api;

/// When a resource is looked at.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AsOfQuery {
    /// A time in the past (RFC 3339) or a position of the log: shows what was shown then, except what was erased since.
    /// For those who may read the account's history.
    #[param(example = "2026-01-31T12:00:00Z")]
    pub as_of: Option<String>,
}

/// Shows an account as it was.
///
/// # Errors
/// The caller may not read the account's history, the account was not there yet, or `as_of` is no moment of the past.
pub async fn account(api: &Api, by: &Authenticated, account: AccountId, as_of: &str) -> Result<Response, Problem> {
    check_reader(api, account, by.person_or(READERS)?).await?;
    let (moment, at) = moment(api, as_of).await?;
    let row = as_of::read::<Accounts>(&api.store, &Subject::Account(account), &account.to_string(), moment).await?;
    let row = row.ok_or(Refusal::UnknownAccount)?;
    Ok(Json(Account::from_row(&row, at)).into_response())
}

/// Shows a professional as it was.
///
/// # Errors
/// The caller may not read the account's history, the professional was not there then, or `as_of` is no moment of the past.
pub async fn professional(
    api: &Api,
    by: &Authenticated,
    account: AccountId,
    professional: ProfessionalId,
    as_of: &str,
) -> Result<Response, Problem> {
    check_reader(api, account, by.person_or(READERS)?).await?;
    let (moment, _) = moment(api, as_of).await?;
    let (subject, key) = (Subject::Account(account), professional.to_string());
    let row = as_of::read::<Professionals>(&api.store, &subject, &key, moment).await?;
    let row = row.filter(|row| row.deleted_at.is_none()).ok_or(Refusal::UnknownProfessional)?;
    Ok(Json(Professional::from_row(&row)).into_response())
}

/// The moment, and the time at which what depends on time is taken. What is to come is not known, so it is refused.
async fn moment(api: &Api, text: &str) -> Result<(Moment, Timestamp), Problem> {
    let invalid = || {
        let title = "as_of is a time of the past in the form of RFC 3339, or a position that the log has reached.";
        Problem::invalid("as_of_invalid", title)
    };
    let moment: Moment = text.parse().map_err(|_| invalid())?;
    let at = match moment {
        Moment::Time(at) if at <= api.store.clock().now() => at,
        Moment::Time(_) => return Err(invalid()),
        Moment::Position(0) => Timestamp::default(), // nothing was there to depend on time
        Moment::Position(position) => {
            let events = api.store.page(position - 1, 1).await?;
            events.first().ok_or_else(invalid)?.recorded_at
        }
    };
    Ok((moment, at))
}
