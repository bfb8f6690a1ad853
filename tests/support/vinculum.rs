//! The service under test, as a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::WAIT_SECONDS_MAX;

/// A running `vinculum serve`. Dropping it asks it to stop, then kills it.
#[derive(Debug)]
pub struct Vinculum {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Vinculum {
    /// Starts `vinculum serve` in the folder `home` with `environment` and nothing else from the caller's, and waits
    /// until it prints its address. Without `VINCULUM_LISTEN` it gets a free port.
    ///
    /// # Panics
    /// With its log, when it ends or prints no address.
    pub fn serve(home: &Path, environment: &[(&str, &str)]) -> Self {
        let (out, log) = (home.join("vinculum.out"), home.join("vinculum.log"));
        let to = |path: &Path| Stdio::from(File::create(path).expect("the folder takes files"));
        let mut command = Self::command(home, environment);
        if !environment.iter().any(|(name, _)| *name == "VINCULUM_LISTEN") {
            command.env("VINCULUM_LISTEN", "127.0.0.1:0");
        }
        let child = command.arg("serve").stdin(Stdio::null()).stdout(to(&out)).stderr(to(&log)).spawn();
        let mut service = Self { child: child.expect("the binary starts"), address: String::new(), log };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(WAIT_SECONDS_MAX) {
            let printed = std::fs::read_to_string(&out).unwrap_or_default();
            if let Some(address) = address_in(&printed) {
                service.address = address;
                return service;
            }
            if let Ok(Some(status)) = service.child.try_wait() {
                panic!("vinculum serve ended with {status}: {printed}"); // its drop shows the log
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("vinculum serve printed no address");
    }

    /// Prepares the binary in the folder `home` with `environment` and nothing else from the caller's; arguments are yours.
    pub fn command(home: &Path, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vinculum"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).current_dir(home);
        command.envs(environment.iter().copied());
        command
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal, by name: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (`TERM`) and waits for its exit.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(mut self) -> ExitStatus {
        self.stop_within("TERM", Duration::from_secs(WAIT_SECONDS_MAX)).expect("the service stops when it is asked to")
    }

    /// Stops it as Ctrl-C does (`INT`) and waits for its exit.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn interrupt(mut self) -> ExitStatus {
        self.stop_within("INT", Duration::from_secs(WAIT_SECONDS_MAX)).expect("the service stops at Ctrl-C")
    }

    fn stop_within(&mut self, by: &str, patience: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        signal(self.child.id(), by);
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Vinculum {
    fn drop(&mut self) {
        if self.stop_within("TERM", Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the service's log:\n{}", self.log());
        }
    }
}

fn signal(process: u32, name: &str) {
    // The shell's own `kill`: not every machine has the program.
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()]).status();
}

fn address_in(printed: &str) -> Option<String> {
    const SCHEME_AND_HOST: &str = "http://127.0.0.1:";
    let complete = printed.get(..=printed.rfind('\n')?)?; // a line half written may end inside the port
    let (_, rest) = complete.rsplit_once(SCHEME_AND_HOST)?; // after the public address, if that is told, too
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty()).then(|| format!("{SCHEME_AND_HOST}{port}"))
}

#[test]
fn an_address_is_read_from_a_whole_line_only() {
    assert_eq!(address_in("listening on http://127.0.0.1:80"), None);
    assert_eq!(address_in("at http://127.0.0.1:1/, on http://127.0.0.1:2\n").as_deref(), Some("http://127.0.0.1:2"));
    assert_eq!(address_in("hello\nlistening on http://127.0.0.1:8080/\n").as_deref(), Some("http://127.0.0.1:8080"));
}
