//! Who asks: the actor that an event names, and what the caller may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{AccountId, EventId, IdentityId, ProfessionalId};
use crate::tag::RequestKey;
use crate::time::Timestamp;
use crate::words::Scope;

/// Who did something, as it stands in the event (R25). Its text form is `kind:value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Actor {
    /// A signed-in person: `identity:<uuid>`.
    Identity(IdentityId),
    /// The holder of an API key: `key:<uuid>`.
    Key(Uuid),
    /// The holder of a link, before any sign-in: `link`.
    Link,
    /// Somebody at the command line of the service: `cli:<user>`.
    Cli(String),
    /// A worker of the service itself: `worker:<name>`.
    Worker(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(id) => write!(f, "identity:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Link => f.write_str("link"),
            Self::Cli(user) => write!(f, "cli:{user}"),
            Self::Worker(name) => write!(f, "worker:{name}"),
        }
    }
}

/// A text is not an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an actor")]
pub struct NotAnActor;

impl FromStr for Actor {
    type Err = NotAnActor;

    fn from_str(text: &str) -> Result<Self, NotAnActor> {
        if text == "link" {
            return Ok(Self::Link);
        }
        let (kind, value) = text.split_once(':').ok_or(NotAnActor)?;
        match kind {
            "identity" => value.parse().map(Self::Identity).map_err(|_| NotAnActor),
            "key" => value.parse().map(Self::Key).map_err(|_| NotAnActor),
            "cli" => Ok(Self::Cli(value.into())),
            "worker" => Ok(Self::Worker(value.into())),
            _ => Err(NotAnActor),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

impl TryFrom<String> for Actor {
    type Error = NotAnActor;

    fn try_from(text: String) -> Result<Self, NotAnActor> {
        text.parse()
    }
}

/// Who asks and with what authority. Authority over an account is decided on the account's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whom the events will name.
    pub actor: Actor,
    /// What staff and keys may do; empty for people.
    pub scopes: Vec<Scope>,
    /// The one profile that the caller acts as, if it said so.
    pub acting_as: Option<ProfessionalId>,
    /// The partner account that the caller acts for in an account that it serves; its state is part of the decision.
    pub partner: Option<AccountId>,
    /// When the person proved the identity to its provider; none where nobody signed in.
    pub signed_in_at: Option<Timestamp>,
}

impl Caller {
    /// A caller with no scopes.
    pub fn new(actor: Actor) -> Self {
        Self { actor, scopes: Vec::new(), acting_as: None, partner: None, signed_in_at: None }
    }

    /// A caller with these scopes.
    pub fn with_scopes(actor: Actor, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { scopes: scopes.into_iter().collect(), ..Self::new(actor) }
    }

    /// Whether the caller has one of these scopes.
    pub fn has_any(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// The request that an event came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The request's own id, as the logs name it.
    pub id: Uuid,
    /// The key of its one effect, where the caller gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RequestKey>,
    /// A keyed hash of what was asked; the same key with another body is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
    /// The event that last changed what the command is about, as the caller knows it (`If-Match`); not recorded.
    #[serde(skip)]
    pub if_match: Option<EventId>,
}

/// Everything that a decision needs beside the past and the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The one time of the command: decides expiry and becomes the event's time.
    pub now: Timestamp,
    /// Who asks.
    pub caller: Caller,
    /// The request.
    pub request: Request,
}
