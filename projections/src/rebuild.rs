//! Making views anew from the log, beside the live ones and with no writer stopped.

use domain::event::{Position, Recorded};
use futures::TryStreamExt as _;
use futures::stream::TryChunksError;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use store::{Location, Store};

use crate::ALL;
use crate::tables::{self, Generation, WriteError};
use crate::view::Definition;

/// Pages of one transaction: a row that several of their events touch is read and written once.
const PAGES: usize = 2;

/// A view cannot be made anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no view of this name.
    #[error("there is no view named {0}")]
    UnknownView(String),
    /// The database cannot be reached.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// The views cannot be written, or the log not read.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl RebuildError {
    /// Whether somebody else made the same view at the same time, and has put it in place.
    pub(crate) const fn is_overtaken(&self) -> bool {
        matches!(self, Self::Write(WriteError::Overtaken))
    }
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The position that was reached.
    pub position: Position,
    /// The position of the log when it was last looked at.
    pub head: Position,
}

/// What came of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position at which the new view took the old one's place.
    pub position: Position,
    /// How many rows it has.
    pub rows: i64,
    /// Rows in which the old view of the same version differed at the same position; none if there was no such view.
    pub differences: Option<i64>,
}

/// Makes one view anew, as [`rebuild_all`] does.
///
/// # Errors
/// There is no such view, another rebuild of it was faster, or the database does not answer.
pub async fn rebuild(store: &Store, name: &str, progress: impl Fn(Progress)) -> Result<Rebuilt, RebuildError> {
    Ok(rebuild_all(store, &[name], progress).await?.remove(0))
}

/// Makes views anew: fills a new table for each in one pass over the log. Then, one view after the other, in one
/// transaction that holds the live checkpoint still, brings it to the live position, compares it with the live table and
/// takes its place.
///
/// # Errors
/// There is no such view, another rebuild of one was faster, or the database does not answer.
pub async fn rebuild_all(
    store: &Store,
    names: &[&str],
    progress: impl Fn(Progress),
) -> Result<Vec<Rebuilt>, RebuildError> {
    let views: Vec<&'static Definition> = names.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
    let pool = store.location().views_pool(1).await?;
    let mut connection = pool.acquire().await.map_err(WriteError::from)?;
    let mut generations = Vec::new();
    let made = make(store, &mut connection, &views, &mut generations, &progress).await;
    // Whoever was overtaken leaves it to the one who was faster, whose views take these places.
    if made.as_ref().is_err_and(|error| !matches!(error, WriteError::Overtaken)) {
        for generation in &generations {
            tables::discard(&mut connection, store.location(), generation).await;
        }
    }
    drop(connection);
    pool.close().await;
    Ok(made?)
}

/// Makes generations, and puts one after the other in its place.
async fn make(
    store: &Store,
    connection: &mut AnyConnection,
    views: &[&'static Definition],
    generations: &mut Vec<Generation>,
    progress: &impl Fn(Progress),
) -> Result<Vec<Rebuilt>, WriteError> {
    for view in views {
        generations.push(tables::create(connection, view).await?);
    }
    fill(store, connection, generations, progress).await?;
    for generation in generations.iter() {
        tables::index(connection, generation).await?;
    }
    fill(store, connection, generations, progress).await?; // what was appended meanwhile
    if let Location::Postgres(_) = store.location() {
        for generation in generations.iter() {
            // Else queries read whole tables until autovacuum comes. Whoever was overtaken, so that the table is gone, is
            // told below.
            let analyze = format!("analyze {}", generation.table());
            let _ = sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut *connection).await;
        }
    }
    let mut rebuilt = Vec::new();
    for generation in generations.iter() {
        rebuilt.push(take_place(store, connection, *generation).await?);
    }
    Ok(rebuilt)
}

fn find(name: &str) -> Result<&'static Definition, RebuildError> {
    ALL.iter().find(|view| view.name == name).ok_or_else(|| RebuildError::UnknownView(name.into()))
}

/// Brings generations, which are all at the same position, to where the log's head is now.
async fn fill(
    store: &Store,
    connection: &mut AnyConnection,
    generations: &mut [Generation],
    progress: &impl Fn(Progress),
) -> Result<(), WriteError> {
    let head = store.head().await?;
    let position = generations.iter().map(|generation| generation.position).min().unwrap_or(head);
    let mut chunks = store.pages(position, head).try_chunks(PAGES);
    while let Some(pages) = chunks.try_next().await.map_err(|TryChunksError(_, error)| error)? {
        let events: Vec<Recorded> = pages.into_iter().flatten().collect();
        let Some(position) = events.last().map(|event| event.position) else { continue };
        let mut transaction = connection.begin().await?;
        tables::apply(&mut transaction, store.location(), generations, &events).await?;
        transaction.commit().await?;
        progress(Progress { position, head });
    }
    Ok(())
}

async fn take_place(
    store: &Store,
    connection: &mut AnyConnection,
    mut generation: Generation,
) -> Result<Rebuilt, WriteError> {
    let view = generation.view;
    let mut transaction = connection.begin().await?;
    // One rebuild of a view at a time gets past its oldest checkpoint. One row at a time is touched: several would be
    // locked in whatever order they are found, and two rebuilds could wait for each other.
    let first = "update view_checkpoint set is_live = is_live where view = $1 \
                 and generation = (select min(generation) from view_checkpoint where view = $1)";
    sqlx::query(first).bind(view.name).execute(&mut *transaction).await?;
    // This holds the live projector still until the switch is committed.
    sqlx::query("update view_checkpoint set is_live = is_live where view = $1 and is_live = 1")
        .bind(view.name)
        .execute(&mut *transaction)
        .await?;
    if !tables::exists(&mut transaction, &generation).await? {
        return Err(WriteError::Overtaken);
    }
    let live = tables::live(&mut transaction).await?.into_iter().flatten().find(|live| live.view.name == view.name);
    // A view that is ahead of the log was made from another one: there is no position to compare at.
    let head = store.head().await?;
    let differences = match live.filter(|live| live.position <= head) {
        Some(mut live) => {
            bring_to(store, &mut transaction, &mut generation, live.position).await?;
            bring_to(store, &mut transaction, &mut live, generation.position).await?;
            Some(differences(&mut transaction, view, &live.table(), &generation.table()).await?)
        }
        None => None,
    };
    let count = format!("select count(*) from {}", generation.table());
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *transaction).await?;
    tables::switch_to(&mut transaction, generation).await?;
    transaction.commit().await?;
    Ok(Rebuilt { position: generation.position, rows, differences })
}

/// Applies what a generation lacks up to a position.
async fn bring_to(
    store: &Store,
    connection: &mut AnyConnection,
    generation: &mut Generation,
    position: Position,
) -> Result<(), WriteError> {
    let mut pages = store.pages(generation.position, position);
    while let Some(events) = pages.try_next().await? {
        tables::apply(connection, store.location(), std::slice::from_mut(generation), &events).await?;
    }
    Ok(())
}

/// Counts rows that stand, with all columns, in one table and not in the other.
async fn differences(
    connection: &mut AnyConnection,
    view: &Definition,
    one: &str,
    other: &str,
) -> Result<i64, sqlx::Error> {
    let columns: Vec<&str> = ["key"].into_iter().chain(view.columns.iter().map(|c| c.name())).chain(["body"]).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "select count(*) from (select * from (select {columns} from {one} except select {columns} from {other}) as a \
         union all select * from (select {columns} from {other} except select {columns} from {one}) as b) as d"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await
}
