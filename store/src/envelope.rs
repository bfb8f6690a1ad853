//! An event as it is stored: one JSON text of exact bytes. Whoever reads it back gets what was written, byte by byte.

use std::borrow::Cow;
use std::fmt;

use domain::caller::{Actor, Request};
use domain::event::{Event, Position, Recorded};
use domain::ids::EventId;
use domain::personal::{Person, Personal};
use domain::time::Timestamp;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::seal::{self, PersonKey};

/// The version of every event type's facts that this release writes: the first. A new field has a default and needs no new
/// version; a new meaning is a new event.
const VERSION: u32 = 1;
/// What most envelopes fit in, in bytes.
const USUAL_BYTES: usize = 1_024;

#[derive(Serialize)]
struct Envelope<'a> {
    id: EventId,
    #[serde(rename = "type")]
    event_type: &'a str,
    v: u32,
    at: Timestamp,
    actor: Actor,
    request: Request,
    tags: Vec<String>,
    facts: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<SealedText<'a>>,
}

/// What is personal in an event, as it is written.
#[derive(Serialize, Deserialize)]
struct SealedText<'a> {
    person: Uuid,
    part: &'a str,
}

/// What is personal in an event.
pub(crate) struct Sealed {
    /// Whose key opens it.
    pub person: Uuid,
    bytes: Vec<u8>,
}

/// A stored event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// Its bytes are no envelope, or its facts are not those of its type.
    #[error("the event at position {position} is not readable")]
    Malformed {
        /// Where it stands.
        position: Position,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// A newer release wrote it.
    #[error("the event at position {position} has the unknown type {event_type} in version {version}")]
    UnknownType {
        /// Where it stands.
        position: Position,
        /// Its type.
        event_type: String,
        /// Its version.
        version: u32,
    },
}

/// Writes an event's envelope. `key` is the key of the person whose data it carries, if it carries any.
pub(crate) fn write(recorded: &Recorded, key: Option<&PersonKey>) -> String {
    let event = &recorded.event;
    let facts = RawValue::from_string(event.facts()).expect("invariant: facts are JSON");
    let part = match (event.personal(), key) {
        (Some((person, personal)), Some(key)) => {
            let belongs_to = belongs_to(recorded.id, event.name());
            Some((person.id(), seal::seal(key, &belongs_to, &personal.to_bytes())))
        }
        _ => None,
    };
    let envelope = Envelope {
        id: recorded.id,
        event_type: event.name(),
        v: VERSION,
        at: recorded.recorded_at,
        actor: recorded.actor.clone(),
        request: recorded.request.clone(),
        tags: event.tags().iter().map(ToString::to_string).collect(),
        facts: &facts,
        sealed: part.as_ref().map(|(person, part)| SealedText { person: *person, part }),
    };
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut bytes, &envelope).expect("invariant: an envelope of texts and numbers is JSON");
    String::from_utf8(bytes).expect("invariant: JSON is UTF-8")
}

/// What stands before the id of the person whose data an envelope carries. No text in it looks like this: quotes within
/// texts are escaped.
pub(crate) const SEALED_FOR: &str = "\"sealed\":{\"person\":\"";

/// The person whose data an envelope carries, if any.
pub(crate) fn person(envelope: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct OfPerson {
        sealed: Option<Whose>,
    }
    #[derive(Deserialize)]
    struct Whose {
        person: Uuid,
    }
    // Most envelopes carry none: a look at the text spares the parse.
    if !envelope.contains("\"sealed\":{") {
        return None;
    }
    serde_json::from_str::<OfPerson>(envelope).ok()?.sealed.map(|sealed| sealed.person)
}

/// The tags that an envelope names; none where it is no envelope.
pub(crate) fn tags(envelope: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Tagged {
        tags: Vec<String>,
    }
    serde_json::from_str::<Tagged>(envelope).map(|tagged| tagged.tags).unwrap_or_default()
}

/// What a reader takes from an envelope; the tags follow from the facts.
struct Written<'a> {
    id: EventId,
    event_type: &'a str,
    version: u32,
    at: Timestamp,
    actor: Actor,
    request: Request,
    /// None if this release does not know its type in its version.
    event: Option<Event>,
    sealed: Option<SealedText<'a>>,
}

/// In one pass: type and version stand before the facts, which are read as what those say.
impl<'de> Deserialize<'de> for Written<'de> {
    fn deserialize<D: Deserializer<'de>>(envelope: D) -> Result<Self, D::Error> {
        envelope.deserialize_map(Fields)
    }
}

/// Collects the fields of an envelope.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Written<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Written<'de>, A::Error> {
        let (mut id, mut event_type, mut version, mut at) = (None, None, None, None);
        let (mut actor, mut request, mut event, mut sealed) = (None, None, None, None);
        while let Some(field) = fields.next_key()? {
            match field {
                "id" => id = Some(fields.next_value()?),
                "type" => event_type = Some(fields.next_value()?),
                "v" => version = Some(fields.next_value()?),
                "at" => at = Some(fields.next_value()?),
                "actor" => actor = Some(fields.next_value::<Text<'_>>()?.0.parse().map_err(A::Error::custom)?),
                "request" => request = Some(fields.next_value()?),
                "facts" => {
                    let event_type = event_type.ok_or_else(|| A::Error::missing_field("type"))?;
                    let is_ours = version.ok_or_else(|| A::Error::missing_field("v"))? == VERSION;
                    event = Some(fields.next_value_seed(FactsOf(if is_ours { event_type } else { "" }))?);
                }
                "sealed" => sealed = Some(fields.next_value()?),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Written {
            id: id.ok_or_else(|| A::Error::missing_field("id"))?,
            event_type: event_type.ok_or_else(|| A::Error::missing_field("type"))?,
            version: version.ok_or_else(|| A::Error::missing_field("v"))?,
            at: at.ok_or_else(|| A::Error::missing_field("at"))?,
            actor: actor.ok_or_else(|| A::Error::missing_field("actor"))?,
            request: request.ok_or_else(|| A::Error::missing_field("request"))?,
            event: event.ok_or_else(|| A::Error::missing_field("facts"))?,
            sealed,
        })
    }
}

/// A text, copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads facts as those of this event type, if this release knows it.
struct FactsOf<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for FactsOf<'_> {
    type Value = Option<Event>;

    fn deserialize<D: Deserializer<'de>>(self, facts: D) -> Result<Option<Event>, D::Error> {
        Event::from_facts(self.0, facts)
    }
}

/// Reads an envelope. What is personal in it comes beside the event, still sealed.
///
/// # Errors
/// The bytes are no envelope of an event that this release knows.
pub(crate) fn read_closed(position: Position, envelope: &str) -> Result<(Recorded, Option<Sealed>), UnreadableEvent> {
    let written: Written<'_> =
        serde_json::from_str(envelope).map_err(|source| UnreadableEvent::Malformed { position, source })?;
    let Written { id, event_type, version, at: recorded_at, actor, request, event, sealed } = written;
    let unknown = || UnreadableEvent::UnknownType { position, event_type: event_type.into(), version };
    let event = event.ok_or_else(unknown)?;
    let sealed = sealed.and_then(|SealedText { person, part }| {
        let bytes = seal::decode(part).ok()?; // what is not even text of ours does not open either
        Some(Sealed { person, bytes })
    });
    Ok((Recorded { position, id, recorded_at, actor, request, event }, sealed))
}

impl Sealed {
    /// Opens the personal part of the event that it came with. What does not open is left out, as after erasure.
    pub fn open_in(self, recorded: &mut Recorded, key: &PersonKey) {
        let belongs_to = belongs_to(recorded.id, recorded.event.name());
        let plain = seal::open_bytes(key, &belongs_to, self.bytes).ok();
        if let Some(personal) = plain.and_then(|plain| Personal::from_bytes(&plain).ok()) {
            recorded.event.set_personal(personal);
        }
    }
}

/// Reads an envelope and opens its personal part with the person's key, if it is there.
///
/// # Errors
/// The bytes are no envelope of an event that this release knows.
pub(crate) fn read(
    position: Position,
    envelope: &str,
    key: impl FnOnce(Uuid) -> Option<PersonKey>,
) -> Result<Recorded, UnreadableEvent> {
    let (mut recorded, sealed) = read_closed(position, envelope)?;
    if let Some((sealed, key)) = sealed.and_then(|sealed| key(sealed.person).map(|key| (sealed, key))) {
        sealed.open_in(&mut recorded, &key);
    }
    Ok(recorded)
}

/// The person whose key seals the event's personal part.
pub(crate) fn sealed_for(event: &Event) -> Option<Person> {
    event.personal().map(|(person, _)| person)
}

fn belongs_to(id: EventId, event_type: &str) -> Vec<u8> {
    [id.0.as_bytes(), event_type.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use domain::address::EmailAddress;
    use domain::event::ProfessionalAdded;
    use domain::ids::{AccountId, ProfessionalId};
    use domain::name::PersonName;
    use domain::personal::ProfessionalDetails;
    use domain::words::Language;

    use super::*;
    use crate::secret::Secret;

    fn added() -> Recorded {
        let details = ProfessionalDetails {
            name: PersonName::parse("Robin Rivers").unwrap(),
            address: EmailAddress::parse("robin@harbour.example").unwrap(),
        };
        Recorded {
            position: 7,
            id: EventId(Uuid::from_u128(1)),
            recorded_at: Timestamp(5),
            actor: Actor::Cli("root".into()),
            request: Request { id: Uuid::from_u128(2), key: None, body: None, if_match: None },
            event: ProfessionalAdded {
                account: AccountId(Uuid::from_u128(3)),
                professional: ProfessionalId(Uuid::from_u128(4)),
                language: Language::English,
                details: Some(details),
            }
            .into(),
        }
    }

    #[test]
    fn t68_the_envelope_shows_nothing_personal_and_opens_only_with_the_persons_key() {
        let (recorded, key) = (added(), Secret::new([1; 32]));
        let text = write(&recorded, Some(&key));
        assert!(!text.contains("Robin") && !text.contains("harbour"), "{text}");
        assert_eq!(person(&text), Some(Uuid::from_u128(4)));
        assert_eq!(read(7, &text, |_| Some(key)).unwrap(), recorded);
        let Event::ProfessionalAdded(erased) = read(7, &text, |_| None).unwrap().event else { panic!() };
        assert_eq!(erased.details, None);
    }

    #[test]
    fn t76_an_unknown_type_or_version_is_an_error_that_names_it() {
        let text = write(&added(), None);
        for changed in [text.replace("ProfessionalAdded", "ProfessionalPromoted"), text.replace("\"v\":1", "\"v\":2")] {
            let error = read(7, &changed, |_| None).unwrap_err();
            assert!(matches!(error, UnreadableEvent::UnknownType { position: 7, .. }), "{error}");
        }
        let facts_first = text.replacen("\"type\":", "\"facts\":{},\"type\":", 1);
        for malformed in [
            "{}",
            "[]",
            &facts_first,
            &text.replace("\"id\":", "\"ID\":"),
            &text.replace("\"facts\":{", "\"facts\":{,"),
        ] {
            let error = read(7, malformed, |_| None).unwrap_err();
            assert!(matches!(error, UnreadableEvent::Malformed { position: 7, .. }), "{error}");
        }
    }
}
