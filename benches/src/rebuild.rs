//! Making every view from nothing, beside rows that one connection inserts.

use std::time::Instant;

use projections::Projector;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use store::random;

use crate::Failure;
use crate::append::{location, open};
use crate::contender::take_turns;
use crate::replay::{over_and_over, seed};

/// Rows of one statement of the yardstick.
const ROWS: usize = 100;
/// The length of a row's body, in bytes: about that of a view's.
const BODY_BYTES: usize = 480;

/// `rebuild URL EVENTS`: events a second into all views, by a node that starts and finds none.
pub async fn contend(url: &str, events: u64) -> Result<(), Failure> {
    let location = location(url);
    seed(location.clone(), events).await?;
    let mut connection = PgConnection::connect(url).await?;
    take_turns(async |turn| {
        let value = over_and_over(turn, async || {
            let (store, _appender) = open(location.clone()).await?;
            sqlx::raw_sql("drop schema views cascade; create schema views").execute(&mut connection).await?;
            let began = Instant::now();
            let (_projector, views) = Projector::open(store).await?;
            Ok((views.position(), began.elapsed().as_secs_f64()))
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

/// `unnest URL`: rows a second into a table like a view's, 100 for each statement.
pub async fn yardstick(url: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(
        "create table row (key text primary key, account text, state text, number bigint, body text not null)",
    )
    .execute(&mut connection)
    .await?;
    let body = "x".repeat(BODY_BYTES);
    take_turns(async |turn| {
        sqlx::raw_sql("truncate row").execute(&mut connection).await?;
        let value = over_and_over(turn, async || {
            let began = Instant::now();
            let id = || random::uuid().to_string();
            let (keys, accounts): (Vec<_>, Vec<_>) = (0..ROWS).map(|_| (id(), id())).unzip();
            sqlx::query(
                "insert into row (key, account, state, number, body) \
                 select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])",
            )
            .bind(keys)
            .bind(accounts)
            .bind(vec!["sent"; ROWS])
            .bind(vec![7_i64; ROWS])
            .bind(vec![body.as_str(); ROWS])
            .execute(&mut connection)
            .await?;
            Ok((ROWS as i64, began.elapsed().as_secs_f64()))
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}
