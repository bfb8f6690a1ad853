//! Personal data, and the only place that turns it into bytes.
//!
//! The types for a person's name and address cannot be serialised by themselves, so no event can carry them among its
//! plain facts: they travel in the one sealed part of an event, under the key of one person (GDPR Art. 17, R27).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::address::EmailAddress;
use crate::ids::{IdentityId, ProfessionalId};
use crate::name::{PersonName, Reason};

/// Whose key seals a personal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Person {
    /// One profile in one account.
    Professional(ProfessionalId),
    /// One sign-in.
    Identity(IdentityId),
}

impl Person {
    /// The id under which the person's key is kept.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Professional(ProfessionalId(id)) | Self::Identity(IdentityId(id)) => id,
        }
    }
}

/// What is personal about a professional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfessionalDetails {
    /// The person's name.
    pub name: PersonName,
    /// The registered address: where invitations and codes go.
    pub address: EmailAddress,
}

/// What is personal about an identity, as its issuer told it at sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityDetails {
    /// The name in the provider's records.
    pub name: Option<PersonName>,
    /// The address in the provider's records. It never finds, selects or authorises anything.
    pub address: Option<EmailAddress>,
}

/// Why a new administrator is appointed (R21). Such texts speak of people, so they are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// What happened, such as that the administrator has left.
    pub reason: Reason,
    /// What shows it, such as the number of a letter.
    pub evidence: Reason,
}

/// The personal part of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personal {
    /// Of a professional.
    Professional(ProfessionalDetails),
    /// Of an identity.
    Identity(IdentityDetails),
    /// What a mail server answered; it may repeat the address.
    Reply(String),
    /// An address that was registered before.
    Address(EmailAddress),
    /// The grounds of an appointment.
    Grounds(Grounds),
}

/// The personal part of a stored event cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the personal part is not readable")]
pub struct UnreadablePersonal;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored<'a> {
    Professional {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        address: Cow<'a, str>,
    },
    Identity {
        name: Option<Cow<'a, str>>,
        address: Option<Cow<'a, str>>,
    },
    Reply(Cow<'a, str>),
    Address(Cow<'a, str>),
    Grounds {
        reason: Cow<'a, str>,
        evidence: Cow<'a, str>,
    },
}

impl Personal {
    /// The bytes that are sealed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = match self {
            Self::Professional(details) => {
                Stored::Professional { name: details.name.as_str().into(), address: details.address.as_str().into() }
            }
            Self::Identity(details) => Stored::Identity {
                name: details.name.as_ref().map(|name| name.as_str().into()),
                address: details.address.as_ref().map(|address| address.as_str().into()),
            },
            Self::Reply(text) => Stored::Reply(text.as_str().into()),
            Self::Address(address) => Stored::Address(address.as_str().into()),
            Self::Grounds(grounds) => {
                Stored::Grounds { reason: grounds.reason.as_str().into(), evidence: grounds.evidence.as_str().into() }
            }
        };
        serde_json::to_vec(&stored).expect("invariant: a struct of texts is JSON")
    }

    /// Reads what [`Personal::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are not a personal part.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadablePersonal> {
        let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(|_| UnreadablePersonal)?;
        let name = |text: &str| PersonName::from_stored(text).map_err(|_| UnreadablePersonal);
        let address = |text: &str| EmailAddress::from_stored(text).map_err(|_| UnreadablePersonal);
        Ok(match stored {
            Stored::Professional { name: n, address: a } => {
                Self::Professional(ProfessionalDetails { name: name(&n)?, address: address(&a)? })
            }
            Stored::Identity { name: n, address: a } => Self::Identity(IdentityDetails {
                name: n.as_deref().map(name).transpose()?,
                address: a.as_deref().map(address).transpose()?,
            }),
            Stored::Reply(text) => Self::Reply(text.into_owned()),
            Stored::Address(a) => Self::Address(address(&a)?),
            Stored::Grounds { reason, evidence } => {
                let read = |text: &str| Reason::parse(text).map_err(|_| UnreadablePersonal);
                Self::Grounds(Grounds { reason: read(&reason)?, evidence: read(&evidence)? })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_part_survives_its_bytes() {
        let name = PersonName::parse("Robin Rivers").unwrap();
        let address = EmailAddress::parse("robin@harbour.example").unwrap();
        for personal in [
            Personal::Professional(ProfessionalDetails { name: name.clone(), address: address.clone() }),
            Personal::Identity(IdentityDetails { name: Some(name), address: None }),
            Personal::Reply("550 5.1.1 no such user".into()),
            Personal::Address(EmailAddress::parse("robin@harbour.example").unwrap()),
            Personal::Grounds(Grounds {
                reason: Reason::parse("Robin Rivers has left the company").unwrap(),
                evidence: Reason::parse("letter 1234 of the chamber of commerce").unwrap(),
            }),
        ] {
            assert_eq!(Personal::from_bytes(&personal.to_bytes()), Ok(personal));
        }
        assert_eq!(Personal::from_bytes(b"{}"), Err(UnreadablePersonal));
    }
}
