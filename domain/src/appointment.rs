//! Decisions about appointments (R21): how partners and support make a new administrator when the old one has gone.

use std::collections::BTreeSet;

use crate::account::{Appointment, AppointmentStatus};
use crate::authority::Scene;
use crate::command::Verdict;
use crate::decide::SIGN_IN_RECORDED_EVERY;
use crate::event::{
    AppointmentEnded, AppointmentObjected, AppointmentOutcome, AppointmentProposed, Event, Notice, NoticeIssued,
    NoticeTo, RoleTaken,
};
use crate::ids::{AppointmentId, MailId, ProfessionalId};
use crate::people;
use crate::personal::Grounds;
use crate::refusal::Refusal;
use crate::time::Millis;
use crate::words::{Authority, Role, Scope};

/// How long after the last sign-in of an administrator a partner's appointment waits for objections (R21).
pub const ABSENCE: Millis = Millis::days(30);
/// How long administrators can object (R21).
pub const OBJECTION_WINDOW: Millis = Millis::hours(72);

const SUPPORT: &[Scope] = &[Scope::Support];

/// What a partner or support proposes.
pub(crate) struct Proposal<'a> {
    /// The appointment's id.
    pub appointment: AppointmentId,
    /// Who shall become administrator.
    pub professional: ProfessionalId,
    /// Who shall lose the role.
    pub replaces: Option<ProfessionalId>,
    /// Why.
    pub grounds: &'a Grounds,
}

/// Proposes, and carries out at once if support does or no administrator has signed in for [`ABSENCE`].
pub(crate) fn propose(scene: &Scene<'_>, proposal: &Proposal<'_>) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage(SUPPORT)?;
    if by == Authority::Administrator {
        return Err(Refusal::GiveTheRole);
    }
    let (account, id, professional) = (scene.account, proposal.appointment, proposal.professional);
    account.professional(professional)?;
    if account.standing.administrators.contains(&professional) {
        return Err(Refusal::AlreadyAdministrator);
    }
    if proposal.replaces.is_some_and(|replaced| !account.standing.administrators.contains(&replaced)) {
        return Err(Refusal::ReplacedIsNoAdministrator);
    }
    if account.appointments.contains_key(&id) {
        return Err(Refusal::IdInUse);
    }
    let waits = |it: &Appointment| it.status != AppointmentStatus::Ended && it.professional == professional;
    if account.appointments.values().any(waits) {
        return Err(Refusal::AppointmentWaits);
    }
    let waits_for_objections = by == Authority::Partner && was_administrator_seen(scene);
    let window_ends_at = waits_for_objections.then(|| scene.now() + OBJECTION_WINDOW);
    let appointment = Appointment {
        professional,
        replaces: proposal.replaces,
        partner: scene.partner_of(by),
        window_ends_at,
        status: AppointmentStatus::Waiting,
    };
    let proposed = AppointmentProposed {
        account: scene.id,
        professional,
        appointment: id,
        replaces: proposal.replaces,
        partner: appointment.partner,
        window_ends_at,
        grounds: Some(proposal.grounds.clone()),
    };
    let mut events = vec![proposed.into()];
    if waits_for_objections {
        events.extend(tell(scene, id, Notice::AppointmentProposed));
    } else {
        events.extend(carry_out(scene, id, &appointment));
    }
    Ok(events)
}

/// An administrator objects while the window is open; a second objection changes nothing.
pub(crate) fn object(scene: &Scene<'_>, id: AppointmentId) -> Result<Vec<Event>, Refusal> {
    if scene.manage(&[])? != Authority::Administrator {
        return Err(Refusal::NotAdministrator);
    }
    let objector = crate::authority::profile_of(scene.account, &scene.context.caller)?;
    let professional = objector.ok_or(Refusal::NotAdministrator)?;
    let found = appointment(scene, id)?;
    match (found.status, found.window_ends_at) {
        (AppointmentStatus::Objected, _) => Ok(vec![]),
        (AppointmentStatus::Waiting, Some(ends_at)) if scene.now() < ends_at => {
            Ok(vec![AppointmentObjected { account: scene.id, professional, appointment: id }.into()])
        }
        _ => Err(Refusal::AppointmentEnded),
    }
}

/// Support decides an appointment that has not ended. It does not cut a window short: for that it appoints by itself,
/// with grounds of its own.
pub(crate) fn decide(scene: &Scene<'_>, id: AppointmentId, verdict: Verdict) -> Result<Vec<Event>, Refusal> {
    scene.need_staff(SUPPORT)?;
    let found = appointment(scene, id)?;
    if found.status == AppointmentStatus::Ended {
        return Err(Refusal::AppointmentEnded);
    }
    Ok(match verdict {
        Verdict::CarryOut if found.status == AppointmentStatus::Waiting => carry_out_due(scene, id)?,
        Verdict::CarryOut => carry_out(scene, id, found),
        Verdict::Reject => vec![ended(scene, id, found, AppointmentOutcome::Rejected)],
    })
}

/// Carries out an appointment to which nobody objected until its window ended.
pub(crate) fn carry_out_due(scene: &Scene<'_>, id: AppointmentId) -> Result<Vec<Event>, Refusal> {
    scene.need_open()?;
    let found = appointment(scene, id)?;
    let is_due = found.window_ends_at.is_some_and(|ends_at| ends_at <= scene.now());
    if found.status != AppointmentStatus::Waiting || !is_due {
        return Err(Refusal::AppointmentNotDue);
    }
    // R22: a partner whose own account was closed appoints nobody any more. Its state is read where the caller names it.
    let is_gone = scene.partner.is_some_and(|(partner, of)| found.partner == Some(partner) && !of.is_open());
    if is_gone {
        return Ok(vec![ended(scene, id, found, AppointmentOutcome::Withdrawn)]);
    }
    Ok(carry_out(scene, id, found))
}

fn appointment<'a>(scene: &Scene<'a>, id: AppointmentId) -> Result<&'a Appointment, Refusal> {
    scene.account.appointments.get(&id).ok_or(Refusal::UnknownAppointment)
}

/// R21: whether an administrator may have signed in during the last [`ABSENCE`], whoever is one now. The last sign-in
/// may be as much as [`SIGN_IN_RECORDED_EVERY`] after the last one that is recorded.
fn was_administrator_seen(scene: &Scene<'_>) -> bool {
    let seen = scene.account.administrator_seen_at;
    seen.is_some_and(|seen| scene.now() < seen + SIGN_IN_RECORDED_EVERY + ABSENCE)
}

/// The new administrator takes the role, the replaced one loses it, and everybody concerned is told.
fn carry_out(scene: &Scene<'_>, id: AppointmentId, found: &Appointment) -> Vec<Event> {
    let administrators = &scene.account.standing.administrators;
    let mut events = vec![ended(scene, id, found, AppointmentOutcome::CarriedOut)];
    if !administrators.contains(&found.professional) {
        events.extend(people::promote(scene, found.professional));
    }
    if let Some(professional) = found.replaces.filter(|replaced| administrators.contains(replaced)) {
        events.push(RoleTaken { account: scene.id, professional, role: Role::Administrator }.into());
    }
    events.extend(tell(scene, id, Notice::AppointmentCarriedOut));
    events
}

fn ended(scene: &Scene<'_>, id: AppointmentId, found: &Appointment, outcome: AppointmentOutcome) -> Event {
    let (account, professional) = (scene.id, found.professional);
    AppointmentEnded { account, professional, appointment: id, outcome }.into()
}

/// Tells everybody who is administrator or mandatory contact now.
fn tell(scene: &Scene<'_>, id: AppointmentId, notice: Notice) -> Vec<Event> {
    let standing = &scene.account.standing;
    let people: BTreeSet<ProfessionalId> =
        standing.administrators.iter().chain(standing.contacts.values()).copied().collect();
    // The same person may be told of the proposal and of its end.
    let offset = if notice == Notice::AppointmentProposed { 0 } else { people.len() + 1_000 };
    let (account, appointment) = (scene.id, Some(id));
    people
        .into_iter()
        .enumerate()
        .map(|(place, professional)| {
            let (to, mail) = (NoticeTo::Registered, MailId::of_notice(id.0, offset + place));
            NoticeIssued { account, professional, notice, to, appointment, mail, address: None }.into()
        })
        .collect()
}
