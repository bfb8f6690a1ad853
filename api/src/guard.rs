//! What stands before every route: the request's id, the host, limits, the headers of every answer.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use store::random;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::asked::RequestId;
use crate::problem::Problem;
use crate::state::Api;

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
    routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tracing::error!("a handler panicked");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is out of order on our side.")
                .into_response()
        }))
        .layer(from_fn_with_state(api, check_host))
        .layer(from_fn(set_headers))
        .layer(from_fn(log_request))
}

/// Serves the configured hosts only (T16). On loopback, `localhost` is led to the one host that is served.
async fn check_host(State(api): State<Api>, request: Request, next: Next) -> Response {
    let settings = &api.settings;
    let host = asked_host(&request);
    let base = authority(&settings.base_url);
    if host == base || settings.other_hosts.iter().any(|other| other == host) {
        return next.run(request).await;
    }
    let port = settings.base_url.port().map(|port| format!(":{port}")).unwrap_or_default();
    if !settings.is_secure() && host == format!("localhost{port}") {
        let place = request.uri().path_and_query().map_or("/", |place| place.as_str());
        let target = settings.base_url.join(place).ok().filter(|target| target.origin() == settings.base_url.origin());
        return Redirect::temporary(target.as_ref().map_or("/", url::Url::as_str)).into_response();
    }
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_unknown", "This host is not served here.").into_response()
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

/// `host` or `host:port`, as browsers send it.
fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

async fn set_headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_asset = path.starts_with("/assets/");
    let is_docs = path == "/docs" || path.starts_with("/docs/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    let policy = if is_docs { CONTENT_SECURITY_POLICY_DOCS } else { CONTENT_SECURITY_POLICY };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::CACHE_CONTROL, if is_asset { "public, max-age=3600" } else { "no-store" });
    response
}

/// Gives the request its id and writes one line about it: the route, never the path, which may hold a token (T15).
async fn log_request(mut request: Request, next: Next) -> Response {
    let id = RequestId(random::uuid());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "none".to_string(), |route| route.as_str().to_string());
    let began = tokio::time::Instant::now();
    let mut response = next.run(request).await;
    let (status, duration_ms) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
    tracing::info!(request.id = %id.0, %method, route, status, duration_ms, "request");
    if let Ok(value) = HeaderValue::from_str(&id.0.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
