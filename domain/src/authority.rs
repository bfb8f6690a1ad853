//! Who may do what in an account (R6), decided on the state that the append extends.

use crate::account::Account;
use crate::caller::{Actor, Caller};
use crate::ids::ProfessionalId;
use crate::refusal::Refusal;
use crate::words::Scope;

/// With what right a caller acts on an account's people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The vendor's support, systems, operators or command line.
    Staff,
    /// An administrator of the account.
    Administrator,
    /// The person itself.
    Oneself,
}

/// Checks that the caller has one of these scopes.
///
/// # Errors
/// It has none of them.
pub fn need_scope(caller: &Caller, scopes: &[Scope]) -> Result<(), Refusal> {
    if caller.has_any(scopes) { Ok(()) } else { Err(Refusal::ScopeMissing) }
}

/// Finds with what right the caller may manage the account's people.
///
/// # Errors
/// The account is unknown to the caller, or it is in it without being an administrator.
pub fn manage(account: &Account, caller: &Caller, scopes: &[Scope]) -> Result<Authority, Refusal> {
    match profile_of(account, caller)? {
        Some(profile) if account.standing.administrators.contains(&profile) => Ok(Authority::Administrator),
        Some(_) => Err(Refusal::NotAdministrator),
        None if account.is_open() && caller.has_any(scopes) => Ok(Authority::Staff),
        None if caller.scopes.is_empty() || !account.is_open() => Err(Refusal::UnknownAccount),
        None => Err(Refusal::ScopeMissing),
    }
}

/// The same for one professional: the person itself may, too; an administrator with an identity is out of staff's
/// reach (R6).
///
/// # Errors
/// As [`manage`], or nobody of that id is in the account.
pub fn manage_professional(
    account: &Account,
    caller: &Caller,
    scopes: &[Scope],
    about: ProfessionalId,
) -> Result<Authority, Refusal> {
    let is_oneself = profile_of(account, caller)? == Some(about);
    let authority = match manage(account, caller, scopes) {
        Err(Refusal::NotAdministrator) if is_oneself => Authority::Oneself,
        other => other?,
    };
    let professional = account.professional(about)?;
    let is_administrator = account.standing.administrators.contains(&about);
    if authority == Authority::Staff && is_administrator && professional.has_had_identity() {
        return Err(Refusal::AdministratorOutOfReach);
    }
    Ok(authority)
}

/// The caller's own profile in the account.
fn profile_of(account: &Account, caller: &Caller) -> Result<Option<ProfessionalId>, Refusal> {
    let Actor::Identity(identity) = &caller.actor else { return Ok(None) };
    let profile = account.by_identity.get(identity).copied();
    match caller.acting_as {
        Some(acting_as) if profile.is_some_and(|profile| profile != acting_as) => Err(Refusal::NotYourProfile),
        _ => Ok(profile),
    }
}
