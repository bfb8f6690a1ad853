//! What requests chose: which invitations fit a filter is another question a moment later, and a repeat of the request
//! means those of the first time.

use domain::caller::Request;
use domain::ids::InvitationId;

use crate::store::{ReadError, Store};

/// What stands under the `Idempotency-Key` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// These, in the order in which they were chosen.
    Invitations(Vec<InvitationId>),
    /// The choice of another request: its body was another one.
    KeyReused,
}

impl Store {
    /// Finds what a request with this key chose before; none for a request without a key.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn chosen_before(&self, request: &Request) -> Result<Option<Chosen>, ReadError> {
        let Some(key) = request.key else { return Ok(None) };
        let found: Option<(Option<String>, String)> =
            sqlx::query_as("select request_body, invitations from choice where request_key = $1")
                .bind(key.0.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(|(body, invitations)| match body == request.body.map(|body| body.to_string()) {
            true => Chosen::Invitations(invitations.split_whitespace().filter_map(|id| id.parse().ok()).collect()),
            false => Chosen::KeyReused,
        }))
    }

    /// Keeps what a request has chosen, and tells what counts: where the same request came twice at the same moment, the
    /// choice that was kept first. Without a key nothing is kept.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn choose(&self, request: &Request, invitations: Vec<InvitationId>) -> Result<Chosen, ReadError> {
        let Some(key) = request.key else { return Ok(Chosen::Invitations(invitations)) };
        let ids: Vec<String> = invitations.iter().map(InvitationId::to_string).collect();
        sqlx::query(
            "insert into choice (request_key, request_body, invitations) values ($1, $2, $3) \
             on conflict (request_key) do nothing",
        )
        .bind(key.0.to_string())
        .bind(request.body.map(|body| body.to_string()))
        .bind(ids.join(" "))
        .execute(&self.pool)
        .await?;
        self.chosen_before(request).await?.ok_or(ReadError::Database(sqlx::Error::RowNotFound))
    }
}
