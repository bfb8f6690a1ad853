//! The one writer of a node: decides commands one after the other, each on the pending state of the one before, and
//! appends all that queued up meanwhile as one batch in one transaction.
//!
//! Reading order: [`Appender::run`] takes a batch, `decide_all` decides it in memory, `append` writes it, `settle`
//! answers whoever stands; whoever fell is decided again under the lock, so that no node starves.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use domain::caller::{Caller, Context, Request};
use domain::command::{Command, Read};
use domain::decide::{Known, Past, decide};
use domain::event::{Event, Position, Recorded};
use domain::ids::EventId;
use domain::refusal::Refusal;
use domain::tag::{Class, RequestKey, Subject, TagKey};
use tokio::sync::{mpsc, oneshot, watch};
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
/// How often the appender lets callers that were just answered queue up again before it takes the next batch. On a slow
/// disk this keeps callers from falling into two half batches.
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
    /// States that the caller's task loaded because they were not in memory.
    pub loaded: Vec<(Subject, Remembered)>,
    /// The key of the person for whom the command seals something.
    pub person_key: Option<(Uuid, PersonKey)>,
    /// The same key, wrapped for storage, of a person who is new.
    pub fresh_key: Option<(Uuid, String)>,
    pub answer: oneshot::Sender<Result<Executed, ExecuteError>>,
}

impl Queued {
    /// What the decision reads.
    fn boundary(&self) -> Vec<Read> {
        self.command.boundary(&self.caller)
    }
}

/// A command of the batch at hand, decided.
struct Decided {
    queued: Queued,
    outcome: Result<Vec<Recorded>, Refusal>,
    batch: BatchCommand,
}

pub(crate) struct Appender {
    pub engine: Box<dyn Engine>,
    pub queue: mpsc::Receiver<Queued>,
    pub memory: Arc<Mutex<Memory>>,
    pub keys: Arc<KeyRing>,
    pub clock: Clock,
    pub head: watch::Sender<Position>,
}

impl Appender {
    /// Works until every sender of the queue is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH_MAX);
        let mut size_before = 0;
        loop {
            if size_before > 1 {
                for _ in 0..YIELDS_BEFORE_BATCH {
                    if self.queue.len() < size_before {
                        tokio::task::yield_now().await;
                    }
                }
            }
            if self.queue.recv_many(&mut taken, BATCH_MAX).await == 0 {
                return;
            }
            size_before = taken.len();
            while !taken.is_empty() {
                let batch = take_distinct_requests(&mut taken);
                self.work_off(batch).await;
            }
        }
    }

    /// Decides and appends one batch, and answers everybody in it.
    async fn work_off(&mut self, batch: Vec<Queued>) {
        let (decided, expected, undecided) = self.decide_all(batch);
        let mut fallen = undecided;
        if !decided.is_empty() {
            let (queued, batch): (Vec<_>, Vec<_>) =
                decided.into_iter().map(|decided| ((decided.queued, decided.outcome), decided.batch)).unzip();
            match self.engine.append(expected, &batch).await {
                Ok(verdicts) => fallen.extend(self.settle(queued, &batch, &verdicts)),
                Err(error) => {
                    let unanswered = queued.into_iter().map(|(queued, _)| queued).chain(fallen).collect();
                    return self.fail(unanswered, &error).await;
                }
            }
        }
        if !fallen.is_empty() {
            self.decide_again(fallen).await;
        }
    }

    /// Decides a batch in memory. Returns what was decided, the head that it was decided for, and the commands whose
    /// state is not in memory.
    fn decide_all(&mut self, batch: Vec<Queued>) -> (Vec<Decided>, Position, Vec<Queued>) {
        let memory = Arc::clone(&self.memory);
        let mut memory = memory.lock().expect("invariant: nobody panics while holding the memory");
        let (mut decided, mut undecided) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut chains = Chains::default();
        // Commands of this batch append about these without having read them: no state of them is complete until then.
        let mut incomplete: HashSet<Subject> = HashSet::new();
        for mut queued in batch {
            if let Some(events) = queued.request.key.and_then(|key| memory.requests.get(&key)) {
                let answer = replay(events, &queued.request);
                let _ = queued.answer.send(answer); // a caller that has gone needs no answer
                continue;
            }
            for (subject, loaded) in std::mem::take(&mut queued.loaded) {
                if !memory.contains(&subject) && !incomplete.contains(&subject) {
                    memory.insert(subject, loaded);
                }
            }
            let boundary = queued.boundary();
            if boundary.iter().any(|read| memory.get(&read.subject).is_none()) {
                undecided.push(queued);
                continue;
            }
            let chain = chains.of(boundary.iter().map(|read| &read.subject));
            let checks = checks(&memory, &queued);
            let outcome = self.decide_one(&memory, &queued);
            let is_read = |subject: &Subject| boundary.iter().any(|read| read.subject == *subject);
            incomplete.extend(take_effect(&mut memory, &queued, &outcome, is_read));
            let batch = self.batch_command(chain, checks, &queued, &outcome);
            decided.push(Decided { queued, outcome, batch });
        }
        chains.settle(decided.iter_mut().map(|decided| &mut decided.batch.chain));
        (decided, memory.head, undecided)
    }

    /// Decides one command on the states in memory.
    fn decide_one(&self, memory: &Memory, queued: &Queued) -> Result<Vec<Recorded>, Refusal> {
        let boundary = queued.boundary();
        let states = boundary.iter().map(|read| {
            let remembered = memory.peek(&read.subject).expect("invariant: the caller saw to it");
            (&read.subject, &remembered.known)
        });
        let past: Past<'_> = states.collect();
        let now = self.clock.now().max(past.newest_at());
        let context = Context { now, caller: queued.caller.clone(), request: queued.request.clone() };
        let events = decide(&past, &queued.command, &context)?;
        Ok(events.into_iter().map(|event| record(event, &context)).collect())
    }

    fn batch_command(
        &self,
        chain: i32,
        checks: Vec<Check>,
        queued: &Queued,
        outcome: &Result<Vec<Recorded>, Refusal>,
    ) -> BatchCommand {
        let events: Vec<_> = match outcome {
            Ok(recorded) if queued.purpose == Purpose::Execute => {
                recorded.iter().map(|recorded| (self.write(recorded, queued), index_tags(recorded))).collect()
            }
            _ => Vec::new(),
        };
        let mut person_keys = Vec::new();
        if let (Ok(recorded), false) = (outcome, events.is_empty()) {
            person_keys.extend(queued.fresh_key.clone());
            let erased = recorded.iter().filter_map(|recorded| recorded.event.erased_person());
            person_keys.extend(erased.map(|person| (person.id(), String::new())));
        }
        BatchCommand { chain, checks, events, person_keys }
    }

    fn write(&self, recorded: &Recorded, queued: &Queued) -> String {
        let key = envelope::sealed_for(&recorded.event).and_then(|person| match &queued.person_key {
            Some((of, key)) if *of == person.id() => Some(key),
            _ => None,
        });
        envelope::write(recorded, key)
    }

    /// Answers the commands that stand; returns those that fell.
    fn settle(
        &self,
        decided: Vec<(Queued, Result<Vec<Recorded>, Refusal>)>,
        batch: &[BatchCommand],
        verdicts: &Verdicts,
    ) -> Vec<Queued> {
        let appended: usize = batch
            .iter()
            .enumerate()
            .filter(|(n, _)| verdicts.stands(*n))
            .map(|(_, command)| command.events.len())
            .sum();
        let head = verdicts.head_before + appended as Position;
        let mut memory = self.memory.lock().expect("invariant: nobody panics while holding the memory");
        memory.advance(verdicts.head_before, head);
        let epoch = memory.epoch;
        let mut fallen = Vec::new();
        self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        let mut position = verdicts.head_before;
        for (number, (queued, outcome)) in decided.into_iter().enumerate() {
            if !verdicts.stands(number) {
                // The states that it read are loaded anew when it is decided again, which is next. Until then they stay
                // where they are, wrong and unread: their absence would send every caller to load them.
                fallen.push(queued);
                continue;
            }
            for read in queued.boundary() {
                if let Some(remembered) = memory.get(&read.subject) {
                    read.classes.iter().for_each(|class| remembered.confirm(*class, head, epoch));
                }
            }
            let is_appended = queued.purpose == Purpose::Execute;
            let answer = outcome.map_err(ExecuteError::Refused).map(|mut recorded| {
                for event in recorded.iter_mut().filter(|_| is_appended) {
                    position += 1;
                    event.position = position;
                }
                let has_effect = is_appended && !recorded.is_empty();
                // A fresh key without effect was not stored, and the person may have another.
                if let (Some((person, key)), Some(_), true) = (&queued.person_key, &queued.fresh_key, has_effect) {
                    self.keys.remember(*person, key.clone());
                }
                for person in recorded.iter().filter(|_| has_effect).filter_map(|it| it.event.erased_person()) {
                    self.keys.forget(person.id());
                }
                if let Some(key) = queued.request.key.filter(|_| has_effect) {
                    memory.requests.insert(key, recorded.clone());
                }
                let seen = if has_effect { position } else { head };
                Executed { events: recorded, position: seen, replayed: false }
            });
            let _ = queued.answer.send(answer); // a caller that has gone needs no answer; the command stands
        }
        fallen
    }

    /// Decides the commands that fell once more, under the lock: nothing newer can appear, so all of them stand.
    async fn decide_again(&mut self, fallen: Vec<Queued>) {
        let (mut remaining, mut replays) = (Vec::new(), Vec::new());
        let result = self.decide_locked(fallen, &mut remaining, &mut replays).await;
        match result {
            Ok((decided, head)) => {
                let (queued, batch): (Vec<_>, Vec<_>) =
                    decided.into_iter().map(|decided| ((decided.queued, decided.outcome), decided.batch)).unzip();
                match self.engine.append_locked(head, &batch).await {
                    Ok(verdicts) => {
                        let fallen = self.settle(queued, &batch, &verdicts);
                        debug_assert!(fallen.is_empty(), "invariant: under the lock every command stands");
                        for (queued, answer) in replays {
                            let _ = queued.answer.send(answer);
                        }
                    }
                    Err(error) => {
                        let unanswered = queued.into_iter().map(|(queued, _)| queued);
                        let unanswered = unanswered.chain(replays.into_iter().map(|(queued, _)| queued)).collect();
                        self.fail(unanswered, &error).await;
                    }
                }
            }
            Err(error) => {
                remaining.extend(replays.into_iter().map(|(queued, _)| queued));
                self.fail(remaining, &error).await;
            }
        }
    }

    /// Takes the lock, loads what the commands read as it is now, and decides. On an error every command is left in
    /// `remaining` or `replays`.
    async fn decide_locked(
        &mut self,
        fallen: Vec<Queued>,
        remaining: &mut Vec<Queued>,
        replays: &mut Vec<(Queued, Result<Executed, ExecuteError>)>,
    ) -> Result<(Vec<Decided>, Position), sqlx::Error> {
        *remaining = fallen;
        let head = self.engine.lock().await?;
        let mut loaded: HashMap<Subject, Known> = HashMap::new();
        let mut done: HashMap<RequestKey, Vec<Recorded>> = HashMap::new();
        for queued in remaining.iter() {
            for read in queued.boundary() {
                if let Entry::Vacant(missing) = loaded.entry(read.subject.clone()) {
                    let events = self.load_locked(&read.subject).await?;
                    let mut known = Known::nothing(&read.subject);
                    events.iter().for_each(|event| known.evolve(event));
                    missing.insert(known);
                }
            }
            if let Some(key) = queued.request.key {
                let events = self.load_locked(&Subject::Request(key)).await?;
                done.insert(key, events.into_iter().filter(|event| event.request.key == Some(key)).collect());
            }
        }
        let memory = Arc::clone(&self.memory);
        let mut memory = memory.lock().expect("invariant: nobody panics while holding the memory");
        let complete: HashSet<Subject> = loaded.keys().cloned().collect();
        for (subject, known) in loaded {
            memory.insert(subject, Remembered::loaded(known, head));
        }
        let mut decided = Vec::with_capacity(remaining.len());
        for queued in remaining.drain(..) {
            match queued.request.key.and_then(|key| done.get(&key)).filter(|events| !events.is_empty()) {
                Some(events) => {
                    let answer = replay(events, &queued.request);
                    replays.push((queued, answer));
                }
                None => {
                    let outcome = self.decide_one(&memory, &queued);
                    // All of them stand, so what one appends about what another reads takes effect there, too.
                    take_effect(&mut memory, &queued, &outcome, |subject| complete.contains(subject));
                    let batch = self.batch_command(0, Vec::new(), &queued, &outcome);
                    decided.push(Decided { queued, outcome, batch });
                }
            }
        }
        Ok((decided, head))
    }

    /// Reads a subject's events under the lock. Personal parts are opened with keys read in the same transaction.
    async fn load_locked(&mut self, subject: &Subject) -> Result<Vec<Recorded>, sqlx::Error> {
        let rows = self.engine.load(TagKey::first(subject), TagKey::last(subject)).await?;
        let missing: HashSet<Uuid> = rows
            .iter()
            .filter_map(|(_, envelope)| envelope::person(envelope))
            .filter(|person| self.keys.remembered(*person).is_none())
            .collect();
        for (person, wrapped) in self.engine.person_keys(&missing.into_iter().collect::<Vec<_>>()).await? {
            let key = self.keys.unwrap(person, &wrapped).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            self.keys.remember(person, key);
        }
        let read = |(position, text): (Position, String)| {
            envelope::read(position, &text, |person| self.keys.remembered(person))
        };
        let events: Result<Vec<Recorded>, _> = rows.into_iter().map(read).collect();
        let events = events.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(events.into_iter().filter(|event| is_about(event, subject)).collect())
    }

    /// Answers that the log could not be written. What was committed, if anything, is found out by loading anew.
    async fn fail(&mut self, unanswered: Vec<Queued>, error: &sqlx::Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            commands = unanswered.len(),
            "the log could not be written"
        );
        self.engine.give_up().await;
        self.memory.lock().expect("invariant: nobody panics while holding the memory").clear();
        for queued in unanswered {
            let _ = queued.answer.send(Err(ExecuteError::Unavailable));
        }
    }
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

/// Takes the leading commands whose requests differ, so that a repeated request finds the first one committed.
fn take_distinct_requests(taken: &mut Vec<Queued>) -> Vec<Queued> {
    let mut seen = HashSet::new();
    let distinct = taken.iter().take_while(|queued| queued.request.key.is_none_or(|key| seen.insert(key))).count();
    taken.drain(..distinct).collect()
}

/// Lets the events of a command take effect on the states that are `complete`. Other states of what they are about are
/// forgotten; returns whose.
fn take_effect(
    memory: &mut Memory,
    queued: &Queued,
    outcome: &Result<Vec<Recorded>, Refusal>,
    complete: impl Fn(&Subject) -> bool,
) -> Vec<Subject> {
    let mut forgotten = Vec::new();
    let Ok(recorded) = outcome else { return forgotten };
    for event in recorded.iter().filter(|_| queued.purpose == Purpose::Execute) {
        for subject in event.event.subjects() {
            if !complete(&subject) {
                memory.forget(&subject);
                forgotten.push(subject);
            } else if let Some(remembered) = memory.get(&subject) {
                remembered.known.evolve(event);
            }
        }
    }
    forgotten
}

/// What the database has to check for a command that is decided on the states in memory.
fn checks(memory: &Memory, queued: &Queued) -> Vec<Check> {
    let mut checks = Vec::new();
    for read in queued.boundary() {
        let Some(remembered) = memory.peek(&read.subject) else { continue };
        for class in read.classes {
            let always = !remembered.is_current(*class, memory.epoch);
            checks.push(Check { tag: TagKey::new(&read.subject, *class), seen: remembered.seen(*class), always });
        }
    }
    if let Some(key) = queued.request.key {
        let tag = TagKey::new(&Subject::Request(key), Class::Decision);
        checks.push(Check { tag, seen: 0, always: true });
    }
    checks
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
