//! API keys: `vk_<id>_<secret>`; only a hash of the secret is kept.

use domain::time::Timestamp;
use domain::words::Scope;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{at_rest, fresh_secret};
use crate::random;
use crate::secret::Secret;
use crate::store::{ReadError, Store};

/// What every API key begins with, so that it is recognised where it does not belong.
pub const PREFIX: &str = "vk_";

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, as it stands in events.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

type Row = (String, String, String, i64, Option<i64>, String);

const SELECT: &str = "select id, name, scopes, created_at, revoked_at, secret_hash from api_key";

fn from_row((id, name, scopes, created_at, revoked_at, _): Row) -> Option<ApiKey> {
    Some(ApiKey {
        id: id.parse().ok()?,
        name,
        scopes: scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
        created_at: Timestamp(created_at),
        revoked_at: revoked_at.map(Timestamp),
    })
}

impl Store {
    /// Makes an API key. Its text is returned this once.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_api_key(&self, name: &str, scopes: &[Scope]) -> Result<(ApiKey, Secret<String>), ReadError> {
        let (id, secret, now) = (random::uuid(), fresh_secret(), self.clock.now());
        let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        sqlx::query("insert into api_key (id, name, scopes, secret_hash, created_at) values ($1, $2, $3, $4, $5)")
            .bind(id.to_string())
            .bind(name)
            .bind(words.join(" "))
            .bind(at_rest(secret.reveal()))
            .bind(now.0)
            .execute(&self.pool)
            .await?;
        let text = Secret::new(format!("{PREFIX}{}_{}", id.simple(), secret.reveal()));
        Ok((ApiKey { id, name: name.into(), scopes: scopes.to_vec(), created_at: now, revoked_at: None }, text))
    }

    /// Finds the key that a text is; none for a revoked or unknown one. Compares in constant time.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn api_key(&self, text: &str) -> Result<Option<ApiKey>, ReadError> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts.and_then(|(id, secret)| Some((id.parse::<Uuid>().ok()?, secret))) else {
            return Ok(None);
        };
        let sql = format!("{SELECT} where id = $1 and revoked_at is null");
        let row: Option<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(&self.pool).await?;
        let hash = at_rest(secret);
        let row = row.filter(|row| bool::from(row.5.as_bytes().ct_eq(hash.as_bytes())));
        Ok(row.and_then(from_row))
    }

    /// Lists every key, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, ReadError> {
        let sql = format!("{SELECT} order by created_at, id");
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().filter_map(from_row).collect())
    }

    /// Revokes a key; false if there is no such key that works.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn revoke_api_key(&self, id: Uuid) -> Result<bool, ReadError> {
        let done = sqlx::query("update api_key set revoked_at = $1 where id = $2 and revoked_at is null")
            .bind(self.clock.now().0)
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
