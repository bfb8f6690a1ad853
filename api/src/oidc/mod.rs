//! Signing in with OpenID Connect, and bearer tokens of the same issuers.
//!
//! An identity is an issuer and a subject, both compared exactly; no e-mail claim ever finds or selects anything.
//! Browsers take the authorization code flow with PKCE S256, state, nonce and the `iss` of RFC 9207; portals send JWT
//! access tokens. Both kinds of token go through one function, `token::verify`, which must never accept an algorithm
//! that is not on the issuer's list, a key that the issuer does not publish, or a time read anywhere but from the clock.
//!
//! Reading order: the configuration, what an issuer publishes, the token, the two ways in (below), the tests.

mod config;
mod directory;
mod token;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::Timestamp;
use domain::words::{IdentityKind, Scope};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::clock::Clock;
use store::secret::Secret;
use url::Url;

pub use config::{Algorithm, ConfigError, IssuerConfig, TrustedFor, http_client, mistakes};
use directory::{Directory, Metadata};
use token::{Purpose, Unverified, Verified};

/// Bits of every fresh state, nonce and verifier: beyond guessing, and 43 characters, the least a verifier may have.
const FRESH_BITS: usize = 256;

/// Why a sign-in or a bearer token was refused. No variant carries a token, a secret or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No configured issuer has this key, or issued this token.
    #[error("the issuer is not configured")]
    UnknownIssuer,
    /// The issuer is configured and switched off.
    #[error("the issuer is disabled")]
    IssuerDisabled,
    /// The provider did not answer, or not in time, or a failure less than a minute old is remembered.
    #[error("the provider cannot be reached")]
    ProviderUnreachable,
    /// What the provider answered does not fit the configuration or the standard; the text says what.
    #[error("the provider's answer does not fit: {0}")]
    ProviderMisfit(&'static str),
    /// The callback has no `iss` though the provider promises one (RFC 9207).
    #[error("the callback names no issuer")]
    CallbackIssuerMissing,
    /// The callback's `iss` is another issuer (RFC 9207).
    #[error("the callback names another issuer")]
    CallbackIssuerMismatch,
    /// The provider refused the code: used, expired, of another client, or with another verifier.
    #[error("the provider refused the code")]
    CodeRefused,
    /// The provider refused this client: the configured client id or secret is wrong.
    #[error("the provider refused the client")]
    ClientRefused,
    /// Not a signed JWT: opaque, encrypted, too long or broken.
    #[error("the token is not a signed JWT")]
    TokenMalformed,
    /// The header holds a `crit`, or the `typ` of another kind of token.
    #[error("the token's header is refused")]
    HeaderRefused,
    /// The algorithm is not on the issuer's list.
    #[error("the token's algorithm is refused")]
    AlgorithmRefused,
    /// The issuer publishes no key that fits the token's key id and algorithm.
    #[error("the token's key is unknown")]
    KeyUnknown,
    /// The signature is not that of the issuer's key.
    #[error("the token's signature is invalid")]
    SignatureInvalid,
    /// The token's `iss` is not exactly the expected issuer.
    #[error("the token is of another issuer")]
    IssuerMismatch,
    /// The token's `aud` does not name us.
    #[error("the token is for another audience")]
    AudienceMismatch,
    /// The token's `azp` is not our client, or is missing beside several audiences.
    #[error("the token is for another authorized party")]
    AuthorizedPartyMismatch,
    /// The issuer is configured without audiences for bearer tokens.
    #[error("the issuer's bearer tokens are not accepted")]
    BearersNotAccepted,
    /// A claim is missing or has the wrong shape; the text is the claim's name.
    #[error("the token's claim {0} is missing or malformed")]
    ClaimInvalid(&'static str),
    /// The token's `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// The token's `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token's `nonce` is not that of the flow.
    #[error("the token belongs to another flow")]
    NonceMismatch,
}

impl Error {
    /// The stable code, for logs and for clients.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown_issuer",
            Self::IssuerDisabled => "issuer_disabled",
            Self::ProviderUnreachable => "provider_unreachable",
            Self::ProviderMisfit(_) => "provider_misfit",
            Self::CallbackIssuerMissing => "callback_issuer_missing",
            Self::CallbackIssuerMismatch => "callback_issuer_mismatch",
            Self::CodeRefused => "code_refused",
            Self::ClientRefused => "client_refused",
            Self::TokenMalformed => "token_malformed",
            Self::HeaderRefused => "token_header_refused",
            Self::AlgorithmRefused => "token_algorithm_refused",
            Self::KeyUnknown => "token_key_unknown",
            Self::SignatureInvalid => "token_signature_invalid",
            Self::IssuerMismatch => "token_issuer_mismatch",
            Self::AudienceMismatch => "token_audience_mismatch",
            Self::AuthorizedPartyMismatch => "token_authorized_party_mismatch",
            Self::BearersNotAccepted => "bearers_not_accepted",
            Self::ClaimInvalid(_) => "token_claim_invalid",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::NonceMismatch => "token_nonce_mismatch",
        }
    }
}

/// Who signed in, as their provider says.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The configured issuer's short name.
    pub issuer_key: String,
    /// The concrete issuer: a tenant's own where the configuration holds a template.
    pub issuer: String,
    /// The issuer's subject: the configured claims' values as the text of a JSON array, so that no two subjects share one.
    pub subject: String,
    /// Whose sign-in it is.
    pub kind: IdentityKind,
    /// The person's name, for people to read.
    pub name: Option<String>,
    /// The address the provider knows, for people to read. It never finds, selects or authorises anything.
    pub email: Option<String>,
    /// The provider says that it has verified the address. Absent in the token (as with Entra) counts as no.
    pub email_verified: bool,
    /// When the person last proved who they are: `auth_time`, or else when the token was issued; never in the future.
    pub authenticated_at: Timestamp,
}

/// Who sends a bearer token, as its issuer says.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerIdentity {
    /// The configured issuer's short name.
    pub issuer_key: String,
    /// The concrete issuer: a tenant's own where the configuration holds a template.
    pub issuer: String,
    /// The issuer's subject, made as in [`SignedIn::subject`].
    pub subject: String,
    /// Whose sign-in it is.
    pub kind: IdentityKind,
    /// The person's name, for people to read.
    pub name: Option<String>,
    /// The address the issuer knows, for people to read. It never finds, selects or authorises anything.
    pub email: Option<String>,
    /// What the issuer's role claim lets the person do as staff.
    pub scopes: Vec<Scope>,
    /// When the person proved the identity, if the token says so.
    pub signed_in_at: Option<Timestamp>,
}

/// Shows the issuer only: subject, name and address are personal.
impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("issuer_key", &self.issuer_key).finish_non_exhaustive()
    }
}

/// Shows the issuer only: subject, name and address are personal.
impl std::fmt::Debug for BearerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BearerIdentity").field("issuer_key", &self.issuer_key).finish_non_exhaustive()
    }
}

/// One configured issuer and what it publishes.
struct Issuer {
    config: IssuerConfig,
    directory: Arc<Directory>,
}

/// The configured issuers. Cheap to clone; clones share what was read from the providers.
#[derive(Clone)]
pub struct Providers {
    issuers: Arc<[Issuer]>,
    http: reqwest::Client,
    clock: Clock,
}

/// Draws a fresh value for a state, a nonce or a verifier: 256 random bits as base64url.
pub fn fresh() -> Secret<String> {
    Secret::new(URL_SAFE_NO_PAD.encode(store::random::bytes::<{ FRESH_BITS / 8 }>()))
}

/// The path that an issuer's callback arrives at: one for each issuer, so that none can answer for another.
pub fn callback_path(issuer_key: &str) -> String {
    format!("/sign-in/{issuer_key}/callback")
}

impl Providers {
    /// Takes the issuers, an HTTP client made by [`http_client`] and the clock. Reads nothing from the network yet.
    ///
    /// # Errors
    /// An issuer's configuration breaks a rule of [`IssuerConfig`], or two share a key or an issuer.
    pub fn new(configs: Vec<IssuerConfig>, http: reqwest::Client, clock: Clock) -> Result<Self, ConfigError> {
        config::check_all(&configs)?;
        let issuers = configs
            .into_iter()
            .map(|config| Issuer { directory: Arc::new(Directory::new(&config, http.clone(), clock.clone())), config });
        Ok(Self { issuers: issuers.collect(), http, clock })
    }

    /// Lists the issuers that people may sign in with, in the order of the configuration.
    pub fn enabled(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.issuers.iter().map(|issuer| &issuer.config).filter(|config| config.enabled)
    }

    /// The configuration of an issuer, disabled ones included.
    pub fn issuer(&self, key: &str) -> Option<&IssuerConfig> {
        self.issuers.iter().map(|issuer| &issuer.config).find(|config| config.key == key)
    }

    /// The URL that sends a browser to the provider's account chooser (authorization code flow, PKCE S256).
    ///
    /// `redirect_uri` is the absolute form of [`callback_path`]; `state`, `nonce` and `verifier` are [`fresh`] values
    /// that belong to this one flow.
    ///
    /// # Errors
    /// The issuer is unknown or disabled, or its metadata cannot be had or does not fit.
    pub async fn begin(
        &self,
        key: &str,
        redirect_uri: &Url,
        state: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<Url, Error> {
        let issuer = self.enabled_issuer(key)?;
        let metadata = issuer.directory.metadata().await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &issuer.config.client_id)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("scope", &issuer.config.scopes)
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "select_account");
        Ok(url)
    }

    /// Exchanges the callback's code and verifies the ID token.
    ///
    /// The caller has checked the callback's `state` and has used up the flow; `iss_from_callback` is the callback's
    /// `iss` as it came.
    ///
    /// # Errors
    /// Any [`Error`] but `BearersNotAccepted`: nobody has signed in.
    pub async fn finish(
        &self,
        key: &str,
        redirect_uri: &Url,
        code: &str,
        iss_from_callback: Option<&str>,
        nonce: &str,
        verifier: &str,
    ) -> Result<SignedIn, Error> {
        let issuer = self.enabled_issuer(key)?;
        let metadata = issuer.directory.metadata().await?;
        check_callback_issuer(&issuer.config, &metadata, iss_from_callback)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", verifier),
        ];
        let id_token = self.exchange(&issuer.config, &metadata, &form).await?;
        let purpose = Purpose::IdToken { client_id: &issuer.config.client_id, nonce };
        let verified = self.verify(issuer, Unverified::of(id_token.reveal())?, &purpose).await?;
        if iss_from_callback.is_some_and(|named| named != verified.issuer) {
            return Err(Error::CallbackIssuerMismatch); // a template's other tenant
        }
        Ok(SignedIn {
            issuer_key: issuer.config.key.clone(),
            kind: issuer.config.kind,
            name: verified.person_text("name"),
            email: verified.person_text("email"),
            email_verified: verified.says_true("email_verified"),
            authenticated_at: verified.authenticated_at(self.clock.now())?,
            issuer: verified.issuer,
            subject: verified.subject,
        })
    }

    /// Verifies a JWT access token of a configured issuer.
    ///
    /// # Errors
    /// The token is opaque, of no enabled issuer, not for one of the issuer's `bearer_audiences`, or fails any check.
    pub async fn bearer(&self, token: &str) -> Result<BearerIdentity, Error> {
        let token = Unverified::of(token)?;
        let issuer = self.issuer_of(&token)?;
        if !issuer.config.enabled {
            return Err(Error::IssuerDisabled);
        }
        if issuer.config.bearer_audiences.is_empty() {
            return Err(Error::BearersNotAccepted);
        }
        let purpose = Purpose::AccessToken {
            audiences: &issuer.config.bearer_audiences,
            sign_in_client_id: &issuer.config.client_id,
        };
        let verified = self.verify(issuer, token, &purpose).await?;
        let config = &issuer.config;
        let roles = verified.words(&config.staff_claim);
        let mut scopes: Vec<Scope> =
            roles.into_iter().filter_map(|role| config.staff_roles.get(role).copied()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Ok(BearerIdentity {
            scopes,
            signed_in_at: verified.auth_time(),
            issuer_key: issuer.config.key.clone(),
            kind: issuer.config.kind,
            name: verified.person_text("name"),
            email: verified.person_text("email"),
            issuer: verified.issuer,
            subject: verified.subject,
        })
    }

    fn enabled_issuer(&self, key: &str) -> Result<&Issuer, Error> {
        let issuer = self.issuers.iter().find(|issuer| issuer.config.key == key).ok_or(Error::UnknownIssuer)?;
        if issuer.config.enabled { Ok(issuer) } else { Err(Error::IssuerDisabled) }
    }

    /// Finds whose keys are to verify a bearer token: its unverified `iss` only selects, [`token::verify`] decides.
    fn issuer_of(&self, token: &Unverified<'_>) -> Result<&Issuer, Error> {
        let named = token.issuer()?;
        let exact = self.issuers.iter().find(|issuer| issuer.config.issuer == named);
        let template = || self.issuers.iter().find(|issuer| issuer.config.is_template_of(named));
        exact.or_else(template).ok_or(Error::UnknownIssuer)
    }

    async fn verify(&self, issuer: &Issuer, token: Unverified<'_>, purpose: &Purpose<'_>) -> Result<Verified, Error> {
        let verified = token::verify(issuer, token, purpose, self.clock.now()).await?;
        // A tenant that is configured by itself belongs to that configuration, never to a template beside it.
        let taken = self
            .issuers
            .iter()
            .any(|other| other.config.key != issuer.config.key && other.config.issuer == verified.issuer);
        if taken { Err(Error::IssuerMismatch) } else { Ok(verified) }
    }

    /// Exchanges a code for an ID token at the token endpoint (RFC 6749 section 4.1.3).
    async fn exchange(
        &self,
        config: &IssuerConfig,
        metadata: &Metadata,
        form: &[(&str, &str)],
    ) -> Result<Secret<String>, Error> {
        /// What of the token endpoint's answer is used; the access token is not.
        #[derive(Deserialize)]
        struct Answer {
            id_token: Option<String>,
            error: Option<String>,
        }

        let request = self.http.post(metadata.token_endpoint.clone());
        let request = match &config.client_secret {
            Some(secret) if metadata.takes_client_secret_basic() => {
                // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
                let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request.basic_auth(encoded(&config.client_id), Some(encoded(secret.reveal()))).form(form)
            }
            Some(secret) => {
                let client = [("client_id", config.client_id.as_str()), ("client_secret", secret.reveal())];
                request.form(&[form, &client].concat())
            }
            None => request.form(&[form, &[("client_id", config.client_id.as_str())]].concat()),
        };
        let (status, body) = directory::send(&config.key, request, &metadata.token_endpoint).await?;
        let answer: Option<Answer> = serde_json::from_slice(body.reveal()).ok();
        match (status.as_u16(), answer) {
            (200, Some(Answer { id_token: Some(id_token), .. })) => Ok(Secret::new(id_token)),
            (200, _) => Err(Error::ProviderMisfit("no ID token")),
            (401, _) => Err(Error::ClientRefused),
            (_, Some(Answer { error: Some(error), .. })) if error == "invalid_client" => Err(Error::ClientRefused),
            (400..=499, _) => Err(Error::CodeRefused),
            _ => Err(Error::ProviderUnreachable),
        }
    }
}

/// Checks the `iss` of the callback before the code leaves for any token endpoint (RFC 9207).
fn check_callback_issuer(config: &IssuerConfig, metadata: &Metadata, named: Option<&str>) -> Result<(), Error> {
    match named {
        None if metadata.authorization_response_iss_parameter_supported => Err(Error::CallbackIssuerMissing),
        None => Ok(()),
        Some(named) if named == config.issuer && !config.is_template() => Ok(()),
        Some(named) if config.is_template_of(named) => Ok(()),
        Some(_) => Err(Error::CallbackIssuerMismatch),
    }
}
