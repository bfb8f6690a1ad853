//! The states that decisions are made on, kept in the node's memory between commands.
//!
//! Invariant: a remembered state holds every event about its subject that this node appended, or has decided to append,
//! and for each class every event of others up to `seen`. The database checks what may be newer. A state that holds what
//! did not come to pass is spoiled: nobody decides on it, and it is loaded anew under the lock.

use std::num::NonZeroUsize;

use domain::decide::Known;
use domain::event::{Position, Recorded};
use domain::tag::{Class, RequestKey, Subject};

use crate::generations::Generations;

/// Subjects kept in memory: the accounts of a busy hour. At most twice as many are held.
const SUBJECTS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("invariant: the constant is not zero");

/// Requests kept in memory: the repeats that clients send within seconds.
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("invariant: the constant is not zero");

/// The edition of a state that nobody may decide on.
const SPOILED: u64 = 0;

/// One subject's state, and up to where it is known.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub known: Known,
    /// Another number whenever the state becomes another one, but for commands that are decided one upon the other.
    edition: u64,
    /// The position of the newest event that the state holds; of what is still pending, none.
    newest: Position,
    seen: [Position; Class::ALL.len()],
    /// In which epoch of the node each class was last known to be current; 0 if never.
    current_in: [u64; Class::ALL.len()],
}

impl Remembered {
    /// A state that holds every event up to `seen`.
    pub fn loaded(known: Known, seen: Position) -> Self {
        Self {
            known,
            edition: SPOILED,
            newest: seen,
            seen: [seen; Class::ALL.len()],
            current_in: [0; Class::ALL.len()],
        }
    }

    /// Whether the state holds something that is newer than an event: then that one comes too late to be added.
    pub fn is_past(&self, position: Position) -> bool {
        self.newest > position
    }

    /// Takes note that the state holds the event at a position.
    pub fn holds(&mut self, position: Position) {
        self.newest = self.newest.max(position);
    }

    pub fn edition(&self) -> u64 {
        self.edition
    }

    pub fn seen(&self, class: Class) -> Position {
        self.seen[class as usize]
    }

    pub fn is_current(&self, class: Class, epoch: u64) -> bool {
        self.current_in[class as usize] == epoch
    }

    /// Takes note that the database found nothing newer of this class below `head`.
    pub fn confirm(&mut self, class: Class, head: Position, epoch: u64) {
        self.seen[class as usize] = head;
        self.current_in[class as usize] = epoch;
    }
}

/// The node's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    subjects: Generations<Subject, Remembered>,
    /// The events of requests that this node appended lately, to answer a repeated one without asking the database.
    pub requests: Generations<RequestKey, Vec<Recorded>>,
    /// The head after this node's last batch.
    pub head: Position,
    /// Counts how often others were found to have appended.
    pub epoch: u64,
    /// The newest edition of any state.
    edition: u64,
}

impl Memory {
    pub fn new() -> Self {
        let (subjects, requests) = (Generations::new(SUBJECTS_MAX), Generations::new(REQUESTS_MAX));
        Self { subjects, requests, head: 0, epoch: 1, edition: SPOILED }
    }

    pub fn contains(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }

    /// Finds a state that may be decided on.
    pub fn peek(&self, subject: &Subject) -> Option<&Remembered> {
        self.subjects.peek(subject).filter(|remembered| remembered.edition != SPOILED)
    }

    /// Finds a state that may be decided on, and takes note that it is in use.
    pub fn get(&mut self, subject: &Subject) -> Option<&mut Remembered> {
        self.subjects.get(subject).filter(|remembered| remembered.edition != SPOILED)
    }

    pub fn insert(&mut self, subject: Subject, remembered: Remembered) {
        self.edition += 1;
        self.subjects.insert(subject, Remembered { edition: self.edition, ..remembered });
    }

    /// Makes a state another edition: whoever has decided on it decides again.
    pub fn renew(&mut self, subject: &Subject) {
        self.edition += 1;
        let edition = self.edition;
        if let Some(remembered) = self.get(subject) {
            remembered.edition = edition;
        }
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

    /// Forgets everything: after an append whose outcome is unknown.
    pub fn clear(&mut self) {
        self.subjects.clear();
        self.requests.clear();
        self.epoch += 1;
    }

    /// Takes note of the head that a batch found and left.
    pub fn advance(&mut self, head_before: Position, head_after: Position) {
        if head_before != self.head {
            self.epoch += 1;
        }
        self.head = head_after;
    }
}
