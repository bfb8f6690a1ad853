//! What a view is: a table of rows, each folded from the events that touch it.

use std::collections::HashMap;

use domain::event::Recorded;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A column's value beside the body. Texts and bigints only, so that one SQL text serves both engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text, or null.
    Text(Option<String>),
    /// A number, or null.
    Number(Option<i64>),
}

/// The type of a column beside the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text that rows are looked for by; may be null, and is then not in its index.
    Text(&'static str),
    /// A bigint that rows are looked for by; may be null, and is then not in its index.
    Number(&'static str),
    /// Text, or null, of rows that are found by something else; it has no index.
    PlainText(&'static str),
    /// A bigint, a flag, or null, of rows that are found by something else; it has no index.
    PlainNumber(&'static str),
}

impl Column {
    /// The column's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) | Self::PlainText(name) | Self::PlainNumber(name) => name,
        }
    }
}

/// A view: how its table looks, and what events do to its rows. The row itself is JSON in the column `body`; the
/// columns repeat of it what queries filter, order or join by, and have an index each where rows are looked for by
/// them.
pub trait View {
    /// The name that queries use.
    const NAME: &'static str;
    /// Raise it when rows change their shape or meaning, or columns their index: the view is made anew at the next start.
    const VERSION: i64;
    /// The columns beside `key` and `body`.
    const COLUMNS: &'static [Column];
    /// One row.
    type Row: Serialize + DeserializeOwned;

    /// The keys of the rows that an event touches.
    fn keys(recorded: &Recorded) -> Vec<String>;

    /// A row after an event; none if there is no such row then.
    fn apply(key: &str, row: Option<Self::Row>, recorded: &Recorded) -> Option<Self::Row>;

    /// The values of [`View::COLUMNS`].
    fn columns(row: &Self::Row) -> Vec<Value>;
}

/// A row's key with its new columns and body; none if the row is gone.
pub type Change = (String, Option<(Vec<Value>, String)>);

/// A stored row is not what this release wrote.
#[derive(Debug, thiserror::Error)]
#[error("a row of the view {view} is not readable; rebuild it")]
pub struct UnreadableRow {
    /// The view.
    pub view: &'static str,
    /// What the reader said.
    #[source]
    pub source: serde_json::Error,
}

/// Folds events into the bodies of the rows that they touch, by key.
pub type Fold = fn(HashMap<String, String>, &[Recorded]) -> Result<Vec<Change>, UnreadableRow>;

/// A view with its row's type left out, so that all stand in one list.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The name that queries use.
    pub name: &'static str,
    /// The version of its shape.
    pub version: i64,
    /// The columns beside `key` and `body`.
    pub columns: &'static [Column],
    /// The keys of the rows that events touch.
    pub keys: fn(&[Recorded]) -> Vec<String>,
    /// Folds events into the bodies of the rows that they touch.
    pub fold: Fold,
}

impl Definition {
    /// The definition of a view.
    pub const fn of<V: View>() -> Self {
        Self { name: V::NAME, version: V::VERSION, columns: V::COLUMNS, keys: keys::<V>, fold: fold::<V> }
    }
}

fn keys<V: View>(events: &[Recorded]) -> Vec<String> {
    let mut keys: Vec<String> = events.iter().flat_map(V::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn fold<V: View>(bodies: HashMap<String, String>, events: &[Recorded]) -> Result<Vec<Change>, UnreadableRow> {
    let unreadable = |source| UnreadableRow { view: V::NAME, source };
    let mut rows: HashMap<String, Option<V::Row>> = HashMap::with_capacity(bodies.len());
    for (key, body) in bodies {
        rows.insert(key, Some(serde_json::from_str(&body).map_err(unreadable)?));
    }
    for recorded in events {
        for key in V::keys(recorded) {
            let row = rows.get_mut(&key).and_then(Option::take);
            let row = V::apply(&key, row, recorded);
            rows.insert(key, row);
        }
    }
    let mut changes = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let change = row.map(|row| serde_json::to_string(&row).map(|body| (V::columns(&row), body)));
        changes.push((key, change.transpose().map_err(unreadable)?));
    }
    changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b)); // two writers take row locks in one order
    Ok(changes)
}
