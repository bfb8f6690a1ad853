//! The domain that all peers share: an account and its people, no two with one address.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long an event is as JSON. Vinculum's envelope with its sealed part has about this length, and so has the row that
/// `pgbench` inserts.
pub const EVENT_BYTES: usize = 840;

/// What brings an event to that length.
const FILLER: &str = match str::from_utf8(&[b'x'; EVENT_BYTES - UNFILLED_BYTES]) {
    Ok(filler) => filler,
    Err(_) => unreachable!(),
};

/// An event's length without the filler. It is always the same, because ids have one length.
const UNFILLED_BYTES: usize = 221;

/// What has happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, disintegrate::Event)]
#[stream(AccountEvent, [ProfessionalAdded])]
pub enum Event {
    /// A person is new in the account.
    ProfessionalAdded {
        /// Whose person.
        #[id]
        account: Uuid,
        /// Who.
        #[id]
        professional: Uuid,
        /// The person's name.
        name: String,
        /// Where mails go.
        address: String,
        /// Stands for what Vinculum's envelope holds besides.
        filler: String,
    },
}

/// The wish to add a person.
#[derive(Clone, Debug)]
pub struct AddProfessional {
    /// To which account.
    pub account: Uuid,
    /// Who.
    pub professional: Uuid,
    /// The person's name.
    pub name: String,
    /// Where mails go.
    pub address: String,
}

impl AddProfessional {
    /// A new person.
    pub fn somebody(account: Uuid) -> Self {
        let professional = random_id();
        Self {
            account,
            professional,
            name: "Robin Rivers".into(),
            address: format!("{}@harbour.example", professional.simple()),
        }
    }
}

/// Somebody in the account has this address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is taken")]
pub struct AddressTaken;

/// What a decision has to know of an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    addresses: HashSet<String>,
}

impl Account {
    /// Decides on a wish.
    pub fn decide(&self, wish: AddProfessional) -> Result<Event, AddressTaken> {
        if self.addresses.contains(&wish.address) {
            return Err(AddressTaken);
        }
        let AddProfessional { account, professional, name, address } = wish;
        Ok(Event::ProfessionalAdded { account, professional, name, address, filler: FILLER.into() })
    }

    /// Takes in what has happened.
    pub fn evolve(&mut self, event: Event) {
        let Event::ProfessionalAdded { address, .. } = event;
        self.addresses.insert(address);
    }
}

/// A new id, random as Vinculum's are, so that they land all over an index.
#[expect(clippy::disallowed_methods, reason = "the rule is for the product")]
pub fn random_id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_length_that_it_should() {
        let event = Account::default().decide(AddProfessional::somebody(random_id())).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap().len(), EVENT_BYTES);
    }

    #[test]
    fn an_address_is_taken_once() {
        let mut account = Account::default();
        let wish = AddProfessional::somebody(random_id());
        account.evolve(account.decide(wish.clone()).unwrap());
        assert_eq!(account.decide(wish), Err(AddressTaken));
    }
}
