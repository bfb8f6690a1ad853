//! What people typed on the association page (R13): rows that are handled within seconds and expire, never events.
//!
//! The page only puts a row down; it looks nothing up, so that its answer cannot tell what is registered. A worker does
//! the rest, and checks the limits in the order in which the requests came.

use domain::address::EmailAddress;
use domain::ids::IdentityId;
use domain::time::Millis;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::store::{ReadError, Store};
use crate::working::identities::LookUpKey;

/// Requests for one address within an hour that are mailed (rules.md, limits).
pub const OF_ADDRESS_AN_HOUR_MAX: i64 = 3;
/// Requests for one address within a day that are mailed (rules.md, limits).
pub const OF_ADDRESS_A_DAY_MAX: i64 = 10;
/// Requests of one identity within an hour that are mailed (rules.md, limits).
pub const OF_IDENTITY_AN_HOUR_MAX: i64 = 5;
/// Requests of one identity within an hour that are kept at all: no flood fills the table.
const KEPT_AN_HOUR_MAX: i64 = 50;
/// How long a claimed request waits for its worker before another one takes it.
const CLAIM_LIFETIME: Millis = Millis::minutes(5);
/// When a request is swept: the longest window of the limits.
const KEPT_FOR: Millis = Millis::hours(24);

/// A request that a worker has claimed.
#[derive(Clone, Debug)]
pub struct AssociationRequest {
    /// Its id.
    pub id: Uuid,
    /// Who asked.
    pub identity: IdentityId,
    /// What was typed.
    pub address: EmailAddress,
}

type Row = (String, String, String, Option<String>, i64);

impl Store {
    /// Keeps a request, once for each id. It is the same to the caller whatever becomes of it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn request_association(
        &self,
        key: &LookUpKey,
        id: Uuid,
        identity: IdentityId,
        address: &EmailAddress,
    ) -> Result<(), ReadError> {
        let now = self.clock.now();
        sqlx::query(
            "insert into association_request (id, identity, address_hash, address, created_at) \
             select cast($1 as text), cast($2 as text), cast($3 as text), cast($4 as text), cast($5 as bigint) \
             where (select count(*) from association_request where identity = $2 and created_at > cast($6 as bigint)) < $7 \
             on conflict (id) do nothing",
        )
        .bind(id.to_string())
        .bind(identity.to_string())
        .bind(hash(key, address))
        .bind(self.keys.seal_text(id, address.as_str()))
        .bind(now.0)
        .bind(now.0 - Millis::hours(1).0)
        .bind(KEPT_AN_HOUR_MAX)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Claims the oldest request that waits and is within the limits; those beyond are ended without a word.
    ///
    /// # Errors
    /// The database does not answer, or a request was sealed under a key that is not configured.
    pub async fn claim_association(&self) -> Result<Option<AssociationRequest>, ReadError> {
        loop {
            let now = self.clock.now();
            let row: Option<Row> = sqlx::query_as(
                "select id, identity, address_hash, address, created_at from association_request \
                 where address is not null and claimed_at <= $1 order by created_at, id limit 1",
            )
            .bind(now.0 - CLAIM_LIFETIME.0)
            .fetch_optional(&self.pool)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let claimed = sqlx::query(
                "update association_request set claimed_at = $1 \
                 where id = $2 and address is not null and claimed_at <= $3",
            )
            .bind(now.0)
            .bind(&row.0)
            .bind(now.0 - CLAIM_LIFETIME.0)
            .execute(&self.pool)
            .await?;
            if claimed.rows_affected() != 1 {
                continue; // another worker was faster
            }
            if self.is_beyond_limits(&row).await? {
                self.end(&row.0, 1).await?;
                continue;
            }
            match self.open_request(&row) {
                Some(request) => return Ok(Some(request)),
                None => self.end(&row.0, 1).await?, // a sealing key has retired meanwhile
            }
        }
    }

    /// Ends a request that was handled: what was typed is gone.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_association(&self, id: Uuid) -> Result<(), ReadError> {
        self.end(&id.to_string(), 0).await
    }

    /// Counts the requests that wait for a worker.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn waiting_associations(&self) -> Result<i64, ReadError> {
        let count = sqlx::query_scalar("select count(*) from association_request where address is not null");
        Ok(count.fetch_one(&self.pool).await?)
    }

    /// Deletes requests that no limit counts any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep_associations(&self) -> Result<(), ReadError> {
        let before = self.clock.now().0 - KEPT_FOR.0;
        sqlx::query("delete from association_request where created_at <= $1").bind(before).execute(&self.pool).await?;
        Ok(())
    }

    /// Whether other requests have used a limit up: those that were handled, whatever their times, since clocks differ and
    /// requests overtake each other, and those that wait and are earlier, or of the same millisecond and of lower ids. Those
    /// that were beyond it themselves do not count.
    async fn is_beyond_limits(&self, row: &Row) -> Result<bool, ReadError> {
        const OF_ADDRESS: &str = "select count(*) from association_request where address_hash = $1 and denied = 0 \
             and id <> $4 and created_at > $2 and created_at < $5 \
             and (address is null or created_at < $3 or (created_at = $3 and id < $4))";
        const OF_IDENTITY: &str = "select count(*) from association_request where identity = $1 and denied = 0 \
             and id <> $4 and created_at > $2 and created_at < $5 \
             and (address is null or created_at < $3 or (created_at = $3 and id < $4))";
        let (id, identity, address, _, created_at) = row;
        let limits = [
            (OF_ADDRESS, address, Millis::hours(1), OF_ADDRESS_AN_HOUR_MAX),
            (OF_ADDRESS, address, Millis::hours(24), OF_ADDRESS_A_DAY_MAX),
            (OF_IDENTITY, identity, Millis::hours(1), OF_IDENTITY_AN_HOUR_MAX),
        ];
        for (sql, of, window, max) in limits {
            let earlier: i64 = sqlx::query_scalar(sql)
                .bind(of)
                .bind(created_at - window.0)
                .bind(created_at)
                .bind(id)
                .bind(created_at + window.0)
                .fetch_one(&self.pool)
                .await?;
            if earlier >= max {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open_request(&self, (id, identity, _, address, _): &Row) -> Option<AssociationRequest> {
        let id: Uuid = id.parse().ok()?;
        let address = self.keys.open_text(id, address.as_deref()?).ok()?;
        let address = EmailAddress::from_stored(&address).ok()?;
        Some(AssociationRequest { id, identity: identity.parse().ok()?, address })
    }

    async fn end(&self, id: &str, denied: i64) -> Result<(), ReadError> {
        sqlx::query("update association_request set address = null, denied = $1 where id = $2")
            .bind(denied)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Stands for an address in the limits: without the key nobody can tell which.
fn hash(key: &LookUpKey, address: &EmailAddress) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("invariant: HMAC takes a key of any length");
    mac.update(b"vinculum association address v1\0");
    mac.update(address.key().as_str().as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
