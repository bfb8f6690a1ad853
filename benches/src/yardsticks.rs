//! What Vinculum is put beside: the same rows, written and read with nothing around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, PgPool};
use tokio::process::Command;

use crate::Failure;
use crate::contender::take_turns;
use crate::load::closed_loop;

/// As long as the envelope of a `ProfessionalAdded` with its sealed part.
pub const ENVELOPE_BYTES: usize = 840;
/// Streams of the naive transactions: as many as the accounts beside them.
const STREAMS: u64 = 10_000;

/// `pgbench URL`: transactions a second of `callers`, each of which inserts one row.
pub async fn pgbench(url: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("create table row_event (position bigserial primary key, envelope text not null)")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    let script = std::env::temp_dir().join("insert.sql");
    let envelope = "x".repeat(ENVELOPE_BYTES);
    tokio::fs::write(&script, format!("insert into row_event (envelope) values ('{envelope}');\n")).await?;
    take_turns(async |turn| {
        let callers = turn.number("callers", 64).to_string();
        let seconds = turn.time.as_secs_f64().ceil().to_string(); // it knows whole ones only
        let mut command = Command::new("pgbench");
        command.args(["--no-vacuum", "--client", &callers, "--jobs", "2", "--time", &seconds, "--file"]);
        let output = command.arg(&script).arg(url).output().await?;
        let value = transactions_a_second(&String::from_utf8_lossy(&output.stdout));
        Ok(vec![("value", value.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?)])
    })
    .await
}

fn transactions_a_second(report: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `naive URL CONNECTIONS`: commands a second of `callers`, each of which is a transaction of its own: read the stream's
/// version, insert the next one, commit. Whoever finds its version taken begins again.
pub async fn naive(url: &str, connections: u32) -> Result<(), Failure> {
    let pool = PgPoolOptions::new().max_connections(connections).test_before_acquire(false).connect(url).await?;
    sqlx::raw_sql(
        "create table naive_event (stream bigint, version bigint, envelope text not null, primary key (stream, version))",
    )
    .execute(&pool)
    .await?;
    let envelope: Arc<str> = "x".repeat(ENVELOPE_BYTES).into();
    let next = Arc::new(AtomicU64::new(0));
    take_turns(async |turn| {
        let (pool, envelope, next) = (pool.clone(), envelope.clone(), next.clone());
        let value = closed_loop(turn.number("callers", 64), turn.time, move |_, _| {
            let (pool, envelope) = (pool.clone(), envelope.clone());
            let stream = (next.fetch_add(1, Ordering::Relaxed) % STREAMS) as i64;
            async move {
                while !append_naively(&pool, stream, &envelope).await? {}
                Ok(())
            }
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

/// Whether nobody else took the version meanwhile.
async fn append_naively(pool: &PgPool, stream: i64, envelope: &str) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let version: i64 = sqlx::query_scalar("select coalesce(max(version), 0) from naive_event where stream = $1")
        .bind(stream)
        .fetch_one(&mut *transaction)
        .await?;
    let inserted = sqlx::query("insert into naive_event (stream, version, envelope) values ($1, $2, $3)")
        .bind(stream)
        .bind(version + 1)
        .bind(envelope)
        .execute(&mut *transaction)
        .await;
    match inserted {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
        Ok(_) => transaction.commit().await.map(|()| true),
    }
}

/// `raw-sqlite FOLDER`: transactions a second of one connection, each of which inserts one row.
pub async fn raw_sqlite(folder: &str) -> Result<(), Failure> {
    let options = SqliteConnectOptions::new()
        .filename(format!("{folder}/rows.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false).connect_with(options).await?;
    sqlx::raw_sql("create table row_event (position integer primary key, envelope text not null)")
        .execute(&pool)
        .await?;
    let envelope: Arc<str> = "x".repeat(ENVELOPE_BYTES).into();
    take_turns(async |turn| {
        let (pool, envelope) = (pool.clone(), envelope.clone());
        let value = closed_loop(1, turn.time, move |_, _| {
            let (pool, envelope) = (pool.clone(), envelope.clone());
            async move {
                let insert = sqlx::query("insert into row_event (envelope) values ($1)").bind(&*envelope);
                Ok(insert.execute(&pool).await.map(drop)?)
            }
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_off_the_report() {
        let report = "latency average = 1.4 ms\ntps = 44512.8 (without initial connection time)\n";
        assert_eq!(transactions_a_second(report), Some(44_512.8));
        assert_eq!(transactions_a_second("pgbench: error"), None);
    }
}
