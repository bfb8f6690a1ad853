//! The log as the rest of the house sees it: execute a command, ask what it would do, read events.

use std::collections::HashMap;
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
use sqlx::postgres::{PgPool, PgPoolCopyExt as _};
use sqlx::{AnyPool, AssertSqlSafe};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::appender::Appender;
use crate::clock::Clock;
use crate::copied::{self, Copied};
use crate::decider::{Decider, Purpose, Queued, is_about};
use crate::engine::KEYS_WORTH_A_RANGE;
use crate::envelope::{self, Sealed, UnreadableEvent};
use crate::gather::Gather;
use crate::location::{Location, OpenError, SqliteFile, list};
use crate::memory::{Memory, Remembered};
use crate::random;
use crate::seal::{KeyRing, NamedKey, PersonKey};
use crate::turns::Turns;
use crate::working::identities;

/// Commands that may wait for the appender; past it callers are told to come back.
const QUEUE_MAX: usize = 1_024;
/// Connections for reading the log and for working state.
const CONNECTIONS_MAX: u32 = 8;
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
        let (mut writer, reader) = (location.engine(APPENDER)?, location.engine(READER)?);
        let weaknesses = writer.weaknesses().await?;
        if !weaknesses.is_empty() {
            return Err(OpenError::NotDurable(weaknesses));
        }
        let pool = location.pool(CONNECTIONS_MAX).await?;
        if !crate::migrate::is_migrated(&pool, &location).await? {
            return Err(OpenError::NotMigrated);
        }
        let copying = location.copying_pool(PAGES_AHEAD)?;
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
        let turns = self.turns.take(&self.missing(&command, &boundary).1).await;
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

    /// How often the memory has been cleared, and the subjects of a command's boundary that have to be loaded.
    fn missing(&self, command: &Command, boundary: &[Read]) -> (u64, Vec<Subject>) {
        let fresh = command.fresh_subject();
        let memory = self.memory.lock().expect("invariant: nobody panics while holding it");
        let read = boundary.iter().map(|read| &read.subject);
        let missing = read.filter(|subject| fresh.as_ref() != Some(subject) && !memory.contains(subject));
        (memory.cleared, missing.cloned().collect())
    }

    /// Loads the subjects of a command's boundary that are not in memory.
    async fn load_boundary(
        &self,
        command: &Command,
        boundary: &[Read],
    ) -> Result<(u64, Vec<(Subject, Remembered)>), ReadError> {
        let nothing = |subject: Subject| (subject.clone(), Remembered::loaded(Known::nothing(&subject), 0));
        let mut loaded: Vec<_> = command.fresh_subject().map(nothing).into_iter().collect();
        let (cleared, missing) = self.missing(command, boundary);
        for subject in missing {
            let head = select_head(&self.pool).await?;
            let events = self.events_about(&subject).await?;
            let seen = events.last().map_or(head, |event| head.max(event.position));
            let mut known = Known::nothing(&subject);
            events.iter().for_each(|event| known.evolve(event));
            loaded.push((subject, Remembered::loaded(known, seen)));
        }
        Ok((cleared, loaded))
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

    /// Takes what was deleted out of the files, too; see [`Location::clean`].
    ///
    /// # Errors
    /// See there.
    pub async fn clean_files(&self) -> Result<(), ReadError> {
        for file in [SqliteFile::Log, SqliteFile::Views] {
            self.location.clean(file).await?;
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

/// Reads the durability settings from time to time, as long as anybody uses the store.
async fn watch_durability(location: Location, is_durable: std::sync::Weak<AtomicBool>) {
    let mut every = tokio::time::interval(DURABILITY_CHECK_EVERY);
    every.tick().await;
    loop {
        every.tick().await;
        let Some(is_durable) = is_durable.upgrade() else { return };
        let Ok(mut engine) = location.engine(READER) else { continue };
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
