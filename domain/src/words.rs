//! The small closed lists of words that the domain speaks in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in events, SQL and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownWord { list: stringify!($name) }) }
            }
        }
    };
}

/// A text is none of the words of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a word of {list}")]
pub struct UnknownWord {
    /// The list's name.
    pub list: &'static str,
}

words!(
    /// What an account is to the vendor; it decides which portal its people enter.
    AccountKind {
        /// Buys from the vendor; its people enter the customer portal and need a current service plan for that.
        Customer = "customer",
        /// Serves customers; its people enter the partner portal and need no plan.
        Partner = "partner",
    }
);
words!(
    /// What a professional is in the account.
    Role {
        /// May manage the account's people. An account may have several.
        Administrator = "administrator",
        /// Mandatory: exactly one holder.
        BillingContact = "billing_contact",
        /// Mandatory: exactly one holder.
        CustomerCareContact = "customer_care_contact",
        /// Mandatory: exactly one holder.
        ShippingContact = "shipping_contact",
    }
);
words!(
    /// Whose sign-in an identity is.
    IdentityKind {
        /// A person's own account.
        Personal = "personal",
        /// An account that an employer or school gave.
        Organizational = "organizational",
    }
);
words!(
    /// The language a person is written to in.
    Language {
        /// English.
        English = "en",
        /// German.
        German = "de",
    }
);
words!(
    /// With what right somebody acts on an account's people (R6).
    Authority {
        /// The vendor's support, systems, operators or command line.
        Staff = "staff",
        /// An administrator of the account.
        Administrator = "administrator",
        /// An administrator of a partner that serves the account.
        Partner = "partner",
        /// The person itself.
        Oneself = "oneself",
        /// An identity on the association page (R13).
        Association = "association",
    }
);
words!(
    /// What an API key or a staff identity may do.
    Scope {
        /// Opens accounts, sets service plans, adds people: the vendor's own systems.
        BackOffice = "back_office",
        /// Adds, edits, invites for every account.
        Support = "support",
        /// Reads invitations and sends them again.
        Operator = "operator",
        /// Reads every history.
        Auditor = "auditor",
    }
);

impl Role {
    /// The roles that always have exactly one holder (R5).
    pub const MANDATORY: [Self; 3] = [Self::BillingContact, Self::CustomerCareContact, Self::ShippingContact];
}
