//! The schema of the log and the working state. Views have none: they are made anew.

use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AnyPool, Executor as _};

use crate::location::{Location, OpenError, SqliteFile, sqlite_options};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// One migrator at a time makes the schema of the views and grants: two at once would meet at a row of the catalogue, even
/// with `if not exists`, and one of them would fail.
const PREPARE_VIEWS: &str = "
    lock table _sqlx_migrations in share row exclusive mode;
    create schema if not exists views;
";

/// What the service's own role may do on PostgreSQL: read the log, append through the functions, keep working state.
const GRANTS: &str = "
    grant select on log_head, log_end, event, event_tag, erased_person, _sqlx_migrations to {role};
    grant select, insert, delete on person_key to {role};
    grant select, insert, update, delete on identity_look_up, api_key, session, flow, lease, association_request
        to {role};
    grant select, insert, update, delete on import, import_row to {role};
    grant select, insert on choice to {role};
    grant execute on function log_lock(), log_append to {role};
    grant usage, create on schema views to {role};
";

/// Brings the database's schema to that of this release. On PostgreSQL it runs as the owner; `service_role`, if given,
/// then gets what the service needs and no more, and a schema of its own for the views.
///
/// # Errors
/// The database cannot be reached, or a migration fails.
pub async fn migrate(location: &Location, service_role: Option<&str>) -> Result<(), OpenError> {
    match location {
        Location::Postgres(url) => {
            let options = sqlx::postgres::PgConnectOptions::from_str(url.reveal())?;
            let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
            POSTGRES.run(&pool).await?;
            let mut one_at_a_time = pool.begin().await?;
            one_at_a_time.execute(sqlx::raw_sql(PREPARE_VIEWS)).await?;
            if let Some(role) = service_role {
                let role = format!("\"{}\"", role.replace('"', "\"\""));
                one_at_a_time.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(GRANTS.replace("{role}", &role)))).await?;
            }
            one_at_a_time.commit().await?;
            pool.close().await;
        }
        Location::Folder(folder) => {
            let _one_at_a_time = lock(folder).await.map_err(sqlx::Error::Io)?; // PostgreSQL's migrations are locked by sqlx
            let options = sqlite_options(folder, SqliteFile::Log);
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            SQLITE.run(&pool).await?;
            pool.close().await;
        }
    }
    Ok(())
}

/// Waits until nobody else migrates what is in a folder. The lock ends when what is returned is dropped.
async fn lock(folder: &Path) -> std::io::Result<File> {
    let folder = File::open(folder)?;
    let locked = tokio::task::spawn_blocking(|| folder.lock().map(|()| folder)).await;
    locked.map_err(std::io::Error::other)?
}

/// Whether the schema is that of this release.
pub(crate) async fn is_migrated(pool: &AnyPool, location: &Location) -> Result<bool, OpenError> {
    let newest = match location {
        Location::Postgres(_) => &POSTGRES,
        Location::Folder(_) => &SQLITE,
    }
    .iter()
    .map(|migration| migration.version)
    .max();
    let applied: Result<Option<i64>, _> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(pool).await;
    match applied {
        Ok(applied) => Ok(applied == newest),
        Err(sqlx::Error::Database(_)) => Ok(false), // there is no such table yet
        Err(error) => Err(error.into()),
    }
}
