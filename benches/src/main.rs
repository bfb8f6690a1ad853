//! Vinculum beside the physical limit and beside its peers. `./bench` builds and runs it.

mod contender;
mod load;
mod append;
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
        ["append", place, accounts] => append::contend(append::location(place), accounts.parse()?).await,
        ["pgbench", url] => yardsticks::pgbench(url).await,
        ["naive", url, connections] => yardsticks::naive(url, connections.parse()?).await,
        ["raw-sqlite", folder] => yardsticks::raw_sqlite(folder).await,
        ["copy", url] => yardsticks::copy(url).await,
        ["unnest", url] => yardsticks::unnest(url).await,
        other => Err(format!("no such contender: {other:?}").into()),
    }?;
    Ok(ExitCode::SUCCESS)
}
