//! Keeps the live views: reads the log in pages, applies each to every view in one transaction, tells how far it is.
//!
//! One node at a time projects, by a lease; the others watch the checkpoint and take over when it stands still. The
//! lease only spares work: checkpoints move by compare-and-set.

use std::time::Duration;

use domain::event::Position;
use domain::time::Millis;
use sqlx::{AnyPool, Connection as _};
use store::Store;
use store::store::views_pool;
use tokio::sync::watch;

use crate::tables::{self, Generation, WriteError};
use crate::views::Views;
use crate::rebuild;

/// Events in one page: one transaction.
const PAGE: i64 = 1_000;
/// How often the log's head, or the checkpoint of the node that projects, is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The wait after an error.
const ERROR_WAIT: Duration = Duration::from_secs(1);
/// How long a node that has died keeps the others waiting.
const LEASE: Millis = Millis::seconds(5);
/// The lease is prolonged this often.
const PROLONG_EVERY: Duration = Duration::from_secs(1);
/// Connections for queries.
const CONNECTIONS_MAX: u32 = 8;

/// Keeps the live views.
#[derive(Debug)]
pub struct Projector {
    store: Store,
    pool: AnyPool,
    /// Tells this node from others in the lease.
    holder: String,
    followed: watch::Sender<Position>,
}

impl Projector {
    /// Opens the views and makes those that are missing or of another version.
    ///
    /// # Errors
    /// The database cannot be reached or the log cannot be read.
    pub async fn open(store: Store) -> Result<(Self, Views), OpenError> {
        // Transactions run on connections of their own: one that is dropped half-way never meets a query.
        let pool = views_pool(store.location(), 2).await?;
        let queries = views_pool(store.location(), CONNECTIONS_MAX).await?;
        let mut connection = pool.acquire().await.map_err(WriteError::from)?;
        tables::set_up(&mut connection).await?;
        let live = tables::live(&mut connection).await?;
        drop(connection);
        for (view, _) in crate::ALL.iter().zip(&live).filter(|(_, live)| live.is_none()) {
            rebuild::rebuild(&store, view.name, |_| {}).await?;
        }
        let holder = store::random::uuid().to_string();
        let (followed, receiver) = watch::channel(0);
        let projector = Self { store, pool, holder, followed };
        let position = projector.checkpoint().await?;
        projector.followed.send_replace(position);
        Ok((projector, Views::new(queries, receiver)))
    }

    /// Projects until `stop` changes; errors are logged and tried again.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let pass = async {
                if let Err(error) = self.pass().await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the views cannot follow the log");
                    tokio::time::sleep(ERROR_WAIT).await;
                }
            };
            tokio::select! {
                () = pass => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Err(error) = self.store.give_lease_back("projector", &self.holder).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the projector's lease was not given back");
        }
    }

    /// Projects while this node has the lease, or watches the other node for a while.
    async fn pass(&self) -> Result<(), WriteError> {
        let prolong_at = tokio::time::Instant::now() + PROLONG_EVERY;
        let is_ours = self.store.take_lease("projector", &self.holder, LEASE).await?;
        let mut appended = self.store.appended();
        while tokio::time::Instant::now() < prolong_at {
            appended.borrow_and_update();
            if is_ours {
                self.catch_up().await?;
            }
            let position = self.checkpoint().await?;
            self.followed.send_if_modified(|known| std::mem::replace(known, position) != position);
            // Our own appends wake us; those of others are looked for.
            let _ = tokio::time::timeout(LOOK_EVERY, appended.changed()).await;
        }
        Ok(())
    }

    /// Applies page after page until the views have reached the log's head.
    async fn catch_up(&self) -> Result<(), WriteError> {
        let mut connection = self.pool.acquire().await?;
        let mut live: Vec<Generation> = tables::live(&mut connection).await?.into_iter().flatten().collect();
        loop {
            let after = live.iter().map(|generation| generation.position).min().unwrap_or_default();
            let events = self.store.page(after, PAGE).await?;
            let Some(last) = events.last().map(|event| event.position) else { return Ok(()) };
            let mut transaction = connection.begin().await?;
            for generation in &mut live {
                let start = events.partition_point(|event| event.position <= generation.position);
                match tables::apply(&mut transaction, generation, &events[start..]).await {
                    Err(WriteError::Overtaken) => return Ok(()), // the next pass begins where the other one is
                    other => other?,
                }
            }
            transaction.commit().await?;
            self.followed.send_if_modified(|known| std::mem::replace(known, last) != last);
        }
    }

    /// The position that every live view has reached.
    async fn checkpoint(&self) -> Result<Position, WriteError> {
        let position: Option<Position> =
            sqlx::query_scalar("select min(position) from view_checkpoint where is_live = 1").fetch_one(&self.pool).await?;
        Ok(position.unwrap_or_default())
    }
}

/// The views cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// The views cannot be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A view cannot be made.
    #[error(transparent)]
    Rebuild(#[from] rebuild::RebuildError),
}
