//! The wishes that the tests speak of. Every id is fresh, so that tests need not agree on any.

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller};
use domain::command::{Command, NewLink};
use domain::event::ServicePlan;
use domain::ids::{AccountId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::mail::MailOutcome;
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::{IdentityDetails, ProfessionalDetails};
use domain::time::Timestamp;
use domain::words::{AccountKind, IdentityKind, Language, Role, Scope};
use store::Store;
use uuid::Uuid;

use super::bench::run;

/// The vendor's own system, which may do everything that staff may.
pub fn staff() -> Caller {
    let scopes = [Scope::BackOffice, Scope::Support, Scope::Operator];
    Caller::with_scopes(Actor::Key(Uuid::from_u128(1)), scopes)
}

pub fn person(identity: IdentityId) -> Caller {
    Caller::new(Actor::Identity(identity))
}

pub fn link_holder() -> Caller {
    Caller::new(Actor::Link)
}

pub fn worker() -> Caller {
    Caller::new(Actor::Worker("mail".into()))
}

pub fn fresh_account() -> AccountId {
    AccountId(store::random::uuid())
}

pub fn fresh_identity() -> IdentityId {
    IdentityId(store::random::uuid())
}

pub fn fresh_professional() -> ProfessionalId {
    ProfessionalId(store::random::uuid())
}

pub fn fresh_invitation() -> InvitationId {
    InvitationId(store::random::uuid())
}

pub fn open(account: AccountId, number: &str) -> Command {
    open_as(account, number, AccountKind::Customer)
}

pub fn open_as(account: AccountId, number: &str, kind: AccountKind) -> Command {
    let customer_number = CustomerNumber::parse(number).unwrap();
    Command::OpenAccount { account, customer_number, kind, name: AccountName::parse("Harbour Trading").unwrap() }
}

pub fn plan(name: &str) -> ServicePlan {
    let ends_at = Timestamp::parse("2126-01-01T00:00:00Z").unwrap();
    ServicePlan { name: AccountName::parse(name).unwrap(), starts_at: Timestamp(0), ends_at }
}

pub fn set_plan(account: AccountId, name: &str) -> Command {
    Command::SetServicePlan { account, plan: Some(plan(name)) }
}

pub fn end_plan(account: AccountId) -> Command {
    Command::SetServicePlan { account, plan: None }
}

pub fn details(address: &str) -> ProfessionalDetails {
    ProfessionalDetails {
        name: PersonName::parse("Robin Rivers").unwrap(),
        address: EmailAddress::parse(address).unwrap(),
    }
}

pub fn add(account: AccountId, professional: ProfessionalId, address: &str) -> Command {
    let language = Language::English;
    Command::AddProfessional { account, professional, details: details(address), language, invitation: None }
}

pub fn invite(account: AccountId, professional: ProfessionalId, address: &str, invitation: InvitationId) -> Command {
    let (details, language, invitation) = (details(address), Language::German, Some(new_link(invitation)));
    Command::AddProfessional { account, professional, details, language, invitation }
}

pub fn new_link(invitation: InvitationId) -> NewLink {
    NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: "2026-11".into() }
}

pub fn send(account: AccountId, professional: ProfessionalId) -> Command {
    Command::SendInvitation { account, professional, new: new_link(fresh_invitation()) }
}

pub fn revoke(link: Link) -> Command {
    Command::RevokeInvitation { account: link.account, invitation: link.invitation }
}

pub fn visit(link: Link) -> Command {
    Command::RecordVisit { link }
}

pub fn click(link: Link) -> Command {
    Command::ClickLink { link, flow: FlowId(store::random::uuid()) }
}

pub fn issue_code(link: Link, identity: IdentityId) -> Command {
    let flow = FlowId(store::random::uuid());
    Command::IssueMailboxCode { link, flow, identity, code_key: "2026-11".into() }
}

pub fn accept(link: Link, identity: IdentityId) -> Command {
    Command::AcceptInvitation { link, identity, mailbox: Mailbox::CodeEntered }
}

pub fn promote(account: AccountId, professional: ProfessionalId) -> Command {
    Command::GiveRole { account, professional, role: Role::Administrator }
}

pub fn demote(account: AccountId, professional: ProfessionalId) -> Command {
    Command::TakeRole { account, professional, role: Role::Administrator }
}

pub fn register(identity: IdentityId) -> Command {
    let details = IdentityDetails {
        name: Some(PersonName::parse("Robin Private").unwrap()),
        address: Some(EmailAddress::parse("robin@mail.example").unwrap()),
    };
    Command::RegisterIdentity { identity, issuer: "microsoft".into(), kind: IdentityKind::Personal, details }
}

pub fn mail_of(link: Link) -> MailId {
    MailId::derive(link.invitation, link.generation, "invitation", 1)
}

pub fn attempt(link: Link) -> Command {
    Command::AttemptMail { account: link.account, mail: mail_of(link) }
}

pub fn record_outcome(link: Link, professional: ProfessionalId, number: u32, outcome: MailOutcome) -> Command {
    Command::RecordMailOutcome {
        account: link.account,
        professional,
        mail: mail_of(link),
        attempt: number,
        outcome,
        jitter_permille: 500,
    }
}

pub fn deferred() -> MailOutcome {
    MailOutcome::Deferred { code: Some(451), reply: "451 robin@harbour.example is busy".into() }
}

/// The first link of an invitation.
pub fn link(account: AccountId, invitation: InvitationId) -> Link {
    Link { account, invitation, generation: 1 }
}

/// Opens a customer account with a current plan.
pub async fn an_account(store: &Store) -> AccountId {
    let account = fresh_account();
    run(store, &staff(), open(account, &number())).await.unwrap();
    run(store, &staff(), set_plan(account, "Enhancement Plan")).await.unwrap();
    account
}

/// Adds somebody to the account and invites them.
pub async fn somebody_invited(store: &Store, account: AccountId) -> (ProfessionalId, Link) {
    let (professional, invitation) = (fresh_professional(), fresh_invitation());
    let command = invite(account, professional, &address(), invitation);
    run(store, &staff(), command).await.unwrap();
    (professional, link(account, invitation))
}

/// A customer number that no other account has.
pub fn number() -> String {
    format!("C-{}", &store::random::uuid().simple().to_string()[..12])
}

/// An address that nobody else has.
pub fn address() -> String {
    format!("{}@harbour.example", store::random::uuid().simple())
}
