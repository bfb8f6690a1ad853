//! The one writer of a node: decides commands one after the other, each on the pending state of the one before, and
//! appends all that were decided meanwhile as one batch in one transaction.
//!
//! While a batch is on its way to the disk, the next one is decided, upon what the first one holds. What falls, because
//! another node was faster, is decided again under the lock, with whatever was decided upon it, so that no node starves.
//!
//! Reading order: [`Appender::run`] takes commands, `prepare` decides them in memory, `fly` appends what was prepared,
//! `settle` answers whoever stands, `decide_again` sees to whoever fell.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::caller::{Caller, Context, Request};
use domain::command::{Command, Read};
use domain::decide::{Known, Past, decide};
use domain::event::{Event, Position, Recorded};
use domain::ids::EventId;
use domain::refusal::Refusal;
use domain::tag::{Class, RequestKey, Subject, TagKey};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::engine::{BatchCommand, Check, Engine, Verdicts};
use crate::envelope;
use crate::memory::{Memory, Remembered};
use crate::random;
use crate::seal::{KeyRing, PersonKey};
use crate::store::{ExecuteError, Executed};

/// Commands in one batch: keeps the lock short and the statement small.
const BATCH_MAX: usize = 512;
/// Commands that are prepared at a stretch while a batch is under way: its answer is looked for in between.
const PREPARED_AT_ONCE: usize = 16;
/// A batch that takes this many times as long to append as to prepare waits for the disk more than for us: then a full
/// batch, for which callers that were just answered are waited for, is worth more than two halves, one of which is
/// prepared while the other one is under way.
const SLOW: u32 = 4;
/// One command in so many that met what others had appended makes a batch a busy one: to ask before deciding is then
/// cheaper than to decide twice.
const BUSY: usize = 4;
/// For how many batches after a busy one commands are not decided ahead: what falls is loaded whole, which takes longer
/// than to ask many times.
const BUSY_FOR: usize = 64;
/// How often callers that were just answered are let in before a full batch leaves.
const YIELDS_BEFORE_BATCH: usize = 3;

/// What a caller wants of the appender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Decide and append.
    Execute,
    /// Decide and tell what would be appended.
    Ask,
}

/// A command in the queue.
pub(crate) struct Queued {
    pub command: Command,
    pub caller: Caller,
    pub request: Request,
    pub purpose: Purpose,
    /// What the decision reads.
    pub boundary: Vec<Read>,
    /// States that the caller's task loaded because they were not in memory.
    pub loaded: Vec<(Subject, Remembered)>,
    /// The key of the person for whom the command seals something.
    pub person_key: Option<(Uuid, PersonKey)>,
    /// The same key, wrapped for storage, of a person who is new.
    pub fresh_key: Option<(Uuid, String)>,
    /// Whether another node was faster once: then it is decided under the lock.
    pub has_fallen: bool,
    pub answer: oneshot::Sender<Result<Executed, ExecuteError>>,
}

/// A command that was decided, and what it appends.
struct Decided {
    queued: Queued,
    /// The edition of each state that the decision was made on.
    editions: Vec<u64>,
    outcome: Result<Vec<Recorded>, Refusal>,
    batch: BatchCommand,
}

impl Decided {
    fn has_effect(&self) -> bool {
        self.queued.purpose == Purpose::Execute && self.outcome.as_ref().is_ok_and(|recorded| !recorded.is_empty())
    }

    /// Takes note that the command does not come to pass as it was decided.
    fn undo(self, memory: &mut Memory) -> Queued {
        if self.has_effect() {
            for (read, edition) in self.queued.boundary.iter().zip(&self.editions) {
                if memory.peek(&read.subject).is_some_and(|remembered| remembered.edition() == *edition) {
                    memory.spoil(&read.subject);
                }
            }
        }
        self.queued
    }
}

/// The next batch, as far as it is prepared.
#[derive(Default)]
struct Prepared {
    decided: Vec<Decided>,
    /// Commands whose states are not in memory, or are to be brought up to date first.
    undecided: Vec<Queued>,
    /// Commands whose requests are in this batch or in the one under way: they are told what came of those.
    held: Vec<Queued>,
    requests: HashSet<RequestKey>,
    /// What commands of this batch append about without having read it: no state of it is complete until then.
    incomplete: HashSet<Subject>,
    /// Whether it is so busy where we are that nothing is decided ahead.
    is_busy: bool,
    /// How long it took.
    time: Duration,
}

impl Prepared {
    fn len(&self) -> usize {
        self.decided.len() + self.undecided.len() + self.held.len()
    }
}

/// How the last batches went.
#[derive(Default)]
struct Pace {
    commands: usize,
    is_slow: bool,
    /// How many of the commands read what another node had appended meanwhile.
    met_others: usize,
    /// How many of the commands fell although their states had just been brought up to date.
    fell_again: usize,
    /// For how many batches more nothing is decided ahead.
    busy_for: usize,
    /// For how many batches more the lock is taken first: nodes meet on the same few subjects.
    hot_for: usize,
}

impl Pace {
    /// Begins a batch.
    fn begin(&mut self, commands: usize) {
        let are_many = |some: usize| some * BUSY > self.commands;
        let is_hot = are_many(self.fell_again) || (self.hot_for > 0 && are_many(self.met_others));
        self.hot_for = if is_hot { BUSY_FOR } else { self.hot_for.saturating_sub(1) };
        self.busy_for = if are_many(self.met_others) { BUSY_FOR } else { self.busy_for.saturating_sub(1) };
        (self.commands, self.met_others, self.fell_again) = (commands, 0, 0);
    }
}

pub(crate) struct Appender {
    engine: Box<dyn Engine>,
    queue: mpsc::Receiver<Queued>,
    decider: Decider,
    head: watch::Sender<Position>,
    pace: Pace,
}

impl Appender {
    pub fn new(
        engine: Box<dyn Engine>,
        queue: mpsc::Receiver<Queued>,
        decider: Decider,
        head: watch::Sender<Position>,
    ) -> Self {
        Self { engine, queue, decider, head, pace: Pace::default() }
    }

    /// Works until every sender of the queue is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut prepared = Prepared::default();
        loop {
            if prepared.len() == 0 {
                let mut taken = Vec::new();
                if self.queue.recv_many(&mut taken, BATCH_MAX).await == 0 {
                    return;
                }
                self.decider.prepare(taken, &mut prepared, &HashSet::new());
            }
            if self.pace.is_slow || prepared.is_busy {
                self.let_in(&mut prepared).await;
            }
            prepared = self.fly(prepared).await;
        }
    }

    /// Lets callers that were just answered join the batch.
    async fn let_in(&mut self, prepared: &mut Prepared) {
        for _ in 0..YIELDS_BEFORE_BATCH {
            if prepared.len() + self.queue.len() >= self.pace.commands.min(BATCH_MAX) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.take_along(prepared);
    }

    /// Takes what is in the queue, at most `room` commands.
    fn waiting(&mut self, room: usize) -> Vec<Queued> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).take(room).collect()
    }

    /// Appends a batch and answers everybody in it. Returns the next one, prepared meanwhile, with what fell.
    async fn fly(&mut self, mut flight: Prepared) -> Prepared {
        self.pace.begin(flight.len());
        let mut next = Prepared { is_busy: self.pace.busy_for > 0, ..Prepared::default() };
        if !flight.undecided.is_empty() {
            flight.is_busy = true; // whoever comes along is decided with them
            match self.pace.hot_for {
                0 => self.decide_fresh(&mut flight).await,
                _ => self.decide_hot(&mut flight).await,
            }
        }
        let (expected, mut fallen) = self.decider.finish(&mut flight.decided);
        let mut decided = std::mem::take(&mut flight.decided);
        if !decided.is_empty() {
            let batch: Vec<_> = decided.iter_mut().map(|decided| std::mem::take(&mut decided.batch)).collect();
            let began = Instant::now();
            let appended = self.append(expected, &batch, &flight.requests, &mut next).await;
            self.pace.is_slow = began.elapsed() > SLOW * (flight.time + next.time);
            match appended {
                Ok(verdicts) => fallen.extend(self.settle(decided, &batch, &verdicts)),
                Err(error) => {
                    let unanswered = decided.into_iter().map(|decided| decided.queued).chain(fallen.drain(..));
                    self.fail(unanswered.collect(), &error).await;
                }
            }
        }
        if !fallen.is_empty() {
            let built_upon_them = self.decider.take_those_built_upon(&fallen, &mut next);
            fallen.extend(built_upon_them);
            if fallen.iter().any(|queued| queued.has_fallen) {
                self.pace.fell_again += fallen.iter().filter(|queued| queued.has_fallen).count();
                self.decide_again(fallen, None).await;
            } else {
                // They come along with the next batch, before whatever else waits for its states.
                next.requests.extend(fallen.iter().filter_map(|queued| queued.request.key));
                fallen.iter_mut().for_each(|queued| queued.has_fallen = true);
                next.undecided.splice(..0, fallen);
            }
        }
        next.undecided.splice(..0, flight.undecided);
        let held = flight.held.into_iter().chain(std::mem::take(&mut next.held)).collect();
        self.decider.prepare(held, &mut next, &HashSet::new());
        next
    }

    /// Brings the states of what waits for them up to date, and decides. Nobody is kept from appending meanwhile, so it
    /// may fall all the same. What reads something that the batch itself has not yet appended waits for the next one.
    async fn decide_fresh(&mut self, flight: &mut Prepared) {
        self.take_along(flight);
        let undecided = self.decider.take_undecided(flight);
        let reads_incomplete =
            |queued: &Queued| queued.boundary.iter().any(|read| flight.incomplete.contains(&read.subject));
        let (waiting, undecided) = undecided.into_iter().partition(reads_incomplete);
        flight.undecided = waiting;
        let known = lock(&self.decider.memory).head;
        match self.bring_up_to_date(&undecided, known).await {
            Ok(_) => self.decider.decide(undecided, flight),
            Err(error) => self.fail(undecided, &error).await,
        }
    }

    /// Decides and appends what waits for its states under the lock.
    async fn decide_hot(&mut self, flight: &mut Prepared) {
        let undecided = self.decider.take_undecided(flight);
        self.decide_again(undecided, Some(flight)).await;
    }

    /// Takes along whoever came while a batch waited.
    fn take_along(&mut self, flight: &mut Prepared) {
        let room = BATCH_MAX.saturating_sub(flight.len());
        let waiting = self.waiting(room);
        self.decider.prepare(waiting, flight, &HashSet::new());
    }

    /// Appends a batch, and prepares the commands that arrive meanwhile.
    async fn append(
        &mut self,
        expected: Position,
        batch: &[BatchCommand],
        under_way: &HashSet<RequestKey>,
        next: &mut Prepared,
    ) -> Result<Verdicts, sqlx::Error> {
        let mut append = self.engine.append(expected, batch);
        let mut taken = Vec::with_capacity(PREPARED_AT_ONCE);
        let mut is_open = true;
        loop {
            let room = PREPARED_AT_ONCE.min(BATCH_MAX.saturating_sub(next.len()));
            tokio::select! {
                biased; // the first look sends the batch
                verdicts = &mut append => return verdicts,
                count = self.queue.recv_many(&mut taken, room), if room > 0 && is_open => {
                    is_open = count > 0;
                    self.decider.prepare(std::mem::take(&mut taken), next, under_way);
                }
            }
        }
    }

    /// Answers the commands that stand; returns those that fell.
    fn settle(&mut self, decided: Vec<Decided>, batch: &[BatchCommand], verdicts: &Verdicts) -> Vec<Queued> {
        let stand = |number: &usize| verdicts.stands(*number);
        let appended: usize =
            batch.iter().enumerate().filter(|(n, _)| stand(n)).map(|(_, command)| command.events.len()).sum();
        let head = verdicts.head_before + appended as Position;
        let memory = Arc::clone(&self.decider.memory);
        let mut memory = lock(&memory);
        memory.advance(verdicts.head_before, head);
        self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        let mut position = verdicts.head_before;
        let mut fallen = Vec::new();
        for (number, decided) in decided.into_iter().enumerate() {
            if stand(&number) {
                self.decider.answer(decided, &mut memory, &mut position, head);
            } else {
                fallen.push(decided.undo(&mut memory));
            }
        }
        self.pace.met_others += fallen.len();
        fallen
    }

    /// Decides commands under the lock: nothing newer can appear, so all of them stand. Whoever came while the lock was
    /// waited for comes along, if there is a batch to come along with.
    async fn decide_again(&mut self, fallen: Vec<Queued>, flight: Option<&mut Prepared>) {
        let (mut remaining, mut replays) = (fallen, Vec::new());
        let result = self.decide_locked(&mut remaining, flight, &mut replays).await;
        let error = match result {
            Ok((mut decided, head)) => {
                let batch: Vec<_> = decided.iter_mut().map(|decided| std::mem::take(&mut decided.batch)).collect();
                match self.engine.append_locked(head, &batch).await {
                    Ok(verdicts) => {
                        let fallen = self.settle(decided, &batch, &verdicts);
                        debug_assert!(fallen.is_empty(), "invariant: under the lock every command stands");
                        for (queued, answer) in replays {
                            let _ = queued.answer.send(answer);
                        }
                        return;
                    }
                    Err(error) => {
                        remaining = decided.into_iter().map(|decided| decided.queued).collect();
                        error
                    }
                }
            }
            Err(error) => error,
        };
        remaining.extend(replays.into_iter().map(|(queued, _)| queued));
        self.fail(remaining, &error).await;
    }

    /// Takes the lock, brings the states of what the commands read up to date, and decides. On an error every command
    /// is left in `remaining` or `replays`.
    async fn decide_locked(
        &mut self,
        remaining: &mut Vec<Queued>,
        flight: Option<&mut Prepared>,
        replays: &mut Vec<(Queued, Result<Executed, ExecuteError>)>,
    ) -> Result<(Vec<Decided>, Position), sqlx::Error> {
        let head = self.engine.lock().await?;
        if let Some(flight) = flight {
            self.take_along(flight);
            remaining.append(&mut flight.undecided);
        }
        let events = self.bring_up_to_date(remaining, head).await?;
        let decided = self.decider.decide_locked(std::mem::take(remaining), &events, replays);
        Ok((decided, head))
    }

    /// Brings the states that commands read up to `head`, or past it, as far as the log is by now. Returns what was newer.
    async fn bring_up_to_date(&mut self, commands: &[Queued], head: Position) -> Result<Vec<Recorded>, sqlx::Error> {
        self.pace.commands = self.pace.commands.max(commands.len());
        let newer = self.decider.newer(commands);
        let checks: Vec<Check> = newer.values().copied().collect();
        let rows = if checks.is_empty() { Vec::new() } else { self.engine.newer(&checks).await? };
        let events = self.open(rows).await?;
        // Positions appear in their order: whoever sees one has seen all before.
        let head = events.last().map_or(head, |newest| newest.position.max(head));
        let renewed = self.decider.catch_up(&newer, &events, head);
        let meets_others = |queued: &&Queued| queued.boundary.iter().any(|read| renewed.contains(&read.subject));
        self.pace.met_others += commands.iter().filter(meets_others).count();
        for subject in self.decider.missing(commands) {
            let rows = self.engine.load(TagKey::first(&subject), TagKey::last(&subject)).await?;
            let seen = rows.last().map_or(head, |(position, _)| head.max(*position));
            let mut known = Known::nothing(&subject);
            let events = self.open(rows).await?;
            events.iter().filter(|event| is_about(event, &subject)).for_each(|event| known.evolve(event));
            lock(&self.decider.memory).insert(subject, Remembered::loaded(known, seen));
        }
        Ok(events)
    }

    /// Opens the personal parts of events, with keys read on the same connection.
    async fn open(&mut self, rows: Vec<(Position, String)>) -> Result<Vec<Recorded>, sqlx::Error> {
        let keys = Arc::clone(&self.decider.keys);
        let missing: HashSet<Uuid> = rows
            .iter()
            .filter_map(|(_, envelope)| envelope::person(envelope))
            .filter(|person| keys.remembered(*person).is_none())
            .collect();
        if !missing.is_empty() {
            for (person, wrapped) in self.engine.person_keys(&missing.into_iter().collect::<Vec<_>>()).await? {
                let key = keys.unwrap(person, &wrapped).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                keys.remember(person, key);
            }
        }
        rows.into_iter()
            .map(|(position, text)| envelope::read(position, &text, |person| keys.remembered(person)))
            .collect::<Result<_, _>>()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }

    /// Answers that the log could not be written. What was committed, if anything, is found out by loading anew.
    async fn fail(&mut self, unanswered: Vec<Queued>, error: &sqlx::Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            commands = unanswered.len(),
            "the log could not be written"
        );
        self.engine.give_up().await;
        lock(&self.decider.memory).clear();
        for queued in unanswered {
            let _ = queued.answer.send(Err(ExecuteError::Unavailable));
        }
    }
}

/// What may be newer than the states in memory, or has a request's effect.
type Newer = HashMap<(Subject, Class), Check>;

/// Decides on the states in memory, and keeps them.
pub(crate) struct Decider {
    pub memory: Arc<Mutex<Memory>>,
    pub keys: Arc<KeyRing>,
    pub clock: Clock,
}

impl Decider {
    /// Decides commands as if everything decided before them had come to pass.
    fn prepare(&self, commands: Vec<Queued>, prepared: &mut Prepared, under_way: &HashSet<RequestKey>) {
        let began = Instant::now();
        let mut memory = lock(&self.memory);
        for mut queued in commands {
            if let Some(key) = queued.request.key {
                if let Some(events) = memory.requests.get(&key) {
                    let answer = replay(events, &queued.request);
                    let _ = queued.answer.send(answer); // a caller that has gone needs no answer
                    continue;
                }
                if under_way.contains(&key) || !prepared.requests.insert(key) {
                    prepared.held.push(queued);
                    continue;
                }
            }
            for (subject, loaded) in std::mem::take(&mut queued.loaded) {
                if !memory.contains(&subject) && !prepared.incomplete.contains(&subject) {
                    memory.insert(subject, loaded);
                }
            }
            if prepared.is_busy {
                prepared.undecided.push(queued);
                continue;
            }
            self.decide_ahead(&mut memory, queued, prepared);
        }
        prepared.time += began.elapsed();
    }

    /// Decides commands whose states were just brought up to date.
    fn decide(&self, commands: Vec<Queued>, prepared: &mut Prepared) {
        let began = Instant::now();
        let mut memory = lock(&self.memory);
        commands.into_iter().for_each(|queued| self.decide_ahead(&mut memory, queued, prepared));
        prepared.time += began.elapsed();
    }

    /// Decides one command as if everything decided before it had come to pass, unless its states are not in memory.
    fn decide_ahead(&self, memory: &mut Memory, queued: Queued, prepared: &mut Prepared) {
        let Some(editions) = editions(memory, &queued) else {
            prepared.undecided.push(queued);
            return;
        };
        let decided = self.decide_one(memory, queued, editions);
        for subject in take_effect(memory, &decided) {
            memory.forget(&subject);
            prepared.incomplete.insert(subject);
        }
        prepared.decided.push(decided);
    }

    /// Decides one command on the states in memory, which have these editions.
    fn decide_one(&self, memory: &Memory, queued: Queued, editions: Vec<u64>) -> Decided {
        let past: Past<'_> = queued
            .boundary
            .iter()
            .filter_map(|read| memory.peek(&read.subject).map(|remembered| (&read.subject, &remembered.known)))
            .collect();
        let now = self.clock.now().max(past.newest_at());
        let context = Context { now, caller: queued.caller.clone(), request: queued.request.clone() };
        let outcome = decide(&past, &queued.command, &context)
            .map(|events| events.into_iter().map(|event| record(event, &context)).collect::<Vec<_>>());
        let mut batch = BatchCommand::default();
        if let (Ok(recorded), Purpose::Execute) = (&outcome, queued.purpose) {
            batch.events = recorded.iter().map(|event| (write(event, &queued), index_tags(event))).collect();
            if !recorded.is_empty() {
                batch.person_keys.extend(queued.fresh_key.clone());
            }
            let erased = recorded.iter().filter_map(|recorded| recorded.event.erased_person());
            batch.person_keys.extend(erased.map(|person| (person.id(), String::new())));
        }
        Decided { queued, editions, outcome, batch }
    }

    /// Makes a batch ready to leave: what the database has to check, and which commands build on each other. Takes out
    /// the commands whose states have become others meanwhile. Tells the head that the batch is decided for.
    fn finish(&self, decided: &mut Vec<Decided>) -> (Position, Vec<Queued>) {
        let mut memory = lock(&self.memory);
        let mut out_of_date = Vec::new();
        let mut chains = Chains::default();
        for mut one in std::mem::take(decided) {
            let boundary = &one.queued.boundary;
            let is_current = boundary.iter().zip(&one.editions).all(|(read, edition)| {
                memory.peek(&read.subject).is_some_and(|remembered| remembered.edition() == *edition)
            });
            if is_current {
                one.batch.chain = chains.of(boundary.iter().map(|read| &read.subject));
                one.batch.checks = checks(&memory, &one.queued);
                decided.push(one);
            } else {
                out_of_date.push(one.undo(&mut memory));
            }
        }
        chains.settle(decided.iter_mut().map(|decided| &mut decided.batch.chain));
        (memory.head, out_of_date)
    }

    /// Takes out of a batch what is not decided, and what was decided about the same subjects.
    fn take_undecided(&self, prepared: &mut Prepared) -> Vec<Queued> {
        let mut undecided = std::mem::take(&mut prepared.undecided);
        let built_upon_them = self.take_those_built_upon(&undecided, prepared);
        undecided.extend(built_upon_them);
        undecided
    }

    /// Takes out of the next batch what was decided upon commands that have fallen, or upon one another after those.
    fn take_those_built_upon(&self, fallen: &[Queued], next: &mut Prepared) -> Vec<Queued> {
        let mut memory = lock(&self.memory);
        let mut subjects: HashSet<Subject> =
            fallen.iter().flat_map(|queued| &queued.boundary).map(|read| read.subject.clone()).collect();
        let mut taken = Vec::new();
        for decided in std::mem::take(&mut next.decided) {
            if decided.queued.boundary.iter().any(|read| subjects.contains(&read.subject)) {
                subjects.extend(decided.queued.boundary.iter().map(|read| read.subject.clone()));
                taken.push(decided.undo(&mut memory));
            } else {
                next.decided.push(decided);
            }
        }
        taken
    }

    /// Tells a caller what came of its command, which stands. `position` is that of the event before, and moves on.
    fn answer(&self, decided: Decided, memory: &mut Memory, position: &mut Position, head: Position) {
        let (has_effect, epoch) = (decided.has_effect(), memory.epoch);
        let Decided { queued, outcome, .. } = decided;
        for read in &queued.boundary {
            if let Some(remembered) = memory.get(&read.subject) {
                read.classes.iter().for_each(|class| remembered.confirm(*class, head, epoch));
                if has_effect {
                    remembered.holds(head);
                }
            }
        }
        let answer = outcome.map_err(ExecuteError::Refused).map(|mut recorded| {
            if has_effect {
                for event in &mut recorded {
                    *position += 1;
                    event.position = *position;
                }
                // A fresh key without effect was not stored, and the person may have another.
                if let (Some((person, key)), Some(_)) = (&queued.person_key, &queued.fresh_key) {
                    self.keys.remember(*person, key.clone());
                }
                for person in recorded.iter().filter_map(|recorded| recorded.event.erased_person()) {
                    self.keys.forget(person.id());
                }
                if let Some(key) = queued.request.key {
                    memory.requests.insert(key, recorded.clone());
                }
            }
            Executed { events: recorded, position: if has_effect { *position } else { head }, replayed: false }
        });
        let _ = queued.answer.send(answer); // a caller that has gone needs no answer; the command stands
    }

    /// What may be newer than the states in memory that these commands read: of every class, so that a state that is
    /// brought up to date is what it would be if it were loaded.
    fn newer(&self, commands: &[Queued]) -> Newer {
        let memory = lock(&self.memory);
        let mut newer = Newer::new();
        for queued in commands {
            for read in &queued.boundary {
                let whole = Read { subject: read.subject.clone(), classes: &Class::ALL };
                newer.extend(checks_of(&memory, &whole).map(|(class, check)| ((read.subject.clone(), class), check)));
            }
            if let Some(key) = queued.request.key {
                newer.insert((Subject::Request(key), Class::Decision), check_of_request(key));
            }
        }
        newer
    }

    /// Brings states in memory up to `head` by what is newer. A state that holds something newer still, of a class that
    /// was up to date when another one was not, is spoiled. Tells about what there was anything of others.
    fn catch_up(&self, newer: &Newer, events: &[Recorded], head: Position) -> HashSet<Subject> {
        let mut memory = lock(&self.memory);
        let mut renewed = HashSet::new();
        for event in events {
            for subject in event.event.subjects() {
                let asked = newer.get(&(subject.clone(), event.event.class()));
                if asked.is_none_or(|check| event.position <= check.seen) {
                    continue;
                }
                let Some(remembered) = memory.get(&subject) else { continue };
                if remembered.is_past(event.position) {
                    memory.spoil(&subject);
                } else {
                    remembered.known.evolve(event);
                    remembered.holds(event.position);
                }
                renewed.insert(subject);
            }
        }
        let epoch = memory.epoch;
        for (subject, class) in newer.keys() {
            if let Some(remembered) = memory.get(subject) {
                remembered.confirm(*class, head, epoch);
            }
        }
        renewed.iter().for_each(|subject| memory.renew(subject));
        renewed
    }

    /// The states that have to be loaded before these commands can be decided.
    fn missing(&self, commands: &[Queued]) -> HashSet<Subject> {
        let memory = lock(&self.memory);
        let read = commands.iter().flat_map(|queued| &queued.boundary).map(|read| &read.subject);
        read.filter(|subject| memory.peek(subject).is_none()).cloned().collect()
    }

    /// Decides commands whose states are up to date under the lock. Requests that had their effect before are replayed.
    fn decide_locked(
        &self,
        commands: Vec<Queued>,
        events: &[Recorded],
        replays: &mut Vec<(Queued, Result<Executed, ExecuteError>)>,
    ) -> Vec<Decided> {
        let mut done: HashMap<RequestKey, Vec<Recorded>> = HashMap::new();
        for event in events {
            if let Some(key) = event.request.key {
                done.entry(key).or_default().push(event.clone());
            }
        }
        let mut memory = lock(&self.memory);
        let read: HashSet<Subject> =
            commands.iter().flat_map(|queued| &queued.boundary).map(|read| read.subject.clone()).collect();
        let (mut all, mut touched) = (Vec::with_capacity(commands.len()), HashSet::new());
        for queued in commands {
            if let Some(events) = queued.request.key.and_then(|key| done.get(&key)) {
                let answer = replay(events, &queued.request);
                replays.push((queued, answer));
                continue;
            }
            let editions = editions(&mut memory, &queued).expect("invariant: every state was just brought to memory");
            let decided = self.decide_one(&memory, queued, editions);
            // All of them stand, so what one appends about what another reads takes effect there, too.
            for subject in take_effect(&mut memory, &decided) {
                evolve(&mut memory, &subject, &decided);
                touched.insert(subject);
            }
            all.push(decided);
        }
        for subject in touched {
            match read.contains(&subject) {
                true => memory.spoil(&subject),
                false => memory.forget(&subject),
            }
        }
        all
    }
}

/// The editions of the states that a command reads, if all of them are in memory.
fn editions(memory: &mut Memory, queued: &Queued) -> Option<Vec<u64>> {
    queued.boundary.iter().map(|read| memory.get(&read.subject).map(|remembered| remembered.edition())).collect()
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().expect("invariant: nobody panics while holding the memory")
}

fn write(recorded: &Recorded, queued: &Queued) -> String {
    let key = envelope::sealed_for(&recorded.event).and_then(|person| match &queued.person_key {
        Some((of, key)) if *of == person.id() => Some(key),
        _ => None,
    });
    envelope::write(recorded, key)
}

/// Whether an event stands under a subject; keys in the index may collide, tags in the envelope do not.
pub(crate) fn is_about(recorded: &Recorded, subject: &Subject) -> bool {
    match subject {
        Subject::Request(key) => recorded.request.key == Some(*key),
        _ => recorded.event.subjects().contains(subject),
    }
}

/// The answer to a request that had its effect before: the same events, or a refusal if something else is asked.
pub(crate) fn replay(events: &[Recorded], request: &Request) -> Result<Executed, ExecuteError> {
    let position = events.iter().map(|event| event.position).max().unwrap_or_default();
    if events.iter().any(|event| event.request.body != request.body) {
        return Err(ExecuteError::Refused(Refusal::IdempotencyKeyReused));
    }
    Ok(Executed { events: events.to_vec(), position, replayed: true })
}

/// Lets the events of a command take effect on the states that it has read. Returns what else they are about.
fn take_effect(memory: &mut Memory, decided: &Decided) -> Vec<Subject> {
    let mut others = Vec::new();
    if !decided.has_effect() {
        return others;
    }
    for recorded in decided.outcome.iter().flatten() {
        for subject in recorded.event.subjects() {
            match decided.queued.boundary.iter().find(|read| read.subject == subject) {
                Some(read) => {
                    let class = recorded.event.class();
                    debug_assert!(
                        read.classes.contains(&class),
                        "invariant: a command reads what it appends: {}",
                        decided.queued.command.name()
                    );
                    if let Some(remembered) = memory.get(&subject) {
                        remembered.known.evolve(recorded);
                    }
                }
                None => others.push(subject),
            }
        }
    }
    others
}

/// Lets the events of a command take effect on the state of something that it has not read.
fn evolve(memory: &mut Memory, subject: &Subject, decided: &Decided) {
    let events = decided.outcome.iter().flatten().filter(|recorded| recorded.event.subjects().contains(subject));
    if let Some(remembered) = memory.get(subject) {
        events.for_each(|recorded| remembered.known.evolve(recorded));
    }
}

/// What the database has to check for a command that is decided on the states in memory.
fn checks(memory: &Memory, queued: &Queued) -> Vec<Check> {
    let of_states = queued.boundary.iter().flat_map(|read| checks_of(memory, read)).map(|(_, check)| check);
    of_states.chain(queued.request.key.map(check_of_request)).collect()
}

fn checks_of(memory: &Memory, read: &Read) -> impl Iterator<Item = (Class, Check)> {
    let (remembered, epoch) = (memory.peek(&read.subject), memory.epoch);
    remembered.into_iter().flat_map(move |remembered| {
        read.classes.iter().map(move |class| {
            let tag = TagKey::new(&read.subject, *class);
            let always = !remembered.is_current(*class, epoch);
            (*class, Check { tag, seen: remembered.seen(*class), always })
        })
    })
}

fn check_of_request(key: RequestKey) -> Check {
    Check { tag: TagKey::new(&Subject::Request(key), Class::Decision), seen: 0, always: true }
}

fn record(event: Event, context: &Context) -> Recorded {
    Recorded {
        position: 0, // known once the batch is appended
        id: EventId(random::uuid()),
        recorded_at: context.now,
        actor: context.caller.actor.clone(),
        request: context.request.clone(),
        event,
    }
}

/// The index rows of an event.
pub(crate) fn index_tags(recorded: &Recorded) -> Vec<TagKey> {
    let class = recorded.event.class();
    let mut tags: Vec<TagKey> = recorded.event.subjects().iter().map(|subject| TagKey::new(subject, class)).collect();
    tags.extend(recorded.request.key.map(|key| TagKey::new(&Subject::Request(key), Class::Decision)));
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Groups commands that share a subject: each builds on the one before, so they stand or fall together.
#[derive(Default)]
struct Chains {
    of_subject: HashMap<Subject, i32>,
    /// Into which chain a chain was merged, by its number; itself if into none.
    merged_into: Vec<i32>,
}

impl Chains {
    /// The chain of a command that reads these subjects.
    fn of<'a>(&mut self, subjects: impl Iterator<Item = &'a Subject> + Clone) -> i32 {
        let known: Vec<i32> = subjects
            .clone()
            .filter_map(|subject| self.of_subject.get(subject))
            .map(|chain| self.root(*chain))
            .collect();
        let chain = known.first().copied().unwrap_or_else(|| {
            self.merged_into.push(self.merged_into.len() as i32);
            self.merged_into.len() as i32 - 1
        });
        known.iter().for_each(|other| self.merged_into[*other as usize] = chain);
        for subject in subjects {
            self.of_subject.insert(subject.clone(), chain);
        }
        chain
    }

    /// Replaces every number by that of the chain it was merged into in the end.
    fn settle<'a>(&self, chains: impl Iterator<Item = &'a mut i32>) {
        chains.for_each(|chain| *chain = self.root(*chain));
    }

    fn root(&self, mut chain: i32) -> i32 {
        while self.merged_into[chain as usize] != chain {
            chain = self.merged_into[chain as usize];
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{AccountId, IdentityId};

    use super::*;

    #[test]
    fn commands_that_share_a_subject_are_one_chain_even_if_that_shows_late() {
        let account = |n| Subject::Account(AccountId(Uuid::from_u128(n)));
        let identity = Subject::Identity(IdentityId(Uuid::from_u128(9)));
        let mut chains = Chains::default();
        let mut numbers = [
            chains.of([account(1)].iter()),
            chains.of([account(2)].iter()),
            chains.of([account(3)].iter()),
            chains.of([account(2), identity.clone()].iter()),
            chains.of([identity, account(1)].iter()),
        ];
        chains.settle(numbers.iter_mut());
        assert!(numbers[0] == numbers[1] && numbers[1] == numbers[3] && numbers[3] == numbers[4]);
        assert_ne!(numbers[0], numbers[2]);
    }
}
