//! Asking the views: one statement each, which also checks what the reader may see.

use std::sync::Arc;
use std::time::Duration;

use domain::event::Position;
use domain::ids::{AccountId, IdentityId, InvitationId, ProfessionalId};
use serde::de::DeserializeOwned;
use sqlx::AnyPool;
use store::Location;
use store::gather::Gather;
use tokio::sync::watch;

use crate::invitations::InvitationContext;
use crate::partnerships::Served;
use crate::professionals::PersonRows;
use crate::view::UnreadableRow;

/// How long an answer waits for the views before it says that they are behind.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// For whom a query reads. It is checked in the statement that reads the rows (T30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Staff with a scope that the caller of the query has checked.
    Staff,
    /// A signed-in person: sees what its profiles allow.
    Identity(IdentityId),
    /// A signed-in person who acts as one profile: sees what that one allows (R18).
    Profile(IdentityId, ProfessionalId),
}

impl Reader {
    /// Identity and profile as texts; an empty identity is staff, an empty profile stands for all of them.
    pub(crate) fn texts(self) -> (String, String) {
        match self {
            Self::Staff => (String::new(), String::new()),
            Self::Identity(identity) => (identity.to_string(), String::new()),
            Self::Profile(identity, profile) => (identity.to_string(), profile.to_string()),
        }
    }
}

/// The views cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database does not answer.
    #[error("the views cannot be read")]
    Database(#[from] sqlx::Error),
    /// A row is not what this release wrote.
    #[error(transparent)]
    Row(#[from] UnreadableRow),
}

/// A handle on the views; clones share it.
#[derive(Clone, Debug)]
pub struct Views {
    pub(crate) pool: AnyPool,
    pub(crate) location: Location,
    followed: watch::Receiver<Position>,
    /// Tells the projector how far somebody wants it to follow at once.
    wanted: watch::Sender<Position>,
    pub(crate) people: Arc<Gather<IdentityId, PersonRows>>,
    pub(crate) contexts: Arc<Gather<InvitationId, Option<InvitationContext>>>,
    pub(crate) partners: Arc<Gather<Served, Option<AccountId>>>,
}

impl Views {
    pub(crate) fn new(
        pool: AnyPool,
        location: Location,
        followed: watch::Receiver<Position>,
        wanted: watch::Sender<Position>,
    ) -> Self {
        let (people, contexts, partners) = (Arc::default(), Arc::default(), Arc::default());
        Self { pool, location, followed, wanted, people, contexts, partners }
    }

    /// The position up to which every view has followed the log, as this node knows it.
    pub fn position(&self) -> Position {
        *self.followed.borrow()
    }

    /// Waits until the views show everything up to `position`; false if they do not within [`WAIT_MAX`].
    pub async fn wait_for(&self, position: Position) -> bool {
        let mut followed = self.followed.clone();
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, position.max(*wanted)) < position);
        let reached = followed.wait_for(|followed| *followed >= position);
        matches!(tokio::time::timeout(WAIT_MAX, reached).await, Ok(Ok(_)))
    }

    /// Waits until the views have moved on from `seen`, at most `at_most`. It never returns at once without news, not even
    /// where nobody projects any more.
    pub async fn wait_for_news(&self, seen: Position, at_most: Duration) {
        let mut followed = self.followed.clone();
        let news = async {
            if followed.wait_for(|followed| *followed != seen).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(at_most, news).await; // time without news is an answer too
    }

    pub(crate) async fn find<R: DeserializeOwned>(
        &self,
        sql: &'static str,
        binds: &[&str],
    ) -> Result<Option<R>, QueryError> {
        let query = binds.iter().fold(sqlx::query_scalar(sql), |query, bind| query.bind(*bind));
        let body: Option<String> = query.fetch_optional(&self.pool).await?;
        body.as_deref().map(read).transpose()
    }

    /// The last placeholder of `sql` is the limit.
    pub(crate) async fn list<R: DeserializeOwned>(
        &self,
        sql: &'static str,
        binds: &[&str],
        limit: usize,
    ) -> Result<Vec<R>, QueryError> {
        let query = binds.iter().fold(sqlx::query_scalar(sql), |query, bind| query.bind(*bind));
        let bodies: Vec<String> = query.bind(limit as i64).fetch_all(&self.pool).await?;
        bodies.iter().map(|body| read(body)).collect()
    }

    /// The last placeholder of `sql` is the limit.
    pub(crate) async fn list_pairs<A: DeserializeOwned, B: DeserializeOwned>(
        &self,
        sql: &'static str,
        binds: &[&str],
        limit: usize,
    ) -> Result<Vec<(A, B)>, QueryError> {
        let query = binds.iter().fold(sqlx::query_as(sql), |query, bind| query.bind(*bind));
        let pairs: Vec<(String, String)> = query.bind(limit as i64).fetch_all(&self.pool).await?;
        pairs.iter().map(|(a, b)| Ok((read(a)?, read(b)?))).collect()
    }
}

pub(crate) fn read<R: DeserializeOwned>(body: &str) -> Result<R, QueryError> {
    serde_json::from_str(body).map_err(|source| UnreadableRow { view: std::any::type_name::<R>(), source }.into())
}
