//! disintegrate over PostgreSQL: domain identifiers as Vinculum's tags, a decision on what they select, and a
//! serializable transaction that looks whether anything was added to it.

use ::disintegrate::serde::json::Json;
use ::disintegrate::{Decision, NoSnapshot, StateMutate, StateQuery};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventStore, decision_maker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool};
use uuid::Uuid;

use crate::Failure;
use crate::account::{Account, AccountEvent, AddProfessional, AddressTaken, Event};
use crate::peer::{CONNECTIONS, Outcome, Peer, pool};

/// PostgreSQL ends a serializable transaction with this code when others may have been in its way.
const SERIALIZATION_FAILURE: &str = "40001";

/// The decision maker and its database.
pub struct Disintegrate {
    decisions: PgDecisionMaker<Event, Json<Event>, NoSnapshot>,
    pool: PgPool,
}

/// Writes a number of one of the library's functions as PostgreSQL before 16 can read it. Nothing else about it changes.
const WITHOUT_HEXADECIMAL: &str = "do $$ begin
    execute replace(pg_get_functiondef('event_store_begin_epoch'::regproc), '0xFFFFFFFF', '4294967295');
    end $$";

/// Opens an empty event store.
pub async fn open(url: &str) -> Result<Disintegrate, Failure> {
    let options: PgConnectOptions = url.parse()?;
    // The library makes its functions itself: one that cannot be read yet must not fail before it is mended.
    let lenient = pool(options.clone().options([("check_function_bodies", "off")]), 1).await?;
    PgEventStore::<Event, Json<Event>>::try_new(lenient.clone(), Json::default()).await?;
    sqlx::query(WITHOUT_HEXADECIMAL).execute(&lenient).await?;
    lenient.close().await;
    let pool = pool(options, CONNECTIONS).await?;
    let store = PgEventStore::new_uninitialized(pool.clone(), Json::default());
    Ok(Disintegrate { decisions: decision_maker(store, NoSnapshot), pool })
}

impl Peer for Disintegrate {
    async fn add(&self, wish: AddProfessional) -> Result<Outcome, Failure> {
        match self.decisions.make(wish).await {
            Ok(_) => Ok(Outcome::Appended),
            Err(::disintegrate::DecisionError::Domain(AddressTaken)) => Ok(Outcome::Refused),
            Err(::disintegrate::DecisionError::StateStore(failure)) if was_others(failure.as_ref()) => {
                Ok(Outcome::Conflict)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn count(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("select count(*) from event").fetch_one(&self.pool).await?)
    }
}

/// Whether a command failed because of others: newer events were found, or the database could not tell.
fn was_others(failure: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    match failure.downcast_ref::<Error>() {
        Some(Error::Concurrency) => true,
        Some(Error::Database(sqlx::Error::Database(error))) => error.code().as_deref() == Some(SERIALIZATION_FAILURE),
        _ => false,
    }
}

/// The events of one account, and what they come to.
#[derive(Clone, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
pub struct AccountState {
    #[id]
    account: Uuid,
    state: Account,
}

impl StateMutate for AccountState {
    fn mutate(&mut self, event: AccountEvent) {
        self.state.evolve(event.into());
    }
}

impl Decision for AddProfessional {
    type Event = Event;
    type StateQuery = AccountState;
    type Error = AddressTaken;

    fn state_query(&self) -> AccountState {
        AccountState { account: self.account, state: Account::default() }
    }

    fn process(&self, account: &AccountState) -> Result<Vec<Event>, AddressTaken> {
        Ok(vec![account.state.decide(self.clone())?])
    }
}
