//! Who acts (R6, R22, R25), as far as a log shows it: an actor's scopes do not stand in it.

use super::state::{Account, InvitationState};
use super::{Append, Log, Report};
use crate::caller::Actor;
use crate::event::{AppointmentOutcome, Event, InvitationIssued, Recorded, RevocationReason};
use crate::ids::{AccountId, ProfessionalId};
use crate::words::{Authority, Role};

/// What an actor is to an account before an append.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    /// Its profile in the account.
    pub profile: Option<ProfessionalId>,
    pub is_administrator: bool,
    /// The partners that serve the account and that it administers.
    pub partners: Vec<AccountId>,
    /// A key, the command line, or an identity that never had a profile and so may be a member of staff.
    pub is_staff: bool,
}

impl Who {
    /// Whether it may manage people of the account.
    fn manages(&self) -> bool {
        self.is_administrator || self.is_outsider()
    }

    /// Whether it acts from outside: then settled administrators are out of its reach.
    fn is_outsider(&self) -> bool {
        !self.is_administrator && (self.is_staff || !self.partners.is_empty())
    }
}

impl Log {
    /// What an actor is to an account now.
    pub fn who(&self, account: Option<AccountId>, actor: &Actor) -> Who {
        let identity = match actor {
            Actor::Key(_) | Actor::Cli(_) => return Who { is_staff: true, ..Who::default() },
            Actor::Worker(_) | Actor::Link => return Who::default(),
            Actor::Identity(identity) => identity,
        };
        // Who ever had a profile is one of the people, and not of the staff.
        let is_staff = self.identities.get(identity).is_none_or(|found| found.had.is_empty());
        let Some(account) = account.and_then(|id| self.accounts.get(&id)) else {
            return Who { is_staff, ..Who::default() };
        };
        let administers = |account: &Account| {
            account.profiles.get(identity).is_some_and(|profile| account.administrators.contains(profile))
        };
        let serves = |id: &&AccountId| {
            self.accounts.get(id).is_some_and(|partner| partner.is_open_partner() && administers(partner))
        };
        Who {
            profile: account.profiles.get(identity).copied(),
            is_administrator: administers(account),
            partners: account.partners.iter().filter(serves).copied().collect(),
            is_staff,
        }
    }
}

/// R25: that the envelope says who and by which request.
pub(super) fn check_envelope(recorded: &Recorded, report: &mut Report<'_>) {
    report.need(!recorded.request.id.is_nil(), "R25", "the request has no id");
    let is_named = match &recorded.actor {
        Actor::Cli(name) | Actor::Worker(name) => !name.is_empty(),
        Actor::Identity(id) => !id.0.is_nil(),
        Actor::Key(id) => !id.is_nil(),
        Actor::Link => true,
    };
    report.need(is_named, "R25", "the actor has no name");
    let fits = match &recorded.event {
        Event::MailAttempted(_)
        | Event::MailSent(_)
        | Event::MailRefused(_)
        | Event::MailDeferred(_)
        | Event::MailOutcomeUnknown(_)
        | Event::MailParked(_) => matches!(recorded.actor, Actor::Worker(_) | Actor::Cli(_)),
        Event::IdentityAssociated(e) => recorded.actor == Actor::Identity(e.to),
        _ => true,
    };
    report.need(fits, "R25", "this is not what such an actor does");
}

impl Account {
    /// R6: that the actor may do this to this person.
    pub(super) fn check_authority(&self, append: &Append<'_>, event: &Event, report: &mut Report<'_>) {
        let who = append.who;
        match event {
            Event::AccountOpened(_)
            | Event::AccountRenamed(_)
            | Event::AccountClosed(_)
            | Event::ServicePlanSet(_)
            | Event::PartnerAssigned(_)
            | Event::PartnerRemoved(_)
            | Event::ProfessionalErased(_) => report.need(who.is_staff, "R6", "only staff does this"),
            Event::ProfessionalAdded(_) => report.need(who.manages(), "R6", "the actor manages nobody here"),
            Event::AccessRequestApproved(_) | Event::AccessRequestDeclined(_) => {
                report.need(who.manages(), "R23", "the actor manages nobody here");
            }
            Event::ProfessionalEdited(e) => self.check_reach(append, e.professional, true, report),
            Event::IdentityUnlinked(e) if !self.is_closed => self.check_reach(append, e.professional, true, report),
            Event::ProfessionalDeleted(e) if !self.is_closed => self.check_reach(append, e.professional, false, report),
            Event::InvitationRevoked(e) if e.reason == RevocationReason::Asked => {
                self.check_reach(append, e.professional, false, report);
            }
            Event::RoleGiven(e) => self.check_role_given(append, e.professional, e.role, report),
            Event::RoleTaken(e) if !self.is_replaced(append, e.professional) => {
                self.check_reach(append, e.professional, false, report);
            }
            Event::InvitationIssued(e) => self.check_issuer(append, e, report),
            _ => {}
        }
    }

    /// That the actor may touch this person: an administrator, or somebody from outside if it is no settled
    /// administrator, or the person itself where that may.
    fn check_reach(&self, append: &Append<'_>, of: ProfessionalId, by_oneself: bool, report: &mut Report<'_>) {
        let who = append.who;
        let is_oneself = by_oneself && who.profile == Some(of);
        report.need(who.manages() || is_oneself, "R6", "the actor has no say over this person");
        let is_out_of_reach = who.is_outsider() && self.is_settled(of);
        report.need(
            !is_out_of_reach,
            "R6",
            "an administrator with an identity is out of a partner's and staff's reach",
        );
    }

    fn check_role_given(&self, append: &Append<'_>, to: ProfessionalId, role: Role, report: &mut Report<'_>) {
        let who = append.who;
        if role != Role::Administrator {
            return report.need(who.manages(), "R6", "the actor has no say over roles");
        }
        if append.carries_out(to) {
            return;
        }
        report.need(who.manages(), "R6", "the actor has no say over roles");
        let has_settled = self.administrators.iter().any(|id| self.is_settled(*id));
        report.need(!(who.is_outsider() && has_settled), "R6", "past an administrator with an identity one appoints");
    }

    /// Whether an appointment that the append carries out takes this person's role.
    fn is_replaced(&self, append: &Append<'_>, professional: ProfessionalId) -> bool {
        append.events().any(|event| match event {
            Event::AppointmentEnded(e) if e.outcome == AppointmentOutcome::CarriedOut => {
                self.appointments.get(&e.appointment).is_some_and(|found| found.replaces == Some(professional))
            }
            _ => false,
        })
    }

    /// R6, R22: that a generation was issued with the right that it names.
    fn check_issuer(&self, append: &Append<'_>, e: &InvitationIssued, report: &mut Report<'_>) {
        let who = append.who;
        if is_asked_for(append, e) {
            let before = self.invitations.get(&e.invitation).filter(|it| it.state == InvitationState::Open);
            let is_next = before.is_some_and(|it| it.by.is_none() || it.by == e.by);
            return report.need(is_next, "R6", "the next link has another right than the one before");
        }
        let has_right = match e.by {
            None => true, // of before it was recorded
            Some(Authority::Administrator) => who.is_administrator,
            Some(Authority::Partner) => e.partner.is_some_and(|partner| who.partners.contains(&partner)),
            Some(Authority::Staff) => who.is_staff,
            Some(Authority::Oneself) => who.profile == Some(e.professional),
            Some(Authority::Association) => e.bound_to.is_some(),
        };
        let rule = if e.by == Some(Authority::Partner) { "R22" } else { "R6" };
        report.need(has_right, rule, "the actor does not have the right that it was issued with");
        let is_outsiders = matches!(e.by, None | Some(Authority::Partner | Authority::Staff));
        let is_out_of_reach = is_outsiders && self.is_settled(e.professional);
        report.need(
            !is_out_of_reach,
            "R6",
            "an administrator with an identity is out of a partner's and staff's reach",
        );
    }
}

/// Whether the holder of an older link asked for the generation.
pub(super) fn is_asked_for(append: &Append<'_>, e: &InvitationIssued) -> bool {
    append.has(|event| {
        matches!(event, Event::LatestLinkRequested(it)
            if it.invitation == e.invitation && it.generation == e.generation)
    })
}
