//! `vinculum verify`: holds the whole log against its own index and against the rules, by code that decides nothing.

use domain::check::{Checker, RULES};
use indicatif::{ProgressBar, ProgressStyle};
use store::verify::{Flaw, Seen};

use crate::cli::Failure;
use crate::commands::open;
use crate::config::Config;

/// Flaws and breaches that are printed; there is no use in more.
const PRINTED_MAX: usize = 100;

/// Verifies the log; nothing is changed.
///
/// # Errors
/// The database cannot be reached, or something does not hold.
pub async fn verify(config: &Config) -> Result<(), Failure> {
    let (store, _appender) = open(config).await?;
    let head = store.head().await.map_err(Failure::other)?;
    let bar = ProgressBar::new(head.unsigned_abs());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} events, {per_sec}, {eta} left");
    bar.set_style(style.map_err(Failure::other)?);
    let (mut checker, mut flaws) = (Checker::default(), Vec::new());
    let tell = |seen: Seen<'_>| match seen {
        Seen::Event(recorded) => {
            checker.see(recorded);
            bar.set_position(recorded.position.unsigned_abs());
        }
        Seen::Flaw(flaw) => flaws.push(flaw),
    };
    let head = store.verify(tell).await.map_err(Failure::other)?;
    bar.finish_and_clear();
    let breaches = checker.finish();
    for Flaw { position, what } in flaws.iter().take(PRINTED_MAX) {
        println!("{position:>10}  index       {what}");
    }
    for breach in breaches.iter().take(PRINTED_MAX) {
        println!("{:>10}  {:10}  {}", breach.position, breach.rule, breach.what);
    }
    if flaws.is_empty() && breaches.is_empty() {
        println!("{head} events: the index is that of the events, and {} rules hold.", RULES.len());
        return Ok(());
    }
    Err(Failure::other(format!("{} flaws of the index and {} breaches of rules", flaws.len(), breaches.len())))
}
