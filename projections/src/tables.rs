//! The tables of the views. Each generation of a view is a table of its own; the view's name stands for the live one,
//! so that a new one can be made beside it and take its place in one transaction.

use std::collections::HashMap;

use domain::event::{Position, Recorded};
use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use store::Location;

use crate::ALL;
use crate::view::{Change, Column, Definition, UnreadableRow};

/// Rows of one statement: about a megabyte.
const ROWS_MAX: usize = 1_000;

/// The views cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The database does not answer or refuses.
    #[error("the views cannot be written")]
    Database(#[from] sqlx::Error),
    /// A row is not what this release wrote.
    #[error(transparent)]
    Row(#[from] UnreadableRow),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] store::ReadError),
    /// Another projector has applied the page, or another rebuild has put its table in place.
    #[error("another projector was faster")]
    Overtaken,
}

/// One generation of a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    pub view: &'static Definition,
    pub number: i64,
    /// Up to where it has followed the log.
    pub position: Position,
}

impl Generation {
    pub fn table(&self) -> String {
        format!("{}_{}", self.view.name, self.number)
    }
}

const CHECKPOINTS: &str = "create table if not exists view_checkpoint (
    view text not null, generation bigint not null, version bigint not null, position bigint not null,
    is_live bigint not null, primary key (view, generation))";

/// Makes the table of checkpoints if there is none.
pub(crate) async fn set_up(connection: &mut AnyConnection) -> Result<(), WriteError> {
    if sqlx::raw_sql(CHECKPOINTS).execute(&mut *connection).await.is_err() {
        // Another node made it at the same moment, which PostgreSQL takes for a conflict.
        sqlx::raw_sql(CHECKPOINTS).execute(connection).await?;
    }
    Ok(())
}

/// The live generation of every view; none where there is none of this release's version.
pub(crate) async fn live(connection: &mut AnyConnection) -> Result<Vec<Option<Generation>>, WriteError> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select view, generation, version, position from view_checkpoint where is_live = 1 order by view",
    )
    .fetch_all(connection)
    .await?;
    Ok(ALL
        .iter()
        .map(|view| {
            let row = rows.iter().find(|(name, _, version, _)| name == view.name && *version == view.version);
            row.map(|(_, number, _, position)| Generation { view, number: *number, position: *position })
        })
        .collect())
}

/// Makes the empty table of a view's next generation, for now without the indexes of its columns.
///
/// Invariant: table and checkpoint come and go together, so that whoever dies half-way leaves nothing behind.
pub(crate) async fn create(
    connection: &mut AnyConnection,
    view: &'static Definition,
) -> Result<Generation, WriteError> {
    let mut transaction = connection.begin().await?;
    let number = reserve(&mut transaction, view).await?;
    let generation = Generation { view, number, position: 0 };
    let table = generation.table();
    let columns: String = view
        .columns
        .iter()
        .map(|column| match column {
            Column::Text(name) | Column::PlainText(name) => format!("{name} text, "),
            Column::Number(name) | Column::PlainNumber(name) => format!("{name} bigint, "),
        })
        .collect();
    run(&mut transaction, format!("create table {table} (key text primary key, {columns}body text not null)")).await?;
    transaction.commit().await?;
    Ok(generation)
}

/// Makes the indexes of a generation: far cheaper once its rows are there.
pub(crate) async fn index(connection: &mut AnyConnection, generation: &Generation) -> Result<(), WriteError> {
    let mut transaction = connection.begin().await?;
    move_checkpoint(&mut transaction, generation, generation.position).await?; // nobody drops the table meanwhile
    let table = generation.table();
    for column in generation.view.columns {
        if let Column::Text(name) | Column::Number(name) = column {
            let index = format!("create index {table}_{name} on {table} ({name}) where {name} is not null");
            run(&mut transaction, index).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Takes the next number for a generation. Whoever takes one at the same moment waits, and takes the one after.
async fn reserve(connection: &mut AnyConnection, view: &'static Definition) -> Result<i64, WriteError> {
    loop {
        let number: Option<i64> = sqlx::query_scalar(
            "insert into view_checkpoint (view, generation, version, position, is_live) \
             select $1, coalesce(max(generation), 0) + 1, $2, 0, 0 from view_checkpoint where view = $1 \
             on conflict (view, generation) do nothing returning generation",
        )
        .bind(view.name)
        .bind(view.version)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(number) = number {
            return Ok(number);
        }
    }
}

/// Whether a generation is still there: whoever puts another one in place drops it.
pub(crate) async fn exists(connection: &mut AnyConnection, generation: &Generation) -> Result<bool, WriteError> {
    let found: Option<i64> =
        sqlx::query_scalar("select position from view_checkpoint where view = $1 and generation = $2")
            .bind(generation.view.name)
            .bind(generation.number)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// The generations that have not taken their places: somebody makes them now, or has died at it.
pub(crate) async fn unfinished(connection: &mut AnyConnection) -> Result<Vec<Generation>, WriteError> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("select view, generation, position from view_checkpoint where is_live = 0")
            .fetch_all(connection)
            .await?;
    let generation = |(name, number, position): (String, i64, i64)| {
        let view = ALL.iter().find(|view| view.name == name)?;
        Some(Generation { view, number, position })
    };
    Ok(rows.into_iter().filter_map(generation).collect())
}

/// Drops a generation that was not finished, unless it has taken its place. Where that cannot be done at once, whoever
/// projects does it after a while.
pub(crate) async fn discard(connection: &mut AnyConnection, location: &Location, generation: &Generation) {
    let table = generation.table();
    match try_to_discard(connection, location, generation).await {
        Ok(true) => tracing::warn!(table, "what was left of a view that was not finished is dropped"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                table,
                "a view that was not finished is left behind"
            );
        }
    }
}

/// Tells whether there was one to drop.
async fn try_to_discard(
    connection: &mut AnyConnection,
    location: &Location,
    generation: &Generation,
) -> Result<bool, WriteError> {
    let mut transaction = connection.begin().await?;
    if let Location::Postgres(_) = location {
        // A backup may read it for hours; nothing else has to wait for that.
        run(&mut transaction, "set local lock_timeout = '1s'".into()).await?;
    }
    let gone = sqlx::query("delete from view_checkpoint where view = $1 and generation = $2 and is_live = 0")
        .bind(generation.view.name)
        .bind(generation.number)
        .execute(&mut *transaction)
        .await?;
    let is_there = gone.rows_affected() == 1;
    if is_there {
        run(&mut transaction, format!("drop table if exists {}", generation.table())).await?;
    }
    transaction.commit().await?;
    Ok(is_there)
}

/// Lets the view's name stand for a generation, and drops the others.
pub(crate) async fn switch_to(connection: &mut AnyConnection, generation: Generation) -> Result<(), WriteError> {
    let (name, table) = (generation.view.name, generation.table());
    run(connection, format!("drop view if exists {name}")).await?;
    run(connection, format!("create view {name} as select * from {table}")).await?;
    // In one statement: a generation that another node begins meanwhile keeps both its checkpoint and its table.
    let others: Vec<i64> =
        sqlx::query_scalar("delete from view_checkpoint where view = $1 and generation <> $2 returning generation")
            .bind(name)
            .bind(generation.number)
            .fetch_all(&mut *connection)
            .await?;
    for number in others {
        run(connection, format!("drop table if exists {name}_{number}")).await?;
    }
    sqlx::query("update view_checkpoint set is_live = 1 where view = $1 and generation = $2")
        .bind(name)
        .bind(generation.number)
        .execute(connection)
        .await?;
    Ok(())
}

/// Applies events to several generations, each from where it is, inside the caller's transaction. Moves their
/// checkpoints to the last event's position.
pub(crate) async fn apply(
    connection: &mut AnyConnection,
    location: &Location,
    generations: &mut [Generation],
    events: &[Recorded],
) -> Result<(), WriteError> {
    let Some(last) = events.last() else { return Ok(()) };
    move_checkpoints(connection, location, generations, last.position).await?;
    for generation in generations {
        let start = events.partition_point(|event| event.position <= generation.position);
        apply_to_one(connection, location, generation, &events[start..]).await?;
    }
    Ok(())
}

/// Applies events to one generation whose checkpoint was moved.
async fn apply_to_one(
    connection: &mut AnyConnection,
    location: &Location,
    generation: &mut Generation,
    events: &[Recorded],
) -> Result<(), WriteError> {
    let Some(last) = events.last() else { return Ok(()) };
    let keys = (generation.view.keys)(events);
    let bodies = read_bodies(connection, location, generation, &keys).await?;
    let changes = (generation.view.fold)(bodies, events)?;
    write(connection, location, generation, &changes).await?;
    generation.position = last.position;
    Ok(())
}

/// Moves the checkpoints of generations, those that are at one position, as most are, in one statement.
///
/// The first is moved alone: several rows are locked in whatever order they are found, and two projectors that both hold
/// some could wait for each other. So only one of them gets past the first.
async fn move_checkpoints(
    connection: &mut AnyConnection,
    location: &Location,
    generations: &[Generation],
    to: Position,
) -> Result<(), WriteError> {
    let mut behind = generations.iter().filter(|generation| generation.position < to);
    let Some(first) = behind.next() else { return Ok(()) };
    move_checkpoint(connection, first, to).await?;
    let (beside, elsewhere): (Vec<&Generation>, Vec<&Generation>) =
        behind.partition(|other| other.position == first.position);
    let names: Vec<String> = beside.iter().map(|generation| generation.table()).collect();
    let sql = format!(
        "update view_checkpoint set position = $2 where position = $3 and {}",
        location.is_listed("view || '_' || generation")
    );
    let moved = sqlx::query(AssertSqlSafe(sql))
        .bind(json(&names))
        .bind(to)
        .bind(first.position)
        .execute(&mut *connection)
        .await?;
    if moved.rows_affected() != beside.len() as u64 {
        return Err(WriteError::Overtaken);
    }
    for generation in elsewhere {
        move_checkpoint(connection, generation, to).await?;
    }
    Ok(())
}

/// Moves a generation's checkpoint, which stays locked until the transaction ends.
///
/// Invariant: the checkpoint moves only from where this projector saw it, so each event is applied exactly once even
/// with two projectors.
async fn move_checkpoint(
    connection: &mut AnyConnection,
    generation: &Generation,
    to: Position,
) -> Result<(), WriteError> {
    let moved =
        sqlx::query("update view_checkpoint set position = $1 where view = $2 and generation = $3 and position = $4")
            .bind(to)
            .bind(generation.view.name)
            .bind(generation.number)
            .bind(generation.position)
            .execute(connection)
            .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(WriteError::Overtaken) }
}

async fn read_bodies(
    connection: &mut AnyConnection,
    location: &Location,
    generation: &Generation,
    keys: &[String],
) -> Result<HashMap<String, String>, WriteError> {
    let mut bodies = HashMap::with_capacity(keys.len());
    let sql = format!("select key, body from {} where {}", generation.table(), location.is_listed("key"));
    for chunk in keys.chunks(ROWS_MAX) {
        let query = sqlx::query_as(AssertSqlSafe(sql.clone())).bind(json(&chunk));
        let rows: Vec<(String, String)> = query.fetch_all(&mut *connection).await?;
        bodies.extend(rows);
    }
    Ok(bodies)
}

async fn write(
    connection: &mut AnyConnection,
    location: &Location,
    generation: &Generation,
    changes: &[Change],
) -> Result<(), WriteError> {
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for (key, row) in changes {
        match row {
            Some((columns, body)) => rows.push((key, columns, body)),
            None => gone.push(key),
        }
    }
    let delete = format!("delete from {} where {}", generation.table(), location.is_listed("key"));
    for chunk in gone.chunks(ROWS_MAX) {
        sqlx::query(AssertSqlSafe(delete.clone())).bind(json(&chunk)).execute(&mut *connection).await?;
    }
    let insert = insert(generation, location);
    for chunk in rows.chunks(ROWS_MAX) {
        sqlx::query(AssertSqlSafe(insert.clone())).bind(json(&chunk)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The statement that writes rows; each comes as `[key, [columns …], body]`.
fn insert(generation: &Generation, location: &Location) -> String {
    let columns = generation.view.columns;
    let names: String = columns.iter().map(|column| format!("{}, ", column.name())).collect();
    let values: String = (0..)
        .zip(columns)
        .map(|(place, column)| match column {
            Column::Text(_) | Column::PlainText(_) => format!("value -> 1 ->> {place}, "),
            Column::Number(_) | Column::PlainNumber(_) => format!("cast(value -> 1 ->> {place} as bigint), "),
        })
        .collect();
    let sets: String =
        columns.iter().map(|column| format!("{name} = excluded.{name}, ", name = column.name())).collect();
    format!(
        "insert into {} (key, {names}body) select value ->> 0, {values}value ->> 2 from {} where true \
         on conflict (key) do update set {sets}body = excluded.body",
        generation.table(),
        location.elements()
    )
}

pub(crate) fn json(list: &impl Serialize) -> String {
    serde_json::to_string(list).expect("invariant: a list of texts and numbers is JSON")
}

pub(crate) async fn run(connection: &mut AnyConnection, sql: String) -> Result<(), WriteError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
