//! The commands about roles, departures, partners, appointments, access and erasure, and a partner who serves Harbour.

use domain::account::Account;
use domain::caller::{Caller, Context, Request};
use domain::command::{Command, Edit, Verdict};
use domain::decide::{Known, Past, State, decide};
use domain::event::*;
use domain::ids::*;
use domain::invitation::Link;
use domain::name::Reason;
use domain::personal::Grounds;
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::words::{AccountKind, Language, Role};
use uuid::Uuid;

use super::harness::*;

/// A partner account.
pub const LIGHTHOUSE: AccountId = AccountId(Uuid::from_u128(0xa3));
/// The administrator of Lighthouse.
pub const PILOT: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb8));
/// An ordinary professional of Lighthouse.
pub const MATE: ProfessionalId = ProfessionalId(Uuid::from_u128(0xb9));
/// The identity that Pilot accepts with.
pub const PILOTS: IdentityId = IdentityId(Uuid::from_u128(0xc8));
/// The identity that Mate accepts with.
pub const MATES: IdentityId = IdentityId(Uuid::from_u128(0xc9));

/// The third invitation of the account.
pub const THIRD: InvitationId = InvitationId(Uuid::from_u128(0xd3));
/// The fourth invitation of the account.
pub const FOURTH: InvitationId = InvitationId(Uuid::from_u128(0xd4));
/// An appointment.
pub const APPOINTMENT: AppointmentId = AppointmentId(Uuid::from_u128(0x71));
/// Another appointment.
pub const SECOND_APPOINTMENT: AppointmentId = AppointmentId(Uuid::from_u128(0x72));
/// Somebody's wish to be added.
pub const WISH: AccessRequestId = AccessRequestId(Uuid::from_u128(0x81));
/// Another wish to be added.
pub const SECOND_WISH: AccessRequestId = AccessRequestId(Uuid::from_u128(0x82));

// Callers.

/// Somebody who says to act for Lighthouse.
pub fn partner_person(identity: IdentityId) -> Caller {
    Caller { partner: Some(LIGHTHOUSE), ..person(identity) }
}

/// The administrator of Lighthouse, acting for it.
pub fn pilot() -> Caller {
    partner_person(PILOTS)
}

// Accounts with a partner.

impl Given {
    /// Adds somebody to an account and lets them accept; the invitation's id follows from the professional's.
    pub fn and_linked(self, account: AccountId, professional: ProfessionalId, identity: IdentityId) -> Self {
        let invitation = InvitationId(Uuid::from_u128(0xd000 + professional.0.as_u128()));
        let at = format!("p{:x}@people.example", professional.0.as_u128());
        let command = add_with(account, professional, details("Any Body", &at), Some(new_link(invitation)));
        let given = self.and(&support(), command);
        given.and(&person(identity), accept(Link { account, invitation, generation: 1 }, identity))
    }

    /// Lighthouse with Pilot, its administrator, and Mate, who is none; it serves nobody new.
    pub fn and_lighthouse(self) -> Self {
        self.and(&back_office(), open(LIGHTHOUSE, "P-3001", AccountKind::Partner))
            .and_linked(LIGHTHOUSE, PILOT, PILOTS)
            .and_linked(LIGHTHOUSE, MATE, MATES)
    }

    /// The same, and it serves Harbour.
    pub fn and_served(self) -> Self {
        self.and_lighthouse().and(&support(), assign(LIGHTHOUSE))
    }

    /// Harbour with Robin, the administrator, and Sam, both linked; Lighthouse serves it.
    pub fn served() -> Self {
        Self::robin_and_sam_linked().and_served()
    }

    /// The person's roles in Harbour.
    pub fn roles_of(&self, professional: ProfessionalId) -> Vec<Role> {
        self.state(HARBOUR).standing.roles_of(professional)
    }
}

// Commands, all about Harbour.

pub fn assign(partner: AccountId) -> Command {
    Command::AssignPartner { account: HARBOUR, partner }
}

pub fn remove(partner: AccountId) -> Command {
    Command::RemovePartner { account: HARBOUR, partner }
}

pub fn close(account: AccountId) -> Command {
    Command::CloseAccount { account }
}

pub fn edit(professional: ProfessionalId, edit: Edit) -> Command {
    Command::EditProfessional { account: HARBOUR, professional, edit }
}

pub fn change_address(professional: ProfessionalId, to: &str) -> Command {
    edit(professional, Edit { address: Some(address(to)), ..Edit::default() })
}

pub fn change_address_and_send(professional: ProfessionalId, to: &str, invitation: InvitationId) -> Command {
    let invitation = Some(new_link(invitation));
    edit(professional, Edit { address: Some(address(to)), invitation, ..Edit::default() })
}

pub fn delete(professional: ProfessionalId) -> Command {
    Command::DeleteProfessional { account: HARBOUR, professional }
}

pub fn hand_over(professional: ProfessionalId, to: ProfessionalId) -> Command {
    Command::HandOver { account: HARBOUR, professional, to }
}

pub fn give(professional: ProfessionalId, role: Role) -> Command {
    Command::GiveRole { account: HARBOUR, professional, role }
}

pub fn promote(professional: ProfessionalId) -> Command {
    give(professional, Role::Administrator)
}

pub fn take(professional: ProfessionalId, role: Role) -> Command {
    Command::TakeRole { account: HARBOUR, professional, role }
}

pub fn demote(professional: ProfessionalId) -> Command {
    take(professional, Role::Administrator)
}

pub fn unlink(professional: ProfessionalId) -> Command {
    Command::UnlinkIdentity { account: HARBOUR, professional }
}

/// Retries the invitation; `new` is the id to use if another must begin.
pub fn retry(professional: ProfessionalId, invitation: InvitationId, new: InvitationId) -> Command {
    Command::RetryInvitation { account: HARBOUR, professional, invitation, address: None, new: new_link(new) }
}

pub fn retry_at(professional: ProfessionalId, invitation: InvitationId, to: &str, new: InvitationId) -> Command {
    let (address, new) = (Some(address(to)), new_link(new));
    Command::RetryInvitation { account: HARBOUR, professional, invitation, address, new }
}

/// Mails a profile that the identity asked for by this address.
pub fn associate(professional: ProfessionalId, identity: IdentityId, by: &str, invitation: InvitationId) -> Command {
    let (address, new) = (address(by).key(), new_link(invitation));
    Command::InviteByAssociation { account: HARBOUR, professional, identity, address, new }
}

/// Asks to be added as Kim.
pub fn ask(access_request: AccessRequestId, identity: IdentityId) -> Command {
    let (details, language) = (details_of(KIM), Language::German);
    Command::RequestAccess { account: HARBOUR, access_request, identity, details, language }
}

pub fn approve(access_request: AccessRequestId, professional: ProfessionalId, invitation: InvitationId) -> Command {
    Command::ApproveAccessRequest { account: HARBOUR, access_request, professional, new: new_link(invitation) }
}

pub fn decline(access_request: AccessRequestId) -> Command {
    Command::DeclineAccessRequest { account: HARBOUR, access_request }
}

pub fn grounds() -> Grounds {
    let reason = Reason::parse("the administrator has left the company").unwrap();
    Grounds { reason, evidence: Reason::parse("letter 1234 of the chamber of commerce").unwrap() }
}

pub fn propose(appointment: AppointmentId, professional: ProfessionalId, replaces: Option<ProfessionalId>) -> Command {
    Command::ProposeAppointment { account: HARBOUR, appointment, professional, replaces, grounds: grounds() }
}

pub fn object(appointment: AppointmentId) -> Command {
    Command::ObjectToAppointment { account: HARBOUR, appointment }
}

pub fn decide_on(appointment: AppointmentId, verdict: Verdict) -> Command {
    Command::DecideAppointment { account: HARBOUR, appointment, verdict }
}

pub fn carry_out(appointment: AppointmentId) -> Command {
    Command::CarryOutAppointment { account: HARBOUR, appointment }
}

pub fn sign_in(identity: IdentityId) -> Command {
    Command::RecordSignIn { account: HARBOUR, identity }
}

pub fn erase(professional: ProfessionalId, identities: &[IdentityId]) -> Command {
    Command::ErasePerson { account: HARBOUR, professional, identities: identities.to_vec() }
}

/// Reports that a mail came back.
pub fn bounce(professional: ProfessionalId, mail: MailId) -> Command {
    let (status, reply) = (Some("5.1.1".into()), "550 5.1.1 no such user".into());
    Command::RecordBounce { account: HARBOUR, professional, mail, status, reply }
}

// Events, all about Harbour.

pub fn revoked(invitation: InvitationId, of: ProfessionalId, generation: u32, reason: RevocationReason) -> Event {
    InvitationRevoked { account: HARBOUR, professional: of, invitation, generation, reason }.into()
}

pub fn unlinked(professional: ProfessionalId, identity: IdentityId) -> Event {
    IdentityUnlinked { account: HARBOUR, professional, identity }.into()
}

pub fn deleted(professional: ProfessionalId) -> Event {
    ProfessionalDeleted { account: HARBOUR, professional }.into()
}

/// A role that was given, with the holder before where it moved.
pub fn moved(role: Role, from: Option<ProfessionalId>, to: ProfessionalId) -> Event {
    RoleGiven { account: HARBOUR, professional: to, role, from }.into()
}

pub fn taken(professional: ProfessionalId) -> Event {
    RoleTaken { account: HARBOUR, professional, role: Role::Administrator }.into()
}

pub fn ended(appointment: AppointmentId, professional: ProfessionalId, outcome: AppointmentOutcome) -> Event {
    AppointmentEnded { account: HARBOUR, professional, appointment, outcome }.into()
}

/// Decides a command on a state of Harbour that no log of the tests comes to.
pub fn decided_on(account: &Account, caller: &Caller, command: Command) -> Result<Vec<Event>, Refusal> {
    let of_harbour = Subject::Account(HARBOUR);
    let known = Known { state: State::Account(Box::new(account.clone())), newest_at: start() };
    let past: Past<'_> = [(&of_harbour, &known)].into_iter().collect();
    let request = Request { id: Uuid::nil(), key: None, body: None, if_match: None };
    decide(&past, &command, &Context { now: start(), caller: caller.clone(), request })
}
