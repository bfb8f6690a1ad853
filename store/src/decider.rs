//! Decides commands on the states in a node's memory, one upon the other, and keeps those states.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::caller::{Caller, Context, Request};
use domain::command::{Command, Read};
use domain::decide::{Past, decide};
use domain::event::{Event, Position, Recorded};
use domain::ids::EventId;
use domain::refusal::Refusal;
use domain::tag::{Class, RequestKey, Subject, TagKey};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::engine::{BatchCommand, Check};
use crate::envelope;
use crate::memory::{Memory, Remembered};
use crate::random;
use crate::seal::{KeyRing, PersonKey};
use crate::store::{ExecuteError, Executed};

/// What a caller wants of the appender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Decide and append.
    Execute,
    /// Decide and tell what would be appended.
    Ask,
}

/// What a caller is told, and how.
pub(crate) type Answer = (oneshot::Sender<Result<Executed, ExecuteError>>, Result<Executed, ExecuteError>);

/// A command in the queue.
pub(crate) struct Queued {
    pub command: Command,
    pub caller: Caller,
    pub request: Request,
    pub purpose: Purpose,
    /// What the decision reads.
    pub boundary: Vec<Read>,
    /// States that the caller's task loaded because they were not in memory, when that had been cleared so often.
    pub loaded: (u64, Vec<(Subject, Remembered)>),
    /// The key of the person for whom the command seals something.
    pub person_key: Option<(Uuid, PersonKey)>,
    /// The same key, wrapped for storage, of a person who is new.
    pub fresh_key: Option<(Uuid, String)>,
    /// How many keys the node had forgotten when it made that one.
    pub forgotten: u64,
    /// Whether another node was faster once: then it is decided under the lock.
    pub has_fallen: bool,
    pub answer: oneshot::Sender<Result<Executed, ExecuteError>>,
}

impl Queued {
    pub fn reads_any(&self, subjects: &HashSet<Subject>) -> bool {
        self.boundary.iter().any(|read| subjects.contains(&read.subject))
    }
}

/// A command that was decided, and what it appends.
pub(crate) struct Decided {
    pub queued: Queued,
    /// The edition of each state that the decision was made on.
    pub editions: Vec<u64>,
    pub outcome: Result<Vec<Recorded>, Refusal>,
    /// What its events are about, if it has any to append.
    pub about: Vec<Subject>,
    pub batch: BatchCommand,
}

impl Decided {
    pub fn has_effect(&self) -> bool {
        self.queued.purpose == Purpose::Execute && self.outcome.as_ref().is_ok_and(|recorded| !recorded.is_empty())
    }

    fn events_about(&self, subject: &Subject) -> Vec<Recorded> {
        let events = self.outcome.iter().flatten();
        events.filter(|recorded| recorded.event.subjects().contains(subject)).cloned().collect()
    }

    /// Takes note that the command does not come to pass as it was decided.
    pub fn undo(self, memory: &mut Memory) -> Queued {
        for (read, edition) in self.queued.boundary.iter().zip(self.editions) {
            if self.about.contains(&read.subject) {
                memory.undo(&read.subject, edition);
            }
        }
        self.queued
    }
}

/// The next batch, as far as it is prepared.
#[derive(Default)]
pub(crate) struct Prepared {
    pub decided: Vec<Decided>,
    /// Commands whose states are not in memory, or are to be brought up to date first.
    pub undecided: Vec<Queued>,
    /// Commands whose requests are in this batch or in the one under way: they are told what came of those.
    pub held: Vec<Queued>,
    pub requests: HashSet<RequestKey>,
    /// What commands of this batch append about without having read it: no state of it is complete until then.
    pub incomplete: HashSet<Subject>,
    /// Whether nothing is decided before it is known what others have appended.
    pub waits: bool,
    /// How long it took.
    pub time: Duration,
}

impl Prepared {
    pub fn len(&self) -> usize {
        self.decided.len() + self.undecided.len() + self.held.len()
    }

    /// How many of its commands read any of these.
    pub fn reading(&self, subjects: &HashSet<Subject>) -> usize {
        let all = self.decided.iter().map(|decided| &decided.queued).chain(&self.undecided);
        all.filter(|queued| queued.reads_any(subjects)).count()
    }
}

/// Decides on the states in memory, and keeps them.
pub(crate) struct Decider {
    pub memory: Arc<Mutex<Memory>>,
    pub keys: Arc<KeyRing>,
    pub clock: Clock,
}

impl Decider {
    /// Decides commands as if everything decided before them had come to pass.
    pub fn prepare(&self, commands: Vec<Queued>, prepared: &mut Prepared, under_way: &HashSet<RequestKey>) {
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
            let (cleared, loaded) = std::mem::take(&mut queued.loaded);
            for (subject, loaded) in loaded {
                let is_new = !memory.contains(&subject) && !prepared.incomplete.contains(&subject);
                if is_new && cleared == memory.cleared {
                    memory.insert(subject, loaded);
                }
            }
            match prepared.waits {
                true => prepared.undecided.push(queued),
                false => self.decide_ahead(&mut memory, queued, prepared),
            }
        }
        prepared.time += began.elapsed();
    }

    /// Decides commands whose states were just brought up to date.
    pub fn decide(&self, commands: Vec<Queued>, prepared: &mut Prepared) {
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
        let (mut about, mut batch) = (Vec::new(), BatchCommand::default());
        if let (Ok(recorded), Purpose::Execute) = (&outcome, queued.purpose) {
            about = recorded.iter().flat_map(|recorded| recorded.event.subjects()).collect();
            about.sort_unstable();
            about.dedup();
            batch.events = recorded.iter().map(|event| (write(event, &queued), index_tags(event))).collect();
            if !recorded.is_empty() {
                batch.person_keys.extend(queued.fresh_key.clone());
            }
            let erased = recorded.iter().filter_map(|recorded| recorded.event.erased_person());
            batch.person_keys.extend(erased.map(|person| (person.id(), String::new())));
        }
        Decided { queued, editions, outcome, about, batch }
    }

    /// Whether an event is about anything in memory.
    pub fn remembers(&self, event: &Recorded) -> bool {
        let memory = lock(&self.memory);
        event.event.subjects().iter().any(|subject| memory.contains(subject))
    }

    /// Takes in what others appended. Tells which states have become others.
    pub fn take_in(&self, events: &[Recorded]) -> HashSet<Subject> {
        let mut memory = lock(&self.memory);
        events.iter().flat_map(|event| memory.take_in(event)).collect()
    }

    /// Takes out the commands whose states have become others since they were decided.
    pub fn take_stale(&self, decided: &mut Vec<Decided>) -> Vec<Queued> {
        let mut memory = lock(&self.memory);
        let mut stale = Vec::new();
        loop {
            let before = stale.len();
            for one in std::mem::take(decided) {
                let is_current = one.queued.boundary.iter().zip(&one.editions).all(|(read, edition)| {
                    memory.peek(&read.subject).is_some_and(|remembered| remembered.edition() == *edition)
                });
                match is_current {
                    true => decided.push(one),
                    false => stale.push(one.undo(&mut memory)), // which makes stale what shares a state with it, before it, too
                }
            }
            if stale.len() == before {
                return stale;
            }
        }
    }

    /// Makes a batch ready to leave: what the database has to check, and which commands build on each other. Takes out
    /// those that have become stale. Tells the head that the batch is decided for.
    pub fn finish(&self, decided: &mut Vec<Decided>) -> (Position, Vec<Queued>) {
        let stale = self.take_stale(decided);
        let memory = lock(&self.memory);
        let mut chains = Chains::default();
        for one in &mut *decided {
            one.batch.chain = chains.of(one.queued.boundary.iter().map(|read| &read.subject));
            one.batch.checks = checks(&memory, &one.queued);
        }
        chains.settle(decided.iter_mut().map(|decided| &mut decided.batch.chain));
        (memory.head, stale)
    }

    /// Takes out of a batch what is not decided, and what was decided about the same subjects.
    pub fn take_undecided(&self, prepared: &mut Prepared) -> Vec<Queued> {
        let mut undecided = std::mem::take(&mut prepared.undecided);
        let built_upon_them = self.take_those_built_upon(&undecided, prepared);
        undecided.extend(built_upon_them);
        undecided
    }

    /// Takes out of the next batch what was decided upon commands that have fallen, and whatever shares a subject with what
    /// is taken out: no state that is left may hold what one of them was decided upon.
    pub fn take_those_built_upon(&self, fallen: &[Queued], next: &mut Prepared) -> Vec<Queued> {
        let mut memory = lock(&self.memory);
        let mut subjects: HashSet<Subject> =
            fallen.iter().flat_map(|queued| &queued.boundary).map(|read| read.subject.clone()).collect();
        let mut are_taken = vec![false; next.decided.len()];
        let mut known = 0;
        while known < subjects.len() {
            known = subjects.len();
            for (decided, is_taken) in next.decided.iter().zip(&mut are_taken) {
                if !*is_taken && decided.queued.reads_any(&subjects) {
                    *is_taken = true;
                    subjects.extend(decided.queued.boundary.iter().map(|read| read.subject.clone()));
                }
            }
        }
        let mut taken = Vec::new();
        for (decided, is_taken) in std::mem::take(&mut next.decided).into_iter().zip(are_taken) {
            match is_taken {
                true => taken.push(decided.undo(&mut memory)),
                false => next.decided.push(decided),
            }
        }
        taken
    }

    /// Tells a caller what came of its command, which stands. `position` is that of the event before, and moves on.
    pub fn stands(&self, decided: Decided, memory: &mut Memory, position: &mut Position, head: Position) -> Answer {
        let has_effect = decided.has_effect();
        let Decided { queued, editions, outcome, mut about, .. } = decided;
        for (read, edition) in queued.boundary.iter().zip(editions) {
            let place = about.iter().position(|subject| *subject == read.subject);
            memory.stands(&read.subject, edition, head, place.is_some());
            place.map(|place| about.swap_remove(place));
        }
        about.iter().for_each(|subject| memory.forget(subject)); // its state misses what was just appended
        let answer = outcome.map_err(ExecuteError::Refused).map(|mut recorded| {
            if has_effect {
                for event in &mut recorded {
                    *position += 1;
                    event.position = *position;
                }
                // A fresh key without effect was not stored, and the person may have another.
                if let (Some((person, key)), Some(_)) = (&queued.person_key, &queued.fresh_key) {
                    self.keys.remember([(*person, key.clone())], queued.forgotten);
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
        (queued.answer, answer)
    }

    /// The states that have to be loaded before these commands can be decided for good. The others are in use from now on,
    /// so that those that are loaded do not displace them.
    pub fn missing(&self, commands: &[Queued]) -> HashSet<Subject> {
        let mut memory = lock(&self.memory);
        let read = commands.iter().flat_map(|queued| &queued.boundary).map(|read| &read.subject);
        read.filter(|subject| !memory.is_current(subject)).cloned().collect()
    }

    /// Decides commands whose states are up to date under the lock. Requests that had their effect before are replayed.
    /// States that are `incomplete` without what another batch appends are of no use to anybody after them.
    pub fn decide_locked(
        &self,
        commands: Vec<Queued>,
        events: &[Recorded],
        incomplete: &HashSet<Subject>,
        replays: &mut Vec<Answer>,
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
                replays.push((queued.answer, replay(events, &queued.request)));
                continue;
            }
            let editions = editions(&mut memory, &queued).expect("invariant: every state was just brought to memory");
            let decided = self.decide_one(&memory, queued, editions);
            // All of them stand, so what one appends about what another reads takes effect there, too.
            for subject in take_effect(&mut memory, &decided) {
                memory.ready(&subject);
                memory.expect(&subject, decided.events_about(&subject));
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
        incomplete.iter().for_each(|subject| memory.forget(subject));
        all
    }
}

/// The editions of the states that a command reads, if all of them are in memory.
fn editions(memory: &mut Memory, queued: &Queued) -> Option<Vec<u64>> {
    queued.boundary.iter().map(|read| memory.ready(&read.subject)).collect()
}

pub(crate) fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
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
    let mut others = decided.about.clone();
    others.retain(|subject| {
        let read = decided.queued.boundary.iter().find(|read| read.subject == *subject);
        if let Some(read) = read {
            let events = decided.events_about(subject);
            debug_assert!(
                events.iter().all(|recorded| read.classes.contains(&recorded.event.class())),
                "invariant: a command reads what it appends: {}",
                decided.queued.command.name()
            );
            memory.expect(subject, events);
        }
        read.is_none()
    });
    others
}

/// What the database has to check for a command that is decided on the states in memory.
fn checks(memory: &Memory, queued: &Queued) -> Vec<Check> {
    let of_states = queued.boundary.iter().map(|read| (&read.subject, memory.checked(read)));
    let of_classes = of_states.flat_map(|(subject, (classes, seen, always))| {
        classes.iter().map(move |class| Check { tag: TagKey::new(subject, *class), seen, always })
    });
    of_classes.chain(queued.request.key.map(check_of_request)).collect()
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
    use domain::caller::Actor;
    use domain::decide::Known;
    use domain::event::AccountClosed;
    use domain::ids::{AccountId, IdentityId};
    use domain::time::Timestamp;

    use super::*;
    use crate::seal::NamedKey;
    use crate::secret::Secret;

    impl Decider {
        fn without_a_past() -> Self {
            let keys = vec![NamedKey { id: "test".into(), key: Secret::new([7; crate::seal::KEY_BYTES]) }];
            Self {
                memory: Arc::new(Mutex::new(Memory::new(0))),
                keys: Arc::new(KeyRing::new(keys)),
                clock: Clock::System,
            }
        }
    }

    impl Queued {
        /// A command about the first of these accounts that says it reads all of them.
        fn reading(accounts: &[u128]) -> Self {
            let boundary =
                accounts.iter().map(|account| Read { subject: Self::subject(*account), classes: &Class::ALL });
            Self {
                command: Command::CloseAccount { account: AccountId(Uuid::from_u128(accounts[0])) },
                caller: Caller::new(Actor::Cli("test".into())),
                request: Request { id: Uuid::nil(), key: None, body: None, if_match: None },
                purpose: Purpose::Execute,
                boundary: boundary.collect(),
                loaded: (0, Vec::new()),
                person_key: None,
                fresh_key: None,
                forgotten: 0,
                has_fallen: false,
                answer: oneshot::channel().0,
            }
        }

        fn subject(account: u128) -> Subject {
            Subject::Account(AccountId(Uuid::from_u128(account)))
        }
    }

    impl Decider {
        /// Remembers accounts of which the log has nothing.
        fn remember(&self, accounts: impl Iterator<Item = u128>) {
            let mut memory = lock(&self.memory);
            for subject in accounts.map(Queued::subject) {
                let known = Known::nothing(&subject);
                memory.insert(subject, Remembered::loaded(known, 0));
            }
        }

        /// Takes note of a command that was decided on accounts, and closes them.
        fn decided(&self, accounts: &[u128]) -> Decided {
            let (memory, queued) = (&mut lock(&self.memory), Queued::reading(accounts));
            let editions = editions(memory, &queued).unwrap();
            let context = Context { now: Timestamp(0), caller: queued.caller.clone(), request: queued.request.clone() };
            let closed = |account: &u128| AccountClosed { account: AccountId(Uuid::from_u128(*account)) };
            let events: Vec<_> = accounts.iter().map(|account| record(closed(account).into(), &context)).collect();
            let about = accounts.iter().map(|account| Queued::subject(*account)).collect();
            let decided = Decided { queued, editions, outcome: Ok(events), about, batch: BatchCommand::default() };
            assert_eq!(take_effect(memory, &decided), []);
            decided
        }
    }

    /// What the second command appends about account 2 is not known there any more when its batch leaves; that the first one
    /// must not leave shows only when the second one is taken out.
    #[test]
    fn nothing_leaves_whose_state_was_spoiled_by_what_was_taken_out_after_it() {
        let decider = Decider::without_a_past();
        decider.remember(1..=3);
        let mut batch = vec![decider.decided(&[1]), decider.decided(&[1, 2]), decider.decided(&[3])];
        lock(&decider.memory).forget(&Queued::subject(2));
        let (_, stale) = decider.finish(&mut batch);
        assert_eq!(stale.len(), 2);
        assert_eq!(
            batch.iter().map(|decided| &decided.queued.boundary[0].subject).collect::<Vec<_>>(),
            [&Queued::subject(3)]
        );
    }

    #[test]
    fn of_a_state_that_may_not_be_decided_on_the_database_is_asked_for_anything_at_all() {
        let decider = Decider::without_a_past();
        let checks = checks(&lock(&decider.memory), &Queued::reading(&[1]));
        assert_eq!(checks.len(), Class::ALL.len());
        assert!(checks.iter().all(|check| check.seen == 0 && check.always));
    }

    #[test]
    fn a_state_that_was_loaded_under_the_lock_is_not_kept_without_what_another_batch_holds_about_it() {
        let decider = Decider::without_a_past();
        decider.remember(1..=2);
        let incomplete = HashSet::from([Queued::subject(1)]);
        let commands = vec![Queued::reading(&[1]), Queued::reading(&[2])];
        assert_eq!(decider.decide_locked(commands, &[], &incomplete, &mut Vec::new()).len(), 2);
        let memory = lock(&decider.memory);
        assert!(!memory.contains(&Queued::subject(1)) && memory.contains(&Queued::subject(2)));
    }

    #[test]
    fn what_was_loaded_before_the_memory_was_cleared_does_not_come_into_it() {
        let decider = Decider::without_a_past();
        lock(&decider.memory).clear();
        let subject = Queued::subject(1);
        for (cleared, comes) in [(0, false), (1, true)] {
            let loaded = vec![(subject.clone(), Remembered::loaded(Known::nothing(&subject), 100))];
            let queued = Queued { loaded: (cleared, loaded), ..Queued::reading(&[1]) };
            let mut prepared = Prepared { waits: true, ..Prepared::default() };
            decider.prepare(vec![queued], &mut prepared, &HashSet::new());
            assert_eq!(lock(&decider.memory).contains(&subject), comes);
        }
    }

    #[test]
    fn what_need_not_be_loaded_is_still_there_when_the_rest_is() {
        let decider = Decider::without_a_past();
        let bound = crate::memory::SUBJECTS_MAX.get() as u128;
        decider.remember(0..2 * bound - 1); // of which half is used next, and the other half forgotten
        let commands: Vec<_> = (0..3).map(|account| Queued::reading(&[account])).collect();
        let missing = decider.missing(&commands);
        assert!((1..3).contains(&missing.len()));
        decider.remember(missing.iter().map(|subject| match subject {
            Subject::Account(account) => account.0.as_u128(),
            _ => unreachable!(),
        }));
        assert_eq!(decider.decide_locked(commands, &[], &HashSet::new(), &mut Vec::new()).len(), 3);
    }

    #[test]
    fn whatever_shares_a_subject_with_what_falls_is_decided_again_even_if_that_shows_late() {
        let decider = Decider::without_a_past();
        let decided = |accounts: &[u128]| Decided {
            queued: Queued::reading(accounts),
            editions: vec![1; accounts.len()],
            outcome: Ok(Vec::new()),
            about: Vec::new(),
            batch: BatchCommand::default(),
        };
        let all = vec![decided(&[2]), decided(&[3]), decided(&[1, 2]), decided(&[4])];
        let mut next = Prepared { decided: all, ..Prepared::default() };
        let taken = decider.take_those_built_upon(&[Queued::reading(&[1])], &mut next);
        let first = |queued: &Queued| queued.boundary[0].subject.clone();
        assert_eq!(taken.iter().map(first).collect::<Vec<_>>(), [2, 1].map(Queued::subject));
        let left: Vec<_> = next.decided.iter().map(|decided| first(&decided.queued)).collect();
        assert_eq!(left, [3, 4].map(Queued::subject));
    }

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
