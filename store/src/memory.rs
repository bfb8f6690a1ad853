//! The states that decisions are made on, kept in the node's memory between commands.
//!
//! Invariant: a remembered state holds every event about its subject that this node appended, committed or pending in
//! the batch at hand, and for each class every event of others up to `seen`. The database checks what may be newer.

use std::num::NonZeroUsize;

use domain::decide::Known;
use domain::event::{Position, Recorded};
use domain::tag::{Class, RequestKey, Subject};

use crate::generations::Generations;

/// Subjects kept in memory: the accounts of a busy hour. At most twice as many are held.
const SUBJECTS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("invariant: the constant is not zero");

/// Requests kept in memory: the repeats that clients send within seconds.
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("invariant: the constant is not zero");

/// One subject's state, and up to where it is known.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub known: Known,
    seen: [Position; Class::ALL.len()],
    /// In which epoch of the node each class was last known to be current; 0 if never.
    current_in: [u64; Class::ALL.len()],
}

impl Remembered {
    /// A state that holds every event up to `seen`.
    pub fn loaded(known: Known, seen: Position) -> Self {
        Self { known, seen: [seen; Class::ALL.len()], current_in: [0; Class::ALL.len()] }
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
}

impl Memory {
    pub fn new() -> Self {
        Self { subjects: Generations::new(SUBJECTS_MAX), requests: Generations::new(REQUESTS_MAX), head: 0, epoch: 1 }
    }

    pub fn contains(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }

    pub fn peek(&self, subject: &Subject) -> Option<&Remembered> {
        self.subjects.peek(subject)
    }

    pub fn get(&mut self, subject: &Subject) -> Option<&mut Remembered> {
        self.subjects.get(subject)
    }

    pub fn insert(&mut self, subject: Subject, remembered: Remembered) {
        self.subjects.insert(subject, remembered);
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
