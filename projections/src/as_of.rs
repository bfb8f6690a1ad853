//! Rows as they were: the same `apply` over the events up to a moment, and what leads from a tag to its account.

use std::str::FromStr;

use domain::event::{Position, Recorded};
use domain::ids::{AccountId, ProfessionalId};
use domain::tag::Subject;
use domain::time::Timestamp;
use store::{ReadError, Store};

use crate::professionals::ProfessionalRow;
use crate::view::View;
use crate::views::{QueryError, Views};

/// Events about a subject in one page.
const PAGE: i64 = 1_000;

/// A moment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After everything that was recorded up to this time, itself included.
    Time(Timestamp),
    /// After the event at this position.
    Position(Position),
}

impl Moment {
    /// Whether the event had happened then. Within one account time never runs backwards, so what a moment covers of it
    /// is always its beginning.
    pub const fn covers(self, recorded: &Recorded) -> bool {
        match self {
            Self::Time(at) => recorded.recorded_at.0 <= at.0,
            Self::Position(position) => recorded.position <= position,
        }
    }
}

/// A text is neither a time nor a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a time in the form of RFC 3339 nor a position")]
pub struct NotAMoment;

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        match text.parse() {
            Ok(position) if position >= 0 => Ok(Self::Position(position)),
            _ => Timestamp::parse(text).map(Self::Time).map_err(|_| NotAMoment),
        }
    }
}

/// Folds events, in their order, into the row of one key as it was then; what was erased since is not in it.
///
/// Invariant: it is [`View::apply`] for the events that [`View::keys`] gives the key, as in the live view.
pub fn fold<'a, V: View>(
    key: &str,
    row: Option<V::Row>,
    events: impl IntoIterator<Item = &'a Recorded>,
    moment: Moment,
) -> Option<V::Row> {
    let touching = |recorded: &&Recorded| V::keys(recorded).iter().any(|touched| touched == key);
    let covered = events.into_iter().take_while(|recorded| moment.covers(recorded)).filter(touching);
    covered.fold(row, |row, recorded| V::apply(key, row, recorded))
}

/// Reads the row of one key as it was then; `subject` is what all events about it are about.
///
/// # Errors
/// The log cannot be read.
pub async fn read<V: View>(
    store: &Store,
    subject: &Subject,
    key: &str,
    moment: Moment,
) -> Result<Option<V::Row>, ReadError> {
    let (mut row, mut after) = (None, 0);
    loop {
        let events = store.page_about(subject, after, PAGE).await?;
        row = fold::<V>(key, row, &events, moment);
        match events.last() {
            Some(last) if moment.covers(last) => after = last.position,
            _ => return Ok(row),
        }
    }
}

impl Views {
    /// Finds the account of a professional; for staff.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn account_of(&self, professional: ProfessionalId) -> Result<Option<AccountId>, QueryError> {
        let sql = "select p.body from professionals p where p.key = $1";
        let row: Option<ProfessionalRow> = self.find(sql, &[&professional.to_string()]).await?;
        Ok(row.map(|row| row.account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_position() {
        assert_eq!("0".parse(), Ok(Moment::Position(0)));
        assert_eq!("42".parse(), Ok(Moment::Position(42)));
        assert_eq!("1970-01-01T00:00:00.007Z".parse(), Ok(Moment::Time(Timestamp(7))));
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Moment::Time(Timestamp(0))));
        for text in ["", "-1", "now", "2026-01-01", "99999999999999999999", "1 "] {
            assert_eq!(text.parse::<Moment>(), Err(NotAMoment), "{text}");
        }
    }
}
