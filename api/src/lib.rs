//! HTTP: translate in, execute or query, translate out. The JSON API and the hosted pages.
//!
//! No rule of the domain stands here. Reading order: [`state`], [`asked`] and [`problem`] are what every handler uses;
//! [`told`] words the log, [`v1`] is the JSON API, [`pages`] what people see, [`oidc`] how they sign in, [`guard`] what stands before it all.

pub mod state;
pub mod asked;
pub mod problem;
pub mod codes;
pub mod oidc;
pub mod told;
pub mod v1;
pub mod docs;
pub mod pages;
pub mod guard;
pub mod health;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::state::Api;

/// The whole HTTP side. `extra` are routes of the development parts, behind the same guard.
pub fn router(api: Api, extra: Router<Api>) -> Router {
    let (v1, _) = v1::router().split_for_parts();
    let routes = Router::new()
        .merge(v1)
        .merge(docs::router())
        .merge(pages::router())
        .merge(extra)
        .fallback(pages::nothing_here)
        .method_not_allowed_fallback(pages::not_done_here)
        .layer(from_fn_with_state(api.clone(), pages::show_problems));
    guard::stand_before(routes, api.clone()).merge(health::router()).with_state(api)
}
