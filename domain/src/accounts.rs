//! Decisions about accounts: open, rename, close, entitle, and the partners that serve them.

use crate::account::InvitationStatus;
use crate::account::{Account, Invitation};
use crate::authority::{self, Scene};
use crate::caller::Context;
use crate::event::{
    AccessRequestDeclined, AccountClosed, AccountOpened, AccountRenamed, Event, PartnerAssigned, PartnerRemoved,
    RevocationReason, ServicePlan, ServicePlanSet,
};
use crate::ids::AccountId;
use crate::name::AccountName;
use crate::people;
use crate::refusal::Refusal;
use crate::words::{AccountKind, Scope};

/// Who may open accounts and set their plans.
const BACK_OFFICE: &[Scope] = &[Scope::BackOffice];
/// Who may rename accounts and say which partners serve them.
const STAFF: &[Scope] = &[Scope::BackOffice, Scope::Support];
/// Who may close accounts.
const CLOSERS: &[Scope] = &[Scope::Support];

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
    if account.id.is_some() {
        return Err(Refusal::IdInUse);
    }
    Ok(vec![opened.into()])
}

/// Gives the account another name; the one that it has changes nothing.
pub(crate) fn rename(scene: &Scene<'_>, name: &AccountName) -> Result<Vec<Event>, Refusal> {
    scene.need_staff(STAFF)?;
    if scene.account.name.as_ref() == Some(name) {
        return Ok(vec![]);
    }
    Ok(vec![AccountRenamed { account: scene.id, name: name.clone() }.into()])
}

/// R7: closes the account. Its open invitations, wishes and appointments end; closing a closed one changes nothing.
pub(crate) fn close(scene: &Scene<'_>) -> Result<Vec<Event>, Refusal> {
    match scene.need_staff(CLOSERS) {
        Err(Refusal::AccountClosed) => return Ok(vec![]),
        other => other?,
    }
    let mut events = revoke_all(scene, RevocationReason::AccountClosed, |_| true);
    events.extend(people::withdraw_appointments(scene, |_| true));
    let mut requests: Vec<_> = scene.account.access_requests.keys().copied().collect();
    requests.sort_unstable();
    let declined = |access_request| AccessRequestDeclined { account: scene.id, access_request }.into();
    events.extend(requests.into_iter().map(declined));
    events.push(AccountClosed { account: scene.id }.into());
    Ok(events)
}

/// Sets the entitlement of a customer account; the plan that it has already changes nothing.
pub(crate) fn set_plan(scene: &Scene<'_>, plan: Option<&ServicePlan>) -> Result<Vec<Event>, Refusal> {
    scene.need_staff(BACK_OFFICE)?;
    if scene.account.kind == Some(AccountKind::Partner) {
        return Err(Refusal::PlanNotForPartners);
    }
    if plan.is_some_and(|plan| plan.ends_at <= plan.starts_at) {
        return Err(Refusal::PlanEndsBeforeItStarts);
    }
    if scene.account.plan.as_ref() == plan {
        return Ok(vec![]);
    }
    Ok(vec![ServicePlanSet { account: scene.id, plan: plan.cloned() }.into()])
}

/// R22: lets a partner serve the account; one that serves it already changes nothing.
pub(crate) fn assign_partner(
    scene: &Scene<'_>,
    partner: AccountId,
    of_partner: &Account,
) -> Result<Vec<Event>, Refusal> {
    scene.need_staff(STAFF)?;
    if of_partner.id.is_none() {
        return Err(Refusal::UnknownAccount);
    }
    let fits = scene.account.kind == Some(AccountKind::Customer)
        && of_partner.kind == Some(AccountKind::Partner)
        && of_partner.is_open();
    if !fits {
        return Err(Refusal::NotAPartner);
    }
    if scene.account.partners.contains(&partner) {
        return Ok(vec![]);
    }
    Ok(vec![PartnerAssigned { account: scene.id, partner }.into()])
}

/// R22: ends a partner's service; its open invitations there are revoked and its appointments withdrawn.
pub(crate) fn remove_partner(scene: &Scene<'_>, partner: AccountId) -> Result<Vec<Event>, Refusal> {
    scene.need_staff(STAFF)?;
    if !scene.account.partners.contains(&partner) {
        return Ok(vec![]);
    }
    let mut events = vec![PartnerRemoved { account: scene.id, partner }.into()];
    events.extend(revoke_all(scene, RevocationReason::PartnerRemoved, |it| it.partner == Some(partner)));
    events.extend(people::withdraw_appointments(scene, |appointment| appointment.partner == Some(partner)));
    Ok(events)
}

/// Revokes those open invitations of the account that the test picks, in order of their ids.
fn revoke_all(scene: &Scene<'_>, reason: RevocationReason, picks: impl Fn(&Invitation) -> bool) -> Vec<Event> {
    let open = scene.account.invitations.iter().filter(|(_, it)| it.status == InvitationStatus::Open && picks(it));
    open.map(|(id, invitation)| people::revoked(scene, *id, invitation, reason)).collect()
}
