//! Vinculum beside the physical limit and beside its peers. `./bench` builds and runs it.
//!
//! Reading order: `measures` says what is measured, `harness` lets the contenders take turns, `report` prints what came
//! of it; `contender` is what one is, and the rest are contenders.

mod measures;
mod harness;
mod surroundings;
mod process;
mod report;
mod contender;
mod life;
mod load;
mod append;
mod pair;
mod mail;
mod rebuild;
mod replay;
mod yardsticks;

use std::process::ExitCode;

/// Why a measurement came to nothing.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["run", asked @ ..] => return harness::run(asked).await,
        ["append", place, accounts] => append::contend(append::location(place), accounts.parse()?).await,
        ["pair", url, accounts] => pair::contend(url, accounts).await,
        ["pgbench", url] => yardsticks::pgbench(url).await,
        ["naive", url, connections] => yardsticks::naive(url, connections.parse()?).await,
        ["raw-sqlite", folder] => yardsticks::raw_sqlite(folder).await,
        ["replay", url, events] => replay::contend(url, events.parse()?).await,
        ["copy", url] => replay::yardstick(url).await,
        ["rebuild", url, events] => rebuild::contend(url, events.parse()?).await,
        ["unnest", url] => rebuild::yardstick(url).await,
        ["mail", url] => mail::contend(url).await,
        ["lettre"] => mail::yardstick().await,
        other => Err(format!("no such contender: {other:?}").into()),
    }?;
    Ok(ExitCode::SUCCESS)
}
