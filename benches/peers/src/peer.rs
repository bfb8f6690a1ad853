//! What all peers have in common: accounts, callers that try again when others were faster, and the proof that what was
//! counted is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use uuid::Uuid;

use crate::Failure;
use crate::account::{AddProfessional, random_id};
use crate::contender::take_turns;
use crate::load::closed_loop;

/// Over how many accounts the callers go. As in Vinculum's own measurement.
const ACCOUNTS: usize = 1_000;

/// Connections of a pool, if nothing else is said.
pub const CONNECTIONS: u32 = 32;

/// How often a command is tried before its caller gives up: far more often than chance explains.
const TRIES_MAX: u32 = 1_000;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event is durable.
    Appended,
    /// The decision was against it.
    Refused,
    /// Somebody else appended meanwhile; it may be tried again.
    Conflict,
}

/// An event store, used as its documentation says.
pub trait Peer: Send + Sync + 'static {
    /// Loads the account, decides and appends, once.
    fn add(&self, wish: AddProfessional) -> impl Future<Output = Result<Outcome, Failure>> + Send;

    /// Counts the events that are in the database.
    fn count(&self) -> impl Future<Output = Result<i64, Failure>> + Send;
}

/// Connects as Vinculum's own pools do, without a question before each use.
pub async fn pool(options: PgConnectOptions, connections: u32) -> Result<PgPool, Failure> {
    Ok(PgPoolOptions::new().max_connections(connections).test_before_acquire(false).connect_with(options).await?)
}

/// Commands a second, of `callers` on many accounts; and how many of the tries were lost to others.
pub async fn contend(peer: impl Peer) -> Result<(), Failure> {
    let side = Arc::new(Side { peer, appended: AtomicU64::new(0), conflicts: AtomicU64::new(0) });
    let accounts: Arc<[Uuid]> = (0..ACCOUNTS).map(|_| random_id()).collect();
    for account in accounts.iter() {
        side.add(AddProfessional::somebody(*account)).await?;
    }
    side.refuses(accounts[0]).await?;
    take_turns(async |turn| {
        let callers = turn.number("callers", 64);
        let conflicts_before = side.conflicts.load(Ordering::Relaxed);
        let value = closed_loop(callers, turn.time, {
            let (side, accounts) = (Arc::clone(&side), Arc::clone(&accounts));
            move |caller, call| {
                let (side, accounts) = (Arc::clone(&side), Arc::clone(&accounts));
                async move {
                    let account = accounts[(caller + call * callers) as usize % accounts.len()];
                    side.add(AddProfessional::somebody(account)).await
                }
            }
        })
        .await?;
        let conflicts = side.conflicts.load(Ordering::Relaxed) - conflicts_before;
        Ok(vec![("value", value), ("conflicts", conflicts as f64)])
    })
    .await?;
    side.counted().await
}

/// A peer, and what it has answered.
struct Side<P> {
    peer: P,
    appended: AtomicU64,
    conflicts: AtomicU64,
}

impl<P: Peer> Side<P> {
    /// Adds a person, however often that must be tried.
    async fn add(&self, wish: AddProfessional) -> Result<(), Failure> {
        for _ in 0..TRIES_MAX {
            match self.peer.add(wish.clone()).await? {
                Outcome::Appended => {
                    self.appended.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Outcome::Refused => return Err("a new address was refused".into()),
                Outcome::Conflict => self.conflicts.fetch_add(1, Ordering::Relaxed),
            };
        }
        Err(format!("lost {TRIES_MAX} times").into())
    }

    /// Makes sure that decisions are made on what was loaded.
    async fn refuses(&self, account: Uuid) -> Result<(), Failure> {
        let wish = AddProfessional::somebody(account);
        self.add(wish.clone()).await?;
        match self.peer.add(wish).await? {
            Outcome::Refused => Ok(()),
            other => Err(format!("an address that is taken: {other:?}").into()),
        }
    }

    /// Makes sure that what was answered is there, and nothing else.
    async fn counted(&self) -> Result<(), Failure> {
        let (appended, found) = (self.appended.load(Ordering::Relaxed), self.peer.count().await?);
        if i64::try_from(appended)? == found {
            Ok(())
        } else {
            Err(format!("{appended} appended, {found} found").into())
        }
    }
}
