//! The look-up from issuer and subject to an identity's random id; erasure deletes it.

use domain::ids::IdentityId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::random;
use crate::seal::KEY_BYTES;
use crate::secret::Secret;
use crate::store::{ReadError, Store};

/// The key of the look-up: without it nobody can tell which subject an entry stands for.
pub type LookUpKey = Secret<[u8; KEY_BYTES]>;

impl Store {
    /// Finds the identity of an issuer and a subject, or gives it a fresh id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn identity(&self, key: &LookUpKey, issuer: &str, subject: &str) -> Result<IdentityId, ReadError> {
        let hash = hash(key, issuer, subject);
        if let Some(found) = self.known_identity(key, issuer, subject).await? {
            return Ok(found);
        }
        let fresh = IdentityId(random::uuid()).to_string();
        sqlx::query(
            "insert into identity_look_up (subject, identity) values ($1, $2) on conflict (subject) do nothing",
        )
        .bind(&hash)
        .bind(fresh)
        .execute(&self.pool)
        .await?;
        self.known_identity(key, issuer, subject).await?.ok_or(ReadError::Database(sqlx::Error::RowNotFound))
    }

    /// Finds the identity of an issuer and a subject that has signed in before.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn known_identity(
        &self,
        key: &LookUpKey,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<IdentityId>, ReadError> {
        let found: Option<String> = sqlx::query_scalar("select identity from identity_look_up where subject = $1")
            .bind(hash(key, issuer, subject))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.and_then(|identity| identity.parse().ok()))
    }
}

fn hash(key: &LookUpKey, issuer: &str, subject: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("invariant: HMAC takes a key of any length");
    mac.update(b"vinculum identity v1\0");
    mac.update(&(issuer.len() as u64).to_be_bytes());
    mac.update(issuer.as_bytes());
    mac.update(subject.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
