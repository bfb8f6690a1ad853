//! SQLite without anything: one row for each transaction, on one connection, because SQLite has one writer at a time and
//! more callers would only wait for it.

use std::path::Path;
use std::time::Instant;

use ::rusqlite::Connection;

use crate::Failure;
use crate::account::EVENT_BYTES;
use crate::contender::take_turns;

/// Rows a second, each of them on the disk before the next begins.
pub async fn contend(folder: &Path) -> Result<(), Failure> {
    let connection = Connection::open(folder.join("rows.db"))?;
    connection.execute_batch(
        "pragma journal_mode = wal;
         pragma synchronous = full;
         create table row_event (position integer primary key, envelope text not null);",
    )?;
    let envelope = "x".repeat(EVENT_BYTES);
    take_turns(async |turn| {
        let mut insert = connection.prepare_cached("insert into row_event (envelope) values ($1)")?;
        let began = Instant::now();
        let mut rows = 0_u64;
        while began.elapsed() < turn.time {
            insert.execute([&envelope])?;
            rows += 1;
        }
        Ok(vec![("value", rows as f64 / began.elapsed().as_secs_f64())])
    })
    .await
}
