//! Identities, and what is left of the erased (R13, R27).

use super::state::{Account, Identity};
use super::{Append, Breach, Log, Report};
use crate::event::{Event, IdentityErased, Recorded};
use crate::ids::{AccessRequestId, AccountId, IdentityId};
use crate::personal::Person;

impl Log {
    /// Takes down where something personal can be read.
    pub(super) fn see_personal(&mut self, recorded: &Recorded) {
        let position = Some(recorded.position);
        match recorded.event.personal() {
            Some((Person::Identity(id), _)) => {
                let identity = self.identities.entry(id).or_default();
                identity.readable_at = identity.readable_at.or(position);
            }
            Some((Person::Professional(id), _)) => {
                let account = recorded.event.about().account.and_then(|account| self.accounts.get_mut(&account));
                let person = account.and_then(|account| account.people.get_mut(&id));
                if let Some(person) = person {
                    person.readable_at = person.readable_at.or(position);
                }
            }
            None => {}
        }
    }

    /// What events say of identities.
    pub(super) fn see_identity(&mut self, append: &Append<'_>, recorded: &Recorded, report: &mut Report<'_>) {
        match &recorded.event {
            Event::IdentityRegistered(e) => {
                let identity = self.alive(e.identity, report);
                report.need(!identity.is_registered, "R12", "the identity was registered already");
                identity.is_registered = true;
            }
            Event::AssociationMailsLimited(e) => {
                self.alive(e.identity, report);
                report.need(e.left_out > 0, "R13", "no profile was left out");
            }
            Event::IdentityAssociated(e) => {
                let profile = (e.account, e.professional);
                if let Some(from) = e.from {
                    self.identities.entry(from).or_default().profiles.remove(&profile);
                }
                let identity = self.alive(e.to, report);
                identity.profiles.insert(profile);
                identity.had.insert(profile);
            }
            Event::IdentityUnlinked(e) => {
                self.identities.entry(e.identity).or_default().profiles.remove(&(e.account, e.professional));
            }
            Event::AccessRequested(e) => {
                self.alive(e.identity, report).requests.insert((e.account, e.access_request));
            }
            Event::AccessRequestApproved(e) => self.end_request(e.account, e.access_request),
            Event::AccessRequestDeclined(e) => self.end_request(e.account, e.access_request),
            Event::InvitationIssued(e) => {
                if let Some(bound_to) = e.bound_to.filter(|_| e.generation == 1) {
                    self.alive(bound_to, report);
                }
            }
            Event::IdentityErased(e) => self.erase(append, e, report),
            _ => {}
        }
    }

    fn erase(&mut self, append: &Append<'_>, e: &IdentityErased, report: &mut Report<'_>) {
        report.need(append.who.is_staff, "R6", "only staff does this");
        let identity = self.alive(e.identity, report);
        report.need(identity.is_registered, "R27", "an identity was erased that never signed in");
        report.need(identity.profiles.is_empty(), "R27", "the erased identity has a profile still");
        let names_all = identity.requests.iter().all(|(_, request)| e.access_requests.contains(request));
        report.need(names_all, "R27", "an access request of the erased is not named");
        identity.is_erased = true;
        // What it asked for is gone with it: nobody can be added by it any more.
        for (account, request) in std::mem::take(&mut identity.requests) {
            let Some(account) = self.accounts.get_mut(&account) else { continue };
            account.asking.remove(&e.identity);
            if let Some(asked) = account.requests.get_mut(&request) {
                (asked.is_open, asked.details) = (false, None);
            }
        }
    }

    /// An identity, which must not be erased.
    fn alive(&mut self, id: IdentityId, report: &mut Report<'_>) -> &mut Identity {
        let identity = self.identities.entry(id).or_default();
        report.need(!identity.is_erased, "R27", "the identity was erased before");
        identity
    }

    fn end_request(&mut self, account: AccountId, request: AccessRequestId) {
        let asked = self.accounts.get(&account).and_then(|account| account.requests.get(&request));
        if let Some(identity) = asked.and_then(|asked| self.identities.get_mut(&asked.identity)) {
            identity.requests.remove(&(account, request));
        }
    }

    /// R27: that nothing personal of the erased can be read, now that the log has ended.
    pub(super) fn check_erased(&self, breaches: &mut Vec<Breach>) {
        let people = self.accounts.values().flat_map(|account| account.people.values());
        let of_people = people.filter(|person| person.is_erased).filter_map(|person| person.readable_at);
        let identities = self.identities.values().filter(|identity| identity.is_erased);
        for position in of_people.chain(identities.filter_map(|identity| identity.readable_at)) {
            let mut report = Report { position, breaches };
            report.need(false, "R27", "something personal of the erased can be read");
        }
    }
}

impl Account {
    /// What erasing a professional leaves.
    pub(super) fn see_erasure(&mut self, event: &Event, report: &mut Report<'_>) {
        let Event::ProfessionalErased(e) = event else { return };
        let waits = self.mails.values().any(|mail| mail.professional == e.professional);
        report.need(!waits, "R27", "a mail to the erased waits still");
        let Some(person) = self.people.get_mut(&e.professional) else { return };
        report.need(person.is_deleted, "R27", "who is erased lives");
        let names = person.invitations.iter().all(|id| e.invitations.contains(id));
        report.need(names, "R27", "an invitation of the erased is not named");
        let names = person.appointments.iter().all(|id| e.appointments.contains(id));
        report.need(names, "R27", "an appointment of the erased is not named");
        person.is_erased = true;
    }
}
