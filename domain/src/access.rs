//! Decisions about people who come by themselves: the association page (R13, R14) and wishes to be added (R23).

use crate::address::AddressKey;
use crate::authority::Scene;
use crate::command::NewLink;
use crate::event::{AccessRequestApproved, AccessRequestDeclined, AccessRequested, Event};
use crate::ids::{AccessRequestId, IdentityId, ProfessionalId};
use crate::invitation::{self, Lifetime, Link};
use crate::people::{self, NewPerson};
use crate::refusal::Refusal;
use crate::time::Millis;
use crate::words::Authority;

/// How long a link that was asked for on the association page works (rules.md, expiry).
pub const ASSOCIATION_LIFETIME: Lifetime = Lifetime::of(Millis::hours(24));
/// Open access requests of one account; more are answered alike and not kept, so that nobody fills the log.
pub const ACCESS_REQUESTS_MAX: usize = 100;

/// R13: mails one profile, if it still has the address, is not linked to the identity, and may be invited. Nothing of
/// it shows to the caller, so what stands in the way is no refusal.
pub(crate) fn invite(
    scene: &Scene<'_>,
    id: ProfessionalId,
    identity: IdentityId,
    address: &AddressKey,
    new: &NewLink,
) -> Result<Vec<Event>, Refusal> {
    let account = scene.account;
    let found = account.professionals.get(&id).filter(|found| found.address_key().as_ref() == Some(address));
    let has_profile = account.by_identity.contains_key(&identity);
    if found.is_none() || has_profile || !account.is_open() || !account.may_invite(scene.now()) {
        return Ok(vec![]);
    }
    let open = account.open_invitations(id).find(|(_, invitation)| invitation.bound_to == Some(identity));
    let (invitation, generation) = match open {
        Some((open, invitation)) => (open, invitation.generation + 1),
        None if account.invitations.contains_key(&new.invitation) => return Err(Refusal::IdInUse),
        None => (new.invitation, 1),
    };
    let right =
        invitation::Right { by: Authority::Association, partner: None, bound_to: Some(identity), may_replace: false };
    invitation::issue(scene, Link { account: scene.id, invitation, generation }, id, new, right)
}

/// R23: keeps a wish to be added. Whoever has a profile or an open wish there changes nothing.
pub(crate) fn request(scene: &Scene<'_>, requested: AccessRequested) -> Result<Vec<Event>, Refusal> {
    scene.need_open()?;
    let account = scene.account;
    if account.access_requests.contains_key(&requested.access_request) {
        return Err(Refusal::IdInUse);
    }
    let has_asked = account.access_requests.values().any(|other| other.identity == requested.identity);
    let has_profile = account.by_identity.contains_key(&requested.identity);
    if has_asked || has_profile || account.access_requests.len() >= ACCESS_REQUESTS_MAX {
        return Ok(vec![]);
    }
    Ok(vec![requested.into()])
}

/// R23: adds and invites whoever asked.
pub(crate) fn approve(
    scene: &Scene<'_>,
    id: AccessRequestId,
    professional: ProfessionalId,
    new: &NewLink,
) -> Result<Vec<Event>, Refusal> {
    scene.manage(people::STAFF)?;
    let found = scene.account.access_requests.get(&id).ok_or(Refusal::UnknownAccessRequest)?;
    let details = found.details.as_ref().ok_or(Refusal::AccessRequestErased)?;
    let person = NewPerson { professional, details, language: found.language, invitation: Some(new) };
    let mut events = people::add(scene, &person)?;
    events.push(AccessRequestApproved { account: scene.id, professional, access_request: id }.into());
    Ok(events)
}

/// R23: turns a wish down.
pub(crate) fn decline(scene: &Scene<'_>, id: AccessRequestId) -> Result<Vec<Event>, Refusal> {
    scene.manage(people::STAFF)?;
    if !scene.account.access_requests.contains_key(&id) {
        return Err(Refusal::UnknownAccessRequest);
    }
    Ok(vec![AccessRequestDeclined { account: scene.id, access_request: id }.into()])
}
