//! The state of one account that decisions are made on, folded from its events.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::address::{AddressKey, EmailAddress};
use crate::event::{Event, InvitationIssued, Recorded, ServicePlan};
use crate::ids::{
    AccessRequestId, AccountId, AppointmentId, EventId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId,
};
use crate::mail::Mail;
use crate::name::{AccountName, PersonName};
use crate::personal::ProfessionalDetails;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::words::{AccountKind, Authority, Language, Role};

/// One account as its events left it. The default is an account that was never opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whose state it is; none before it is opened.
    pub id: Option<AccountId>,
    /// Customer or partner; none before it is opened.
    pub kind: Option<AccountKind>,
    /// The organisation's name; none before it is opened.
    pub name: Option<AccountName>,
    /// The service plan, current or not.
    pub plan: Option<ServicePlan>,
    /// The partners that serve it.
    pub partners: BTreeSet<AccountId>,
    /// What the invariants are checked on.
    pub standing: Standing,
    /// The living people, of whom there may be thousands: a hash table would move all of them whenever it grows.
    pub professionals: BTreeMap<ProfessionalId, Box<Professional>>,
    /// The people who were deleted.
    pub departed: HashMap<ProfessionalId, Departed>,
    /// Who has which registered address; an address stands once in an account.
    pub by_address: HashMap<AddressKey, ProfessionalId>,
    /// Which profile an identity has here; at most one.
    pub by_identity: HashMap<IdentityId, ProfessionalId>,
    /// The invitations, open and ended.
    pub invitations: BTreeMap<InvitationId, Box<Invitation>>,
    /// The access requests that are open.
    pub access_requests: HashMap<AccessRequestId, AccessRequest>,
    /// The appointments that have not ended, and whose they were that have.
    pub appointments: HashMap<AppointmentId, Appointment>,
    /// The mails that still wait for an outcome.
    pub mails: HashMap<MailId, Mail>,
    /// The mails that a server took over, with their bounces so far.
    pub sent: HashMap<MailId, Sent>,
    /// When an administrator was last seen, as far as it is recorded: it outlasts the role and the person (R21).
    pub administrator_seen_at: Option<Timestamp>,
    /// The last event that changed the account itself; readers know it as the account's tag.
    pub changed_by: Option<EventId>,
}

/// One living person of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Professional {
    /// The person's name; none once erased.
    pub name: Option<PersonName>,
    /// The registered address; none once erased.
    pub address: Option<EmailAddress>,
    /// The language of mail to the person.
    pub language: Option<Language>,
    /// The identity that is associated now.
    pub identity: Option<IdentityId>,
    /// Every identity that is or was associated.
    pub identities: BTreeSet<IdentityId>,
    /// The newest invitation that is bound to no identity.
    pub invitation: Option<InvitationId>,
    /// Every invitation.
    pub invitations: BTreeSet<InvitationId>,
    /// When the account's own people or a partner last sent invitations; at most
    /// [`crate::invitation::SENDS_MAX`].
    pub sends: VecDeque<Timestamp>,
    /// When the person was last seen to sign in, as far as it is recorded.
    pub signed_in_at: Option<Timestamp>,
    /// The last event that changed the person; readers know it as the professional's tag.
    pub changed_by: Option<EventId>,
}

impl Professional {
    /// Whether the person has, or ever had, an identity (R6).
    pub fn has_had_identity(&self) -> bool {
        !self.identities.is_empty()
    }

    /// The registered address in the form that addresses are compared in.
    pub fn address_key(&self) -> Option<AddressKey> {
        self.address.as_ref().map(EmailAddress::key)
    }
}

/// What is left of a person who was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departed {
    /// Every identity that was associated.
    pub identities: BTreeSet<IdentityId>,
    /// Whether what was personal was erased (R27).
    pub is_erased: bool,
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
    /// With what right the newest generation was issued.
    pub by: Option<Authority>,
    /// The partner on whose behalf it was issued.
    pub partner: Option<AccountId>,
    /// The only identity that can accept it (R14).
    pub bound_to: Option<IdentityId>,
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

/// An open wish to be added (R23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// Who asked.
    pub identity: IdentityId,
    /// The language of mail to the person.
    pub language: Language,
    /// Name and address; none once erased.
    pub details: Option<ProfessionalDetails>,
}

/// Where an appointment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppointmentStatus {
    /// It is carried out when its window ends, unless an administrator objects.
    Waiting,
    /// An administrator objected; support decides.
    Objected,
    /// It ended.
    Ended,
}

/// A new administrator, proposed by a partner or support (R21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// Who shall become administrator.
    pub professional: ProfessionalId,
    /// Who shall lose the role.
    pub replaces: Option<ProfessionalId>,
    /// The partner that proposed it.
    pub partner: Option<AccountId>,
    /// When the window ends; none where it is carried out at once.
    pub window_ends_at: Option<Timestamp>,
    /// Where it stands.
    pub status: AppointmentStatus,
}

/// A mail that a server took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// To whom.
    pub professional: ProfessionalId,
    /// About which invitation; none for a notice.
    pub invitation: Option<InvitationId>,
    /// Whether it came back.
    pub has_bounced: bool,
}

/// The small part of an account that its invariants speak of, cheap to copy however many people there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the account was closed; then nothing can change any more, and nothing is checked.
    pub is_closed: bool,
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
            Event::AccountClosed(_) => self.is_closed = true,
            Event::ProfessionalAdded(_) => self.people += 1,
            Event::ProfessionalDeleted(e) => {
                self.people -= 1;
                self.administrators.remove(&e.professional);
                self.contacts.retain(|_, holder| *holder != e.professional);
            }
            Event::RoleGiven(e) if e.role == Role::Administrator => {
                self.administrators.insert(e.professional);
            }
            Event::RoleGiven(e) => {
                self.contacts.insert(e.role, e.professional);
            }
            Event::RoleTaken(e) => {
                self.administrators.remove(&e.professional);
            }
            _ => {}
        }
    }

    /// The roles of one person.
    pub fn roles_of(&self, professional: ProfessionalId) -> Vec<Role> {
        let administrator = self.administrators.contains(&professional).then_some(Role::Administrator);
        let contacts = self.contacts.iter().filter(|(_, holder)| **holder == professional).map(|(role, _)| *role);
        administrator.into_iter().chain(contacts).collect()
    }

    /// Checks what must hold after every decision, whichever command it was.
    ///
    /// Invariant: an account with people has at least one administrator (R3), and each mandatory role has exactly one
    /// holder (R5). Deleting somebody takes their roles, so that every holder lives.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.people == 0 || self.is_closed {
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
    /// Whether the account was opened and not closed.
    pub const fn is_open(&self) -> bool {
        self.id.is_some() && !self.standing.is_closed
    }

    /// Whether people may be invited and links accepted now (R20): customers need a current plan.
    pub fn may_invite(&self, now: Timestamp) -> bool {
        self.kind != Some(AccountKind::Customer) || self.plan.as_ref().is_some_and(|plan| plan.is_current(now))
    }

    /// Finds a living person.
    ///
    /// # Errors
    /// Nobody of that id is in this account.
    pub fn professional(&self, id: ProfessionalId) -> Result<&Professional, Refusal> {
        self.professionals.get(&id).map(Box::as_ref).ok_or(Refusal::UnknownProfessional)
    }

    /// Finds an invitation.
    ///
    /// # Errors
    /// No invitation of that id is in this account.
    pub fn invitation(&self, id: InvitationId) -> Result<&Invitation, Refusal> {
        self.invitations.get(&id).map(Box::as_ref).ok_or(Refusal::UnknownInvitation)
    }

    /// The open invitations of a person, in order of their ids.
    pub fn open_invitations(&self, of: ProfessionalId) -> impl Iterator<Item = (InvitationId, &Invitation)> {
        let ids = self.professionals.get(&of).map(|professional| &professional.invitations);
        let found = ids.into_iter().flatten().filter_map(|id| Some((*id, &**self.invitations.get(id)?)));
        found.filter(|(_, invitation)| invitation.status == InvitationStatus::Open)
    }

    /// Whether some administrator has, or had, an identity: then partners and support make no other but by R21.
    pub fn has_settled_administrator(&self) -> bool {
        let administrators = self.standing.administrators.iter();
        administrators.filter_map(|id| self.professionals.get(id)).any(|found| found.has_had_identity())
    }

    /// Takes one event in. Events of other accounts must not come here.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.standing.evolve(&recorded.event);
        self.evolve_account(&recorded.event);
        self.evolve_people(recorded);
        if self.shows_administrator(&recorded.event) {
            self.administrator_seen_at = Some(recorded.recorded_at);
        }
        self.evolve_invitations(recorded);
        self.evolve_wishes(&recorded.event);
        self.evolve_sent(&recorded.event);
        crate::mail::evolve(&mut self.mails, recorded);
        if recorded.event.changes_account() {
            self.changed_by = Some(recorded.id);
        }
        for changed in recorded.event.changed_professionals() {
            self.change_professional(changed, |professional| professional.changed_by = Some(recorded.id));
        }
    }

    /// Whether the event shows that an administrator is there. Nobody records how often an ordinary professional signs
    /// in, so whoever becomes administrator with an identity counts as seen.
    fn shows_administrator(&self, event: &Event) -> bool {
        match event {
            Event::AdministratorSignedIn(_) => true,
            Event::IdentityAssociated(e) => self.standing.administrators.contains(&e.professional),
            Event::RoleGiven(e) if e.role == Role::Administrator => {
                self.professionals.get(&e.professional).is_some_and(|found| found.identity.is_some())
            }
            _ => false,
        }
    }

    fn evolve_account(&mut self, event: &Event) {
        match event {
            Event::AccountOpened(e) => {
                self.id = Some(e.account);
                self.kind = Some(e.kind);
                self.name = Some(e.name.clone());
            }
            Event::AccountRenamed(e) => self.name = Some(e.name.clone()),
            Event::ServicePlanSet(e) => self.plan = e.plan.clone(),
            Event::PartnerAssigned(e) => drop(self.partners.insert(e.partner)),
            Event::PartnerRemoved(e) => drop(self.partners.remove(&e.partner)),
            _ => {}
        }
    }

    fn evolve_people(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::ProfessionalAdded(e) => {
                self.professionals.insert(e.professional, Box::default());
                self.set_details(e.professional, e.language, e.details.as_ref());
            }
            Event::ProfessionalEdited(e) => self.set_details(e.professional, e.language, e.details.as_ref()),
            Event::ProfessionalDeleted(e) => {
                let Some(gone) = self.professionals.remove(&e.professional) else { return };
                self.forget_address(gone.address_key(), e.professional);
                let departed = Departed { identities: gone.identities, is_erased: false };
                self.departed.insert(e.professional, departed);
            }
            Event::ProfessionalErased(e) => {
                self.departed.entry(e.professional).or_default().is_erased = true;
            }
            Event::IdentityAssociated(e) => {
                if let Some(from) = e.from {
                    self.by_identity.remove(&from);
                }
                self.by_identity.insert(e.to, e.professional);
                self.change_professional(e.professional, |professional| {
                    professional.identity = Some(e.to);
                    professional.identities.insert(e.to);
                    professional.signed_in_at = Some(recorded.recorded_at);
                });
            }
            Event::IdentityUnlinked(e) => {
                self.by_identity.remove(&e.identity);
                self.change_professional(e.professional, |professional| professional.identity = None);
            }
            Event::AdministratorSignedIn(e) => self.change_professional(e.professional, |professional| {
                professional.signed_in_at = Some(recorded.recorded_at);
            }),
            _ => {}
        }
    }

    fn evolve_invitations(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::InvitationIssued(e) => self.issue(e, recorded),
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
            }
            _ => {}
        }
    }

    fn issue(&mut self, e: &InvitationIssued, recorded: &Recorded) {
        let (visits, clicks, requests) = match self.invitations.remove(&e.invitation) {
            Some(before) => (before.visits, before.clicks, before.latest_link_requests),
            None => Default::default(),
        };
        let invitation = Invitation {
            professional: e.professional,
            generation: e.generation,
            expires_at: e.expires_at,
            may_replace: e.may_replace,
            by: e.by,
            partner: e.partner,
            bound_to: e.bound_to,
            status: InvitationStatus::Open,
            visits,
            clicks,
            codes: 0,
            latest_link_requests: requests,
        };
        self.invitations.insert(e.invitation, Box::new(invitation));
        self.change_professional(e.professional, |professional| {
            professional.invitations.insert(e.invitation);
            if e.bound_to.is_none() {
                professional.invitation = Some(e.invitation);
            }
            if crate::invitation::is_counted(e.by, &recorded.actor) {
                professional.sends.push_back(recorded.recorded_at);
                if professional.sends.len() > crate::invitation::SENDS_MAX {
                    professional.sends.pop_front();
                }
            }
        });
    }

    fn evolve_wishes(&mut self, event: &Event) {
        match event {
            Event::AccessRequested(e) => {
                let (identity, language, details) = (e.identity, e.language, e.details.clone());
                self.access_requests.insert(e.access_request, AccessRequest { identity, language, details });
            }
            Event::AccessRequestApproved(e) => drop(self.access_requests.remove(&e.access_request)),
            Event::AccessRequestDeclined(e) => drop(self.access_requests.remove(&e.access_request)),
            Event::IdentityErased(e) => self.access_requests.retain(|_, wish| wish.identity != e.identity),
            Event::AppointmentProposed(e) => {
                let appointment = Appointment {
                    professional: e.professional,
                    replaces: e.replaces,
                    partner: e.partner,
                    window_ends_at: e.window_ends_at,
                    status: AppointmentStatus::Waiting,
                };
                self.appointments.insert(e.appointment, appointment);
            }
            Event::AppointmentObjected(e) => self.set_appointment(e.appointment, AppointmentStatus::Objected),
            Event::AppointmentEnded(e) => self.set_appointment(e.appointment, AppointmentStatus::Ended),
            _ => {}
        }
    }

    fn evolve_sent(&mut self, event: &Event) {
        match event {
            Event::MailSent(e) => {
                let sent = Sent { professional: e.professional, invitation: e.invitation, has_bounced: false };
                self.sent.insert(e.mail, sent);
            }
            Event::MailBounced(e) => {
                if let Some(sent) = self.sent.get_mut(&e.mail) {
                    sent.has_bounced = true;
                }
            }
            // A reply that comes later could not be sealed any more (R27).
            Event::ProfessionalErased(e) => self.sent.retain(|_, sent| sent.professional != e.professional),
            _ => {}
        }
    }

    fn set_details(&mut self, id: ProfessionalId, language: Language, details: Option<&ProfessionalDetails>) {
        let Some(professional) = self.professionals.get_mut(&id) else { return };
        let former = professional.address_key();
        professional.name = details.map(|it| it.name.clone());
        professional.address = details.map(|it| it.address.clone());
        professional.language = Some(language);
        let address = professional.address_key();
        self.forget_address(former, id);
        if let Some(address) = address {
            self.by_address.insert(address, id);
        }
    }

    /// Frees an address that a person had, if it is still theirs.
    fn forget_address(&mut self, address: Option<AddressKey>, of: ProfessionalId) {
        if let Some(address) = address.filter(|address| self.by_address.get(address) == Some(&of)) {
            self.by_address.remove(&address);
        }
    }

    fn set_appointment(&mut self, id: AppointmentId, status: AppointmentStatus) {
        if let Some(appointment) = self.appointments.get_mut(&id) {
            appointment.status = status;
        }
    }

    fn change_professional(&mut self, id: ProfessionalId, change: impl FnOnce(&mut Professional)) {
        if let Some(professional) = self.professionals.get_mut(&id) {
            change(professional);
        }
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
