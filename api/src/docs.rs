//! The OpenAPI document, a page to browse it that works offline, and what the problem codes mean.

use std::fmt::Write as _;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToResponse};
use utoipa_swagger_ui::SwaggerUi;

use crate::problem::Problem;
use crate::state::Api;

/// Any error.
#[derive(ToResponse)]
#[response(description = "A problem (RFC 9457) with a stable code", content_type = "application/problem+json")]
#[expect(dead_code, reason = "it stands for the problem in the document")]
pub struct ProblemResponse(Problem);

#[derive(OpenApi)]
#[openapi(
    info(title = "Vinculum", description = "Links sign-in identities to profiles in business accounts. The answer to a command has a `Server-Timing`: milliseconds until it was durable (`durable`), and from then until the views showed it (`views`).", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    modifiers(&Bearer),
    security(("bearer" = [])),
    components(responses(ProblemResponse), schemas(Problem, crate::problem::Blocker)),
    tags((name = "me", description = "The signed-in person"), (name = "accounts"), (name = "professionals"), (name = "invitations"), (name = "history"))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A signed-in person's JWT of a configured issuer, or an API key `vk_…`"))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI 3.1 document, made of the same declarations as the router.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, document) = utoipa_axum::router::OpenApiRouter::with_openapi(Document::openapi())
        .merge(crate::v1::router())
        .split_for_parts();
    document
}

/// The document as it is committed and served.
///
/// # Panics
/// Never: the document is JSON.
pub fn openapi_json() -> String {
    let mut json = openapi().to_pretty_json().expect("invariant: the document is JSON");
    json.push('\n');
    json
}

/// `/docs`, `/openapi.json` and `/docs/problems`.
pub fn router() -> Router<Api> {
    Router::new()
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi()))
        .route("/docs/problems", get(|| async { Html(problems()) }))
}

fn problems() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Problem codes - Vinculum</title>\
         <link rel=\"stylesheet\" href=\"/assets/vinculum.css\"></head><body><main><h1>Problem codes</h1><dl>",
    );
    for (code, sentence) in crate::codes::all() {
        let _ = write!(page, "<dt id=\"{code}\"><code>{code}</code></dt><dd>{sentence}</dd>"); // a String takes it all
    }
    page.push_str("</dl></main></body></html>");
    page
}
