//! What differs between the two databases: the append, the lock, the durability settings. Everything else is one SQL
//! text for both, but for going through the log, which PostgreSQL does by `copy` (`copied.rs`).

use async_trait::async_trait;
use domain::event::Position;
use domain::tag::TagKey;
use uuid::Uuid;

use crate::durability::Weakness;

mod postgres;
mod sqlite;

pub(crate) use postgres::PostgresEngine;
pub(crate) use sqlite::SqliteEngine;

/// Missing keys of persons who came at the time of what is read, from so many on, are read as a range: in PostgreSQL a key
/// costs a quarter of what it costs by itself.
pub(crate) const KEYS_WORTH_A_RANGE: usize = 32;

/// An event's row, with the wrapped key of the person whose data it carries, if that is still there and came along.
pub(crate) type RowAndKey = (Position, String, Option<String>);

/// The rows of the events after `$1` up to `$2`, with keys, as one text with a line for each, which costs the drivers far less
/// than as many rows; `rest` is the engine's expression for the text that follows
/// [`SEALED_FOR`](crate::envelope::SEALED_FOR) in `e.envelope`.
pub(crate) fn select_between(rest: &str) -> String {
    format!(
        "select string_agg(r.line, $3) from (select e.position || ' ' || coalesce(k.wrapped, '') || ' ' || e.envelope as line \
         from event e left join person_key k on k.person = substr({rest}, 1, 36) \
         where e.position > $1 and e.position <= $2 order by e.position) as r"
    )
}

/// Reads what [`select_between`] found, in order; the database promises none for an aggregate.
fn parse_between(found: Option<String>) -> Result<Vec<RowAndKey>, sqlx::Error> {
    let parse = |line: &str| {
        let (position, rest) = line.split_once(' ')?;
        let (wrapped, envelope) = rest.split_once(' ')?;
        let wrapped = (!wrapped.is_empty()).then(|| wrapped.to_owned());
        Some((position.parse().ok()?, envelope.to_owned(), wrapped))
    };
    let rows = found.iter().flat_map(|found| found.lines()).map(parse);
    let mut rows: Vec<RowAndKey> =
        rows.collect::<Option<_>>().ok_or_else(|| sqlx::Error::Protocol("events are not readable".into()))?;
    rows.sort_unstable_by_key(|(position, ..)| *position);
    Ok(rows)
}

/// One command of a batch, as the database sees it.
#[derive(Debug, Default)]
pub(crate) struct BatchCommand {
    /// Commands with the same number build on each other, and fall together.
    pub chain: i32,
    /// What must not have happened meanwhile.
    pub checks: Vec<Check>,
    /// The envelopes to append, each with its index rows.
    pub events: Vec<(String, Vec<TagKey>)>,
    /// The wrapped key of a person who is new; an empty one destroys that of a person who is erased.
    pub person_keys: Vec<(Uuid, String)>,
}

/// No event of this tag may stand after `seen`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub tag: TagKey,
    pub seen: Position,
    /// Whether it is asked even if nobody else has appended: the state was not current.
    pub always: bool,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// The head before the batch.
    pub head_before: Position,
    /// Whether each command stands; empty if all do.
    pub stands: Vec<bool>,
}

impl Verdicts {
    /// The head after the batch.
    pub fn head_after(&self, batch: &[BatchCommand]) -> Position {
        let stand = batch.iter().enumerate().filter(|(number, _)| self.stands(*number));
        self.head_before + stand.map(|(_, command)| command.events.len() as Position).sum::<Position>()
    }

    pub fn stands(&self, command: usize) -> bool {
        self.stands.get(command).copied().unwrap_or(true)
    }
}

/// The appender's own connection to the log. After an error the connection is given up and made anew, so that no
/// transaction is ever left open on one that is used again.
#[async_trait]
pub(crate) trait Engine: Send {
    /// Appends a batch in one transaction. `expected` is the head that the node knows.
    async fn append(&mut self, expected: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error>;

    /// Waits until no other node has its turn, at most half a second. Turns are a courtesy, which the append does not rest
    /// on: nodes that meet on the same subjects then do not meet at every batch.
    async fn take_turn(&mut self) -> Result<(), sqlx::Error>;

    /// Lets others have theirs.
    async fn end_turn(&mut self) -> Result<(), sqlx::Error>;

    /// Begins a transaction, takes the append lock and tells the head. [`Engine::append_locked`] ends it.
    async fn lock(&mut self) -> Result<Position, sqlx::Error>;

    /// Reads the events after one position up to another, in order; few of them with the keys that open them.
    async fn between(&mut self, after: Position, until: Position) -> Result<Vec<RowAndKey>, sqlx::Error>;

    /// Reads the events under any of these tags after a position: each once, in order.
    async fn under(&mut self, tags: &[TagKey], after: Position) -> Result<Vec<(Position, String)>, sqlx::Error>;

    /// Reads wrapped keys of persons.
    async fn person_keys(&mut self, persons: &[Uuid]) -> Result<Vec<(Uuid, String)>, sqlx::Error>;

    /// Appends a batch whose commands were decided under the lock, and commits.
    async fn append_locked(&mut self, head: Position, batch: &[BatchCommand]) -> Result<Verdicts, sqlx::Error>;

    /// Gives the connection up; the next call makes a new one.
    async fn give_up(&mut self);

    /// Reads the settings that durability rests on.
    async fn weaknesses(&mut self) -> Result<Vec<Weakness>, sqlx::Error>;
}

/// Rows of `person_key`; one whose person is no UUID was not written by us and is left out.
pub(crate) fn parse_keys(rows: Vec<(String, String)>) -> Vec<(Uuid, String)> {
    rows.into_iter().filter_map(|(person, wrapped)| Some((person.parse().ok()?, wrapped))).collect()
}
