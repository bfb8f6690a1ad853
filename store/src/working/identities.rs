//! The look-up from issuer and subject to an identity's id, which does not follow from them; erasure deletes it.
//!
//! Who signs in asks many times in a row, so a node remembers for a moment whom it has found. An erasure that this node
//! knows of ends that; one by another node shows at most `FRESH_FOR` later, and until then the person is the erased
//! identity, which has no profile and can begin nothing (R27).

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::ids::IdentityId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::Instant;

use crate::generations::Generations;
use crate::seal::KEY_BYTES;
use crate::secret::Secret;
use crate::store::{ReadError, Store};

/// The key of the look-up: without it nobody can tell which subject an entry stands for.
pub type LookUpKey = Secret<[u8; KEY_BYTES]>;

/// How long an identity is remembered.
const FRESH_FOR: Duration = Duration::from_secs(10);
/// Identities that are remembered: people at work at once, in two megabytes.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("invariant: the constant is not zero");

/// Identities that were looked up lately, by the hash of issuer and subject.
#[derive(Debug)]
pub(crate) struct Remembered(Mutex<Generations<String, Found>>);

/// What a look-up found.
#[derive(Clone, Copy, Debug)]
struct Found {
    identity: IdentityId,
    at: Instant,
    /// How many persons' keys the node had forgotten before.
    forgotten: u64,
}

impl Remembered {
    pub fn new() -> Self {
        Self(Mutex::new(Generations::new(REMEMBERED_MAX)))
    }

    /// What was found, if that is not long before `now` and nobody was erased since.
    fn get(&self, hash: &String, forgotten: u64, now: Instant) -> Option<IdentityId> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(hash)?;
        (found.forgotten == forgotten && now - found.at < FRESH_FOR).then_some(found.identity)
    }

    fn insert(&self, hash: String, found: Found) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, found);
    }
}

impl Store {
    /// Finds the identity of an issuer and a subject, or gives it a fresh id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn identity(&self, key: &LookUpKey, issuer: &str, subject: &str) -> Result<IdentityId, ReadError> {
        let hash = hash(key, issuer, subject);
        let (now, forgotten) = (Instant::now(), self.keys.forgotten());
        if let Some(found) = self.identities.get(&hash, forgotten, now) {
            return Ok(found);
        }
        if let Some(identity) = self.known_identity(key, issuer, subject).await? {
            self.identities.insert(hash, Found { identity, at: now, forgotten });
            return Ok(identity);
        }
        let fresh = IdentityId(self.fresh_id()).to_string();
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn t68_an_identity_is_remembered_until_somebody_is_erased_and_never_for_long() {
        let (remembered, now) = (Remembered::new(), Instant::now());
        let (hash, identity) = ("a hash".to_owned(), IdentityId(Uuid::from_u128(1)));
        remembered.insert(hash.clone(), Found { identity, at: now, forgotten: 3 });
        let just_before = now + FRESH_FOR - Duration::from_millis(1);
        assert_eq!(remembered.get(&hash, 3, just_before), Some(identity));
        assert_eq!(remembered.get(&hash, 4, now), None);
        assert_eq!(remembered.get(&hash, 3, now + FRESH_FOR), None);
    }
}
