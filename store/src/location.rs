//! Where the log is, and how its databases are opened: one of PostgreSQL, or a folder with SQLite files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::Instant;

use crate::durability::Weakness;
use crate::engine::{Engine, PostgresEngine, SqliteEngine};
use crate::secret::Secret;

/// How long a reader waits for a connection before it is told to come back.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// A connection that has been idle for longer is asked whether anybody answers before it is used: the database's host may
/// have been lost without a word.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);
/// How long the answer may take.
const PING_WAIT: Duration = Duration::from_secs(1);
/// How long SQLite waits for another writer.
const SQLITE_BUSY_WAIT: Duration = Duration::from_secs(10);
/// How long whoever opens a file that others have locked waits before the next try.
const SQLITE_BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Pages that SQLite collects in its write-ahead log, 16 MiB, before it carries them over: most are written many times.
const WAL_PAGES: &str = "4000";
/// What views may do: commit without waiting for the disk. A crash loses rows and checkpoint together.
const SET_UP_VIEWS: &str = "set synchronous_commit = off; set search_path = views, public";

/// A SQLite file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqliteFile {
    /// The log and the working state.
    Log,
    /// The views.
    Views,
}

impl SqliteFile {
    const fn name(self) -> &'static str {
        match self {
            Self::Log => "log.db",
            Self::Views => "views.db",
        }
    }
}

/// Where the log is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A PostgreSQL database, by its URL; the views are in it too.
    Postgres(Secret<String>),
    /// A folder with SQLite files: `log.db`, and `views.db` beside it.
    Folder(PathBuf),
}

impl Location {
    /// SQL that is true where a column is one of the texts in the JSON array that is bound as `$1`.
    pub fn is_listed(&self, column: &str) -> String {
        match self {
            // An array, unlike a table, is looked up in the column's index, whatever is believed about how much it holds.
            Self::Postgres(_) => {
                format!("{column} = any (array (select jsonb_array_elements_text(cast($1 as jsonb))))")
            }
            Self::Folder(_) => format!("{column} in (select value from json_each($1))"),
        }
    }

    /// SQL for the rows of a subject's events after `$3`; `$1` and `$2` are its least and greatest key. `limit` ends the
    /// look into the index.
    pub(crate) fn select_subject(&self, limit: &str) -> String {
        let positions =
            format!("select t.position from event_tag t where t.tag between $1 and $2 and t.position > $3 {limit}");
        let listed = match self {
            // As in [`Location::is_listed`]: whatever the planner believes about the tables, it joins none of them whole.
            Self::Postgres(_) => format!("= any (array ({positions}))"),
            Self::Folder(_) => format!("in ({positions})"),
        };
        format!("select e.position, e.envelope from event e where e.position {listed} order by e.position")
    }

    /// The SQL function that makes a table, with the column `value`, of the JSON array that is bound as `$1`.
    pub const fn elements(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "jsonb_array_elements(cast($1 as jsonb))",
            Self::Folder(_) => "json_each($1)",
        }
    }

    /// Opens a pool on the views' database: the log's own on PostgreSQL, a file of its own on SQLite.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn views_pool(&self, connections_max: u32) -> Result<AnyPool, OpenError> {
        match self {
            Self::Postgres(url) => open_pool(url.reveal(), connections_max, Some(SET_UP_VIEWS)).await,
            Self::Folder(folder) => sqlite_pool(folder, SqliteFile::Views, connections_max, "normal").await,
        }
    }

    /// Opens a pool on the log's database.
    pub(crate) async fn pool(&self, connections_max: u32) -> Result<AnyPool, OpenError> {
        match self {
            Self::Postgres(url) => open_pool(url.reveal(), connections_max, None).await,
            Self::Folder(folder) => sqlite_pool(folder, SqliteFile::Log, connections_max, "full").await,
        }
    }

    /// A pool for going through the log, that connects when it is used for the first time; none on SQLite.
    pub(crate) fn copying_pool(&self, connections_max: usize) -> Result<Option<PgPool>, OpenError> {
        let Self::Postgres(url) = self else { return Ok(None) };
        let options = PgConnectOptions::from_str(url.reveal())?.log_statements(tracing::log::LevelFilter::Off);
        // Whoever has one opens what it gives: more than there are processors, and a backend for each, only cost.
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) + 1;
        let pool = PgPoolOptions::new()
            .max_connections(count.min(connections_max) as u32)
            .acquire_timeout(CONNECTION_WAIT)
            .test_before_acquire(false);
        Ok(Some(pool.connect_lazy_with(options)))
    }

    /// A connection of the appender's, not yet made; `name` is what PostgreSQL shows.
    pub(crate) fn engine(&self, name: &str) -> Result<Box<dyn Engine>, OpenError> {
        Ok(match self {
            Self::Postgres(url) => Box::new(PostgresEngine::new(PgConnectOptions::from_str(url.reveal())?, name)),
            Self::Folder(folder) => Box::new(SqliteEngine::new(sqlite_options(folder, SqliteFile::Log))),
        })
    }

    /// On SQLite, takes what was deleted out of a file's write-ahead log, too; PostgreSQL vacuums by itself.
    ///
    /// # Errors
    /// The file cannot be written, or somebody reads for so long that what was deleted stays there for now.
    pub async fn clean(&self, file: SqliteFile) -> Result<(), sqlx::Error> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let mut connection = sqlite_options(folder, file).connect().await?;
        let was_busy: i64 = sqlx::query_scalar("pragma wal_checkpoint(truncate)").fetch_one(&mut connection).await?;
        connection.close().await?;
        match was_busy {
            0 => Ok(()),
            _ => Err(sqlx::Error::Protocol("somebody reads what is to be taken out of the write-ahead log".into())),
        }
    }
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached or read.
    #[error("the database cannot be opened")]
    Database(#[from] sqlx::Error),
    /// Its schema is not that of this release.
    #[error("the database is not migrated; run `vinculum migrate`")]
    NotMigrated,
    /// A migration failed.
    #[error("the database cannot be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// An acknowledged event could be lost.
    #[error("the database could lose what it acknowledged: {}", list(.0))]
    NotDurable(Vec<Weakness>),
}

/// Weaknesses in one line.
pub(crate) fn list(weaknesses: &[Weakness]) -> String {
    weaknesses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How a connection to a SQLite file of ours is set up, but for those of pools: these sort whole views, which must not happen
/// in memory.
pub(crate) fn sqlite_options(folder: &Path, file: SqliteFile) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(file.name()))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_WAIT)
        .pragma("temp_store", "memory") // what a statement would need to be undone goes into no file
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("secure_delete", "on") // what is erased leaves no bytes in free pages
}

async fn sqlite_pool(
    folder: &Path,
    file: SqliteFile,
    connections_max: u32,
    synchronous: &str,
) -> Result<AnyPool, OpenError> {
    let path = std::path::absolute(folder.join(file.name())).map_err(sqlx::Error::Io)?.display().to_string();
    // The driver for any database takes a URL, and folders may be named with what stands for something else there.
    let url = format!("sqlite://{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23"));
    let busy_ms = SQLITE_BUSY_WAIT.as_millis();
    let set_up: &'static str =
        format!("pragma synchronous = {synchronous}; pragma busy_timeout = {busy_ms}; pragma secure_delete = on")
            .leak(); // once for each pool
    let open = async || -> Result<AnyPool, OpenError> {
        // The first connection makes the file and switches it to WAL.
        sqlite_options(folder, file).connect().await?.close().await?;
        open_pool(&url, connections_max, Some(set_up)).await
    };
    let until = Instant::now() + SQLITE_BUSY_WAIT;
    loop {
        match open().await {
            // While others make the same file, or leave it, SQLite does not wait by itself.
            Err(OpenError::Database(error)) if is_busy(&error) && Instant::now() < until => {
                tokio::time::sleep(SQLITE_BUSY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Whether SQLite says that others have locked the file, in any of that code's variants.
fn is_busy(error: &sqlx::Error) -> bool {
    const PRIMARY: u32 = 0xff;
    const BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & PRIMARY == BUSY)
}

async fn open_pool(url: &str, connections_max: u32, set_up: Option<&'static str>) -> Result<AnyPool, OpenError> {
    sqlx::any::install_default_drivers();
    let options = AnyConnectOptions::from_str(url)?.log_statements(tracing::log::LevelFilter::Off);
    let pool = AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(CONNECTION_WAIT)
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                let is_far = connection.backend_name() == <sqlx::Postgres as sqlx::Database>::NAME;
                let is_trusted = !is_far || used.idle_for < IDLE_TRUSTED;
                Ok(is_trusted || matches!(tokio::time::timeout(PING_WAIT, connection.ping()).await, Ok(Ok(()))))
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                match set_up {
                    Some(sql) => connection.execute(sqlx::raw_sql(sql)).await.map(drop),
                    None => Ok(()),
                }
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}
