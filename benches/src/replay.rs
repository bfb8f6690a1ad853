//! Reading the whole log: typed, with the personal parts opened; and as the bytes that the database gives.

use std::time::Instant;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use store::{Location, Store};

use crate::Failure;
use crate::append::{location, open};
use crate::contender::{Turn, take_turns};
use crate::life;

/// `replay URL EVENTS`: events a second, decoded by a node that has just started.
pub async fn contend(url: &str, events: u64) -> Result<(), Failure> {
    let location = location(url);
    seed(location.clone(), events).await?;
    take_turns(async |turn| {
        let location = location.clone();
        let value = over_and_over(turn, async || {
            let (store, _appender) = open(location.clone()).await?;
            let began = Instant::now();
            Ok((read(&store).await?, began.elapsed().as_secs_f64()))
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

/// `copy URL`: rows a second that `COPY TO` gives of the log in the same database.
pub async fn yardstick(url: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    take_turns(async |turn| {
        let value = over_and_over(turn, async || {
            let began = Instant::now();
            let mut bytes = connection.copy_out_raw("copy event to stdout").await?;
            while let Some(chunk) = bytes.try_next().await? {
                std::hint::black_box(chunk);
            }
            drop(bytes);
            let time = began.elapsed().as_secs_f64();
            let rows: i64 =
                sqlx::query("select position from log_head").fetch_one(&mut connection).await?.try_get(0)?;
            Ok((rows, time))
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

/// Fills a log through the real commands, and lets the database settle.
pub async fn seed(location: Location, events: u64) -> Result<(), Failure> {
    let (store, appender) = open(location.clone()).await?;
    life::until(&store, events).await?;
    drop(store);
    appender.await?;
    if let Location::Postgres(url) = location {
        let mut connection = PgConnection::connect(url.reveal()).await?;
        for settle in ["vacuum analyze", "checkpoint"] {
            sqlx::raw_sql(settle).execute(&mut connection).await?;
        }
    }
    Ok(())
}

/// Does the whole work again and again for as long as the turn lasts, at least once. The work tells how many it did and
/// in how many seconds; the answer is how many a second.
pub async fn over_and_over(
    turn: Turn,
    mut work: impl AsyncFnMut() -> Result<(i64, f64), Failure>,
) -> Result<f64, Failure> {
    let (mut done, mut took) = (0, 0.0);
    while took < turn.time.as_secs_f64() {
        let (more, time) = work().await?;
        done += more;
        took += time;
    }
    Ok(done as f64 / took)
}

async fn read(store: &Store) -> Result<i64, Failure> {
    let (head, mut read) = (store.head().await?, 0);
    let mut pages = store.pages(0, head);
    while let Some(page) = pages.try_next().await? {
        read += std::hint::black_box(page).len() as i64;
    }
    Ok(read)
}
