//! The development OpenID provider: two issuers with sample people, on the service's own address.
//!
//! It lets the main job be tried with nothing else installed. It asks for no password, so it must never run where
//! anybody else can reach it; the composition root mounts it on loopback only. It is a fake: a provider made by others
//! stands beside it in the tests. Reading order: what it is made of, the people, the chooser, the tokens.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::time::{Millis, Timestamp};
use domain::words::IdentityKind;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::clock::Clock;
use store::secret::Secret;
use url::Url;

/// Life of a code: the browser brings it back at once.
const CODE_LIFETIME: Millis = Millis::minutes(1);

/// Life of an ID token: it is read once, seconds later.
const ID_TOKEN_LIFETIME: Millis = Millis::minutes(5);

/// Life of an access token from a sign-in: what most providers give.
const ACCESS_TOKEN_LIFETIME: Millis = Millis::hours(1);

/// Life of the token in the start page's example: a working day, so that the page need not be opened again.
const BEARER_TOKEN_LIFETIME: Millis = Millis::hours(12);

/// Most codes in memory: one person cannot be signing in more often at a time.
const CODES_MAX: usize = 100;

/// Most people of one issuer in memory, samples included: more than a page can show well.
const PEOPLE_MAX: usize = 50;

/// Longest request body: a form with every field at its longest fits.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Longest name of a person.
const NAME_LENGTH_MAX: usize = 100;

/// Longest address (RFC 5321).
const EMAIL_LENGTH_MAX: usize = 254;

/// Why the provider could not be made or a token not be signed.
#[derive(Debug, thiserror::Error)]
pub enum DevProviderError {
    /// The signing key is no P-256 key in PKCS#8 PEM.
    #[error("the development signing key is unusable")]
    SigningKey(#[source] jsonwebtoken::errors::Error),
}

/// One of the two issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DevIssuer {
    /// Stands for a provider of people's own accounts.
    Personal,
    /// Stands for a provider of work and school accounts.
    Work,
}

impl DevIssuer {
    /// Both issuers.
    pub const ALL: [Self; 2] = [Self::Personal, Self::Work];

    /// The last part of the issuer's URL; it also serves as its short name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Work => "work",
        }
    }

    /// What a sign-in button says.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Personal => "Sample Home ID",
            Self::Work => "Sample Work ID",
        }
    }

    /// Whose sign-ins these are.
    pub const fn kind(self) -> IdentityKind {
        match self {
            Self::Personal => IdentityKind::Personal,
            Self::Work => IdentityKind::Organizational,
        }
    }

    /// The people it has at start: name and address, on domains reserved for examples (RFC 6761).
    const fn samples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Personal => &[
                ("Robin Rivers", "robin.rivers@home.example"),
                ("Sasha Lind", "sasha.lind@home.example"),
                ("Noor Vale", "noor.vale@post.example"),
            ],
            Self::Work => &[
                ("Robin Rivers", "robin.rivers@harbour.example"),
                ("Alex Quay", "alex.quay@harbour.example"),
                ("Jo Marsh", "jo.marsh@meadow.example"),
            ],
        }
    }
}

impl FromStr for DevIssuer {
    type Err = StatusCode;

    fn from_str(text: &str) -> Result<Self, StatusCode> {
        Self::ALL.into_iter().find(|issuer| issuer.as_str() == text).ok_or(StatusCode::NOT_FOUND)
    }
}

/// A person of one issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct DevPerson {
    /// The subject: follows from the address, so that it survives a restart, which the person does not.
    pub subject: String,
    /// The name.
    pub name: String,
    /// The address; the provider says of every one that it is verified.
    pub email: String,
}

impl DevPerson {
    /// The person of this issuer with this name and address.
    pub fn new(issuer: DevIssuer, name: &str, email: &str) -> Self {
        let digest = Sha256::digest(format!("{}\n{}", issuer.as_str(), email.to_lowercase()));
        Self { subject: URL_SAFE_NO_PAD.encode(&digest[..16]), name: name.to_owned(), email: email.to_owned() }
    }
}

/// Shows the subject only.
impl fmt::Debug for DevPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevPerson").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A client that may send people here.
#[derive(Clone, Debug)]
pub struct DevClient {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret<String>,
    /// Where people may be sent back to; compared exactly.
    pub redirect_uris: Vec<Url>,
}

/// What the provider is made of.
#[derive(Clone, Debug)]
pub struct DevProviderSettings {
    /// The service's own base URL; the issuers are `{base_url}/dev/op/personal` and `{base_url}/dev/op/work`.
    pub base_url: Url,
    /// A P-256 private key as PKCS#8 PEM, as [`generate_signing_key_pem`] makes it. Both issuers sign with it.
    pub signing_key_pem: Secret<String>,
    /// The clients, of both issuers.
    pub clients: Vec<DevClient>,
    /// The audience of access tokens.
    pub audience: String,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The development OpenID provider. Cheap to clone; clones share people and codes.
#[derive(Clone)]
pub struct DevProvider(Arc<Inner>);

struct Inner {
    base_url: String,
    signing_key: EncodingKey,
    public_key: Jwk,
    kid: String,
    clients: Vec<DevClient>,
    audience: String,
    clock: Clock,
    memory: Mutex<Memory>,
}

/// What is forgotten at a restart.
#[derive(Default)]
struct Memory {
    created: HashMap<DevIssuer, Vec<DevPerson>>,
    grants: HashMap<String, Grant>,
}

/// What a code stands for.
struct Grant {
    issuer: DevIssuer,
    client_id: String,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    person: DevPerson,
    granted_at: Timestamp,
}

/// Makes a signing key: a P-256 private key as PKCS#8 PEM, to be kept where only the service can read it.
pub fn generate_signing_key_pem() -> Secret<String> {
    loop {
        let bytes = Secret::new(store::random::bytes::<32>());
        // Refused with a chance of 2^-32: zero, or not below the order of the curve.
        if let Ok(key) = p256::SecretKey::from_slice(bytes.reveal())
            && let Ok(pem) = key.to_pkcs8_pem(LineEnding::LF)
        {
            return Secret::new(pem.to_string());
        }
    }
}

impl DevProvider {
    /// Makes the provider with its sample people.
    ///
    /// # Errors
    /// The signing key is not a P-256 key in PKCS#8 PEM.
    pub fn new(settings: DevProviderSettings) -> Result<Self, DevProviderError> {
        let signing_key = EncodingKey::from_ec_pem(settings.signing_key_pem.reveal().as_bytes())
            .map_err(DevProviderError::SigningKey)?;
        let mut public_key =
            Jwk::from_encoding_key(&signing_key, Algorithm::ES256).map_err(DevProviderError::SigningKey)?;
        let kid = public_key.thumbprint(ThumbprintHash::SHA256).map_err(DevProviderError::SigningKey)?;
        public_key.common.key_id = Some(kid.clone());
        public_key.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self(Arc::new(Inner {
            base_url: settings.base_url.as_str().trim_end_matches('/').to_owned(),
            signing_key,
            public_key,
            kid,
            clients: settings.clients,
            audience: settings.audience,
            clock: settings.clock,
            memory: Mutex::default(),
        })))
    }

    /// The issuer's URL, as it stands in its tokens.
    pub fn issuer_url(&self, issuer: DevIssuer) -> String {
        format!("{}/dev/op/{}", self.0.base_url, issuer.as_str())
    }

    /// Lists an issuer's people: the samples, then those created since the start.
    pub fn people(&self, issuer: DevIssuer) -> Vec<DevPerson> {
        let samples = issuer.samples().iter().map(|(name, email)| DevPerson::new(issuer, name, email));
        samples.chain(self.memory().created.get(&issuer).into_iter().flatten().cloned()).collect()
    }

    /// Makes a bearer token of this person for the API, valid for 12 hours.
    ///
    /// # Errors
    /// The signing key does not sign.
    pub fn bearer_token(&self, issuer: DevIssuer, person: &DevPerson) -> Result<Secret<String>, DevProviderError> {
        self.access_token(issuer, person, "development", BEARER_TOKEN_LIFETIME)
    }

    /// The routes below `/dev/op/`, to be merged into the service's own.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new()
            .route("/dev/op/{issuer}/.well-known/openid-configuration", get(show_metadata))
            .route("/dev/op/{issuer}/jwks", get(show_keys))
            .route("/dev/op/{issuer}/authorize", get(show_chooser).post(choose))
            .route("/dev/op/{issuer}/token", post(exchange))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a person that was typed in; the same address is the same person.
    fn create(&self, issuer: DevIssuer, name: &str, email: &str) -> Result<DevPerson, &'static str> {
        let (name, email) = (name.trim(), email.trim());
        if name.is_empty() || name.chars().count() > NAME_LENGTH_MAX || name.contains(char::is_control) {
            return Err("Enter a name of at most 100 characters.");
        }
        let parts = email.split_once('@').filter(|(local, domain)| !local.is_empty() && domain.contains('.'));
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if email.len() > EMAIL_LENGTH_MAX || email.contains(odd) || parts.is_none_or(|(_, domain)| domain.contains('@'))
        {
            return Err("Enter an e-mail address, such as kim.reed@home.example.");
        }
        let person = DevPerson::new(issuer, name, email);
        let people = self.people(issuer);
        if let Some(known) = people.iter().find(|known| known.subject == person.subject) {
            return Ok(known.clone());
        }
        if people.len() >= PEOPLE_MAX {
            return Err("No more accounts fit. Choose one of the list, or restart the service.");
        }
        self.memory().created.entry(issuer).or_default().push(person.clone());
        Ok(person)
    }
}

/// The metadata of an issuer (OpenID Connect Discovery 1.0).
async fn show_metadata(
    State(provider): State<DevProvider>,
    Path(issuer): Path<String>,
) -> Result<Response, StatusCode> {
    let issuer = provider.issuer_url(issuer.parse()?);
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "email", "profile"],
        "claims_supported": ["sub", "name", "email", "email_verified", "auth_time"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["select_account"],
    });
    Ok(Json(metadata).into_response())
}

async fn show_keys(State(provider): State<DevProvider>, Path(issuer): Path<String>) -> Result<Response, StatusCode> {
    let _: DevIssuer = issuer.parse()?;
    Ok(Json(json!({ "keys": [provider.0.public_key] })).into_response())
}

/// An authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1) as it came.
#[derive(Clone, Default, Deserialize)]
struct AuthorizationRequest {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: Option<String>,
}

/// What a person did on the chooser.
#[derive(Deserialize)]
struct Choice {
    #[serde(flatten)]
    request: AuthorizationRequest,
    person: Option<String>,
    cancel: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

#[derive(Template)]
#[template(path = "dev/provider_chooser.html")]
struct ChooserPage<'a> {
    issuer: DevIssuer,
    client_id: &'a str,
    action_url: String,
    hidden: Vec<(&'static str, &'a str)>,
    people: Vec<DevPerson>,
    error: Option<&'static str>,
    name: &'a str,
    email: &'a str,
}

#[derive(Template)]
#[template(path = "dev/provider_problem.html")]
struct ProblemPage {
    issuer: DevIssuer,
    problem: &'static str,
}

/// A request that was checked, with the answers it may get.
struct Checked<'a> {
    provider: &'a DevProvider,
    issuer: DevIssuer,
    request: &'a AuthorizationRequest,
    client_id: &'a str,
    redirect_uri: Url,
    challenge: &'a str,
}

async fn show_chooser(
    State(provider): State<DevProvider>,
    Path(issuer): Path<String>,
    Query(request): Query<AuthorizationRequest>,
) -> Result<Response, StatusCode> {
    Ok(match Checked::of(&provider, issuer.parse()?, &request) {
        Ok(checked) => checked.chooser(StatusCode::OK, None, "", ""),
        Err(refusal) => *refusal,
    })
}

async fn choose(
    State(provider): State<DevProvider>,
    Path(issuer): Path<String>,
    Form(choice): Form<Choice>,
) -> Result<Response, StatusCode> {
    let issuer = issuer.parse()?;
    let checked = match Checked::of(&provider, issuer, &choice.request) {
        Ok(checked) => checked,
        Err(refusal) => return Ok(*refusal),
    };
    if choice.cancel.is_some() {
        return Ok(checked.send_back(&[("error", "access_denied")]));
    }
    let (name, email) = (choice.name.as_deref().unwrap_or_default(), choice.email.as_deref().unwrap_or_default());
    let person = match &choice.person {
        Some(subject) => provider
            .people(issuer)
            .into_iter()
            .find(|person| person.subject == *subject)
            .ok_or("This account is not there any more. Choose another."),
        None => provider.create(issuer, name, email),
    };
    Ok(match person {
        Ok(person) => checked.grant(person),
        Err(error) => checked.chooser(StatusCode::UNPROCESSABLE_ENTITY, Some(error), name, email),
    })
}

impl<'a> Checked<'a> {
    /// Checks a request. A wrong client or redirect target gets a page here; every other fault goes back to the client.
    fn of(
        provider: &'a DevProvider,
        issuer: DevIssuer,
        request: &'a AuthorizationRequest,
    ) -> Result<Self, Box<Response>> {
        let problem = |problem| Box::new(page(StatusCode::BAD_REQUEST, &ProblemPage { issuer, problem }));
        let client = provider.0.clients.iter().find(|client| request.client_id.as_ref() == Some(&client.client_id));
        let client = client.ok_or_else(|| problem("The client is not registered here."))?;
        let wished = request.redirect_uri.as_deref();
        let redirect_uri = client.redirect_uris.iter().find(|registered| wished == Some(registered.as_str()));
        let redirect_uri = redirect_uri.ok_or_else(|| problem("The address to go back to is not registered here."))?;
        let challenge = request.code_challenge.as_deref().unwrap_or_default();
        let checked = Self {
            provider,
            issuer,
            request,
            client_id: &client.client_id,
            redirect_uri: redirect_uri.clone(),
            challenge,
        };
        let mut scopes = request.scope.as_deref().unwrap_or_default().split(' ');
        let fault = if request.response_type.as_deref() != Some("code") {
            "unsupported_response_type"
        } else if !scopes.any(|scope| scope == "openid") {
            "invalid_scope"
        } else if request.code_challenge_method.as_deref() != Some("S256") || challenge.len() != 43 {
            "invalid_request" // PKCE is required, and only S256 (43 characters of base64url)
        } else if request.prompt.as_deref() == Some("none") {
            "login_required"
        } else {
            return Ok(checked);
        };
        Err(Box::new(checked.send_back(&[("error", fault)])))
    }

    fn chooser(&self, status: StatusCode, error: Option<&'static str>, name: &str, email: &str) -> Response {
        let request = self.request;
        let hidden = [
            ("response_type", &request.response_type),
            ("client_id", &request.client_id),
            ("redirect_uri", &request.redirect_uri),
            ("scope", &request.scope),
            ("state", &request.state),
            ("nonce", &request.nonce),
            ("code_challenge", &request.code_challenge),
            ("code_challenge_method", &request.code_challenge_method),
        ];
        let hidden = hidden.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let chooser = ChooserPage {
            issuer: self.issuer,
            client_id: self.client_id,
            action_url: format!("{}/authorize", self.provider.issuer_url(self.issuer)),
            hidden: hidden.collect(),
            people: self.provider.people(self.issuer),
            error,
            name,
            email,
        };
        page(status, &chooser)
    }

    /// Sends the browser back with a code for this person.
    fn grant(&self, person: DevPerson) -> Response {
        let now = self.provider.0.clock.now();
        let code = URL_SAFE_NO_PAD.encode(store::random::bytes::<32>());
        let mut memory = self.provider.memory();
        memory.grants.retain(|_, grant| now < grant.granted_at + CODE_LIFETIME);
        if memory.grants.len() >= CODES_MAX {
            drop(memory);
            return self.send_back(&[("error", "temporarily_unavailable")]);
        }
        let grant = Grant {
            issuer: self.issuer,
            client_id: self.client_id.to_owned(),
            redirect_uri: self.redirect_uri.as_str().to_owned(),
            challenge: self.challenge.to_owned(),
            nonce: self.request.nonce.clone(),
            person,
            granted_at: now,
        };
        memory.grants.insert(code.clone(), grant);
        drop(memory);
        self.send_back(&[("code", &code)])
    }

    /// Redirects to the client with an answer, its state and our name (RFC 9207). 303, so that the form is not posted on.
    fn send_back(&self, answer: &[(&str, &str)]) -> Response {
        let mut url = self.redirect_uri.clone();
        url.query_pairs_mut().extend_pairs(answer);
        if let Some(state) = &self.request.state {
            url.query_pairs_mut().append_pair("state", state);
        }
        url.query_pairs_mut().append_pair("iss", &self.provider.issuer_url(self.issuer));
        let headers = [(header::LOCATION, url.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // rendering to a string fails only out of memory
    }
}

/// A token request (RFC 6749 section 4.1.3) as it came.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

async fn exchange(
    State(provider): State<DevProvider>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
    Form(request): Form<TokenRequest>,
) -> Result<Response, StatusCode> {
    let issuer = issuer.parse()?;
    let refuse = |status: StatusCode, error: &str| {
        (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response()
    };
    let Some(client) = provider.authenticate(&headers, &request) else {
        return Ok(refuse(StatusCode::UNAUTHORIZED, "invalid_client"));
    };
    if request.grant_type.as_deref() != Some("authorization_code") {
        return Ok(refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"));
    }
    let Some(grant) = provider.redeem(issuer, &client.client_id, &request) else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant"));
    };
    let unsigned = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let access_token = provider.access_token(issuer, &grant.person, &client.client_id, ACCESS_TOKEN_LIFETIME);
    let answer = json!({
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_LIFETIME.0 / 1_000,
        "access_token": access_token.map_err(unsigned)?.reveal(),
        "id_token": provider.id_token(&grant).map_err(unsigned)?.reveal(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

impl DevProvider {
    /// The client that the request proves to be, by header or by form.
    fn authenticate(&self, headers: &HeaderMap, request: &TokenRequest) -> Option<&DevClient> {
        let (client_id, client_secret) = match headers.get(header::AUTHORIZATION) {
            Some(value) => basic_credentials(value.to_str().ok()?)?,
            None => (request.client_id.clone()?, Secret::new(request.client_secret.clone()?)),
        };
        let mut clients = self.0.clients.iter();
        clients.find(|client| client.client_id == client_id && client.client_secret == client_secret)
    }

    /// Takes the code's grant, if everything about the request fits. A code is gone after its first use, fitting or not.
    fn redeem(&self, issuer: DevIssuer, client_id: &str, request: &TokenRequest) -> Option<Grant> {
        let grant = self.memory().grants.remove(request.code.as_deref()?)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(request.code_verifier.as_deref()?));
        let fits = grant.issuer == issuer
            && grant.client_id == client_id
            && request.redirect_uri.as_ref() == Some(&grant.redirect_uri)
            && challenge == grant.challenge
            && self.0.clock.now() < grant.granted_at + CODE_LIFETIME;
        fits.then_some(grant)
    }

    fn id_token(&self, grant: &Grant) -> Result<Secret<String>, DevProviderError> {
        let now = self.0.clock.now();
        let mut claims = self.claims(grant.issuer, &grant.person, &grant.client_id, now, ID_TOKEN_LIFETIME);
        claims["auth_time"] = json!(seconds(grant.granted_at));
        if let Some(nonce) = &grant.nonce {
            claims["nonce"] = json!(nonce);
        }
        self.sign("JWT", &claims)
    }

    /// A JWT access token (RFC 9068).
    fn access_token(
        &self,
        issuer: DevIssuer,
        person: &DevPerson,
        client_id: &str,
        lifetime: Millis,
    ) -> Result<Secret<String>, DevProviderError> {
        let mut claims = self.claims(issuer, person, &self.0.audience, self.0.clock.now(), lifetime);
        claims["client_id"] = json!(client_id);
        claims["jti"] = json!(store::random::uuid());
        self.sign("at+jwt", &claims)
    }

    fn claims(&self, issuer: DevIssuer, person: &DevPerson, audience: &str, now: Timestamp, lifetime: Millis) -> Value {
        json!({
            "iss": self.issuer_url(issuer),
            "sub": person.subject,
            "aud": audience,
            "iat": seconds(now),
            "exp": seconds(now + lifetime),
            "name": person.name,
            "email": person.email,
            "email_verified": true,
        })
    }

    fn sign(&self, typ: &str, claims: &Value) -> Result<Secret<String>, DevProviderError> {
        let header =
            Header { typ: Some(typ.to_owned()), kid: Some(self.0.kid.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.0.signing_key)
            .map(Secret::new)
            .map_err(DevProviderError::SigningKey)
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000)
}

/// Reads `Basic` credentials; both parts are form-encoded inside (RFC 6749 section 2.3.1).
fn basic_credentials(value: &str) -> Option<(String, Secret<String>)> {
    let decoded = String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
    let (client_id, client_secret) = decoded.split_once(':')?;
    let plain = |text: &str| url::form_urlencoded::parse(text.as_bytes()).next().map(|(plain, _)| plain.into_owned());
    Some((plain(client_id)?, Secret::new(plain(client_secret)?)))
}

#[cfg(test)]
mod tests {
    use api::oidc::{Error, IssuerConfig, Providers, SignedIn, fresh, http_client};

    use super::*;

    const SECRET: &str = "development secret +/:&";
    const AUDIENCE: &str = "https://portal.example";
    const VERIFIER: &str = "the-verifier-of-this-flow-0123456789-0123456789";

    /// The provider on a port of its own, with the service's relying party in front of it.
    struct Trial {
        provider: DevProvider,
        providers: Providers,
        redirect_uri: Url,
        clock: Clock,
    }

    impl Trial {
        async fn start() -> Self {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base_url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let redirect_uri = base_url.join(&api::oidc::callback_path("personal")).unwrap();
            let clock = Clock::manual(Timestamp(1_790_000_000_123));
            let provider = DevProvider::new(DevProviderSettings {
                base_url,
                signing_key_pem: generate_signing_key_pem(),
                clients: vec![DevClient {
                    client_id: "vinculum".to_owned(),
                    client_secret: Secret::new(SECRET.to_owned()),
                    redirect_uris: vec![redirect_uri.clone()],
                }],
                audience: AUDIENCE.to_owned(),
                clock: clock.clone(),
            })
            .unwrap();
            let router = provider.router();
            tokio::spawn(async move { axum::serve(listener, router).await });
            let configs = DevIssuer::ALL.map(|issuer| {
                let url = provider.issuer_url(issuer);
                let mut config = IssuerConfig::new(issuer.as_str(), issuer.kind(), &url, "vinculum");
                config.client_secret = Some(Secret::new(SECRET.to_owned()));
                config.bearer_audiences = vec![AUDIENCE.to_owned()];
                config
            });
            let providers = Providers::new(configs.into(), http_client().unwrap(), clock.clone()).unwrap();
            Self { provider, providers, redirect_uri, clock }
        }

        async fn begin(&self) -> Url {
            self.providers.begin("personal", &self.redirect_uri, "state", "nonce", VERIFIER).await.unwrap()
        }

        /// Posts the chooser's form as a browser does, with these fields beside the hidden ones.
        async fn choose(&self, url: &Url, fields: &[(&str, &str)]) -> (u16, Option<Url>, String) {
            let form: Vec<_> = url.query_pairs().into_owned().collect();
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let form: Vec<_> = form.into_iter().chain(fields).collect();
            let mut action = url.clone();
            action.set_query(None);
            let answer = http_client().unwrap().post(action).form(&form).send().await.unwrap();
            let location = answer.headers().get("location").map(|to| Url::parse(to.to_str().unwrap()).unwrap());
            (answer.status().as_u16(), location, answer.text().await.unwrap())
        }

        async fn finish(&self, callback: &Url, verifier: &str) -> Result<SignedIn, Error> {
            let query: HashMap<_, _> = callback.query_pairs().into_owned().collect();
            assert_eq!(query["state"], "state");
            let iss = query.get("iss").map(String::as_str);
            self.providers.finish("personal", &self.redirect_uri, &query["code"], iss, "nonce", verifier).await
        }
    }

    async fn get_text(url: &Url) -> (u16, String) {
        let answer = http_client().unwrap().get(url.clone()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn a_sample_person_signs_in() {
        let trial = Trial::start().await;
        let url = trial.begin().await;
        let (status, page) = get_text(&url).await;
        assert_eq!(status, 200);
        assert!(page.contains("robin.rivers@home.example") && page.contains("Create one"), "{page}");
        assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains("harbour.example"));

        let robin = &trial.provider.people(DevIssuer::Personal)[0];
        let (status, callback, _) = trial.choose(&url, &[("person", &robin.subject)]).await;
        let callback = callback.unwrap();
        assert_eq!(status, 303);
        let signed_in = trial.finish(&callback, VERIFIER).await.unwrap();
        assert_eq!(signed_in.subject, format!("[\"{}\"]", robin.subject));
        assert_eq!(signed_in.email.as_deref(), Some("robin.rivers@home.example"));
        assert!(signed_in.email_verified);
        assert_eq!(trial.finish(&callback, VERIFIER).await, Err(Error::CodeRefused), "a code is good once");
    }

    #[tokio::test]
    async fn a_person_is_created_and_is_the_same_one_again() {
        let trial = Trial::start().await;
        let url = trial.begin().await;
        let fields = [("name", "Kim <b>Reed</b>"), ("email", "kim.reed@home.example")];
        let mut subjects = Vec::new();
        for _ in 0..2 {
            let (_, callback, _) = trial.choose(&url, &fields).await;
            let signed_in = trial.finish(&callback.unwrap(), VERIFIER).await.unwrap();
            assert_eq!(signed_in.name.as_deref(), Some("Kim <b>Reed</b>"));
            subjects.push(signed_in.subject);
        }
        assert_eq!(subjects[0], subjects[1]);
        assert_eq!(trial.provider.people(DevIssuer::Personal).len(), 4);
        assert!(!get_text(&url).await.1.contains("<b>"), "names are escaped");

        for (name, email) in [("", "a@b.example"), ("Kim", "kim"), ("Kim", "a@b@c.example"), ("Kim", "a b@c.example")] {
            let (status, callback, page) = trial.choose(&url, &[("name", name), ("email", email)]).await;
            assert_eq!((status, callback), (422, None));
            assert!(page.contains(r#"role="alert""#));
        }
        for number in 0..PEOPLE_MAX {
            let email = format!("person-{number}@home.example");
            trial.choose(&url, &[("name", "Kim"), ("email", &email)]).await;
        }
        assert_eq!(trial.provider.people(DevIssuer::Personal).len(), PEOPLE_MAX);
    }

    #[tokio::test]
    async fn a_request_that_does_not_fit_is_refused() {
        let trial = Trial::start().await;
        let url = trial.begin().await;
        let changed = |member: &str, value: &str| {
            let pairs = url.query_pairs().into_owned();
            let pairs: Vec<_> = pairs.map(|(n, v)| if n == member { (n, value.to_owned()) } else { (n, v) }).collect();
            let mut url = url.clone();
            url.query_pairs_mut().clear().extend_pairs(pairs);
            url
        };
        for (member, value) in [("client_id", "another"), ("redirect_uri", "https://evil.example/")] {
            let (status, page) = get_text(&changed(member, value)).await;
            assert_eq!(status, 400);
            assert!(page.contains("not registered"));
        }
        for (member, value, error) in [
            ("response_type", "token", "unsupported_response_type"),
            ("scope", "email", "invalid_scope"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("code_challenge", "", "invalid_request"),
            ("prompt", "none", "login_required"),
            ("nonce", "nonce", "access_denied"),
        ] {
            let (status, callback, _) = trial.choose(&changed(member, value), &[("cancel", "yes")]).await;
            assert_eq!(status, 303);
            let query: HashMap<_, _> = callback.unwrap().query_pairs().into_owned().collect();
            assert_eq!(query["error"], error);
            assert_eq!(query["iss"], trial.provider.issuer_url(DevIssuer::Personal));
        }
        let (status, _) = get_text(&url.join("/dev/op/nobody/jwks").unwrap()).await;
        assert_eq!(status, 404);
    }

    #[tokio::test]
    async fn t25_a_code_needs_its_verifier_its_issuer_and_its_minute() {
        let trial = Trial::start().await;
        let url = trial.begin().await;
        let robin = trial.provider.people(DevIssuer::Personal)[0].subject.clone();
        let code = async || trial.choose(&url, &[("person", &robin)]).await.1.unwrap();

        let callback = code().await;
        assert_eq!(trial.finish(&callback, fresh().reveal()).await, Err(Error::CodeRefused), "another verifier");
        assert_eq!(trial.finish(&callback, VERIFIER).await, Err(Error::CodeRefused), "gone after the first try");

        let query: HashMap<_, _> = code().await.query_pairs().into_owned().collect();
        let work = trial.provider.issuer_url(DevIssuer::Work);
        let at_work =
            trial.providers.finish("work", &trial.redirect_uri, &query["code"], Some(&work), "nonce", VERIFIER);
        assert_eq!(at_work.await, Err(Error::CodeRefused), "the other issuer's");

        let callback = code().await;
        trial.clock.turn(CODE_LIFETIME);
        assert_eq!(trial.finish(&callback, VERIFIER).await, Err(Error::CodeRefused), "too late");
    }

    #[tokio::test]
    async fn a_bearer_token_lives_for_twelve_hours() {
        let trial = Trial::start().await;
        let alex = &trial.provider.people(DevIssuer::Work)[1];
        let token = trial.provider.bearer_token(DevIssuer::Work, alex).unwrap();
        let bearer = trial.providers.bearer(token.reveal()).await.unwrap();
        assert_eq!((bearer.issuer_key.as_str(), bearer.subject), ("work", format!("[\"{}\"]", alex.subject)));
        assert_eq!(bearer.email.as_deref(), Some("alex.quay@harbour.example"));
        trial.clock.turn(Millis::hours(12));
        assert!(trial.providers.bearer(token.reveal()).await.is_ok(), "within the skew");
        trial.clock.turn(Millis::minutes(1));
        assert_eq!(trial.providers.bearer(token.reveal()).await, Err(Error::Expired));
    }

    #[tokio::test]
    async fn a_wrong_client_secret_is_refused_by_header_and_by_form() {
        let trial = Trial::start().await;
        let token_url = format!("{}/token", trial.provider.issuer_url(DevIssuer::Personal));
        let form = [("grant_type", "authorization_code"), ("client_id", "vinculum"), ("client_secret", "wrong")];
        let client = http_client().unwrap();
        let by_form = client.post(&token_url).form(&form).send().await.unwrap();
        let by_header = client.post(&token_url).basic_auth("vinculum", Some("wrong")).form(&form[..1]).send().await;
        assert_eq!(by_form.status().as_u16(), 401);
        assert_eq!(by_header.unwrap().status().as_u16(), 401);
        let form = [("grant_type", "password"), ("client_id", "vinculum"), ("client_secret", SECRET)];
        let by_form = client.post(&token_url).form(&form).send().await.unwrap();
        assert!(by_form.text().await.unwrap().contains("unsupported_grant_type"), "the secret is right");
    }
}
