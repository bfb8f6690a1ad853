//! Flows: what one browser is in the middle of, such as a link on its way to confirmation. The cookie holds a random
//! reference (T24), the state is here; each step writes it anew.

use domain::ids::IdentityId;
use domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{at_rest, fresh_secret};
use crate::secret::Secret;
use crate::store::{ReadError, Store};

impl Store {
    /// Begins a flow; the returned secret goes into the cookie.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin_flow(&self, state: &impl Serialize, expires_at: Timestamp) -> Result<Secret<String>, ReadError> {
        let secret = fresh_secret();
        sqlx::query("insert into flow (id_hash, state, expires_at) values ($1, $2, $3)")
            .bind(at_rest(secret.reveal()))
            .bind(to_json(state))
            .bind(expires_at.0)
            .execute(&self.pool)
            .await?;
        Ok(secret)
    }

    /// Finds the flow of a cookie; none if it has expired, ended, or was of another kind.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn flow<T: DeserializeOwned>(&self, secret: &str) -> Result<Option<T>, ReadError> {
        let found: Option<String> = sqlx::query_scalar("select state from flow where id_hash = $1 and expires_at > $2")
            .bind(at_rest(secret))
            .bind(self.clock.now().0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.and_then(|state| serde_json::from_str(&state).ok()))
    }

    /// Writes a flow's next state if it is still as `before`; false if another request was faster or it has ended. With
    /// whoever is signed in inside it, its erasure ends the flow.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn change_flow<T: Serialize>(
        &self,
        secret: &str,
        before: &T,
        after: &T,
        signed_in: Option<IdentityId>,
    ) -> Result<bool, ReadError> {
        const CHANGE: &str =
            "update flow set state = $1, identity = $2 where id_hash = $3 and state = $4 and expires_at > $5";
        let done = sqlx::query(CHANGE)
            .bind(to_json(after))
            .bind(signed_in.map(|identity| identity.to_string()))
            .bind(at_rest(secret))
            .bind(to_json(before))
            .bind(self.clock.now().0)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a flow; one that has ended already changes nothing.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_flow(&self, secret: &str) -> Result<(), ReadError> {
        sqlx::query("delete from flow where id_hash = $1").bind(at_rest(secret)).execute(&self.pool).await?;
        Ok(())
    }
}

fn to_json(state: &impl Serialize) -> String {
    serde_json::to_string(state).expect("invariant: a flow's state is texts and numbers")
}
