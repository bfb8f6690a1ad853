//! Partnerships: which partner account serves which customer account.

use std::collections::HashMap;

use domain::event::{Event, Recorded};
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use crate::accounts::AccountRow;
use crate::tables::json;
use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views, read};

/// Accounts served by one identity that are listed.
const SERVED_MAX: usize = 1_000;

/// An account that may be served by an identity, as any of its profiles or as one.
pub(crate) type Served = (AccountId, IdentityId, Option<ProfessionalId>);

/// The view of partnerships, by both accounts.
#[derive(Debug)]
pub struct Partnerships;

/// One partner that serves one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnershipRow {
    /// The customer account.
    pub account: AccountId,
    /// The partner account.
    pub partner: AccountId,
}

impl View for Partnerships {
    const NAME: &'static str = "partnerships";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] = &[Column::Text("account"), Column::Text("partner")];
    type Row = PartnershipRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::PartnerAssigned(e) => vec![format!("{}/{}", e.account, e.partner)],
            Event::PartnerRemoved(e) => vec![format!("{}/{}", e.account, e.partner)],
            _ => vec![],
        }
    }

    fn apply(_: &str, row: Option<PartnershipRow>, recorded: &Recorded) -> Option<PartnershipRow> {
        match &recorded.event {
            Event::PartnerAssigned(e) => Some(PartnershipRow { account: e.account, partner: e.partner }),
            Event::PartnerRemoved(_) => None,
            _ => row,
        }
    }

    fn columns(row: &PartnershipRow) -> Vec<Value> {
        vec![Value::Text(Some(row.account.to_string())), Value::Text(Some(row.partner.to_string()))]
    }
}

impl Views {
    /// Finds a partner account that serves the account and that the reader administers; the decision checks it again.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn serving_partner(&self, account: AccountId, reader: Reader) -> Result<Option<AccountId>, QueryError> {
        let (identity, profile) = match reader {
            Reader::Staff => return Ok(None),
            Reader::Identity(identity) => (identity, None),
            Reader::Profile(identity, profile) => (identity, Some(profile)),
        };
        self.partners.get((account, identity, profile), |served| self.serving_partners(served)).await
    }

    async fn serving_partners(&self, served: Vec<Served>) -> Result<HashMap<Served, Option<AccountId>>, QueryError> {
        let asked = served.iter().enumerate();
        let asked: Vec<_> =
            asked.map(|(place, (account, identity, as_one))| (account, identity, as_one, place)).collect();
        let select = format!(
            "select cast(value ->> 3 as bigint), (select s.body from partnerships s join professionals r \
             on r.account = s.partner where s.account = value ->> 0 and r.identity = value ->> 1 \
             and (value ->> 2 is null or r.key = value ->> 2) and r.is_administrator = 1 \
             order by s.key limit 1) from {}",
            self.location.elements()
        );
        let rows: Vec<(i64, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(select)).bind(json(&asked)).fetch_all(&self.pool).await?;
        let found = rows.into_iter().filter_map(|(place, body)| Some((*served.get(place as usize)?, body?)));
        found.map(|(served, body)| Ok((served, Some(read::<PartnershipRow>(&body)?.partner)))).collect()
    }

    /// Lists the partnerships through which an identity serves accounts, with those accounts.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn served_by(&self, identity: IdentityId) -> Result<Vec<(PartnershipRow, AccountRow)>, QueryError> {
        self.list_pairs(
            "select s.body, a.body from partnerships s join professionals r on r.account = s.partner \
             join accounts a on a.key = s.account where r.identity = $1 and r.is_administrator = 1 \
             order by s.key limit $2",
            &[&identity.to_string()],
            SERVED_MAX,
        )
        .await
    }
}
