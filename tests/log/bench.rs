//! A database of its own for each test, as many writers on it as wanted, and a way in from outside.

use std::task::{Context, Waker};
use std::time::Duration;

use domain::caller::{Caller, Request};
use domain::command::Command;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Connection as _, Row as _};
use store::clock::Clock;
use store::seal::NamedKey;
use store::secret::Secret;
use store::{ExecuteError, Executed, Location, OpenError, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::postgres::Postgres;

/// Writes each test twice: once for each database.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($bench:ident: &Bench) $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn test($bench: &Bench) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                let bench = Bench::sqlite().await;
                test(&bench).await;
                super::super::check::check(&bench).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                let bench = Bench::postgres().await;
                test(&bench).await;
                super::super::check::check(&bench).await;
            }
        }
    )+};
}

/// A migrated database.
pub struct Bench {
    place: Place,
    /// The clock of every writer.
    pub clock: Clock,
}

enum Place {
    Folder(TempDir),
    Postgres(Postgres),
}

impl Bench {
    pub async fn sqlite() -> Self {
        // Whoever names a folder may name it like this.
        let folder = tempfile::Builder::new().prefix("a folder, 100%20?#").tempdir().unwrap();
        Self::migrated(Place::Folder(folder)).await
    }

    pub async fn postgres() -> Self {
        Self::migrated(Place::Postgres(Postgres::fresh())).await
    }

    async fn migrated(place: Place) -> Self {
        sqlx::any::install_default_drivers();
        let bench = Self { place, clock: Clock::System };
        store::migrate::migrate(&bench.location(), None).await.unwrap();
        bench
    }

    pub fn location(&self) -> Location {
        match &self.place {
            Place::Folder(folder) => Location::Folder(folder.path().to_owned()),
            Place::Postgres(postgres) => Location::Postgres(Secret::new(postgres.url().to_owned())),
        }
    }

    /// Where the SQLite files are; none on PostgreSQL.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder.path()),
            Place::Postgres(_) => None,
        }
    }

    /// The PostgreSQL database; none on SQLite.
    pub fn server(&self) -> Option<&Postgres> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Postgres(postgres) => Some(postgres),
        }
    }

    /// Opens one more writer on the database.
    pub async fn writer(&self) -> Store {
        self.open().await.unwrap().0
    }

    /// Opens one more writer, with the task that ends with it.
    pub async fn open(&self) -> Result<(Store, JoinHandle<()>), OpenError> {
        open_at(self.location(), self.clock.clone()).await
    }

    /// Opens this many writers.
    pub async fn writers(&self, count: usize) -> Vec<Store> {
        let mut writers = Vec::with_capacity(count);
        for _ in 0..count {
            writers.push(self.writer().await);
        }
        writers
    }

    /// A connection that knows nothing of the store.
    pub async fn outside(&self) -> Outside {
        let url = match &self.place {
            Place::Folder(folder) => {
                let file = folder.path().join("log.db").display().to_string();
                format!("sqlite://{}", file.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
            }
            Place::Postgres(postgres) => postgres.url().to_owned(),
        };
        let connection = AnyConnection::connect(&url).await.unwrap();
        let mut outside = Outside { connection, is_postgres: self.server().is_some() };
        if !outside.is_postgres {
            outside.run("pragma busy_timeout = 60000").await.unwrap(); // SQLite lets nobody queue for its lock
        }
        outside
    }
}

/// Opens a writer anywhere.
pub async fn open_at(location: Location, clock: Clock) -> Result<(Store, JoinHandle<()>), OpenError> {
    let keys = vec![NamedKey { id: "k1".into(), key: Secret::new([7; store::seal::KEY_BYTES]) }];
    Store::open(location, keys, clock).await
}

/// A connection from outside of the store.
pub struct Outside {
    connection: AnyConnection,
    is_postgres: bool,
}

impl Outside {
    /// Runs statements.
    pub async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop)
    }

    /// Reads a column of numbers.
    pub async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Reads a column of texts.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Takes the append lock and keeps it: no writer gets past it until [`Outside::unlock`].
    pub async fn lock(&mut self) {
        self.run(if self.is_postgres { "begin; select log_lock()" } else { "begin immediate" }).await.unwrap();
    }

    /// Undoes all that happened under the lock, and gives it back.
    pub async fn unlock(&mut self) {
        self.run("rollback").await.unwrap();
    }

    /// Moves the head.
    pub async fn set_head(&mut self, position: i64) {
        let sql = match self.is_postgres {
            true => format!("insert into log_end values ({position})"),
            false => format!("update log_head set position = {position}"),
        };
        self.run(&sql).await.unwrap();
    }

    /// Appends envelopes as a release would that is none of ours.
    pub async fn append_by_hand(&mut self, envelope: &str, tags: &[i64]) -> i64 {
        self.lock().await;
        let position = self.numbers("select position from log_head").await[0] + 1;
        let envelope = envelope.replace('\'', "''");
        self.run(&format!("insert into event (position, envelope) values ({position}, '{envelope}')")).await.unwrap();
        for tag in tags {
            self.run(&format!("insert into event_tag (tag, position) values ({tag}, {position})")).await.unwrap();
        }
        self.set_head(position).await;
        self.run("commit").await.unwrap();
        position
    }
}

/// A request without a key.
pub fn request() -> Request {
    Request { id: store::random::uuid(), key: None, body: None, if_match: None }
}

/// Executes a command in a request of its own.
pub async fn run(store: &Store, caller: &Caller, command: Command) -> Result<Executed, ExecuteError> {
    store.execute(command, caller.clone(), request()).await
}

/// The code of a refusal.
#[track_caller]
pub fn code<T: std::fmt::Debug>(result: Result<T, ExecuteError>) -> &'static str {
    match result {
        Err(ExecuteError::Refused(refusal)) => refusal.code(),
        other => panic!("not refused: {other:?}"),
    }
}

/// A clock that stands until it is turned.
pub fn standing_clock() -> Clock {
    Clock::manual(Timestamp::parse("2026-11-20T08:00:00Z").unwrap())
}

/// Runs everything at once, each in a task of its own, and gives the results in order.
pub async fn at_once<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// A command that is being executed in a task of its own.
pub type Executing = JoinHandle<Result<Executed, ExecuteError>>;

/// Executes a command whose boundary the writer has in memory: when this returns, it stands in the writer's queue.
#[track_caller]
pub fn queue(store: &Store, caller: &Caller, command: Command) -> Executing {
    let (store, caller) = (store.clone(), caller.clone());
    let mut execute = Box::pin(async move { run(&store, &caller, command).await });
    assert!(execute.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    tokio::spawn(execute)
}

/// Executes a command that has to be loaded first; long enough later it stands in the writer's queue.
pub async fn queue_cold(store: &Store, caller: &Caller, command: Command) -> Executing {
    const LOADED_AFTER: Duration = Duration::from_millis(150);
    let (store, caller) = (store.clone(), caller.clone());
    let mut execute = Box::pin(async move { run(&store, &caller, command).await });
    assert!(tokio::time::timeout(LOADED_AFTER, &mut execute).await.is_err());
    tokio::spawn(execute)
}

/// The outcome in one word: the name of the last event, `nothing`, or the code of the refusal.
pub fn word(result: &Result<Executed, ExecuteError>) -> &'static str {
    match result {
        Ok(executed) => executed.events.last().map_or("nothing", |recorded| recorded.event.name()),
        Err(ExecuteError::Refused(refusal)) => refusal.code(),
        Err(error) => panic!("{error}"),
    }
}
