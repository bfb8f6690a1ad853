//! Whether the process lives and whether it can serve.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::state::Api;

/// How many positions the views may be behind before this node is taken out of service.
const BEHIND_MAX: i64 = 10_000;

/// `/livez` and `/readyz`.
pub fn router() -> Router<Api> {
    Router::new().route("/livez", get(|| async { "live\n" })).route("/readyz", get(ready))
}

/// The store answers (that it is migrated was checked at start), and the views are not far behind.
async fn ready(State(api): State<Api>) -> (StatusCode, String) {
    match api.store.head().await {
        Ok(head) => {
            let behind = head - api.views.position();
            let status = if behind > BEHIND_MAX { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            (status, format!("log {head}, views {behind} behind\n"))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".into()),
    }
}
