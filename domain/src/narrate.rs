//! History in words: one plain English sentence for each event.
//!
//! Pure. The names come from the events themselves, so a narrator is told a history from its beginning and in order.
//! An account's history does not hold the events of its identities: [`Narrator::learn`] takes those in beforehand.

use std::collections::HashMap;

use crate::caller::Actor;
use crate::event::{
    AccountOpened, AppointmentEnded, AppointmentOutcome, AppointmentProposed, AuditRead, CancelReason, Event,
    IdentityAssociated, IdentityRegistered, InvitationIssued, InvitationRevoked, MailboxProof, Notice, NoticeIssued,
    NoticeTo, ParkReason, Recorded, RevocationReason, RoleGiven, ServicePlanSet,
};
use crate::ids::{AccessRequestId, AccountId, IdentityId, MailId, ProfessionalId};
use crate::name::{AccountName, PersonName};
use crate::words::{AccountKind, IdentityKind, Role};

/// Tells events in words, with the names that it has learned so far.
#[derive(Clone, Debug, Default)]
pub struct Narrator {
    /// The names of professionals; none once erased.
    professionals: HashMap<ProfessionalId, Option<PersonName>>,
    identities: HashMap<IdentityId, Identity>,
    /// Which profile an identity was tied to last.
    profiles: HashMap<IdentityId, ProfessionalId>,
    mails: HashMap<MailId, MailKind>,
    /// The names of accounts, such as those of partners.
    accounts: HashMap<AccountId, AccountName>,
    /// The names of those who asked to be added; none once erased.
    askers: HashMap<AccessRequestId, Option<PersonName>>,
}

#[derive(Clone, Debug)]
struct Identity {
    kind: IdentityKind,
    issuer: String,
    name: Named,
}

/// What is known of an identity's name.
#[derive(Clone, Debug)]
enum Named {
    /// The provider told it.
    As(PersonName),
    /// The provider told none.
    Nameless,
    Erased,
}

#[derive(Clone, Copy, Debug)]
enum MailKind {
    Link,
    Code,
    Notice(Notice),
}

impl Narrator {
    /// Takes names in without telling anything.
    pub fn learn(&mut self, event: &Event) {
        match event {
            Event::ProfessionalAdded(e) => {
                let name = e.details.as_ref().map(|details| details.name.clone());
                self.professionals.insert(e.professional, name);
            }
            Event::ProfessionalEdited(e) => {
                let name = e.details.as_ref().map(|details| details.name.clone());
                self.professionals.insert(e.professional, name);
            }
            Event::AccountOpened(e) => drop(self.accounts.insert(e.account, e.name.clone())),
            Event::AccountRenamed(e) => drop(self.accounts.insert(e.account, e.name.clone())),
            Event::AccessRequested(e) => {
                let name = e.details.as_ref().map(|details| details.name.clone());
                self.askers.insert(e.access_request, name);
            }
            Event::NoticeIssued(e) => drop(self.mails.insert(e.mail, MailKind::Notice(e.notice))),
            Event::IdentityRegistered(e) => {
                self.identities.insert(e.identity, Identity::of(e));
            }
            Event::IdentityAssociated(e) => {
                self.profiles.insert(e.to, e.professional);
            }
            Event::InvitationIssued(e) => drop(self.mails.insert(e.mail, MailKind::Link)),
            Event::LatestLinkRequested(e) => drop(self.mails.insert(e.mail, MailKind::Link)),
            Event::MailboxCodeIssued(e) => drop(self.mails.insert(e.mail, MailKind::Code)),
            _ => {}
        }
    }

    /// Learns from the event and tells it: one sentence with a full stop, without the actor.
    pub fn tell(&mut self, recorded: &Recorded) -> String {
        self.learn(&recorded.event);
        match &recorded.event {
            Event::AccountOpened(e) => account_opened(e),
            Event::ServicePlanSet(e) => service_plan_set(e),
            Event::ProfessionalAdded(e) => format!("{} was added.", self.professional_first(e.professional)),
            Event::RoleGiven(e) => self.role_given(e),
            Event::InvitationIssued(e) => self.invitation_issued(e),
            Event::InvitationRevoked(e) => self.invitation_revoked(e),
            Event::AccountRenamed(e) => format!("The account was renamed to {}.", e.name),
            Event::AccountClosed(_) => "The account was closed.".into(),
            Event::PartnerAssigned(e) => format!("{} began to serve the account.", self.partner_first(e.partner)),
            Event::PartnerRemoved(e) => format!("{} serves the account no longer.", self.partner_first(e.partner)),
            Event::ProfessionalEdited(e) if e.address_changed => {
                format!("The details of {} were changed, with another address.", self.professional(e.professional))
            }
            Event::ProfessionalEdited(e) => {
                format!("The details of {} were changed.", self.professional(e.professional))
            }
            Event::ProfessionalDeleted(e) => format!("{} was deleted.", self.professional_first(e.professional)),
            Event::RoleTaken(e) => {
                format!("{} is {} no longer.", self.professional_first(e.professional), role_name(e.role))
            }
            Event::IdentityUnlinked(e) => format!(
                "{} is no longer linked to {}.",
                self.professional_first(e.professional),
                self.identity(e.identity)
            ),
            Event::AssociationMailsLimited(e) => {
                format!("An association request found {} more profiles than it mails.", e.left_out)
            }
            Event::AccessRequested(e) => format!("{} asked to be added.", self.asker(e.access_request)),
            Event::AccessRequestApproved(e) => {
                format!("The access request of {} was approved.", self.professional(e.professional))
            }
            Event::AccessRequestDeclined(e) => {
                format!("The access request of {} was declined.", self.asker(e.access_request))
            }
            Event::AppointmentProposed(e) => self.appointment_proposed(e),
            Event::AppointmentObjected(e) => {
                format!("{} objected to the appointment; support decides.", self.professional_first(e.professional))
            }
            Event::AppointmentEnded(e) => self.appointment_ended(e),
            Event::AdministratorSignedIn(e) => {
                format!("The administrator {} signed in.", self.professional(e.professional))
            }
            Event::NoticeIssued(e) => self.notice_issued(e),
            Event::ProfessionalErased(_) => "What was personal about a person was erased.".into(),
            Event::IdentityErased(_) => "What was personal about an identity was erased.".into(),
            Event::AuditRead(e) if e.tag == AuditRead::WHOLE_LOG => "The whole log was read.".into(),
            Event::AuditRead(e) => format!("The history of {} was read.", e.tag),
            Event::MailBounced(e) => format!(
                "{} came back{}.",
                capitalised(&self.mail(e.mail, e.professional)),
                e.status.as_ref().map(|status| format!(" ({status})")).unwrap_or_default()
            ),
            Event::LinkVisited(e) => {
                format!("The {} was opened (may be automatic).", self.link(e.professional, e.generation))
            }
            Event::LinkClicked(e) => {
                format!("The {} was clicked to sign in.", self.link(e.professional, e.generation))
            }
            Event::LatestLinkRequested(e) => format!(
                "The holder of an older link asked for the newest one (link {}), which was sent to {} again.",
                e.generation,
                self.professional(e.professional)
            ),
            Event::MailboxCodeIssued(e) => format!(
                "A code was sent to the registered mailbox of {}; it works until {}.",
                self.professional(e.professional),
                e.expires_at.in_words()
            ),
            Event::IdentityRegistered(e) => {
                format!("{} signed in for the first time.", capitalised(&self.identity(e.identity)))
            }
            Event::IdentityAssociated(e) => self.identity_associated(e),
            Event::MailAttempted(e) => {
                format!("Attempt {} to send {} began.", e.attempt, self.mail(e.mail, e.professional))
            }
            Event::MailSent(e) => {
                format!("The mail server took {} over (attempt {}).", self.mail(e.mail, e.professional), e.attempt)
            }
            Event::MailRefused(e) => {
                format!("The mail server refused {} for good{}.", self.mail(e.mail, e.professional), answer(e.code))
            }
            Event::MailDeferred(e) => format!(
                "{} was not taken over for now{}; the next attempt is due at {}.",
                capitalised(&self.mail(e.mail, e.professional)),
                answer(e.code),
                e.retry_at.in_words()
            ),
            Event::MailOutcomeUnknown(e) => format!(
                "Nobody knows whether {} was taken over in attempt {}; it may arrive twice.",
                self.mail(e.mail, e.professional),
                e.attempt
            ),
            Event::MailParked(e) => {
                let why = match e.reason {
                    ParkReason::DeferredTooLong => "it was deferred for too long",
                    ParkReason::UnknownTooOften => "its outcome was unknown too often",
                };
                format!("{} waits for an operator: {why}.", capitalised(&self.mail(e.mail, e.professional)))
            }
            Event::MailCancelled(e) => {
                let why = match e.reason {
                    CancelReason::Superseded => "a newer link was sent",
                    CancelReason::Revoked => "the invitation was revoked",
                    CancelReason::Accepted => "the invitation was accepted",
                    CancelReason::Expired => "what it carried no longer worked",
                    CancelReason::Deleted => "the person was deleted",
                    CancelReason::Erased => "the person was erased",
                    CancelReason::NoOtherAddress => "there was no other address to tell",
                };
                format!("{} was cancelled: {why}.", capitalised(&self.mail(e.mail, e.professional)))
            }
        }
    }

    fn role_given(&self, e: &RoleGiven) -> String {
        let role = role_name(e.role);
        let in_place = e.from.map(|from| format!(" in place of {}", self.professional(from))).unwrap_or_default();
        format!("{} became {role}{in_place}.", self.professional_first(e.professional))
    }

    fn invitation_issued(&self, e: &InvitationIssued) -> String {
        let (to, until) = (self.professional(e.professional), e.expires_at.in_words());
        match e.generation {
            _ if e.bound_to.is_some() => format!(
                "A link was sent to {to} because an identity asked for it on the association page; it works until {until}."
            ),
            1 => format!("An invitation was sent to {to}; its link works until {until}."),
            again => format!("The invitation to {to} was sent again (link {again}); its link works until {until}."),
        }
    }

    fn identity_associated(&self, e: &IdentityAssociated) -> String {
        let proof = match e.proof {
            MailboxProof::Code => "a code from the registered mailbox",
            MailboxProof::TrustedAddress => "a trusted address",
            MailboxProof::AssociationLink => "a link that this identity had asked for",
        };
        let replaced = e.from.map(|from| format!(" in place of {}", self.identity(from))).unwrap_or_default();
        let (professional, identity) = (self.professional_first(e.professional), self.identity(e.to));
        format!("{professional} is now linked to {identity}{replaced}, proved by {proof}.")
    }

    fn invitation_revoked(&self, e: &InvitationRevoked) -> String {
        let why = match e.reason {
            RevocationReason::Asked => "",
            RevocationReason::AddressChanged => ": the address changed",
            RevocationReason::ProfessionalDeleted => ": the person was deleted",
            RevocationReason::IdentityUnlinked => ": the person's identity was unlinked",
            RevocationReason::AccountClosed => ": the account was closed",
            RevocationReason::PartnerRemoved => ": the partner that sent it serves the account no longer",
            RevocationReason::Promoted => ": the person became administrator",
            RevocationReason::AnotherAccepted => ": the person was linked by another one",
        };
        format!("The invitation to {} was revoked{why}.", self.professional(e.professional))
    }

    fn appointment_proposed(&self, e: &AppointmentProposed) -> String {
        let by = match e.partner {
            Some(partner) => format!("The {}", self.partner(partner)),
            None => "Support".into(),
        };
        let (who, replaced) = (self.professional(e.professional), e.replaces.map(|id| self.professional(id)));
        let in_place = replaced.map(|replaced| format!(" in place of {replaced}")).unwrap_or_default();
        let until = match e.window_ends_at {
            Some(until) => format!("; administrators can object until {}", until.in_words()),
            None => String::new(),
        };
        let why = match &e.grounds {
            Some(grounds) => format!(" Reason: {}. Evidence: {}.", grounds.reason, grounds.evidence),
            None => String::new(),
        };
        format!("{by} proposed {who} as administrator{in_place}{until}.{why}")
    }

    fn appointment_ended(&self, e: &AppointmentEnded) -> String {
        let how = match e.outcome {
            AppointmentOutcome::CarriedOut => "carried out",
            AppointmentOutcome::Rejected => "rejected by support",
            AppointmentOutcome::Withdrawn => "withdrawn",
        };
        format!("The appointment of {} as administrator was {how}.", self.professional(e.professional))
    }

    fn notice_issued(&self, e: &NoticeIssued) -> String {
        let place = match e.to {
            NoticeTo::Registered => "the registered address",
            NoticeTo::Former => "the former address",
            NoticeTo::Identity(_) => "an identity's address",
        };
        let (what, who) = (notice_name(e.notice), self.professional(e.professional));
        format!("A notice that {what} was sent to {place} of {who}.")
    }

    fn partner(&self, id: AccountId) -> String {
        self.accounts.get(&id).map_or_else(|| format!("partner {id}"), |name| format!("partner {name}"))
    }

    fn partner_first(&self, id: AccountId) -> String {
        format!("The {}", self.partner(id))
    }

    fn asker(&self, id: AccessRequestId) -> &str {
        match self.askers.get(&id) {
            Some(Some(name)) => name.as_str(),
            Some(None) => "An erased person",
            None => "Somebody",
        }
    }

    fn professional(&self, id: ProfessionalId) -> &str {
        match self.professionals.get(&id) {
            Some(Some(name)) => name.as_str(),
            Some(None) => "an erased person",
            None => "a person",
        }
    }

    /// The same at the start of a sentence; a name stays as its owner writes it.
    fn professional_first(&self, id: ProfessionalId) -> &str {
        match self.professionals.get(&id) {
            Some(Some(name)) => name.as_str(),
            Some(None) => "An erased person",
            None => "A person",
        }
    }

    fn identity(&self, id: IdentityId) -> String {
        let Some(Identity { kind, issuer, name }) = self.identities.get(&id) else { return "an identity".into() };
        match name {
            Named::As(name) => format!("the {kind} identity of {} at {issuer}", name.as_str()),
            Named::Nameless => format!("{} {kind} identity at {issuer}", article(*kind)),
            Named::Erased => format!("the {kind} identity of an erased person at {issuer}"),
        }
    }

    /// The first link is the invitation's only one for most people; the others have their number.
    fn link(&self, professional: ProfessionalId, generation: u32) -> String {
        let number = if generation > 1 { format!(" (link {generation})") } else { String::new() };
        format!("link of the invitation to {}{number}", self.professional(professional))
    }

    fn mail(&self, mail: MailId, professional: ProfessionalId) -> String {
        let to = self.professional(professional);
        match self.mails.get(&mail) {
            Some(MailKind::Link) => format!("the mail with the link to {to}"),
            Some(MailKind::Code) => format!("the mail with the code to {to}"),
            Some(MailKind::Notice(notice)) => format!("the notice to {to} that {}", notice_name(*notice)),
            None => format!("a mail to {to}"),
        }
    }
}

impl Identity {
    fn of(e: &IdentityRegistered) -> Self {
        let name = match &e.details {
            None => Named::Erased,
            Some(details) => details.name.clone().map_or(Named::Nameless, Named::As),
        };
        Self { kind: e.kind, issuer: e.issuer.clone(), name }
    }
}

/// Names an actor, to stand after "by": a person by the profile that the narrator has seen the identity tied to, else
/// by the name that the provider told.
pub fn actor_in_words(actor: &Actor, narrator: &Narrator) -> String {
    match actor {
        Actor::Identity(identity) => match narrator.profiles.get(identity) {
            Some(professional) => narrator.professional(*professional).into(),
            None => narrator.identity(*identity),
        },
        Actor::Key(id) => format!("the API key {id}"),
        Actor::Link => "the holder of the link".into(),
        Actor::Cli(user) => format!("{user} at the command line"),
        Actor::Worker(name) => format!("the {name} worker"),
    }
}

fn account_opened(e: &AccountOpened) -> String {
    let kind = match e.kind {
        AccountKind::Customer => "customer",
        AccountKind::Partner => "partner",
    };
    format!("The {kind} account {} was opened for customer number {}.", e.name, e.customer_number)
}

fn service_plan_set(e: &ServicePlanSet) -> String {
    match &e.plan {
        Some(plan) => {
            let (starts_at, ends_at) = (plan.starts_at.in_words(), plan.ends_at.in_words());
            format!("The service plan {} was set from {starts_at} until {ends_at}.", plan.name)
        }
        None => "The service plan was taken away.".into(),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Administrator => "administrator",
        Role::BillingContact => "billing contact",
        Role::CustomerCareContact => "customer care contact",
        Role::ShippingContact => "shipping contact",
    }
}

fn notice_name(notice: Notice) -> &'static str {
    match notice {
        Notice::AddressChanged => "the registered address changed",
        Notice::IdentityReplaced => "the linked identity was replaced",
        Notice::AppointmentProposed => "a new administrator was proposed",
        Notice::AppointmentCarriedOut => "a new administrator was appointed",
    }
}

fn article(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Personal => "a",
        IdentityKind::Organizational => "an",
    }
}

fn answer(code: Option<u16>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// The words with a capital letter. Not for words that begin with a person's name.
fn capitalised(words: &str) -> String {
    let mut characters = words.chars();
    let first: String = characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::address::EmailAddress;
    use crate::caller::Request;
    use crate::event::{
        AccessRequestApproved, AccessRequestDeclined, AccessRequested, AccountClosed, AccountRenamed,
        AdministratorSignedIn, AppointmentObjected, AssociationMailsLimited, IdentityErased, IdentityUnlinked,
        LatestLinkRequested, LinkClicked, LinkVisited, MailAttempted, MailBounced, MailCancelled, MailDeferred,
        MailOutcomeUnknown, MailParked, MailRefused, MailSent, MailboxCodeIssued, PartnerAssigned, PartnerRemoved,
        ProfessionalAdded, ProfessionalDeleted, ProfessionalEdited, ProfessionalErased, RoleTaken, ServicePlan,
    };
    use crate::ids::{AppointmentId, EventId, FlowId, InvitationId};
    use crate::name::{CustomerNumber, Reason};
    use crate::personal::{Grounds, IdentityDetails, ProfessionalDetails};
    use crate::time::Timestamp;
    use crate::words::Language;

    const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
    const PARTNER: AccountId = AccountId(Uuid::from_u128(11));
    const ROBIN: ProfessionalId = ProfessionalId(Uuid::from_u128(2));
    const GONE: ProfessionalId = ProfessionalId(Uuid::from_u128(3));
    const NEVER_SEEN: ProfessionalId = ProfessionalId(Uuid::from_u128(4));
    const INVITATION: InvitationId = InvitationId(Uuid::from_u128(5));
    const OLD: IdentityId = IdentityId(Uuid::from_u128(6));
    const NEW: IdentityId = IdentityId(Uuid::from_u128(7));
    const ERASED: IdentityId = IdentityId(Uuid::from_u128(8));
    const LINK_MAIL: MailId = MailId(Uuid::from_u128(9));
    const CODE_MAIL: MailId = MailId(Uuid::from_u128(10));

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn recorded(event: Event) -> Recorded {
        Recorded {
            position: 1,
            id: EventId(Uuid::nil()),
            recorded_at: at("2026-11-20T08:00:00Z"),
            actor: Actor::Link,
            request: Request { id: Uuid::nil(), key: None, body: None, if_match: None },
            event,
        }
    }

    fn added(professional: ProfessionalId, name: Option<&str>) -> Event {
        let details = name.map(|name| ProfessionalDetails {
            name: PersonName::parse(name).unwrap(),
            address: EmailAddress::parse("robin@harbour.example").unwrap(),
        });
        ProfessionalAdded { account: ACCOUNT, professional, language: Language::English, details }.into()
    }

    fn registered(identity: IdentityId, kind: IdentityKind, details: Option<Option<&str>>) -> Event {
        let details = details
            .map(|name| IdentityDetails { name: name.map(|name| PersonName::parse(name).unwrap()), address: None });
        IdentityRegistered { identity, issuer: "microsoft".into(), kind, details }.into()
    }

    fn role(professional: ProfessionalId, role: Role, from: Option<ProfessionalId>) -> Event {
        RoleGiven { account: ACCOUNT, professional, role, from }.into()
    }

    fn issued(professional: ProfessionalId, generation: u32) -> Event {
        InvitationIssued {
            account: ACCOUNT,
            professional,
            invitation: INVITATION,
            generation,
            expires_at: at("2026-11-27T08:00:00Z"),
            link_key: "k".into(),
            may_replace: true,
            mail: LINK_MAIL,
            by: None,
            partner: None,
            bound_to: None,
        }
        .into()
    }

    fn associated(professional: ProfessionalId, from: Option<IdentityId>, to: IdentityId) -> Event {
        let (account, invitation, proof) = (ACCOUNT, INVITATION, MailboxProof::Code);
        IdentityAssociated { account, professional, invitation, generation: 1, from, to, proof }.into()
    }

    /// An event about Robin's invitation, with the fields that it has beside.
    macro_rules! about_robin {
        ($name:ident { $($field:ident: $value:expr),* }) => {
            Event::from($name {
                account: ACCOUNT,
                professional: ROBIN,
                invitation: INVITATION.into(),
                $($field: $value),*
            })
        };
    }

    /// A history and its words.
    fn history() -> Vec<(Event, &'static str)> {
        let (customer_number, name) =
            (CustomerNumber::parse("C-1001").unwrap(), AccountName::parse("Harbour").unwrap());
        let kind = AccountKind::Customer;
        let plan = ServicePlan {
            name: AccountName::parse("Enhancement Plan").unwrap(),
            starts_at: at("2026-01-01T00:00:00Z"),
            ends_at: at("2027-01-01T00:00:00Z"),
        };
        let flow = FlowId(Uuid::nil());
        let retry_at = at("2026-11-20T08:05:00Z");
        vec![
            (
                AccountOpened { account: ACCOUNT, customer_number, kind, name }.into(),
                "The customer account Harbour was opened for customer number C-1001.",
            ),
            (
                ServicePlanSet { account: ACCOUNT, plan: Some(plan) }.into(),
                "The service plan Enhancement Plan was set from 1 January 2026, 00:00 UTC until \
                 1 January 2027, 00:00 UTC.",
            ),
            (ServicePlanSet { account: ACCOUNT, plan: None }.into(), "The service plan was taken away."),
            (added(ROBIN, Some("van Rivers")), "van Rivers was added."),
            (added(ROBIN, Some("Robin Rivers")), "Robin Rivers was added."),
            (added(GONE, None), "An erased person was added."),
            (role(ROBIN, Role::Administrator, None), "Robin Rivers became administrator."),
            (
                role(GONE, Role::BillingContact, Some(ROBIN)),
                "An erased person became billing contact in place of Robin Rivers.",
            ),
            (
                role(NEVER_SEEN, Role::ShippingContact, Some(GONE)),
                "A person became shipping contact in place of an erased person.",
            ),
            (role(ROBIN, Role::CustomerCareContact, None), "Robin Rivers became customer care contact."),
            (
                issued(GONE, 1),
                "An invitation was sent to an erased person; its link works until 27 November 2026, 08:00 UTC.",
            ),
            (
                issued(ROBIN, 1),
                "An invitation was sent to Robin Rivers; its link works until 27 November 2026, 08:00 UTC.",
            ),
            (
                issued(ROBIN, 2),
                "The invitation to Robin Rivers was sent again (link 2); its link works until 27 November 2026, 08:00 UTC.",
            ),
            (
                about_robin!(LinkVisited { generation: 1 }),
                "The link of the invitation to Robin Rivers was opened (may be automatic).",
            ),
            (
                about_robin!(LinkClicked { generation: 2, flow: flow }),
                "The link of the invitation to Robin Rivers (link 2) was clicked to sign in.",
            ),
            (
                about_robin!(LatestLinkRequested { generation: 2, number: 1, mail: LINK_MAIL }),
                "The holder of an older link asked for the newest one (link 2), which was sent to Robin Rivers again.",
            ),
            (
                about_robin!(MailboxCodeIssued {
                    generation: 2,
                    flow: flow,
                    number: 1,
                    expires_at: retry_at,
                    code_key: "k".into(),
                    mail: CODE_MAIL
                }),
                "A code was sent to the registered mailbox of Robin Rivers; it works until 20 November 2026, 08:05 UTC.",
            ),
            (
                registered(OLD, IdentityKind::Personal, Some(Some("Robin R"))),
                "The personal identity of Robin R at microsoft signed in for the first time.",
            ),
            (
                registered(NEW, IdentityKind::Organizational, Some(None)),
                "An organizational identity at microsoft signed in for the first time.",
            ),
            (
                registered(ERASED, IdentityKind::Personal, None),
                "The personal identity of an erased person at microsoft signed in for the first time.",
            ),
            (
                associated(ROBIN, None, OLD),
                "Robin Rivers is now linked to the personal identity of Robin R at microsoft, proved by a code from the \
                 registered mailbox.",
            ),
            (
                associated(ROBIN, Some(OLD), NEW),
                "Robin Rivers is now linked to an organizational identity at microsoft in place of the personal identity \
                 of Robin R at microsoft, proved by a code from the registered mailbox.",
            ),
            (
                about_robin!(IdentityAssociated {
                    generation: 1,
                    from: None,
                    to: IdentityId(Uuid::nil()),
                    proof: MailboxProof::TrustedAddress
                }),
                "Robin Rivers is now linked to an identity, proved by a trusted address.",
            ),
            (
                about_robin!(InvitationRevoked { generation: 2, reason: RevocationReason::Asked }),
                "The invitation to Robin Rivers was revoked.",
            ),
            (
                about_robin!(MailAttempted { mail: LINK_MAIL, attempt: 1 }),
                "Attempt 1 to send the mail with the link to Robin Rivers began.",
            ),
            (
                about_robin!(MailSent { mail: CODE_MAIL, attempt: 2, reply: None }),
                "The mail server took the mail with the code to Robin Rivers over (attempt 2).",
            ),
            (
                about_robin!(MailRefused { mail: LINK_MAIL, attempt: 1, code: Some(550), reply: None }),
                "The mail server refused the mail with the link to Robin Rivers for good (550).",
            ),
            (
                about_robin!(MailDeferred { mail: LINK_MAIL, attempt: 1, code: None, retry_at: retry_at, reply: None }),
                "The mail with the link to Robin Rivers was not taken over for now; the next attempt is due at \
                 20 November 2026, 08:05 UTC.",
            ),
            (
                about_robin!(MailOutcomeUnknown { mail: LINK_MAIL, attempt: 3, retry_at: retry_at, reply: None }),
                "Nobody knows whether the mail with the link to Robin Rivers was taken over in attempt 3; it may arrive \
                 twice.",
            ),
            (
                about_robin!(MailParked { mail: MailId(Uuid::nil()), attempt: 3, reason: ParkReason::UnknownTooOften }),
                "A mail to Robin Rivers waits for an operator: its outcome was unknown too often.",
            ),
            (
                about_robin!(MailParked { mail: LINK_MAIL, attempt: 3, reason: ParkReason::DeferredTooLong }),
                "The mail with the link to Robin Rivers waits for an operator: it was deferred for too long.",
            ),
            (
                about_robin!(MailCancelled { mail: LINK_MAIL, attempt: 0, reason: CancelReason::Superseded }),
                "The mail with the link to Robin Rivers was cancelled: a newer link was sent.",
            ),
            (
                about_robin!(MailCancelled { mail: LINK_MAIL, attempt: 0, reason: CancelReason::Revoked }),
                "The mail with the link to Robin Rivers was cancelled: the invitation was revoked.",
            ),
            (
                about_robin!(MailCancelled { mail: LINK_MAIL, attempt: 0, reason: CancelReason::Accepted }),
                "The mail with the link to Robin Rivers was cancelled: the invitation was accepted.",
            ),
            (
                about_robin!(MailCancelled { mail: CODE_MAIL, attempt: 0, reason: CancelReason::Expired }),
                "The mail with the code to Robin Rivers was cancelled: what it carried no longer worked.",
            ),
        ]
    }

    /// What happens to an account and its people beside invitations. The accounts and the people are known from before.
    fn daily_work() -> Vec<(Event, &'static str)> {
        let (account, professional) = (ACCOUNT, ROBIN);
        let access_request = AccessRequestId(Uuid::from_u128(20));
        let appointment = AppointmentId(Uuid::from_u128(21));
        let details = |name: &str| {
            let (name, address) =
                (PersonName::parse(name).unwrap(), EmailAddress::parse("kim@harbour.example").unwrap());
            Some(ProfessionalDetails { name, address })
        };
        let proposed = |partner, replaces, window_ends_at, grounds| AppointmentProposed {
            account,
            professional,
            appointment,
            replaces,
            partner,
            window_ends_at,
            grounds,
        };
        let ended = |outcome| AppointmentEnded { account, professional, appointment, outcome };
        let notice = |notice, to| {
            let (appointment, address) = (None, None);
            NoticeIssued { account, professional, notice, to, appointment, mail: CODE_MAIL, address }
        };
        let (reason, evidence) = (Reason::parse("Kim has left").unwrap(), Reason::parse("letter 7").unwrap());
        vec![
            (
                AccountRenamed { account, name: AccountName::parse("Harbour Two").unwrap() }.into(),
                "The account was renamed to Harbour Two.",
            ),
            (
                PartnerAssigned { account, partner: PARTNER }.into(),
                "The partner Lighthouse began to serve the account.",
            ),
            (
                PartnerRemoved { account, partner: AccountId(Uuid::nil()) }.into(),
                "The partner 00000000-0000-0000-0000-000000000000 serves the account no longer.",
            ),
            (
                ProfessionalEdited {
                    account,
                    professional,
                    language: Language::English,
                    address_changed: true,
                    details: details("Robin Reed"),
                }
                .into(),
                "The details of Robin Reed were changed, with another address.",
            ),
            (
                RoleTaken { account, professional, role: Role::Administrator }.into(),
                "Robin Reed is administrator no longer.",
            ),
            (
                IdentityUnlinked { account, professional, identity: NEW }.into(),
                "Robin Reed is no longer linked to an identity.",
            ),
            (
                AssociationMailsLimited { identity: NEW, left_out: 3 }.into(),
                "An association request found 3 more profiles than it mails.",
            ),
            (
                AccessRequested {
                    account,
                    access_request,
                    identity: NEW,
                    language: Language::English,
                    details: details("Kim Keel"),
                }
                .into(),
                "Kim Keel asked to be added.",
            ),
            (AccessRequestDeclined { account, access_request }.into(), "The access request of Kim Keel was declined."),
            (
                AccessRequestApproved { account, professional, access_request }.into(),
                "The access request of Robin Reed was approved.",
            ),
            (
                proposed(Some(PARTNER), Some(GONE), Some(at("2026-11-20T08:05:00Z")), None).into(),
                "The partner Lighthouse proposed Robin Reed as administrator in place of a person; administrators can \
                 object until 20 November 2026, 08:05 UTC.",
            ),
            (
                proposed(None, None, None, Some(Grounds { reason, evidence })).into(),
                "Support proposed Robin Reed as administrator. Reason: Kim has left. Evidence: letter 7.",
            ),
            (
                AppointmentObjected { account, professional, appointment }.into(),
                "Robin Reed objected to the appointment; support decides.",
            ),
            (
                ended(AppointmentOutcome::CarriedOut).into(),
                "The appointment of Robin Reed as administrator was carried out.",
            ),
            (
                ended(AppointmentOutcome::Rejected).into(),
                "The appointment of Robin Reed as administrator was rejected by support.",
            ),
            (
                ended(AppointmentOutcome::Withdrawn).into(),
                "The appointment of Robin Reed as administrator was withdrawn.",
            ),
            (
                AdministratorSignedIn { account, professional, identity: NEW }.into(),
                "The administrator Robin Reed signed in.",
            ),
            (
                notice(Notice::AddressChanged, NoticeTo::Former).into(),
                "A notice that the registered address changed was sent to the former address of Robin Reed.",
            ),
            (
                notice(Notice::IdentityReplaced, NoticeTo::Identity(OLD)).into(),
                "A notice that the linked identity was replaced was sent to an identity's address of Robin Reed.",
            ),
            (
                notice(Notice::AppointmentProposed, NoticeTo::Registered).into(),
                "A notice that a new administrator was proposed was sent to the registered address of Robin Reed.",
            ),
            (
                notice(Notice::AppointmentCarriedOut, NoticeTo::Registered).into(),
                "A notice that a new administrator was appointed was sent to the registered address of Robin Reed.",
            ),
            (
                about_robin!(MailBounced { mail: CODE_MAIL, attempt: 0, status: Some("5.1.1".into()), reply: None }),
                "The notice to Robin Reed that a new administrator was appointed came back (5.1.1).",
            ),
            (
                about_robin!(InvitationRevoked { generation: 2, reason: RevocationReason::AddressChanged }),
                "The invitation to Robin Reed was revoked: the address changed.",
            ),
            (ProfessionalDeleted { account, professional }.into(), "Robin Reed was deleted."),
            (
                about_robin!(MailCancelled { mail: CODE_MAIL, attempt: 0, reason: CancelReason::Erased }),
                "The notice to Robin Reed that a new administrator was appointed was cancelled: the person was erased.",
            ),
            (
                ProfessionalErased { account, professional, invitations: vec![], appointments: vec![] }.into(),
                "What was personal about a person was erased.",
            ),
            (
                IdentityErased { identity: NEW, access_requests: vec![], accounts: vec![] }.into(),
                "What was personal about an identity was erased.",
            ),
            (
                AuditRead { account: Some(account), identity: None, tag: "customer-number:C-1001".into() }.into(),
                "The history of customer-number:C-1001 was read.",
            ),
            (
                AuditRead { account: None, identity: None, tag: AuditRead::WHOLE_LOG.into() }.into(),
                "The whole log was read.",
            ),
            (AccountClosed { account }.into(), "The account was closed."),
        ]
    }

    #[test]
    fn every_event_has_its_sentence() {
        let mut told = BTreeSet::new();
        let mut narrator = Narrator::default();
        narrator.accounts.insert(PARTNER, AccountName::parse("Lighthouse").unwrap());
        narrator.learn(&added(ROBIN, Some("Robin Rivers")));
        for (event, expected) in daily_work() {
            told.insert(event.name());
            assert_eq!(narrator.tell(&recorded(event)), expected);
        }
        let mut narrator = Narrator::default();
        for (event, expected) in history() {
            told.insert(event.name());
            assert_eq!(narrator.tell(&recorded(event)), expected);
        }
        assert_eq!(told, Event::NAMES.iter().copied().collect());
    }

    #[test]
    fn an_actor_is_named_by_what_the_narrator_has_learned() {
        let mut narrator = Narrator::default();
        let robin = Actor::Identity(OLD);
        assert_eq!(actor_in_words(&robin, &narrator), "an identity");
        narrator.learn(&registered(OLD, IdentityKind::Personal, Some(Some("Robin R"))));
        assert_eq!(actor_in_words(&robin, &narrator), "the personal identity of Robin R at microsoft");
        narrator.learn(&added(ROBIN, Some("Robin Rivers")));
        narrator.learn(&associated(ROBIN, None, OLD));
        assert_eq!(actor_in_words(&robin, &narrator), "Robin Rivers");
        narrator.learn(&added(ROBIN, None));
        assert_eq!(actor_in_words(&robin, &narrator), "an erased person");
    }

    #[test]
    fn every_other_actor_is_named_by_what_it_is() {
        let narrator = Narrator::default();
        for (actor, expected) in [
            (Actor::Key(Uuid::nil()), "the API key 00000000-0000-0000-0000-000000000000"),
            (Actor::Link, "the holder of the link"),
            (Actor::Cli("kim".into()), "kim at the command line"),
            (Actor::Worker("mail".into()), "the mail worker"),
        ] {
            assert_eq!(actor_in_words(&actor, &narrator), expected);
        }
    }

    #[test]
    fn a_narrator_never_shows_a_name_to_a_log() {
        let mut narrator = Narrator::default();
        narrator.learn(&added(ROBIN, Some("Robin Rivers")));
        narrator.learn(&registered(OLD, IdentityKind::Personal, Some(Some("Robin R"))));
        assert!(!format!("{narrator:?}").contains("Robin"));
    }
}
