//! What a browser brings along: the cookies of its session and its flow, and the proof that a form was ours.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use domain::caller::{Actor, Caller};
use serde::de::DeserializeOwned;
use store::random;
use store::secret::Secret;
use store::working::sessions::Session;
use subtle::ConstantTimeEq;

use super::PageProblem;
use crate::asked::RequestId;
use crate::problem::Problem;
use crate::state::Api;

/// A cookie of ours.
#[derive(Clone, Copy, Debug)]
pub enum Cookie {
    /// Refers to the session.
    Session,
    /// Refers to the flow of an invitation.
    Flow,
    /// Refers to the flow of a sign-in without an invitation; beside the other, so that neither replaces it.
    SignIn,
}

impl Cookie {
    /// Production cookies are bound to the host (`__Host-`); the development ones carry names of their own.
    const fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Self::Session, true) => "__Host-vinculum_session",
            (Self::Flow, true) => "__Host-vinculum_flow",
            (Self::SignIn, true) => "__Host-vinculum_sign_in",
            (Self::Session, false) => "vinculum_local_session",
            (Self::Flow, false) => "vinculum_local_flow",
            (Self::SignIn, false) => "vinculum_local_sign_in",
        }
    }

    /// The header value that sets it for this browser session.
    fn set(self, api: &Api, secret: &str) -> Option<HeaderValue> {
        let is_secure = api.settings.is_secure();
        let secure = if is_secure { "; Secure" } else { "" };
        let text = format!("{}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name(is_secure));
        HeaderValue::from_str(&text).ok()
    }

    fn read(self, api: &Api, headers: &HeaderMap) -> Option<Secret<String>> {
        let name = self.name(api.settings.is_secure());
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| Secret::new(value.to_string()))
    }
}

/// Sets a cookie on an answer.
pub(crate) fn with_cookie(api: &Api, mut response: Response, cookie: Cookie, secret: &Secret<String>) -> Response {
    if let Some(value) = cookie.set(api, secret.reveal()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Takes a cookie away.
pub(crate) fn without_cookie(api: &Api, mut response: Response, cookie: Cookie) -> Response {
    if let Some(mut value) = cookie.set(api, "").and_then(|value| value.to_str().ok().map(String::from)) {
        value.push_str("; Max-Age=0");
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

/// A browser, with whatever it brings.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The secret of the cookie of its invitation's flow.
    pub flow: Option<Secret<String>>,
    /// The secret of the cookie of its sign-in's flow.
    pub sign_in: Option<Secret<String>>,
    /// The secret of its session's cookie.
    pub session_secret: Option<Secret<String>>,
    /// Its session, if that has not ended.
    pub session: Option<Session>,
    /// The request it makes.
    pub request: domain::caller::Request,
}

impl Browser {
    /// The signed-in person as a caller.
    pub fn caller(&self) -> Option<Caller> {
        self.session.as_ref().map(|session| Caller {
            signed_in_at: Some(session.signed_in_at),
            acting_as: session.profile,
            ..Caller::new(Actor::Identity(session.identity))
        })
    }
}

impl FromRequestParts<Api> for Browser {
    type Rejection = PageProblem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, PageProblem> {
        let id = parts.extensions.get::<RequestId>().map_or_else(random::uuid, |id| id.0);
        let session_secret = Cookie::Session.read(api, &parts.headers);
        let session = match &session_secret {
            Some(secret) => api.store.session(secret.reveal()).await?,
            None => None,
        };
        Ok(Self {
            flow: Cookie::Flow.read(api, &parts.headers),
            sign_in: Cookie::SignIn.read(api, &parts.headers),
            session_secret,
            session,
            request: domain::caller::Request { id, key: None, body: None, if_match: None },
        })
    }
}

/// A form that a page of ours sent. Its token is checked by whoever knows what it belongs to.
#[derive(Clone, Debug)]
pub struct OwnForm<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for OwnForm<T> {
    type Rejection = PageProblem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, PageProblem> {
        // Browsers say where a request comes from; whoever sends nothing still needs the token (T35).
        let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
        if !matches!(site, None | Some("same-origin" | "none")) {
            return Err(cross_site().into());
        }
        let form = Form::<T>::from_request(request, api).await;
        let Form(form) =
            form.map_err(|_| Problem::invalid("invalid_form", "This form is not as our pages send it."))?;
        Ok(Self(form))
    }
}

/// Compares a form's token with the one it has to carry, in constant time.
///
/// # Errors
/// They differ.
pub(crate) fn check_csrf(sent: &str, expected: &str) -> Result<(), Problem> {
    if bool::from(sent.as_bytes().ct_eq(expected.as_bytes())) { Ok(()) } else { Err(cross_site()) }
}

fn cross_site() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross_site", "This form did not come from the page that is open here.")
}
