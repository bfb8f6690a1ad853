//! Runs the imports that were asked for over the API, in the background of a service.
//!
//! An import whose service stops or dies is not taken up by another: it ends as `import_interrupted`, its files are
//! deleted, and whoever asks again gets what is missing done.

use std::collections::HashMap;
use std::time::Duration;

use store::working::imports::{ClaimedImport, INTERRUPTED, INTERRUPTED_MESSAGE, ImportCounts, ImportRow};
use store::{Store, random};
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use super::{ACCOUNTS_AT_ONCE_BESIDE_CALLERS, Counts, Import, ImportError, Mode, Progress, RowResult};

/// Imports that a node runs at once: one that waits for its invitations' minutes must not hold up the next.
const RUNNING_MAX: usize = 4;
/// How often a worker looks for imports that wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a running import gives a sign of life; several fit into [`store::working::imports::ALIVE_FOR`].
const PROLONG_EVERY: Duration = Duration::from_secs(10);
/// How often the imports of nodes that have died are ended.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Runs imports.
#[derive(Clone, Debug)]
pub struct ImportWorker {
    /// The log and the queue.
    pub store: Store,
    /// The key that links are derived with.
    pub link_key: String,
}

impl ImportWorker {
    /// Works until `stop` changes; imports under way end there as interrupted.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let holder = random::uuid().to_string();
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut running: HashMap<task::Id, Uuid> = HashMap::new();
        let mut sweep_at = Instant::now();
        loop {
            if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP_EVERY;
                self.sweep().await;
            }
            while tasks.len() < RUNNING_MAX
                && let Some(claimed) = self.claim(&holder).await
            {
                let (worker, id, holder) = (self.clone(), claimed.id, holder.clone());
                let task = tasks.spawn(async move { worker.handle(claimed, &holder).await });
                running.insert(task.id(), id);
            }
            let ended = tokio::select! {
                Some(ended) = tasks.join_next_with_id() => Some(ended),
                () = tokio::time::sleep(LOOK_EVERY) => None,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Some(ended) = ended else { continue };
            let id = running.remove(&ended.as_ref().map_or_else(|error| error.id(), |(task, ())| *task));
            if let (Err(error), Some(id)) = (ended, id) {
                tracing::error!(import.id = %id, %error, "an import died");
                self.fail(id, &holder, "internal", "Something is out of order on our side.").await;
            }
        }
        tasks.shutdown().await;
        for id in running.into_values() {
            self.fail(id, &holder, INTERRUPTED, INTERRUPTED_MESSAGE).await;
        }
    }

    /// Runs one import to its end, with signs of life.
    async fn handle(&self, claimed: ClaimedImport, holder: &str) {
        let ClaimedImport { id, caller, is_dry_run, accounts, professionals } = claimed;
        let mode = if is_dry_run { Mode::DryRun } else { Mode::Append };
        let (store, link_key) = (self.store.clone(), self.link_key.clone());
        let import = Import { store, caller, link_key, mode, accounts_at_once: ACCOUNTS_AT_ONCE_BESIDE_CALLERS };
        let progress = Progress::default();
        let outcome = tokio::select! {
            outcome = import.run(accounts.into_bytes(), professionals.into_bytes(), &progress) => outcome,
            () = self.prolong(id, holder, &progress) => return tracing::warn!(import.id = %id, "an import was overtaken"),
        };
        match outcome {
            Ok(rows) => self.finish(id, holder, &rows).await,
            Err(error) => {
                tracing::warn!(import.id = %id, error = &error as &dyn std::error::Error, "an import stopped");
                self.fail(id, holder, error.code(), &message(&error)).await;
            }
        }
    }

    /// Gives signs of life until the import is not this node's any more.
    async fn prolong(&self, id: Uuid, holder: &str, progress: &Progress) {
        loop {
            tokio::time::sleep(PROLONG_EVERY).await;
            let (total, done) = (progress.total() as i64, progress.done() as i64);
            match self.store.prolong_import(id, holder, total, done).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(import.id = %id, error = &error as &dyn std::error::Error, "an import is not prolonged");
                }
            }
        }
    }

    async fn finish(&self, id: Uuid, holder: &str, rows: &[RowResult]) {
        let counts = Counts::of(rows);
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let counts_kept = ImportCounts {
            created: count(counts.created),
            completed: count(counts.completed),
            unchanged: count(counts.unchanged),
            refused: count(counts.refused),
        };
        let rows: Vec<ImportRow> = rows.iter().zip(1..).map(|(row, number)| kept(row, number)).collect();
        match self.store.finish_import(id, holder, counts_kept, &rows).await {
            Ok(_) => tracing::info!(import.id = %id, rows = rows.len(), refused = counts.refused, "an import is done"),
            // It will be found without signs of life.
            Err(error) => {
                tracing::error!(import.id = %id, error = &error as &dyn std::error::Error, "an import's results are lost");
            }
        }
    }

    async fn claim(&self, holder: &str) -> Option<ClaimedImport> {
        self.store.claim_import(holder).await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "imports that wait cannot be read");
            None
        })
    }

    async fn fail(&self, id: Uuid, holder: &str, code: &str, message: &str) {
        if let Err(error) = self.store.fail_import(id, holder, code, message).await {
            tracing::warn!(import.id = %id, error = &error as &dyn std::error::Error, "an import's end is not recorded");
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.store.sweep_imports().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old imports could not be deleted");
        }
    }
}

/// What is told of an import that stopped; what a database said stays in the log.
fn message(error: &ImportError) -> String {
    match error {
        ImportError::File(error) => format!("{error}."),
        _ => "The log could not be reached. Ask again: what is missing will be done.".into(),
    }
}

fn kept(row: &RowResult, number: i64) -> ImportRow {
    ImportRow {
        number,
        file: row.file.as_str().into(),
        line: row.line.into(),
        outcome: row.outcome.as_str().into(),
        code: row.reason.as_ref().map(|reason| reason.code.into()),
        message: row.reason.as_ref().map(|reason| reason.message.clone()),
        account: row.account,
        professional: row.professional,
    }
}
