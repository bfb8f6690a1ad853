//! Access requests that are open: who asks to be added, for those who can say yes (R23).

use domain::event::{Event, Recorded};
use domain::ids::{AccessRequestId, AccountId, IdentityId};
use domain::time::Timestamp;
use domain::words::Language;
use serde::{Deserialize, Serialize};

use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views};

/// The largest page of access requests.
pub const PAGE_MAX: usize = 200;

/// The view of open access requests, by their ids.
#[derive(Debug)]
pub struct AccessRequests;

/// One open access request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequestRow {
    /// Its id.
    pub id: AccessRequestId,
    /// The account.
    pub account: AccountId,
    /// Who asks.
    pub identity: IdentityId,
    /// The name to be known by; none once erased.
    pub name: Option<String>,
    /// The address to be known by; none once erased.
    pub address: Option<String>,
    /// The language of mail to the person.
    pub language: Language,
    /// When it was made.
    pub requested_at: Timestamp,
}

impl View for AccessRequests {
    const NAME: &'static str = "access_requests";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] = &[Column::Text("account")];
    type Row = AccessRequestRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::AccessRequested(e) => vec![e.access_request.to_string()],
            Event::AccessRequestApproved(e) => vec![e.access_request.to_string()],
            Event::AccessRequestDeclined(e) => vec![e.access_request.to_string()],
            Event::IdentityErased(e) => e.access_requests.iter().map(ToString::to_string).collect(),
            _ => vec![],
        }
    }

    fn apply(_: &str, row: Option<AccessRequestRow>, recorded: &Recorded) -> Option<AccessRequestRow> {
        match &recorded.event {
            Event::AccessRequested(e) => Some(AccessRequestRow {
                id: e.access_request,
                account: e.account,
                identity: e.identity,
                name: e.details.as_ref().map(|details| details.name.as_str().into()),
                address: e.details.as_ref().map(|details| details.address.as_str().into()),
                language: e.language,
                requested_at: recorded.recorded_at,
            }),
            Event::AccessRequestApproved(_) | Event::AccessRequestDeclined(_) | Event::IdentityErased(_) => None,
            _ => row,
        }
    }

    fn columns(row: &AccessRequestRow) -> Vec<Value> {
        vec![Value::Text(Some(row.account.to_string()))]
    }
}

impl Views {
    /// Lists open access requests in order of their ids, after `after`: staff any, people those of accounts that they
    /// administer or serve. An empty `account` stands for any.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn access_requests(
        &self,
        account: &str,
        reader: Reader,
        after: &str,
        limit: usize,
    ) -> Result<Vec<AccessRequestRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.list(
            "select q.body from access_requests q where q.key > $1 and ($2 = '' or q.account = $2) and ($3 = '' \
             or exists (select 1 from professionals r where r.account = q.account and r.identity = $3 \
             and ($4 = '' or r.key = $4) and r.is_administrator = 1) or exists \
             (select 1 from partnerships s join professionals r on r.account = s.partner where s.account = q.account \
             and r.identity = $3 and ($4 = '' or r.key = $4) and r.is_administrator = 1)) order by q.key limit $5",
            &[after, account, &identity, &profile],
            limit.min(PAGE_MAX),
        )
        .await
    }

    /// Finds an open access request that the reader may see, as in [`Views::access_requests`].
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn access_request(
        &self,
        id: AccessRequestId,
        reader: Reader,
    ) -> Result<Option<AccessRequestRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.find(
            "select q.body from access_requests q where q.key = $1 and ($2 = '' \
             or exists (select 1 from professionals r where r.account = q.account and r.identity = $2 \
             and ($3 = '' or r.key = $3) and r.is_administrator = 1) or exists \
             (select 1 from partnerships s join professionals r on r.account = s.partner where s.account = q.account \
             and r.identity = $2 and ($3 = '' or r.key = $3) and r.is_administrator = 1))",
            &[&id.to_string(), &identity, &profile],
        )
        .await
    }
}
