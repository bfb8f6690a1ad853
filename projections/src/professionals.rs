//! Professionals: one row for each profile, with the identity that is associated with it.

use std::collections::{BTreeSet, HashMap};

use domain::address::{AddressKey, EmailAddress};
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, EventId, IdentityId, InvitationId, ProfessionalId};
use domain::personal::ProfessionalDetails;
use domain::time::Timestamp;
use domain::words::{Language, Role};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use crate::accounts::AccountRow;
use crate::identities::IdentityRow;
use crate::tables::json;
use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views, read};

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
    /// The newest invitation that is bound to no identity.
    pub invitation: Option<InvitationId>,
    /// When the person was added.
    pub added_at: Timestamp,
    /// When the person was deleted, if so; only history still speaks of them.
    pub deleted_at: Option<Timestamp>,
    /// The position of the last event that changed it.
    pub position: Position,
    /// The last event that changed it: its entity tag.
    pub changed_by: EventId,
}

impl ProfessionalRow {
    /// Whether the person administers the account.
    pub fn is_administrator(&self) -> bool {
        self.roles.contains(&Role::Administrator)
    }

    fn set_details(&mut self, details: Option<&ProfessionalDetails>) {
        self.name = details.map(|details| details.name.as_str().into());
        self.address = details.map(|details| details.address.as_str().into());
    }
}

impl View for Professionals {
    const NAME: &'static str = "professionals";
    const VERSION: i64 = 3;
    // Invariant: whoever is deleted has neither identity nor role nor, in its column, an address; so no query that goes
    // by one of them finds them.
    const COLUMNS: &'static [Column] = &[
        Column::Text("account"),
        Column::Text("identity"),
        Column::PlainNumber("is_administrator"),
        Column::Text("address"),
        Column::PlainNumber("is_deleted"),
    ];
    type Row = ProfessionalRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        recorded.event.changed_professionals().iter().map(ToString::to_string).collect()
    }

    fn apply(key: &str, row: Option<ProfessionalRow>, recorded: &Recorded) -> Option<ProfessionalRow> {
        let (position, changed_by, at) = (recorded.position, recorded.id, recorded.recorded_at);
        if let Event::ProfessionalAdded(e) = &recorded.event {
            let mut row = ProfessionalRow {
                id: e.professional,
                account: e.account,
                name: None,
                address: None,
                language: e.language,
                roles: BTreeSet::new(),
                identity: None,
                associated_at: None,
                invitation: None,
                added_at: at,
                deleted_at: None,
                position,
                changed_by,
            };
            row.set_details(e.details.as_ref());
            return Some(row);
        }
        let mut row = ProfessionalRow { position, changed_by, ..row? };
        match &recorded.event {
            Event::ProfessionalEdited(e) => {
                row.language = e.language;
                row.set_details(e.details.as_ref());
            }
            Event::ProfessionalDeleted(_) => {
                row.deleted_at = Some(at);
                row.roles.clear();
                row.identity = None;
            }
            Event::ProfessionalErased(_) => row.set_details(None),
            Event::RoleGiven(e) if e.professional.to_string() == key => {
                row.roles.insert(e.role);
            }
            Event::RoleGiven(e) => {
                row.roles.remove(&e.role);
            }
            Event::RoleTaken(e) => {
                row.roles.remove(&e.role);
            }
            Event::InvitationIssued(e) => row.invitation = Some(e.invitation),
            Event::IdentityAssociated(e) => {
                row.identity = Some(e.to);
                row.associated_at = Some(at);
            }
            Event::IdentityUnlinked(_) => {
                row.identity = None;
                row.associated_at = None;
            }
            _ => {}
        }
        Some(row)
    }

    fn columns(row: &ProfessionalRow) -> Vec<Value> {
        let address = row.address.as_deref().filter(|_| row.deleted_at.is_none());
        let address = address.and_then(|address| EmailAddress::from_stored(address).ok());
        vec![
            Value::Text(Some(row.account.to_string())),
            Value::Text(row.identity.map(|identity| identity.to_string())),
            Value::Number(Some(i64::from(row.is_administrator()))),
            Value::Text(address.map(|address| address.key().as_str().into())),
            Value::Number(Some(i64::from(row.deleted_at.is_some()))),
        ]
    }
}

fn sort_by_account(profiles: &mut [(ProfessionalRow, AccountRow)]) {
    profiles.sort_by(|(_, a), (_, b)| a.name.as_str().cmp(b.name.as_str()));
}

/// Bodies of rows: an identity's own, and those of its profiles with their accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct PersonRows {
    found: Option<String>,
    profiles: Vec<(String, String)>,
}

/// An identity, if it has signed in, and its profiles with their accounts.
pub type IdentityWithProfiles = (Option<IdentityRow>, Vec<(ProfessionalRow, AccountRow)>);

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
        sort_by_account(&mut profiles);
        Ok(profiles)
    }

    /// Finds an identity, as [`Views::identity`], with its [`Views::profiles`].
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn identity_with_profiles(&self, identity: IdentityId) -> Result<IdentityWithProfiles, QueryError> {
        let rows = self.people.get(identity, |identities| self.person_rows(identities)).await?;
        let found = rows.found.as_deref().map(read).transpose()?;
        let mut profiles: Vec<(ProfessionalRow, AccountRow)> = rows
            .profiles
            .iter()
            .map(|(profile, account)| Ok::<_, QueryError>((read(profile)?, read(account)?)))
            .collect::<Result<_, _>>()?;
        sort_by_account(&mut profiles);
        Ok((found, profiles))
    }

    /// The rows of identities, by the identity that stands in them: no identity sees another's (T30).
    async fn person_rows(&self, identities: Vec<IdentityId>) -> Result<HashMap<IdentityId, PersonRows>, QueryError> {
        let select = format!(
            "select i.key, i.body, null, '' as place from identities i where {} union all \
             select p.identity, p.body, (select a.body from accounts a where a.key = p.account), p.key from \
             (select p.*, row_number() over (partition by p.identity order by p.key) as number from professionals p \
             where {}) as p where p.number <= $2 order by 4",
            self.location.is_listed("i.key"),
            self.location.is_listed("p.identity"),
        );
        let rows: Vec<(String, String, Option<String>, String)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(json(&identities))
            .bind(PROFILES_MAX as i64)
            .fetch_all(&self.pool)
            .await?;
        let mut found: HashMap<IdentityId, PersonRows> = HashMap::with_capacity(identities.len());
        for (identity, body, account, place) in rows {
            let Ok(identity) = identity.parse() else { continue }; // not written by us
            let person = found.entry(identity).or_default();
            match account {
                Some(account) => person.profiles.push((body, account)),
                None if place.is_empty() => person.found = Some(body),
                None => {} // an account that the views do not show yet
            }
        }
        Ok(found)
    }

    /// Lists an account's people in order of their ids, after `after`; nobody for a reader who is neither staff nor an
    /// administrator of it or of a partner that serves it.
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
        let (identity, profile) = reader.texts();
        self.list(
            "select p.body from professionals p where p.account = $1 and p.key > $2 and p.is_deleted = 0 and ($3 = '' \
             or exists (select 1 from professionals r where r.account = $1 and r.identity = $3 \
             and ($4 = '' or r.key = $4) and r.is_administrator = 1) or exists \
             (select 1 from partnerships s join professionals r on r.account = s.partner where s.account = $1 \
             and r.identity = $3 and ($4 = '' or r.key = $4) and r.is_administrator = 1)) order by p.key limit $5",
            &[&account.to_string(), after, &identity, &profile],
            limit.min(PAGE_MAX),
        )
        .await
    }

    /// Finds a professional that the reader may see: staff, administrators of the account and of its partners any,
    /// others themselves. Nobody finds who was deleted.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn professional(
        &self,
        account: AccountId,
        id: ProfessionalId,
        reader: Reader,
    ) -> Result<Option<ProfessionalRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.find(
            "select p.body from professionals p where p.key = $1 and p.account = $2 and p.is_deleted = 0 and ($3 = '' \
             or (p.identity = $3 and ($4 = '' or p.key = $4)) or exists (select 1 from professionals r \
             where r.account = $2 and r.identity = $3 and ($4 = '' or r.key = $4) and r.is_administrator = 1) or exists \
             (select 1 from partnerships s join professionals r on r.account = s.partner where s.account = $2 \
             and r.identity = $3 and ($4 = '' or r.key = $4) and r.is_administrator = 1))",
            &[&id.to_string(), &account.to_string(), &identity, &profile],
        )
        .await
    }

    /// Whether the reader is staff or administers the account itself.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn administers(&self, account: AccountId, reader: Reader) -> Result<bool, QueryError> {
        let (identity, profile) = reader.texts();
        if identity.is_empty() {
            return Ok(true);
        }
        let found: Option<ProfessionalRow> = self
            .find(
                "select r.body from professionals r where r.account = $1 and r.identity = $2 \
                 and ($3 = '' or r.key = $3) and r.is_administrator = 1",
                &[&account.to_string(), &identity, &profile],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Whether the reader may manage an account's people: staff any, administrators of it and of its partners.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn manages(&self, account: AccountId, reader: Reader) -> Result<bool, QueryError> {
        let (identity, profile) = reader.texts();
        if identity.is_empty() {
            return Ok(true);
        }
        let found: Option<ProfessionalRow> = self
            .find(
                "select r.body from professionals r where r.identity = $2 and ($3 = '' or r.key = $3) \
                 and r.is_administrator = 1 and (r.account = $1 or r.account in \
                 (select s.partner from partnerships s where s.account = $1)) order by r.key limit 1",
                &[&account.to_string(), &identity, &profile],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Finds a professional, deleted or not; for whoever tells history.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn any_professional(&self, id: ProfessionalId) -> Result<Option<ProfessionalRow>, QueryError> {
        self.find("select p.body from professionals p where p.key = $1", &[&id.to_string()]).await
    }

    /// Lists the living professionals that are registered with an address, in any account (R13).
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn professionals_of_address(
        &self,
        address: &AddressKey,
        limit: usize,
    ) -> Result<Vec<ProfessionalRow>, QueryError> {
        self.list(
            "select p.body from professionals p where p.address = $1 order by p.key limit $2",
            &[address.as_str()],
            limit,
        )
        .await
    }

    /// Counts the administrators of an account who have an identity.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn linked_administrators(&self, account: AccountId, limit: usize) -> Result<usize, QueryError> {
        let found: Vec<ProfessionalRow> = self
            .list(
                "select p.body from professionals p where p.account = $1 and p.is_administrator = 1 \
                 and p.identity is not null limit $2",
                &[&account.to_string()],
                limit,
            )
            .await?;
        Ok(found.len())
    }
}
