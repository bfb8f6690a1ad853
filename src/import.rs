//! `vinculum import`: existing records from two CSV files, with one result for each row.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use domain::caller::{Actor, Caller};
use domain::words::Scope;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use workers::import::{ACCOUNTS_AT_ONCE, Counts, FILE_BYTES_MAX, Import, Mode, Progress, RowResult, write_csv};

use crate::cli::Failure;
use crate::commands::{keys, open};
use crate::config::{self, Config};

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without a terminal, a line is written each time that so many percent more are done.
const LINE_EVERY_PERCENT: u64 = 10;

/// What `import` takes.
#[derive(Debug, Args)]
pub struct ImportFiles {
    /// customer_number,kind,name,plan_name,plan_starts_at,plan_ends_at,partners
    #[arg(value_name = "ACCOUNTS.CSV")]
    accounts: PathBuf,
    /// customer_number,name,address,language,roles,send_invitation
    #[arg(value_name = "PROFESSIONALS.CSV")]
    professionals: PathBuf,
    /// Decide every row and append nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the results there instead of to standard output
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

/// Imports; fails if a row was refused.
pub async fn import(config: &Config, files: &ImportFiles) -> Result<(), Failure> {
    let (accounts, professionals) = (read(&files.accounts)?, read(&files.professionals)?);
    // Before anything is appended: results that cannot be written would be lost.
    let results = files.results.as_deref().map(create).transpose()?;
    let link_key = keys(config)?.links[0].id.clone();
    let (store, appender) = open(config).await?;
    let caller = Caller::with_scopes(Actor::Cli(config::user()), [Scope::BackOffice, Scope::Support]);
    let mode = if files.dry_run { Mode::DryRun } else { Mode::Append };
    let import = Import { store, caller, link_key, mode, accounts_at_once: ACCOUNTS_AT_ONCE };
    let progress = Progress::default();
    let outcome = tokio::select! {
        outcome = import.run(accounts, professionals, &progress) => outcome,
        () = show(&progress) => unreachable!("invariant: it is shown until it ends"),
    };
    drop(import);
    let rows = outcome.map_err(Failure::other)?;
    appender.await.map_err(Failure::other)?;
    match results {
        Some(file) => write_csv(&rows, BufWriter::new(file)).map_err(Failure::other)?,
        None => write_csv(&rows, BufWriter::new(io::stdout().lock())).map_err(Failure::other)?,
    }
    conclude(&rows, mode)
}

/// Says how many rows had which outcome.
fn conclude(rows: &[RowResult], mode: Mode) -> Result<(), Failure> {
    let counts = Counts::of(rows);
    let Counts { created, completed, unchanged, refused } = counts;
    let dry = if mode == Mode::DryRun { "Dry run, nothing was appended. " } else { "" };
    eprintln!(
        "{dry}{} rows: {created} created, {completed} completed, {unchanged} unchanged, {refused} refused",
        counts.total()
    );
    match refused {
        0 => Ok(()),
        1 => Err(Failure::other("1 row was refused; its code says why")),
        refused => Err(Failure::other(format!("{refused} rows were refused; their codes say why"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let named = |error: io::Error| Failure::other(format!("cannot read {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(named)?.len();
    if length > FILE_BYTES_MAX as u64 {
        return Err(Failure::other(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    fs::read(path).map_err(named)
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))
}

/// Shows the progress for ever: as a bar on a terminal, else as lines.
async fn show(progress: &Progress) {
    if io::stderr().is_terminal() { show_bar(progress).await } else { show_lines(progress).await }
}

async fn show_bar(progress: &Progress) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} rows, {per_sec}, {eta} left {msg}")
        .expect("invariant: the template is well-formed");
    bar.set_style(style);
    loop {
        bar.set_length(progress.total());
        bar.set_position(progress.done());
        if progress.is_waiting() {
            bar.set_message("(invitations wait for their minute)");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn show_lines(progress: &Progress) {
    let (mut told, mut is_waiting) = (0, false);
    loop {
        let (done, total) = (progress.done(), progress.total());
        let percent = (done * 100).checked_div(total).unwrap_or(0);
        if percent >= told + LINE_EVERY_PERCENT {
            told = percent - percent % LINE_EVERY_PERCENT;
            eprintln!("{done} of {total} rows");
        }
        if progress.is_waiting() && !is_waiting {
            is_waiting = true;
            eprintln!("all rows are done but invitations that wait for their minute");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
