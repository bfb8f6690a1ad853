//! Development only: the provider, the sample people, the start page and the mailbox of the embedded default. They are
//! mounted on loopback only, never in production.

pub mod keys;
pub mod provider;
pub mod samples;
pub mod pages;
pub mod views;

use std::path::{Path, PathBuf};

use api::oidc::{Algorithm, IssuerConfig, callback_path};
use api::state::Api;
use axum::Router;
use domain::address::EmailAddress;
use store::Store;
use store::secret::Secret;
use url::Url;
use workers::mail::Sender;

use crate::config::Keys;
use provider::{DevClient, DevIssuer, DevProvider, DevProviderError, DevProviderSettings};
use samples::Samples;

/// The one client of the development provider.
const CLIENT_ID: &str = "vinculum";
/// The audience of development bearer tokens.
const AUDIENCE: &str = "vinculum-development";

/// The development parts cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// The generated keys cannot be kept.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// The provider cannot start.
    #[error(transparent)]
    Provider(#[from] DevProviderError),
    /// The sample people cannot be put in place.
    #[error("the sample account cannot be put in place")]
    Samples(#[from] store::ExecuteError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] store::ReadError),
}

/// The development parts.
#[derive(Clone)]
pub struct Development {
    provider: DevProvider,
    client_secret: Secret<String>,
    samples: Samples,
    folder: PathBuf,
    /// The token that every form of the development pages carries; a new one at each start.
    csrf: String,
}

impl Development {
    /// Starts the provider and, in an empty log, puts the sample account in place.
    ///
    /// # Errors
    /// The data folder or the log cannot be used.
    pub async fn start(folder: &Path, base_url: &Url, store: &Store, keys: &Keys) -> Result<Self, DevelopmentError> {
        let generated = keys::load_or_make(folder)?;
        let redirect_uris = DevIssuer::ALL
            .iter()
            .map(|issuer| {
                let mut uri = base_url.clone();
                uri.set_path(&callback_path(issuer.as_str()));
                uri
            })
            .collect();
        let client_secret = store::working::fresh_secret();
        let provider = DevProvider::new(DevProviderSettings {
            base_url: base_url.clone(),
            signing_key_pem: generated.provider_key_pem,
            clients: vec![DevClient {
                client_id: CLIENT_ID.into(),
                client_secret: client_secret.clone(),
                redirect_uris,
            }],
            audience: AUDIENCE.into(),
            clock: store.clock().clone(),
        })?;
        let samples = Samples::put_in_place(store, keys, &provider).await?;
        let csrf = store::working::fresh_secret().reveal().clone();
        Ok(Self { provider, client_secret, samples, folder: folder.to_path_buf(), csrf })
    }

    /// The provider's two issuers, as the configuration would name them.
    pub fn issuers(&self) -> Vec<IssuerConfig> {
        let issuer = |issuer: &DevIssuer| {
            let url = self.provider.issuer_url(*issuer);
            IssuerConfig {
                display_name: issuer.label().into(),
                client_secret: Some(self.client_secret.clone()),
                algorithms: vec![Algorithm::ES256],
                bearer_audiences: vec![AUDIENCE.into()],
                ..IssuerConfig::new(issuer.as_str(), issuer.kind(), &url, CLIENT_ID)
            }
        };
        DevIssuer::ALL.iter().map(issuer).collect()
    }

    /// The start page, the mailbox and the provider.
    pub fn router(self) -> Router<Api> {
        self.provider.router().merge(pages::router(self))
    }
}

/// Who the embedded default's mails are from.
pub fn sender() -> Sender {
    Sender {
        from: EmailAddress::parse("no-reply@vinculum.example").expect("invariant: the constant is an address"),
        from_name: "Vinculum".into(),
        message_id_domain: "vinculum.example".into(),
    }
}
