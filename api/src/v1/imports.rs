//! Imports: ask for one, see what came of it. A worker runs it; handler and worker meet in the working state.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::refusal::Refusal;
use domain::words::Scope;
use serde::{Deserialize, Serialize};
use store::working::imports::{ImportRow, ImportState, NewImport, Queued};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{read_cursor, write_cursor};
use crate::asked::{Asked, Authenticated, InPath, InQuery};
use crate::problem::Problem;
use crate::state::Api;

/// The largest body of this route alone: some 40,000 people. More goes in several imports, or by the command line.
pub const IMPORT_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Results on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 200;
/// The largest page.
const PAGE_MAX: usize = 1_000;
/// Who may import, and see what came of it.
const IMPORTERS: &[Scope] = &[Scope::BackOffice];

/// Two CSV files with headers.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginImport {
    /// The columns customer_number, kind, name, plan_name, plan_starts_at, plan_ends_at and partners, in any order.
    pub accounts: String,
    /// The columns customer_number, name, address, language, roles and send_invitation, in any order.
    pub professionals: String,
    /// Whether rows are only decided and nothing is appended.
    #[serde(default)]
    pub dry_run: bool,
}

/// How many rows had which outcome.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Counts {
    /// New accounts and people.
    pub created: i64,
    /// Accounts and people that were there and got what was missing.
    pub completed: i64,
    /// Rows that asked for nothing new.
    pub unchanged: i64,
    /// Rows that were refused.
    pub refused: i64,
}

/// The result of one row. It repeats nothing of the row.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ImportedRow {
    /// `accounts` or `professionals`.
    #[schema(example = "professionals")]
    pub file: String,
    /// The line at which the row begins; the header's is 1.
    pub line: i64,
    /// `created`, `completed`, `unchanged` or `refused`.
    #[schema(example = "created")]
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// The account; null in a dry run.
    pub account: Option<Uuid>,
    /// The person; null in a dry run.
    pub professional: Option<Uuid>,
}

impl ImportedRow {
    fn from_row(row: ImportRow) -> Self {
        let ImportRow { file, line, outcome, code, message, account, professional, .. } = row;
        let (account, professional) = (account.map(|id| id.0), professional.map(|id| id.0));
        Self { file, line, outcome, code, message, account, professional }
    }
}

/// An import, with a page of its results once it is done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Import {
    /// Its id.
    pub id: Uuid,
    /// `running`, `done` or `failed`.
    #[schema(example = "done")]
    pub status: &'static str,
    /// Why it failed.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// Whether rows are only decided.
    pub dry_run: bool,
    /// Rows of both files; 0 until they are read.
    pub rows_total: i64,
    /// Rows that are done.
    pub rows_done: i64,
    /// What came of them, once it is done.
    pub counts: Counts,
    /// When it was asked for (RFC 3339).
    pub asked_at: String,
    /// When it ended (RFC 3339).
    pub ended_at: Option<String>,
    /// A page of results, in the order of the files, accounts first; empty before the end.
    pub items: Vec<ImportedRow>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

impl Import {
    fn new(state: ImportState, rows: Vec<ImportRow>, next: Option<String>) -> Self {
        let counts = state.counts;
        Self {
            id: state.id,
            status: match state.status.as_str() {
                "done" => "done",
                "failed" => "failed",
                _ => "running",
            },
            code: state.code,
            message: state.message,
            dry_run: state.is_dry_run,
            rows_total: state.rows_total,
            rows_done: state.rows_done,
            counts: Counts {
                created: counts.created,
                completed: counts.completed,
                unchanged: counts.unchanged,
                refused: counts.refused,
            },
            asked_at: state.asked_at.to_string(),
            ended_at: state.ended_at.map(|at| at.to_string()),
            items: rows.into_iter().map(ImportedRow::from_row).collect(),
            next,
        }
    }
}

/// Import accounts and professionals
///
/// Row by row, in the background: one result for each row, and a second import of the same rows appends nothing.
/// Needs the scope `back_office`. The body may have 4 MiB.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", request_body = BeginImport,
    params(("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 202, description = "It runs", body = Import), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn begin(State(api): State<Api>, asked: Asked<BeginImport>) -> Result<Response, Problem> {
    asked.by.staff(IMPORTERS)?;
    let BeginImport { accounts, professionals, dry_run: is_dry_run } = asked.body;
    let new = NewImport { caller: asked.by.caller, request: asked.request, is_dry_run, accounts, professionals };
    let id = match api.store.queue_import(&new).await? {
        Queued::Id(id) => id,
        Queued::KeyReused => return Err(Refusal::IdempotencyKeyReused.into()),
        Queued::TooMany => {
            let title = "Too many imports are under way. Try again later.";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_imports", title));
        }
    };
    let state = api.store.import(id).await?.ok_or_else(Problem::unavailable)?;
    let mut response = (StatusCode::ACCEPTED, Json(Import::new(state, Vec::new(), None))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/imports/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Which results.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Only rows with this outcome, such as `refused`.
    pub outcome: Option<String>,
    /// Where the page begins: the `next` of the one before.
    pub cursor: Option<String>,
    /// How many items at most; 1 to 1000.
    pub limit: Option<usize>,
}

/// Read an import
///
/// How far it is, and once it is done, what came of each row. Needs the scope `back_office`. Results are kept for 30 days.
#[utoipa::path(get, path = "/v1/imports/{import}", tag = "imports", params(("import" = uuid::Uuid, Path,), ImportQuery),
    responses((status = 200, description = "The import, with a page of results", body = Import), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(
    State(api): State<Api>,
    by: Authenticated,
    InPath(id): InPath<Uuid>,
    InQuery(query): InQuery<ImportQuery>,
) -> Result<Json<Import>, Problem> {
    by.staff(IMPORTERS)?;
    let unknown = || Problem::not_found("unknown_import", "There is no such import.");
    let after: i64 = read_cursor(query.cursor.as_deref())?.unwrap_or(0);
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let outcome = query.outcome.unwrap_or_default();
    let state = api.store.import(id).await?.ok_or_else(unknown)?;
    let mut rows = api.store.import_rows(id, &outcome, after, limit + 1).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| write_cursor(&last.number.to_string()));
    Ok(Json(Import::new(state, rows, next)))
}
