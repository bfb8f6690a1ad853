//! What the checks remember of a log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::address::{AddressKey, EmailAddress};
use crate::event::{NoticeTo, Position, ServicePlan};
use crate::ids::{AccessRequestId, AccountId, AppointmentId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::personal::ProfessionalDetails;
use crate::time::Timestamp;
use crate::words::{AccountKind, Authority, Role};

/// One account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub kind: AccountKind,
    pub is_closed: bool,
    pub plan: Option<ServicePlan>,
    pub partners: BTreeSet<AccountId>,
    pub newest_at: Timestamp,
    /// How many people live.
    pub living: usize,
    pub people: HashMap<ProfessionalId, Person>,
    pub addresses: HashMap<AddressKey, ProfessionalId>,
    pub profiles: HashMap<IdentityId, ProfessionalId>,
    pub administrators: BTreeSet<ProfessionalId>,
    pub contacts: BTreeMap<Role, ProfessionalId>,
    pub invitations: HashMap<InvitationId, Invitation>,
    pub requests: HashMap<AccessRequestId, AccessRequest>,
    /// Whose access requests are open.
    pub asking: HashSet<IdentityId>,
    pub appointments: HashMap<AppointmentId, Appointment>,
    pub mails: HashMap<MailId, Mail>,
    pub sent: HashMap<MailId, Sent>,
}

impl Account {
    pub fn new(kind: AccountKind) -> Self {
        Self {
            kind,
            is_closed: false,
            plan: None,
            partners: BTreeSet::new(),
            newest_at: Timestamp::default(),
            living: 0,
            people: HashMap::new(),
            addresses: HashMap::new(),
            profiles: HashMap::new(),
            administrators: BTreeSet::new(),
            contacts: BTreeMap::new(),
            invitations: HashMap::new(),
            requests: HashMap::new(),
            asking: HashSet::new(),
            appointments: HashMap::new(),
            mails: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    pub fn is_open_partner(&self) -> bool {
        self.kind == AccountKind::Partner && !self.is_closed
    }

    /// R20: customers need a plan that runs.
    pub fn has_plan_at(&self, at: Timestamp) -> bool {
        let runs = |plan: &ServicePlan| plan.starts_at <= at && at < plan.ends_at;
        self.kind == AccountKind::Partner || self.plan.as_ref().is_some_and(runs)
    }

    pub fn living(&self, id: ProfessionalId) -> Option<&Person> {
        self.people.get(&id).filter(|person| !person.is_deleted)
    }

    /// R6: an administrator who has, or had, an identity.
    pub fn is_settled(&self, id: ProfessionalId) -> bool {
        self.administrators.contains(&id) && self.people.get(&id).is_some_and(|person| person.has_had_identity)
    }

    /// The open invitations of a person.
    pub fn open_invitations(&self, of: ProfessionalId) -> impl Iterator<Item = (InvitationId, &Invitation)> {
        let ids = self.people.get(&of).into_iter().flat_map(|person| &person.invitations);
        ids.filter_map(|id| Some((*id, self.invitations.get(id)?))).filter(|(_, it)| it.state == InvitationState::Open)
    }

    /// Administrators and mandatory contacts, each once.
    pub fn told(&self) -> Vec<ProfessionalId> {
        self.administrators.iter().chain(self.contacts.values()).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// One person of an account, living or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub is_deleted: bool,
    pub is_erased: bool,
    /// The registered address, where it can be read.
    pub address: Option<EmailAddress>,
    pub identity: Option<IdentityId>,
    pub has_had_identity: bool,
    /// When the person was last seen to sign in.
    pub seen_at: Option<Timestamp>,
    pub invitations: Vec<InvitationId>,
    pub appointments: Vec<AppointmentId>,
    /// The first event with something personal that can be read.
    pub readable_at: Option<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvitationState {
    Open,
    Revoked,
    Accepted,
}

/// One invitation.
#[derive(Clone, Debug)]
pub(super) struct Invitation {
    pub professional: ProfessionalId,
    pub generation: u32,
    pub expires_at: Timestamp,
    pub may_replace: bool,
    pub by: Option<Authority>,
    pub partner: Option<AccountId>,
    pub bound_to: Option<IdentityId>,
    pub state: InvitationState,
    pub visits: BTreeMap<u32, u32>,
    pub flows: BTreeSet<FlowId>,
    /// Mailbox codes of the newest generation.
    pub codes: u32,
    /// How often the newest link was asked for.
    pub latest: u32,
}

/// One access request; ended ones keep their id only.
#[derive(Clone, Debug)]
pub(super) struct AccessRequest {
    pub identity: IdentityId,
    pub details: Option<ProfessionalDetails>,
    pub is_open: bool,
}

/// One appointment.
#[derive(Clone, Debug)]
pub(super) struct Appointment {
    pub professional: ProfessionalId,
    pub replaces: Option<ProfessionalId>,
    pub partner: Option<AccountId>,
    pub window_ends_at: Option<Timestamp>,
    pub has_objection: bool,
    pub has_ended: bool,
}

/// What a mail carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Link,
    Code { expires_at: Timestamp },
    Notice(NoticeTo),
}

/// One mail that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub professional: ProfessionalId,
    pub invitation: Option<InvitationId>,
    pub generation: u32,
    pub carries: Carries,
    pub due_at: Timestamp,
    pub deferred_since: Option<Timestamp>,
    pub attempts: u32,
    pub unknown: u32,
    pub is_claimed: bool,
    /// When the newest attempt was claimed.
    pub claimed_at: Timestamp,
}

/// One mail that a server took over.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub professional: ProfessionalId,
    pub has_bounced: bool,
}

/// One identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub is_registered: bool,
    pub is_erased: bool,
    /// The profiles that it has now.
    pub profiles: BTreeSet<(AccountId, ProfessionalId)>,
    /// Every profile that it has, or had.
    pub had: BTreeSet<(AccountId, ProfessionalId)>,
    /// Its access requests that are open.
    pub requests: BTreeSet<(AccountId, AccessRequestId)>,
    /// The first event with something personal that can be read.
    pub readable_at: Option<Position>,
}
