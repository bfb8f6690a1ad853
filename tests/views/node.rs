//! A node: a writer with its projector and a handle on the views.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use domain::event::Position;
use projections::{Projector, Views};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log::bench::Bench;

/// How long anything that must come may take: far more than it does, so that only what never comes fails.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A node that projects whenever it has the lease.
pub struct Node {
    pub store: Store,
    pub views: Views,
    stop: watch::Sender<bool>,
    projector: JoinHandle<()>,
}

impl Node {
    pub async fn start(bench: &Bench) -> Self {
        Self::start_with(bench.writer().await).await
    }

    pub async fn start_with(store: Store) -> Self {
        let (projector, views) = Projector::open(store.clone()).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        Self { store, views, stop, projector: tokio::spawn(projector.run(stopped)) }
    }

    /// Stops as a service does that is asked to.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.projector.await.unwrap();
    }

    /// Dies wherever it is.
    pub async fn kill(self) {
        self.projector.abort();
        let _ = self.projector.await;
    }

    /// Waits until the views of this node have reached the log's head.
    pub async fn follow(&self) -> Position {
        let head = self.store.head().await.unwrap();
        eventually("views that have followed", async || (self.views.position() >= head).then_some(head)).await
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, asking).await.unwrap_or_else(|_| panic!("{WAIT_MAX:?} passed without {what}"))
}

/// What this process has logged; from the first call on.
pub fn logged() -> String {
    static LINES: OnceLock<()> = OnceLock::new();
    static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Text;
    impl std::io::Write for Text {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            TEXT.lock().expect("nobody panics while holding it").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    LINES.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_env_filter("warn,workers=debug").with_ansi(false);
        lines.with_writer(|| Text).init();
    });
    String::from_utf8_lossy(&TEXT.lock().expect("nobody panics while holding it")).into_owned()
}
