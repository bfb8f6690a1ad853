//! Comparing the log with itself: positions, envelopes, and the tag index, which is made of the envelopes.

use std::collections::BTreeSet;

use domain::event::{Position, Recorded};
use futures::{Stream, TryStreamExt as _};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::decider::index_tags;
use crate::envelope;
use crate::store::{ReadError, Store};

/// Events read in one go.
const PAGE: i64 = 1_000;

/// Something in the log that the service did not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub position: Position,
    /// What is wrong there.
    pub what: String,
}

/// What a walk over the log tells on its way.
#[derive(Debug)]
pub enum Seen<'a> {
    /// An event that is readable.
    Event(&'a Recorded),
    /// A flaw.
    Flaw(Flaw),
}

/// The rows of the index in order of their positions.
struct Index<S> {
    rows: S,
    next: Option<(Position, i64)>,
}

impl<S: Stream<Item = Result<AnyRow, sqlx::Error>> + Unpin> Index<S> {
    async fn advance(&mut self) -> Result<(), sqlx::Error> {
        let row = self.rows.try_next().await?;
        self.next = row.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
        Ok(())
    }

    /// The tags of an event. Rows of positions before it, which have no event, are flaws.
    async fn take(
        &mut self,
        position: Position,
        tell: &mut impl FnMut(Seen<'_>),
    ) -> Result<BTreeSet<i64>, sqlx::Error> {
        let mut tags = BTreeSet::new();
        while let Some((at, tag)) = self.next.filter(|(at, _)| *at <= position) {
            match at == position {
                true => drop(tags.insert(tag)),
                false => tell(flaw(at, "the index names a position without an event".into())),
            }
            self.advance().await?;
        }
        Ok(tags)
    }
}

impl Store {
    /// Walks over the whole log up to the head of now, in order, and compares it with its index.
    ///
    /// # Errors
    /// The database does not answer, or a person's key cannot be unwrapped.
    pub async fn verify(&self, mut tell: impl FnMut(Seen<'_>)) -> Result<Position, ReadError> {
        let head = self.head().await?;
        let rows = sqlx::query("select position, tag from event_tag where position <= $1 order by position, tag")
            .bind(head)
            .fetch(&self.pool);
        let mut index = Index { rows, next: None };
        index.advance().await?;
        let mut after = 0;
        loop {
            let rows = self.rows_after(after, head).await?;
            let persons = rows.iter().filter_map(|(_, envelope)| envelope::person(envelope)).collect();
            self.open_keys(persons, None, None).await?;
            for (position, envelope) in &rows {
                if *position != after + 1 {
                    tell(flaw(after + 1, "an event is missing".into()));
                }
                after = *position;
                let indexed = index.take(after, &mut tell).await?;
                self.compare(after, envelope, &indexed, &mut tell);
            }
            if rows.is_empty() {
                break;
            }
        }
        if after < head {
            tell(flaw(after + 1, format!("the log ends here, before its head {head}")));
        }
        index.take(head, &mut tell).await?;
        Ok(head)
    }

    async fn rows_after(&self, after: Position, head: Position) -> Result<Vec<(Position, String)>, sqlx::Error> {
        sqlx::query_as(
            "select position, envelope from event where position > $1 and position <= $2 order by position limit $3",
        )
        .bind(after)
        .bind(head)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await
    }

    /// Compares one event with its own tags and with its rows in the index.
    fn compare(&self, position: Position, text: &str, indexed: &BTreeSet<i64>, tell: &mut impl FnMut(Seen<'_>)) {
        let recorded = match envelope::read(position, text, |person| self.keys.remembered(person)) {
            Ok(recorded) => recorded,
            Err(error) => return tell(flaw(position, error.to_string())),
        };
        let expected: Vec<String> = recorded.event.tags().iter().map(ToString::to_string).collect();
        if envelope::tags(text) != expected {
            tell(flaw(position, "the envelope's tags are not those of its facts".into()));
        }
        let expected: BTreeSet<i64> = index_tags(&recorded).into_iter().map(|tag| tag.0).collect();
        if expected.difference(indexed).next().is_some() {
            tell(flaw(position, "the index lacks the event under one of its tags".into()));
        }
        if indexed.difference(&expected).next().is_some() {
            tell(flaw(position, "the index has the event under a tag that is not its own".into()));
        }
        tell(Seen::Event(&recorded));
    }
}

fn flaw(position: Position, what: String) -> Seen<'static> {
    Seen::Flaw(Flaw { position, what })
}
