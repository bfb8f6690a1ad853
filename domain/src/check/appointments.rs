//! Appointments (R21, R22) and access requests (R23).

use super::state::{AccessRequest, Account, Appointment};
use super::{Append, Before, Report};
use crate::event::{
    AccessRequested, AppointmentEnded, AppointmentOutcome, AppointmentProposed, Event, Notice, NoticeTo, Recorded,
};
use crate::ids::{AccessRequestId, AppointmentId, ProfessionalId};
use crate::time::{Millis, Timestamp};

const ABSENCE: Millis = Millis::days(30);
const OBJECTION_WINDOW: Millis = Millis::hours(72);

impl Account {
    pub(super) fn see_appointments(&mut self, append: &Append<'_>, recorded: &Recorded, report: &mut Report<'_>) {
        let at = recorded.recorded_at;
        match &recorded.event {
            Event::AppointmentProposed(e) => self.propose(append, e, at, report),
            Event::AppointmentObjected(e) => {
                let is_of_actor = append.who.is_administrator && append.who.profile == Some(e.professional);
                report.need(is_of_actor, "R21", "who objects is no administrator");
                let Some(it) = self.appointment(e.appointment, report) else { return };
                let is_open = it.window_ends_at.is_some_and(|ends_at| at < ends_at);
                report.need(is_open && !it.has_ended && !it.has_objection, "R21", "there is nothing to object to");
                it.has_objection = true;
            }
            Event::AppointmentEnded(e) => self.end(append, e, at, report),
            _ => {}
        }
    }

    fn appointment(&mut self, id: AppointmentId, report: &mut Report<'_>) -> Option<&mut Appointment> {
        report.found(self.appointments.get_mut(&id), "R21", "no such appointment was proposed")
    }

    fn propose(&mut self, append: &Append<'_>, e: &AppointmentProposed, at: Timestamp, report: &mut Report<'_>) {
        let who = append.who;
        match e.partner {
            Some(partner) => {
                let serves = self.partners.contains(&partner) && who.partners.contains(&partner);
                report.need(serves, "R22", "the partner does not serve the account, or the actor does not act for it");
            }
            None => report.need(who.is_staff, "R21", "only partners and support appoint"),
        }
        report.need(!who.is_administrator, "R21", "an administrator gives the role directly");
        let is_administrator = self.administrators.contains(&e.professional);
        report.need(!is_administrator, "R21", "the appointed is administrator already");
        let replaces = e.replaces.is_none_or(|replaced| self.administrators.contains(&replaced));
        report.need(replaces, "R21", "the replaced is no administrator");
        let waits = self.appointments.values().any(|it| !it.has_ended && it.professional == e.professional);
        report.need(!waits, "R21", "an appointment of the person waits already");
        let seen = self.administrators.iter().filter_map(|id| self.people.get(id)?.seen_at).max();
        let was_seen = seen.is_some_and(|seen| at < seen + ABSENCE);
        // Not every sign-in is recorded, so that a partner may have to wait where nobody is seen here.
        let fits = match e.window_ends_at {
            Some(ends_at) => e.partner.is_some() && ends_at == at + OBJECTION_WINDOW,
            None => e.partner.is_none() || !was_seen,
        };
        report.need(fits, "R21", "the objection window is another than it must be");
        let appointment = Appointment {
            professional: e.professional,
            replaces: e.replaces,
            partner: e.partner,
            window_ends_at: e.window_ends_at,
            has_objection: false,
            has_ended: false,
        };
        let before = self.appointments.insert(e.appointment, appointment);
        report.need(before.is_none(), "R21", "the appointment was proposed already");
        if let Some(person) = self.people.get_mut(&e.professional) {
            person.appointments.push(e.appointment);
        }
    }

    fn end(&mut self, append: &Append<'_>, e: &AppointmentEnded, at: Timestamp, report: &mut Report<'_>) {
        let is_of_append = append.has(
            |event| matches!(event, Event::AppointmentProposed(proposed) if proposed.appointment == e.appointment),
        );
        let Some(it) = self.appointment(e.appointment, report) else { return };
        report.need(!it.has_ended, "R21", "the appointment ended already");
        report.need(it.professional == e.professional, "R21", "it is another person's appointment");
        it.has_ended = true;
        let is_due = !it.has_objection && it.window_ends_at.is_some_and(|ends_at| ends_at <= at);
        let may = match e.outcome {
            AppointmentOutcome::CarriedOut if is_of_append => it.window_ends_at.is_none(),
            AppointmentOutcome::CarriedOut => is_due || (it.has_objection && append.who.is_staff),
            AppointmentOutcome::Rejected => append.who.is_staff,
            AppointmentOutcome::Withdrawn => {
                let (professional, partner) = (it.professional, it.partner);
                append.has(|event| match event {
                    Event::ProfessionalDeleted(gone) => gone.professional == professional,
                    Event::PartnerRemoved(gone) => Some(gone.partner) == partner,
                    Event::AccountClosed(_) => true,
                    // What outsiders change about the person takes the ground from it.
                    Event::ProfessionalEdited(edited) => edited.address_changed && edited.professional == professional,
                    Event::IdentityUnlinked(unlinked) => unlinked.professional == professional,
                    _ => false,
                }) || (is_due && partner.is_some()) // of a partner whose own account was closed
            }
        };
        report.need(may, "R21", "the appointment could not end so, by this actor, at this time");
    }

    /// R21, R23: what an event calls for in the same append.
    pub(super) fn check_appointments_after(
        &self,
        append: &Append<'_>,
        before: &Before,
        event: &Event,
        report: &mut Report<'_>,
    ) {
        match event {
            Event::AppointmentProposed(e) => {
                let notice = Notice::AppointmentProposed;
                let is_told = e.window_ends_at.is_none() || is_told(append, before, e.appointment, notice);
                report.need(is_told, "R21", "not everybody is told of the proposal");
                let is_done = self.appointments.get(&e.appointment).is_some_and(|it| it.has_ended);
                report.need(e.window_ends_at.is_some() || is_done, "R21", "without a window it is carried out at once");
            }
            Event::AppointmentEnded(e) if e.outcome == AppointmentOutcome::CarriedOut => {
                let is_told = is_told(append, before, e.appointment, Notice::AppointmentCarriedOut);
                report.need(is_told, "R21", "not everybody is told of the new administrator");
                let has_role = self.administrators.contains(&e.professional);
                report.need(has_role, "R21", "the appointed is no administrator");
                let replaced = self.appointments.get(&e.appointment).and_then(|it| it.replaces);
                let keeps = replaced.is_some_and(|replaced| self.administrators.contains(&replaced));
                report.need(!keeps, "R21", "the replaced keeps the role");
            }
            Event::AccessRequestApproved(e) => {
                let adds =
                    |event: &Event| matches!(event, Event::ProfessionalAdded(it) if it.professional == e.professional);
                let invites =
                    |event: &Event| matches!(event, Event::InvitationIssued(it) if it.professional == e.professional);
                report.need(append.has(adds) && append.has(invites), "R23", "approval adds and invites");
            }
            _ => {}
        }
    }

    /// That a notice has its cause in the same append.
    pub(super) fn check_notice(&self, append: &Append<'_>, event: &Event, report: &mut Report<'_>) {
        let Event::NoticeIssued(e) = event else { return };
        let (rule, has_cause) = match e.notice {
            Notice::AddressChanged => (
                "R16",
                append.has(|event| {
                    matches!(event, Event::ProfessionalEdited(it)
                        if it.professional == e.professional && it.address_changed)
                }),
            ),
            Notice::IdentityReplaced => (
                "R11",
                append.has(|event| {
                    matches!(event, Event::IdentityAssociated(it)
                        if it.professional == e.professional && it.from.is_some())
                }),
            ),
            Notice::AppointmentProposed => (
                "R21",
                append.has(
                    |event| matches!(event, Event::AppointmentProposed(it) if Some(it.appointment) == e.appointment),
                ),
            ),
            Notice::AppointmentCarriedOut => (
                "R21",
                append.has(|event| {
                    matches!(event, Event::AppointmentEnded(it) if Some(it.appointment) == e.appointment
                        && it.outcome == AppointmentOutcome::CarriedOut)
                }),
            ),
        };
        report.need(has_cause, rule, "nothing in the append is the notice's cause");
    }

    pub(super) fn see_requests(&mut self, append: &Append<'_>, event: &Event, report: &mut Report<'_>) {
        match event {
            Event::AccessRequested(e) => self.request(e, report),
            Event::AccessRequestApproved(e) => {
                let details = self.end_request(e.access_request, report).and_then(|it| it.details);
                let added = added_details(append, e.professional);
                let is_same = details.zip(added).is_none_or(|(asked, added)| asked == *added);
                report.need(is_same, "R23", "somebody else was added than asked");
            }
            Event::AccessRequestDeclined(e) => drop(self.end_request(e.access_request, report)),
            _ => {}
        }
    }

    fn request(&mut self, e: &AccessRequested, report: &mut Report<'_>) {
        report.need(!self.has_profile(e.identity), "R23", "the identity has a profile in the account");
        report.need(self.asking.insert(e.identity), "R23", "the identity has an open request already");
        let request = AccessRequest { identity: e.identity, details: e.details.clone(), is_open: true };
        let before = self.requests.insert(e.access_request, request);
        report.need(before.is_none(), "R23", "the request was made already");
    }

    fn end_request(&mut self, id: AccessRequestId, report: &mut Report<'_>) -> Option<AccessRequest> {
        let it = report.found(self.requests.get_mut(&id), "R23", "no such request was made")?;
        report.need(it.is_open, "R23", "the request has ended");
        let ended = it.clone();
        (it.is_open, it.details) = (false, None);
        self.asking.remove(&ended.identity);
        Some(ended)
    }
}

fn added_details<'a>(
    append: &Append<'a>,
    professional: ProfessionalId,
) -> Option<&'a crate::personal::ProfessionalDetails> {
    append.events().find_map(|event| match event {
        Event::ProfessionalAdded(added) if added.professional == professional => added.details.as_ref(),
        _ => None,
    })
}

/// Whether everybody is told who was administrator or mandatory contact before.
fn is_told(append: &Append<'_>, before: &Before, appointment: AppointmentId, notice: Notice) -> bool {
    before.told.iter().all(|professional| {
        append.has(|event| {
            matches!(event, Event::NoticeIssued(it) if it.notice == notice && it.to == NoticeTo::Registered
                && it.appointment == Some(appointment) && it.professional == *professional)
        })
    })
}
