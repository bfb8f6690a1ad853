//! Vinculum's append: the real command path with decide, tags, sealing and the boundary check.

use std::sync::Arc;

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::ids::{AccountId, ProfessionalId};
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::ProfessionalDetails;
use domain::words::{AccountKind, Language, Scope};
use store::clock::Clock;
use store::seal::NamedKey;
use store::secret::Secret;
use store::{Location, Store, random};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::contender::take_turns;
use crate::load::closed_loop;

/// Callers that open the accounts before the first turn.
const OPENING_CALLERS: usize = 256;

/// `append URL ACCOUNTS`: commands a second, of `callers` on many accounts.
pub async fn contend(location: Location, accounts: u64) -> Result<(), Failure> {
    let (store, _appender) = open(location).await?;
    let accounts: Arc<[AccountId]> = open_accounts(&store, accounts).await?.into();
    take_turns(async |turn| {
        let callers = turn.number("callers", 64);
        let (store, accounts) = (store.clone(), Arc::clone(&accounts));
        let value = closed_loop(callers, turn.time, move |caller, call| {
            let (store, accounts) = (store.clone(), Arc::clone(&accounts));
            async move {
                let account = accounts[(caller + call * callers) as usize % accounts.len()];
                store.execute(add(account), staff(), request()).await?;
                Ok(())
            }
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

/// Opens a log, migrated, as the service does.
pub async fn open(location: Location) -> Result<(Store, JoinHandle<()>), Failure> {
    store::migrate::migrate(&location, None).await?;
    let keys = vec![NamedKey { id: "bench".into(), key: Secret::new([7; store::seal::KEY_BYTES]) }];
    Ok(Store::open(location, keys, Clock::System).await?)
}

/// Opens accounts with one professional each.
pub async fn open_accounts(store: &Store, count: u64) -> Result<Vec<AccountId>, Failure> {
    let mut opened = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..count {
        let account = AccountId(random::uuid());
        opened.push(account);
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let command = Command::OpenAccount {
                account,
                customer_number: CustomerNumber::parse(&account.0.simple().to_string()[..20])?,
                kind: AccountKind::Customer,
                name: AccountName::parse("Harbour Lights Bakery")?,
            };
            store.execute(command, staff(), request()).await?;
            store.execute(add(account), staff(), request()).await?;
            Ok::<(), Failure>(())
        }));
        if tasks.len() == OPENING_CALLERS {
            for task in tasks.drain(..) {
                task.await??;
            }
        }
    }
    for task in tasks {
        task.await??;
    }
    Ok(opened)
}

/// Adds a new person to an account.
pub fn add(account: AccountId) -> Command {
    let professional = ProfessionalId(random::uuid());
    Command::AddProfessional {
        account,
        professional,
        details: ProfessionalDetails {
            name: PersonName::parse("Robin Rivers").expect("a name"),
            address: EmailAddress::parse(&format!("{}@harbour.example", professional.0.simple())).expect("an address"),
        },
        language: Language::English,
        invitation: None,
    }
}

/// The vendor's systems.
pub fn staff() -> Caller {
    Caller::with_scopes(Actor::Cli("bench".into()), [Scope::BackOffice, Scope::Support])
}

/// A request of its own.
pub fn request() -> Request {
    Request { id: random::uuid(), key: None, body: None, if_match: None }
}
