//! The state of one account that decisions are made on, folded from its events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::address::AddressKey;
use crate::event::{Event, Recorded, ServicePlan};
use crate::ids::{AccountId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::mail::Mail;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::words::{AccountKind, Role};

/// One account as its events left it. The default is an account that was never opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whose state it is; none before it is opened.
    pub id: Option<AccountId>,
    /// Customer or partner; none before it is opened.
    pub kind: Option<AccountKind>,
    /// The service plan, current or not.
    pub plan: Option<ServicePlan>,
    /// What the invariants are checked on.
    pub standing: Standing,
    /// The people.
    pub professionals: HashMap<ProfessionalId, Professional>,
    /// Who has which registered address; an address stands once in an account.
    pub by_address: HashMap<AddressKey, ProfessionalId>,
    /// Which profile an identity has here; at most one.
    pub by_identity: HashMap<IdentityId, ProfessionalId>,
    /// The invitations, open and ended.
    pub invitations: HashMap<InvitationId, Invitation>,
    /// The mails that still wait for an outcome.
    pub mails: HashMap<MailId, Mail>,
}

/// One person of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Professional {
    /// The registered address; none once erased.
    pub address: Option<AddressKey>,
    /// The identity that is associated now.
    pub identity: Option<IdentityId>,
    /// The newest invitation.
    pub invitation: Option<InvitationId>,
}

impl Professional {
    /// Whether the person has, or ever had, an identity (R6). An association is only ever replaced.
    pub const fn has_had_identity(&self) -> bool {
        self.identity.is_some()
    }
}

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationStatus {
    /// It may be accepted, unless time or plan are against it.
    Open,
    /// It was revoked.
    Revoked,
    /// This identity accepted it.
    Accepted(IdentityId),
}

/// One invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who is invited.
    pub professional: ProfessionalId,
    /// The newest generation.
    pub generation: u32,
    /// The first moment at which the newest link no longer works.
    pub expires_at: Timestamp,
    /// Whether accepting may replace another identity (R11).
    pub may_replace: bool,
    /// Where it stands.
    pub status: InvitationStatus,
    /// How many visits of each generation are recorded (R24).
    pub visits: BTreeMap<u32, u32>,
    /// The flows whose click is recorded.
    pub clicks: BTreeSet<FlowId>,
    /// How many codes the newest generation has had.
    pub codes: u32,
    /// How often the newest link was asked for by holders of older ones, over all generations.
    pub latest_link_requests: u32,
}

/// The small part of an account that its invariants speak of, cheap to copy however many people there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many people the account has.
    pub people: usize,
    /// The administrators.
    pub administrators: BTreeSet<ProfessionalId>,
    /// Who holds each mandatory role.
    pub contacts: BTreeMap<Role, ProfessionalId>,
}

impl Standing {
    /// Takes one event in.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::ProfessionalAdded(_) => self.people += 1,
            Event::RoleGiven(e) if e.role == Role::Administrator => {
                self.administrators.insert(e.professional);
            }
            Event::RoleGiven(e) => {
                self.contacts.insert(e.role, e.professional);
            }
            _ => {}
        }
    }

    /// Checks what must hold after every decision, whichever command it was.
    ///
    /// Invariant: an account with people has at least one administrator (R3), and each mandatory role has exactly one
    /// holder (R5).
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.people == 0 {
            return Ok(());
        }
        if self.administrators.is_empty() {
            return Err(Refusal::last_administrator(None));
        }
        match Role::MANDATORY.into_iter().find(|role| !self.contacts.contains_key(role)) {
            Some(role) => Err(Refusal::mandatory_role_unheld(role)),
            None => Ok(()),
        }
    }
}

impl Account {
    /// Whether the account was opened.
    pub const fn is_open(&self) -> bool {
        self.id.is_some()
    }

    /// Whether people may be invited and links accepted now (R20): customers need a current plan.
    pub fn may_invite(&self, now: Timestamp) -> bool {
        self.kind != Some(AccountKind::Customer) || self.plan.as_ref().is_some_and(|plan| plan.is_current(now))
    }

    /// Finds a person.
    ///
    /// # Errors
    /// Nobody of that id is in this account.
    pub fn professional(&self, id: ProfessionalId) -> Result<&Professional, Refusal> {
        self.professionals.get(&id).ok_or(Refusal::UnknownProfessional)
    }

    /// Finds an invitation.
    ///
    /// # Errors
    /// No invitation of that id is in this account.
    pub fn invitation(&self, id: InvitationId) -> Result<&Invitation, Refusal> {
        self.invitations.get(&id).ok_or(Refusal::UnknownInvitation)
    }

    /// Takes one event in. Events of other accounts must not come here.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.standing.evolve(&recorded.event);
        match &recorded.event {
            Event::AccountOpened(e) => {
                self.id = Some(e.account);
                self.kind = Some(e.kind);
            }
            Event::ServicePlanSet(e) => self.plan = e.plan.clone(),
            Event::ProfessionalAdded(e) => {
                let address = e.details.as_ref().map(|details| details.address.key());
                if let Some(address) = &address {
                    self.by_address.insert(address.clone(), e.professional);
                }
                self.professionals.insert(e.professional, Professional { address, ..Professional::default() });
            }
            Event::InvitationIssued(e) => {
                let before = self.invitations.remove(&e.invitation);
                let (visits, clicks, requests) = match before {
                    Some(before) => (before.visits, before.clicks, before.latest_link_requests),
                    None => Default::default(),
                };
                let invitation = Invitation {
                    professional: e.professional,
                    generation: e.generation,
                    expires_at: e.expires_at,
                    may_replace: e.may_replace,
                    status: InvitationStatus::Open,
                    visits,
                    clicks,
                    codes: 0,
                    latest_link_requests: requests,
                };
                self.invitations.insert(e.invitation, invitation);
                if let Some(professional) = self.professionals.get_mut(&e.professional) {
                    professional.invitation = Some(e.invitation);
                }
            }
            Event::InvitationRevoked(e) => {
                self.change_invitation(e.invitation, |invitation| invitation.status = InvitationStatus::Revoked);
            }
            Event::LinkVisited(e) => self.change_invitation(e.invitation, |invitation| {
                *invitation.visits.entry(e.generation).or_default() += 1;
            }),
            Event::LinkClicked(e) => self.change_invitation(e.invitation, |invitation| {
                invitation.clicks.insert(e.flow);
            }),
            Event::LatestLinkRequested(e) => {
                self.change_invitation(e.invitation, |invitation| invitation.latest_link_requests += 1);
            }
            Event::MailboxCodeIssued(e) => self.change_invitation(e.invitation, |invitation| invitation.codes += 1),
            Event::IdentityAssociated(e) => {
                self.change_invitation(e.invitation, |it| it.status = InvitationStatus::Accepted(e.to));
                if let Some(from) = e.from {
                    self.by_identity.remove(&from);
                }
                self.by_identity.insert(e.to, e.professional);
                if let Some(professional) = self.professionals.get_mut(&e.professional) {
                    professional.identity = Some(e.to);
                }
            }
            _ => {}
        }
        crate::mail::evolve(&mut self.mails, recorded);
    }

    fn change_invitation(&mut self, id: InvitationId, change: impl FnOnce(&mut Invitation)) {
        if let Some(invitation) = self.invitations.get_mut(&id) {
            change(invitation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ProfessionalAdded, RoleGiven};
    use crate::words::Language;

    #[test]
    fn r3_r5_an_account_with_people_needs_an_administrator_and_every_mandatory_contact() {
        let (account, professional) = (AccountId(uuid::Uuid::from_u128(1)), ProfessionalId(uuid::Uuid::from_u128(2)));
        let mut standing = Standing::default();
        assert_eq!(standing.check(), Ok(()));
        standing
            .evolve(&ProfessionalAdded { account, professional, language: Language::English, details: None }.into());
        assert_eq!(standing.check().unwrap_err().code(), "last_administrator");
        standing.evolve(&RoleGiven { account, professional, role: Role::Administrator, from: None }.into());
        for role in Role::MANDATORY {
            assert_eq!(standing.check().unwrap_err().code(), "mandatory_role_unheld");
            standing.evolve(&RoleGiven { account, professional, role, from: None }.into());
        }
        assert_eq!(standing.check(), Ok(()));
    }
}
