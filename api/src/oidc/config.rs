//! What the operator says about an issuer.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::words::{IdentityKind, Scope};
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::AlgorithmFamily;
use store::secret::Secret;
use url::{Host, Url};
use uuid::Uuid;

/// Stands for the tenant in the issuer of a provider that has one issuer for each tenant (Entra ID).
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// What a template's tenant is replaced by to find the metadata that all tenants share (Entra ID).
const TENANT_OF_METADATA: &str = "organizations";

/// The claim that names the token's tenant (Entra ID).
const TENANT_CLAIM: &str = "tid";

/// Longest wait for one answer of a provider: a person is waiting with us.
pub(super) const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);

/// Algorithms that are accepted if nothing else is configured: the asymmetric ones. Issuers in the field differ, and a
/// key verifies only with algorithms of its own kind.
const ALGORITHMS_DEFAULT: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The claim that roles stand in if nothing else is configured (Entra ID, Keycloak mappers).
const STAFF_CLAIM_DEFAULT: &str = "roles";

/// Longest issuer key: it stands in paths and log lines.
const KEY_LENGTH_MAX: usize = 32;

/// A rule of [`IssuerConfig`] that a configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("issuer {key}: {reason}")]
pub struct ConfigError {
    /// The issuer's key.
    pub key: String,
    /// What is wrong, with what would be right.
    pub reason: &'static str,
}

/// Addresses for which an issuer's word is enough, so that no mailbox code is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustedFor {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these domains, in ASCII form.
    Domains(Vec<String>),
}

impl TrustedFor {
    /// Whether addresses of this domain (ASCII form, without the `@`) are among them; subdomains are not.
    pub fn covers(&self, domain: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Domains(domains) => domains.iter().any(|trusted| trusted.eq_ignore_ascii_case(domain)),
        }
    }
}

/// One issuer that people sign in with or that portals bring bearer tokens of.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Short name in paths and logs: lower-case letters, digits and hyphens, at most 32.
    pub key: String,
    /// What the sign-in button says.
    pub display_name: String,
    /// Whose sign-ins these are.
    pub kind: IdentityKind,
    /// The issuer, exactly as it stands in tokens; `{tenantid}` in it is replaced by each token's `tid`.
    pub issuer: String,
    /// Where the metadata is; without it `/.well-known/openid-configuration` below the issuer (a template's `{tenantid}`
    /// becomes `organizations`).
    pub metadata_url: Option<String>,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there; public clients have none.
    pub client_secret: Option<Secret<String>>,
    /// The claims that make the subject, in this order. Entra ID: `tid` and `oid`, as its `sub` differs between applications.
    /// A change makes every known identity of the issuer a stranger.
    pub subject_claims: Vec<String>,
    /// What is asked for, separated by spaces; `openid` is among them.
    pub scopes: String,
    /// The algorithms that may have signed a token. Asymmetric only.
    pub algorithms: Vec<Algorithm>,
    /// The audiences of bearer tokens; none accepts none. A portal's own, not our client id.
    pub bearer_audiences: Vec<String>,
    /// Addresses that the issuer is trusted for.
    pub trusted_for: TrustedFor,
    /// Where people without an identity make one.
    pub create_account_url: Option<String>,
    /// The claim of a bearer token that names roles, such as Entra ID's `roles`.
    pub staff_claim: String,
    /// What bearers with a role of that claim may do as staff; none makes nobody staff.
    pub staff_roles: BTreeMap<String, Scope>,
    /// Switched on. When off, nothing of this issuer is accepted, flows under way included.
    pub enabled: bool,
}

impl IssuerConfig {
    /// An enabled issuer with the defaults: subject `sub`; scopes `openid email profile`; every asymmetric algorithm; no bearer
    /// tokens; trusted for no address.
    pub fn new(key: &str, kind: IdentityKind, issuer: &str, client_id: &str) -> Self {
        Self {
            key: key.to_owned(),
            display_name: key.to_owned(),
            kind,
            issuer: issuer.to_owned(),
            metadata_url: None,
            client_id: client_id.to_owned(),
            client_secret: None,
            subject_claims: vec!["sub".to_owned()],
            scopes: "openid email profile".to_owned(),
            algorithms: ALGORITHMS_DEFAULT.to_vec(),
            bearer_audiences: Vec::new(),
            trusted_for: TrustedFor::None,
            create_account_url: None,
            staff_claim: STAFF_CLAIM_DEFAULT.to_owned(),
            staff_roles: BTreeMap::new(),
            enabled: true,
        }
    }

    /// Whether the issuer stands for one of each tenant.
    pub(super) fn is_template(&self) -> bool {
        self.issuer.contains(TENANT_PLACEHOLDER)
    }

    /// Whether `issuer` is what this template becomes for some tenant.
    pub(super) fn is_template_of(&self, issuer: &str) -> bool {
        let Some((before, after)) = self.issuer.split_once(TENANT_PLACEHOLDER) else { return false };
        issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(is_tenant)
    }

    /// The one issuer that a token with these claims must name; none where a template finds no tenant.
    pub(super) fn concrete_issuer(&self, claims: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
        if !self.is_template() {
            return Some(self.issuer.clone());
        }
        let tenant = claims.get(TENANT_CLAIM)?.as_str().filter(|tenant| is_tenant(tenant))?;
        Some(self.issuer.replace(TENANT_PLACEHOLDER, tenant))
    }

    /// Whether the issuer that a provider publishes beside a key, maybe a template itself, is that of this token.
    pub(super) fn key_issuer_fits(
        published: &str,
        issuer: &str,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> bool {
        let tenant = claims.get(TENANT_CLAIM).and_then(|tenant| tenant.as_str()).unwrap_or_default();
        published.replace(TENANT_PLACEHOLDER, tenant) == issuer
    }

    /// Where the metadata is read.
    pub(super) fn metadata_url(&self) -> Result<Url, url::ParseError> {
        let url = self.metadata_url.clone().unwrap_or_else(|| {
            let issuer = self.issuer.replace(TENANT_PLACEHOLDER, TENANT_OF_METADATA);
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
        });
        Url::parse(&url)
    }

    fn check(&self) -> Result<(), &'static str> {
        let key_fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.key.is_empty() || self.key.len() > KEY_LENGTH_MAX || !self.key.bytes().all(key_fits) {
            return Err("the key must be 1 to 32 lower-case letters, digits and hyphens");
        }
        let concrete = self.issuer.replace(TENANT_PLACEHOLDER, TENANT_OF_METADATA);
        let issuer = Url::parse(&concrete).map_err(|_| "the issuer must be a URL")?;
        if !is_protected(&issuer) || issuer.query().is_some() || issuer.fragment().is_some() {
            return Err("the issuer must be https (or http on loopback) without query and fragment");
        }
        if self.issuer.matches(TENANT_PLACEHOLDER).count() > 1 {
            return Err("the issuer must hold {tenantid} at most once");
        }
        if !self.metadata_url().is_ok_and(|url| may_be_called(&url, &issuer)) {
            return Err("the metadata URL must be https (or http on loopback beside such an issuer)");
        }
        if self.client_id.is_empty() {
            return Err("the client id must not be empty");
        }
        if self.subject_claims.is_empty() || self.subject_claims.iter().any(String::is_empty) {
            return Err("at least one claim must make the subject, and none may be empty");
        }
        if self.is_template() && !self.staff_roles.is_empty() {
            return Err(
                "staff roles need an issuer of one tenant: any tenant's administrator could give them otherwise",
            );
        }
        if !self.scopes.split(' ').any(|scope| scope == "openid") {
            return Err("the scopes must contain openid");
        }
        if self.algorithms.is_empty() || self.algorithms.iter().any(|used| used.family() == AlgorithmFamily::Hmac) {
            return Err("the algorithms must be asymmetric, and at least one");
        }
        Ok(())
    }
}

/// Checks each configuration by itself and that no two share a key or an issuer.
pub(super) fn check_all(configs: &[IssuerConfig]) -> Result<(), ConfigError> {
    for (index, config) in configs.iter().enumerate() {
        let earlier = &configs[..index];
        let outcome = match config.check() {
            Ok(()) if earlier.iter().any(|other| other.key == config.key) => Err("another issuer has this key"),
            Ok(()) if earlier.iter().any(|other| other.issuer == config.issuer) => Err("another key has this issuer"),
            outcome => outcome,
        };
        outcome.map_err(|reason| ConfigError { key: config.key.clone(), reason })?;
    }
    Ok(())
}

/// Every mistake in the configured issuers, so that all can be told at once.
pub fn mistakes(configs: &[IssuerConfig]) -> Vec<ConfigError> {
    let check = |config: &IssuerConfig| config.check().err();
    let mut mistakes: Vec<ConfigError> = configs
        .iter()
        .filter_map(|config| check(config).map(|reason| ConfigError { key: config.key.clone(), reason }))
        .collect();
    if mistakes.is_empty() {
        mistakes.extend(check_all(configs).err());
    }
    mistakes
}

/// Makes the HTTP client for providers: no redirects, bounded waits, no proxy out of the environment.
///
/// # Errors
/// The TLS stack cannot be set up: no process-wide `rustls` provider, or no trust roots.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PROVIDER_TIMEOUT)
        .connect_timeout(PROVIDER_TIMEOUT)
        .no_proxy()
        .user_agent("vinculum")
        .build()
}

/// Whether what is said there cannot be read or changed on the way: https, or this very machine.
fn is_protected(url: &Url) -> bool {
    url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || is_loopback(url))
}

/// Whether a URL that an issuer publishes may be called: https, or on loopback where the issuer is there too.
pub(super) fn may_be_called(url: &Url, issuer: &Url) -> bool {
    is_protected(url) && (url.scheme() == "https" || is_loopback(issuer))
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// A tenant is a UUID in its usual form, so that it can hold nothing that changes the issuer around it.
fn is_tenant(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|tenant| tenant.hyphenated().to_string() == text)
}
