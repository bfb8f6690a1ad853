//! A very large account beside a small one, with the account in memory and without.

use std::time::Instant;

use domain::ids::AccountId;
use store::Store;

use crate::Failure;
use crate::append::{add, open_account, request, staff};
use crate::contender::take_turns;
use crate::load::{Sorted, milliseconds};
use crate::service::World;

/// People of the large account.
const PEOPLE_MANY: usize = 10_000;
/// People of the small account.
const PEOPLE_FEW: usize = 10;
/// Commands of a turn on each account: few beside its people, so that turns hardly change what they measure.
const COMMANDS: usize = 100;
/// Starts of a turn.
const STARTS: usize = 3;

/// `account-10k URL`: how much longer a command on the large account takes than on the small one (`value`), both in
/// milliseconds, and the first command on the large account after a start.
pub async fn contend(url: &str) -> Result<(), Failure> {
    let world = World::prepare(url).await?;
    let (store, _appender) = world.open().await?;
    let (large, small) = (open_account(&store, 0).await?, open_account(&store, 1).await?);
    for (account, people) in [(large, PEOPLE_MANY), (small, PEOPLE_FEW)] {
        for _ in 1..people {
            add_one(&store, account).await?;
        }
    }
    take_turns(async |_| {
        let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
        for _ in 0..COMMANDS {
            of_large.push(add_one(&store, large).await?);
            of_small.push(add_one(&store, small).await?);
        }
        let mut first = Vec::new();
        for _ in 0..STARTS {
            let (fresh, appender) = world.open().await?;
            first.push(add_one(&fresh, large).await?);
            drop(fresh);
            appender.await?;
        }
        let (of_large, of_small) = (Sorted::new(of_large).percentile(50), Sorted::new(of_small).percentile(50));
        let first = Sorted::new(first).percentile(50);
        Ok(vec![("value", of_large / of_small), ("large_ms", of_large), ("small_ms", of_small), ("first_ms", first)])
    })
    .await
}

/// Adds one person; returns how long it took, in milliseconds.
async fn add_one(store: &Store, account: AccountId) -> Result<f64, Failure> {
    let began = Instant::now();
    store.execute(add(store, account), staff(), request()).await?;
    Ok(milliseconds(began.elapsed()))
}
