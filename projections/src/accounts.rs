//! Accounts: one row each.

use std::collections::BTreeSet;

use domain::event::{Event, Position, Recorded, ServicePlan};
use domain::ids::{AccountId, EventId};
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
    /// The partners that serve it.
    pub partners: BTreeSet<AccountId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed, if it was.
    pub closed_at: Option<Timestamp>,
    /// The position of the last event that changed it.
    pub position: Position,
    /// The last event that changed it: its entity tag.
    pub changed_by: EventId,
}

impl AccountRow {
    /// Whether its people may enter its portal as far as the plan goes (R19).
    pub fn plan_allows_entry(&self, now: Timestamp) -> bool {
        self.kind == AccountKind::Partner || self.plan.as_ref().is_some_and(|plan| plan.is_current(now))
    }
}

impl View for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: i64 = 3;
    const COLUMNS: &'static [Column] =
        &[Column::Text("customer_number"), Column::PlainNumber("invites_from"), Column::PlainNumber("invites_until")];
    type Row = AccountRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        let account = recorded.event.about().account.filter(|_| recorded.event.changes_account());
        account.iter().map(ToString::to_string).collect()
    }

    fn apply(_: &str, row: Option<AccountRow>, recorded: &Recorded) -> Option<AccountRow> {
        let (position, changed_by) = (recorded.position, recorded.id);
        if let Event::AccountOpened(e) = &recorded.event {
            return Some(AccountRow {
                id: e.account,
                customer_number: e.customer_number.clone(),
                kind: e.kind,
                name: e.name.clone(),
                plan: None,
                partners: BTreeSet::new(),
                opened_at: recorded.recorded_at,
                closed_at: None,
                position,
                changed_by,
            });
        }
        let mut row = AccountRow { position, changed_by, ..row? };
        match &recorded.event {
            Event::AccountRenamed(e) => row.name = e.name.clone(),
            Event::AccountClosed(_) => row.closed_at = Some(recorded.recorded_at),
            Event::ServicePlanSet(e) => row.plan = e.plan.clone(),
            Event::PartnerAssigned(e) => drop(row.partners.insert(e.partner)),
            Event::PartnerRemoved(e) => drop(row.partners.remove(&e.partner)),
            _ => {}
        }
        Some(row)
    }

    fn columns(row: &AccountRow) -> Vec<Value> {
        // R20: when links may be mailed; partner accounts always may.
        let (from, until) = match (row.kind, &row.plan) {
            (AccountKind::Partner, _) => (i64::MIN, i64::MAX),
            (AccountKind::Customer, Some(plan)) => (plan.starts_at.0, plan.ends_at.0),
            (AccountKind::Customer, None) => (i64::MAX, i64::MAX),
        };
        vec![Value::Text(Some(row.customer_number.to_string())), Value::Number(Some(from)), Value::Number(Some(until))]
    }
}

impl Views {
    /// Finds an account that the reader may see: staff any, people those that they have a profile in or serve.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn account(&self, id: AccountId, reader: Reader) -> Result<Option<AccountRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.find(
            "select a.body from accounts a where a.key = $1 and ($2 = '' or exists (select 1 from professionals r \
             where r.account = a.key and r.identity = $2 and ($3 = '' or r.key = $3)) or exists \
             (select 1 from partnerships s join professionals r on r.account = s.partner where s.account = a.key \
             and r.identity = $2 and ($3 = '' or r.key = $3) and r.is_administrator = 1))",
            &[&id.to_string(), &identity, &profile],
        )
        .await
    }

    /// Finds the account of a customer number; for staff and for those who may not learn what is found.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn account_of_number(&self, number: &CustomerNumber) -> Result<Option<AccountRow>, QueryError> {
        self.find("select a.body from accounts a where a.customer_number = $1", &[number.as_str()]).await
    }
}
