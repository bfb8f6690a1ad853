//! A log as life leaves it: accounts with a plan and five people each, who were invited by mail; most accepted.

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller};
use domain::command::{Command, Edit, NewLink};
use domain::event::ServicePlan;
use domain::ids::{AccountId, IdentityId, InvitationId, MailId, ProfessionalId};
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::mail::MailOutcome;
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::{IdentityDetails, ProfessionalDetails};
use domain::time::Timestamp;
use domain::words::{AccountKind, IdentityKind, Language, Role};
use store::{Store, random};

use crate::Failure;
use crate::append::{request, staff};

/// Accounts that live at once.
const AT_ONCE: u64 = 128;
/// People of one account.
const PEOPLE: u64 = 5;
/// How many of them accept their invitation.
const ACCEPTED: u64 = 3;
/// The id of the key that links are derived with.
pub const LINK_KEY: &str = "bench";

/// Lets accounts live until the log has so many events.
pub async fn until(store: &Store, events: u64) -> Result<(), Failure> {
    let lives: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                while store.appended().borrow().unsigned_abs() < events {
                    let invited = opened(&store).await?;
                    for (number, link) in (0..).zip(&invited) {
                        mailed(&store, *link).await?;
                        if number < ACCEPTED {
                            accepted(&store, link.1).await?;
                        }
                    }
                    changed(&store, &invited).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for life in lives {
        life.await??;
    }
    Ok(())
}

/// Lets so many mails wait: invitations of new accounts.
pub async fn mails(store: &Store, count: u64) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in (task * PEOPLE..count).step_by((AT_ONCE * PEOPLE) as usize) {
                    opened(&store).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Opens an account with a plan, and invites its people.
async fn opened(store: &Store) -> Result<Vec<(ProfessionalId, Link)>, Failure> {
    let account = AccountId(random::uuid());
    let open = Command::OpenAccount {
        account,
        customer_number: CustomerNumber::parse(&account.0.simple().to_string()[..20])?,
        kind: AccountKind::Customer,
        name: AccountName::parse("Harbour Lights Bakery")?,
    };
    let ends_at = Timestamp::parse("2126-01-01T00:00:00Z")?;
    let plan = ServicePlan { name: AccountName::parse("Enhancement Plan")?, starts_at: Timestamp(0), ends_at };
    store.execute(open, staff(), request()).await?;
    store.execute(Command::SetServicePlan { account, plan: Some(plan) }, staff(), request()).await?;
    let mut invited = Vec::new();
    for _ in 0..PEOPLE {
        let (professional, invitation) = (ProfessionalId(store.fresh_id()), InvitationId(store.fresh_id()));
        let add = Command::AddProfessional {
            account,
            professional,
            details: ProfessionalDetails { name: PersonName::parse("Robin Rivers")?, address: address(professional)? },
            language: Language::English,
            invitation: Some(NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: LINK_KEY.into() }),
        };
        store.execute(add, staff(), request()).await?;
        invited.push((professional, Link { account, invitation, generation: 1 }));
    }
    Ok(invited)
}

fn address(professional: ProfessionalId) -> Result<EmailAddress, Failure> {
    Ok(EmailAddress::parse(&format!("{}@harbour.example", professional.0.simple()))?)
}

/// The mail of an invitation goes out.
async fn mailed(store: &Store, (professional, link): (ProfessionalId, Link)) -> Result<(), Failure> {
    let worker = || Caller::new(Actor::Worker("mail".into()));
    let (account, mail) = (link.account, MailId::derive(link.invitation, link.generation, "invitation", 1));
    store.execute(Command::AttemptMail { account, mail }, worker(), request()).await?;
    let outcome = MailOutcome::Sent { reply: "2.0.0 Ok: queued as 4bTXYZ1abcz9".into() };
    let record = Command::RecordMailOutcome { account, professional, mail, attempt: 1, outcome, jitter_permille: 0 };
    store.execute(record, worker(), request()).await?;
    Ok(())
}

/// The person opens the link, signs in for the first time and accepts.
async fn accepted(store: &Store, link: Link) -> Result<(), Failure> {
    store.execute(Command::RecordVisit { link }, Caller::new(Actor::Link), request()).await?;
    let identity = IdentityId(store.fresh_id());
    let person = || Caller::new(Actor::Identity(identity));
    let details = IdentityDetails {
        name: Some(PersonName::parse("Robin Rivers")?),
        address: Some(EmailAddress::parse("robin@mail.example")?),
    };
    let register =
        Command::RegisterIdentity { identity, issuer: "harbour".into(), kind: IdentityKind::Personal, details };
    store.execute(register, person(), request()).await?;
    let accept = Command::AcceptInvitation { link, identity, mailbox: Mailbox::CodeEntered };
    store.execute(accept, person(), request()).await?;
    Ok(())
}

/// A role moves, and one person is written to in another language.
async fn changed(store: &Store, people: &[(ProfessionalId, Link)]) -> Result<(), Failure> {
    let (professional, Link { account, .. }) = people[1];
    let give = Command::GiveRole { account, professional, role: Role::BillingContact };
    store.execute(give, staff(), request()).await?;
    let edit = Edit { language: Some(Language::German), ..Edit::default() };
    store.execute(Command::EditProfessional { account, professional, edit }, staff(), request()).await?;
    Ok(())
}
