//! A wall clock that a test can move on, for the service alone.

use std::process::Command;

use tempfile::TempDir;

use super::server::environment_dir;

/// The clock of every service that is started with its [`Clock::environment`].
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// Makes a clock that shows the time as it is.
    ///
    /// # Panics
    /// Without a C compiler.
    pub fn start() -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("there is room for a folder") };
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(clock.folder.path().join("clock.so"));
        let compiled = compiler.arg(environment_dir().join("clock.c")).status().expect("there is a C compiler");
        assert!(compiled.success(), "clock.c is no longer C");
        clock.move_ahead(0);
        clock
    }

    /// What puts a process under this clock.
    pub fn environment(&self) -> [(String, String); 2] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [("LD_PRELOAD".into(), path("clock.so")), ("CLOCK_AHEAD".into(), path("ahead"))]
    }

    /// Lets the clock show the time in so many seconds from the real one on.
    pub fn move_ahead(&self, seconds: u32) {
        let (draft, ahead) = (self.folder.path().join("draft"), self.folder.path().join("ahead"));
        std::fs::write(&draft, seconds.to_string()).expect("the folder takes files");
        std::fs::rename(draft, ahead).expect("a file can be renamed");
    }
}
