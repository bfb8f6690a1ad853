//! esrs: an aggregate in a table of its own, its stream read before each command, a unique key against others.

use ::esrs::manager::AggregateManager;
use ::esrs::store::postgres::{PgStore, PgStoreBuilder, PgStoreError};
use ::esrs::{Aggregate, AggregateState};
use sqlx::PgPool;

use crate::Failure;
use crate::account::{Account, AddProfessional, AddressTaken, Event};
use crate::peer::{CONNECTIONS, Outcome, Peer, pool};

/// The manager and its database.
pub struct Esrs {
    manager: AggregateManager<PgStore<Accounts>>,
    pool: PgPool,
}

/// Opens an empty event store.
pub async fn open(url: &str) -> Result<Esrs, Failure> {
    let pool = pool(url.parse()?, CONNECTIONS).await?;
    let store = PgStoreBuilder::<Accounts>::new(pool.clone()).try_build().await?;
    Ok(Esrs { manager: AggregateManager::new(store), pool })
}

impl Peer for Esrs {
    /// Loads without a lock: the lock would take a second connection for each command, and almost never be needed.
    async fn add(&self, wish: AddProfessional) -> Result<Outcome, Failure> {
        let loaded = self.manager.load(wish.account).await?;
        let state = loaded.unwrap_or_else(|| AggregateState::with_id(wish.account));
        match self.manager.handle_command(state, wish).await {
            Ok(Ok(_)) => Ok(Outcome::Appended),
            Ok(Err(AddressTaken)) => Ok(Outcome::Refused),
            Err(PgStoreError::Sqlx(sqlx::Error::Database(error))) if error.is_unique_violation() => {
                Ok(Outcome::Conflict)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn count(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("select count(*) from account_events").fetch_one(&self.pool).await?)
    }
}

/// Accounts as aggregates.
pub struct Accounts;

impl Aggregate for Accounts {
    const NAME: &'static str = "account";
    type State = Account;
    type Command = AddProfessional;
    type Event = Event;
    type Error = AddressTaken;

    fn handle_command(account: &Account, wish: AddProfessional) -> Result<Vec<Event>, AddressTaken> {
        Ok(vec![account.decide(wish)?])
    }

    fn apply_event(mut account: Account, event: Event) -> Account {
        account.evolve(event);
        account
    }
}
