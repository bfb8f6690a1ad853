//! The append on SQLite: one statement for each kind of row of a batch, in one transaction under the write lock.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::event::Position;
use domain::tag::TagKey;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use uuid::Uuid;

use super::{BatchCommand, Engine, RowAndKey, Verdicts, parse_between, parse_keys, select_between};
use crate::durability::Weakness;
use crate::envelope::SEALED_FOR;

/// In one go: each way to the connection's thread and back takes as long as some events.
const INSERT_AND_COMMIT: &str = "\
    insert into person_key (person, wrapped) select value ->> 0, value ->> 1 from json_each($1); \
    insert into event (position, envelope) select value ->> 0, value ->> 1 from json_each($2); \
    insert into event_tag (tag, position) select value ->> 0, value ->> 1 from json_each($3); \
    update log_head set position = $4 where position < $4; \
    commit";

/// One connection that holds the write lock while it appends.
pub(crate) struct SqliteEngine {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl SqliteEngine {
    pub fn new(options: SqliteConnectOptions) -> Self {
        Self { options: options.log_statements(tracing::log::LevelFilter::Off), connection: None }
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        Ok(self.connection.as_mut().expect("invariant: it was just made"))
    }

    /// The numbers of the commands whose checks fail.
    async fn failed(
        &mut self,
        head: Position,
        expected: Position,
        batch: &[BatchCommand],
    ) -> Result<HashSet<usize>, sqlx::Error> {
        let mut checks = Vec::new();
        for (number, command) in batch.iter().enumerate() {
            let asked = command.checks.iter().filter(|check| head != expected || check.always);
            checks.extend(asked.map(|check| json!([number, check.tag.0, check.seen])));
        }
        if checks.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = sqlx::query(
            "select c.value ->> 0 from json_each($1) c \
             where exists (select 1 from event_tag t where t.tag = c.value ->> 1 and t.position > c.value ->> 2)",
        )
        .bind(serde_json::Value::from(checks).to_string())
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter().map(|row| row.try_get::<i64, _>(0).map(|number| number as usize)).collect()
    }

    /// Inserts the commands that stand, moves the head and commits.
    async fn write(&mut self, head: Position, batch: &[BatchCommand], stands: &[bool]) -> Result<(), sqlx::Error> {
        let (mut events, mut tags, mut keys, mut erased) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut position = head;
        for command in batch.iter().zip(stands).filter(|(_, stands)| **stands).map(|(command, _)| command) {
            for (envelope, event_tags) in &command.events {
                position += 1;
                events.push(json!([position, envelope]));
                tags.extend(event_tags.iter().map(|tag| json!([tag.0, position])));
            }
            for (person, wrapped) in &command.person_keys {
                match wrapped.is_empty() {
                    true => erased.push(*person),
                    false => keys.push((person, wrapped)),
                }
            }
        }
        keys.retain(|(person, _)| !erased.contains(person)); // who comes and goes in one batch never had one
        self.erase(&erased).await?;
        sqlx::query(INSERT_AND_COMMIT)
            .bind(json!(keys).to_string())
            .bind(serde_json::Value::from(events).to_string())
            .bind(serde_json::Value::from(tags).to_string())
            .bind(position)
            .execute(self.connection().await?)
            .await
            .map(drop)
    }

    /// Destroys the keys of persons, and what in the working state leads to them.
    async fn erase(&mut self, persons: &[Uuid]) -> Result<(), sqlx::Error> {
        const ERASURES: [&str; 6] = [
            "delete from person_key where person = $1",
            "delete from identity_look_up where identity = $1",
            "delete from session where identity = $1",
            "delete from flow where identity = $1",
            "delete from association_request where identity = $1",
            "insert into erased_person (number, person) select coalesce(max(number), 0) + 1, $1 from erased_person",
        ];
        for person in persons {
            for sql in ERASURES {
                sqlx::query(sql).bind(person.to_string()).execute(self.connection().await?).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn append(&mut self, expected: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error> {
        let head_before = self.lock().await?;
        let failed = self.failed(head_before, expected, batch).await?;
        let fallen: HashSet<i32> = failed.iter().map(|number| batch[*number].chain).collect();
        let stands: Vec<bool> = batch.iter().map(|command| !fallen.contains(&command.chain)).collect();
        self.write(head_before, batch, &stands).await?;
        Ok(Verdicts { head_before, stands: if fallen.is_empty() { Vec::new() } else { stands } })
    }

    async fn lock(&mut self) -> Result<Position, sqlx::Error> {
        sqlx::query_scalar("begin immediate; select position from log_head").fetch_one(self.connection().await?).await
    }

    /// Nodes on one file are one machine's; what falls twice takes the write lock first, and that is enough.
    async fn take_turn(&mut self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn end_turn(&mut self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn between(&mut self, after: Position, until: Position) -> Result<Vec<RowAndKey>, sqlx::Error> {
        let from = SEALED_FOR.len();
        let select = select_between(&format!("substr(e.envelope, instr(e.envelope, '{SEALED_FOR}') + {from})"));
        let select = sqlx::query_scalar(AssertSqlSafe(select)).bind(after).bind(until).bind("\n");
        parse_between(select.fetch_one(self.connection().await?).await?)
    }

    async fn under(&mut self, tags: &[TagKey], after: Position) -> Result<Vec<(Position, String)>, sqlx::Error> {
        let tags: Vec<i64> = tags.iter().map(|tag| tag.0).collect();
        sqlx::query_as(
            "select e.position, e.envelope from event e where e.position in (select t.position from json_each($1) c \
             cross join event_tag t where t.tag = c.value and t.position > $2) order by e.position",
        )
        .bind(json!(tags).to_string())
        .bind(after)
        .fetch_all(self.connection().await?)
        .await
    }

    async fn person_keys(&mut self, persons: &[Uuid]) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
        let rows =
            sqlx::query_as("select person, wrapped from person_key where person in (select value from json_each($1))")
                .bind(json!(persons).to_string())
                .fetch_all(self.connection().await?)
                .await?;
        Ok(parse_keys(rows))
    }

    async fn append_locked(&mut self, head: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error> {
        self.write(head, batch, &vec![true; batch.len()]).await?;
        Ok(Verdicts { head_before: head, stands: Vec::new() })
    }

    async fn give_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close_hard().await; // closing ends whatever transaction was open
        }
    }

    async fn weaknesses(&mut self) -> Result<Vec<Weakness>, sqlx::Error> {
        let connection = self.connection().await?;
        let journal: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await?;
        let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(connection).await?;
        let mut weaknesses = Vec::new();
        if journal != "wal" {
            weaknesses.push(Weakness { setting: "journal_mode".into(), value: journal });
        }
        const FULL: i64 = 2;
        if synchronous < FULL {
            weaknesses.push(Weakness { setting: "synchronous".into(), value: synchronous.to_string() });
        }
        Ok(weaknesses)
    }
}
