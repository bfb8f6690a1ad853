//! Appends beside `pgbench`: the real command path on PostgreSQL, with decide, tags, sealing and the boundary check,
//! and single-row inserts of an equal row, in turns within one run. `./bench` starts the database and both.
//!
//! `benches append URL CALLERS SECONDS [ACCOUNTS]` prints commands a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| arguments.get(place).and_then(|it| it.parse().ok()).unwrap_or(default);
    let url = arguments.first().ok_or("usage: benches URL CALLERS SECONDS [ACCOUNTS]")?.clone();
    let (callers, seconds, accounts) = (number(1, 64), number(2, 3), number(3, 1_000));
    let location = Location::Postgres(Secret::new(url));
    store::migrate::migrate(&location, None).await?;
    let keys = vec![NamedKey { id: "bench".into(), key: Secret::new(random::bytes()) }];
    let (store, _appender) = Store::open(location, keys, Clock::System).await?;
    let accounts = Arc::new(open_accounts(&store, accounts).await?);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    let began = Instant::now();
    for caller in 0..callers {
        let (store, accounts) = (store.clone(), Arc::clone(&accounts));
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut turn = caller as usize;
            while !stop.load(Ordering::Relaxed) {
                turn += callers as usize;
                let command = add(accounts[turn % accounts.len()]);
                if let Err(error) = store.execute(command, staff(), request()).await {
                    eprintln!("{error}");
                    return;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await?;
    }
    println!("{:.0}", done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

async fn open_accounts(store: &Store, count: u64) -> Result<Vec<AccountId>, Failure> {
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
        if tasks.len() == 256 {
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

fn add(account: AccountId) -> Command {
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

fn staff() -> Caller {
    Caller::with_scopes(Actor::Cli("bench".into()), [Scope::BackOffice, Scope::Support])
}

fn request() -> Request {
    Request { id: random::uuid(), key: None, body: None, if_match: None }
}
