//! A naive reference of the rules: plain vectors and loops, written from `docs/RULES.md` and not from the decisions.
//! It tells what a command comes to; where the rules do not say which of several refusals comes first, it tells all.

use domain::caller::{Actor, Caller};
use domain::command::{Command, Edit, NewLink, Verdict};
use domain::event::ServicePlan;
use domain::ids::*;
use domain::invitation::Link;
use domain::personal::ProfessionalDetails;
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Authority, Language, Role, Scope};

#[path = "reference/steps.rs"]
mod steps;

use steps::*;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Something changes.
    Accepted,
    /// It is so already.
    Unchanged,
    /// It is refused with one of these codes.
    Refused(Vec<&'static str>),
}

use Answer::{Accepted, Refused, Unchanged};

/// What callers without authority are told: nothing of what there is.
const NO_AUTHORITY: [&str; 4] = ["unknown_account", "scope_missing", "not_administrator", "not_your_profile"];

#[derive(Clone, Debug)]
pub struct Person {
    pub id: ProfessionalId,
    pub details: ProfessionalDetails,
    pub language: Language,
    pub is_deleted: bool,
    pub is_erased: bool,
    pub is_administrator: bool,
    pub contacts: Vec<Role>,
    pub identity: Option<IdentityId>,
    /// Every identity that the person has, or had.
    pub identities: Vec<IdentityId>,
    seen_at: Option<Timestamp>,
    /// When those who have a budget sent to the person.
    sends: Vec<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Open,
    Revoked,
    Accepted,
}

#[derive(Clone, Debug)]
pub struct Invitation {
    pub id: InvitationId,
    pub professional: ProfessionalId,
    pub generation: u32,
    pub expires_at: Timestamp,
    pub may_replace: bool,
    pub by: Authority,
    pub partner: Option<AccountId>,
    pub bound_to: Option<IdentityId>,
    pub status: Status,
    latest_link_requests: u32,
}

#[derive(Clone, Debug)]
pub struct Wish {
    pub id: AccessRequestId,
    identity: IdentityId,
    details: ProfessionalDetails,
    language: Language,
}

#[derive(Clone, Debug)]
pub struct Appointment {
    pub id: AppointmentId,
    pub professional: ProfessionalId,
    replaces: Option<ProfessionalId>,
    partner: Option<AccountId>,
    window_ends_at: Option<Timestamp>,
    pub has_objection: bool,
    pub has_ended: bool,
}

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    number: String,
    pub kind: AccountKind,
    name: String,
    pub is_closed: bool,
    pub plan: Option<ServicePlan>,
    pub partners: Vec<AccountId>,
    pub people: Vec<Person>,
    pub invitations: Vec<Invitation>,
    pub wishes: Vec<Wish>,
    pub appointments: Vec<Appointment>,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub accounts: Vec<Account>,
    registered: Vec<IdentityId>,
    pub erased: Vec<IdentityId>,
}

/// Obstacles, gathered.
#[derive(Default)]
struct Against(Vec<&'static str>);

impl Against {
    fn when(&mut self, is_so: bool, code: &'static str) {
        if is_so {
            self.0.push(code);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn no_authority() -> Vec<&'static str> {
    NO_AUTHORITY.to_vec()
}

impl Account {
    pub fn living(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| !person.is_deleted)
    }

    pub fn person(&self, id: ProfessionalId) -> Option<&Person> {
        self.living().find(|person| person.id == id)
    }

    fn person_mut(&mut self, id: ProfessionalId) -> &mut Person {
        self.people.iter_mut().find(|person| person.id == id).unwrap()
    }

    pub fn of_identity(&self, identity: IdentityId) -> Option<&Person> {
        self.living().find(|person| person.identity == Some(identity))
    }

    pub fn administrators(&self) -> impl Iterator<Item = &Person> {
        self.living().filter(|person| person.is_administrator)
    }

    pub fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        self.invitations.iter().find(|it| it.id == id)
    }

    fn open_unbound(&self, of: ProfessionalId) -> Option<&Invitation> {
        self.invitations.iter().find(|it| it.professional == of && it.status == Status::Open && it.bound_to.is_none())
    }

    fn has_plan(&self, now: Timestamp) -> bool {
        let runs = |plan: &ServicePlan| plan.starts_at <= now && now < plan.ends_at;
        self.kind == AccountKind::Partner || self.plan.as_ref().is_some_and(runs)
    }

    fn is_settled(&self, id: ProfessionalId) -> bool {
        self.administrators().any(|person| person.id == id && !person.identities.is_empty())
    }

    fn has_settled_administrator(&self) -> bool {
        self.administrators().any(|person| !person.identities.is_empty())
    }

    fn has_address(&self, details: &ProfessionalDetails, except: Option<ProfessionalId>) -> bool {
        self.living().any(|other| Some(other.id) != except && other.details.address.key() == details.address.key())
    }

    /// Whether this identity, as it says it acts, is an administrator here.
    fn is_administered_by(&self, caller: &Caller) -> bool {
        self.profile(caller).is_some_and(|person| person.is_administrator)
    }

    fn profile(&self, caller: &Caller) -> Option<&Person> {
        let Actor::Identity(identity) = caller.actor else { return None };
        self.of_identity(identity).filter(|person| caller.acting_as.is_none_or(|acting_as| acting_as == person.id))
    }

    fn revoke_all(&mut self, picks: impl Fn(&Invitation) -> bool) {
        for it in &mut self.invitations {
            if it.status == Status::Open && picks(it) {
                it.status = Status::Revoked;
            }
        }
    }

    fn withdraw_all(&mut self, picks: impl Fn(&Appointment) -> bool) {
        for it in &mut self.appointments {
            it.has_ended |= picks(it);
        }
    }

    fn promote(&mut self, id: ProfessionalId) {
        self.person_mut(id).is_administrator = true;
        if !self.person_mut(id).identities.is_empty() {
            self.revoke_all(|it| it.professional == id && matches!(it.by, Authority::Staff | Authority::Partner));
        }
    }

    fn move_contact(&mut self, role: Role, to: ProfessionalId) {
        for person in &mut self.people {
            person.contacts.retain(|held| *held != role);
        }
        self.person_mut(to).contacts.push(role);
    }

    fn remove(&mut self, id: ProfessionalId) {
        self.revoke_all(|it| it.professional == id);
        self.withdraw_all(|it| it.professional == id);
        let person = self.person_mut(id);
        (person.is_deleted, person.is_administrator, person.identity) = (true, false, None);
        person.contacts.clear();
    }

    /// R4, R5, and that the last one stays.
    fn keeps(&self, id: ProfessionalId) -> bool {
        let person = self.person(id).unwrap();
        self.living().count() == 1 || person.is_administrator || !person.contacts.is_empty()
    }
}

/// An authority that was found, and the partner that is acted for.
type Right = (Authority, Option<AccountId>);

impl World {
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    fn account_mut(&mut self, id: AccountId) -> &mut Account {
        self.accounts.iter_mut().find(|account| account.id == id).unwrap()
    }

    /// R6, R22: the account and the right to manage its people; or what is told to those who have none.
    fn manage(&self, id: AccountId, caller: &Caller, scopes: &[Scope]) -> Result<(&Account, Right), Answer> {
        let account = self.account(id).ok_or(Refused(no_authority()))?;
        let serves = |partner: &AccountId| {
            account.partners.contains(partner)
                && self.account(*partner).is_some_and(|it| !it.is_closed && it.is_administered_by(caller))
        };
        let right = if account.is_administered_by(caller) {
            (Authority::Administrator, None)
        } else if let Some(partner) = caller.partner.filter(serves) {
            (Authority::Partner, Some(partner))
        } else if caller.scopes.iter().any(|scope| scopes.contains(scope)) {
            (Authority::Staff, None)
        } else {
            return Err(Refused(no_authority()));
        };
        if account.is_closed { Err(Refused(vec!["account_closed"])) } else { Ok((account, right)) }
    }

    /// The same about one person, who may do it, too.
    fn manage_person(
        &self,
        id: AccountId,
        caller: &Caller,
        scopes: &[Scope],
        of: ProfessionalId,
    ) -> Result<(&Account, Right), Answer> {
        match self.manage(id, caller, scopes) {
            Ok((account, right)) => {
                if account.person(of).is_none() {
                    return Err(Refused(vec!["unknown_professional"]));
                }
                let is_outsider = matches!(right.0, Authority::Staff | Authority::Partner);
                if is_outsider && account.is_settled(of) {
                    return Err(Refused(vec!["administrator_out_of_reach"]));
                }
                Ok((account, right))
            }
            Err(refused) => {
                let account = self.account(id).ok_or(refused.clone())?;
                let is_oneself = account.profile(caller).is_some_and(|person| person.id == of);
                if !is_oneself {
                    return Err(refused);
                }
                if account.is_closed {
                    return Err(Refused(vec!["account_closed", "not_administrator"]));
                }
                Ok((account, (Authority::Oneself, None)))
            }
        }
    }

    /// That staff with one of these scopes acts on an open account.
    fn staff(&self, id: AccountId, caller: &Caller, scopes: &[Scope]) -> Result<&Account, Answer> {
        if !caller.scopes.iter().any(|scope| scopes.contains(scope)) {
            return Err(Refused(vec!["scope_missing"]));
        }
        let account = self.account(id).ok_or(Refused(vec!["unknown_account"]))?;
        if account.is_closed { Err(Refused(vec!["account_closed"])) } else { Ok(account) }
    }

    /// Runs a command; none where the reference says nothing about such commands. Whether an appointment waits for
    /// objections is taken over, as far as the rules leave it open.
    pub fn run(
        &mut self,
        caller: &Caller,
        command: &Command,
        now: Timestamp,
        waits_for_objections: bool,
    ) -> Option<Answer> {
        self.try_run(caller, command, now, waits_for_objections).unwrap_or_else(Some)
    }

    fn try_run(
        &mut self,
        caller: &Caller,
        command: &Command,
        now: Timestamp,
        waits_for_objections: bool,
    ) -> Result<Option<Answer>, Answer> {
        let mut answer = self.about_accounts(caller, command)?;
        for about in [Self::about_people, Self::about_invitations, Self::about_requests, Self::about_identities] {
            answer = if answer.is_some() { answer } else { about(self, caller, command, now)? };
        }
        answer = if answer.is_some() { answer } else { self.about_roles(caller, command)? };
        if answer.is_some() { Ok(answer) } else { self.about_appointments(caller, command, now, waits_for_objections) }
    }

    /// Accounts, their plans and partners.
    fn about_accounts(&mut self, caller: &Caller, command: &Command) -> Result<Option<Answer>, Answer> {
        let staff = [Scope::Support, Scope::BackOffice];
        let answer = match command.clone() {
            Command::OpenAccount { account, customer_number, kind, name } => {
                let mut against = Against::default();
                against.when(!caller.has_any(&[Scope::BackOffice]), "scope_missing");
                let number = customer_number.to_string();
                against.when(self.accounts.iter().any(|it| it.number == number), "customer_number_taken");
                against.when(self.account(account).is_some(), "id_in_use");
                if against.is_empty() {
                    let (plan, name) = (None, name.to_string());
                    let (partners, people, invitations) = (vec![], vec![], vec![]);
                    let (wishes, appointments, is_closed) = (vec![], vec![], false);
                    self.accounts.push(Account {
                        id: account,
                        number,
                        kind,
                        name,
                        is_closed,
                        plan,
                        partners,
                        people,
                        invitations,
                        wishes,
                        appointments,
                    });
                }
                answered(against)
            }
            Command::SetServicePlan { account, plan } => {
                let found = self.staff(account, caller, &[Scope::BackOffice])?;
                let mut against = Against::default();
                against.when(found.kind == AccountKind::Partner, "plan_not_for_partners");
                let is_backwards = plan.as_ref().is_some_and(|plan| plan.ends_at <= plan.starts_at);
                against.when(is_backwards, "plan_ends_before_it_starts");
                if against.is_empty() && found.plan == plan {
                    return Ok(Some(Unchanged));
                }
                if against.is_empty() {
                    self.account_mut(account).plan = plan;
                }
                answered(against)
            }
            Command::RenameAccount { account, name } => {
                if self.staff(account, caller, &staff)?.name == name.to_string() {
                    return Ok(Some(Unchanged));
                }
                self.account_mut(account).name = name.to_string();
                Accepted
            }
            Command::CloseAccount { account } => {
                match self.staff(account, caller, &[Scope::Support]) {
                    Err(Refused(codes)) if codes == ["account_closed"] => return Ok(Some(Unchanged)),
                    other => other?,
                };
                let found = self.account_mut(account);
                found.is_closed = true;
                found.revoke_all(|_| true);
                found.withdraw_all(|_| true);
                found.wishes.clear();
                Accepted
            }
            Command::AssignPartner { account, partner } => {
                let found = self.staff(account, caller, &staff)?;
                let Some(other) = self.account(partner) else { return Ok(Some(Refused(vec!["unknown_account"]))) };
                let fits = found.kind == AccountKind::Customer && other.kind == AccountKind::Partner;
                if !fits || other.is_closed {
                    return Ok(Some(Refused(vec!["not_a_partner"])));
                }
                if found.partners.contains(&partner) {
                    return Ok(Some(Unchanged));
                }
                self.account_mut(account).partners.push(partner);
                Accepted
            }
            Command::RemovePartner { account, partner } => {
                if !self.staff(account, caller, &staff)?.partners.contains(&partner) {
                    return Ok(Some(Unchanged));
                }
                let found = self.account_mut(account);
                found.partners.retain(|it| *it != partner);
                found.revoke_all(|it| it.partner == Some(partner));
                found.withdraw_all(|it| it.partner == Some(partner));
                Accepted
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// People (R1 to R5, R16, R27).
    fn about_people(&mut self, caller: &Caller, command: &Command, now: Timestamp) -> Result<Option<Answer>, Answer> {
        let staff = [Scope::Support, Scope::BackOffice];
        let answer = match command.clone() {
            Command::AddProfessional { account, professional, details, language, invitation } => {
                let (_, right) = self.manage(account, caller, &staff)?;
                self.add(account, right, professional, &details, language, invitation.as_ref(), now)
            }
            Command::EditProfessional { account, professional, edit } => {
                let (_, right) = self.manage_person(account, caller, &staff, professional)?;
                self.edit(account, caller, right, professional, &edit, now)
            }
            Command::DeleteProfessional { account, professional } => {
                let (found, _) = self.manage(account, caller, &staff)?;
                if found.person(professional).is_none() {
                    return Ok(Some(Refused(vec!["unknown_professional"])));
                }
                if found.keeps(professional) {
                    return Ok(Some(Refused(vec!["deletion_blocked"])));
                }
                self.account_mut(account).remove(professional);
                Accepted
            }
            Command::HandOver { account, professional, to } => {
                self.manage(account, caller, &staff)?;
                let (found, right) = self.manage_person(account, caller, &staff, professional)?;
                self.hand_over(found.id, right, professional, to)
            }
            Command::UnlinkIdentity { account, professional } => {
                let (found, right) = self.manage_person(account, caller, &staff, professional)?;
                if found.person(professional).unwrap().identity.is_none() {
                    return Ok(Some(Unchanged));
                }
                let found = self.account_mut(account);
                found.person_mut(professional).identity = None;
                found.revoke_all(|it| it.professional == professional);
                if matches!(right.0, Authority::Staff | Authority::Partner) {
                    found.withdraw_all(|it| it.professional == professional);
                }
                Accepted
            }
            Command::ErasePerson { account, professional, identities } => {
                self.erase(caller, account, professional, &identities)?
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Roles (R3, R5, R6).
    fn about_roles(&mut self, caller: &Caller, command: &Command) -> Result<Option<Answer>, Answer> {
        let staff = [Scope::Support, Scope::BackOffice];
        let answer = match command.clone() {
            Command::GiveRole { account, professional, role } => {
                let (found, right) = self.manage(account, caller, &staff)?;
                let Some(person) = found.person(professional) else {
                    return Ok(Some(Refused(vec!["unknown_professional"])));
                };
                let has_it =
                    if role == Role::Administrator { person.is_administrator } else { person.contacts.contains(&role) };
                if has_it {
                    return Ok(Some(Unchanged));
                }
                if role != Role::Administrator {
                    self.account_mut(account).move_contact(role, professional);
                    return Ok(Some(Accepted));
                }
                if right.0 != Authority::Administrator && found.has_settled_administrator() {
                    return Ok(Some(Refused(vec!["appointment_needed"])));
                }
                self.account_mut(account).promote(professional);
                Accepted
            }
            Command::TakeRole { account, professional, role } => {
                let (found, right) = self.manage(account, caller, &staff)?;
                let Some(person) = found.person(professional) else {
                    return Ok(Some(Refused(vec!["unknown_professional"])));
                };
                if role != Role::Administrator {
                    let holds = person.contacts.contains(&role);
                    return Ok(Some(if holds { Refused(vec!["mandatory_role_unheld"]) } else { Unchanged }));
                }
                if !person.is_administrator {
                    return Ok(Some(Unchanged));
                }
                let mut against = Against::default();
                let is_outsider = right.0 != Authority::Administrator;
                against.when(is_outsider && found.is_settled(professional), "administrator_out_of_reach");
                against.when(found.administrators().count() == 1, "last_administrator");
                if against.is_empty() {
                    self.account_mut(account).person_mut(professional).is_administrator = false;
                }
                answered(against)
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Invitations (R8 to R15, R20).
    fn about_invitations(
        &mut self,
        caller: &Caller,
        command: &Command,
        now: Timestamp,
    ) -> Result<Option<Answer>, Answer> {
        let answer = match command.clone() {
            Command::SendInvitation { account, professional, new } => {
                let (_, right) = self.manage_person(account, caller, &senders(), professional)?;
                self.send(account, caller, right, professional, &new, now)
            }
            Command::RevokeInvitation { account, invitation } => {
                let (found, right) = self.manage(account, caller, &senders())?;
                let Some(it) = found.invitation(invitation) else {
                    return Ok(Some(Refused(vec!["unknown_invitation"])));
                };
                if right.0 != Authority::Administrator && found.is_settled(it.professional) {
                    return Ok(Some(Refused(vec!["administrator_out_of_reach"])));
                }
                if it.status == Status::Revoked {
                    return Ok(Some(Unchanged));
                }
                if it.status == Status::Accepted {
                    return Ok(Some(Refused(vec!["already_used"])));
                }
                self.account_mut(account).revoke_all(|it| it.id == invitation);
                Accepted
            }
            Command::RetryInvitation { account, professional, invitation, address, new } => {
                let (found, right) = self.manage(account, caller, &senders())?;
                let Some(it) = found.invitation(invitation).filter(|it| it.professional == professional) else {
                    return Ok(Some(Refused(vec!["unknown_invitation"])));
                };
                let Some(person) = found.person(professional) else {
                    return Ok(Some(Refused(vec!["professional_deleted"])));
                };
                let mut against = Against::default();
                let is_outsider = right.0 != Authority::Administrator;
                against.when(is_outsider && found.is_settled(professional), "administrator_out_of_reach");
                against.when(it.status == Status::Accepted, "already_associated");
                against.when(it.status == Status::Revoked, "invitation_revoked");
                against.when(person.identity.is_some() && !it.may_replace, "already_associated");
                if !against.is_empty() {
                    return Ok(Some(answered(against)));
                }
                match address.filter(|address| address.key() != person.details.address.key()) {
                    Some(address) => {
                        let edit = Edit { address: Some(address), invitation: Some(new), ..Edit::default() };
                        self.edit(account, caller, right, professional, &edit, now)
                    }
                    None => self.issue(account, caller, right, professional, Some(invitation), &new, now),
                }
            }
            Command::InviteByAssociation { account, professional, identity, address, new } => {
                if self.erased.contains(&identity) {
                    return Ok(Some(Refused(vec!["identity_erased"])));
                }
                let Some(found) = self.account(account).filter(|it| !it.is_closed && it.has_plan(now)) else {
                    return Ok(Some(Unchanged));
                };
                let has_address = found.person(professional).is_some_and(|it| it.details.address.key() == address);
                if !has_address || found.of_identity(identity).is_some() {
                    return Ok(Some(Unchanged));
                }
                let is_open = |it: &&Invitation| {
                    it.status == Status::Open && it.professional == professional && it.bound_to == Some(identity)
                };
                let open = found.invitations.iter().find(is_open).map(|it| it.id);
                if open.is_none() && found.invitation(new.invitation).is_some() {
                    return Ok(Some(Refused(vec!["id_in_use"])));
                }
                let expires_at = now + Millis::hours(24);
                let found = self.account_mut(account);
                let right = (Authority::Association, None);
                found.put(open, new.invitation, professional, right, expires_at, false, Some(identity));
                Accepted
            }
            Command::RequestLatestLink { link, new } => self.request_latest(caller, link, &new, now),
            Command::AcceptInvitation { identity, .. } if self.erased.contains(&identity) => {
                Refused(vec!["identity_erased"])
            }
            Command::AcceptInvitation { link, identity, mailbox } => self.accept(link, identity, &mailbox, now),
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Access requests (R23).
    fn about_requests(&mut self, caller: &Caller, command: &Command, now: Timestamp) -> Result<Option<Answer>, Answer> {
        let staff = [Scope::Support, Scope::BackOffice];
        let answer = match command.clone() {
            Command::RequestAccess { account, access_request, identity, details, language } => {
                if self.erased.contains(&identity) {
                    return Ok(Some(Refused(vec!["identity_erased"])));
                }
                let Some(found) = self.account(account) else { return Ok(Some(Refused(vec!["unknown_account"]))) };
                if found.is_closed {
                    return Ok(Some(Refused(vec!["account_closed"])));
                }
                if found.wishes.iter().any(|wish| wish.id == access_request) {
                    return Ok(Some(Refused(vec!["id_in_use"])));
                }
                let has_asked = found.wishes.iter().any(|wish| wish.identity == identity);
                if has_asked || found.of_identity(identity).is_some() {
                    return Ok(Some(Unchanged));
                }
                let wish = Wish { id: access_request, identity, details, language };
                self.account_mut(account).wishes.push(wish);
                Accepted
            }
            Command::ApproveAccessRequest { account, access_request, professional, new } => {
                let (found, right) = self.manage(account, caller, &staff)?;
                let Some(wish) = found.wishes.iter().find(|wish| wish.id == access_request).cloned() else {
                    return Ok(Some(Refused(vec!["unknown_access_request"])));
                };
                let answer = self.add(account, right, professional, &wish.details, wish.language, Some(&new), now);
                if answer == Accepted {
                    self.account_mut(account).wishes.retain(|wish| wish.id != access_request);
                }
                answer
            }
            Command::DeclineAccessRequest { account, access_request } => {
                let (found, _) = self.manage(account, caller, &staff)?;
                if !found.wishes.iter().any(|wish| wish.id == access_request) {
                    return Ok(Some(Refused(vec!["unknown_access_request"])));
                }
                self.account_mut(account).wishes.retain(|wish| wish.id != access_request);
                Accepted
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Appointments (R21).
    fn about_appointments(
        &mut self,
        caller: &Caller,
        command: &Command,
        now: Timestamp,
        waits_for_objections: bool,
    ) -> Result<Option<Answer>, Answer> {
        let answer = match command.clone() {
            Command::ProposeAppointment { account, appointment, professional, replaces, .. } => {
                let (found, right) = self.manage(account, caller, &[Scope::Support])?;
                if right.0 == Authority::Administrator {
                    return Ok(Some(Refused(vec!["give_the_role"])));
                }
                let is_administrator = |id| found.administrators().any(|person| person.id == id);
                let mut against = Against::default();
                against.when(found.person(professional).is_none(), "unknown_professional");
                against.when(is_administrator(professional), "already_administrator");
                against.when(replaces.is_some_and(|it| !is_administrator(it)), "replaced_is_no_administrator");
                against.when(found.appointments.iter().any(|it| it.id == appointment), "id_in_use");
                let waits = |it: &Appointment| !it.has_ended && it.professional == professional;
                against.when(found.appointments.iter().any(waits), "appointment_waits");
                if !against.is_empty() {
                    return Ok(Some(answered(against)));
                }
                // Not every sign-in is recorded, so that waiting is right where somebody may have been there.
                let seen = |person: &Person| person.seen_at.is_some_and(|at| now < at + Millis::days(30));
                let must_wait = found.administrators().any(seen);
                let may_wait = found.people.iter().any(|person| !person.identities.is_empty());
                let window = right.0 == Authority::Partner && (must_wait || (waits_for_objections && may_wait));
                let window_ends_at = window.then(|| now + Millis::hours(72));
                let (partner, has_ended, has_objection) = (right.1, false, false);
                let proposed = Appointment {
                    id: appointment,
                    professional,
                    replaces,
                    partner,
                    window_ends_at,
                    has_objection,
                    has_ended,
                };
                self.account_mut(account).appointments.push(proposed);
                if !window {
                    self.carry_out(account, appointment);
                }
                Accepted
            }
            Command::ObjectToAppointment { account, appointment } => {
                let (found, right) = self.manage(account, caller, &[])?;
                if right.0 != Authority::Administrator {
                    return Ok(Some(Refused(no_authority())));
                }
                let Some(it) = found.appointments.iter().find(|it| it.id == appointment) else {
                    return Ok(Some(Refused(vec!["unknown_appointment"])));
                };
                if it.has_objection && !it.has_ended {
                    return Ok(Some(Unchanged));
                }
                if it.has_ended || it.window_ends_at.is_none_or(|ends_at| ends_at <= now) {
                    return Ok(Some(Refused(vec!["appointment_ended"])));
                }
                self.appointment_mut(account, appointment).has_objection = true;
                Accepted
            }
            Command::DecideAppointment { account, appointment, verdict } => {
                let found = self.staff(account, caller, &[Scope::Support])?;
                let Some(it) = found.appointments.iter().find(|it| it.id == appointment) else {
                    return Ok(Some(Refused(vec!["unknown_appointment"])));
                };
                if it.has_ended {
                    return Ok(Some(Refused(vec!["appointment_ended"])));
                }
                let is_due = it.window_ends_at.is_some_and(|ends_at| ends_at <= now);
                if verdict == Verdict::CarryOut && !it.has_objection && !is_due {
                    return Ok(Some(Refused(vec!["appointment_not_due"])));
                }
                match verdict {
                    Verdict::CarryOut => self.carry_out(account, appointment),
                    Verdict::Reject => self.appointment_mut(account, appointment).has_ended = true,
                }
                Accepted
            }
            Command::CarryOutAppointment { account, appointment } => {
                let Some(found) = self.account(account) else { return Ok(Some(Refused(vec!["unknown_account"]))) };
                if found.is_closed {
                    return Ok(Some(Refused(vec!["account_closed"])));
                }
                let Some(it) = found.appointments.iter().find(|it| it.id == appointment) else {
                    return Ok(Some(Refused(vec!["unknown_appointment"])));
                };
                let is_due = it.window_ends_at.is_some_and(|ends_at| ends_at <= now);
                if it.has_ended || it.has_objection || !is_due {
                    return Ok(Some(Refused(vec!["appointment_not_due"])));
                }
                self.carry_out(account, appointment);
                Accepted
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Identities and what is only recorded.
    fn about_identities(
        &mut self,
        caller: &Caller,
        command: &Command,
        now: Timestamp,
    ) -> Result<Option<Answer>, Answer> {
        let answer = match command.clone() {
            Command::RecordSignIn { account, identity } => {
                let found = self.account(account).filter(|it| !it.is_closed).and_then(|it| it.of_identity(identity));
                let is_new = |person: &&Person| {
                    person.is_administrator && person.seen_at.is_none_or(|at| at + Millis::days(1) <= now)
                };
                let Some(id) = found.filter(is_new).map(|person| person.id) else { return Ok(Some(Unchanged)) };
                self.account_mut(account).person_mut(id).seen_at = Some(now);
                Accepted
            }
            Command::RegisterIdentity { identity, .. } => {
                if self.registered.contains(&identity) {
                    return Ok(Some(Unchanged));
                }
                self.registered.push(identity);
                Accepted
            }
            Command::EraseIdentity { identity } => {
                let mut against = Against::default();
                against.when(!caller.has_any(&[Scope::Support]), "scope_missing");
                against.when(!self.registered.contains(&identity), "unknown_identity");
                let has_profile = self.accounts.iter().any(|account| account.of_identity(identity).is_some());
                let is_erased = self.erased.contains(&identity);
                against.when(has_profile && !is_erased, "identity_has_profiles");
                if !against.is_empty() {
                    return Ok(Some(answered(against)));
                }
                if is_erased {
                    return Ok(Some(Unchanged));
                }
                self.erased.push(identity);
                self.accounts.iter_mut().for_each(|account| account.wishes.retain(|wish| wish.identity != identity));
                Accepted
            }
            Command::RecordAssociationLimit { identity, .. } if self.erased.contains(&identity) => {
                Refused(vec!["identity_erased"])
            }
            Command::RecordAssociationLimit { .. } => Accepted,
            Command::RecordAuditRead { .. } => {
                let is_person = matches!(caller.actor, Actor::Identity(_) | Actor::Cli(_));
                let mut against = Against::default();
                against.when(!is_person && !caller.has_any(&[Scope::Auditor, Scope::Support]), "scope_missing");
                answered(against)
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    fn appointment_mut(&mut self, account: AccountId, id: AppointmentId) -> &mut Appointment {
        self.account_mut(account).appointments.iter_mut().find(|it| it.id == id).unwrap()
    }
}
