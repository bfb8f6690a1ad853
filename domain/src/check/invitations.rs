//! Invitations and their links (R8 to R15, R20, R24).

use std::collections::{BTreeMap, BTreeSet};

use super::authority::is_asked_for;
use super::state::{Account, Invitation, InvitationState};
use super::{Append, Report};
use crate::event::{Event, IdentityAssociated, InvitationIssued, MailboxCodeIssued, MailboxProof, Recorded};
use crate::ids::{IdentityId, InvitationId};
use crate::time::{Millis, Timestamp};
use crate::words::{AccountKind, Authority};

const VISITS_MAX: u32 = 20;
const CODES_MAX: u32 = 5;
const CODE_LIFETIME: Millis = Millis::minutes(10);
const LATEST_LINKS_MAX: u32 = 5;
const ASSOCIATION_LINK_LIFETIME: Millis = Millis::hours(24);
const SHORTEST_LIFETIME: Millis = Millis::hours(1);
const LONGEST_LIFETIME: Millis = Millis::days(30);

impl Account {
    pub(super) fn see_invitations(&mut self, append: &Append<'_>, recorded: &Recorded, report: &mut Report<'_>) {
        let at = recorded.recorded_at;
        let event = &recorded.event;
        if let (Some(id), Some(of)) = (event.about().invitation, event.about().professional)
            && !matches!(event, Event::InvitationIssued(_))
        {
            let known = report.found(self.invitations.get(&id), "R8", "no such invitation was issued");
            let is_of = known.is_none_or(|it| it.professional == of);
            report.need(is_of, "R8", "the invitation is somebody else's");
        }
        match event {
            Event::InvitationIssued(e) => self.issue(append, e, at, report),
            Event::InvitationRevoked(e) => {
                self.check_newest(e.invitation, e.generation, report);
                if let Some(it) = self.invitations.get_mut(&e.invitation) {
                    it.state = InvitationState::Revoked;
                }
            }
            Event::LinkVisited(e) => {
                let Some(it) = self.invitations.get_mut(&e.invitation) else { return };
                let is_issued = (1..=it.generation).contains(&e.generation);
                report.need(is_issued, "R24", "the visited generation was never issued");
                if is_issued {
                    let visits = it.visits.entry(e.generation).or_default();
                    *visits = visits.saturating_add(1);
                    report.need(*visits <= VISITS_MAX, "R24", "more visits of a generation are recorded than may be");
                }
            }
            Event::LinkClicked(e) => {
                self.check_usable(e.invitation, e.generation, at, report);
                let Some(it) = self.invitations.get_mut(&e.invitation) else { return };
                report.need(it.flows.insert(e.flow), "R24", "the flow's click is recorded already");
            }
            Event::LatestLinkRequested(e) => {
                self.check_usable(e.invitation, e.generation, at, report);
                let Some(it) = self.invitations.get_mut(&e.invitation) else { return };
                let is_next = Some(e.number) == it.latest.checked_add(1) && e.number <= LATEST_LINKS_MAX;
                report.need(is_next, "R9", "the requests for the newest link are counted wrong or too many");
                it.latest = e.number;
            }
            Event::MailboxCodeIssued(e) => self.issue_code(e, at, report),
            Event::IdentityAssociated(e) => self.associate(e, at, report),
            _ => {}
        }
    }

    fn issue(&mut self, append: &Append<'_>, e: &InvitationIssued, at: Timestamp, report: &mut Report<'_>) {
        report.need(self.has_plan_at(at), "R20", "the account has no current plan");
        let lifetime = e.expires_at - at;
        let is_bounded = SHORTEST_LIFETIME <= lifetime && lifetime <= LONGEST_LIFETIME;
        report.need(is_bounded, "R10", "the link works for less than an hour or more than 30 days");
        let partner = e.partner.is_none_or(|partner| self.partners.contains(&partner));
        report.need(partner, "R22", "the partner that it was issued for does not serve the account");
        self.check_bound(e, lifetime, report);
        match self.invitations.get(&e.invitation) {
            Some(before) => check_next(append, before, e, report),
            None => self.check_begun(e, report),
        }
        if self.living(e.professional).is_none() {
            return; // told already
        }
        let (visits, flows, latest) = match self.invitations.remove(&e.invitation) {
            Some(before) => (before.visits, before.flows, before.latest),
            None => (BTreeMap::new(), BTreeSet::new(), 0),
        };
        if let Some(person) = self.people.get_mut(&e.professional).filter(|it| !it.invitations.contains(&e.invitation))
        {
            person.invitations.push(e.invitation);
        }
        let invitation = Invitation {
            professional: e.professional,
            generation: e.generation,
            expires_at: e.expires_at,
            may_replace: e.may_replace,
            by: e.by,
            partner: e.partner,
            bound_to: e.bound_to,
            state: InvitationState::Open,
            visits,
            flows,
            codes: 0,
            latest,
        };
        self.invitations.insert(e.invitation, invitation);
    }

    /// R11, R13, R14: what a bound link is.
    fn check_bound(&self, e: &InvitationIssued, lifetime: Millis, report: &mut Report<'_>) {
        if e.by == Some(Authority::Association) {
            report.need(e.bound_to.is_some(), "R14", "a link of the association page is bound to nobody");
            report.need(!e.may_replace, "R11", "a link of the association page may not replace an identity");
        }
        let Some(identity) = e.bound_to else { return };
        report.need(!e.may_replace, "R14", "a bound link may not replace an identity");
        let is_short = lifetime <= ASSOCIATION_LINK_LIFETIME;
        report.need(is_short, "R13", "a link of the association page works for more than a day");
        if e.generation == 1 {
            report.need(!self.profiles.contains_key(&identity), "R13", "the identity has a profile in the account");
        }
    }

    /// R9: that no other invitation is open that the new one should have been the next generation of.
    fn check_begun(&self, e: &InvitationIssued, report: &mut Report<'_>) {
        report.need(e.generation == 1, "R9", "an invitation does not begin with its first generation");
        let has_open = self.open_invitations(e.professional).any(|(_, it)| it.bound_to == e.bound_to);
        report.need(!has_open, "R9", "another invitation of the person is open");
        let fits = e.by.is_none() || (e.by == Some(Authority::Partner)) == e.partner.is_some();
        report.need(fits, "R22", "a partner's invitation does not name the partner");
    }

    fn issue_code(&mut self, e: &MailboxCodeIssued, at: Timestamp, report: &mut Report<'_>) {
        self.check_usable(e.invitation, e.generation, at, report);
        let Some(it) = self.invitations.get_mut(&e.invitation) else { return };
        let is_next = Some(e.number) == it.codes.checked_add(1) && e.number <= CODES_MAX;
        report.need(is_next, "R15", "the codes of the generation are counted wrong or too many");
        report.need(e.expires_at == at + CODE_LIFETIME, "R15", "a code works for 10 minutes");
        report.need(it.bound_to.is_none(), "R14", "a bound link needs no code");
        it.codes = e.number;
    }

    fn associate(&mut self, e: &IdentityAssociated, at: Timestamp, report: &mut Report<'_>) {
        self.check_usable(e.invitation, e.generation, at, report);
        if let Some(it) = self.invitations.get_mut(&e.invitation) {
            it.state = InvitationState::Accepted;
            report.need(e.from.is_none() || it.may_replace, "R11", "the invitation may not replace an identity");
            report.need(it.bound_to.is_none_or(|bound| bound == e.to), "R14", "another identity accepted a bound link");
            let is_bound = it.bound_to.is_some();
            let is_proved = match e.proof {
                MailboxProof::Code => !is_bound && it.codes > 0,
                MailboxProof::TrustedAddress => !is_bound,
                MailboxProof::AssociationLink => is_bound,
            };
            report.need(is_proved, "R15", "nothing shows that the person reads the registered mailbox");
        }
        if self.living(e.professional).is_none() {
            return; // told already
        }
        self.tie(e, at, report);
    }

    fn tie(&mut self, e: &IdentityAssociated, at: Timestamp, report: &mut Report<'_>) {
        let is_new: bool = !self.profiles.contains_key(&e.to);
        report.need(is_new, "R12", "the identity has a profile in the account already");
        let Some(person) = self.people.get_mut(&e.professional) else { return };
        report.need(person.identity == e.from, "R11", "the identity before is told wrong");
        if let Some(before) = person.identity.replace(e.to) {
            self.profiles.remove(&before);
        }
        person.has_had_identity = true;
        person.seen_at = Some(at);
        self.profiles.insert(e.to, e.professional);
    }

    /// R10: that the invitation is open and this its newest generation.
    fn check_newest(&self, id: InvitationId, generation: u32, report: &mut Report<'_>) {
        let Some(it) = self.invitations.get(&id) else { return };
        report.need(it.state == InvitationState::Open, "R10", "the invitation has ended");
        report.need(it.generation == generation, "R10", "it is not the newest generation");
    }

    /// R10, R20: the same, and that its link works.
    fn check_usable(&self, id: InvitationId, generation: u32, at: Timestamp, report: &mut Report<'_>) {
        self.check_newest(id, generation, report);
        let is_expired = self.invitations.get(&id).is_some_and(|it| it.expires_at <= at);
        report.need(!is_expired, "R10", "the link has expired");
        let is_frozen = self.kind == AccountKind::Customer && !self.has_plan_at(at);
        report.need(!is_frozen, "R20", "the account has no current plan");
    }

    /// Whether an identity has a profile here.
    pub(super) fn has_profile(&self, identity: IdentityId) -> bool {
        self.profiles.contains_key(&identity)
    }
}

/// R9, R14: that a generation follows the one before.
fn check_next(append: &Append<'_>, before: &Invitation, e: &InvitationIssued, report: &mut Report<'_>) {
    report.need(before.generation.checked_add(1) == Some(e.generation), "R9", "the generation is not the next one");
    report.need(before.state == InvitationState::Open, "R9", "an invitation that has ended goes on");
    report.need(before.professional == e.professional, "R9", "the next generation is somebody else's");
    report.need(before.bound_to == e.bound_to, "R14", "the next generation is bound to somebody else");
    if is_asked_for(append, e) {
        let is_same = (before.may_replace, before.partner) == (e.may_replace, e.partner);
        report.need(is_same, "R11", "asking for the newest link changed what it may do");
    }
}
