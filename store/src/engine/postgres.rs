//! The append on PostgreSQL: one call of a server-side function for each batch.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use domain::event::Position;
use domain::tag::TagKey;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::{BatchCommand, Engine, KEYS_WORTH_A_RANGE, RowAndKey, Verdicts, parse_between, parse_keys, select_between};
use crate::durability::Weakness;
use crate::envelope::SEALED_FOR;

const SELECT_UNDER: &str = "select e.position, e.envelope from event e where e.position = any (array \
     (select t.position from event_tag t where t.tag = any ($1) and t.position > $2)) order by e.position";

/// Events up to which their keys come along in one statement. For more of them a second one costs less than the join.
const JOINED_MAX: Position = 48;
const SELECT_BETWEEN: &str =
    "select position, envelope from event where position > $1 and position <= $2 order by position";
const SELECT_KEYS_BETWEEN: &str =
    "select person, wrapped from person_key where person between $1 and $2 order by person limit $3";

const APPEND: &str = "select log_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// How long the database may take to answer, other nodes' locks included: a host that is lost without a word leaves a
/// connection on which nobody ever answers, and everybody else would wait for it. Less than what callers wait (T70).
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long a connection that is given up may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Whose turn it is: the session that holds this lock, which nothing else means. An error undoes the setting, too.
const TAKE_TURN: &str = "set lock_timeout = '500ms'; select pg_advisory_lock(8463210021); set lock_timeout = 0";
const END_TURN: &str = "select pg_advisory_unlock_all()";
/// PostgreSQL's code for a lock that was waited for too long.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// One connection whose plans are pinned, so that the check is always an index probe.
pub(crate) struct PostgresEngine {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl PostgresEngine {
    pub fn new(options: PgConnectOptions, name: &str) -> Self {
        let options = options
            .application_name(name)
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_bitmapscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("max_parallel_workers_per_gather", "0"),
                ("jit", "off"),
                ("default_transaction_isolation", "read committed"),
                ("idle_in_transaction_session_timeout", "60s"),
            ])
            .log_statements(tracing::log::LevelFilter::Off);
        Self { options, connection: None }
    }

    /// The connection; a new one has the settings of its own moment, and is not used if they are too weak.
    async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        if self.connection.is_none() {
            let mut connection = self.options.connect().await?;
            if let Some(weakness) = weaknesses(&mut connection).await?.first() {
                return Err(sqlx::Error::Configuration(weakness.to_string().into()));
            }
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("invariant: it was just made"))
    }

    /// Reads events without their keys.
    async fn closed_between(&mut self, after: Position, until: Position) -> Result<Vec<RowAndKey>, sqlx::Error> {
        let rows: Vec<(Position, String)> =
            sqlx::query_as(SELECT_BETWEEN).bind(after).bind(until).fetch_all(self.connection().await?).await?;
        Ok(rows.into_iter().map(|(position, envelope)| (position, envelope, None)).collect())
    }

    /// Reads wrapped keys of persons who came after each other, as a range: their ids begin with the time. Others that are
    /// in it come along; of too many, some of those that are asked for are left out.
    async fn keys_in_range(&mut self, persons: &[Uuid]) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
        let (Some(first), Some(last)) = (persons.iter().min(), persons.iter().max()) else { return Ok(Vec::new()) };
        let rows = sqlx::query_as(SELECT_KEYS_BETWEEN)
            .bind(first.to_string())
            .bind(last.to_string())
            .bind(2 * persons.len() as i64)
            .fetch_all(self.connection().await?)
            .await?;
        Ok(parse_keys(rows))
    }

    async fn keys_of(&mut self, persons: &[Uuid]) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
        let mut keys = match persons.len() {
            ..KEYS_WORTH_A_RANGE => Vec::new(),
            _ => self.keys_in_range(persons).await?,
        };
        let found: HashSet<Uuid> = keys.iter().map(|(person, _)| *person).collect();
        let missing: Vec<String> =
            persons.iter().filter(|person| !found.contains(*person)).map(Uuid::to_string).collect();
        if !missing.is_empty() {
            let rows = sqlx::query_as("select person, wrapped from person_key where person = any ($1)")
                .bind(missing)
                .fetch_all(self.connection().await?)
                .await?;
            keys.extend(parse_keys(rows));
        }
        Ok(keys)
    }

    async fn call(&mut self, expected: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error> {
        let columns = Columns::of(batch);
        let row = sqlx::query(APPEND)
            .bind(expected)
            .bind(columns.command_chain)
            .bind(columns.check_command)
            .bind(columns.check_tag)
            .bind(columns.check_seen)
            .bind(columns.checks_always)
            .bind(columns.event_command)
            .bind(columns.event_envelope)
            .bind(columns.tag_event)
            .bind(columns.tag_key)
            .bind(columns.key_command)
            .bind(columns.key_person)
            .bind(columns.key_wrapped)
            .fetch_one(self.connection().await?)
            .await?;
        let answer: Vec<i64> = row.try_get(0)?;
        let (head_before, stands) = answer.split_first().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Verdicts { head_before: *head_before, stands: stands.iter().map(|stands| *stands == 1).collect() })
    }
}

#[async_trait]
impl Engine for PostgresEngine {
    async fn append(&mut self, expected: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error> {
        within(self.call(expected, batch)).await
    }

    async fn lock(&mut self) -> Result<Position, sqlx::Error> {
        within(async {
            sqlx::raw_sql("begin; select log_lock()").fetch_one(self.connection().await?).await?.try_get(0)
        })
        .await
    }

    async fn take_turn(&mut self) -> Result<(), sqlx::Error> {
        within(async {
            match sqlx::raw_sql(TAKE_TURN).execute(self.connection().await?).await {
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(()),
                taken => taken.map(drop),
            }
        })
        .await
    }

    async fn end_turn(&mut self) -> Result<(), sqlx::Error> {
        within(async { sqlx::raw_sql(END_TURN).execute(self.connection().await?).await.map(drop) }).await
    }

    async fn between(&mut self, after: Position, until: Position) -> Result<Vec<RowAndKey>, sqlx::Error> {
        if until - after > JOINED_MAX {
            return within(self.closed_between(after, until)).await;
        }
        let select = select_between(&format!("split_part(e.envelope, '{SEALED_FOR}', 2)"));
        let select = sqlx::query_scalar(AssertSqlSafe(select)).bind(after).bind(until).bind("\n");
        parse_between(within(async { select.fetch_one(self.connection().await?).await }).await?)
    }

    async fn under(&mut self, tags: &[TagKey], after: Position) -> Result<Vec<(Position, String)>, sqlx::Error> {
        let tags: Vec<i64> = tags.iter().map(|tag| tag.0).collect();
        let select = sqlx::query_as(SELECT_UNDER).bind(tags).bind(after);
        within(async { select.fetch_all(self.connection().await?).await }).await
    }

    async fn person_keys(&mut self, persons: &[Uuid]) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
        within(self.keys_of(persons)).await
    }

    async fn append_locked(&mut self, head: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error> {
        within(async {
            let verdicts = self.call(head, batch).await?;
            sqlx::raw_sql("commit").execute(self.connection().await?).await?;
            Ok(verdicts)
        })
        .await
    }

    async fn give_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = timeout(CLOSE_WAIT, connection.close_hard()).await; // closing ends whatever transaction was open
        }
    }

    async fn weaknesses(&mut self) -> Result<Vec<Weakness>, sqlx::Error> {
        within(async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let weaknesses = weaknesses(&mut connection).await?;
            self.connection = weaknesses.is_empty().then_some(connection);
            Ok(weaknesses)
        })
        .await
    }
}

/// Bounds the wait for an answer. After the error the connection is given up, as after every other.
async fn within<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_WAIT, answer).await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// The settings of a session that acknowledged events could be lost by.
async fn weaknesses(connection: &mut PgConnection) -> Result<Vec<Weakness>, sqlx::Error> {
    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting from pg_settings \
         where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name",
    )
    .fetch_all(connection)
    .await?;
    Ok(settings
        .into_iter()
        .filter(|(_, value)| value != "on" && value != "remote_apply")
        .map(|(setting, value)| Weakness { setting, value })
        .collect())
}

/// A batch as the arrays that the function takes; commands and events are numbered from 1.
#[derive(Default)]
struct Columns<'a> {
    command_chain: Vec<i32>,
    check_command: Vec<i32>,
    check_tag: Vec<i64>,
    check_seen: Vec<i64>,
    checks_always: i32,
    event_command: Vec<i32>,
    event_envelope: Vec<&'a str>,
    tag_event: Vec<i32>,
    tag_key: Vec<i64>,
    key_command: Vec<i32>,
    key_person: Vec<String>,
    key_wrapped: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [BatchCommand]) -> Self {
        let mut columns = Self::default();
        let mut checks = Vec::new();
        for (command, number) in batch.iter().zip(1..) {
            columns.command_chain.push(command.chain);
            checks.extend(command.checks.iter().map(|check| (number, check)));
            for (envelope, tags) in &command.events {
                columns.event_command.push(number);
                columns.event_envelope.push(envelope);
                let event = columns.event_command.len() as i32;
                columns.tag_event.extend(tags.iter().map(|_| event));
                columns.tag_key.extend(tags.iter().map(|tag| tag.0));
            }
            for (person, wrapped) in &command.person_keys {
                columns.key_command.push(number);
                columns.key_person.push(person.to_string());
                columns.key_wrapped.push(wrapped);
            }
        }
        checks.sort_by_key(|(_, check)| !check.always);
        columns.checks_always = checks.iter().filter(|(_, check)| check.always).count() as i32;
        for (number, check) in checks {
            columns.check_command.push(number);
            columns.check_tag.push(check.tag.0);
            columns.check_seen.push(check.seen);
        }
        columns
    }
}
