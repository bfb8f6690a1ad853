//! A process that says `ready` and ends when its input does, seen from the outside: a contender, or a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Failure;

/// How much longer than its time a turn may take: calls that are under way end, and work of a fixed size has no time.
const OVERTIME: Duration = Duration::from_secs(120);
/// How long a process may take to end: longer than `tests/env/lib.sh` waits before it kills a server.
const END_WITHIN: Duration = Duration::from_secs(15);
/// Lines of its errors that are shown of a process that failed.
const ERRORS_SHOWN: usize = 20;

/// What a turn measured: numbers by name.
pub type Numbers = BTreeMap<String, f64>;

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: PathBuf,
}

impl Process {
    /// Starts a command as a process group of its own, so that Ctrl-C reaches only the harness, which ends it in good
    /// order. What it complains about goes to the file `errors`.
    ///
    /// # Errors
    /// The program is not there.
    pub async fn start(mut command: Command, errors: &Path) -> Result<Self, Failure> {
        let file = File::create(errors).await?.into_std().await;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).process_group(0);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| format!("{program} does not start: {error}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().expect("invariant: it is piped");
        Ok(Self { child, input, output: BufReader::new(output).lines(), errors: errors.to_owned() })
    }

    /// Waits until it has set its world up, and tells what it says about it.
    ///
    /// # Errors
    /// It fails, or takes longer.
    pub async fn ready(&mut self, within: Duration) -> Result<String, Failure> {
        let line = self.line(within).await?;
        match line.strip_prefix("ready") {
            Some(said) => Ok(said.trim().to_owned()),
            None => Err(self.complaint(&format!("it said `{line}` instead of `ready`")).into()),
        }
    }

    /// Lets it measure.
    ///
    /// # Errors
    /// It fails, or takes much longer than it was told.
    pub async fn turn(&mut self, seconds: f64, numbers: &[(&str, u64)]) -> Result<Numbers, Failure> {
        let numbers: String = numbers.iter().map(|(name, number)| format!(" {name}={number}")).collect();
        if let Some(input) = &mut self.input {
            // Where it has ended already, its missing answer says so, and why.
            let _ = input.write_all(format!("go {seconds}{numbers}\n").as_bytes()).await;
        }
        let line = self.line(Duration::from_secs_f64(seconds) + OVERTIME).await?;
        serde_json::from_str(&line).map_err(|error| self.complaint(&format!("its answer `{line}`: {error}")).into())
    }

    /// Closes its input and waits for its end; kills it and all that it started where that takes too long.
    pub async fn end(&mut self) {
        self.input = None;
        if timeout(END_WITHIN, self.child.wait()).await.is_ok() {
            return;
        }
        if let Some(group) = self.child.id() {
            let kill = format!("kill -s KILL -- -{group}");
            let _ = Command::new("bash").args(["-c", &kill]).status().await;
        }
        let _ = self.child.wait().await;
    }

    async fn line(&mut self, within: Duration) -> Result<String, Failure> {
        match timeout(within, self.output.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(self.complaint("it ended").into()),
            Ok(Err(error)) => Err(self.complaint(&error.to_string()).into()),
            Err(_) => Err(self.complaint(&format!("it did not answer within {} s", within.as_secs())).into()),
        }
    }

    fn complaint(&self, what: &str) -> String {
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = errors.lines().collect();
        let last = &lines[lines.len().saturating_sub(ERRORS_SHOWN)..];
        last.iter().fold(what.to_owned(), |said, line| said + "\n    " + line)
    }
}
