//! Sessions of signed-in browsers: a random reference in the cookie, everything else here (T34, T37).

use domain::ids::{IdentityId, ProfessionalId};
use domain::time::{Millis, Timestamp};

use super::{at_rest, fresh_secret};
use crate::secret::Secret;
use crate::store::{ReadError, Store};

/// A session ends when it was not used for this long (T37).
pub const IDLE_MAX: Millis = Millis::minutes(30);
/// A session ends this long after it began (T37).
pub const AGE_MAX: Millis = Millis::hours(12);
/// Use is noted at most this often, to spare writes.
const NOTE_USE_EVERY: Millis = Millis::minutes(1);

/// A signed-in browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who is signed in.
    pub identity: IdentityId,
    /// The token that every form of this session carries (T35).
    pub csrf: Secret<String>,
    /// When the person proved the identity to its provider.
    pub signed_in_at: Timestamp,
    /// The one profile that the browser acts as, if it has chosen one (R18).
    pub profile: Option<ProfessionalId>,
}

impl Store {
    /// Begins a session; the returned secret goes into the cookie.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin_session(
        &self,
        identity: IdentityId,
        signed_in_at: Timestamp,
    ) -> Result<Secret<String>, ReadError> {
        let (secret, now) = (fresh_secret(), self.clock.now());
        sqlx::query(
            "insert into session (id_hash, identity, csrf, signed_in_at, created_at, seen_at) \
             values ($1, $2, $3, $4, $5, $5)",
        )
        .bind(at_rest(secret.reveal()))
        .bind(identity.to_string())
        .bind(fresh_secret().reveal().as_str())
        .bind(signed_in_at.0)
        .bind(now.0)
        .execute(&self.pool)
        .await?;
        Ok(secret)
    }

    /// Finds the session of a cookie, if it has not ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, ReadError> {
        let (hash, now) = (at_rest(secret), self.clock.now());
        let row: Option<(String, String, i64, i64, Option<String>)> = sqlx::query_as(
            "select identity, csrf, signed_in_at, seen_at, profile from session \
             where id_hash = $1 and seen_at > $2 and created_at > $3",
        )
        .bind(&hash)
        .bind(now.0 - IDLE_MAX.0)
        .bind(now.0 - AGE_MAX.0)
        .fetch_optional(&self.pool)
        .await?;
        let Some((identity, csrf, signed_in_at, seen_at, profile)) = row else { return Ok(None) };
        if now.0 - seen_at > NOTE_USE_EVERY.0 {
            sqlx::query("update session set seen_at = $1 where id_hash = $2")
                .bind(now.0)
                .bind(hash)
                .execute(&self.pool)
                .await?;
        }
        let csrf = Secret::new(csrf);
        let (signed_in_at, profile) = (Timestamp(signed_in_at), profile.and_then(|profile| profile.parse().ok()));
        Ok(identity.parse().ok().map(|identity| Session { identity, csrf, signed_in_at, profile }))
    }

    /// Lets the browser act as a profile (R18); the caller has checked that it is the identity's own.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn choose_profile(&self, secret: &str, profile: ProfessionalId) -> Result<(), ReadError> {
        sqlx::query("update session set profile = $1 where id_hash = $2")
            .bind(profile.to_string())
            .bind(at_rest(secret))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a session; one that has ended already changes nothing.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_session(&self, secret: &str) -> Result<(), ReadError> {
        sqlx::query("delete from session where id_hash = $1").bind(at_rest(secret)).execute(&self.pool).await?;
        Ok(())
    }

    /// Deletes sessions and flows that time has ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep_working_state(&self) -> Result<(), ReadError> {
        let now = self.clock.now();
        sqlx::query("delete from session where seen_at <= $1 or created_at <= $2")
            .bind(now.0 - IDLE_MAX.0)
            .bind(now.0 - AGE_MAX.0)
            .execute(&self.pool)
            .await?;
        sqlx::query("delete from flow where expires_at <= $1").bind(now.0).execute(&self.pool).await?;
        Ok(())
    }
}
