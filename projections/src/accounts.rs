//! Accounts: one row each.

use domain::event::{Event, Position, Recorded, ServicePlan};
use domain::ids::AccountId;
use domain::name::{AccountName, CustomerNumber};
use domain::time::Timestamp;
use domain::words::AccountKind;
use serde::{Deserialize, Serialize};

use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views};

/// The view of accounts, by account id.
#[derive(Debug)]
pub struct Accounts;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// The vendor's number for it.
    pub customer_number: CustomerNumber,
    /// Customer or partner.
    pub kind: AccountKind,
    /// The organisation's name.
    pub name: AccountName,
    /// Its service plan, current or not.
    pub plan: Option<ServicePlan>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The position of the last event that changed it.
    pub position: Position,
}

impl AccountRow {
    /// Whether its people may enter its portal as far as the plan goes (R19).
    pub fn plan_allows_entry(&self, now: Timestamp) -> bool {
        self.kind == AccountKind::Partner || self.plan.as_ref().is_some_and(|plan| plan.is_current(now))
    }
}

impl View for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] = &[Column::Text("customer_number")];
    type Row = AccountRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::AccountOpened(e) => vec![e.account.to_string()],
            Event::ServicePlanSet(e) => vec![e.account.to_string()],
            _ => vec![],
        }
    }

    fn apply(_: &str, row: Option<AccountRow>, recorded: &Recorded) -> Option<AccountRow> {
        let position = recorded.position;
        match &recorded.event {
            Event::AccountOpened(e) => Some(AccountRow {
                id: e.account,
                customer_number: e.customer_number.clone(),
                kind: e.kind,
                name: e.name.clone(),
                plan: None,
                opened_at: recorded.recorded_at,
                position,
            }),
            Event::ServicePlanSet(e) => row.map(|row| AccountRow { plan: e.plan.clone(), position, ..row }),
            _ => row,
        }
    }

    fn columns(row: &AccountRow) -> Vec<Value> {
        vec![Value::Text(Some(row.customer_number.to_string()))]
    }
}

impl Views {
    /// Finds an account that the reader may see: staff any, people the ones they have a profile in.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn account(&self, id: AccountId, reader: Reader) -> Result<Option<AccountRow>, QueryError> {
        self.find(
            "select a.body from accounts a where a.key = $1 and ($2 = '' or exists \
             (select 1 from professionals p where p.account = a.key and p.identity = $2))",
            &[&id.to_string(), &reader.identity_or_empty()],
        )
        .await
    }
}
