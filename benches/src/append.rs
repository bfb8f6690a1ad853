//! Vinculum's append: the real command path with decide, tags, sealing and the boundary check.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::ids::{AccountId, ProfessionalId};
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::ProfessionalDetails;
use domain::refusal::Refusal;
use domain::words::{AccountKind, Language, Scope};
use store::clock::Clock;
use store::seal::NamedKey;
use store::secret::Secret;
use store::{ExecuteError, Location, Store, random};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Failure;
use crate::contender::take_turns;
use crate::fallen;
use crate::load::closed_loop;

/// Accounts that nodes meet on.
const DISPUTED: usize = 100;
/// Callers that open the accounts before the first turn.
const OPENING_CALLERS: usize = 256;
/// Spreads numbers that follow each other over all ids: 2^128 divided by the golden ratio.
const SPREAD_IDS: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// `append PLACE ACCOUNTS`: commands a second, of `callers` on many accounts, each time on any of them. With `hot`, on
/// one that is new in each turn. With `elsewhere_percent`, so many of the commands go through another node; with
/// `conflicts_percent`, so many are about one of a few accounts, and another node is given a command about the same one at
/// the same moment; those are not counted. `fallen_percent` is how many commands had to be decided again.
pub async fn contend(location: Location, accounts: u64) -> Result<(), Failure> {
    fallen::count()?;
    let (store, _appender) = open(location.clone()).await?;
    let mut elsewhere = None;
    let many: Arc<[AccountId]> = open_accounts(&store, accounts).await?.into();
    let mut hot = accounts; // their numbers follow, the same in every process
    take_turns(async |turn| {
        let callers = turn.number("callers", 64);
        let elsewhere_percent = turn.number("elsewhere_percent", 0);
        let conflicts_percent = turn.number("conflicts_percent", 0);
        if elsewhere_percent + conflicts_percent > 0 && elsewhere.is_none() {
            elsewhere = Some(open(location.clone()).await?.0);
        }
        let other_node = elsewhere.clone().unwrap_or_else(|| store.clone());
        let mut accounts = Arc::clone(&many);
        if turn.number("hot", 0) > 0 {
            accounts = [open_account(&store, hot).await?].into();
            hot += 1;
        }
        let store = store.clone();
        let value = closed_loop(callers, turn.time, move |caller, call| {
            let number = (caller + call * callers) % 100;
            let node = if number < elsewhere_percent { other_node.clone() } else { store.clone() };
            let disputed_with = (number < conflicts_percent).then(|| other_node.clone());
            let among = if disputed_with.is_some() { DISPUTED.min(accounts.len()) } else { accounts.len() };
            let account = accounts[usize::from_ne_bytes(random::bytes()) % among];
            let execute =
                async move |node: Store| node.execute(add(&node, account), staff(), request()).await.map(drop);
            async move {
                match disputed_with {
                    Some(other) => tokio::try_join!(execute(node), execute(other)).map(drop)?,
                    None => execute(node).await?,
                }
                Ok(())
            }
        })
        .await?;
        let fallen_percent = fallen::take() as f64 / (value * turn.time.as_secs_f64()) * 100.0;
        Ok(vec![("value", value), ("fallen_percent", fallen_percent)])
    })
    .await
}

/// The database of a URL, or else the folder of a path.
pub fn location(place: &str) -> Location {
    match place.starts_with("postgres:") {
        true => Location::Postgres(Secret::new(place.into())),
        false => Location::Folder(place.into()),
    }
}

/// Opens a log, migrated, as the service does.
pub async fn open(location: Location) -> Result<(Store, JoinHandle<()>), Failure> {
    store::migrate::migrate(&location, None).await?;
    let keys = vec![NamedKey { id: "bench".into(), key: Secret::new([7; store::seal::KEY_BYTES]) }];
    Ok(Store::open(location, keys, Clock::System).await?)
}

/// Opens the accounts with the first numbers.
pub async fn open_accounts(store: &Store, count: u64) -> Result<Vec<AccountId>, Failure> {
    let mut opened = Vec::new();
    let mut tasks = VecDeque::new();
    for number in 0..count {
        if tasks.len() == OPENING_CALLERS {
            opened.extend(next(&mut tasks).await?);
        }
        let store = store.clone();
        tasks.push_back(tokio::spawn(async move { open_account(&store, number).await }));
    }
    while let Some(account) = next(&mut tasks).await? {
        opened.push(account);
    }
    Ok(opened)
}

async fn next(tasks: &mut VecDeque<JoinHandle<Result<AccountId, Failure>>>) -> Result<Option<AccountId>, Failure> {
    match tasks.pop_front() {
        Some(task) => task.await?.map(Some),
        None => Ok(None),
    }
}

/// Opens the account of a number, the same in every process, with one professional; one that is open already is left
/// as it is.
pub async fn open_account(store: &Store, number: u64) -> Result<AccountId, Failure> {
    let account = AccountId(Uuid::from_u128(u128::from(number + 1).wrapping_mul(SPREAD_IDS)));
    let command = Command::OpenAccount {
        account,
        customer_number: CustomerNumber::parse(&account.0.simple().to_string()[..20])?,
        kind: AccountKind::Customer,
        name: AccountName::parse("Harbour Lights Bakery")?,
    };
    match store.execute(command, staff(), request()).await {
        Ok(_) => store.execute(add(store, account), staff(), request()).await.map(drop)?,
        Err(ExecuteError::Refused(Refusal::CustomerNumberTaken)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(account)
}

/// Adds a new person to an account.
pub fn add(store: &Store, account: AccountId) -> Command {
    let professional = ProfessionalId(store.fresh_id());
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
