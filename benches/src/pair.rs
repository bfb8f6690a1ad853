//! Two nodes on one database: two processes that append at the same time, to the same accounts.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use crate::Failure;
use crate::contender::take_turns;
use crate::process::Process;

/// How long a node may take to open its accounts.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// `pair URL ACCOUNTS`: commands a second of both, each with `callers`; `slower_share` is the slower one's part of
/// what the faster one did.
pub async fn contend(url: &str, accounts: &str) -> Result<(), Failure> {
    let mut nodes = Vec::new();
    for number in 1..=2 {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["append", url, accounts]);
        let errors: PathBuf = std::env::temp_dir().join(format!("node-{number}.errors"));
        let mut node = Process::start(command, &errors).await?;
        node.ready(READY_WITHIN).await?;
        nodes.push(node);
    }
    let [first, second] = &mut nodes[..] else { unreachable!("invariant: two were started") };
    take_turns(async |turn| {
        let seconds = turn.time.as_secs_f64();
        let numbers: Vec<(&str, u64)> = turn.numbers.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        let (one, other) = tokio::join!(first.turn(seconds, &numbers), second.turn(seconds, &numbers));
        let (one, other) = (one?["value"], other?["value"]);
        Ok(vec![("value", one + other), ("slower_share", one.min(other) / one.max(other))])
    })
    .await?;
    for node in &mut nodes {
        node.end().await;
    }
    Ok(())
}
