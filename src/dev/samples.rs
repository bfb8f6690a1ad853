//! The sample account of the embedded default, made by the same commands that everybody uses: a bakery whose
//! administrator, Alex, has invited Robin.

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::{Command, NewLink};
use domain::event::{Event, ServicePlan};
use domain::ids::{AccountId, FlowId, IdentityId, InvitationId, ProfessionalId};
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::{IdentityDetails, ProfessionalDetails};
use domain::tag::Subject;
use domain::time::Millis;
use domain::words::{AccountKind, Language, Scope};
use store::{ExecuteError, Store, random};

use super::DevelopmentError;
use super::provider::{DevIssuer, DevPerson, DevProvider};
use crate::config::Keys;

const CUSTOMER_NUMBER: &str = "C-1001";
/// The account's name.
pub const ACCOUNT: &str = "Harbour Lights Bakery";
const PLAN: &str = "Enhancement Plan";
const PLAN_LENGTH: Millis = Millis::days(365);

/// The administrator who invites.
pub const ADMINISTRATOR: (&str, &str) = ("Alex Quay", "alex.quay@harbour.example");
/// The person who is invited.
pub const INVITEE: (&str, &str) = ("Robin Rivers", "robin.rivers@harbour.example");
/// The invitee's own sign-in, which has another address.
pub const INVITEE_AT_HOME: (&str, &str) = ("Robin Rivers", "robin.rivers@home.example");
/// Somebody who gets the mail forwarded.
pub const STRANGER: &str = "Sasha Lind";

/// The sample account in this log.
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    /// The account.
    pub account: AccountId,
    /// The invited professional.
    pub invitee: ProfessionalId,
    /// The administrator's identity.
    pub administrator: IdentityId,
}

impl Samples {
    /// Finds the sample account, or makes it in a log that has none.
    ///
    /// # Errors
    /// The log cannot be read or written.
    pub async fn put_in_place(store: &Store, keys: &Keys, provider: &DevProvider) -> Result<Self, DevelopmentError> {
        let issuer = provider.issuer_url(DevIssuer::Work);
        let person = DevPerson::new(DevIssuer::Work, ADMINISTRATOR.0, ADMINISTRATOR.1);
        let subject = serde_json::json!([person.subject]).to_string();
        let administrator = store.identity(&keys.look_up, &issuer, &subject).await?;
        let number = CustomerNumber::parse(CUSTOMER_NUMBER).expect("invariant: the constant is a customer number");
        let opened = store.events_about(&Subject::CustomerNumber(number.clone())).await?;
        let account = opened.iter().find_map(|recorded| recorded.event.about().account);
        if let Some(account) = account
            && let Some(invitee) = find_invitee(store, account).await?
        {
            return Ok(Self { account, invitee, administrator });
        }
        let account = match account {
            Some(account) => account,
            None => open_account(store, number).await?,
        };
        let link_key = keys.links[0].id.clone();
        add_administrator(store, account, administrator, &link_key).await?;
        let by = Caller::new(Actor::Identity(administrator));
        let invitee = ProfessionalId(random::uuid());
        run(store, add(account, invitee, INVITEE, new_link(&link_key)), by).await?;
        Ok(Self { account, invitee, administrator })
    }
}

async fn find_invitee(store: &Store, account: AccountId) -> Result<Option<ProfessionalId>, DevelopmentError> {
    let events = store.events_about(&Subject::Account(account)).await?;
    Ok(events.iter().find_map(|recorded| match &recorded.event {
        Event::ProfessionalAdded(e) if e.details.as_ref()?.address.as_str() == INVITEE.1 => Some(e.professional),
        _ => None,
    }))
}

async fn open_account(store: &Store, customer_number: CustomerNumber) -> Result<AccountId, ExecuteError> {
    let name = |text| AccountName::parse(text).expect("invariant: the constant is a name");
    let (account, now) = (AccountId(random::uuid()), store.clock().now());
    let open = Command::OpenAccount { account, customer_number, kind: AccountKind::Customer, name: name(ACCOUNT) };
    run(store, open, staff()).await?;
    let plan = ServicePlan { name: name(PLAN), starts_at: now, ends_at: now + PLAN_LENGTH };
    run(store, Command::SetServicePlan { account, plan: Some(plan) }, staff()).await?;
    Ok(account)
}

/// The administrator is added, and has accepted already.
async fn add_administrator(
    store: &Store,
    account: AccountId,
    identity: IdentityId,
    link_key: &str,
) -> Result<(), ExecuteError> {
    let details = IdentityDetails { name: Some(name(ADMINISTRATOR.0)), address: Some(address(ADMINISTRATOR.1)) };
    let (issuer, kind) = (DevIssuer::Work.as_str().into(), DevIssuer::Work.kind());
    let oneself = || Caller::new(Actor::Identity(identity));
    run(store, Command::RegisterIdentity { identity, issuer, kind, details }, oneself()).await?;
    let new = new_link(link_key);
    let link = Link { account, invitation: new.invitation, generation: 1 };
    run(store, add(account, ProfessionalId(random::uuid()), ADMINISTRATOR, new), staff()).await?;
    run(store, Command::ClickLink { link, flow: FlowId(random::uuid()) }, Caller::new(Actor::Link)).await?;
    let mailbox = Mailbox::TrustedAddress(address(ADMINISTRATOR.1)); // the employer's provider speaks for it
    let accept = Command::AcceptInvitation { link, identity, mailbox };
    run(store, accept, oneself()).await
}

fn add(account: AccountId, professional: ProfessionalId, person: (&str, &str), new: NewLink) -> Command {
    Command::AddProfessional {
        account,
        professional,
        details: ProfessionalDetails { name: name(person.0), address: address(person.1) },
        language: Language::English,
        invitation: Some(new),
    }
}

/// A fresh link with the default lifetime.
pub fn new_link(link_key: &str) -> NewLink {
    NewLink { invitation: InvitationId(random::uuid()), lifetime: Lifetime::DEFAULT, link_key: link_key.into() }
}

fn name(text: &str) -> PersonName {
    PersonName::parse(text).expect("invariant: the constant is a name")
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("invariant: the constant is an address")
}

fn staff() -> Caller {
    Caller::with_scopes(Actor::Cli("embedded-default".into()), [Scope::BackOffice, Scope::Support])
}

async fn run(store: &Store, command: Command, caller: Caller) -> Result<(), ExecuteError> {
    store
        .execute(command, caller, Request { id: random::uuid(), key: None, body: None, if_match: None })
        .await
        .map(drop)
}
