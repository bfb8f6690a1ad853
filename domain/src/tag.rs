//! What events are about, and the part of it that the log indexes.
//!
//! Every event carries all its tags in its envelope. Only a [`Subject`] has rows in the tag index: it is what a
//! command loads and decides by. A professional's or an invitation's history is its account's, filtered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{AccountId, IdentityId, InvitationId, ProfessionalId};
use crate::name::CustomerNumber;

/// The name of one thing that an event is about. Its text form is `kind:value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// `account:<uuid>`
    Account(AccountId),
    /// `professional:<uuid>`
    Professional(ProfessionalId),
    /// `invitation:<uuid>`
    Invitation(InvitationId),
    /// `identity:<uuid>`
    Identity(IdentityId),
    /// `customer-number:<number>`
    CustomerNumber(CustomerNumber),
}

impl Tag {
    /// What has rows in the index under this name, if anything.
    pub fn subject(self) -> Option<Subject> {
        match self {
            Self::Account(id) => Some(Subject::Account(id)),
            Self::Identity(id) => Some(Subject::Identity(id)),
            Self::CustomerNumber(number) => Some(Subject::CustomerNumber(number)),
            Self::Professional(_) | Self::Invitation(_) => None,
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Professional(id) => write!(f, "professional:{id}"),
            Self::Invitation(id) => write!(f, "invitation:{id}"),
            Self::Identity(id) => write!(f, "identity:{id}"),
            Self::CustomerNumber(number) => write!(f, "customer-number:{number}"),
        }
    }
}

/// A text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag: expected account, professional, invitation, identity or customer-number, a colon and a value")]
pub struct NotATag;

impl FromStr for Tag {
    type Err = NotATag;

    fn from_str(text: &str) -> Result<Self, NotATag> {
        let (kind, value) = text.split_once(':').ok_or(NotATag)?;
        match kind {
            "account" => value.parse().map(Self::Account).map_err(|_| NotATag),
            "professional" => value.parse().map(Self::Professional).map_err(|_| NotATag),
            "invitation" => value.parse().map(Self::Invitation).map_err(|_| NotATag),
            "identity" => value.parse().map(Self::Identity).map_err(|_| NotATag),
            "customer-number" => CustomerNumber::parse(value).map(Self::CustomerNumber).map_err(|_| NotATag),
            _ => Err(NotATag),
        }
    }
}

/// The identity of a request that asked for one effect: a hash of its caller and its `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestKey(pub uuid::Uuid);

impl RequestKey {
    /// Derives the key from who asks and the `Idempotency-Key` that came with the request.
    pub fn derive(caller: &str, idempotency_key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((caller.len() as u64).to_be_bytes());
        hash.update(caller.as_bytes());
        hash.update(idempotency_key.as_bytes());
        Self(uuid::Builder::from_custom_bytes(first_bytes(&hash.finalize())).into_uuid())
    }
}

/// What a command loads and decides by; the tags with rows in the log's index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Everything about one account and its people.
    Account(AccountId),
    /// One sign-in identity.
    Identity(IdentityId),
    /// The one account that a customer number opens.
    CustomerNumber(CustomerNumber),
    /// The one effect of a request.
    Request(RequestKey),
}

/// Which decisions an event matters to. A boundary is subjects × classes: events of other classes never disturb it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Accounts, people, roles, invitations, associations.
    Decision = 0,
    /// Attempts to send mail, and their outcomes.
    Mail = 1,
    /// Visits of links and clicks.
    Visit = 2,
    /// Mailbox codes.
    Code = 3,
    /// Sign-ins of administrators.
    SignIn = 4,
    /// Reads of histories.
    Audit = 5,
}

impl Class {
    /// Every class, in the order of its number.
    pub const ALL: [Self; 6] = [Self::Decision, Self::Mail, Self::Visit, Self::Code, Self::SignIn, Self::Audit];
}

/// How many low bits of a [`TagKey`] hold the class.
const CLASS_BITS: i64 = 4;

/// The index key of a subject: 60 bits that stand for it, 4 bits of class.
///
/// Two subjects may collide; whoever reads by key filters by the envelope's tags. A collision costs a needless
/// re-decision, never a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagKey(pub i64);

impl TagKey {
    /// The key under which events of `class` about `subject` stand.
    pub fn new(subject: &Subject, class: Class) -> Self {
        Self(Self::first(subject).0 | class as i64)
    }

    /// The least key of a subject; [`TagKey::last`] is the greatest. All its classes lie between.
    pub fn first(subject: &Subject) -> Self {
        let bytes = match subject {
            Subject::Account(id) => first_bytes(id.0.as_bytes()),
            Subject::Identity(id) => first_bytes(id.0.as_bytes()),
            Subject::Request(key) => first_bytes(key.0.as_bytes()),
            Subject::CustomerNumber(number) => first_bytes(&Sha256::digest(format!("customer-number:{number}"))),
        };
        Self(i64::from_be_bytes(bytes) & !((1 << CLASS_BITS) - 1))
    }

    /// The greatest key of a subject.
    pub fn last(subject: &Subject) -> Self {
        Self(Self::first(subject).0 | ((1 << CLASS_BITS) - 1))
    }
}

fn first_bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&bytes[..N]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_its_text() {
        let id = uuid::Uuid::from_u128(7);
        for tag in [
            Tag::Account(AccountId(id)),
            Tag::Professional(ProfessionalId(id)),
            Tag::Invitation(InvitationId(id)),
            Tag::Identity(IdentityId(id)),
            Tag::CustomerNumber(CustomerNumber::parse("C-1001").unwrap()),
        ] {
            assert_eq!(tag.to_string().parse::<Tag>().unwrap(), tag);
        }
        assert_eq!("mail:1".parse::<Tag>(), Err(NotATag));
    }

    #[test]
    fn all_classes_of_a_subject_lie_between_its_first_and_its_last_key() {
        let subject = Subject::Account(AccountId(uuid::Uuid::from_u128(u128::MAX / 3)));
        for class in Class::ALL {
            let key = TagKey::new(&subject, class);
            assert!(TagKey::first(&subject) <= key && key <= TagKey::last(&subject));
        }
    }

    #[test]
    fn a_request_key_keeps_callers_apart() {
        assert_ne!(RequestKey::derive("key:a", "bc"), RequestKey::derive("key:ab", "c"));
        assert_eq!(RequestKey::derive("key:a", "b"), RequestKey::derive("key:a", "b"));
    }
}
