//! A child process that serves until its standard input closes.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Enough for a database cluster to be made on a busy machine.
const START_SECONDS_MAX: u64 = 60;

/// The scripts stop within six seconds, by force if need be.
const STOP_SECONDS_MAX: u64 = 20;

/// A running server. Dropping it closes its input and waits until it has taken everything down.
///
/// Invariant: the server ends with the test however the test ends, because the kernel closes that input.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ready: String,
    said: Arc<Mutex<String>>,
}

impl Server {
    /// Starts one of the scripts in `tests/env`.
    pub fn script(name: &str) -> Self {
        Self::start(Command::new("bash").arg(environment_dir().join(name)))
    }

    /// Starts a command that prints a line beginning with `ready`, and waits for that line.
    ///
    /// # Panics
    /// With everything that the command said, when it ends or stays silent instead.
    pub fn start(command: &mut Command) -> Self {
        let named = format!("{command:?}");
        // A group of its own: the signals that end a test's group must not end what cleans up after it.
        let spawned =
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{named} does not start: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let lines = listen(child.stdout.take().expect("stdout is piped"), Arc::clone(&said));
        listen(child.stderr.take().expect("stderr is piped"), Arc::clone(&said));
        let ready = wait_for_ready(&lines);
        let mut server = Self { child, ready: ready.unwrap_or_default(), said };
        if server.ready.is_empty() {
            server.stop();
            panic!("{named} did not become ready; run ./test once, it installs what is missing\n{}", server.said());
        }
        server
    }

    /// What followed `ready` on the line.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Everything it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no listener panics").clone()
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(STOP_SECONDS_MAX) {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let said = self.said();
        if std::thread::panicking() && !said.is_empty() {
            eprintln!("--- a server of this test said:\n{said}");
        }
    }
}

/// Where the scripts are, seen from any crate of the workspace.
pub fn environment_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("tests/env"))
        .find(|folder| folder.join("lib.sh").exists())
        .expect("the workspace has tests/env")
}

fn listen(stream: impl Read + Send + 'static, said: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock().expect("nobody panics while listening");
            said.push_str(&line);
            said.push('\n');
            let _ = sender.send(line); // nobody waits for lines after the first
        }
    });
    lines
}

fn wait_for_ready(lines: &Receiver<String>) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Some(rest) = line.strip_prefix("ready ") {
            return Some(rest.to_owned());
        }
    }
    None
}
