//! The commands: wishes, each with the boundary that its decision reads.

use crate::event::ServicePlan;
use crate::ids::{AccountId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::invitation::{Lifetime, Link, Mailbox};
use crate::mail::MailOutcome;
use crate::name::{AccountName, CustomerNumber};
use crate::personal::{IdentityDetails, Person, ProfessionalDetails};
use crate::tag::{Class, Subject};
use crate::words::{AccountKind, IdentityKind, Language};

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

impl Command {
    /// What the decision reads. Invariant: events that the command appends about one of these subjects are of the
    /// classes named here, so that two equal commands never both pass.
    pub fn boundary(&self) -> Vec<Read> {
        let of_account = |account: &AccountId, classes| vec![Read { subject: Subject::Account(*account), classes }];
        match self {
            Self::OpenAccount { account, customer_number, .. } => vec![
                Read { subject: Subject::CustomerNumber(customer_number.clone()), classes: DECISION },
                Read { subject: Subject::Account(*account), classes: DECISION },
            ],
            Self::RegisterIdentity { identity, .. } => {
                vec![Read { subject: Subject::Identity(*identity), classes: DECISION }]
            }
            Self::SetServicePlan { account, .. }
            | Self::AddProfessional { account, .. }
            | Self::SendInvitation { account, .. }
            | Self::RevokeInvitation { account, .. } => of_account(account, DECISION),
            Self::AcceptInvitation { link, .. } => of_account(&link.account, DECISION),
            Self::RecordVisit { link } | Self::ClickLink { link, .. } => of_account(&link.account, VISIT),
            Self::RequestLatestLink { link, .. } | Self::IssueMailboxCode { link, .. } => {
                of_account(&link.account, CODE)
            }
            Self::AttemptMail { account, .. } | Self::RecordMailOutcome { account, .. } => of_account(account, MAIL),
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
            Self::AddProfessional { professional, .. } => Some(Person::Professional(*professional)),
            Self::RegisterIdentity { identity, .. } => Some(Person::Identity(*identity)),
            _ => None,
        }
    }

    /// The person who is known already and under whose key the command seals something.
    pub fn known_person(&self) -> Option<Person> {
        match self {
            Self::RecordMailOutcome { professional, .. } => Some(Person::Professional(*professional)),
            _ => None,
        }
    }

    /// The command's name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OpenAccount { .. } => "OpenAccount",
            Self::SetServicePlan { .. } => "SetServicePlan",
            Self::AddProfessional { .. } => "AddProfessional",
            Self::SendInvitation { .. } => "SendInvitation",
            Self::RevokeInvitation { .. } => "RevokeInvitation",
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
