//! Vinculum beside the physical limit and beside its peers. `./bench` builds and runs it.
//!
//! Reading order: `measures` says what is measured, `harness` lets the contenders take turns, `report` prints what came
//! of it; `contender` is what one is, and the rest are contenders.

mod measures;
mod harness;
mod surroundings;
mod plot;
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
mod issuer;
mod service;
mod http;
mod http_command;
mod http_query;
mod memory;
mod account_10k;
mod fallen;
mod growth;
mod yardsticks;

use std::process::ExitCode;

/// Why a measurement came to nothing.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        ["http-command", url] => http_command::contend(url).await,
        ["http-query", url] => http_query::contend(url).await,
        ["bare-axum", url] => http_query::contend_bare(url).await,
        ["bare-server", url] => http_query::serve_bare(url).await,
        ["memory", url, events] => memory::contend(url, events.parse()?).await,
        ["account-10k", url] => account_10k::contend(url).await,
        ["growth", url, events] => growth::contend(url, events.parse()?).await,
        ["lettre", _] => mail::yardstick().await, // it keeps nothing
        other => Err(format!("no such contender: {other:?}").into()),
    }?;
    Ok(ExitCode::SUCCESS)
}
