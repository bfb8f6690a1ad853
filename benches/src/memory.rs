//! What the service takes: memory at rest and under load, and the time that it needs to start.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::AccountId;

use crate::Failure;
use crate::append::open_accounts;
use crate::contender::{Measured, Turn, take_turns};
use crate::http_command::{Adder, adders};
use crate::http_query::{Ask, Asker, PEOPLE, askers, asks_for_me, link_people};
use crate::life;
use crate::load::{Caller, milliseconds, timed_loop};
use crate::service::World;

/// Connections of the load; half of them command, half of them ask.
const CONNECTIONS: u64 = 64;
/// Accounts that people are added to.
const ACCOUNTS: u64 = 1_000;
/// How long the service is left alone before its memory at rest is read.
const REST: Duration = Duration::from_secs(2);

/// `memory URL EVENTS`: the resident set at rest (`value`) and under load, in MB, and the milliseconds from start to
/// ready, on a log of so many events.
pub async fn contend(url: &str, events: u64) -> Result<(), Failure> {
    let world = World::prepare(url).await?;
    let (store, appender) = world.open().await?;
    let accounts: Arc<[AccountId]> = open_accounts(&store, ACCOUNTS).await?.into();
    let asks = asks_for_me(&world, &link_people(&world, &store, PEOPLE).await?)?;
    life::until(&store, events).await?;
    drop(store);
    appender.await?;
    world.settle().await?;
    take_turns(async |turn| measure(&world, &accounts, &asks, turn).await).await
}

async fn measure(
    world: &World,
    accounts: &Arc<[AccountId]>,
    asks: &Arc<[Ask]>,
    turn: Turn,
) -> Result<Measured, Failure> {
    let service = world.serve().await?;
    let start_ms = milliseconds(service.caught_up().await?);
    tokio::time::sleep(REST).await;
    let idle_mb = service.memory_mb("VmRSS")?;
    let mut callers = Vec::new();
    callers.extend(adders(world, &service, accounts, CONNECTIONS / 2).await?.into_iter().map(Mixed::Adder));
    callers.extend(askers(service.address, asks, CONNECTIONS / 2).await?.into_iter().map(Mixed::Asker));
    timed_loop(callers, turn.time).await?;
    let loaded_mb = service.memory_mb("VmHWM")?;
    service.stop().await?;
    Ok(vec![("value", idle_mb), ("loaded_mb", loaded_mb), ("start_ms", start_ms)])
}

/// Somebody of a mixed load.
enum Mixed {
    Adder(Adder),
    Asker(Asker),
}

impl Caller for Mixed {
    async fn call(&mut self) -> Result<(), Failure> {
        match self {
            Self::Adder(adder) => adder.call().await,
            Self::Asker(asker) => asker.call().await,
        }
    }
}
