//! Who may do what in an account (R6, R22), decided on the state that the append extends.

use crate::account::Account;
use crate::caller::{Actor, Caller, Context};
use crate::ids::{AccountId, ProfessionalId};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::words::{Authority, Scope};

/// Checks that the caller has one of these scopes.
///
/// # Errors
/// It has none of them.
pub fn need_scope(caller: &Caller, scopes: &[Scope]) -> Result<(), Refusal> {
    if caller.has_any(scopes) { Ok(()) } else { Err(Refusal::ScopeMissing) }
}

/// What a decision about an account looks at: the account, the partner that the caller acts for, and who asks when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// The account's id, whether it was opened or not.
    pub id: AccountId,
    /// The account.
    pub account: &'a Account,
    /// The partner account that the caller says to act for.
    pub partner: Option<(AccountId, &'a Account)>,
    /// Who asks, and when.
    pub context: &'a Context,
}

impl Scene<'_> {
    /// The one time of the command.
    pub fn now(&self) -> Timestamp {
        self.context.now
    }

    /// The partner on whose behalf something is done with this authority.
    pub fn partner_of(&self, by: Authority) -> Option<AccountId> {
        self.partner.map(|(partner, _)| partner).filter(|_| by == Authority::Partner)
    }

    /// Checks that the account takes commands (R7), once the caller may know of it.
    pub fn need_open(&self) -> Result<(), Refusal> {
        match (self.account.id, self.account.standing.is_closed) {
            (None, _) => Err(Refusal::UnknownAccount),
            (Some(_), true) => Err(Refusal::AccountClosed),
            (Some(_), false) => Ok(()),
        }
    }

    /// Checks that the caller has one of these scopes, and that the account takes commands.
    pub fn need_staff(&self, scopes: &[Scope]) -> Result<(), Refusal> {
        need_scope(&self.context.caller, scopes)?;
        self.need_open()
    }

    /// Finds with what right the caller may manage the account's people.
    ///
    /// # Errors
    /// The account is unknown to the caller or closed, or the caller is in it without being an administrator.
    pub fn manage(&self, scopes: &[Scope]) -> Result<Authority, Refusal> {
        let (account, caller) = (self.account, &self.context.caller);
        let is_known = account.id.is_some();
        let profile = profile_of(account, caller);
        let by = match profile {
            Ok(Some(profile)) if account.standing.administrators.contains(&profile) => Authority::Administrator,
            _ if self.is_serving_partner() => Authority::Partner,
            _ if is_known && caller.has_any(scopes) => Authority::Staff,
            Err(refusal) => return Err(refusal),
            Ok(Some(_)) => return Err(Refusal::NotAdministrator),
            // Whether there is such an account is not for keys without the scope.
            Ok(None) if !caller.scopes.is_empty() && !caller.has_any(scopes) => return Err(Refusal::ScopeMissing),
            Ok(None) => return Err(Refusal::UnknownAccount),
        };
        self.need_open().map(|()| by)
    }

    /// The same for one professional: the person itself may, too; an administrator who has had an identity is out of
    /// the reach of partners and staff (R6).
    ///
    /// # Errors
    /// As [`Scene::manage`], or nobody of that id lives in the account.
    pub fn manage_professional(&self, scopes: &[Scope], about: ProfessionalId) -> Result<Authority, Refusal> {
        let is_oneself = profile_of(self.account, &self.context.caller) == Ok(Some(about));
        let by = match self.manage(scopes) {
            Err(Refusal::NotAdministrator) if is_oneself => {
                self.need_open()?;
                Authority::Oneself
            }
            other => other?,
        };
        self.account.professional(about)?;
        if is_outsider(by) && self.is_settled_administrator(about) {
            return Err(Refusal::AdministratorOutOfReach);
        }
        Ok(by)
    }

    /// Whether the professional is an administrator who has, or had, an identity.
    pub fn is_settled_administrator(&self, id: ProfessionalId) -> bool {
        let is_settled = self.account.professionals.get(&id).is_some_and(|found| found.has_had_identity());
        is_settled && self.account.standing.administrators.contains(&id)
    }

    /// R22: whether the caller administers the partner that it says to act for, and that partner serves the account now.
    fn is_serving_partner(&self) -> bool {
        let Some((id, partner)) = self.partner else { return false };
        if !self.account.partners.contains(&id) || !partner.is_open() {
            return false;
        }
        matches!(profile_of(partner, &self.context.caller),
            Ok(Some(profile)) if partner.standing.administrators.contains(&profile))
    }
}

/// Whether somebody acts from outside the account.
pub(crate) const fn is_outsider(by: Authority) -> bool {
    matches!(by, Authority::Staff | Authority::Partner)
}

/// The profile that the caller acts as in the account; none where it has none.
///
/// # Errors
/// It has one, but said that it acts as another.
pub(crate) fn profile_of(account: &Account, caller: &Caller) -> Result<Option<ProfessionalId>, Refusal> {
    let Actor::Identity(identity) = &caller.actor else { return Ok(None) };
    let profile = account.by_identity.get(identity).copied();
    match caller.acting_as {
        Some(acting_as) if profile.is_some_and(|profile| profile != acting_as) => Err(Refusal::NotYourProfile),
        _ => Ok(profile),
    }
}
