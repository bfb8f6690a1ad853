//! Keeps the live views: reads the log in pages, applies each to every view in one transaction, tells how far it is.
//!
//! One node at a time projects, by a lease; the others watch the checkpoint and take over when the lease ends or the
//! checkpoint stands still. The lease only spares work: checkpoints move by compare-and-set.

use std::collections::HashMap;
use std::time::Duration;

use domain::event::{Position, Recorded};
use domain::time::{Millis, Timestamp};
use sqlx::{AnyPool, Connection as _};
use store::envelope::UnreadableEvent;
use store::{Location, SqliteFile, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rebuild;
use crate::tables::{self, Generation, WriteError};
use crate::views::Views;

/// Events in one page: one transaction.
const PAGE: i64 = 1_000;
/// The rest after a pass while nobody waits for the views: a row that changes twice meanwhile is written once.
const REST: Duration = Duration::from_millis(10);
/// How often the log's head, or the checkpoint of the node that projects, is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same on SQLite, where another process seldom writes.
const LOOK_EVERY_ALONE: Duration = Duration::from_millis(200);
/// The wait after an error.
const ERROR_WAIT: Duration = Duration::from_secs(1);
/// How long a node that has died keeps the others waiting.
const LEASE: Millis = Millis::seconds(2);
/// How long the views may stand still behind the log before another node projects, whoever has the lease.
const STAND_STILL_MAX: Duration = Duration::from_secs(5);
/// The lease is prolonged this often.
const PROLONG_EVERY: Duration = Duration::from_millis(500);
/// How long a generation that somebody makes may stand still before it counts as left behind: far longer than to make the
/// indexes of all, and to compare them with the live ones.
const LEFT_AFTER: Millis = Millis::hours(6);
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
    /// How far somebody on this node waits for the views to follow.
    wanted: watch::Sender<Position>,
    /// Where the views were when another node was last seen to move them, or to have nothing to do.
    watched: (Position, Instant),
    /// Whether this node projects without the lease, because whoever has it does nothing.
    has_taken_over: bool,
    /// The live generations as this node left them; none where somebody else may have moved or replaced one.
    live: Option<Vec<Generation>>,
    /// Since when generations that have not taken their places have stood where they are: table and position.
    unfinished: HashMap<(String, Position), Timestamp>,
}

impl Projector {
    /// Opens the views and makes those that are missing or of another version.
    ///
    /// # Errors
    /// The database cannot be reached or the log cannot be read.
    pub async fn open(store: Store) -> Result<(Self, Views), OpenError> {
        // Transactions run on connections of their own: one that is dropped half-way never meets a query.
        let pool = store.location().views_pool(2).await?;
        let queries = store.location().views_pool(CONNECTIONS_MAX).await?;
        tables::set_up(&mut *pool.acquire().await.map_err(WriteError::from)?).await?;
        loop {
            let missing = missing(&store, &pool).await?;
            if missing.is_empty() {
                break;
            }
            match rebuild::rebuild_all(&store, &missing, |_| {}).await {
                Err(error) if error.is_overtaken() => {} // another node, which starts too, has made one
                other => drop(other?),
            }
        }
        let holder = store::random::uuid().to_string();
        let (followed, receiver) = watch::channel(0);
        let wanted = watch::Sender::new(0);
        let watched = (0, Instant::now());
        let projector = Self {
            store,
            pool,
            holder,
            followed,
            wanted: wanted.clone(),
            watched,
            has_taken_over: false,
            live: None,
            unfinished: HashMap::new(),
        };
        // Where the node died between an erasure and this.
        projector.clean_file().await;
        let position = projector.checkpoint().await?;
        projector.followed.send_replace(position);
        let views = Views::new(queries, projector.store.location().clone(), receiver, wanted);
        Ok((projector, views))
    }

    /// Projects until `stop` changes; errors are logged and tried again.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let pass = async {
                if let Err(error) = self.pass().await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the views cannot follow the log");
                    // Another node may be able to, such as one of a newer release.
                    self.has_taken_over = false;
                    let _ = self.store.give_lease_back("projector", &self.holder).await; // if not, it ends by itself
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
    async fn pass(&mut self) -> Result<(), WriteError> {
        let prolong_at = Instant::now() + PROLONG_EVERY;
        let is_ours = self.take_lease().await?;
        let (mut appended, mut wanted) = (self.store.appended(), self.wanted.subscribe());
        while Instant::now() < prolong_at {
            appended.borrow_and_update();
            wanted.borrow_and_update();
            let live = self.live.take();
            if is_ours || self.has_taken_over {
                self.live = self.catch_up(live, prolong_at).await?;
            }
            let position = match &self.live {
                Some(live) => live.iter().map(|generation| generation.position).min().unwrap_or_default(),
                None => self.checkpoint().await?,
            };
            self.followed.send_if_modified(|known| std::mem::replace(known, position) != position);
            // Whoever waits wakes us; so do our own appends, after a rest. Those of others are looked for.
            let look_every = match self.store.location() {
                Location::Postgres(_) => LOOK_EVERY,
                Location::Folder(_) => LOOK_EVERY_ALONE,
            };
            let news = tokio::time::timeout(look_every, appended.changed());
            let rest = async { tokio::join!(news, tokio::time::sleep(REST)) };
            tokio::select! {
                _ = rest => {}
                () = more_than(&mut wanted, position) => {}
            }
        }
        if is_ours {
            return self.clear_up().await;
        }
        self.unfinished.clear(); // another node looks after them
        self.watch().await
    }

    /// Takes or prolongs the lease. Nodes whose views another release has replaced leave it to the nodes of that one.
    async fn take_lease(&mut self) -> Result<bool, WriteError> {
        let live = tables::live(&mut *self.pool.acquire().await?).await?;
        if live.iter().any(Option::is_none) {
            self.has_taken_over = false;
            self.store.give_lease_back("projector", &self.holder).await?;
            return Ok(false);
        }
        let is_ours = self.store.take_lease("projector", &self.holder, LEASE).await?;
        self.has_taken_over &= !is_ours;
        Ok(is_ours)
    }

    /// Drops what was left by whoever died at making a view anew: nothing that is erased would be taken out of it (R27).
    async fn clear_up(&mut self) -> Result<(), WriteError> {
        let mut connection = self.pool.acquire().await?;
        let unfinished = tables::unfinished(&mut connection).await?;
        let now = self.store.clock().now();
        let mut stand = HashMap::new();
        for generation in unfinished {
            let place = (generation.table(), generation.position);
            let mut since = self.unfinished.get(&place).copied().unwrap_or(now);
            if now - since > LEFT_AFTER {
                since = now; // where it fails, it is tried again as long after
                tables::discard(&mut connection, self.store.location(), &generation).await;
                self.clean_file().await;
            }
            stand.insert(place, since);
        }
        self.unfinished = stand;
        Ok(())
    }

    /// Takes over from a node that has the lease and lets the views stand still: it has died, and by its clock, which
    /// need not be right, the lease lasts on.
    async fn watch(&mut self) -> Result<(), WriteError> {
        let position = *self.followed.borrow();
        if position != self.watched.0 || position >= self.store.head().await? {
            self.watched = (position, Instant::now());
        } else if self.watched.1.elapsed() > STAND_STILL_MAX {
            self.has_taken_over = true;
        }
        Ok(())
    }

    /// Applies page after page until one is not full, or until it is time to prolong the lease. Tells where that left the
    /// live generations; nothing if another projector, or another release, was faster.
    async fn catch_up(
        &mut self,
        live: Option<Vec<Generation>>,
        prolong_at: Instant,
    ) -> Result<Option<Vec<Generation>>, WriteError> {
        let mut connection = self.pool.acquire().await?;
        let mut live = match live {
            Some(live) => live,
            None => match tables::live(&mut connection).await?.into_iter().collect() {
                Some(live) => live,
                None => return Ok(None),
            },
        };
        loop {
            let after = live.iter().map(|generation| generation.position).min().unwrap_or_default();
            let events = self.page(after).await?;
            let Some(last) = events.last().map(|event| event.position) else { break };
            let mut transaction = connection.begin().await?;
            match tables::apply(&mut transaction, self.store.location(), &mut live, &events).await {
                Err(WriteError::Overtaken) => {
                    self.has_taken_over = false;
                    return Ok(None); // the next pass begins where the other one is
                }
                other => other?,
            }
            transaction.commit().await?;
            if events.iter().any(|recorded| recorded.event.erased_person().is_some()) {
                self.clean_file().await;
            }
            self.followed.send_if_modified(|known| std::mem::replace(known, last) != last);
            if events.len() < PAGE as usize || Instant::now() > prolong_at {
                break;
            }
        }
        Ok(Some(live))
    }

    /// On SQLite, takes what was erased out of the file's log, too (R27), before anybody is told that the views follow.
    async fn clean_file(&self) {
        if let Err(error) = self.store.location().clean(SqliteFile::Views).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the views' file was not cleaned yet");
        }
    }

    /// Reads a page; one that ends before an event that this release cannot read, if there is something before it.
    async fn page(&self, after: Position) -> Result<Vec<Recorded>, store::ReadError> {
        match self.store.page(after, PAGE).await {
            Err(store::ReadError::Event(
                UnreadableEvent::UnknownType { position, .. } | UnreadableEvent::Malformed { position, .. },
            )) if position > after + 1 => self.store.page(after, position - after - 1).await,
            other => other,
        }
    }

    /// The position that every live view has reached.
    async fn checkpoint(&self) -> Result<Position, WriteError> {
        let positions: Vec<(String, Position)> =
            sqlx::query_as("select view, position from view_checkpoint where is_live = 1 order by view")
                .fetch_all(&self.pool)
                .await?;
        // Views that another release has beside ours hold nobody back.
        let ours = positions.iter().filter(|(name, _)| crate::ALL.iter().any(|view| view.name == name));
        Ok(ours.map(|(_, position)| *position).min().unwrap_or_default())
    }
}

/// Waits until somebody begins to wait for more than this. Whoever has begun before is not seen again: where another node
/// projects, to look at once would show nothing new.
async fn more_than(wanted: &mut watch::Receiver<Position>, position: Position) {
    loop {
        wanted.changed().await.expect("invariant: the projector keeps a sender");
        if *wanted.borrow_and_update() > position {
            return;
        }
    }
}

/// The views that are not there in this release's version, or that are ahead of the log because they were made from
/// another one.
async fn missing(store: &Store, pool: &AnyPool) -> Result<Vec<&'static str>, WriteError> {
    let live = tables::live(&mut *pool.acquire().await?).await?;
    let head = store.head().await?; // read after the views, which never pass it
    let is_missing = |live: &Option<Generation>| live.is_none_or(|live| live.position > head);
    Ok(crate::ALL.iter().zip(&live).filter(|(_, live)| is_missing(live)).map(|(view, _)| view.name).collect())
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_says_for_what() {
        sqlx::any::install_default_drivers();
        let (pool, location) = (AnyPool::connect_lazy("sqlite::memory:").unwrap(), Location::Folder("none".into()));
        let ((_followed, follows), wanted) = (watch::channel(3), watch::Sender::new(0));
        let views = Views::new(pool, location, follows, wanted.clone());
        for (position, farthest) in [(5, 5), (4, 5), (9, 9)] {
            assert_eq!(views.wait_for(position).now_or_never(), None);
            assert_eq!(*wanted.borrow(), farthest);
        }
    }

    #[test]
    fn only_who_waits_for_more_than_the_views_show_wakes_the_projector_and_only_once() {
        let (wants, mut wanted) = watch::channel(0);
        let mut is_woken_at_5 = || more_than(&mut wanted, 5).now_or_never().is_some();
        assert!(!is_woken_at_5());
        for (wants_more_than_5, position) in [(false, 5), (true, 6), (true, 7)] {
            wants.send_replace(position);
            assert_eq!(is_woken_at_5(), wants_more_than_5);
            assert!(!is_woken_at_5());
        }
    }
}
