//! Identifiers: a UUID each, with a type of its own so that none can stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// An organisation's account with the vendor.
    AccountId
);
id!(
    /// One person's profile inside one account.
    ProfessionalId
);
id!(
    /// A sign-in: issuer and subject. The id is random; the look-up from the subject is working state.
    IdentityId
);
id!(
    /// The right to associate an identity with one professional.
    InvitationId
);
id!(
    /// Somebody's wish to be added to an account.
    AccessRequestId
);
id!(
    /// A new administrator, proposed by a partner or support.
    AppointmentId
);
id!(
    /// One mail to be sent; all attempts and copies share it, and its Message-ID follows from it.
    MailId
);
id!(
    /// One passage of one browser from a link to its confirmation.
    FlowId
);
id!(
    /// One event.
    EventId
);
