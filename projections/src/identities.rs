//! Identities: what their issuers told about them.

use domain::event::{Event, Recorded};
use domain::ids::IdentityId;
use domain::time::Timestamp;
use domain::words::IdentityKind;
use serde::{Deserialize, Serialize};

use crate::view::{Column, Value, View};
use crate::views::{QueryError, Views};

/// The view of identities, by identity id.
#[derive(Debug)]
pub struct Identities;

/// One identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRow {
    /// Its id.
    pub id: IdentityId,
    /// The configured issuer's short name.
    pub issuer: String,
    /// Personal or organizational.
    pub kind: IdentityKind,
    /// The name in the provider's records; none once erased.
    pub name: Option<String>,
    /// The address in the provider's records; none once erased.
    pub address: Option<String>,
    /// When it first signed in.
    pub registered_at: Timestamp,
}

impl View for Identities {
    const NAME: &'static str = "identities";
    const VERSION: i64 = 2;
    const COLUMNS: &'static [Column] = &[];
    type Row = IdentityRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::IdentityRegistered(e) => vec![e.identity.to_string()],
            Event::IdentityErased(e) => vec![e.identity.to_string()],
            _ => vec![],
        }
    }

    fn apply(_: &str, row: Option<IdentityRow>, recorded: &Recorded) -> Option<IdentityRow> {
        if let Event::IdentityErased(_) = &recorded.event {
            return row.map(|row| IdentityRow { name: None, address: None, ..row });
        }
        let Event::IdentityRegistered(e) = &recorded.event else { return row };
        let details = e.details.as_ref();
        Some(IdentityRow {
            id: e.identity,
            issuer: e.issuer.clone(),
            kind: e.kind,
            name: details.and_then(|details| details.name.as_ref()).map(|name| name.as_str().into()),
            address: details.and_then(|details| details.address.as_ref()).map(|address| address.as_str().into()),
            registered_at: recorded.recorded_at,
        })
    }

    fn columns(_: &IdentityRow) -> Vec<Value> {
        vec![]
    }
}

impl Views {
    /// Finds an identity.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn identity(&self, id: IdentityId) -> Result<Option<IdentityRow>, QueryError> {
        self.find("select i.body from identities i where i.key = $1", &[&id.to_string()]).await
    }
}
