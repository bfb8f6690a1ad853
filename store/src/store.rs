//! The log as the rest of the house sees it: execute a command, ask what it would do, read events.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::caller::{Caller, Request};
use domain::command::{Command, Read};
use domain::decide::Known;
use domain::event::{Event, Position, Recorded};
use domain::refusal::Refusal;
use domain::tag::{Subject, TagKey};
use domain::time::Timestamp;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolCopyExt as _, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::appender::Appender;
use crate::clock::Clock;
use crate::copied::{self, Copied};
use crate::decider::{Decider, Purpose, Queued, is_about};
use crate::durability::Weakness;
use crate::engine::{Engine, KEYS_WORTH_A_RANGE, PostgresEngine, SqliteEngine};
use crate::envelope::{self, Sealed, UnreadableEvent};
use crate::gather::Gather;
use crate::memory::{Memory, Remembered};
use crate::random;
use crate::seal::{KeyRing, NamedKey, PersonKey};
use crate::secret::Secret;
use crate::turns::Turns;
use crate::working::identities;

/// Commands that may wait for the appender; past it callers are told to come back.
const QUEUE_MAX: usize = 1_024;
/// Connections for reading the log and for working state.
const CONNECTIONS_MAX: u32 = 8;
/// How long a reader waits for a connection before it is told to come back.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// A connection that has been idle for longer is asked whether anybody answers before it is used: the database's host may
/// have been lost without a word.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);
/// How long the answer may take.
const PING_WAIT: Duration = Duration::from_secs(1);
/// How often the durability settings are read again (T56).
const DURABILITY_CHECK_EVERY: Duration = Duration::from_secs(60);
/// Events that are read and opened in one go: tens of milliseconds of work, some megabytes. What a page of 1,000 costs by
/// itself is a fifth of the whole.
const PAGE: i64 = 10_000;
/// Pages that are read ahead of whoever goes through the log, so that every core has one to open.
const PAGES_AHEAD: usize = 6;
/// Envelopes of one row of a page: tens of kilobytes, which fit into what allocators and caches have at hand.
const ENVELOPES_PER_ROW: i64 = 100;
/// A page in a few rows, which cost the drivers far less than one for each event: the first position and the envelopes
/// from there on, one in each line. JSON leaves no line end in an envelope, and no position is left out.
const SELECT_PAGE: &str = "select min(e.position), string_agg(e.envelope, $3 order by e.position) from event e \
     where e.position > $1 and e.position <= $2 group by e.position / $4 order by 1";
/// Keys are read as a range only where one event in so many of a stretch of the log is read: else it is full of others.
const DENSE: usize = 2;
const KEYS_IN_RANGE: &str = "(select person, wrapped from person_key where person between $1 and $2 \
     order by person limit cast($3 as bigint)) as came";
/// What PostgreSQL shows as the names of the appender's two connections.
const APPENDER: &str = "vinculum appender";
const READER: &str = "vinculum reader";
/// How long SQLite waits for another writer.
const SQLITE_BUSY_WAIT: Duration = Duration::from_secs(10);
/// How long whoever opens a file that others have locked waits before the next try.
const SQLITE_BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Pages that SQLite collects in its write-ahead log, 16 MiB, before it carries them over: most are written many times.
const WAL_PAGES: &str = "4000";

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
    fn select_subject(&self, limit: &str) -> String {
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

fn list(weaknesses: &[Weakness]) -> String {
    weaknesses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A command was not executed, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The decision was no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue is full.
    #[error("too many commands are waiting")]
    Busy,
    /// The database does not answer, or not in time. The command may have been executed.
    #[error("the log cannot be reached")]
    Unavailable,
    /// An acknowledged event could be lost, so none is accepted.
    #[error("the database's durability settings are too weak to write")]
    NotDurable,
}

/// A command was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What was appended; nothing where the wish was true already.
    pub events: Vec<Recorded>,
    /// The position up to which a reader must have read to see it.
    pub position: Position,
    /// Whether the request had its effect before, and these are the events of then.
    pub replayed: bool,
}

/// Events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database does not answer.
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
    /// An event is not readable by this release.
    #[error(transparent)]
    Event(#[from] UnreadableEvent),
    /// A person's key is there, but no configured sealing key unwraps it. To read on would show the person as erased.
    #[error("the key of person {person} cannot be unwrapped; a sealing key is missing from the configuration")]
    Key {
        /// Whose key.
        person: Uuid,
    },
}

/// A handle on the log; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: AnyPool,
    pub(crate) clock: Clock,
    location: Location,
    /// On PostgreSQL, for going through the log: a pool of the driver's own kind, which knows `copy`.
    copying: Option<PgPool>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) identities: Arc<identities::Remembered>,
    /// Up to where this node has forgotten the keys of erased persons.
    erased_until: Arc<AtomicI64>,
    erased: Arc<Gather<(), ()>>,
    memory: Arc<Mutex<Memory>>,
    turns: Arc<Turns>,
    queue: mpsc::Sender<Queued>,
    head: watch::Receiver<Position>,
    is_durable: Arc<AtomicBool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the log and starts its appender. The returned task ends once every clone of the store is dropped and the
    /// queue is worked off: wait for it before the process ends.
    ///
    /// # Errors
    /// The database cannot be reached, is not migrated, or its durability settings are weak.
    pub async fn open(
        location: Location,
        sealing_keys: Vec<NamedKey>,
        clock: Clock,
    ) -> Result<(Self, JoinHandle<()>), OpenError> {
        let (mut writer, reader) = (engine(&location, APPENDER)?, engine(&location, READER)?);
        let weaknesses = writer.weaknesses().await?;
        if !weaknesses.is_empty() {
            return Err(OpenError::NotDurable(weaknesses));
        }
        let pool = pool(&location, CONNECTIONS_MAX).await?;
        if !crate::migrate::is_migrated(&pool, &location).await? {
            return Err(OpenError::NotMigrated);
        }
        let copying = copying_pool(&location)?;
        let head_now = select_head(&pool).await?;
        let (head_sender, head) = watch::channel(head_now);
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let keys = Arc::new(KeyRing::new(sealing_keys));
        let memory = Arc::new(Mutex::new(Memory::new(head_now)));
        let is_durable = Arc::new(AtomicBool::new(true));
        let decider = Decider { memory: Arc::clone(&memory), keys: Arc::clone(&keys), clock: clock.clone() };
        let task = tokio::spawn(Appender::new(writer, reader, decider, waiting, head_sender).run());
        tokio::spawn(watch_durability(location.clone(), Arc::downgrade(&is_durable)));
        let turns = Arc::new(Turns::new());
        let (erased_until, erased) = (Arc::new(AtomicI64::new(0)), Arc::default());
        let identities = Arc::new(identities::Remembered::new());
        let store = Self {
            pool,
            clock,
            location,
            copying,
            keys,
            identities,
            erased_until,
            erased,
            memory,
            turns,
            queue,
            head,
            is_durable,
        };
        Ok((store, task))
    }

    /// Executes a command: decides it on the newest state, appends its events, and returns once they are durable.
    ///
    /// # Errors
    /// The command is refused, or cannot be executed now.
    pub async fn execute(&self, command: Command, caller: Caller, request: Request) -> Result<Executed, ExecuteError> {
        if !self.is_durable.load(Ordering::Relaxed) {
            return Err(ExecuteError::NotDurable);
        }
        self.send(command, caller, request, Purpose::Execute).await
    }

    /// Asks what a command would do now, by the very decision that executing it makes; appends nothing.
    ///
    /// # Errors
    /// The command would be refused, or cannot be decided now.
    pub async fn ask(&self, command: Command, caller: Caller, request: Request) -> Result<Vec<Event>, ExecuteError> {
        let executed = self.send(command, caller, request, Purpose::Ask).await?;
        Ok(executed.events.into_iter().map(|recorded| recorded.event).collect())
    }

    async fn send(
        &self,
        command: Command,
        caller: Caller,
        request: Request,
        purpose: Purpose,
    ) -> Result<Executed, ExecuteError> {
        let name = command.name();
        let unavailable = |error: ReadError| {
            tracing::error!(error = &error as &dyn std::error::Error, command = name, "the log could not be read");
            ExecuteError::Unavailable
        };
        let boundary = command.boundary(&caller);
        let turns = self.turns.take(&self.missing(&command, &boundary)).await;
        let loaded = self.load_boundary(&command, &boundary).await.map_err(unavailable)?;
        let forgotten = self.keys.forgotten();
        let (person_key, fresh_key) = self.person_key(&command).await.map_err(unavailable)?;
        let (answer, answered) = oneshot::channel();
        let queued = Queued {
            command,
            caller,
            request,
            purpose,
            boundary,
            loaded,
            person_key,
            fresh_key,
            forgotten,
            has_fallen: false,
            answer,
        };
        self.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ExecuteError::Busy,
            mpsc::error::TrySendError::Closed(_) => ExecuteError::Unavailable,
        })?;
        drop(turns); // whoever is next finds in memory what was loaded, as soon as the appender has taken it
        answered.await.unwrap_or(Err(ExecuteError::Unavailable))
    }

    /// The subjects of a command's boundary that have to be loaded.
    fn missing(&self, command: &Command, boundary: &[Read]) -> Vec<Subject> {
        let fresh = command.fresh_subject();
        let memory = self.memory.lock().expect("invariant: nobody panics while holding it");
        let read = boundary.iter().map(|read| &read.subject);
        read.filter(|subject| fresh.as_ref() != Some(subject) && !memory.contains(subject)).cloned().collect()
    }

    /// Loads the subjects of a command's boundary that are not in memory.
    async fn load_boundary(
        &self,
        command: &Command,
        boundary: &[Read],
    ) -> Result<Vec<(Subject, Remembered)>, ReadError> {
        let nothing = |subject: Subject| (subject.clone(), Remembered::loaded(Known::nothing(&subject), 0));
        let mut loaded: Vec<_> = command.fresh_subject().map(nothing).into_iter().collect();
        for subject in self.missing(command, boundary) {
            let head = select_head(&self.pool).await?;
            let events = self.events_about(&subject).await?;
            let seen = events.last().map_or(head, |event| head.max(event.position));
            let mut known = Known::nothing(&subject);
            events.iter().for_each(|event| known.evolve(event));
            loaded.push((subject, Remembered::loaded(known, seen)));
        }
        Ok(loaded)
    }

    /// The key of the person for whom the command seals something, and its wrapped form if the person is new.
    async fn person_key(
        &self,
        command: &Command,
    ) -> Result<(Option<(Uuid, PersonKey)>, Option<(Uuid, String)>), ReadError> {
        if let Some(person) = command.fresh_person() {
            let key = self.keys.fresh();
            let wrapped = self.keys.wrap(person.id(), &key);
            return Ok((Some((person.id(), key)), Some((person.id(), wrapped))));
        }
        let Some(person) = command.known_person() else { return Ok((None, None)) };
        let mut keys = self.open_keys(vec![person.id()], None, None).await?;
        Ok((keys.remove_entry(&person.id()), None))
    }

    /// Reads the `limit` events after a position, in order; fewer only where the log ends.
    ///
    /// # Errors
    /// The log cannot be read, or an event in it is not readable by this release.
    pub async fn page(&self, after: Position, limit: i64) -> Result<Vec<Recorded>, ReadError> {
        let rows: Vec<(Position, String)> = sqlx::query_as(SELECT_PAGE)
            .bind(after)
            .bind(after.saturating_add(limit))
            .bind("\n")
            .bind(ENVELOPES_PER_ROW)
            .fetch_all(&self.pool)
            .await?;
        self.open_rows(rows.iter().flat_map(|(first, envelopes)| (*first..).zip(envelopes.split('\n')))).await
    }

    /// Reads the events after one position up to another, page by page, in order. While the caller is busy with a page
    /// the next ones are read, on all cores.
    pub fn pages(
        &self,
        after: Position,
        until: Position,
    ) -> impl Stream<Item = Result<Vec<Recorded>, ReadError>> + Send + Unpin + use<> {
        let store = self.clone();
        let pages = (after..until).step_by(PAGE as usize).map(move |after| {
            let store = store.clone();
            async move { tokio::spawn(async move { store.copied_page(after, PAGE.min(until - after)).await }).await }
        });
        let pages = futures::stream::iter(pages).buffered(PAGES_AHEAD);
        pages.map(|page| page.expect("invariant: to read a page does not panic"))
    }

    /// A page, which costs PostgreSQL half as much where it goes through many: `copy` has no parameters, so each is planned
    /// anew, but it does nothing with the rows that it finds.
    async fn copied_page(&self, after: Position, limit: i64) -> Result<Vec<Recorded>, ReadError> {
        let Some(pool) = &self.copying else { return self.page(after, limit).await };
        let mut messages = pool.copy_out_raw(&copied::select_page(after, limit)).await?;
        let (mut copied, mut closed) = (Copied::default(), Closed::default());
        while let Some(message) = messages.try_next().await? {
            if let Some((position, envelope)) = copied.row(&message)? {
                closed.read(position, envelope)?;
            }
        }
        copied.end()?;
        drop(messages); // and give the connection back
        self.open_closed(closed, Some(pool)).await
    }

    /// Reads every event about a subject, in order.
    ///
    /// # Errors
    /// The log cannot be read, or an event in it is not readable by this release.
    pub async fn events_about(&self, subject: &Subject) -> Result<Vec<Recorded>, ReadError> {
        let rows: Vec<(Position, String)> = sqlx::query_as(AssertSqlSafe(self.location.select_subject("")))
            .bind(TagKey::first(subject).0)
            .bind(TagKey::last(subject).0)
            .bind(0_i64)
            .fetch_all(&self.pool)
            .await?;
        let events = self.open_rows(as_texts(&rows)).await?;
        Ok(events.into_iter().filter(|event| is_about(event, subject)).collect())
    }

    /// Reads at most `limit` events about a subject after a position, in order; none only where there are no more.
    ///
    /// # Errors
    /// The log cannot be read, or an event in it is not readable by this release.
    pub async fn page_about(
        &self,
        subject: &Subject,
        mut after: Position,
        limit: i64,
    ) -> Result<Vec<Recorded>, ReadError> {
        let select = self.location.select_subject("order by t.position limit $4");
        loop {
            let rows: Vec<(Position, String)> = sqlx::query_as(AssertSqlSafe(select.clone()))
                .bind(TagKey::first(subject).0)
                .bind(TagKey::last(subject).0)
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
            let Some((last, _)) = rows.last() else { return Ok(Vec::new()) };
            after = *last;
            let mut events = self.open_rows(as_texts(&rows)).await?;
            events.retain(|event| is_about(event, subject));
            if !events.is_empty() {
                return Ok(events); // else the whole page was of subjects with the same key
            }
        }
    }

    /// Reads the newest position.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn head(&self) -> Result<Position, ReadError> {
        Ok(select_head(&self.pool).await?)
    }

    /// Follows the newest position that this node has appended; other nodes' appends do not show here.
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }

    /// Where the log is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Draws an id for something that rows of tables are kept by; see [`random::ordered_uuid`].
    pub fn fresh_id(&self) -> Uuid {
        random::ordered_uuid(self.clock.now())
    }

    /// The clock that commands are decided by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads the envelopes of stored rows, with the keys of their persons.
    async fn open_rows<'a>(&self, rows: impl Iterator<Item = (Position, &'a str)>) -> Result<Vec<Recorded>, ReadError> {
        let mut closed = Closed::default();
        for (position, envelope) in rows {
            closed.read(position, envelope)?;
        }
        self.open_closed(closed, None).await
    }

    /// Opens the personal parts of events with the keys of their persons.
    async fn open_closed(
        &self,
        Closed { mut events, sealed }: Closed,
        copying: Option<&PgPool>,
    ) -> Result<Vec<Recorded>, ReadError> {
        let is_dense =
            |(first, last): &(&Recorded, &Recorded)| (last.position - first.position) as usize <= DENSE * events.len();
        let stretch = events.first().zip(events.last()).filter(is_dense);
        let came = stretch.map(|(first, last)| (first.recorded_at, last.recorded_at));
        let keys = self.open_keys(sealed.iter().map(|(_, part)| part.person).collect(), came, copying).await?;
        for (place, part) in sealed {
            if let Some(key) = keys.get(&part.person) {
                part.open_in(&mut events[place], key);
            }
        }
        Ok(events)
    }

    /// Forgets the keys that another node has destroyed.
    async fn forget_erased(&self) -> Result<(), ReadError> {
        let until = self.erased_until.load(Ordering::Relaxed);
        let rows: Vec<(i64, String)> =
            sqlx::query_as("select number, person from erased_person where number > $1 order by number")
                .bind(until)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().filter_map(|(_, person)| person.parse().ok()).for_each(|person| self.keys.forget(person));
        if let Some((newest, _)) = rows.last() {
            self.erased_until.fetch_max(*newest, Ordering::Relaxed);
        }
        Ok(())
    }

    /// On SQLite, takes what was deleted out of the files, too; PostgreSQL vacuums by itself.
    ///
    /// # Errors
    /// The database does not answer, or somebody reads for so long that what was deleted stays in a file for now.
    pub async fn clean_files(&self) -> Result<(), ReadError> {
        if let Location::Folder(folder) = &self.location {
            for file in ["log.db", "views.db"] {
                let mut connection = sqlite_options(folder, file).connect().await?;
                is_truncated(sqlx::query_scalar(TRUNCATE_WAL).fetch_one(&mut connection).await?)?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// The keys of these persons, as far as they still exist; they stay in memory for a while. `came` is when persons came
    /// into what is read, if it is a stretch of the log; where that is copied, `copying` has connections at hand.
    pub(crate) async fn open_keys(
        &self,
        mut persons: Vec<Uuid>,
        came: Option<(Timestamp, Timestamp)>,
        copying: Option<&PgPool>,
    ) -> Result<HashMap<Uuid, PersonKey>, ReadError> {
        persons.sort_unstable();
        persons.dedup();
        let mut keys = self.keys.remembered_of(&persons);
        if !keys.is_empty() {
            self.erased.get((), |_| async { self.forget_erased().await.map(|()| HashMap::new()) }).await?;
            keys = self.keys.remembered_of(&keys.into_keys().collect::<Vec<_>>());
        }
        persons.retain(|person| !keys.contains_key(person));
        if let Some((from, to)) = came {
            let range = random::ordered_uuids(from, to);
            let count = persons.iter().filter(|person| range.contains(*person)).count();
            if count >= KEYS_WORTH_A_RANGE {
                let most = count * 2; // and not all of those who came at that time with others
                let binds = [range.start().to_string(), range.end().to_string(), most.to_string()];
                keys.extend(self.select_keys(KEYS_IN_RANGE, &binds, &persons, copying).await?);
                persons.retain(|person| !keys.contains_key(person));
            }
        }
        if !persons.is_empty() {
            let select = format!("person_key where {}", self.location.is_listed("person"));
            let list = serde_json::to_string(&persons).expect("invariant: a list of ids is JSON");
            keys.extend(self.select_keys(&select, &[list], &persons, copying).await?);
        }
        Ok(keys)
    }

    /// Reads keys of `persons`. One text with a line for each key costs the drivers far less than as many rows.
    async fn select_keys(
        &self,
        from: &str,
        binds: &[String],
        persons: &[Uuid],
        copying: Option<&PgPool>,
    ) -> Result<Vec<(Uuid, PersonKey)>, ReadError> {
        let forgotten = self.keys.forgotten();
        let select = AssertSqlSafe(format!("select string_agg(person || ' ' || wrapped, '\n') from {from}"));
        let found: Option<String> = match copying {
            Some(pool) => {
                let select = sqlx::query_scalar(select);
                binds.iter().fold(select, |select, bind| select.bind(bind)).fetch_one(pool).await?
            }
            None => {
                let select = sqlx::query_scalar(select);
                binds.iter().fold(select, |select, bind| select.bind(bind)).fetch_one(&self.pool).await?
            }
        };
        let mut read = Vec::new();
        for (person, wrapped) in found.iter().flat_map(|found| found.lines()).filter_map(|line| line.split_once(' ')) {
            let Ok(person) = person.parse() else { continue }; // not written by us
            if persons.binary_search(&person).is_ok() {
                let key = self.keys.unwrap(person, wrapped).map_err(|_| ReadError::Key { person })?;
                read.push((person, key));
            }
        }
        self.keys.remember(read.iter().cloned(), forgotten);
        Ok(read)
    }
}

/// Events whose personal parts are still sealed.
#[derive(Default)]
struct Closed {
    events: Vec<Recorded>,
    /// Each with the place of its event.
    sealed: Vec<(usize, Sealed)>,
}

impl Closed {
    fn read(&mut self, position: Position, envelope: &str) -> Result<(), UnreadableEvent> {
        let (recorded, sealed) = envelope::read_closed(position, envelope)?;
        self.sealed.extend(sealed.map(|part| (self.events.len(), part)));
        self.events.push(recorded);
        Ok(())
    }
}

fn as_texts(rows: &[(Position, String)]) -> impl Iterator<Item = (Position, &str)> {
    rows.iter().map(|(position, envelope)| (*position, envelope.as_str()))
}

async fn select_head(pool: &AnyPool) -> Result<Position, sqlx::Error> {
    sqlx::query_scalar("select position from log_head").fetch_one(pool).await
}

fn engine(location: &Location, name: &str) -> Result<Box<dyn Engine>, OpenError> {
    Ok(match location {
        Location::Postgres(url) => Box::new(PostgresEngine::new(PgConnectOptions::from_str(url.reveal())?, name)),
        Location::Folder(folder) => Box::new(SqliteEngine::new(sqlite_options(folder, "log.db"))),
    })
}

/// How a connection to a SQLite file of ours is set up, but for those of pools: these sort whole views, which must not happen
/// in memory.
pub(crate) fn sqlite_options(folder: &std::path::Path, file: &str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(file))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_WAIT)
        .pragma("temp_store", "memory") // what a statement would need to be undone goes into no file
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("secure_delete", "on") // what is erased leaves no bytes in free pages
}

/// Opens a pool on the log's database.
pub(crate) async fn pool(location: &Location, connections_max: u32) -> Result<AnyPool, OpenError> {
    match location {
        Location::Postgres(url) => open_pool(url.reveal(), connections_max, None).await,
        Location::Folder(folder) => sqlite_pool(folder, "log.db", connections_max, "full").await,
    }
}

/// A pool that connects when it is used for the first time; none on SQLite.
fn copying_pool(location: &Location) -> Result<Option<PgPool>, OpenError> {
    let Location::Postgres(url) = location else { return Ok(None) };
    let options = PgConnectOptions::from_str(url.reveal())?.log_statements(tracing::log::LevelFilter::Off);
    // Whoever has one opens what it gives: more than there are processors, and a backend for each, only cost.
    let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) + 1;
    let pool = PgPoolOptions::new()
        .max_connections(count.min(PAGES_AHEAD) as u32)
        .acquire_timeout(CONNECTION_WAIT)
        .test_before_acquire(false);
    Ok(Some(pool.connect_lazy_with(options)))
}

/// Opens a pool on the views' database: the log's own on PostgreSQL, a file of its own on SQLite.
///
/// # Errors
/// The database cannot be reached.
pub async fn views_pool(location: &Location, connections_max: u32) -> Result<AnyPool, OpenError> {
    match location {
        // Views may commit without waiting for the disk: a crash loses rows and checkpoint together.
        Location::Postgres(url) => {
            open_pool(
                url.reveal(),
                connections_max,
                Some("set synchronous_commit = off; set search_path = views, public"),
            )
            .await
        }
        Location::Folder(folder) => sqlite_pool(folder, "views.db", connections_max, "normal").await,
    }
}

async fn sqlite_pool(
    folder: &std::path::Path,
    file: &str,
    connections_max: u32,
    synchronous: &str,
) -> Result<AnyPool, OpenError> {
    let path = std::path::absolute(folder.join(file)).map_err(sqlx::Error::Io)?.display().to_string();
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

/// Carries the write-ahead log over into its file and empties it; see [`is_truncated`].
pub const TRUNCATE_WAL: &str = "pragma wal_checkpoint(truncate)";

/// Reads the answer to [`TRUNCATE_WAL`]: 1 if somebody was in the way.
///
/// # Errors
/// Somebody was.
pub fn is_truncated(was_busy: i64) -> Result<(), sqlx::Error> {
    match was_busy {
        0 => Ok(()),
        _ => Err(sqlx::Error::Protocol("somebody reads what is to be taken out of the write-ahead log".into())),
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

/// Reads the durability settings from time to time, as long as anybody uses the store.
async fn watch_durability(location: Location, is_durable: std::sync::Weak<AtomicBool>) {
    let mut every = tokio::time::interval(DURABILITY_CHECK_EVERY);
    every.tick().await;
    loop {
        every.tick().await;
        let Some(is_durable) = is_durable.upgrade() else { return };
        let Ok(mut engine) = engine(&location, READER) else { continue };
        if let Ok(weaknesses) = engine.weaknesses().await {
            if !weaknesses.is_empty() {
                tracing::error!(
                    settings = list(&weaknesses),
                    "the database's durability settings are too weak to write"
                );
            }
            is_durable.store(weaknesses.is_empty(), Ordering::Relaxed);
        }
        engine.give_up().await;
    }
}
