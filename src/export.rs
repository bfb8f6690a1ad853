//! `vinculum export`: a history, or the whole log, as a file for auditors.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use api::told::{Filter, Source, Telling, record_reading};
use api::v1::export::Format;
use clap::Args;
use domain::caller::{Actor, Caller, Request};
use domain::event::Position;
use domain::ids::AccountId;
use domain::tag::{Subject, Tag};
use domain::time::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use store::{Store, random};

use crate::cli::Failure;
use crate::commands;
use crate::config::{self, Config};

/// Events in one page while the account of a tag is looked for.
const PAGE: i64 = 1_000;

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct Export {
    /// jsonl or csv. In CSV, a cell that a spreadsheet would take for a formula begins with an apostrophe
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// account:ID, professional:ID, invitation:ID, identity:ID or customer-number:NUMBER; the whole log if it is left out
    #[arg(long)]
    tag: Option<Tag>,
    /// Only events recorded at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only events recorded before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// A new file, readable by its owner only; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|_| "expected a time in the form of RFC 3339, such as 2026-01-31T12:00:00Z".into())
}

/// Exports what was asked for, and records that it was read.
pub async fn export(config: &Config, wanted: Export) -> Result<(), Failure> {
    let (store, _appender) = commands::open(config).await?;
    let source = source_of(&store, wanted.tag.as_ref()).await?;
    let end = store.head().await.map_err(Failure::other)?;
    let mut out = open_out(wanted.out.as_deref())?;
    let caller = Caller::new(Actor::Cli(config::user()));
    let request = Request { id: random::uuid(), key: None, body: None, if_match: None };
    record_reading(&store, wanted.tag.clone(), &source, caller, request).await.map_err(Failure::other)?;
    let filter = Filter { tag: wanted.tag, from: wanted.from, until: wanted.until, ..Filter::default() };
    let mut telling = Telling::new(store, source, filter, 0, end);
    let bar = if wanted.out.is_none() && io::stdout().is_terminal() {
        ProgressBar::hidden() // the events themselves are the progress
    } else {
        progress_bar(end)?
    };
    let mut count = 0;
    out.write_all(&wanted.format.head()).map_err(Failure::other)?;
    while let Some(entries) = telling.next().await.map_err(Failure::other)? {
        out.write_all(&wanted.format.lines(&entries)).map_err(Failure::other)?;
        count += entries.len();
        bar.set_position(telling.position().unsigned_abs());
    }
    out.flush().map_err(Failure::other)?;
    bar.finish_and_clear();
    eprintln!("{count} events up to position {end}.");
    Ok(())
}

/// Progress goes to standard error, and only where that is a terminal.
fn progress_bar(end: Position) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("export {wide_bar} {pos}/{len} events, {per_sec}, {eta} left");
    Ok(ProgressBar::new(end.unsigned_abs()).with_style(style.map_err(Failure::other)?))
}

fn open_out(path: Option<&Path>) -> Result<Box<dyn Write>, Failure> {
    let Some(path) = path else { return Ok(Box::new(BufWriter::new(io::stdout()))) };
    let opened: Result<File, io::Error> = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let cannot = |error: io::Error| format!("{} cannot be made: {error}", path.display());
    Ok(Box::new(BufWriter::new(opened.map_err(|error| Failure::other(cannot(error)))?)))
}

/// Finds whose events a tag stands on. It asks the log alone, so that it works where the views do not.
async fn source_of(store: &Store, tag: Option<&Tag>) -> Result<Source, Failure> {
    let Some(tag) = tag else { return Ok(Source::Log) };
    let subject = match tag {
        Tag::Account(id) => Subject::Account(*id),
        Tag::Identity(id) => Subject::Identity(*id),
        Tag::CustomerNumber(_) | Tag::Professional(_) | Tag::Invitation(_) => {
            Subject::Account(account_of(store, tag).await?.ok_or_else(|| nothing_about(tag))?)
        }
    };
    if store.page_about(&subject, 0, 1).await.map_err(Failure::other)?.is_empty() {
        return Err(nothing_about(tag));
    }
    Ok(Source::Subject(subject))
}

fn nothing_about(tag: &Tag) -> Failure {
    Failure::other(format!("there is nothing about {tag}"))
}

/// The account of the first event with a tag. Professionals and invitations have no index, so the log is searched.
async fn account_of(store: &Store, tag: &Tag) -> Result<Option<AccountId>, Failure> {
    let mut after = 0;
    loop {
        let events = match tag {
            Tag::CustomerNumber(number) => {
                store.page_about(&Subject::CustomerNumber(number.clone()), after, PAGE).await
            }
            _ => store.page(after, PAGE).await,
        };
        let events = events.map_err(Failure::other)?;
        let Some(last) = events.last() else { return Ok(None) };
        after = last.position;
        let found = events.iter().find(|recorded| recorded.event.tags().contains(tag));
        if let Some(account) = found.and_then(|recorded| recorded.event.about().account) {
            return Ok(Some(account));
        }
    }
}
