//! The JSON API under `/v1`: translate in, execute or query, translate out.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::event::Position;
use domain::ids::{AccountId, EventId};
use domain::refusal::Refusal;
use projections::Reader;
use serde::Serialize;
use store::Executed;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::state::{Api, Shown};

pub mod access_requests;
pub mod accounts;
pub mod appointments;
pub mod as_of;
pub mod history;
pub mod export;
pub mod identities;
pub mod imports;
pub mod invitations;
pub mod me;
pub mod operations;
pub mod professionals;
pub mod roles;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The router and the document are this one list.
pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(me::read))
        .routes(routes!(me::associate))
        .routes(routes!(accounts::open))
        .routes(routes!(accounts::read, accounts::rename))
        .routes(routes!(accounts::close))
        .routes(routes!(accounts::set_service_plan))
        .routes(routes!(accounts::assign_partner, accounts::remove_partner))
        .routes(routes!(professionals::list, professionals::add))
        .routes(routes!(professionals::read, professionals::edit, professionals::delete))
        .routes(routes!(professionals::hand_over))
        .routes(routes!(professionals::unlink))
        .routes(routes!(professionals::erase))
        .routes(routes!(identities::erase))
        .routes(routes!(professionals::send_invitation))
        .routes(routes!(roles::give, roles::take))
        .routes(routes!(access_requests::list, access_requests::ask))
        .routes(routes!(access_requests::approve))
        .routes(routes!(access_requests::decline))
        .routes(routes!(appointments::list, appointments::propose))
        .routes(routes!(appointments::object))
        .routes(routes!(appointments::decide))
        .routes(routes!(invitations::list))
        .routes(routes!(invitations::read))
        .routes(routes!(invitations::revoke))
        .routes(routes!(operations::attempts))
        .routes(routes!(operations::retry))
        .routes(routes!(operations::retry_many))
        .routes(routes!(operations::report_bounce))
        .routes(routes!(history::of_account))
        .routes(routes!(history::of_tag))
        .routes(routes!(export::read))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(imports::begin))
                .layer(DefaultBodyLimit::max(imports::IMPORT_BODY_BYTES_MAX)),
        )
        .routes(routes!(imports::read))
}

/// What a command did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Done<T> {
    /// What the command made or changed.
    #[serde(flatten)]
    pub result: T,
    /// The position in the log at which it is visible.
    #[schema(example = 42)]
    pub position: Position,
    /// False where the wish was true already, so that nothing was appended.
    pub changed: bool,
    /// True where this request had its effect before and is answered from the record.
    pub replayed: bool,
    /// `current`, or `behind` where the views do not show it yet; they will.
    #[schema(example = "current")]
    pub views: &'static str,
    /// Where the time went, for the answer's `Server-Timing`.
    #[serde(skip)]
    shown: Shown,
}

impl<T> Done<T> {
    /// Puts the answer to a command together.
    pub fn new(result: T, executed: &Executed, shown: Shown) -> Self {
        Self {
            result,
            position: executed.position,
            changed: !executed.events.is_empty(),
            replayed: executed.replayed,
            views: shown.views.as_str(),
            shown,
        }
    }
}

impl<T: Serialize> IntoResponse for Done<T> {
    /// The JSON, with a `Server-Timing` (W3C) that front-ends can show: milliseconds until it was durable, and then until
    /// it was visible.
    fn into_response(self) -> Response {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (durable, views) = (milliseconds(self.shown.durable_after), milliseconds(self.shown.waited));
        let timing = HeaderValue::from_str(&format!("durable;dur={durable:.3}, views;dur={views:.3}"));
        let mut response = Json(self).into_response();
        response.headers_mut().extend(timing.map(|timing| (SERVER_TIMING, timing)));
        response
    }
}

/// A created resource: 201 with its place.
pub fn created<T: Serialize>(location: &str, done: Done<T>) -> Response {
    let mut response = (StatusCode::CREATED, done).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A resource with its `ETag`: the last event that changed it.
pub fn with_etag<T: Serialize>(changed_by: EventId, resource: T) -> Response {
    let mut response = Json(resource).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{changed_by}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Checks that the reader may manage the account's people: staff, its administrators, and those of its partners.
///
/// # Errors
/// The account is unknown to the reader, or the reader only has a profile there.
pub(crate) async fn check_manager(api: &Api, account: AccountId, reader: Reader) -> Result<(), Problem> {
    api.views.account(account, reader).await?.ok_or(Refusal::UnknownAccount)?;
    if api.views.manages(account, reader).await? { Ok(()) } else { Err(Refusal::NotAdministrator.into()) }
}

/// Cuts a page that was read with one row more than it shows, and finds where the next one begins.
pub(crate) fn cut_page<T>(mut rows: Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let next = rows.last().map(|last| write_cursor(&place(last)));
    (rows, next)
}

/// Reads an opaque cursor as the position or id that it stands for.
pub(crate) fn read_cursor<T: FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    use base64::Engine as _;
    let invalid = || Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", "The cursor is not one of ours.");
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    text.parse().map(Some).map_err(|_| invalid())
}

/// Writes an opaque cursor.
pub(crate) fn write_cursor(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}
