//! Leases: a hint which node does a job now. They spare work; nothing rests on them.

use domain::time::Millis;

use crate::store::{ReadError, Store};

impl Store {
    /// Takes or prolongs a lease; false if another holder has it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn take_lease(&self, name: &str, holder: &str, length: Millis) -> Result<bool, ReadError> {
        let now = self.clock.now();
        let done = sqlx::query(
            "insert into lease (name, holder, expires_at) values ($1, $2, $3) \
             on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at \
             where lease.holder = excluded.holder or lease.expires_at <= $4",
        )
        .bind(name)
        .bind(holder)
        .bind((now + length).0)
        .bind(now.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a lease back, so that another node need not wait for its end.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn give_lease_back(&self, name: &str, holder: &str) -> Result<(), ReadError> {
        sqlx::query("delete from lease where name = $1 and holder = $2")
            .bind(name)
            .bind(holder)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
