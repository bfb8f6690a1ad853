//! Refusals: what a decision answers when it will not do what was asked. A refusal is a value, not a failure.

use crate::ids::ProfessionalId;
use crate::words::Role;

/// One thing that stands in the way, and the one command that would get past it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The stable code.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
    /// The professional that it is about.
    pub professional: Option<ProfessionalId>,
    /// What would get past it, as method and path relative to the account.
    pub command: Option<String>,
}

/// Which kind of answer a refusal is; the HTTP status follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The caller may not.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    Unknown,
    /// It was there and is not any more.
    Gone,
    /// The state is against it.
    Conflict,
    /// What was asked makes no sense.
    Invalid,
    /// A budget is used up.
    TooMany,
    /// What it is about has changed since the caller read it.
    Changed,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $kind:ident, $sentence:literal;)+) => {
        /// Why a command was refused.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($sentence)] $name,)+
            /// Something stands in the way; every blocker is listed.
            #[error("{sentence}")]
            Blocked {
                /// The stable code.
                code: &'static str,
                /// One sentence for people.
                sentence: String,
                /// Everything that stands in the way.
                blockers: Vec<Blocker>,
            },
        }

        impl Refusal {
            /// Code and sentence of every refusal that carries no blockers.
            pub const CODES: &'static [(&'static str, &'static str)] = &[$(($code, $sentence)),+];

            /// The stable code.
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$name => $code,)+ Self::Blocked { code, .. } => code }
            }

            /// Which kind of answer it is.
            pub const fn kind(&self) -> RefusalKind {
                match self { $(Self::$name => RefusalKind::$kind,)+ Self::Blocked { .. } => RefusalKind::Conflict }
            }
        }
    };
}

refusals!(
    /// No such account, or the caller has no profile in it.
    UnknownAccount = "unknown_account", Unknown, "There is no such account.";
    /// No such professional in this account.
    UnknownProfessional = "unknown_professional", Unknown, "There is no such professional in this account.";
    /// No such invitation in this account.
    UnknownInvitation = "unknown_invitation", Unknown, "There is no such invitation.";
    /// The caller lacks the scope.
    ScopeMissing = "scope_missing", Forbidden, "This needs a scope that the caller does not have.";
    /// The caller is in the account but no administrator of it.
    NotAdministrator = "not_administrator", Forbidden, "Only an administrator of the account may do this.";
    /// The caller said it acts as a profile that is not its own.
    NotYourProfile = "not_your_profile", Forbidden, "This identity is not associated with that profile.";
    /// The account was closed.
    AccountClosed = "account_closed", Conflict, "The account is closed.";
    /// What the command is about has changed since the caller read it.
    ChangedSinceRead = "changed_since_read", Changed,
        "It has changed since you read it. Read it again and decide anew.";
    /// No such access request, or it was answered.
    UnknownAccessRequest = "unknown_access_request", Unknown, "There is no such open access request.";
    /// What was personal about the asking person was erased.
    AccessRequestErased = "access_request_erased", Gone, "The details of this access request were erased.";
    /// No such identity.
    UnknownIdentity = "unknown_identity", Unknown, "There is no such identity.";
    /// What was personal about the identity was erased; a new sign-in is another identity.
    IdentityErased = "identity_erased", Gone, "This identity was erased. Sign in again.";
    /// The identity still opens profiles.
    IdentityHasProfiles = "identity_has_profiles", Conflict,
        "This identity still has profiles. Erase or untie them first.";
    /// No such appointment.
    UnknownAppointment = "unknown_appointment", Unknown, "There is no such appointment.";
    /// The appointment was carried out, rejected or withdrawn.
    AppointmentEnded = "appointment_ended", Conflict, "This appointment has ended.";
    /// Its window has not ended, or somebody objected.
    AppointmentNotDue = "appointment_not_due", Conflict, "This appointment is not due.";
    /// An appointment of the same person waits already.
    AppointmentWaits = "appointment_waits", Conflict, "This person's appointment waits already.";
    /// Who shall be appointed is an administrator already.
    AlreadyAdministrator = "already_administrator", Conflict, "This person is an administrator already.";
    /// Who shall be replaced is no administrator.
    ReplacedIsNoAdministrator = "replaced_is_no_administrator", Conflict,
        "The person to be replaced is no administrator.";
    /// Administrators give the role themselves.
    GiveTheRole = "give_the_role", Conflict,
        "An administrator of the account gives the role directly; appointments are for partners and support.";
    /// Only customer accounts have partners, and only partner accounts serve.
    NotAPartner = "not_a_partner", Conflict, "Only an open partner account can serve a customer account.";
    /// Handing over to oneself.
    HandOverToOneself = "hand_over_to_oneself", Invalid, "Name another professional to hand over to.";
    /// The professional was deleted.
    ProfessionalDeleted = "professional_deleted", Gone, "This person was deleted from the account.";
    /// The profile has an identity, so there is nothing to invite to.
    AlreadyAssociated = "already_associated", Conflict, "This profile is associated with an identity already.";
    /// R14: the link is bound to the identity that asked for it.
    LinkOfAnotherIdentity = "link_of_another_identity", Forbidden,
        "Only the identity that asked for this link can use it.";
    /// Too many invitations in a day.
    SendsUsedUp = "sends_used_up", TooMany,
        "This person was sent many invitations within a day. Try again tomorrow, or ask support.";
    /// No such mail was taken over for this person.
    UnknownMail = "unknown_mail", Unknown, "No such mail was sent.";
    /// R6: an administrator who has had an identity is out of the reach of partners and support.
    AdministratorOutOfReach = "administrator_out_of_reach", Forbidden,
        "This person is an administrator with an identity of their own; only an administrator of the account may do this.";
    /// A customer number opens one account.
    CustomerNumberTaken = "customer_number_taken", Conflict, "This customer number has an account already.";
    /// The id of a new thing is in use.
    IdInUse = "id_in_use", Conflict, "This id is in use already.";
    /// A plan must end after it starts.
    PlanEndsBeforeItStarts = "plan_ends_before_it_starts", Invalid, "The plan must end after it starts.";
    /// R19: partner accounts need no plan.
    PlanNotForPartners = "plan_not_for_partners", Conflict, "A partner account needs no service plan.";
    /// R20: inviting to a customer account needs a current plan.
    NoServicePlan = "no_service_plan", Conflict,
        "The account has no current service plan, so nobody can be invited to it.";
    /// R20: the plan ended after the invitation was sent.
    InvitationFrozen = "invitation_frozen", Conflict,
        "The account's service plan has ended; the link works again when the plan is renewed.";
    /// R9: a newer link was sent.
    InvitationSuperseded = "invitation_superseded", Gone, "A newer link has been sent.";
    /// The invitation was revoked.
    InvitationRevoked = "invitation_revoked", Gone, "This invitation was withdrawn.";
    /// The link is too old.
    InvitationExpired = "invitation_expired", Gone, "This link has expired.";
    /// R10: somebody else accepted it.
    AlreadyUsed = "already_used", Conflict, "This invitation has been used already.";
    /// The invitation is still open, so its link is the newest one.
    LinkStillWorks = "link_still_works", Conflict, "This link is the newest one and still works.";
    /// One profile in one account for an identity.
    IdentityAlreadyInAccount = "identity_already_in_account", Conflict,
        "This identity is associated with another profile of the same account.";
    /// R11: the invitation was not issued with the right to replace an identity.
    AssociationExists = "association_exists", Conflict,
        "This profile has another identity. An administrator of the account, or support, can send an invitation that replaces it.";
    /// R15: the mailbox has to be proved first.
    MailboxCodeRequired = "mailbox_code_required", Forbidden,
        "The code that was sent to the registered address is needed.";
    /// A code was asked for by a flow that needs none or too often.
    MailboxCodesUsedUp = "mailbox_codes_used_up", TooMany,
        "No more codes can be sent for this link. Ask for a new invitation.";
    /// The newest link was asked for too often.
    LatestLinkUsedUp = "latest_link_used_up", TooMany,
        "The newest link has been sent several times already. Look into the mailbox, or ask for a new invitation.";
    /// Another worker sends it at this moment.
    MailClaimed = "mail_claimed", Conflict, "Another worker is sending this mail.";
    /// It was sent, refused, parked or cancelled, or it is not due.
    MailNotWaiting = "mail_not_waiting", Conflict, "This mail is not waiting to be sent.";
    /// The same `Idempotency-Key` with another body.
    IdempotencyKeyReused = "idempotency_key_reused", Invalid,
        "This Idempotency-Key was used for another request.";
    /// Some invariant of the account would break; it names none of the guards above.
    InvariantBroken = "invariant_broken", Conflict, "The account would be left in a state that it must not be in.";
);

impl Refusal {
    /// R3: an account with people keeps an administrator.
    pub fn last_administrator(professional: Option<ProfessionalId>) -> Self {
        Self::blocked(Blocker {
            code: "last_administrator",
            message: "An account with people always has an administrator.".into(),
            professional,
            command: Some("PUT roles/administrator/{another professional}".into()),
        })
    }

    /// R5: a mandatory role always has one holder.
    pub fn mandatory_role_unheld(role: Role) -> Self {
        Self::blocked(Blocker {
            code: "mandatory_role_unheld",
            message: format!("The role {role} always has exactly one holder; give it to somebody else."),
            professional: None,
            command: Some(format!("PUT roles/{role}/{{another professional}}")),
        })
    }

    /// R6, R21: partners and support make no administrator past one who has had an identity.
    pub fn appointment_needed(professional: ProfessionalId) -> Self {
        Self::blocked(Blocker {
            code: "appointment_needed",
            message: "The account has an administrator with an identity; a partner or support appoints another.".into(),
            professional: Some(professional),
            command: Some("POST administrator-appointments".into()),
        })
    }

    /// R4, R5: everything that keeps a professional from being deleted; at least one blocker.
    pub fn deletion_blocked(blockers: Vec<Blocker>) -> Self {
        let sentence = "Somebody else must take this person's place first.".into();
        Self::Blocked { code: "deletion_blocked", sentence, blockers }
    }

    /// The address is registered for another professional of the same account.
    pub fn address_already_in_account(professional: ProfessionalId) -> Self {
        Self::blocked(Blocker {
            code: "address_already_in_account",
            message: "This address is registered for another professional of this account.".into(),
            professional: Some(professional),
            command: Some(format!("POST professionals/{professional}/invitations")),
        })
    }

    /// Everything that stands in the way; none if nothing does.
    pub fn blockers(&self) -> &[Blocker] {
        match self {
            Self::Blocked { blockers, .. } => blockers,
            _ => &[],
        }
    }

    fn blocked(blocker: Blocker) -> Self {
        Self::Blocked { code: blocker.code, sentence: blocker.message.clone(), blockers: vec![blocker] }
    }
}
