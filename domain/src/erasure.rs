//! The decision to erase a person (R27). The keys are destroyed in the append of these events.

use std::collections::BTreeMap;

use crate::authority::{Scene, need_scope};
use crate::caller::Context;
use crate::decide::Identity;
use crate::event::{CancelReason, Event, IdentityErased, ProfessionalErased};
use crate::ids::{IdentityId, ProfessionalId};
use crate::refusal::Refusal;
use crate::words::Scope;
use crate::{mail, people};

/// Erases a professional, who is deleted first if need be, and those identities that no other profile has.
pub(crate) fn erase(
    scene: &Scene<'_>,
    id: ProfessionalId,
    identities: &BTreeMap<IdentityId, &Identity>,
) -> Result<Vec<Event>, Refusal> {
    match scene.need_staff(&[Scope::Support]) {
        Err(Refusal::AccountClosed) => {} // R7: erasure is still possible
        other => other?,
    }
    let account = scene.account;
    let mut events = Vec::new();
    let own = match (account.professionals.get(&id), account.departed.get(&id)) {
        (Some(living), _) => {
            if account.is_open() {
                people::check_deletable(account, id)?;
            }
            events.extend(people::departure(scene, id));
            &living.identities
        }
        (None, Some(departed)) => &departed.identities,
        (None, None) => return Err(Refusal::UnknownProfessional),
    };
    // Who was erased already may have identities left that were not known then, or had another profile.
    if !account.departed.get(&id).is_some_and(|departed| departed.is_erased) {
        events.extend(mail::cancel_all(scene, id, CancelReason::Erased));
        events.push(professional_erased(scene, id));
    }
    for (identity, state) in identities {
        let others = state.profiles.iter().any(|(_, professional)| *professional != id);
        if own.contains(identity) && state.is_registered && !state.is_erased && !others {
            events.push(identity_erased(*identity, state));
        }
    }
    Ok(events)
}

/// Erases an identity that has no profile; one that was erased already changes nothing.
pub(crate) fn erase_identity(id: IdentityId, state: &Identity, context: &Context) -> Result<Vec<Event>, Refusal> {
    need_scope(&context.caller, &[Scope::Support])?;
    match state {
        Identity { is_registered: false, .. } => Err(Refusal::UnknownIdentity),
        Identity { is_erased: true, .. } => Ok(vec![]),
        Identity { profiles, .. } if !profiles.is_empty() => Err(Refusal::IdentityHasProfiles),
        _ => Ok(vec![identity_erased(id, state)]),
    }
}

fn identity_erased(identity: IdentityId, state: &Identity) -> Event {
    let access_requests = state.access_requests.iter().copied().collect();
    let accounts = state.asked.iter().copied().collect();
    IdentityErased { identity, access_requests, accounts }.into()
}

/// The event that erases the professional, with every invitation and appointment in order of their ids.
fn professional_erased(scene: &Scene<'_>, id: ProfessionalId) -> Event {
    let account = scene.account;
    let invitations =
        account.invitations.iter().filter(|(_, it)| it.professional == id).map(|(invitation, _)| *invitation).collect();
    let mut appointments: Vec<_> = account
        .appointments
        .iter()
        .filter(|(_, it)| it.professional == id)
        .map(|(appointment, _)| *appointment)
        .collect();
    appointments.sort_unstable();
    ProfessionalErased { account: scene.id, professional: id, invitations, appointments }.into()
}
