//! The log of the service: one line for each thing that happened, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::Logging;

/// What is written if nothing else is asked for: libraries only when something is wrong.
const FILTER_DEFAULT: &str = "warn,vinculum=info,api=info,workers=info,projections=info,store=info";
/// What the command line's other commands write.
const FILTER_QUIET: &str = "warn";

/// Begins to log for the service.
pub fn start(logging: &Logging) {
    begin(logging, FILTER_DEFAULT);
}

/// Begins to log for a command that answers on standard output.
pub fn start_quiet(logging: &Logging) {
    begin(logging, FILTER_QUIET);
}

fn begin(logging: &Logging, default: &str) {
    let asked = logging.filter.as_deref().unwrap_or(default);
    let (filter, mistake) = match EnvFilter::try_new(asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if logging.is_json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    if let Some(error) = mistake {
        tracing::warn!(%error, "VINCULUM_LOG is not a filter; the default is used");
    }
}
