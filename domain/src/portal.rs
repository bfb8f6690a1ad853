//! The portals that people enter: one for customers, one for partners.

use crate::words::AccountKind;

/// A portal, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Its name.
    pub name: String,
    /// Where it is; none if there is no page to send people to.
    pub url: Option<String>,
}

/// Both portals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portals {
    /// For people of customer accounts.
    pub customer: Portal,
    /// For people of partner accounts.
    pub partner: Portal,
}

impl Portals {
    /// The portal that the people of such an account enter.
    pub const fn of(&self, kind: AccountKind) -> &Portal {
        match kind {
            AccountKind::Customer => &self.customer,
            AccountKind::Partner => &self.partner,
        }
    }
}
