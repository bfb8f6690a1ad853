//! Budgets: how often something may happen in a window of time, counted over all nodes.

use domain::time::Millis;

use crate::store::{ReadError, Store};

/// The longest window; older counts are swept.
pub const WINDOW_MAX: Millis = Millis::days(2);

impl Store {
    /// Takes one from a budget; false if it is used up. Windows begin at multiples of their length.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn take_from_budget(&self, name: &str, window: Millis, most: u32) -> Result<bool, ReadError> {
        let now = self.clock.now().0;
        let starts_at = now - now.rem_euclid(window.0.max(1));
        let done = sqlx::query(
            "insert into budget (name, starts_at, used) values ($1, $2, 1) \
             on conflict (name, starts_at) do update set used = budget.used + 1 where budget.used < $3",
        )
        .bind(name)
        .bind(starts_at)
        .bind(i64::from(most))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// How much of a budget is used in the window at hand.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn used_of_budget(&self, name: &str, window: Millis) -> Result<u32, ReadError> {
        let now = self.clock.now().0;
        let used: Option<i64> = sqlx::query_scalar("select used from budget where name = $1 and starts_at = $2")
            .bind(name)
            .bind(now - now.rem_euclid(window.0.max(1)))
            .fetch_optional(&self.pool)
            .await?;
        Ok(used.and_then(|used| u32::try_from(used).ok()).unwrap_or(0))
    }
}
