//! What a long log costs: appends, and the most frequent query.

use std::time::Instant;

use domain::event::Event;
use domain::ids::AccountId;
use store::Store;

use crate::Failure;
use crate::append::{add, request, staff};
use crate::contender::take_turns;
use crate::http_query::{self, PEOPLE, WARM_UP, asks_for_me, link_people};
use crate::life;
use crate::load::{Sorted, milliseconds};
use crate::service::World;

/// Callers that append, and connections that ask.
const CALLERS: usize = 64;
/// Accounts all over the log that people are added to.
const ACCOUNTS: i64 = 128;
/// Events among which an account is opened, many times over.
const STRETCH: i64 = 1_000;
/// Commands of each caller in a turn: few, so that a short log stays short.
const COMMANDS_OF_CALLER: usize = 50;

/// `growth URL EVENTS`: how long `GET /v1/me` (`value`) and a command take, in milliseconds at the median, on a log of
/// so many events.
pub async fn contend(url: &str, events: u64) -> Result<(), Failure> {
    let world = World::prepare(url).await?;
    let (store, _appender) = world.open().await?;
    let asks = asks_for_me(&world, &link_people(&world, &store, PEOPLE).await?)?;
    life::until(&store, events).await?;
    world.settle().await?;
    let accounts = accounts(&store).await?;
    for account in &accounts {
        store.execute(add(&store, *account), staff(), request()).await?; // which brings it into memory
    }
    take_turns(async |turn| {
        let appended = append(&store, &accounts).await?;
        let service = world.serve().await?;
        service.caught_up().await?;
        let connections = CALLERS as u64;
        http_query::measure(service.address, &asks, connections, WARM_UP).await?;
        let asked = http_query::measure(service.address, &asks, connections, turn.time).await?;
        service.stop().await?;
        Ok(vec![
            ("value", asked.took.percentile(50)),
            ("me_p99_ms", asked.took.percentile(99)),
            ("append_p50_ms", appended.percentile(50)),
            ("append_p99_ms", appended.percentile(99)),
        ])
    })
    .await
}

/// Accounts that were opened all over the log.
async fn accounts(store: &Store) -> Result<Vec<AccountId>, Failure> {
    let head = store.head().await?;
    let mut accounts = Vec::new();
    for number in 0..ACCOUNTS {
        let stretch = store.page(head / ACCOUNTS * number, STRETCH).await?;
        accounts.extend(stretch.into_iter().find_map(|recorded| match recorded.event {
            Event::AccountOpened(opened) => Some(opened.account),
            _ => None,
        }));
    }
    Ok(accounts)
}

/// Lets callers append; returns how long each command took.
async fn append(store: &Store, accounts: &[AccountId]) -> Result<Sorted, Failure> {
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (store, mut accounts) = (store.clone(), accounts.to_vec());
        let begins_at = caller * accounts.len() / CALLERS; // so that no two ask about one account at once
        accounts.rotate_left(begins_at);
        callers.push(tokio::spawn(async move {
            let mut took = Vec::with_capacity(COMMANDS_OF_CALLER);
            for account in accounts.into_iter().cycle().take(COMMANDS_OF_CALLER) {
                let began = Instant::now();
                store.execute(add(&store, account), staff(), request()).await?;
                took.push(milliseconds(began.elapsed()));
            }
            Ok::<_, Failure>(took)
        }));
    }
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await??);
    }
    Ok(Sorted::new(took))
}
