//! An OpenID Connect issuer in this process: what the service reads of one, and bearer tokens signed as by one.

use std::net::SocketAddr;

use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::json;
use store::clock::Clock;
use store::random;
use tokio::net::TcpListener;

use crate::Failure;

/// For whom its tokens are.
pub const AUDIENCE: &str = "api://harbour.example";
/// The role that the service is configured to take for the back office.
pub const BACK_OFFICE_ROLE: &str = "Harbour.BackOffice";
/// How long its tokens work: longer than any measurement.
const LIFETIME_SECONDS: i64 = 24 * 3_600;

/// A running issuer.
pub struct Issuer {
    url: String,
    key: EncodingKey,
}

impl Issuer {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self, Failure> {
        let secret = p256::SecretKey::from_slice(&random::bytes::<32>())?;
        let key = EncodingKey::from_ec_pem(secret.to_pkcs8_pem(LineEnding::LF)?.as_bytes())?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let metadata = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
            "code_challenge_methods_supported": ["S256"],
        });
        let keys = json!({ "keys": [public] });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(|| async { Json(metadata) }))
            .route("/keys", get(|| async { Json(keys) }));
        tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self { url, key })
    }

    /// The issuer as it names itself.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// An access token as a portal has one: for a person, who may have roles.
    pub fn token(&self, subject: &str, roles: &[&str]) -> Result<String, Failure> {
        let now = Clock::System.now().0 / 1_000;
        let claims = json!({
            "iss": self.url,
            "sub": subject,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": random::uuid().to_string(),
            "azp": "portal",
            "scope": "openid profile",
            "roles": roles,
        });
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)?)
    }
}
