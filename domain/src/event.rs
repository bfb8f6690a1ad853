//! The events: what happened, in the past tense. Once released, none is ever changed: a new field has a default, a
//! new meaning is a new event.
//!
//! Facts are plain and refer to people by id. What is personal stands in a field that is skipped here and sealed by
//! the store; `None` there means that it was erased.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::address::EmailAddress;
use crate::caller::{Actor, Request};
use crate::ids::{
    AccessRequestId, AccountId, AppointmentId, EventId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId,
};
use crate::name::{AccountName, CustomerNumber};
use crate::personal::{Grounds, IdentityDetails, Person, Personal, ProfessionalDetails};
use crate::tag::{Class, Subject, Tag};
use crate::time::Timestamp;
use crate::words::{AccountKind, Authority, IdentityKind, Language, Role};

/// A place in the log: 1, 2, 3 … without gaps, in commit order. 0 is before the first event.
pub type Position = i64;

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// Its own id.
    pub id: EventId,
    /// The time of its command; never earlier than what the command had read.
    pub recorded_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The request it came from.
    pub request: Request,
    /// What happened.
    pub event: Event,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident: $class:ident about $($about:ident)+;)+) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $name($name)),+
        }

        impl Event {
            /// Every event type's name.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The event type's name, as it stands in the envelope.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),+ }
            }

            /// Which decisions it matters to.
            pub const fn class(&self) -> Class {
                match self { $(Self::$name(_) => Class::$class),+ }
            }

            /// The ids of what it is about.
            pub fn about(&self) -> About {
                match self { $(Self::$name(e) => About { $($about: Option::from(e.$about),)+ ..About::default() }),+ }
            }

            /// The plain facts as JSON.
            pub fn facts(&self) -> String {
                match self { $(Self::$name(facts) => serde_json::to_string(facts)),+ }
                    .expect("invariant: facts are ids, words, numbers and texts")
            }

            /// Reads the facts of the event type `name`; for a type that this version does not know, reads over them.
            ///
            /// # Errors
            /// The facts are not those of the type.
            pub fn from_facts<'de, D: Deserializer<'de>>(name: &str, facts: D) -> Result<Option<Self>, D::Error> {
                match name {
                    $(stringify!($name) => $name::deserialize(facts).map(|facts| Some(Self::$name(facts))),)+
                    _ => IgnoredAny::deserialize(facts).map(|_| None),
                }
            }
        }

        $(impl From<$name> for Event {
            fn from(event: $name) -> Self {
                Self::$name(event)
            }
        })+
    };
}

events!(
    /// An account was opened.
    AccountOpened: Decision about account;
    /// An account got another name.
    AccountRenamed: Decision about account;
    /// An account was closed.
    AccountClosed: Decision about account;
    /// A service plan was set or taken away.
    ServicePlanSet: Decision about account;
    /// A partner began to serve the account.
    PartnerAssigned: Decision about account;
    /// A partner serves the account no longer.
    PartnerRemoved: Decision about account;
    /// A person was added to an account.
    ProfessionalAdded: Decision about account professional;
    /// A person's name, address or language changed.
    ProfessionalEdited: Decision about account professional;
    /// A person was deleted from an account.
    ProfessionalDeleted: Decision about account professional;
    /// A role was given; a mandatory one moved.
    RoleGiven: Decision about account professional;
    /// The administrator role was taken away.
    RoleTaken: Decision about account professional;
    /// An invitation, or a new generation of one, was issued; its mail waits.
    InvitationIssued: Decision about account professional invitation;
    /// An invitation was revoked.
    InvitationRevoked: Decision about account professional invitation;
    /// A link was opened, by a person or a machine.
    LinkVisited: Visit about account professional invitation;
    /// The click on a link's page that starts the sign-in.
    LinkClicked: Visit about account professional invitation;
    /// The holder of an older link asked for the newest one.
    LatestLinkRequested: Code about account professional invitation;
    /// A code for the registered mailbox was issued; its mail waits.
    MailboxCodeIssued: Code about account professional invitation;
    /// An identity signed in for the first time.
    IdentityRegistered: Decision about identity;
    /// An identity was tied to a professional.
    IdentityAssociated: Decision about account professional invitation;
    /// An identity was untied from a professional.
    IdentityUnlinked: Decision about account professional;
    /// More profiles were registered with an address than one request mails.
    AssociationMailsLimited: Decision about identity;
    /// Somebody asked to be added to an account.
    AccessRequested: Decision about account;
    /// An access request was granted: the person was added and invited.
    AccessRequestApproved: Decision about account professional;
    /// An access request was turned down.
    AccessRequestDeclined: Decision about account;
    /// A partner or support proposed a new administrator.
    AppointmentProposed: Decision about account professional;
    /// An administrator objected, so that support decides.
    AppointmentObjected: Decision about account professional;
    /// An appointment was carried out, rejected or withdrawn.
    AppointmentEnded: Decision about account professional;
    /// An administrator signed in.
    AdministratorSignedIn: SignIn about account professional;
    /// A notice to one person was issued; its mail waits.
    NoticeIssued: Decision about account professional;
    /// What was personal about a professional was erased.
    ProfessionalErased: Decision about account professional;
    /// What was personal about an identity was erased.
    IdentityErased: Decision about identity;
    /// Somebody read a history.
    AuditRead: Audit about account identity;
    /// A mail that had been taken over came back.
    MailBounced: Mail about account professional invitation;
    /// A worker claimed an attempt to send a mail.
    MailAttempted: Mail about account professional invitation;
    /// The mail server took the mail over.
    MailSent: Mail about account professional invitation;
    /// The mail server refused the mail for good.
    MailRefused: Mail about account professional invitation;
    /// The mail server refused the mail for now.
    MailDeferred: Mail about account professional invitation;
    /// Nobody knows whether the mail was taken over.
    MailOutcomeUnknown: Mail about account professional invitation;
    /// The mail waits for an operator.
    MailParked: Mail about account professional invitation;
    /// The mail is no longer wanted.
    MailCancelled: Mail about account professional invitation;
);

/// The ids of what an event is about; most are about some of them only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The account.
    pub account: Option<AccountId>,
    /// The professional.
    pub professional: Option<ProfessionalId>,
    /// The invitation.
    pub invitation: Option<InvitationId>,
    /// The identity, of events about an identity alone.
    pub identity: Option<IdentityId>,
}

/// A customer account's entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// The plan's name, such as "Enhancement Plan".
    pub name: AccountName,
    /// The first moment of the plan.
    pub starts_at: Timestamp,
    /// The first moment after the plan.
    pub ends_at: Timestamp,
}

impl ServicePlan {
    /// Whether the plan runs at `now`.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }
}

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// The account.
    pub account: AccountId,
    /// The vendor's number for it.
    pub customer_number: CustomerNumber,
    /// Customer or partner.
    pub kind: AccountKind,
    /// The organisation's name.
    pub name: AccountName,
}

/// An account got another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRenamed {
    /// The account.
    pub account: AccountId,
    /// Its name from now on.
    pub name: AccountName,
}

/// An account was closed: nothing happens in it any more but erasure (R7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosed {
    /// The account.
    pub account: AccountId,
}

/// A partner began to serve a customer account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerAssigned {
    /// The customer account.
    pub account: AccountId,
    /// The partner account.
    pub partner: AccountId,
}

/// A partner serves a customer account no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerRemoved {
    /// The customer account.
    pub account: AccountId,
    /// The partner account.
    pub partner: AccountId,
}

/// A service plan was set; none ends the entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlanSet {
    /// The account.
    pub account: AccountId,
    /// The plan, or none.
    pub plan: Option<ServicePlan>,
}

/// A person was added to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfessionalAdded {
    /// The account.
    pub account: AccountId,
    /// The new profile.
    pub professional: ProfessionalId,
    /// The language of mail to the person.
    pub language: Language,
    /// Name and address; none once erased.
    #[serde(skip)]
    pub details: Option<ProfessionalDetails>,
}

/// A person's name, address or language changed; the details are those from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfessionalEdited {
    /// The account.
    pub account: AccountId,
    /// The profile.
    pub professional: ProfessionalId,
    /// The language of mail to the person.
    pub language: Language,
    /// Whether the address is another one than before.
    pub address_changed: bool,
    /// Name and address; none once erased.
    #[serde(skip)]
    pub details: Option<ProfessionalDetails>,
}

/// A person was deleted from an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfessionalDeleted {
    /// The account.
    pub account: AccountId,
    /// The profile.
    pub professional: ProfessionalId,
}

/// The administrator role was taken away. Mandatory roles only move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleTaken {
    /// The account.
    pub account: AccountId,
    /// Who held it.
    pub professional: ProfessionalId,
    /// The role.
    pub role: Role,
}

/// A role was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleGiven {
    /// The account.
    pub account: AccountId,
    /// The new holder.
    pub professional: ProfessionalId,
    /// The role.
    pub role: Role,
    /// The holder before, for a mandatory role that moved.
    pub from: Option<ProfessionalId>,
}

/// A generation of an invitation was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationIssued {
    /// The account.
    pub account: AccountId,
    /// Who is invited.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// 1 for the first link, one more for each re-send.
    pub generation: u32,
    /// The first moment at which the link no longer works.
    pub expires_at: Timestamp,
    /// The key that the link's token is derived with.
    pub link_key: String,
    /// Whether accepting may replace another identity (R11).
    pub may_replace: bool,
    /// The mail that carries the link.
    pub mail: MailId,
    /// With what right it was issued; none in events of before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Authority>,
    /// The partner on whose behalf it was issued; when the partner goes, so does the invitation (R22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<AccountId>,
    /// The only identity that can accept it: the one that asked for it on the association page (R14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<IdentityId>,
}

/// Why an invitation was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// Somebody with authority over the account revoked it.
    Asked,
    /// The person's address changed (R16).
    AddressChanged,
    /// The person was deleted.
    ProfessionalDeleted,
    /// The person's identity was untied: no older proof outlives it.
    IdentityUnlinked,
    /// The account was closed.
    AccountClosed,
    /// The partner that issued it serves the account no longer (R22).
    PartnerRemoved,
    /// The person became an administrator, out of the reach of the partner or the staff who issued it (R6).
    Promoted,
    /// The person was linked by another invitation.
    AnotherAccepted,
}

/// An invitation was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRevoked {
    /// The account.
    pub account: AccountId,
    /// Who was invited.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// Its newest generation.
    pub generation: u32,
    /// Why.
    pub reason: RevocationReason,
}

/// A link was opened; at most [`crate::invitation::VISITS_MAX`] for a generation are recorded (R24).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkVisited {
    /// The account.
    pub account: AccountId,
    /// Who is invited.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// The link's generation.
    pub generation: u32,
}

/// The click that starts the sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkClicked {
    /// The account.
    pub account: AccountId,
    /// Who is invited.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// The link's generation.
    pub generation: u32,
    /// The browser's passage.
    pub flow: FlowId,
}

/// The holder of an older link asked for the newest, which goes to the registered mailbox again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestLinkRequested {
    /// The account.
    pub account: AccountId,
    /// Who is invited.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// The newest generation, whose link is mailed again.
    pub generation: u32,
    /// 1 for the first such request for this generation.
    pub number: u32,
    /// The mail that carries the link.
    pub mail: MailId,
}

/// A code for the registered mailbox was issued (R15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxCodeIssued {
    /// The account.
    pub account: AccountId,
    /// Whose mailbox.
    pub professional: ProfessionalId,
    /// The invitation.
    pub invitation: InvitationId,
    /// The link's generation.
    pub generation: u32,
    /// The browser's passage that asks.
    pub flow: FlowId,
    /// 1 for the first code of this generation; the code is derived from flow and number.
    pub number: u32,
    /// The first moment at which the code no longer works.
    pub expires_at: Timestamp,
    /// The key that the code is derived with.
    pub code_key: String,
    /// The mail that carries the code.
    pub mail: MailId,
}

/// An identity signed in for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRegistered {
    /// The identity.
    pub identity: IdentityId,
    /// The configured issuer's short name.
    pub issuer: String,
    /// Personal or organizational.
    pub kind: IdentityKind,
    /// What the provider told; none once erased.
    #[serde(skip)]
    pub details: Option<IdentityDetails>,
}

/// What showed that the person reads the registered mailbox (R15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxProof {
    /// The code that went there was typed in.
    Code,
    /// The identity has that address, and its issuer is trusted for it.
    TrustedAddress,
    /// The link went there at the wish of this identity, and only this identity can use it (R14).
    AssociationLink,
}

/// An identity was tied to a professional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityAssociated {
    /// The account.
    pub account: AccountId,
    /// The profile.
    pub professional: ProfessionalId,
    /// The invitation that was accepted.
    pub invitation: InvitationId,
    /// Its generation.
    pub generation: u32,
    /// The identity that the profile had before.
    pub from: Option<IdentityId>,
    /// The identity that it has now.
    pub to: IdentityId,
    /// What showed that the person reads the registered mailbox.
    pub proof: MailboxProof,
}

/// An identity was untied from a professional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityUnlinked {
    /// The account.
    pub account: AccountId,
    /// The profile.
    pub professional: ProfessionalId,
    /// The identity that it had.
    pub identity: IdentityId,
}

/// An association request found more profiles than it mails; support can see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationMailsLimited {
    /// Who asked.
    pub identity: IdentityId,
    /// How many profiles were left without a mail.
    pub left_out: u32,
}

/// Somebody asked to be added to an account (R23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequested {
    /// The account.
    pub account: AccountId,
    /// The request.
    pub access_request: AccessRequestId,
    /// Who asked; the details are sealed under this identity's key.
    pub identity: IdentityId,
    /// The language of mail to the person.
    pub language: Language,
    /// The name and the address to be known by; none once erased.
    #[serde(skip)]
    pub details: Option<ProfessionalDetails>,
}

/// An access request was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequestApproved {
    /// The account.
    pub account: AccountId,
    /// The profile that was added for it.
    pub professional: ProfessionalId,
    /// The request.
    pub access_request: AccessRequestId,
}

/// An access request was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequestDeclined {
    /// The account.
    pub account: AccountId,
    /// The request.
    pub access_request: AccessRequestId,
}

/// A partner or support proposed a new administrator (R21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentProposed {
    /// The account.
    pub account: AccountId,
    /// Who shall become administrator.
    pub professional: ProfessionalId,
    /// The appointment.
    pub appointment: AppointmentId,
    /// The administrator who shall lose the role.
    pub replaces: Option<ProfessionalId>,
    /// The partner that proposed it; none for support.
    pub partner: Option<AccountId>,
    /// The first moment at which no administrator can object any more; none where it is carried out at once.
    pub window_ends_at: Option<Timestamp>,
    /// Reason and evidence; none once erased.
    #[serde(skip)]
    pub grounds: Option<Grounds>,
}

/// An administrator objected to an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentObjected {
    /// The account.
    pub account: AccountId,
    /// Who objected.
    pub professional: ProfessionalId,
    /// The appointment.
    pub appointment: AppointmentId,
}

/// How an appointment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppointmentOutcome {
    /// The professional became administrator.
    CarriedOut,
    /// Support decided against it.
    Rejected,
    /// The partner, the professional or the account went before it was carried out.
    Withdrawn,
}

/// An appointment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentEnded {
    /// The account.
    pub account: AccountId,
    /// Who was to become administrator.
    pub professional: ProfessionalId,
    /// The appointment.
    pub appointment: AppointmentId,
    /// How it ended.
    pub outcome: AppointmentOutcome,
}

/// An administrator signed in; at most one a day is recorded (R21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdministratorSignedIn {
    /// The account.
    pub account: AccountId,
    /// The administrator.
    pub professional: ProfessionalId,
    /// The identity that signed in.
    pub identity: IdentityId,
}

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The profile has another registered address (R16).
    AddressChanged,
    /// The profile has another identity (R11).
    IdentityReplaced,
    /// A new administrator was proposed, and one can object (R21).
    AppointmentProposed,
    /// A new administrator was appointed (R21).
    AppointmentCarriedOut,
}

/// Where a notice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeTo {
    /// To the address that is registered when it is sent.
    Registered,
    /// To the address that was registered before; it travels sealed.
    Former,
    /// To the address in the records of this identity's provider, if there is one.
    Identity(IdentityId),
}

/// A notice was issued; it never carries a link that grants anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeIssued {
    /// The account.
    pub account: AccountId,
    /// Whom it is for.
    pub professional: ProfessionalId,
    /// What it tells.
    pub notice: Notice,
    /// Where it goes.
    pub to: NoticeTo,
    /// The appointment that it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appointment: Option<AppointmentId>,
    /// The mail that carries it.
    pub mail: MailId,
    /// The former address, where it goes there; none once erased.
    #[serde(skip)]
    pub address: Option<EmailAddress>,
}

/// What was personal about a professional was erased: the person's key is destroyed in the same append (R27).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfessionalErased {
    /// The account.
    pub account: AccountId,
    /// The profile.
    pub professional: ProfessionalId,
    /// Every invitation of the person: what servers answered to its mails is erased, too.
    pub invitations: Vec<InvitationId>,
    /// Every appointment of the person: its grounds are erased, too.
    pub appointments: Vec<AppointmentId>,
}

/// What was personal about an identity was erased: its key is destroyed in the same append (R27).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityErased {
    /// The identity.
    pub identity: IdentityId,
    /// Its access requests that were open.
    pub access_requests: Vec<AccessRequestId>,
    /// The accounts that it asked to be added to: their decisions must not use what was erased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountId>,
}

/// Somebody read a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRead {
    /// The account that it was about, if it was about one.
    pub account: Option<AccountId>,
    /// The identity that it was about, if it was about one.
    pub identity: Option<IdentityId>,
    /// The tag whose events were read; [`AuditRead::WHOLE_LOG`] where it was every event.
    pub tag: String,
}

impl AuditRead {
    /// Stands for a tag where the whole log was read.
    pub const WHOLE_LOG: &'static str = "log";
}

macro_rules! mail_event {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $(@$skip:ident)? $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// The account.
            pub account: AccountId,
            /// To whom.
            pub professional: ProfessionalId,
            /// About which invitation; none for a notice.
            pub invitation: Option<InvitationId>,
            /// The mail.
            pub mail: MailId,
            /// 1 for the first attempt; 0 where none was made.
            pub attempt: u32,
            $($(#[$field_doc])* $(#[serde($skip)])? pub $field: $type),*
        }
    };
}

mail_event!(
    /// A worker claimed an attempt; nobody else sends it meanwhile.
    MailAttempted {}
);
mail_event!(
    /// The mail server took the mail over.
    MailSent {
        /// What the server answered; it may name the address, so it is sealed.
        @skip reply: Option<String>,
    }
);
mail_event!(
    /// The mail server refused the mail for good (5xx).
    MailRefused {
        /// The server's code, such as 550.
        code: Option<u16>,
        /// What the server answered.
        @skip reply: Option<String>,
    }
);
mail_event!(
    /// The mail server refused the mail for now (4xx), or could not be reached.
    MailDeferred {
        /// The server's code, such as 451; none where there was no answer.
        code: Option<u16>,
        /// When the next attempt is due.
        retry_at: Timestamp,
        /// What the server answered.
        @skip reply: Option<String>,
    }
);
mail_event!(
    /// Nobody knows whether the mail was taken over: the mail may arrive twice.
    MailOutcomeUnknown {
        /// When the next attempt is due.
        retry_at: Timestamp,
        /// What was seen.
        @skip reply: Option<String>,
    }
);

/// Why a mail waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// It was deferred for as long as it is allowed to be.
    DeferredTooLong,
    /// Its outcome was unknown too often.
    UnknownTooOften,
}

mail_event!(
    /// The mail waits for an operator.
    MailParked {
        /// Why.
        reason: ParkReason,
    }
);

/// Why a mail is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A newer generation was issued.
    Superseded,
    /// The invitation was revoked.
    Revoked,
    /// The invitation was accepted meanwhile.
    Accepted,
    /// What it carries no longer works.
    Expired,
    /// The person was deleted.
    Deleted,
    /// The person was erased.
    Erased,
    /// A notice for an identity's address: there is none, or it is one that is told anyway.
    NoOtherAddress,
}

mail_event!(
    /// A mail that had been taken over came back. The invitation stays valid.
    MailBounced {
        /// The enhanced status code of RFC 3463, such as 5.1.1, if it was told.
        status: Option<String>,
        /// What the server told.
        @skip reply: Option<String>,
    }
);
mail_event!(
    /// The mail is no longer wanted and was not sent.
    MailCancelled {
        /// Why.
        reason: CancelReason,
    }
);

impl Event {
    /// Everything that the event is about.
    pub fn tags(&self) -> Vec<Tag> {
        let about = self.about();
        let mut tags = Vec::with_capacity(5);
        tags.extend(about.account.map(Tag::Account));
        tags.extend(about.professional.map(Tag::Professional));
        tags.extend(about.invitation.map(Tag::Invitation));
        tags.extend(about.identity.map(Tag::Identity));
        match self {
            Self::AccountOpened(e) => tags.push(Tag::CustomerNumber(e.customer_number.clone())),
            Self::IdentityAssociated(e) => {
                tags.push(Tag::Identity(e.to));
                tags.extend(e.from.map(Tag::Identity));
            }
            Self::IdentityUnlinked(e) => tags.push(Tag::Identity(e.identity)),
            Self::AccessRequested(e) => tags.push(Tag::Identity(e.identity)),
            Self::IdentityErased(e) => tags.extend(e.accounts.iter().copied().map(Tag::Account)),
            _ => {}
        }
        tags
    }

    /// What the log indexes the event by, its request aside.
    pub fn subjects(&self) -> Vec<Subject> {
        self.tags().into_iter().filter_map(Tag::subject).collect()
    }

    /// The personal part and whose it is; none where the event has none or it was erased.
    pub fn personal(&self) -> Option<(Person, Personal)> {
        let of = |professional| Person::Professional(professional);
        match self {
            Self::ProfessionalAdded(e) => {
                e.details.clone().map(|details| (of(e.professional), Personal::Professional(details)))
            }
            Self::ProfessionalEdited(e) => {
                e.details.clone().map(|details| (of(e.professional), Personal::Professional(details)))
            }
            Self::AccessRequested(e) => {
                e.details.clone().map(|details| (Person::Identity(e.identity), Personal::Professional(details)))
            }
            Self::AppointmentProposed(e) => {
                e.grounds.clone().map(|grounds| (of(e.professional), Personal::Grounds(grounds)))
            }
            Self::NoticeIssued(e) => e.address.clone().map(|address| (of(e.professional), Personal::Address(address))),
            Self::MailBounced(e) => e.reply.clone().map(|reply| (of(e.professional), Personal::Reply(reply))),
            Self::IdentityRegistered(e) => {
                e.details.clone().map(|details| (Person::Identity(e.identity), Personal::Identity(details)))
            }
            Self::MailSent(e) => e.reply.clone().map(|reply| (of(e.professional), Personal::Reply(reply))),
            Self::MailRefused(e) => e.reply.clone().map(|reply| (of(e.professional), Personal::Reply(reply))),
            Self::MailDeferred(e) => e.reply.clone().map(|reply| (of(e.professional), Personal::Reply(reply))),
            Self::MailOutcomeUnknown(e) => e.reply.clone().map(|reply| (of(e.professional), Personal::Reply(reply))),
            _ => None,
        }
    }

    /// Puts an opened personal part back in its place; a part of another kind is left out.
    pub fn set_personal(&mut self, personal: Personal) {
        match (self, personal) {
            (Self::ProfessionalAdded(e), Personal::Professional(details)) => e.details = Some(details),
            (Self::ProfessionalEdited(e), Personal::Professional(details)) => e.details = Some(details),
            (Self::AccessRequested(e), Personal::Professional(details)) => e.details = Some(details),
            (Self::AppointmentProposed(e), Personal::Grounds(grounds)) => e.grounds = Some(grounds),
            (Self::NoticeIssued(e), Personal::Address(address)) => e.address = Some(address),
            (Self::MailBounced(e), Personal::Reply(reply)) => e.reply = Some(reply),
            (Self::IdentityRegistered(e), Personal::Identity(details)) => e.details = Some(details),
            (Self::MailSent(e), Personal::Reply(reply)) => e.reply = Some(reply),
            (Self::MailRefused(e), Personal::Reply(reply)) => e.reply = Some(reply),
            (Self::MailDeferred(e), Personal::Reply(reply)) => e.reply = Some(reply),
            (Self::MailOutcomeUnknown(e), Personal::Reply(reply)) => e.reply = Some(reply),
            _ => {}
        }
    }
}

impl Event {
    /// Whether the event changes the account itself, as readers of it see it.
    pub const fn changes_account(&self) -> bool {
        matches!(
            self,
            Self::AccountOpened(_)
                | Self::AccountRenamed(_)
                | Self::AccountClosed(_)
                | Self::ServicePlanSet(_)
                | Self::PartnerAssigned(_)
                | Self::PartnerRemoved(_)
        )
    }

    /// The professionals that the event changes, as readers of them see them.
    pub fn changed_professionals(&self) -> Vec<ProfessionalId> {
        match self {
            Self::ProfessionalAdded(e) => vec![e.professional],
            Self::ProfessionalEdited(e) => vec![e.professional],
            Self::ProfessionalDeleted(e) => vec![e.professional],
            Self::ProfessionalErased(e) => vec![e.professional],
            Self::RoleGiven(e) => [Some(e.professional), e.from].into_iter().flatten().collect(),
            Self::RoleTaken(e) => vec![e.professional],
            Self::InvitationIssued(e) if e.bound_to.is_none() => vec![e.professional],
            Self::IdentityAssociated(e) => vec![e.professional],
            Self::IdentityUnlinked(e) => vec![e.professional],
            _ => vec![],
        }
    }

    /// The person whose key the event destroys.
    pub const fn erased_person(&self) -> Option<Person> {
        match self {
            Self::ProfessionalErased(e) => Some(Person::Professional(e.professional)),
            Self::IdentityErased(e) => Some(Person::Identity(e.identity)),
            _ => None,
        }
    }
}

impl MailId {
    /// The id of a notice's mail: one for each place that one happening is told to.
    pub fn of_notice(happening: Uuid, place: usize) -> Self {
        Self(Uuid::new_v5(&happening, format!("notice/{place}").as_bytes()))
    }

    /// The id of the mail of one kind about one generation: the same to-do always has the same id.
    pub fn derive(invitation: InvitationId, generation: u32, kind: &str, number: u32) -> Self {
        Self(Uuid::new_v5(&invitation.0, format!("{generation}/{kind}/{number}").as_bytes()))
    }
}
