//! Decisions about accounts and their people: open, entitle, add.

use crate::account::Account;
use crate::authority::{self, Authority};
use crate::caller::Context;
use crate::command::NewLink;
use crate::event::{AccountOpened, Event, ProfessionalAdded, RoleGiven, ServicePlan, ServicePlanSet};
use crate::ids::{AccountId, ProfessionalId};
use crate::invitation::{self, Link};
use crate::personal::ProfessionalDetails;
use crate::refusal::Refusal;
use crate::words::{AccountKind, Language, Role, Scope};

/// Who may open accounts and set their plans.
const BACK_OFFICE: &[Scope] = &[Scope::BackOffice];
/// Who may add people beside the account's administrators.
const ADDERS: &[Scope] = &[Scope::Support, Scope::BackOffice];

/// A customer number opens one account.
pub(crate) fn open(
    owner: Option<AccountId>,
    account: &Account,
    opened: AccountOpened,
    context: &Context,
) -> Result<Vec<Event>, Refusal> {
    authority::need_scope(&context.caller, BACK_OFFICE)?;
    if owner.is_some() {
        return Err(Refusal::CustomerNumberTaken);
    }
    if account.is_open() {
        return Err(Refusal::IdInUse);
    }
    Ok(vec![opened.into()])
}

/// Sets the entitlement of a customer account; the plan that it has already changes nothing.
pub(crate) fn set_plan(
    account: &Account,
    id: AccountId,
    plan: Option<&ServicePlan>,
    context: &Context,
) -> Result<Vec<Event>, Refusal> {
    authority::need_scope(&context.caller, BACK_OFFICE)?;
    if !account.is_open() {
        return Err(Refusal::UnknownAccount);
    }
    if account.kind == Some(AccountKind::Partner) {
        return Err(Refusal::PlanNotForPartners);
    }
    if plan.is_some_and(|plan| plan.ends_at <= plan.starts_at) {
        return Err(Refusal::PlanEndsBeforeItStarts);
    }
    if account.plan.as_ref() == plan {
        return Ok(vec![]);
    }
    Ok(vec![ServicePlanSet { account: id, plan: plan.cloned() }.into()])
}

/// R1, R2, R8: adds a person; the first one becomes administrator and holds the mandatory roles.
pub(crate) fn add(
    account: &Account,
    id: AccountId,
    professional: ProfessionalId,
    details: &ProfessionalDetails,
    language: Language,
    new: Option<&NewLink>,
    context: &Context,
) -> Result<Vec<Event>, Refusal> {
    let by = authority::manage(account, &context.caller, ADDERS)?;
    if account.professionals.contains_key(&professional) {
        return Err(Refusal::IdInUse);
    }
    if let Some(other) = account.by_address.get(&details.address.key()) {
        return Err(Refusal::address_already_in_account(*other));
    }
    let mut events =
        vec![ProfessionalAdded { account: id, professional, language, details: Some(details.clone()) }.into()];
    if account.standing.people == 0 {
        let roles = [Role::Administrator].into_iter().chain(Role::MANDATORY);
        events.extend(roles.map(|role| RoleGiven { account: id, professional, role, from: None }.into()));
    }
    if let Some(new) = new {
        if account.invitations.contains_key(&new.invitation) {
            return Err(Refusal::IdInUse);
        }
        let link = Link { account: id, invitation: new.invitation, generation: 1 };
        let may_replace = matches!(by, Authority::Staff | Authority::Administrator);
        events.extend(invitation::issue(account, link, professional, new, may_replace, context.now)?);
    }
    Ok(events)
}
