//! Imports that were asked for over the API: a queue for the import workers, and what came of each row.
//!
//! The files hold names and addresses. They stand here sealed under a key of their own, and file and key are deleted
//! when the import ends, however it ends. Results hold line numbers, ids and codes only.

use domain::caller::{Caller, Request};
use domain::ids::{AccountId, ProfessionalId};
use domain::time::{Millis, Timestamp};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::random;
use crate::seal;
use crate::store::{ReadError, Store};

/// Imports that may wait or run at once; past it callers are told to come back.
pub const IMPORTS_OPEN_MAX: i64 = 20;
/// How long a node's imports count as running without a sign of life.
pub const ALIVE_FOR: Millis = Millis::seconds(60);
/// How long an import may wait for a worker before it counts as failed, so that no file stays.
pub const QUEUED_MAX: Millis = Millis::hours(24);
/// How long the results of an import are kept after its end.
pub const KEPT_FOR: Millis = Millis::days(30);
/// The code of an import whose node stopped or died. What it appended stays; asking again does what is missing.
pub const INTERRUPTED: &str = "import_interrupted";
/// The same for people.
pub const INTERRUPTED_MESSAGE: &str = "The import was interrupted. Ask again: what is missing will be done.";
/// Results written in one statement: nine values each, and SQLite's old limit is 999.
const ROWS_IN_STATEMENT: usize = 100;

/// What an import is asked to do.
#[derive(Clone)]
pub struct NewImport {
    /// Who asks, with what scopes.
    pub caller: Caller,
    /// The request, with its idempotency key if it came with one.
    pub request: Request,
    /// Whether it only decides.
    pub is_dry_run: bool,
    /// The accounts' file.
    pub accounts: String,
    /// The people's file.
    pub professionals: String,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It waits, or this request was answered before with it.
    Id(Uuid),
    /// The same key came with another body.
    KeyReused,
    /// Too many wait already.
    TooMany,
}

/// An import that this node runs from now on.
pub struct ClaimedImport {
    /// Its id.
    pub id: Uuid,
    /// Who asked.
    pub caller: Caller,
    /// Whether it only decides.
    pub is_dry_run: bool,
    /// The accounts' file.
    pub accounts: String,
    /// The people's file.
    pub professionals: String,
}

/// How many rows had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// New accounts and people.
    pub created: i64,
    /// Rows whose missing parts were added.
    pub completed: i64,
    /// Rows that asked for nothing new.
    pub unchanged: i64,
    /// Rows that were refused.
    pub refused: i64,
}

/// Where an import stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportState {
    /// Its id.
    pub id: Uuid,
    /// `queued`, `running`, `done` or `failed`.
    pub status: String,
    /// Why it failed.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// Whether it only decides.
    pub is_dry_run: bool,
    /// Rows of both files; 0 until they are read.
    pub rows_total: i64,
    /// Rows that are done.
    pub rows_done: i64,
    /// What came of them, once it is done.
    pub counts: ImportCounts,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The result of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// 1, 2, 3 … through both files, accounts first.
    pub number: i64,
    /// `accounts` or `professionals`.
    pub file: String,
    /// The line at which the row begins.
    pub line: i64,
    /// What came of it.
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// The account.
    pub account: Option<AccountId>,
    /// The person.
    pub professional: Option<ProfessionalId>,
}

const SELECT: &str = "select status, code, message, is_dry_run, rows_total, rows_done, created, completed, unchanged, \
                      refused, asked_at, ended_at from import where id = $1";

impl Store {
    /// Queues an import. The same request again is answered with the same import.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn queue_import(&self, new: &NewImport) -> Result<Queued, ReadError> {
        if let Some(found) = self.import_of_request(&new.request).await? {
            return Ok(found);
        }
        let open: i64 = sqlx::query_scalar("select count(*) from import where status in ('queued', 'running')")
            .fetch_one(&self.pool)
            .await?;
        if open >= IMPORTS_OPEN_MAX {
            return Ok(Queued::TooMany);
        }
        let (id, key) = (random::uuid(), self.keys.fresh());
        let files = serde_json::to_vec(&(&new.accounts, &new.professionals)).expect("invariant: texts are JSON");
        let scopes: Vec<&str> = new.caller.scopes.iter().map(|scope| scope.as_str()).collect();
        let done = sqlx::query(
            "insert into import (id, request_key, request_body, actor, scopes, is_dry_run, status, rows_total, \
             rows_done, created, completed, unchanged, refused, asked_at, sealed, wrapped) \
             values ($1, $2, $3, $4, $5, $6, 'queued', 0, 0, 0, 0, 0, 0, $7, $8, $9) \
             on conflict (request_key) do nothing",
        )
        .bind(id.to_string())
        .bind(new.request.key.map(|key| key.0.to_string()))
        .bind(new.request.body.map(|body| body.to_string()))
        .bind(new.caller.actor.to_string())
        .bind(scopes.join(" "))
        .bind(i64::from(new.is_dry_run))
        .bind(self.clock.now().0)
        .bind(seal::seal(&key, id.as_bytes(), &files))
        .bind(self.keys.wrap(id, &key))
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(Queued::Id(id));
        }
        // The same request came twice at the same moment.
        self.import_of_request(&new.request).await?.ok_or(ReadError::Database(sqlx::Error::RowNotFound))
    }

    async fn import_of_request(&self, request: &Request) -> Result<Option<Queued>, ReadError> {
        let Some(key) = request.key else { return Ok(None) };
        let found: Option<(String, Option<String>)> =
            sqlx::query_as("select id, request_body from import where request_key = $1")
                .bind(key.0.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(|(id, body)| match id.parse() {
            Ok(id) if body == request.body.map(|body| body.to_string()) => Queued::Id(id),
            _ => Queued::KeyReused,
        }))
    }

    /// Claims the import that has waited longest; none if none waits. One whose files this node cannot open fails.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn claim_import(&self, holder: &str) -> Result<Option<ClaimedImport>, ReadError> {
        let waiting: Option<(String, String, String, i64, String, String)> = sqlx::query_as(
            "select id, actor, scopes, is_dry_run, sealed, wrapped from import where status = 'queued' \
             order by asked_at, id limit 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some((text, actor, scopes, is_dry_run, sealed, wrapped)) = waiting else { return Ok(None) };
        let done = sqlx::query(
            "update import set status = 'running', holder = $1, alive_until = $2 where id = $3 and status = 'queued'",
        )
        .bind(holder)
        .bind((self.clock.now() + ALIVE_FOR).0)
        .bind(&text)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None); // another node was faster; the next look finds the next one
        }
        let Ok(id) = text.parse::<Uuid>() else { return Ok(None) };
        let files = self.keys.unwrap(id, &wrapped).and_then(|key| seal::open(&key, id.as_bytes(), &sealed)).ok();
        let files: Option<(String, String)> = files.and_then(|files| serde_json::from_slice(&files).ok());
        let (Some((accounts, professionals)), Ok(actor)) = (files, actor.parse()) else {
            self.fail_import(id, holder, "internal", "The files cannot be opened.").await?;
            return Ok(None);
        };
        let caller = Caller::with_scopes(actor, scopes.split(' ').filter_map(|scope| scope.parse().ok()));
        Ok(Some(ClaimedImport { id, caller, is_dry_run: is_dry_run == 1, accounts, professionals }))
    }

    /// Gives a sign of life; false if the import is not this node's any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn prolong_import(&self, id: Uuid, holder: &str, total: i64, done: i64) -> Result<bool, ReadError> {
        let prolonged = sqlx::query(
            "update import set alive_until = $1, rows_total = $2, rows_done = $3 \
             where id = $4 and holder = $5 and status = 'running'",
        )
        .bind((self.clock.now() + ALIVE_FOR).0)
        .bind(total)
        .bind(done)
        .bind(id.to_string())
        .bind(holder)
        .execute(&self.pool)
        .await?;
        Ok(prolonged.rows_affected() == 1)
    }

    /// Ends an import with its results and deletes its files; false if it is not this node's any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn finish_import(
        &self,
        id: Uuid,
        holder: &str,
        counts: ImportCounts,
        rows: &[ImportRow],
    ) -> Result<bool, ReadError> {
        // No transaction: nobody sees the results before the import is done, and those of one that failed are deleted.
        for chunk in rows.chunks(ROWS_IN_STATEMENT) {
            self.insert_rows(id, chunk).await?;
        }
        let done = sqlx::query(
            "update import set status = 'done', sealed = null, wrapped = null, rows_total = $1, rows_done = $1, \
             created = $2, completed = $3, unchanged = $4, refused = $5, ended_at = $6 \
             where id = $7 and holder = $8 and status = 'running'",
        )
        .bind(rows.len() as i64)
        .bind(counts.created)
        .bind(counts.completed)
        .bind(counts.unchanged)
        .bind(counts.refused)
        .bind(self.clock.now().0)
        .bind(id.to_string())
        .bind(holder)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn insert_rows(&self, id: Uuid, rows: &[ImportRow]) -> Result<(), ReadError> {
        let place = |n: usize| {
            let places: Vec<String> = (1..=9).map(|column| format!("${}", n * 9 + column)).collect();
            format!("({})", places.join(", "))
        };
        let places: Vec<String> = (0..rows.len()).map(place).collect();
        let sql = format!(
            "insert into import_row (import, number, file, line, outcome, code, message, account, professional) \
             values {} on conflict (import, number) do nothing",
            places.join(", ")
        );
        let query = rows.iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |query, row| {
            query
                .bind(id.to_string())
                .bind(row.number)
                .bind(row.file.as_str())
                .bind(row.line)
                .bind(row.outcome.as_str())
                .bind(row.code.as_deref())
                .bind(row.message.as_deref())
                .bind(row.account.map(|id| id.to_string()))
                .bind(row.professional.map(|id| id.to_string()))
        });
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// Ends an import that this node runs without results, and deletes its files.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn fail_import(&self, id: Uuid, holder: &str, code: &str, message: &str) -> Result<(), ReadError> {
        sqlx::query(
            "update import set status = 'failed', code = $1, message = $2, sealed = null, wrapped = null, \
             ended_at = $3 where id = $4 and holder = $5 and status = 'running'",
        )
        .bind(code)
        .bind(message)
        .bind(self.clock.now().0)
        .bind(id.to_string())
        .bind(holder)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends imports whose node has died and those that nobody took, deletes their files, and whatever is too old.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep_imports(&self) -> Result<(), ReadError> {
        let now = self.clock.now();
        sqlx::query(
            "update import set status = 'failed', code = $1, message = $2, sealed = null, wrapped = null, \
             ended_at = $3 where (status = 'running' and alive_until <= $3) or (status = 'queued' and asked_at <= $4)",
        )
        .bind(INTERRUPTED)
        .bind(INTERRUPTED_MESSAGE)
        .bind(now.0)
        .bind(now.0 - QUEUED_MAX.0)
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "delete from import_row where import in \
             (select id from import where status = 'failed' or (status = 'done' and ended_at <= $1))",
        )
        .bind(now.0 - KEPT_FOR.0)
        .execute(&self.pool)
        .await?;
        sqlx::query("delete from import where ended_at <= $1").bind(now.0 - KEPT_FOR.0).execute(&self.pool).await?;
        Ok(())
    }

    /// Finds an import.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn import(&self, id: Uuid) -> Result<Option<ImportState>, ReadError> {
        let row: Option<AnyRow> = sqlx::query(SELECT).bind(id.to_string()).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| state(id, &row)).transpose()?)
    }

    /// Lists results after a number, in order; of one outcome only unless `outcome` is empty. None before the end.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn import_rows(
        &self,
        id: Uuid,
        outcome: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ImportRow>, ReadError> {
        let rows: Vec<AnyRow> = sqlx::query(
            "select r.number, r.file, r.line, r.outcome, r.code, r.message, r.account, r.professional \
             from import_row r join import i on i.id = r.import \
             where r.import = $1 and i.status = 'done' and r.number > $2 and ($3 = '' or r.outcome = $3) \
             order by r.number limit $4",
        )
        .bind(id.to_string())
        .bind(after)
        .bind(outcome)
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(row).collect::<Result<_, _>>()?)
    }
}

fn state(id: Uuid, row: &AnyRow) -> Result<ImportState, sqlx::Error> {
    Ok(ImportState {
        id,
        status: row.try_get("status")?,
        code: row.try_get("code")?,
        message: row.try_get("message")?,
        is_dry_run: row.try_get::<i64, _>("is_dry_run")? == 1,
        rows_total: row.try_get("rows_total")?,
        rows_done: row.try_get("rows_done")?,
        counts: ImportCounts {
            created: row.try_get("created")?,
            completed: row.try_get("completed")?,
            unchanged: row.try_get("unchanged")?,
            refused: row.try_get("refused")?,
        },
        asked_at: Timestamp(row.try_get("asked_at")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(Timestamp),
    })
}

fn row(row: &AnyRow) -> Result<ImportRow, sqlx::Error> {
    let id = |name: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(name)?.and_then(|id| id.parse().ok()));
    Ok(ImportRow {
        number: row.try_get("number")?,
        file: row.try_get("file")?,
        line: row.try_get("line")?,
        outcome: row.try_get("outcome")?,
        code: row.try_get("code")?,
        message: row.try_get("message")?,
        account: id("account")?.map(AccountId),
        professional: id("professional")?.map(ProfessionalId),
    })
}
