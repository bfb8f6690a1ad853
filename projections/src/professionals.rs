//! Professionals: one row for each profile, with the identity that is associated with it.

use std::collections::BTreeSet;

use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, IdentityId, InvitationId, ProfessionalId};
use domain::time::Timestamp;
use domain::words::{Language, Role};
use serde::{Deserialize, Serialize};

use crate::accounts::AccountRow;
use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views};

/// Profiles of one identity that are listed.
const PROFILES_MAX: usize = 1_000;
/// The largest page of an account's people.
pub const PAGE_MAX: usize = 200;

/// The view of professionals, by professional id.
#[derive(Debug)]
pub struct Professionals;

/// One professional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfessionalRow {
    /// The profile's id.
    pub id: ProfessionalId,
    /// The account.
    pub account: AccountId,
    /// The person's name; none once erased.
    pub name: Option<String>,
    /// The registered address; none once erased.
    pub address: Option<String>,
    /// The language of mail to the person.
    pub language: Language,
    /// The roles.
    pub roles: BTreeSet<Role>,
    /// The identity that is associated.
    pub identity: Option<IdentityId>,
    /// When it was associated.
    pub associated_at: Option<Timestamp>,
    /// The newest invitation.
    pub invitation: Option<InvitationId>,
    /// When the person was added.
    pub added_at: Timestamp,
    /// The position of the last event that changed it.
    pub position: Position,
}

impl ProfessionalRow {
    /// Whether the person administers the account.
    pub fn is_administrator(&self) -> bool {
        self.roles.contains(&Role::Administrator)
    }
}

impl View for Professionals {
    const NAME: &'static str = "professionals";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] =
        &[Column::Text("account"), Column::Text("identity"), Column::Number("is_administrator")];
    type Row = ProfessionalRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::ProfessionalAdded(e) => vec![e.professional.to_string()],
            Event::RoleGiven(e) => [Some(e.professional), e.from].iter().flatten().map(ToString::to_string).collect(),
            Event::InvitationIssued(e) => vec![e.professional.to_string()],
            Event::IdentityAssociated(e) => vec![e.professional.to_string()],
            _ => vec![],
        }
    }

    fn apply(key: &str, row: Option<ProfessionalRow>, recorded: &Recorded) -> Option<ProfessionalRow> {
        let (position, at) = (recorded.position, recorded.recorded_at);
        if let Event::ProfessionalAdded(e) = &recorded.event {
            return Some(ProfessionalRow {
                id: e.professional,
                account: e.account,
                name: e.details.as_ref().map(|details| details.name.as_str().into()),
                address: e.details.as_ref().map(|details| details.address.as_str().into()),
                language: e.language,
                roles: BTreeSet::new(),
                identity: None,
                associated_at: None,
                invitation: None,
                added_at: at,
                position,
            });
        }
        let mut row = ProfessionalRow { position, ..row? };
        match &recorded.event {
            Event::RoleGiven(e) if e.professional.to_string() == key => {
                row.roles.insert(e.role);
            }
            Event::RoleGiven(e) => {
                row.roles.remove(&e.role);
            }
            Event::InvitationIssued(e) => row.invitation = Some(e.invitation),
            Event::IdentityAssociated(e) => {
                row.identity = Some(e.to);
                row.associated_at = Some(at);
            }
            _ => {}
        }
        Some(row)
    }

    fn columns(row: &ProfessionalRow) -> Vec<Value> {
        vec![
            Value::Text(Some(row.account.to_string())),
            Value::Text(row.identity.map(|identity| identity.to_string())),
            Value::Number(Some(i64::from(row.is_administrator()))),
        ]
    }
}

impl Views {
    /// Lists every profile of an identity with its account, by account name. No identity sees another's.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn profiles(&self, identity: IdentityId) -> Result<Vec<(ProfessionalRow, AccountRow)>, QueryError> {
        let mut profiles: Vec<(ProfessionalRow, AccountRow)> = self
            .list_pairs(
                "select p.body, a.body from professionals p join accounts a on a.key = p.account \
                 where p.identity = $1 order by p.key limit $2",
                &[&identity.to_string()],
                PROFILES_MAX,
            )
            .await?;
        profiles.sort_by(|(_, a), (_, b)| a.name.as_str().cmp(b.name.as_str()));
        Ok(profiles)
    }

    /// Lists an account's people in order of their ids, after `after`; nobody for a reader who is neither staff nor an
    /// administrator of it.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn professionals(
        &self,
        account: AccountId,
        reader: Reader,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ProfessionalRow>, QueryError> {
        self.list(
            "select p.body from professionals p where p.account = $1 and p.key > $2 and ($3 = '' or exists \
             (select 1 from professionals r where r.account = $1 and r.identity = $3 and r.is_administrator = 1)) \
             order by p.key limit $4",
            &[&account.to_string(), after, &reader.identity_or_empty()],
            limit.min(PAGE_MAX),
        )
        .await
    }

    /// Finds a professional that the reader may see: staff and administrators of the account any, others themselves.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn professional(
        &self,
        account: AccountId,
        id: ProfessionalId,
        reader: Reader,
    ) -> Result<Option<ProfessionalRow>, QueryError> {
        self.find(
            "select p.body from professionals p where p.key = $1 and p.account = $2 and ($3 = '' or p.identity = $3 \
             or exists (select 1 from professionals r where r.account = $2 and r.identity = $3 and r.is_administrator = 1))",
            &[&id.to_string(), &account.to_string(), &reader.identity_or_empty()],
        )
        .await
    }
}
