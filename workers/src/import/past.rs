//! What an account's history says about what an import would do: what ever was done is not done again, so that a second
//! run appends nothing and takes back nothing that somebody changed in between.

use std::collections::{BTreeSet, HashSet, VecDeque};

use domain::account::Account;
use domain::address::AddressKey;
use domain::decide::{Known, State};
use domain::event::{Event, Recorded};
use domain::ids::{AccountId, ProfessionalId};
use domain::tag::Subject;
use domain::time::{Millis, Timestamp};
use domain::words::Role;

/// Invitations that an account gets within [`INVITATIONS_WINDOW`] while an import runs: what one domain's mail server
/// takes from a stranger without suspicion.
pub const INVITATIONS_MAX: usize = 20;
/// See [`INVITATIONS_MAX`].
pub const INVITATIONS_WINDOW: Millis = Millis::minutes(1);

/// An account as its events left it, and what ever happened in it.
#[derive(Clone, Debug)]
pub(super) struct AccountPast {
    pub id: AccountId,
    /// What decisions are made on.
    pub known: Known,
    has_had_plan: bool,
    partners: BTreeSet<AccountId>,
    roles: HashSet<(ProfessionalId, Role)>,
    invited: HashSet<ProfessionalId>,
    /// When the newest invitations were issued, at most [`INVITATIONS_MAX`].
    issued_at: VecDeque<Timestamp>,
}

impl AccountPast {
    /// An account without events.
    pub fn nothing(id: AccountId) -> Self {
        Self::of(id, Known::nothing(&Subject::Account(id)))
    }

    /// An account of which only the state is known.
    pub fn of(id: AccountId, known: Known) -> Self {
        Self {
            id,
            known,
            has_had_plan: false,
            partners: BTreeSet::new(),
            roles: HashSet::new(),
            invited: HashSet::new(),
            issued_at: VecDeque::new(),
        }
    }

    /// Takes one event of the account in.
    pub fn evolve(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::ServicePlanSet(_) => self.has_had_plan = true,
            Event::PartnerAssigned(e) => drop(self.partners.insert(e.partner)),
            Event::RoleGiven(e) => drop(self.roles.insert((e.professional, e.role))),
            Event::InvitationIssued(e) => {
                self.invited.insert(e.professional);
                if self.issued_at.len() == INVITATIONS_MAX {
                    self.issued_at.pop_front();
                }
                self.issued_at.push_back(recorded.recorded_at);
            }
            _ => {}
        }
        self.known.evolve(recorded);
    }

    /// The account's state.
    pub fn account(&self) -> &Account {
        match &self.known.state {
            State::Account(account) => account,
            _ => unreachable!("invariant: it was made of an account"),
        }
    }

    /// The living person with this address.
    pub fn person(&self, address: &AddressKey) -> Option<ProfessionalId> {
        self.account().by_address.get(address).copied()
    }

    /// Whether a plan was ever set, or ended.
    pub fn has_had_plan(&self) -> bool {
        self.has_had_plan
    }

    /// The partners that ever served the account.
    pub fn partners_ever(&self) -> &BTreeSet<AccountId> {
        &self.partners
    }

    /// Whether the person ever had the role.
    pub fn has_had_role(&self, professional: ProfessionalId, role: Role) -> bool {
        self.roles.contains(&(professional, role))
    }

    /// Whether the person needs no invitation: one was sent, or there is an identity already.
    pub fn is_invited(&self, professional: ProfessionalId) -> bool {
        let found = self.account().professionals.get(&professional);
        self.invited.contains(&professional) || found.is_some_and(|found| found.identity.is_some())
    }

    /// When the next invitation may be issued; a time that has passed if it may be now.
    pub fn next_invitation_at(&self) -> Timestamp {
        match self.issued_at.front().filter(|_| self.issued_at.len() == INVITATIONS_MAX) {
            Some(oldest) => *oldest + INVITATIONS_WINDOW,
            None => Timestamp(i64::MIN),
        }
    }
}
