//! The commands: wishes, each with the boundary that its decision reads.

use crate::address::{AddressKey, EmailAddress};
use crate::caller::Caller;
use crate::event::ServicePlan;
use crate::ids::{AccessRequestId, AccountId, AppointmentId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::invitation::{Lifetime, Link, Mailbox};
use crate::mail::MailOutcome;
use crate::name::{AccountName, CustomerNumber, PersonName};
use crate::personal::{Grounds, IdentityDetails, Person, ProfessionalDetails};
use crate::tag::{Class, Subject, Tag};
use crate::words::{AccountKind, IdentityKind, Language, Role};

/// What a new generation of an invitation needs beside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// The id to use if a new invitation begins.
    pub invitation: InvitationId,
    /// How long the link works.
    pub lifetime: Lifetime,
    /// The key that its token will be derived with.
    pub link_key: String,
}

/// What changes about a professional; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The new name.
    pub name: Option<PersonName>,
    /// The new registered address.
    pub address: Option<EmailAddress>,
    /// The new language of mail to the person.
    pub language: Option<Language>,
    /// The invitation to send with it (R16).
    pub invitation: Option<NewLink>,
}

/// A wish. New things come with their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens an account for a customer number.
    OpenAccount {
        /// The new account's id.
        account: AccountId,
        /// The vendor's number for it.
        customer_number: CustomerNumber,
        /// Customer or partner.
        kind: AccountKind,
        /// The organisation's name.
        name: AccountName,
    },
    /// Sets or ends the entitlement of a customer account.
    SetServicePlan {
        /// The account.
        account: AccountId,
        /// The plan; none ends it.
        plan: Option<ServicePlan>,
    },
    /// Adds a person, and invites them if a link is wanted (R8).
    AddProfessional {
        /// The account.
        account: AccountId,
        /// The new profile's id.
        professional: ProfessionalId,
        /// Name and registered address.
        details: ProfessionalDetails,
        /// The language of mail to the person.
        language: Language,
        /// The invitation to send with it.
        invitation: Option<NewLink>,
    },
    /// Gives an account another name.
    RenameAccount {
        /// The account.
        account: AccountId,
        /// Its new name.
        name: AccountName,
    },
    /// Closes an account (R7).
    CloseAccount {
        /// The account.
        account: AccountId,
    },
    /// Lets a partner serve a customer account (R22).
    AssignPartner {
        /// The customer account.
        account: AccountId,
        /// The partner account.
        partner: AccountId,
    },
    /// Ends a partner's service (R22).
    RemovePartner {
        /// The customer account.
        account: AccountId,
        /// The partner account.
        partner: AccountId,
    },
    /// Changes a person's name, address or language, and invites them if a link is wanted (R16).
    EditProfessional {
        /// The account.
        account: AccountId,
        /// Whom.
        professional: ProfessionalId,
        /// What changes.
        edit: Edit,
    },
    /// Deletes a person from an account (R4, R5).
    DeleteProfessional {
        /// The account.
        account: AccountId,
        /// Whom.
        professional: ProfessionalId,
    },
    /// Gives all roles of a person to another and deletes the person.
    HandOver {
        /// The account.
        account: AccountId,
        /// Who goes.
        professional: ProfessionalId,
        /// Who takes the roles.
        to: ProfessionalId,
    },
    /// Gives a role; a mandatory one moves (R5).
    GiveRole {
        /// The account.
        account: AccountId,
        /// To whom.
        professional: ProfessionalId,
        /// The role.
        role: Role,
    },
    /// Takes the administrator role away (R3).
    TakeRole {
        /// The account.
        account: AccountId,
        /// From whom.
        professional: ProfessionalId,
        /// The role; mandatory ones only move.
        role: Role,
    },
    /// Unties a person's identity.
    UnlinkIdentity {
        /// The account.
        account: AccountId,
        /// Whose.
        professional: ProfessionalId,
    },
    /// Sends a failed invitation again on the state of now, after correcting the address if need be.
    RetryInvitation {
        /// The account.
        account: AccountId,
        /// To whom; a corrected address is sealed under the person's key.
        professional: ProfessionalId,
        /// The invitation.
        invitation: InvitationId,
        /// The corrected address.
        address: Option<EmailAddress>,
        /// The link to send.
        new: NewLink,
    },
    /// Mails one profile that an identity asked for on the association page (R13, R14).
    InviteByAssociation {
        /// The account.
        account: AccountId,
        /// Which profile.
        professional: ProfessionalId,
        /// Who asked.
        identity: IdentityId,
        /// The address that was asked for; the mail goes to the registered one.
        address: AddressKey,
        /// The link to send.
        new: NewLink,
    },
    /// Records for support how many profiles one association request left without a mail.
    RecordAssociationLimit {
        /// Who asked.
        identity: IdentityId,
        /// How many profiles.
        left_out: u32,
    },
    /// Asks to be added to an account (R23).
    RequestAccess {
        /// The account.
        account: AccountId,
        /// The request's id.
        access_request: AccessRequestId,
        /// Who asks.
        identity: IdentityId,
        /// The name and address to be known by.
        details: ProfessionalDetails,
        /// The language of mail to the person.
        language: Language,
    },
    /// Grants an access request: adds and invites.
    ApproveAccessRequest {
        /// The account.
        account: AccountId,
        /// The request.
        access_request: AccessRequestId,
        /// The new profile's id.
        professional: ProfessionalId,
        /// The invitation to send.
        new: NewLink,
    },
    /// Turns an access request down.
    DeclineAccessRequest {
        /// The account.
        account: AccountId,
        /// The request.
        access_request: AccessRequestId,
    },
    /// Proposes a new administrator, by a partner or support (R21).
    ProposeAppointment {
        /// The account.
        account: AccountId,
        /// The appointment's id.
        appointment: AppointmentId,
        /// Who shall become administrator.
        professional: ProfessionalId,
        /// Who shall lose the role.
        replaces: Option<ProfessionalId>,
        /// Why.
        grounds: Grounds,
    },
    /// Objects to an appointment, by an administrator of the account (R21).
    ObjectToAppointment {
        /// The account.
        account: AccountId,
        /// The appointment.
        appointment: AppointmentId,
    },
    /// Decides an appointment that somebody objected to, by support (R21).
    DecideAppointment {
        /// The account.
        account: AccountId,
        /// The appointment.
        appointment: AppointmentId,
        /// Whether it is carried out or rejected.
        verdict: Verdict,
    },
    /// Carries out an appointment whose window has ended (R21).
    CarryOutAppointment {
        /// The account.
        account: AccountId,
        /// The appointment.
        appointment: AppointmentId,
    },
    /// Records that an identity signed in, where it administers the account (R21).
    RecordSignIn {
        /// The account.
        account: AccountId,
        /// Who.
        identity: IdentityId,
    },
    /// Erases what is personal about a professional, and about those of its identities that no other profile has (R27).
    ErasePerson {
        /// The account.
        account: AccountId,
        /// Whom.
        professional: ProfessionalId,
        /// The identities that the professional has or had, as far as they are known.
        identities: Vec<IdentityId>,
    },
    /// Erases what is personal about an identity that has no profile: of people who only asked or signed in (R27).
    EraseIdentity {
        /// The identity.
        identity: IdentityId,
    },
    /// Records that somebody read a history.
    RecordAuditRead {
        /// The tag whose events are read; none where it is the whole log.
        tag: Option<Tag>,
        /// What it is indexed under.
        subject: Subject,
    },
    /// Records that a mail which had been taken over came back.
    RecordBounce {
        /// The account.
        account: AccountId,
        /// Whom the mail was for.
        professional: ProfessionalId,
        /// The mail.
        mail: MailId,
        /// The enhanced status code, such as 5.1.1.
        status: Option<String>,
        /// What the server told.
        reply: String,
    },
    /// Sends an invitation, or a new generation of the open one (R9).
    SendInvitation {
        /// The account.
        account: AccountId,
        /// To whom.
        professional: ProfessionalId,
        /// The link to send.
        new: NewLink,
    },
    /// Revokes the open invitation.
    RevokeInvitation {
        /// The account.
        account: AccountId,
        /// The invitation.
        invitation: InvitationId,
    },
    /// Records that a link was opened (R24).
    RecordVisit {
        /// The link.
        link: Link,
    },
    /// Records the click that starts the sign-in (R24).
    ClickLink {
        /// The link.
        link: Link,
        /// The browser's passage.
        flow: FlowId,
    },
    /// Asks for the newest link with an older or expired one; it goes to the registered mailbox.
    RequestLatestLink {
        /// The older link.
        link: Link,
        /// The link to send if the newest has expired too.
        new: NewLink,
    },
    /// Asks for a code to the registered mailbox (R15).
    IssueMailboxCode {
        /// The link.
        link: Link,
        /// The browser's passage that asks.
        flow: FlowId,
        /// Who is signed in there.
        identity: IdentityId,
        /// The key that the code will be derived with.
        code_key: String,
    },
    /// Accepts an invitation: ties the identity to the professional.
    AcceptInvitation {
        /// The link.
        link: Link,
        /// Who accepts.
        identity: IdentityId,
        /// What shows that the person reads the registered mailbox.
        mailbox: Mailbox,
    },
    /// Makes an identity known at its first sign-in.
    RegisterIdentity {
        /// The identity's id, from the look-up.
        identity: IdentityId,
        /// The configured issuer's short name.
        issuer: String,
        /// Personal or organizational.
        kind: IdentityKind,
        /// What the provider told.
        details: IdentityDetails,
    },
    /// Claims an attempt to send a mail.
    AttemptMail {
        /// The account.
        account: AccountId,
        /// The mail.
        mail: MailId,
    },
    /// Records what came of an attempt.
    RecordMailOutcome {
        /// The account.
        account: AccountId,
        /// To whom it went; what the server answered is sealed under the person's key.
        professional: ProfessionalId,
        /// The mail.
        mail: MailId,
        /// Which attempt.
        attempt: u32,
        /// What came of it.
        outcome: MailOutcome,
        /// A random number from 0 to 999 that spreads retries.
        jitter_permille: u32,
    },
}

/// What support decides about an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    CarryOut,
    /// It is rejected.
    Reject,
}

/// One subject of a boundary, with the classes of events that the decision reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What is loaded.
    pub subject: Subject,
    /// Which newer events would make the decision stale.
    pub classes: &'static [Class],
}

const DECISION: &[Class] = &[Class::Decision];
// A mail with a code, or with the newest link once more, begins with an event of the class `Code`.
const MAIL: &[Class] = &[Class::Decision, Class::Mail, Class::Code];
const VISIT: &[Class] = &[Class::Decision, Class::Visit];
const CODE: &[Class] = &[Class::Decision, Class::Code];
const SIGN_IN: &[Class] = &[Class::Decision, Class::SignIn];
const AUDIT: &[Class] = &[Class::Audit];

impl Command {
    /// What the decision reads for this caller. Invariant: events that the command appends about one of these subjects
    /// are of the classes named here, so that two equal commands never both pass.
    pub fn boundary(&self, caller: &Caller) -> Vec<Read> {
        let mut boundary = self.own_boundary();
        if let Some(partner) = caller.partner.filter(|_| self.account().is_some()) {
            add_account(&mut boundary, partner);
        }
        boundary
    }

    fn own_boundary(&self) -> Vec<Read> {
        let mut boundary: Vec<Read> = self
            .account()
            .map(|account| Read { subject: Subject::Account(account), classes: self.classes() })
            .into_iter()
            .collect();
        let decision = |subject| Read { subject, classes: DECISION };
        match self {
            Self::OpenAccount { customer_number, .. } => {
                boundary.insert(0, decision(Subject::CustomerNumber(customer_number.clone())));
            }
            Self::AcceptInvitation { identity, .. }
            | Self::RequestAccess { identity, .. }
            | Self::InviteByAssociation { identity, .. } => boundary.push(decision(Subject::Identity(*identity))),
            Self::AssignPartner { partner, .. } => add_account(&mut boundary, *partner),
            Self::ErasePerson { identities, .. } => {
                boundary.extend(identities.iter().map(|identity| decision(Subject::Identity(*identity))));
            }
            Self::RegisterIdentity { identity, .. }
            | Self::RecordAssociationLimit { identity, .. }
            | Self::EraseIdentity { identity } => {
                boundary.push(decision(Subject::Identity(*identity)));
            }
            Self::RecordAuditRead { subject, .. } => boundary.push(Read { subject: subject.clone(), classes: AUDIT }),
            _ => {}
        }
        boundary
    }

    /// Which events about its account make the decision stale.
    const fn classes(&self) -> &'static [Class] {
        match self {
            Self::RecordVisit { .. } | Self::ClickLink { .. } => VISIT,
            Self::RequestLatestLink { .. } | Self::IssueMailboxCode { .. } => CODE,
            Self::AttemptMail { .. }
            | Self::RecordMailOutcome { .. }
            | Self::RecordBounce { .. }
            | Self::ErasePerson { .. } => MAIL,
            Self::ProposeAppointment { .. } | Self::RecordSignIn { .. } => SIGN_IN,
            _ => DECISION,
        }
    }

    /// The account that the command is about; none for those about an identity or a history.
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::RecordVisit { link }
            | Self::ClickLink { link, .. }
            | Self::RequestLatestLink { link, .. }
            | Self::IssueMailboxCode { link, .. }
            | Self::AcceptInvitation { link, .. } => Some(link.account),
            Self::OpenAccount { account, .. }
            | Self::SetServicePlan { account, .. }
            | Self::RenameAccount { account, .. }
            | Self::CloseAccount { account }
            | Self::AssignPartner { account, .. }
            | Self::RemovePartner { account, .. }
            | Self::AddProfessional { account, .. }
            | Self::EditProfessional { account, .. }
            | Self::DeleteProfessional { account, .. }
            | Self::HandOver { account, .. }
            | Self::GiveRole { account, .. }
            | Self::TakeRole { account, .. }
            | Self::UnlinkIdentity { account, .. }
            | Self::SendInvitation { account, .. }
            | Self::RevokeInvitation { account, .. }
            | Self::RetryInvitation { account, .. }
            | Self::InviteByAssociation { account, .. }
            | Self::RequestAccess { account, .. }
            | Self::ApproveAccessRequest { account, .. }
            | Self::DeclineAccessRequest { account, .. }
            | Self::ProposeAppointment { account, .. }
            | Self::ObjectToAppointment { account, .. }
            | Self::DecideAppointment { account, .. }
            | Self::CarryOutAppointment { account, .. }
            | Self::RecordSignIn { account, .. }
            | Self::ErasePerson { account, .. }
            | Self::RecordBounce { account, .. }
            | Self::AttemptMail { account, .. }
            | Self::RecordMailOutcome { account, .. } => Some(*account),
            Self::RegisterIdentity { .. }
            | Self::RecordAssociationLimit { .. }
            | Self::EraseIdentity { .. }
            | Self::RecordAuditRead { .. } => None,
        }
    }

    /// The one professional that the command changes, so that `If-Match` speaks of it rather than of the account.
    pub const fn professional(&self) -> Option<ProfessionalId> {
        match self {
            Self::EditProfessional { professional, .. }
            | Self::DeleteProfessional { professional, .. }
            | Self::HandOver { professional, .. }
            | Self::GiveRole { professional, .. }
            | Self::TakeRole { professional, .. }
            | Self::UnlinkIdentity { professional, .. }
            | Self::SendInvitation { professional, .. }
            | Self::ErasePerson { professional, .. } => Some(*professional),
            _ => None,
        }
    }

    /// A subject that cannot have events yet, because the command brings its fresh id: no need to load it.
    pub fn fresh_subject(&self) -> Option<Subject> {
        match self {
            Self::OpenAccount { account, .. } => Some(Subject::Account(*account)),
            _ => None,
        }
    }

    /// The person who is new with this command and needs a key.
    pub fn fresh_person(&self) -> Option<Person> {
        match self {
            Self::AddProfessional { professional, .. } | Self::ApproveAccessRequest { professional, .. } => {
                Some(Person::Professional(*professional))
            }
            Self::RegisterIdentity { identity, .. } => Some(Person::Identity(*identity)),
            _ => None,
        }
    }

    /// The person who is known already and under whose key the command seals something.
    pub fn known_person(&self) -> Option<Person> {
        match self {
            Self::RecordMailOutcome { professional, .. }
            | Self::RecordBounce { professional, .. }
            | Self::EditProfessional { professional, .. }
            | Self::ProposeAppointment { professional, .. } => Some(Person::Professional(*professional)),
            Self::RetryInvitation { professional, .. } => Some(Person::Professional(*professional)),
            Self::RequestAccess { identity, .. } => Some(Person::Identity(*identity)),
            _ => None,
        }
    }

    /// The command's name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OpenAccount { .. } => "OpenAccount",
            Self::SetServicePlan { .. } => "SetServicePlan",
            Self::RenameAccount { .. } => "RenameAccount",
            Self::CloseAccount { .. } => "CloseAccount",
            Self::AssignPartner { .. } => "AssignPartner",
            Self::RemovePartner { .. } => "RemovePartner",
            Self::AddProfessional { .. } => "AddProfessional",
            Self::EditProfessional { .. } => "EditProfessional",
            Self::DeleteProfessional { .. } => "DeleteProfessional",
            Self::HandOver { .. } => "HandOver",
            Self::GiveRole { .. } => "GiveRole",
            Self::TakeRole { .. } => "TakeRole",
            Self::UnlinkIdentity { .. } => "UnlinkIdentity",
            Self::SendInvitation { .. } => "SendInvitation",
            Self::RevokeInvitation { .. } => "RevokeInvitation",
            Self::RetryInvitation { .. } => "RetryInvitation",
            Self::InviteByAssociation { .. } => "InviteByAssociation",
            Self::RecordAssociationLimit { .. } => "RecordAssociationLimit",
            Self::RequestAccess { .. } => "RequestAccess",
            Self::ApproveAccessRequest { .. } => "ApproveAccessRequest",
            Self::DeclineAccessRequest { .. } => "DeclineAccessRequest",
            Self::ProposeAppointment { .. } => "ProposeAppointment",
            Self::ObjectToAppointment { .. } => "ObjectToAppointment",
            Self::DecideAppointment { .. } => "DecideAppointment",
            Self::CarryOutAppointment { .. } => "CarryOutAppointment",
            Self::RecordSignIn { .. } => "RecordSignIn",
            Self::ErasePerson { .. } => "ErasePerson",
            Self::EraseIdentity { .. } => "EraseIdentity",
            Self::RecordAuditRead { .. } => "RecordAuditRead",
            Self::RecordBounce { .. } => "RecordBounce",
            Self::RecordVisit { .. } => "RecordVisit",
            Self::ClickLink { .. } => "ClickLink",
            Self::RequestLatestLink { .. } => "RequestLatestLink",
            Self::IssueMailboxCode { .. } => "IssueMailboxCode",
            Self::AcceptInvitation { .. } => "AcceptInvitation",
            Self::RegisterIdentity { .. } => "RegisterIdentity",
            Self::AttemptMail { .. } => "AttemptMail",
            Self::RecordMailOutcome { .. } => "RecordMailOutcome",
        }
    }
}

/// Adds another account's decisions to a boundary that may have them already.
fn add_account(boundary: &mut Vec<Read>, account: AccountId) {
    let subject = Subject::Account(account);
    if boundary.iter().all(|read| read.subject != subject) {
        boundary.push(Read { subject, classes: DECISION });
    }
}
