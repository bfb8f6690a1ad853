//! From an HTTP request to who asks what: authentication, the body as a type, the request's own identity.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::ids::{EventId, IdentityId, ProfessionalId};
use domain::name::PersonName;
use domain::personal::IdentityDetails;
use domain::refusal::Refusal;
use domain::tag::RequestKey;
use domain::words::{IdentityKind, Scope};
use hmac::{Hmac, KeyInit, Mac};
use projections::Reader;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use store::random;
use store::working::api_keys;
use store::working::identities::LookUpKey;
use uuid::Uuid;

use crate::oidc::BearerIdentity;
use crate::problem::Problem;
use crate::state::Api;

/// The longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The id that a request has in the logs and in its events; set by the first layer.
#[derive(Clone, Copy, Debug)]
pub struct RequestId(pub Uuid);

/// An authenticated caller of the JSON API.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who asks.
    pub caller: Caller,
    /// For whom queries read.
    pub reader: Reader,
    /// The request, without an idempotency key.
    pub request: Request,
    /// Whom the bearer token names; none for keys.
    bearer: Option<BearerIdentity>,
}

impl Authenticated {
    /// Registers the person's identity, if it has not signed in before: what it will say is sealed under its key.
    ///
    /// # Errors
    /// The log or the views cannot be reached.
    pub async fn register(&self, api: &Api) -> Result<(), Problem> {
        let Some(bearer) = &self.bearer else { return Ok(()) };
        let (key, details) = (&bearer.issuer_key, Details::default());
        known_identity(api, key, bearer.kind, &bearer.issuer, &bearer.subject, details, &self.request).await?;
        Ok(())
    }

    /// For whom a query reads: everything for whoever has one of these scopes, else what the person's profiles allow.
    ///
    /// # Errors
    /// The caller is a key without any of the scopes.
    pub fn person_or(&self, scopes: &[Scope]) -> Result<Reader, Problem> {
        match self.reader {
            Reader::Identity(_) | Reader::Profile(..) if !self.caller.has_any(scopes) => Ok(self.reader),
            _ => self.staff(scopes).map(|()| Reader::Staff),
        }
    }

    /// Checks that the caller has one of these scopes.
    ///
    /// # Errors
    /// It has none of them.
    pub fn staff(&self, scopes: &[Scope]) -> Result<(), Problem> {
        domain::authority::need_scope(&self.caller, scopes).map_err(Problem::from)
    }

    /// The signed-in person.
    ///
    /// # Errors
    /// The caller is a key.
    pub fn person(&self) -> Result<IdentityId, Problem> {
        match self.caller.actor {
            Actor::Identity(identity) => Ok(identity),
            _ => Err(Problem::new(StatusCode::FORBIDDEN, "person_needed", "Only a signed-in person can ask this.")),
        }
    }
}

impl FromRequestParts<Api> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>().map_or_else(random::uuid, |id| id.0);
        let request = Request { id, key: None, body: None, if_match: None };
        let token = bearer_token(&parts.headers)?;
        if token.starts_with(api_keys::PREFIX) {
            let key =
                api.store.api_key(token).await?.ok_or_else(|| {
                    Problem::unauthenticated("api_key_unknown", "The API key is unknown or was revoked.")
                })?;
            let caller = Caller::with_scopes(Actor::Key(key.id), key.scopes);
            return Ok(Self { caller, reader: Reader::Staff, request, bearer: None });
        }
        let bearer = api.providers.bearer(token).await?;
        let details = Details { name: bearer.name.clone(), email: bearer.email.clone() };
        // Most access tokens tell neither name nor address: then the first sign-in, which does, registers the identity.
        let identity = if details.name.is_none() && details.email.is_none() {
            api.store.identity(&api.look_up_key, &bearer.issuer, &bearer.subject).await?
        } else {
            known_identity(api, &bearer.issuer_key, bearer.kind, &bearer.issuer, &bearer.subject, details, &request)
                .await?
        };
        let mut caller = Caller::with_scopes(Actor::Identity(identity), bearer.scopes.clone());
        caller.signed_in_at = bearer.signed_in_at;
        caller.acting_as = acting_as(&parts.headers, api, identity).await?;
        let reader = match caller.acting_as {
            Some(profile) => Reader::Profile(identity, profile),
            None => Reader::Identity(identity),
        };
        api.note_sign_in(identity, &request);
        Ok(Self { caller, reader, request, bearer: Some(bearer) })
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::unauthenticated("unauthenticated", "Send an Authorization header with a bearer token.");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// The profile that the caller says it acts as (`Act-As`); it must be its own.
async fn acting_as(headers: &HeaderMap, api: &Api, identity: IdentityId) -> Result<Option<ProfessionalId>, Problem> {
    let Some(value) = headers.get("act-as") else { return Ok(None) };
    let not_yours = || Problem::from(domain::refusal::Refusal::NotYourProfile);
    let id: ProfessionalId = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(not_yours)?;
    let profiles = api.views.profiles(identity).await?;
    if profiles.iter().any(|(professional, _)| professional.id == id) { Ok(Some(id)) } else { Err(not_yours()) }
}

/// What an issuer told about a person, not yet in the domain's types.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The person's name.
    pub name: Option<String>,
    /// The person's address.
    pub email: Option<String>,
}

/// Finds the identity of an issuer's subject; at its first appearance it is registered, with those details that the
/// domain's types take.
///
/// # Errors
/// The log or the working state cannot be reached.
pub async fn known_identity(
    api: &Api,
    issuer_key: &str,
    kind: IdentityKind,
    issuer: &str,
    subject: &str,
    details: Details,
    request: &Request,
) -> Result<IdentityId, Problem> {
    let identity = api.store.identity(&api.look_up_key, issuer, subject).await?;
    if api.views.identity(identity).await?.is_none() {
        let details = IdentityDetails {
            name: details.name.as_deref().and_then(|name| PersonName::parse(name).ok()),
            address: details.email.as_deref().and_then(|address| EmailAddress::parse(address).ok()),
        };
        let command = Command::RegisterIdentity { identity, issuer: issuer_key.into(), kind, details };
        api.execute(command, Caller::new(Actor::Identity(identity)), request.clone()).await?;
    }
    Ok(identity)
}

/// A command that was asked for: who, by which request, with what body.
#[derive(Clone, Debug)]
pub struct Asked<T> {
    /// Who asks.
    pub by: Authenticated,
    /// The request, with its idempotency key if it came with one.
    pub request: Request,
    /// The body.
    pub body: T,
}

/// A body that must be empty or an empty object.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned> FromRequest<Api> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let by = Authenticated::from_request_parts(&mut parts, api).await?;
        let route = format!("{} {}", parts.method, parts.uri.path());
        let headers = parts.headers.clone();
        let content_type = headers.get(header::CONTENT_TYPE);
        let idempotency_key = idempotency_key(&headers)?;
        let bytes = Bytes::from_request(axum::extract::Request::from_parts(parts, body), api).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is too large or did not arrive whole.",
            )
        })?;
        let is_json = content_type.and_then(|value| value.to_str().ok()).is_some_and(is_json);
        if !bytes.is_empty() && !is_json {
            let title = "Send the body as application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", title));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        if text.trim_ascii_start().starts_with(b"[") {
            // serde would take a list for the fields in their order.
            return Err(Problem::invalid("invalid_body", "The body is not as described: it is a list, not an object."));
        }
        let body = serde_json::from_slice(text).map_err(|error| invalid_body(&error))?;
        let mut request = Request { if_match: if_match(&headers)?, ..by.request.clone() };
        if let Some(key) = idempotency_key {
            request.key = Some(RequestKey::derive(&by.caller.actor.to_string(), &key));
            request.body = hash(&api.look_up_key, &route, &bytes);
        }
        Ok(Self { by, request, body })
    }
}

/// Stands for what was asked. It outlives an erasure: without the key nobody can tell whether a guess is right (R27).
fn hash(key: &LookUpKey, route: &str, body: &[u8]) -> Option<u64> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("invariant: HMAC takes a key of any length");
    for part in [b"vinculum request v1\0", route.as_bytes(), b"\0", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().first_chunk().map(|first| u64::from_be_bytes(*first))
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Says where the body is wrong; never repeats what it holds.
fn invalid_body(error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => {
            Problem::invalid("invalid_body", format!("The body is not as described: {}.", data_error(error)))
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not JSON."),
    }
}

/// serde's message without what was sent: a name or value of the body stands in quotes before what was expected.
fn data_error(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let expected = [", expected ", ", there are no "].iter().filter_map(|words| message.rfind(words)).max();
    let (found, expected) = message.split_at(expected.unwrap_or(message.len()));
    match found.split_once(['"', '`']) {
        Some((kind, _)) if !expected.is_empty() => format!("{}{expected}", kind.trim_end()),
        Some(_) if found.contains('"') => format!("line {}, column {}", error.line(), error.column()),
        _ => message,
    }
}

/// The event that last changed the resource as the caller knows it; none where any will do.
fn if_match(headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // A tag that is none of ours matches nothing.
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    tag.map(Some).ok_or_else(|| Refusal::ChangedSinceRead.into())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX => Ok(Some(key.into())),
        _ => Err(Problem::invalid(
            "idempotency_key_invalid",
            format!("An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters."),
        )),
    }
}

/// Ids in a path. What is no id is as unknown as an id that nothing has (T38).
#[derive(Clone, Copy, Debug)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let found = Path::<T>::from_request_parts(parts, api).await;
        found.map(|Path(ids)| Self(ids)).map_err(|_| Problem::not_found("not_found", "There is nothing here."))
    }
}

/// The query's parameters.
#[derive(Clone, Copy, Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let found = Query::<T>::from_request_parts(parts, api).await;
        found.map(|Query(query)| Self(query)).map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "A query parameter is not as described.")
        })
    }
}

#[cfg(test)]
mod tests {
    use store::secret::Secret;

    use super::*;

    #[test]
    fn t68_what_was_asked_cannot_be_guessed_without_the_key() {
        let hash = |key: u8, route: &str, body: &str| hash(&Secret::new([key; 32]), route, body.as_bytes());
        let asked = hash(1, "POST /v1/accounts", "{}");
        assert_eq!(hash(1, "POST /v1/accounts", "{}"), asked);
        for other in
            [hash(2, "POST /v1/accounts", "{}"), hash(1, "POST /v1/account", "s{}"), hash(1, "POST /v1/accounts", "")]
        {
            assert_ne!(other, asked);
        }
    }
}
