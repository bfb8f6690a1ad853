//! The hosted pages: what a person sees between the mail and the linked profile.
//!
//! GET shows, POST does. Each browser's passage is one server-side flow (`flow`); no form carries an id. The pages ask
//! the very decision that the POST makes, so that what they show is what will happen.

pub mod views;
pub mod browser;
pub mod flow;
pub mod invitation;
pub mod sign_in;
pub mod profile;
pub mod words;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use crate::asked::RequestId;
use crate::problem::Problem;
use crate::state::Api;
use views::{ErrorPage, Frame, ICON, STYLESHEET};

/// Every page.
pub fn router() -> Router<Api> {
    Router::new()
        .route("/i/{token}", get(invitation::open_link))
        .route("/invitation", get(invitation::show))
        .route("/invitation/sign-in", post(invitation::sign_in))
        .route("/invitation/continue", post(invitation::continue_signed_in))
        .route("/invitation/code", get(invitation::show_code).post(invitation::check_code))
        .route("/invitation/code/again", post(invitation::send_code_again))
        .route("/invitation/confirm", get(invitation::show_confirmation).post(invitation::confirm))
        .route("/invitation/other-account", post(invitation::other_account))
        .route("/invitation/latest", post(invitation::send_latest_link))
        .route("/invitation/cancel", post(invitation::cancel))
        .route("/invitation/linked", get(invitation::show_linked))
        .route("/sign-in", get(sign_in::show).post(sign_in::begin))
        .route("/sign-in/{issuer}/callback", get(sign_in::callback))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/profile", get(profile::show))
        .route("/profile/choose", post(profile::choose))
        .route("/associations", get(profile::show_associations).post(profile::associate))
        .route("/profile/history/{account}", get(profile::history))
        .route("/assets/vinculum.css", get(|| async { asset("text/css; charset=utf-8", STYLESHEET) }))
        .route("/assets/vinculum.svg", get(|| async { asset("image/svg+xml", ICON) }))
}

fn asset(content_type: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// A page with a status.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A problem as a page for people. [`show_problems`] writes the page, since it knows the request.
#[derive(Debug)]
pub struct PageProblem(Problem);

impl<T: Into<Problem>> From<T> for PageProblem {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        let mut response = self.0.status().into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Writes the page of a problem that a page's handler ended with.
pub async fn show_problems(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (title, rest) = problem.title.split_once(". ").unwrap_or((&problem.title, ""));
    let template = ErrorPage {
        frame: Frame { csrf: String::new(), start_page: api.settings.start_page.clone() },
        status: problem.status,
        title: title.trim_end_matches('.').to_string(),
        sentence: format!("{rest} Nothing was changed.").trim_start().to_string(),
        next: words::next_steps(&problem.code),
        links: vec![],
        code: problem.code.clone(),
        request_id: id.unwrap_or_default(),
    };
    let mut page = page(problem.status(), &template);
    for (name, value) in response.headers() {
        page.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    page
}

/// Where there is nothing.
pub async fn nothing_here(headers: HeaderMap) -> Response {
    as_asked_for(&headers, Problem::not_found("not_found", "There is nothing here."))
}

/// Where there is something, but not for this method; axum says in `Allow` for which.
pub async fn not_done_here(headers: HeaderMap) -> Response {
    let title = "This address does not take this method.";
    as_asked_for(&headers, Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title))
}

/// A page for those who ask for pages, a problem for everybody else.
fn as_asked_for(headers: &HeaderMap, problem: Problem) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") { PageProblem(problem).into_response() } else { problem.into_response() }
}
