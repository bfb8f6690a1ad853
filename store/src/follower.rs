//! Keeps the states in a node's memory what the log says: takes in what others appended, and loads what is missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::decide::Known;
use domain::event::{Position, Recorded};
use domain::tag::{Class, Subject, TagKey};
use uuid::Uuid;

use crate::decider::{Decider, Prepared, Queued, is_about, lock};
use crate::engine::{Engine, RowAndKey};
use crate::envelope::{self, Sealed};
use crate::memory::Remembered;

/// Events of others that are read at once to keep the states in memory current.
const FOLLOWED_MAX: usize = 2_000;
/// The same, for each command of our own, where few of them are about anything in memory.
const FOLLOWED_FOR_EACH: usize = 16;
/// One event in so many about something in memory makes it worth reading them.
const WORTH: usize = 2;
/// Subjects that are loaded by one statement.
const LOADED_AT_ONCE: usize = 16;

/// Reads on a connection of its own.
pub(crate) struct Follower {
    reader: Box<dyn Engine>,
    decider: Arc<Decider>,
    /// Whether few events of others were about anything in memory.
    pub is_apart: bool,
}

impl Follower {
    pub fn new(reader: Box<dyn Engine>, decider: Arc<Decider>) -> Self {
        Self { reader, decider, is_apart: false }
    }

    /// Gives the connection up; the next read makes a new one.
    pub async fn give_up(&mut self) {
        self.reader.give_up().await;
    }

    /// Takes in what others appended until now, while nothing of ours is under way. Tells which states have become others.
    pub async fn follow_to_head(&mut self, prepared: &mut Prepared) -> Result<HashSet<Subject>, sqlx::Error> {
        let known = lock(&self.decider.memory).head;
        if known == 0 {
            return Ok(HashSet::new()); // nothing is remembered that it could change, and the next append tells the head
        }
        let rows = self.reader.between(known, known + FOLLOWED_MAX as Position + 1).await?;
        let head = rows.last().map_or(known, |(newest, ..)| *newest);
        self.take_in((rows.len() <= FOLLOWED_MAX).then_some(rows), head, prepared).await
    }

    /// Takes in what others appended up to `before`, unless it is too much for one who has so many `commands`; the log has
    /// come to `head` since, by us alone. Tells which states have become others.
    pub async fn follow(
        &mut self,
        before: Position,
        head: Position,
        commands: usize,
        prepared: &mut Prepared,
    ) -> Result<HashSet<Subject>, sqlx::Error> {
        let known = lock(&self.decider.memory).head;
        let worth_reading = if self.is_apart { FOLLOWED_FOR_EACH * commands } else { FOLLOWED_MAX };
        let rows = match (before - known) as usize {
            0 => Some(Vec::new()),
            count if count <= worth_reading => Some(self.reader.between(known, before).await?),
            _ => None,
        };
        self.take_in(rows, head, prepared).await
    }

    /// Takes in what others appended, unless it was too much to be read. What was decided on states that have become others is
    /// decided again.
    async fn take_in(
        &mut self,
        rows: Option<Vec<RowAndKey>>,
        head: Position,
        prepared: &mut Prepared,
    ) -> Result<HashSet<Subject>, sqlx::Error> {
        let mut changed = HashSet::new();
        lock(&self.decider.memory).set_follows(rows.is_some());
        if let Some(rows) = rows.filter(|rows| !rows.is_empty()) {
            match self.open_followed(&rows).await? {
                Some(events) => {
                    self.is_apart = events.len() * WORTH < rows.len();
                    changed = self.decider.take_in(&events);
                }
                None => lock(&self.decider.memory).clear(), // whoever needs a state loads it, and sees what is wrong
            }
            let stale = self.decider.take_stale(&mut prepared.decided);
            self.decider.decide(stale, prepared);
        }
        lock(&self.decider.memory).head = head;
        Ok(changed)
    }

    /// Loads what states that commands read miss, or all of one that is not in memory.
    pub async fn load_missing(&mut self, commands: &[Queued]) -> Result<(), sqlx::Error> {
        let missing: Vec<Subject> = self.decider.missing(commands).into_iter().collect();
        for subjects in missing.chunks(LOADED_AT_ONCE) {
            let classes_of = |subject| Class::ALL.map(|class| TagKey::new(subject, class));
            let tags: Vec<TagKey> = subjects.iter().flat_map(classes_of).collect();
            let held: Vec<_> = {
                let mut memory = lock(&self.decider.memory);
                let held = |subject| memory.take(subject).unwrap_or_else(|| (Known::nothing(subject), 0));
                subjects.iter().map(held).collect()
            };
            let after = held.iter().map(|(_, seen)| *seen).min().unwrap_or_default();
            let events = self.under(&tags, after).await?;
            let mut memory = lock(&self.decider.memory);
            // Positions appear in their order: whoever sees one has seen all before.
            let newest = events.last().map_or(memory.head, |newest| memory.head.max(newest.position));
            for (subject, (mut known, seen)) in subjects.iter().zip(held) {
                let missed = events.iter().filter(|event| event.position > seen && is_about(event, subject));
                missed.for_each(|event| known.evolve(event));
                memory.insert(subject.clone(), Remembered::loaded(known, seen.max(newest)));
            }
        }
        Ok(())
    }

    /// Reads the events under these tags after a position.
    pub async fn under(&mut self, tags: &[TagKey], after: Position) -> Result<Vec<Recorded>, sqlx::Error> {
        let rows = self.reader.under(tags, after).await?;
        self.open(&rows).await
    }

    /// Opens what stands in rows, with keys read on the same connection.
    async fn open(&mut self, rows: &[(Position, String)]) -> Result<Vec<Recorded>, sqlx::Error> {
        let keys = Arc::clone(&self.decider.keys);
        let closed = rows.iter().map(|(position, envelope)| envelope::read_closed(*position, envelope));
        let closed: Vec<_> = closed.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let persons = closed.iter().filter_map(|(_, sealed)| sealed.as_ref()).map(|sealed| sealed.person);
        let mut missing: Vec<Uuid> = persons.collect();
        missing.sort_unstable();
        missing.dedup();
        let mut opened = keys.remembered_of(&missing);
        missing.retain(|person| !opened.contains_key(person));
        if !missing.is_empty() {
            let forgotten = keys.forgotten();
            let mut read = Vec::with_capacity(missing.len());
            for (person, wrapped) in self.reader.person_keys(&missing).await? {
                let key = keys.unwrap(person, &wrapped).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                read.push((person, key));
            }
            opened.extend(read.iter().cloned());
            keys.remember(read, forgotten);
        }
        let open = |(mut event, sealed): (Recorded, Option<Sealed>)| {
            if let Some(sealed) = sealed
                && let Some(key) = opened.get(&sealed.person)
            {
                sealed.open_in(&mut event, key);
            }
            event
        };
        Ok(closed.into_iter().map(open).collect())
    }

    /// The events in rows that are about anything in memory, opened with the keys that came along or are read now; none if
    /// one of them cannot be read.
    async fn open_followed(&mut self, rows: &[RowAndKey]) -> Result<Option<Vec<Recorded>>, sqlx::Error> {
        let decider = Arc::clone(&self.decider);
        let mut closed = Vec::with_capacity(rows.len());
        for (position, envelope, wrapped) in rows {
            let Ok((event, sealed)) = envelope::read_closed(*position, envelope) else { return Ok(None) };
            if decider.remembers(&event) {
                closed.push((event, sealed, wrapped.as_deref()));
            }
        }
        let missing = closed.iter().filter(|(.., wrapped)| wrapped.is_none());
        let missing = missing.filter_map(|(_, sealed, _)| sealed.as_ref()).map(|sealed| sealed.person);
        let missing: Vec<Uuid> = missing.collect();
        let read: HashMap<Uuid, String> = match missing.is_empty() {
            true => HashMap::new(),
            false => self.reader.person_keys(&missing).await?.into_iter().collect(),
        };
        let open = |(mut event, sealed, wrapped): (Recorded, Option<Sealed>, Option<&str>)| {
            if let Some(sealed) = sealed
                && let Some(wrapped) = wrapped.or_else(|| Some(read.get(&sealed.person)?.as_str()))
            {
                let unwrap = || decider.keys.unwrap(sealed.person, wrapped).ok();
                let key = decider.keys.remembered(sealed.person).or_else(unwrap)?;
                sealed.open_in(&mut event, &key);
            }
            Some(event)
        };
        Ok(closed.into_iter().map(open).collect())
    }
}
