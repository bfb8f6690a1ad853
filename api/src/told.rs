//! The log as it is told to those who may read it: every event in plain words and as data, page by page.
//!
//! A history is told from its beginning, since the names that it needs come from the events before. What one page needs
//! is in memory, and the names.

use std::collections::{BTreeMap, BTreeSet};

use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, IdentityId};
use domain::narrate::{Narrator, actor_in_words};
use domain::personal::Personal;
use domain::tag::{RequestKey, Subject, Tag};
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use store::{ExecuteError, ReadError, Store};
use utoipa::ToSchema;

/// Events in one page.
const PAGE: i64 = 500;
/// Other accounts that one history learns names from: partners, and where an identity was linked. What it tells of further
/// ones is without names.
const ACCOUNTS_NAMED_MAX: usize = 100;

/// One event of a history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Its place in the log.
    pub position: Position,
    /// Its id.
    pub id: uuid::Uuid,
    /// When it was recorded (RFC 3339).
    pub recorded_at: String,
    /// The event type.
    #[schema(example = "IdentityAssociated")]
    pub event_type: String,
    /// What happened, in words.
    pub words: String,
    /// Who did it.
    #[schema(example = "identity:8d5c6a2e-0000-4000-8000-000000000000")]
    pub actor: String,
    /// Who did it, in words.
    pub actor_words: String,
    /// The id of the request it came from.
    pub request: uuid::Uuid,
    /// What it is about.
    pub tags: Vec<String>,
    /// The facts.
    #[schema(value_type = Object)]
    pub facts: Value,
    /// What it says of a person: a name, an address, a mail server's reply, the grounds of an appointment. Null where it
    /// says nothing of the kind, and once that was erased.
    #[schema(value_type = Option<Object>)]
    pub personal: Option<Value>,
}

impl HistoryEntry {
    fn from_recorded(recorded: &Recorded, narrator: &mut Narrator) -> Self {
        Self {
            position: recorded.position,
            id: recorded.id.0,
            recorded_at: recorded.recorded_at.to_string(),
            event_type: recorded.event.name().into(),
            words: narrator.tell(recorded),
            actor: recorded.actor.to_string(),
            actor_words: actor_in_words(&recorded.actor, narrator),
            request: recorded.request.id,
            tags: recorded.event.tags().iter().map(ToString::to_string).collect(),
            facts: serde_json::from_str(&recorded.event.facts()).unwrap_or_default(),
            personal: recorded.event.personal().map(|(_, personal)| data_of(&personal)),
        }
    }
}

fn data_of(personal: &Personal) -> Value {
    match personal {
        Personal::Professional(details) => {
            json!({ "name": details.name.as_str(), "address": details.address.as_str() })
        }
        Personal::Identity(details) => json!({
            "name": details.name.as_ref().map(|name| name.as_str()),
            "address": details.address.as_ref().map(|address| address.as_str()),
        }),
        Personal::Reply(reply) => json!({ "reply": reply }),
        Personal::Address(address) => json!({ "address": address.as_str() }),
        Personal::Grounds(grounds) => {
            json!({ "reason": grounds.reason.as_str(), "evidence": grounds.evidence.as_str() })
        }
    }
}

/// Which events are wanted; all if nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those with this tag.
    pub tag: Option<Tag>,
    /// Those of one of these types; of any if there are none.
    pub types: Vec<&'static str>,
    /// Those by this actor.
    pub actor: Option<Actor>,
    /// Those recorded at this time or later.
    pub from: Option<Timestamp>,
    /// Those recorded before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether the event is wanted.
    pub fn takes(&self, recorded: &Recorded) -> bool {
        let at = recorded.recorded_at;
        (self.types.is_empty() || self.types.contains(&recorded.event.name()))
            && self.actor.as_ref().is_none_or(|actor| *actor == recorded.actor)
            && self.from.is_none_or(|from| from <= at)
            && self.until.is_none_or(|until| at < until)
            && self.tag.as_ref().is_none_or(|tag| recorded.event.tags().contains(tag))
    }
}

/// Whose events are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Everything about one subject.
    Subject(Subject),
    /// The whole log.
    Log,
}

/// A history that is being told, page by page, the oldest event first.
#[derive(Debug)]
pub struct Telling {
    store: Store,
    source: Source,
    filter: Filter,
    /// Only what stands after it is told; what stands before is learned from.
    after: Position,
    /// Nothing behind it is told, so that a reading which is recorded in the history comes to an end.
    end: Position,
    read_to: Position,
    narrator: Narrator,
    /// The subjects whose names are known.
    known: BTreeSet<Subject>,
    /// Events of other subjects that name somebody, until the story gets there.
    naming: BTreeMap<Position, Event>,
}

impl Telling {
    /// Tells what the filter takes of a source, after one position and up to another.
    pub fn new(store: Store, source: Source, filter: Filter, after: Position, end: Position) -> Self {
        let known = match &source {
            Source::Subject(subject) => BTreeSet::from([subject.clone()]),
            Source::Log => BTreeSet::new(),
        };
        let (narrator, naming) = (Narrator::default(), BTreeMap::new());
        Self { store, source, filter, after, end, read_to: 0, narrator, known, naming }
    }

    /// How far it has read.
    pub const fn position(&self) -> Position {
        self.read_to
    }

    /// Reads on and tells what of it is wanted, which may be nothing; none at the end.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<HistoryEntry>>, ReadError> {
        let mut events = match &self.source {
            Source::Subject(subject) => self.store.page_about(subject, self.read_to, PAGE).await?,
            Source::Log => self.store.page(self.read_to, PAGE).await?,
        };
        events.retain(|recorded| recorded.position <= self.end);
        let Some(last) = events.last() else { return Ok(None) };
        self.read_to = last.position;
        if let Source::Subject(subject) = self.source.clone() {
            for related in events.iter().flat_map(|recorded| related_to(&subject, recorded)) {
                self.learn_names_of(related).await?;
            }
        }
        Ok(Some(events.iter().filter_map(|recorded| self.tell(recorded)).collect()))
    }

    fn tell(&mut self, recorded: &Recorded) -> Option<HistoryEntry> {
        let later = self.naming.split_off(&recorded.position);
        for event in std::mem::replace(&mut self.naming, later).values() {
            self.narrator.learn(event);
        }
        if recorded.position > self.after && self.filter.takes(recorded) {
            return Some(HistoryEntry::from_recorded(recorded, &mut self.narrator));
        }
        self.narrator.learn(&recorded.event);
        None
    }

    /// Reads once what names a subject, its people, or what it is.
    async fn learn_names_of(&mut self, subject: Subject) -> Result<(), ReadError> {
        let is_account = |subject: &Subject| matches!(subject, Subject::Account(_));
        let is_full =
            is_account(&subject) && self.known.iter().filter(|it| is_account(it)).count() >= ACCOUNTS_NAMED_MAX;
        if is_full || !self.known.insert(subject.clone()) {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let events = self.store.page_about(&subject, after, PAGE).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.position;
            for recorded in events {
                match recorded.event {
                    // What the identity was linked to later, here or elsewhere, is not known yet when the story begins.
                    Event::IdentityRegistered(_) => self.narrator.learn(&recorded.event),
                    event if is_naming(&event) => drop(self.naming.insert(recorded.position, event)),
                    _ => {}
                }
            }
        }
    }
}

/// Whether an event of another account gives somebody, or the account, a name.
const fn is_naming(event: &Event) -> bool {
    matches!(
        event,
        Event::AccountOpened(_) | Event::AccountRenamed(_) | Event::ProfessionalAdded(_) | Event::ProfessionalEdited(_)
    )
}

/// The other subjects that the words of an event name: who acted, the identities and the partner that it is about, and in
/// the history of an identity the account.
fn related_to(subject: &Subject, recorded: &Recorded) -> Vec<Subject> {
    let mut identities: Vec<IdentityId> = Vec::new();
    let mut accounts: Vec<AccountId> = Vec::new();
    if let Actor::Identity(identity) = recorded.actor {
        identities.push(identity);
    }
    match &recorded.event {
        Event::IdentityAssociated(e) => identities.extend([Some(e.to), e.from].into_iter().flatten()),
        Event::IdentityUnlinked(e) => identities.push(e.identity),
        Event::PartnerAssigned(e) => accounts.push(e.partner),
        Event::PartnerRemoved(e) => accounts.push(e.partner),
        Event::AppointmentProposed(e) => accounts.extend(e.partner),
        _ => {}
    }
    if !matches!(subject, Subject::Account(_)) {
        accounts.extend(recorded.event.about().account);
    }
    accounts.into_iter().map(Subject::Account).chain(identities.into_iter().map(Subject::Identity)).collect()
}

/// Records that somebody reads a history; to be called before anything of it is shown. `tag` is none for the whole log.
///
/// # Errors
/// It could not be recorded, so nothing may be shown.
pub async fn record_reading(
    store: &Store,
    tag: Option<Tag>,
    source: &Source,
    caller: Caller,
    request: Request,
) -> Result<(), ExecuteError> {
    let subject = match source {
        Source::Subject(subject) => subject.clone(),
        // About nothing that there is: the command needs a subject to be decided by, and this one is its own.
        Source::Log => Subject::Request(RequestKey(request.id)),
    };
    store.execute(Command::RecordAuditRead { tag, subject }, caller, request).await.map(drop)
}
