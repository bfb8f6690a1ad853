//! What an issuer publishes, its metadata and its keys, read over the network as rarely as is safe.
//!
//! Invariant: at most one reading each minute for one issuer, whoever asks and however it ends; keys that are known
//! go on verifying while the provider is down.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::clock::Clock;
use store::secret::Secret;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::config::{IssuerConfig, PROVIDER_TIMEOUT, may_be_called};
use super::{Error, token};

/// Shortest time between two readings: an unknown `kid` is free to make up, so it must not be a way to call the provider.
pub(super) const REFRESH_INTERVAL: Millis = Millis::minutes(1);

/// After this time keys and metadata are read again, so that a key which the provider withdrew stops verifying.
pub(super) const FRESH_FOR: Millis = Millis::hours(1);

/// Longest use of keys while the provider is down: its own tokens have died long before.
pub(super) const USABLE_FOR: Millis = Millis::days(1);

/// Longest answer of a provider: ten times the longest metadata or key set that is known of.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// Most keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;

/// Most tokens that a key remembers to have signed: people at work at once, in half a megabyte. Only what it has signed
/// gets in, so nobody else can fill it.
const VERIFIED_MAX: usize = 10_000;

/// Shortest RSA modulus (NIST SP 800-131A: 2048 bits).
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// The part of an issuer's metadata that is used (OpenID Connect Discovery 1.0, RFC 8414, RFC 9207).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    #[serde(deserialize_with = "url")]
    pub(super) authorization_endpoint: Url,
    #[serde(deserialize_with = "url")]
    pub(super) token_endpoint: Url,
    #[serde(deserialize_with = "url")]
    jwks_uri: Url,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    Url::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl Metadata {
    /// Whether the client's secret goes into the `Authorization` header; it is the default where nothing is said.
    pub(super) fn takes_client_secret_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }

    fn check(&self, configured_issuer: &str, metadata_url: &Url) -> Result<(), Error> {
        if self.issuer != configured_issuer {
            return Err(Error::ProviderMisfit("the metadata is of another issuer"));
        }
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        if !endpoints.into_iter().all(|endpoint| may_be_called(endpoint, metadata_url)) {
            return Err(Error::ProviderMisfit("an endpoint is neither https nor on loopback"));
        }
        // Many providers take S256 and say nothing about it; one that names its methods without it does not.
        if self.code_challenge_methods_supported.as_ref().is_some_and(|methods| !methods.iter().any(|m| m == "S256")) {
            return Err(Error::ProviderMisfit("no PKCE S256"));
        }
        Ok(())
    }
}

/// A public key of an issuer.
pub(super) struct Key {
    kid: Option<String>,
    algorithms: &'static [Algorithm],
    named_algorithm: Option<KeyAlgorithm>,
    /// The issuer that alone may use the key, where tenants share one key set (Entra ID); may be a template.
    pub(super) issuer: Option<String>,
    decoding: DecodingKey,
    /// Whole tokens whose signature it has verified, as hashes, and by which algorithm. They go when the key is read
    /// again or withdrawn.
    verified: std::sync::Mutex<HashSet<(Algorithm, [u8; 32])>>,
}

impl Key {
    /// Reads one entry of a key set (RFC 7517); none if it cannot verify a signature here.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        if jwk.common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) if token::decoded_length(&key.n)? >= RSA_MODULUS_BYTES_MIN => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        Some(Self {
            algorithms,
            named_algorithm: jwk.common.key_algorithm,
            issuer: value.get("issuer").and_then(Value::as_str).map(str::to_owned),
            decoding: DecodingKey::from_jwk(&jwk).ok()?,
            kid: jwk.common.key_id,
            verified: std::sync::Mutex::default(),
        })
    }

    /// Whether it has signed a token, header and claims as they were signed. A bearer sends the same token with every
    /// request, so the arithmetic is done for the first. Invariant: only that is remembered; issuer, audience and times
    /// are the caller's to check, each time.
    pub(super) fn has_signed(&self, token: &str, algorithm: Algorithm) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let seen = (algorithm, Sha256::digest(token).into());
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&seen) {
            return true;
        }
        if !jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.decoding, algorithm).unwrap_or_default() {
            return false;
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(seen);
        true
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && self.named_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm))
    }
}

/// What was read at one time.
pub(super) struct Snapshot {
    metadata: Arc<Metadata>,
    metadata_read_at: Timestamp,
    keys: Vec<Arc<Key>>,
    read_at: Timestamp,
}

impl Snapshot {
    /// The key for a token: the one with its key id; without a key id, the only one that fits the algorithm.
    fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)).cloned(),
            None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
        }
    }
}

/// How the newest reading went.
#[derive(Default)]
struct Attempt {
    at: Option<Timestamp>,
    failure: Option<Error>,
}

/// An issuer's metadata and keys.
pub(super) struct Directory {
    key: String,
    issuer: String,
    /// None only if [`IssuerConfig`] was not checked; then nothing can be read.
    metadata_url: Option<Url>,
    http: reqwest::Client,
    clock: Clock,
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    attempt: Arc<Mutex<Attempt>>,
}

impl Directory {
    pub(super) fn new(config: &IssuerConfig, http: reqwest::Client, clock: Clock) -> Self {
        Self {
            key: config.key.clone(),
            issuer: config.issuer.clone(),
            metadata_url: config.metadata_url().ok(),
            http,
            clock,
            snapshot: RwLock::default(),
            attempt: Arc::default(),
        }
    }

    /// The issuer's metadata, read when it is not known or not fresh.
    ///
    /// # Errors
    /// It is not known, and the newest reading failed.
    pub(super) async fn metadata(self: &Arc<Self>) -> Result<Arc<Metadata>, Error> {
        Ok(Arc::clone(&self.usable().await?.metadata))
    }

    /// The issuer's key for a token; an unknown one makes the keys be read again, at most once a minute.
    ///
    /// # Errors
    /// No key fits, or no keys are known and the newest reading failed.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Error> {
        if let Some(key) = self.usable().await?.key(kid, algorithm) {
            return Ok(key);
        }
        self.refresh(Arc::clone(&self.attempt).lock_owned().await).await;
        self.usable().await?.key(kid, algorithm).ok_or(Error::KeyUnknown)
    }

    /// The newest snapshot that may be used, made fresh if that can be done now.
    async fn usable(self: &Arc<Self>) -> Result<Arc<Snapshot>, Error> {
        let now = self.clock.now();
        let within = |at: Timestamp, length: Millis| (0..length.0).contains(&(now - at).0);
        match self.known() {
            Some(known) if within(known.read_at, FRESH_FOR) => return Ok(known),
            Some(known) if within(known.read_at, USABLE_FOR) => {
                // One caller reads again; the others need not wait for it.
                if let Ok(attempt) = Arc::clone(&self.attempt).try_lock_owned() {
                    self.refresh(attempt).await;
                }
                return Ok(self.known().unwrap_or(known));
            }
            _ => self.refresh(Arc::clone(&self.attempt).lock_owned().await).await,
        }
        let failure = self.attempt.lock().await.failure;
        match (self.known(), failure) {
            (Some(known), None) => Ok(known),
            (_, failure) => Err(failure.unwrap_or(Error::ProviderUnreachable)),
        }
    }

    fn known(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads again, unless that was tried within the last minute. A task of its own, so that a caller who hangs up
    /// cannot leave a reading half done that counts as tried.
    async fn refresh(self: &Arc<Self>, mut attempt: OwnedMutexGuard<Attempt>) {
        let now = self.clock.now();
        if attempt.at.is_some_and(|at| (0..REFRESH_INTERVAL.0).contains(&(now - at).0)) {
            return;
        }
        let directory = Arc::clone(self);
        let reading = tokio::spawn(async move {
            *attempt = Attempt { at: Some(now), failure: Some(Error::ProviderUnreachable) };
            match directory.read(now).await {
                Ok(snapshot) => {
                    *directory.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
                    attempt.failure = None;
                }
                Err(failure) => {
                    tracing::warn!(issuer.key = directory.key, code = failure.code(), "{failure}");
                    attempt.failure = Some(failure);
                }
            }
        });
        let _ = reading.await; // it can only fail by a panic or at shutdown; the attempt counts as failed then
    }

    async fn read(&self, now: Timestamp) -> Result<Snapshot, Error> {
        let (metadata, metadata_read_at) = match self.known() {
            Some(known) if (0..FRESH_FOR.0).contains(&(now - known.metadata_read_at).0) => {
                (Arc::clone(&known.metadata), known.metadata_read_at)
            }
            _ => (Arc::new(self.read_metadata().await?), now),
        };
        let set = self.read_json(&metadata.jwks_uri).await?;
        let entries = set.get("keys").and_then(Value::as_array).ok_or(Error::ProviderMisfit("no key set"))?;
        let keys = entries.iter().take(KEYS_MAX).filter_map(Key::parse).map(Arc::new).collect();
        Ok(Snapshot { metadata, metadata_read_at, keys, read_at: now })
    }

    async fn read_metadata(&self) -> Result<Metadata, Error> {
        let url = self.metadata_url.as_ref().ok_or(Error::ProviderMisfit("no metadata URL"))?;
        let metadata: Metadata =
            serde_json::from_value(self.read_json(url).await?).map_err(|_| Error::ProviderMisfit("no metadata"))?;
        metadata.check(&self.issuer, url)?;
        Ok(metadata)
    }

    async fn read_json(&self, url: &Url) -> Result<Value, Error> {
        let request = self.http.get(url.clone()).header(reqwest::header::ACCEPT, "application/json");
        match send(&self.key, request, url).await? {
            (StatusCode::OK, body) => {
                serde_json::from_slice(body.reveal()).map_err(|_| Error::ProviderMisfit("the answer is not JSON"))
            }
            (status, _) if status.is_redirection() => Err(Error::ProviderMisfit("the answer is a redirect")),
            _ => Err(Error::ProviderUnreachable),
        }
    }
}

/// Sends a request to a provider and reads its whole answer, within the time-out and the limit of bytes.
///
/// # Errors
/// The provider cannot be reached or is too slow; its answer is too long or comes from elsewhere.
pub(super) async fn send(
    issuer_key: &str,
    request: reqwest::RequestBuilder,
    url: &Url,
) -> Result<(StatusCode, Secret<Vec<u8>>), Error> {
    let unreachable = |error: reqwest::Error| {
        tracing::warn!(issuer.key = issuer_key, error = ?error.without_url(), "a provider did not answer");
        Error::ProviderUnreachable
    };
    let mut response = request.timeout(PROVIDER_TIMEOUT).send().await.map_err(unreachable)?;
    if response.url() != url {
        return Err(Error::ProviderMisfit("the answer comes from elsewhere"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Error::ProviderMisfit("the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), Secret::new(body)))
}
