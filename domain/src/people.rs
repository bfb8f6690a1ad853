//! Decisions about people: add, edit, delete, hand over, untie, and their roles.

use uuid::Uuid;

use crate::account::{Account, Invitation};
use crate::authority::{Scene, is_outsider};
use crate::command::{Edit, NewLink};
use crate::event::{
    AppointmentEnded, AppointmentOutcome, Event, IdentityUnlinked, InvitationRevoked, Notice, NoticeIssued, NoticeTo,
    ProfessionalAdded, ProfessionalDeleted, ProfessionalEdited, RevocationReason, RoleGiven, RoleTaken,
};
use crate::ids::{InvitationId, MailId, ProfessionalId};
use crate::invitation;
use crate::personal::ProfessionalDetails;
use crate::refusal::{Blocker, Refusal};
use crate::words::{Authority, Language, Role, Scope};

/// Who may manage people beside the account's administrators and partners.
pub(crate) const STAFF: &[Scope] = &[Scope::Support, Scope::BackOffice];

/// A person who is to be added.
pub(crate) struct NewPerson<'a> {
    /// The new profile's id.
    pub professional: ProfessionalId,
    /// Name and address.
    pub details: &'a ProfessionalDetails,
    /// The language of mail to the person.
    pub language: Language,
    /// The invitation to send with it.
    pub invitation: Option<&'a NewLink>,
}

/// R1, R2, R8: adds a person; the first one becomes administrator and holds the mandatory roles.
pub(crate) fn add(scene: &Scene<'_>, person: &NewPerson<'_>) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage(STAFF)?;
    let (account, professional) = (scene.account, person.professional);
    if account.professionals.contains_key(&professional) || account.departed.contains_key(&professional) {
        return Err(Refusal::IdInUse);
    }
    if let Some(other) = account.by_address.get(&person.details.address.key()) {
        return Err(Refusal::address_already_in_account(*other));
    }
    let (language, details) = (person.language, Some(person.details.clone()));
    let mut events = vec![ProfessionalAdded { account: scene.id, professional, language, details }.into()];
    if account.standing.people == 0 {
        let roles = [Role::Administrator].into_iter().chain(Role::MANDATORY);
        events.extend(roles.map(|role| RoleGiven { account: scene.id, professional, role, from: None }.into()));
    }
    if let Some(new) = person.invitation {
        events.extend(invitation::begin(scene, by, professional, new, true)?);
    }
    Ok(events)
}

/// R16: changes name, address or language. Another address revokes the open invitations, and the old one is told.
pub(crate) fn edit(scene: &Scene<'_>, id: ProfessionalId, edit: &Edit) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage_professional(STAFF, id)?;
    edit_by(scene, by, id, edit)
}

/// Edits with an authority that is found already.
pub(crate) fn edit_by(
    scene: &Scene<'_>,
    by: Authority,
    id: ProfessionalId,
    edit: &Edit,
) -> Result<Vec<Event>, Refusal> {
    let found = scene.account.professional(id)?;
    // An erased professional lives no more, so the details are there.
    let (Some(name), Some(address), Some(language)) = (&found.name, &found.address, found.language) else {
        return Err(Refusal::UnknownProfessional);
    };
    let details = ProfessionalDetails {
        name: edit.name.as_ref().unwrap_or(name).clone(),
        address: edit.address.as_ref().unwrap_or(address).clone(),
    };
    let new_language = edit.language.unwrap_or(language);
    let address_changed = details.address.key() != address.key();
    // Else a partner or support would take a seat beside an administrator who is out of their reach (R6, R21).
    let is_administrator = scene.account.standing.administrators.contains(&id);
    if address_changed && is_outsider(by) && is_administrator && scene.account.has_settled_administrator() {
        return Err(Refusal::AdministratorOutOfReach);
    }
    if let Some(other) = scene.account.by_address.get(&details.address.key()).filter(|other| **other != id) {
        return Err(Refusal::address_already_in_account(*other));
    }
    let mut events = Vec::new();
    if (&details.name, &details.address, new_language) != (name, address, language) {
        let (account, details) = (scene.id, Some(details));
        events.push(
            ProfessionalEdited { account, professional: id, language: new_language, address_changed, details }.into(),
        );
    }
    if address_changed {
        events.extend(revoke_open(scene, id, RevocationReason::AddressChanged, |_| true));
        events.extend(withdraw_appointments_of(scene, by, id));
        // One request may edit several people, and each of them is told.
        let mail = MailId::of_notice(Uuid::new_v5(&scene.context.request.id, id.0.as_bytes()), 0);
        let (account, notice, to) = (scene.id, Notice::AddressChanged, NoticeTo::Former);
        let address = Some(address.clone());
        events.push(NoticeIssued { account, professional: id, notice, to, appointment: None, mail, address }.into());
    }
    if let Some(new) = &edit.invitation {
        events.extend(match address_changed {
            true => invitation::begin(scene, by, id, new, invitation::gives_right_to_replace(scene, by))?,
            false => invitation::send_by(scene, by, id, new)?,
        });
    }
    Ok(events)
}

/// R4, R5: deletes a person who is no administrator and holds no mandatory role.
pub(crate) fn delete(scene: &Scene<'_>, id: ProfessionalId) -> Result<Vec<Event>, Refusal> {
    scene.manage(STAFF)?;
    scene.account.professional(id)?;
    check_deletable(scene.account, id)?;
    Ok(departure(scene, id))
}

/// R4, R5: that nothing keeps the person in the account; every blocker comes with the command that resolves it.
pub(crate) fn check_deletable(account: &Account, id: ProfessionalId) -> Result<(), Refusal> {
    let standing = &account.standing;
    let mut blockers = Vec::new();
    let mut block = |code: &'static str, message: String, command: String| {
        blockers.push(Blocker { code, message, professional: Some(id), command: Some(command) });
    };
    if standing.people == 1 {
        let message = "This is the account's last person; support can close the account.".into();
        block("last_professional", message, "POST close".into());
    } else {
        for role in standing.roles_of(id) {
            if role == Role::Administrator && standing.administrators.len() > 1 {
                let message = "An administrator cannot be deleted; take the role away first.".into();
                block("is_administrator", message, format!("DELETE roles/administrator/{id}"));
            } else if role == Role::Administrator {
                let message = "The only administrator cannot be deleted; hand over first.".into();
                block("is_administrator", message, format!("POST professionals/{id}/hand-over"));
            } else {
                let message = format!("The {role} cannot be deleted; give the role to somebody else first.");
                block("holds_mandatory_role", message, format!("PUT roles/{role}/{{another professional}}"));
            }
        }
    }
    if blockers.is_empty() { Ok(()) } else { Err(Refusal::deletion_blocked(blockers)) }
}

/// The events with which a person leaves: invitations, identity and appointments first.
pub(crate) fn departure(scene: &Scene<'_>, id: ProfessionalId) -> Vec<Event> {
    let account = scene.id;
    let mut events = revoke_open(scene, id, RevocationReason::ProfessionalDeleted, |_| true);
    if let Some(identity) = scene.account.professionals.get(&id).and_then(|found| found.identity) {
        events.push(IdentityUnlinked { account, professional: id, identity }.into());
    }
    events.extend(withdraw_appointments(scene, |appointment| appointment.professional == id));
    events.push(ProfessionalDeleted { account, professional: id }.into());
    events
}

/// R21: nobody objected to the person as they were; what outsiders change about them meanwhile ends the appointment.
fn withdraw_appointments_of(scene: &Scene<'_>, by: Authority, id: ProfessionalId) -> Vec<Event> {
    withdraw_appointments(scene, |appointment| is_outsider(by) && appointment.professional == id)
}

/// Gives every role of a person to another and deletes the person, with the events of the single steps.
pub(crate) fn hand_over(scene: &Scene<'_>, from: ProfessionalId, to: ProfessionalId) -> Result<Vec<Event>, Refusal> {
    scene.manage(STAFF)?; // the person alone may not
    let by = scene.manage_professional(STAFF, from)?;
    scene.account.professional(to)?;
    if from == to {
        return Err(Refusal::HandOverToOneself);
    }
    let mut events = Vec::new();
    for role in scene.account.standing.roles_of(from) {
        events.extend(give(scene, by, to, role)?);
        if role == Role::Administrator {
            events.push(RoleTaken { account: scene.id, professional: from, role }.into());
        }
    }
    events.extend(departure(scene, from));
    Ok(events)
}

/// Gives a role. One that the person holds already changes nothing.
pub(crate) fn give_role(scene: &Scene<'_>, id: ProfessionalId, role: Role) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage(STAFF)?;
    give(scene, by, id, role)
}

fn give(scene: &Scene<'_>, by: Authority, id: ProfessionalId, role: Role) -> Result<Vec<Event>, Refusal> {
    scene.account.professional(id)?;
    let standing = &scene.account.standing;
    if role == Role::Administrator {
        if standing.administrators.contains(&id) {
            return Ok(vec![]);
        }
        if is_outsider(by) && scene.account.has_settled_administrator() {
            return Err(Refusal::appointment_needed(id));
        }
        return Ok(promote(scene, id));
    }
    let from = standing.contacts.get(&role).copied();
    if from == Some(id) {
        return Ok(vec![]);
    }
    Ok(vec![RoleGiven { account: scene.id, professional: id, role, from }.into()])
}

/// Makes somebody an administrator. R6: where the person has had an identity, invitations that partners or staff issued
/// would reach an administrator's seat, so they are revoked.
pub(crate) fn promote(scene: &Scene<'_>, id: ProfessionalId) -> Vec<Event> {
    let role = Role::Administrator;
    let mut events = vec![RoleGiven { account: scene.id, professional: id, role, from: None }.into()];
    if scene.account.professionals.get(&id).is_some_and(|found| found.has_had_identity()) {
        let is_outsiders = |it: &Invitation| matches!(it.by, None | Some(Authority::Staff | Authority::Partner));
        events.extend(revoke_open(scene, id, RevocationReason::Promoted, is_outsiders));
    }
    events
}

/// R3: takes the administrator role away; what is not there changes nothing.
pub(crate) fn take_role(scene: &Scene<'_>, id: ProfessionalId, role: Role) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage(STAFF)?;
    scene.account.professional(id)?;
    let standing = &scene.account.standing;
    if role != Role::Administrator {
        let is_holder = standing.contacts.get(&role) == Some(&id);
        return if is_holder { Err(Refusal::mandatory_role_unheld(role)) } else { Ok(vec![]) };
    }
    if !standing.administrators.contains(&id) {
        return Ok(vec![]);
    }
    if is_outsider(by) && scene.is_settled_administrator(id) {
        return Err(Refusal::AdministratorOutOfReach);
    }
    if standing.administrators.len() == 1 {
        return Err(Refusal::last_administrator(Some(id)));
    }
    Ok(vec![RoleTaken { account: scene.id, professional: id, role }.into()])
}

/// Unties a person's identity; where there is none, nothing changes. No open invitation outlives it: whoever shall be
/// linked next is invited anew.
pub(crate) fn unlink(scene: &Scene<'_>, id: ProfessionalId) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage_professional(STAFF, id)?;
    let Some(identity) = scene.account.professional(id)?.identity else { return Ok(vec![]) };
    let mut events = vec![IdentityUnlinked { account: scene.id, professional: id, identity }.into()];
    events.extend(revoke_open(scene, id, RevocationReason::IdentityUnlinked, |_| true));
    events.extend(withdraw_appointments_of(scene, by, id));
    Ok(events)
}

/// Revokes those open invitations of a person that the test picks.
pub(crate) fn revoke_open(
    scene: &Scene<'_>,
    of: ProfessionalId,
    reason: RevocationReason,
    picks: impl Fn(&Invitation) -> bool,
) -> Vec<Event> {
    let open = scene.account.open_invitations(of).filter(|(_, invitation)| picks(invitation));
    open.map(|(id, invitation)| revoked(scene, id, invitation, reason)).collect()
}

/// The event that revokes an invitation.
pub(crate) fn revoked(scene: &Scene<'_>, id: InvitationId, invitation: &Invitation, reason: RevocationReason) -> Event {
    let (account, professional, generation) = (scene.id, invitation.professional, invitation.generation);
    InvitationRevoked { account, professional, invitation: id, generation, reason }.into()
}

/// Withdraws those appointments that have not ended and that the test picks.
pub(crate) fn withdraw_appointments(
    scene: &Scene<'_>,
    picks: impl Fn(&crate::account::Appointment) -> bool,
) -> Vec<Event> {
    let mut found: Vec<_> = scene
        .account
        .appointments
        .iter()
        .filter(|(_, appointment)| appointment.status != crate::account::AppointmentStatus::Ended && picks(appointment))
        .map(|(id, appointment)| (*id, appointment.professional))
        .collect();
    found.sort_unstable();
    let (account, outcome) = (scene.id, AppointmentOutcome::Withdrawn);
    found
        .into_iter()
        .map(|(appointment, professional)| AppointmentEnded { account, professional, appointment, outcome }.into())
        .collect()
}
