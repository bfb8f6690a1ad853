//! People and their roles (R1 to R5), addresses and identities (R11, R12, R16).

use super::state::{Account, InvitationState, Person};
use super::{Append, Before, Report};
use crate::address::EmailAddress;
use crate::event::{Event, Notice, NoticeTo, ProfessionalAdded, ProfessionalEdited, Recorded, RoleGiven, RoleTaken};
use crate::ids::{IdentityId, ProfessionalId};
use crate::words::{Authority, Role};

impl Account {
    pub(super) fn see_people(&mut self, recorded: &Recorded, report: &mut Report<'_>) {
        match &recorded.event {
            Event::ProfessionalAdded(e) => self.add(e, report),
            Event::ProfessionalEdited(e) => self.edit(e, report),
            Event::ProfessionalDeleted(e) => self.delete(e.professional, report),
            Event::RoleGiven(e) => self.give(e, report),
            Event::RoleTaken(e) => self.take(e, report),
            Event::IdentityUnlinked(e) => self.unlink(e.professional, e.identity, report),
            Event::AdministratorSignedIn(e) => {
                let is_administrator = self.administrators.contains(&e.professional);
                report.need(is_administrator, "R21", "who signed in is no administrator");
                let Some(person) = self.people.get_mut(&e.professional) else { return };
                report.need(person.identity == Some(e.identity), "R21", "the person has another identity");
                let is_early = person.seen_at.is_some_and(|seen| recorded.recorded_at < seen + A_DAY);
                report.need(!is_early, "R21", "the person was seen within the last day");
                person.seen_at = Some(recorded.recorded_at);
            }
            _ => {}
        }
    }

    fn add(&mut self, e: &ProfessionalAdded, report: &mut Report<'_>) {
        if self.people.contains_key(&e.professional) {
            return report.need(false, "R1", "the person was added already");
        }
        report.need(!self.is_closed, "R1", "the account is closed");
        self.people.insert(e.professional, Person::default());
        self.living += 1;
        self.set_address(e.professional, e.details.as_ref().map(|details| &details.address), report);
    }

    fn edit(&mut self, e: &ProfessionalEdited, report: &mut Report<'_>) {
        let address = e.details.as_ref().map(|details| &details.address);
        let before = self.people.get(&e.professional).and_then(|person| person.address.as_ref());
        if let (Some(address), Some(before)) = (address, before) {
            let is_other = address.key() != before.key();
            report.need(is_other == e.address_changed, "R16", "whether the address changed is told wrong");
        }
        self.set_address(e.professional, address, report);
    }

    fn set_address(&mut self, id: ProfessionalId, address: Option<&EmailAddress>, report: &mut Report<'_>) {
        self.forget_address(id);
        if let Some(address) = address {
            let other = self.addresses.insert(address.key(), id);
            report.need(other.is_none(), "one-address", "somebody else of the account has this address");
        }
        if let Some(person) = self.people.get_mut(&id) {
            person.address = address.cloned();
        }
    }

    fn forget_address(&mut self, id: ProfessionalId) {
        let before = self.people.get(&id).and_then(|person| person.address.as_ref()).map(EmailAddress::key);
        if let Some(before) = before.filter(|before| self.addresses.get(before) == Some(&id)) {
            self.addresses.remove(&before);
        }
    }

    fn delete(&mut self, id: ProfessionalId, report: &mut Report<'_>) {
        if self.living(id).is_none() {
            return; // told already
        }
        let is_administrator = self.administrators.remove(&id);
        report.need(self.is_closed || !is_administrator, "R4", "an administrator was deleted");
        let holds = self.contacts.values().any(|holder| *holder == id);
        report.need(self.is_closed || !holds, "R5", "the holder of a mandatory role was deleted");
        self.contacts.retain(|_, holder| *holder != id);
        report.need(self.open_invitations(id).next().is_none(), "R7", "an invitation of the deleted is open still");
        let has_appointment = self.appointments.values().any(|it| !it.has_ended && it.professional == id);
        report.need(!has_appointment, "R7", "an appointment of the deleted waits still");
        self.forget_address(id);
        self.living = self.living.saturating_sub(1);
        if let Some(person) = self.people.get_mut(&id) {
            report.need(person.identity.is_none(), "R7", "the deleted has an identity still");
            person.is_deleted = true;
            person.identity.take().map(|identity| self.profiles.remove(&identity));
        }
    }

    fn give(&mut self, e: &RoleGiven, report: &mut Report<'_>) {
        if self.living(e.professional).is_none() {
            return; // told already
        }
        if e.role == Role::Administrator {
            report.need(self.administrators.insert(e.professional), "R3", "the person is administrator already");
            return report.need(e.from.is_none(), "R3", "the administrator role does not move");
        }
        let holder = self.contacts.insert(e.role, e.professional);
        report.need(holder == e.from, "R5", "the role does not come from its holder");
        report.need(holder != Some(e.professional), "R5", "the person holds the role already");
    }

    fn take(&mut self, e: &RoleTaken, report: &mut Report<'_>) {
        report.need(e.role == Role::Administrator, "R5", "a mandatory role only moves");
        if e.role == Role::Administrator {
            report.need(self.administrators.remove(&e.professional), "R3", "the person is no administrator");
        } else if self.contacts.get(&e.role) == Some(&e.professional) {
            self.contacts.remove(&e.role);
        }
    }

    fn unlink(&mut self, id: ProfessionalId, identity: IdentityId, report: &mut Report<'_>) {
        let Some(person) = self.people.get_mut(&id) else { return };
        report.need(person.identity == Some(identity), "R11", "the person does not have that identity");
        if let Some(identity) = person.identity.take() {
            self.profiles.remove(&identity);
        }
    }

    /// R3, R5: what holds between appends.
    pub(super) fn check_standing(&self, report: &mut Report<'_>) {
        if self.is_closed || self.living == 0 {
            return;
        }
        report.need(!self.administrators.is_empty(), "R3", "the account has people and no administrator");
        for role in Role::MANDATORY {
            let holder = self.contacts.get(&role).and_then(|holder| self.living(*holder));
            report.need(holder.is_some(), "R5", "a mandatory role has no living holder");
        }
    }

    /// R2, R6, R16, R22: what an event calls for in the same append.
    pub(super) fn check_people_after(
        &self,
        append: &Append<'_>,
        before: &Before,
        event: &Event,
        report: &mut Report<'_>,
    ) {
        match event {
            Event::ProfessionalAdded(e) if before.is_empty && is_first(append, e.professional) => {
                let holds_all = Role::MANDATORY.iter().all(|role| self.contacts.get(role) == Some(&e.professional));
                let has_all = holds_all && self.administrators.contains(&e.professional);
                report.need(has_all, "R2", "the first person does not have every role");
            }
            Event::ProfessionalEdited(e) if e.address_changed => {
                let told = append.has(|event| {
                    matches!(event, Event::NoticeIssued(it) if it.professional == e.professional
                        && it.notice == Notice::AddressChanged && it.to == NoticeTo::Former)
                });
                report.need(told, "R16", "the former address is not told");
                let is_of_append = |generation: u32, id| {
                    append.has(|event| {
                        matches!(event, Event::InvitationIssued(it)
                            if it.invitation == id && it.generation == generation && generation == 1)
                    })
                };
                let has_old = self.open_invitations(e.professional).any(|(id, it)| !is_of_append(it.generation, id));
                report.need(!has_old, "R16", "an invitation to the former address is open still");
            }
            Event::PartnerRemoved(e) => {
                let of = |partner: Option<_>| partner == Some(e.partner);
                let invites = self.invitations.values().any(|it| it.state == InvitationState::Open && of(it.partner));
                report.need(!invites, "R22", "an invitation of the partner is open still");
                let appoints = self.appointments.values().any(|it| !it.has_ended && of(it.partner));
                report.need(!appoints, "R22", "an appointment of the partner waits still");
            }
            Event::RoleGiven(e) if e.role == Role::Administrator => self.check_out_of_reach(e.professional, report),
            Event::IdentityAssociated(e) => {
                self.check_out_of_reach(e.professional, report);
                let tells = |to| {
                    append.has(|event| {
                        matches!(event, Event::NoticeIssued(it) if it.professional == e.professional
                            && it.notice == Notice::IdentityReplaced && it.to == to)
                    })
                };
                let has_told = e.from.is_none_or(|from| {
                    [NoticeTo::Registered, NoticeTo::Identity(from), NoticeTo::Identity(e.to)].into_iter().all(tells)
                });
                report.need(has_told, "R11", "not everybody is told of the replaced identity");
            }
            _ => {}
        }
    }

    /// R6: that nothing open that partners or staff issued reaches the seat of a settled administrator.
    fn check_out_of_reach(&self, id: ProfessionalId, report: &mut Report<'_>) {
        let is_outsiders = |by| matches!(by, None | Some(Authority::Staff | Authority::Partner));
        let is_reached = self.is_settled(id) && self.open_invitations(id).any(|(_, it)| is_outsiders(it.by));
        report.need(!is_reached, "R6", "an outsider's invitation reaches an administrator with an identity");
    }
}

const A_DAY: crate::time::Millis = crate::time::Millis::hours(24);

/// Whether nobody else was added before in the append.
fn is_first(append: &Append<'_>, id: ProfessionalId) -> bool {
    append.events().find_map(|event| match event {
        Event::ProfessionalAdded(e) => Some(e.professional),
        _ => None,
    }) == Some(id)
}
