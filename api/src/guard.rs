//! What stands before every route: the request's id, the host, limits, the headers of every answer.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use store::random;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use url::Url;

use crate::asked::RequestId;
use crate::problem::Problem;
use crate::state::{Api, Settings};

/// The largest body, in bytes (T70).
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest time for one request (T70).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Nothing from elsewhere, nothing inline, no frames (T14, T36).
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";
/// The same for the offline page of the API document, whose script sets styles and draws with data images.
const CONTENT_SECURITY_POLICY_DOCS: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

/// Puts the guard before the routes.
pub fn stand_before(routes: Router<Api>, api: Api) -> Router<Api> {
    let in_order = ServiceBuilder::new()
        .layer(from_fn_with_state(api, guard))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tracing::error!("a handler panicked");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is out of order on our side.")
                .into_response()
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    routes.layer(in_order)
}

/// Gives the request its id, sees whether it may pass, and writes one line about it: the route, never the path, which may
/// hold a token (T15).
async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = RequestId(random::uuid());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let kind = Kind::of(request.uri().path());
    let began = tokio::time::Instant::now();
    let mut response = match answer_to_host(&api.settings, &request) {
        None => next.run(request).await,
        Some(answer) => answer,
    };
    set_headers(response.headers_mut(), kind);
    let (status, duration_ms) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    tracing::info!(request.id = %id.0, %method, route, status, duration_ms, "request");
    if let Ok(value) = HeaderValue::from_str(&id.0.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Serves the configured hosts only (T16). On loopback, `localhost` is led to the one host that is served.
fn answer_to_host(settings: &Settings, request: &Request) -> Option<Response> {
    let host = asked_host(request);
    if is_at(&settings.base_url, host) || settings.other_hosts.iter().any(|other| other == host) {
        return None;
    }
    let port = settings.base_url.port().map(|port| format!(":{port}")).unwrap_or_default();
    if !settings.is_secure() && host == format!("localhost{port}") {
        let place = request.uri().path_and_query().map_or("/", |place| place.as_str());
        let target = settings.base_url.join(place).ok().filter(|target| target.origin() == settings.base_url.origin());
        return Some(Redirect::temporary(target.as_ref().map_or("/", Url::as_str)).into_response());
    }
    let unknown = Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_unknown", "This host is not served here.");
    Some(unknown.into_response())
}

/// The host that is asked for: the request's target names it before any `Host` does (RFC 9112, 3.2.2), on HTTP/2 alone.
/// Two `Host`s are none.
fn asked_host(request: &Request) -> &str {
    if let Some(authority) = request.uri().authority() {
        return authority.as_str();
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    }
}

/// Whether a URL is at this `host` or `host:port`, as browsers send it.
fn is_at(url: &Url, host: &str) -> bool {
    let after = url.host_str().and_then(|name| host.strip_prefix(name));
    match url.port() {
        None => after == Some(""),
        Some(port) => after.and_then(|after| after.strip_prefix(':')) == Some(&*port.to_string()),
    }
}

/// What is asked for, as far as the headers of the answer depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Asset,
    Docs,
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        match path {
            _ if path.starts_with("/assets/") => Self::Asset,
            _ if path == "/docs" || path.starts_with("/docs/") => Self::Docs,
            _ => Self::Other,
        }
    }
}

fn set_headers(headers: &mut HeaderMap, kind: Kind) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    let policy = if kind == Kind::Docs { CONTENT_SECURITY_POLICY_DOCS } else { CONTENT_SECURITY_POLICY };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::CACHE_CONTROL, if kind == Kind::Asset { "public, max-age=3600" } else { "no-store" });
}
