//! Accounts: opened, entitled, served, closed (R7, R19, R22), and what is known of people.

use super::state::{Account, InvitationState};
use super::{Append, Log, Report};
use crate::event::{AccountOpened, AppointmentOutcome, Event};
use crate::words::AccountKind;

impl Log {
    pub(super) fn open(&mut self, e: &AccountOpened, append: &Append<'_>, report: &mut Report<'_>) {
        let is_new = self.numbers.insert(e.customer_number.clone(), e.account).is_none();
        report.need(is_new, "one-number", "the customer number has an account already");
        report.need(!self.accounts.contains_key(&e.account), "one-number", "the account was opened already");
        let account = self.accounts.entry(e.account).or_insert_with(|| Account::new(e.kind));
        account.newest_at = account.newest_at.max(append.at);
    }
}

impl Account {
    /// R7: that nothing happens to what is gone but what must.
    pub(super) fn check_alive(&self, append: &Append<'_>, event: &Event, report: &mut Report<'_>) {
        let is_mail = matches!(
            event,
            Event::MailAttempted(_)
                | Event::MailSent(_)
                | Event::MailRefused(_)
                | Event::MailDeferred(_)
                | Event::MailOutcomeUnknown(_)
                | Event::MailParked(_)
                | Event::MailCancelled(_)
                | Event::MailBounced(_)
        );
        let is_erasure = matches!(event, Event::ProfessionalErased(_));
        if self.is_closed && !is_mail && !is_erasure {
            let is_departure = match event {
                Event::InvitationRevoked(_) | Event::IdentityUnlinked(_) | Event::ProfessionalDeleted(_) => true,
                Event::AppointmentEnded(e) => e.outcome == AppointmentOutcome::Withdrawn,
                _ => false,
            };
            let erases = append.has(|other| matches!(other, Event::ProfessionalErased(_)));
            report.need(is_departure && erases, "R7", "the account is closed");
        }
        let Some(id) = event.about().professional else { return };
        if matches!(event, Event::ProfessionalAdded(_)) {
            return;
        }
        let Some(person) = report.found(self.people.get(&id), "R1", "nobody of that id was added here") else { return };
        if person.is_erased {
            report.need(false, "R27", "the person was erased before");
        } else if person.is_deleted {
            report.need(is_mail || is_erasure, "R7", "the person was deleted before");
        }
    }

    pub(super) fn see_account(&mut self, event: &Event, report: &mut Report<'_>) {
        match event {
            Event::AccountClosed(_) => {
                let has_open = self.invitations.values().any(|it| it.state == InvitationState::Open)
                    || self.appointments.values().any(|it| !it.has_ended)
                    || !self.asking.is_empty();
                report.need(!has_open, "R7", "something of the closed account is open still");
                self.is_closed = true;
            }
            Event::ServicePlanSet(e) => {
                report.need(self.kind == AccountKind::Customer, "R19", "only customers have service plans");
                let is_forward = e.plan.as_ref().is_none_or(|plan| plan.starts_at < plan.ends_at);
                report.need(is_forward, "R19", "the plan ends before it starts");
                self.plan = e.plan.clone();
            }
            Event::PartnerAssigned(e) => {
                report.need(self.kind == AccountKind::Customer, "R22", "only customers have partners");
                report.need(self.partners.insert(e.partner), "R22", "the partner serves the account already");
            }
            Event::PartnerRemoved(e) => {
                report.need(self.partners.remove(&e.partner), "R22", "the partner does not serve the account");
            }
            _ => {}
        }
    }
}
