//! Histories to take away: one JSON object a line, or CSV that a spreadsheet does not take for formulas.

use std::borrow::Cow;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::event::Position;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::history::{Asked, READERS, parse_tag, source_of};
use crate::asked::{Authenticated, InQuery};
use crate::problem::Problem;
use crate::state::Api;
use crate::told::{HistoryEntry, Telling, record_reading};

/// The columns of CSV.
const COLUMNS: [&str; 11] = [
    "position",
    "id",
    "recorded_at",
    "event_type",
    "words",
    "actor",
    "actor_words",
    "request",
    "tags",
    "facts",
    "personal",
];

/// What a spreadsheet takes for the beginning of a formula, or skips before one; in full width too, as East Asian
/// editions do.
const FORMULA_BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line, as the API shows an event.
    #[default]
    Jsonl,
    /// RFC 4180, with a line of headings.
    Csv,
}

/// A text is no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("known formats: jsonl, csv")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            _ => Err(UnknownFormat),
        }
    }
}

impl Format {
    /// What stands before the first event.
    pub fn head(self) -> Vec<u8> {
        match self {
            Self::Jsonl => Vec::new(),
            Self::Csv => csv([COLUMNS.map(Cow::from)]),
        }
    }

    /// The lines of these events.
    pub fn lines(self, entries: &[HistoryEntry]) -> Vec<u8> {
        match self {
            Self::Jsonl => {
                let line = |entry| serde_json::to_string(entry).expect("invariant: an entry is JSON") + "\n";
                entries.iter().map(line).collect::<String>().into_bytes()
            }
            Self::Csv => csv(entries.iter().map(cells)),
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    const fn disposition(self) -> &'static str {
        match self {
            Self::Jsonl => "attachment; filename=\"history.jsonl\"",
            Self::Csv => "attachment; filename=\"history.csv\"",
        }
    }
}

fn csv<'a>(rows: impl IntoIterator<Item = [Cow<'a, str>; COLUMNS.len()]>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        let cells = row.iter().map(|cell| safe(cell));
        writer.write_record(cells.map(Cow::into_owned)).expect("invariant: every row has as many cells, in memory");
    }
    writer.into_inner().expect("invariant: memory is always written")
}

fn cells(entry: &HistoryEntry) -> [Cow<'_, str>; COLUMNS.len()] {
    [
        entry.position.to_string().into(),
        entry.id.to_string().into(),
        entry.recorded_at.as_str().into(),
        entry.event_type.as_str().into(),
        entry.words.as_str().into(),
        entry.actor.as_str().into(),
        entry.actor_words.as_str().into(),
        entry.request.to_string().into(),
        entry.tags.join(" ").into(),
        entry.facts.to_string().into(),
        entry.personal.as_ref().map(ToString::to_string).unwrap_or_default().into(),
    ]
}

/// The cell with an apostrophe before what a spreadsheet would calculate.
fn safe(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(FORMULA_BEGINS) { format!("'{cell}").into() } else { cell.into() }
}

/// What the history is about, which events of it, and how they are written.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `account:<id>`, `professional:<id>`, `invitation:<id>`, `identity:<id>` or `customer-number:<number>`.
    #[param(example = "customer-number:C-1001")]
    pub tag: String,
    /// `jsonl`, which it is if nothing is said, or `csv`.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "csv")]
    pub format: Format,
    /// Only events of these types, with commas between them.
    #[serde(rename = "type")]
    #[param(example = "RoleGiven,RoleTaken")]
    pub types: Option<String>,
    /// Only events by this actor, as `actor` names it.
    pub actor: Option<String>,
    /// Only events recorded at this time or later (RFC 3339).
    #[param(format = DateTime)]
    pub from: Option<String>,
    /// Only events recorded before this time (RFC 3339).
    #[param(format = DateTime)]
    pub until: Option<String>,
}

/// Export the history of a tag
///
/// For auditors and support: all of it in one answer, as JSON Lines or CSV. In CSV, a cell that a spreadsheet would take
/// for a formula begins with an apostrophe. That it was read is recorded as for a page.
#[utoipa::path(get, path = "/v1/history/export", tag = "history", params(ExportQuery),
    responses((status = 200, description = "Every event, the oldest first", content((HistoryEntry = "application/jsonl"), (String = "text/csv"))), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(
    State(api): State<Api>,
    by: Authenticated,
    InQuery(query): InQuery<ExportQuery>,
) -> Result<Response, Problem> {
    by.staff(READERS)?;
    let tag = parse_tag(&query.tag)?;
    let asked = Asked {
        types: query.types.as_deref(),
        actor: query.actor.as_deref(),
        from: query.from.as_deref(),
        until: query.until.as_deref(),
    };
    let filter = asked.filter(&tag)?;
    let source = source_of(&api, &tag).await?;
    let end: Position = api.store.head().await?;
    let mut telling = Telling::new(api.store.clone(), source.clone(), filter, 0, end);
    // What cannot be read is better a problem than an answer that breaks off.
    let first = telling.next().await?.unwrap_or_default();
    record_reading(&api.store, Some(tag), &source, by.caller.clone(), by.request.clone()).await?;
    Ok(stream_of(query.format, first, telling))
}

/// The answer, of which one page at a time is in memory.
fn stream_of(format: Format, first: Vec<HistoryEntry>, telling: Telling) -> Response {
    let begin = [format.head(), format.lines(&first)].concat();
    let rest = stream::try_unfold(telling, move |mut telling| async move {
        let page = telling.next().await?;
        Ok::<_, store::ReadError>(page.map(|entries| (format.lines(&entries), telling)))
    });
    let rest = rest.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "an export broke off: the log could not be read");
    });
    let body = Body::from_stream(stream::once(async { Ok(begin) }).chain(rest));
    let headers = [(header::CONTENT_TYPE, format.media_type()), (header::CONTENT_DISPOSITION, format.disposition())];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(words: &str) -> HistoryEntry {
        HistoryEntry {
            position: 7,
            id: uuid::Uuid::from_u128(1),
            recorded_at: "2026-09-21T14:13:20.123Z".into(),
            event_type: "ProfessionalAdded".into(),
            words: words.into(),
            actor: "cli:kim".into(),
            actor_words: words.into(),
            request: uuid::Uuid::from_u128(2),
            tags: vec!["account:1".into(), "professional:2".into()],
            facts: serde_json::json!({ "language": "en" }),
            personal: Some(serde_json::json!({ "name": words })),
        }
    }

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        reader.records().map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect()).collect()
    }

    #[test]
    fn t54_no_cell_begins_like_a_formula_whatever_people_are_called() {
        let hostile = [
            "=HYPERLINK(\"http://x\")",
            "+1+cmd|' /C calc'!A0",
            "-2+3",
            "@SUM(1,2)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1",
            "＋1",
            "－1",
            "＠1",
        ];
        for words in hostile {
            let rows = read(&Format::Csv.lines(&[entry(words)]));
            assert_eq!(rows.len(), 1, "one event is one row");
            assert_eq!((rows[0][4].as_str(), rows[0][6].as_str()), (&*format!("'{words}"), &*format!("'{words}")));
            assert!(rows[0].iter().all(|cell| !cell.starts_with(FORMULA_BEGINS)), "{:?}", rows[0]);
        }
    }

    #[test]
    fn a_cell_keeps_what_is_no_formula() {
        for words in ["Robin Rivers was added.", "a, \"b\"\r\nc", "a=b", "'quoted", ""] {
            let row = &read(&Format::Csv.lines(&[entry(words)]))[0];
            assert_eq!(row[4], words);
            assert_eq!((row[0].as_str(), row[8].as_str()), ("7", "account:1 professional:2"));
            assert_eq!(row[9], "{\"language\":\"en\"}");
        }
        let erased = HistoryEntry { personal: None, ..entry("An erased person was added.") };
        assert_eq!(read(&Format::Csv.lines(&[erased]))[0][10], "");
        assert_eq!(read(&Format::Csv.head()), [COLUMNS]);
        assert!(Format::Csv.head().ends_with(b"personal\r\n"));
    }

    #[test]
    fn a_line_of_json_is_one_line() {
        let lines = String::from_utf8(Format::Jsonl.lines(&[entry("a\nb"), entry("c")])).unwrap();
        let read: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((read.len(), &read[0]["words"], &read[1]["words"]), (2, &"a\nb".into(), &"c".into()));
        assert_eq!(read[0].as_object().unwrap().len(), COLUMNS.len());
        assert!(COLUMNS.iter().all(|column| read[0].get(column).is_some()), "the columns are the members");
    }
}
