//! Vinculum's peers, each used as its documentation says, with one and the same small domain.
//!
//! `peers NAME URL` is a contender (see `contender.rs`): it sets its world up in an empty database, and in each turn lets
//! callers add people to many accounts. Every command loads its account, decides and appends.

mod account;
#[path = "../../src/contender.rs"]
mod contender;
mod cqrs_es;
mod disintegrate;
mod esrs;
#[path = "../../src/load.rs"]
#[expect(dead_code, reason = "the peers are asked in closed loops, and nobody wants their times")]
mod load;
mod message_db;
mod peer;
mod rusqlite;

/// Why a measurement came to nothing.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["cqrs-es", url] => peer::contend(cqrs_es::open(url).await?).await,
        ["esrs", url] => peer::contend(esrs::open(url).await?).await,
        ["disintegrate", url] => peer::contend(disintegrate::open(url).await?).await,
        ["message-db", url] => peer::contend(message_db::open(url).await?).await,
        ["rusqlite", folder] => rusqlite::contend(folder.as_ref()).await,
        other => Err(format!("no such peer: {other:?}").into()),
    }
}
