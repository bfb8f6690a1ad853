//! The states that decisions are made on, kept in the node's memory between commands.
//!
//! Invariant: a remembered state that is current holds every event about its subject up to the memory's head, and those
//! that this node has decided to append. The memory follows the log: whatever others append is taken in before anything
//! is checked against a newer head. What one command is decided to append is kept apart from the state until it is appended
//! or the next command decides upon it. A state that holds what did not come to pass is spoiled: nobody decides on it, and
//! it is loaded anew.

use std::num::NonZeroUsize;

use domain::command::Read;
use domain::decide::Known;
use domain::event::{Position, Recorded};
use domain::tag::{Class, RequestKey, Subject};

use crate::generations::Generations;

/// Subjects kept in memory: the accounts of a busy hour. At most twice as many are held.
pub(crate) const SUBJECTS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("invariant: the constant is not zero");

/// Requests kept in memory: the repeats that clients send within seconds.
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("invariant: the constant is not zero");

/// The edition of a state that nobody may decide on, and that is to be loaded whole.
const SPOILED: u64 = 0;
/// The edition of a state that is known to miss newer events: what it misses is to be loaded.
const BEHIND: u64 = 1;

/// One subject's state, and up to where it is known.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub known: Known,
    /// Another number whenever the state becomes another one, but for commands that are decided one upon the other.
    edition: u64,
    /// The state holds every event up to here, whatever the memory's head is.
    seen: Position,
    /// The position of the newest event that the state may hold; of what is still pending, none.
    newest: Position,
    /// Whether it holds every event up to the memory's head. Else the database is asked about every class.
    is_current: bool,
    /// How many commands are decided, and not yet appended, that have events about the subject.
    pending: usize,
    /// The events of the only one of them.
    apart: Vec<Recorded>,
    /// Whether `known` holds what is pending.
    is_mixed: bool,
}

impl Remembered {
    /// A state that holds every event up to `seen`.
    pub fn loaded(known: Known, seen: Position) -> Self {
        Self {
            known,
            edition: SPOILED,
            seen,
            newest: seen,
            is_current: false,
            pending: 0,
            apart: Vec::new(),
            is_mixed: false,
        }
    }

    pub fn edition(&self) -> u64 {
        self.edition
    }

    /// Lets what is pending take effect.
    fn mix(&mut self) {
        for event in std::mem::take(&mut self.apart) {
            self.known.evolve(&event);
            self.is_mixed = true;
        }
    }
}

/// The node's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    subjects: Generations<Subject, Remembered>,
    /// The events of requests that this node appended lately, to answer a repeated one without asking the database.
    pub requests: Generations<RequestKey, Vec<Recorded>>,
    /// Up to where the log is taken in.
    pub head: Position,
    /// Whether it is; not while others append more than is worth reading: then no state is current.
    follows: bool,
    /// The newest edition of any state.
    edition: u64,
    /// How often everything was forgotten.
    pub cleared: u64,
}

impl Memory {
    /// Nothing is remembered yet of a log that ends at `head`.
    pub fn new(head: Position) -> Self {
        let (subjects, requests) = (Generations::new(SUBJECTS_MAX), Generations::new(REQUESTS_MAX));
        Self { subjects, requests, head, follows: true, edition: BEHIND, cleared: 0 }
    }

    pub fn contains(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }

    /// Finds a state that may be decided on.
    pub fn peek(&self, subject: &Subject) -> Option<&Remembered> {
        self.subjects.peek(subject).filter(|remembered| remembered.edition > BEHIND)
    }

    /// Makes a state ready to be decided on, upon whatever is pending. Tells its edition.
    pub fn ready(&mut self, subject: &Subject) -> Option<u64> {
        let state = self.get(subject)?;
        state.mix();
        Some(state.edition)
    }

    /// Takes note of what a command that was decided on a state is to append about it.
    pub fn expect(&mut self, subject: &Subject, events: Vec<Recorded>) {
        if let Some(state) = self.get(subject) {
            state.pending += 1;
            state.apart = events;
            if state.is_mixed {
                state.mix();
            }
        }
    }

    /// Takes note that what a command was to append about a state of this edition does not come to pass.
    pub fn undo(&mut self, subject: &Subject, edition: u64) {
        match self.get(subject) {
            Some(state) if state.edition != edition => {}
            Some(state) if state.is_mixed => state.edition = SPOILED,
            Some(state) => (state.pending, state.apart) = (0, Vec::new()),
            None => {}
        }
    }

    /// Finds a state that may be decided on, and takes note that it is in use.
    fn get(&mut self, subject: &Subject) -> Option<&mut Remembered> {
        self.subjects.get(subject).filter(|remembered| remembered.edition > BEHIND)
    }

    /// Takes out a state, and tells up to where it is known: it holds nothing after that.
    pub fn take(&mut self, subject: &Subject) -> Option<(Known, Position)> {
        let state = self.subjects.remove(subject)?;
        let is_exact = state.edition != SPOILED && state.pending == 0 && state.newest <= state.seen;
        is_exact.then_some((state.known, state.seen))
    }

    /// Puts a state that was loaded in, as a new edition.
    pub fn insert(&mut self, subject: Subject, loaded: Remembered) {
        self.edition += 1;
        let is_current = self.follows && loaded.seen >= self.head;
        self.subjects.insert(subject, Remembered { edition: self.edition, is_current, ..loaded });
    }

    /// Whether a state may be decided on that holds every event up to the head; if so, it is in use.
    pub fn is_current(&mut self, subject: &Subject) -> bool {
        self.get(subject).is_some_and(|state| state.is_current)
    }

    /// What the database has to find nothing after, for a decision on a state to hold: the classes, the position, and
    /// whether that is asked even if nobody else has appended. Of a state that may not be decided on, anything at all.
    pub fn checked(&self, read: &Read) -> (&'static [Class], Position, bool) {
        match self.peek(&read.subject) {
            Some(state) if state.is_current => (read.classes, state.seen.max(self.head), false),
            state => (&Class::ALL, state.map_or(0, |state| state.seen), true),
        }
    }

    /// Takes note that a command stands that was decided on this edition of a state. It was appended by a batch that left
    /// the log at `head`; `is_about` says whether any of its events is about the subject. If the state is another one by
    /// now, that one misses them.
    pub fn stands(&mut self, subject: &Subject, edition: u64, head: Position, is_about: bool) {
        let follows = self.follows;
        match self.get(subject) {
            Some(state) if state.edition == edition => {
                if !state.is_current {
                    (state.is_current, state.seen) = (follows, head);
                }
                if is_about {
                    state.newest = head;
                    state.mix();
                    state.pending = state.pending.saturating_sub(1);
                    state.is_mixed = state.pending > 0;
                }
            }
            Some(_) if is_about => self.forget(subject),
            _ => {}
        }
    }

    /// Takes in an event that somebody else has appended: what is pending on it is decided again. States that hold something
    /// newer already, or what is pending, are spoiled; those that are not current are behind. Tells which states have become
    /// others.
    pub fn take_in(&mut self, event: &Recorded) -> Vec<Subject> {
        let mut changed = event.event.subjects();
        changed.retain(|subject| {
            let edition = self.edition + 1;
            let Some(state) = self.get(subject).filter(|state| event.position > state.seen) else { return false };
            if state.newest > event.position || state.is_mixed {
                state.edition = SPOILED;
                return true;
            }
            (state.pending, state.apart) = (0, Vec::new());
            if state.is_current {
                state.known.evolve(event);
                (state.newest, state.edition) = (event.position, edition);
                self.edition = edition;
            } else {
                state.edition = BEHIND;
            }
            true
        });
        changed
    }

    /// Takes note that a state holds what did not come to pass. It stays, unread: its absence would send every caller
    /// to load it.
    pub fn spoil(&mut self, subject: &Subject) {
        if let Some(remembered) = self.subjects.get(subject) {
            remembered.edition = SPOILED;
        }
    }

    pub fn forget(&mut self, subject: &Subject) {
        self.subjects.remove(subject);
    }

    /// Takes note whether the log is taken in again, or else what others append is more than is worth reading: then of each
    /// state the database is asked.
    pub fn set_follows(&mut self, follows: bool) {
        if std::mem::replace(&mut self.follows, follows) && !follows {
            for state in self.subjects.values_mut().filter(|state| state.is_current) {
                (state.is_current, state.seen) = (false, state.seen.max(self.head));
            }
        }
    }

    /// Forgets everything, and up to where the log was known: after an event that cannot be read, or an append whose outcome
    /// is unknown. The database that answers next may have taken over without the end of the log.
    pub fn clear(&mut self) {
        self.subjects.clear();
        self.requests.clear();
        (self.head, self.follows) = (0, false);
        self.cleared += 1;
    }
}

#[cfg(test)]
mod tests {
    use domain::caller::{Actor, Request};
    use domain::event::ProfessionalAdded;
    use domain::ids::{AccountId, EventId, ProfessionalId};
    use domain::time::Timestamp;
    use domain::words::Language;
    use uuid::Uuid;

    use super::*;

    const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
    const SUBJECT: Subject = Subject::Account(ACCOUNT);

    fn added_at(position: Position) -> Recorded {
        let id = Uuid::from_u128(position as u128);
        let (professional, language, details) = (ProfessionalId(id), Language::English, None);
        Recorded {
            position,
            id: EventId(id),
            recorded_at: Timestamp(position),
            actor: Actor::Cli("root".into()),
            request: Request { id, key: None, body: None, if_match: None },
            event: ProfessionalAdded { account: ACCOUNT, professional, language, details }.into(),
        }
    }

    /// A memory that has come to position 10, with a state that holds the event at 5, and that state.
    fn remembering() -> (Memory, Known) {
        let (mut memory, mut known) = (Memory::new(10), Known::nothing(&SUBJECT));
        known.evolve(&added_at(5));
        memory.insert(SUBJECT, Remembered::loaded(known.clone(), 10));
        (memory, known)
    }

    #[test]
    fn what_is_current_takes_in_what_others_append() {
        let (mut memory, mut known) = remembering();
        assert_eq!(memory.take_in(&added_at(11)), [SUBJECT]);
        known.evolve(&added_at(11));
        assert_eq!(memory.peek(&SUBJECT).map(|state| &state.known), Some(&known));
    }

    #[test]
    fn what_is_behind_keeps_what_it_has_seen_and_is_not_decided_on() {
        let (mut memory, known) = remembering();
        memory.set_follows(false);
        memory.head = 20; // and what came before was not read
        memory.set_follows(true);
        memory.ready(&SUBJECT).expect("a decision that the database checks");
        memory.expect(&SUBJECT, vec![added_at(22)]);
        assert_eq!(memory.take_in(&added_at(21)), [SUBJECT]);
        assert!(memory.peek(&SUBJECT).is_none() && memory.ready(&SUBJECT).is_none() && memory.contains(&SUBJECT));
        assert_eq!(memory.take(&SUBJECT), Some((known, 10)));
    }

    #[test]
    fn what_holds_something_newer_or_pending_is_loaded_whole() {
        let (mut newer, _) = remembering();
        newer.take_in(&added_at(12));
        newer.take_in(&added_at(11));
        let (mut mixed, _) = remembering();
        mixed.expect(&SUBJECT, vec![added_at(12)]);
        mixed.ready(&SUBJECT);
        mixed.take_in(&added_at(11));
        for mut memory in [newer, mixed] {
            assert!(memory.peek(&SUBJECT).is_none());
            memory.head = 20;
            memory.set_follows(false); // which says of those that are current up to where they are known
            assert_eq!(memory.take(&SUBJECT), None);
        }
    }
}
