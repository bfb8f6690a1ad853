//! A real OpenID provider (npm `oidc-provider`) as an issuer of its own.

use std::process::Command;

use serde_json::{Value, json};
use url::Url;

use super::server::{Server, environment_dir};
use super::visitor::Visitor;

/// The confidential client of the service: code flow, PKCE S256, `client_secret_basic`.
pub const CLIENT_ID: &str = "vinculum";
/// Its secret.
pub const CLIENT_SECRET: &str = "a-client-secret-of-the-tests-only";

/// The public client of a portal's front-end, and where its codes arrive (nobody listens there).
const PORTAL_CLIENT_ID: &str = "portal";
const PORTAL_CALLBACK: &str = "http://127.0.0.1:9/portal";

/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A running issuer.
///
/// | name | logins, each with the address `LOGIN@mail.test` |
/// |---|---|
/// | `personal` | `first`, `second`; the subject is the login |
/// | `work` | `third` (role `support`), `fourth`; `tid` and `oid` as well |
#[derive(Debug)]
pub struct OpenIdProvider {
    server: Server,
    http: reqwest::Client,
}

impl OpenIdProvider {
    /// Starts the issuer `name` (`personal` or `work`), whose client sends people back to one of `redirects`.
    pub fn start(name: &str, redirects: &[&str]) -> Self {
        let script = environment_dir().join("op.sh");
        let server = Server::start(Command::new("bash").arg(script).arg(name).args(redirects));
        Self { server, http: super::http() }
    }

    /// The issuer's identifier, which is also its address.
    pub fn issuer(&self) -> &str {
        self.server.ready()
    }

    /// Replaces the redirect URIs of the service's client, for a service whose port was not known before.
    pub async fn set_redirects(&self, redirects: &[&str]) {
        self.steer("redirects", json!(redirects)).await;
    }

    /// Adds an account, or changes claims of one: `{"email": …, "name": …, "roles": […]}`.
    pub async fn set_claims(&self, login: &str, claims: Value) {
        self.steer("account", json!({ "login": login, "claims": claims })).await;
    }

    /// Makes new signing keys and goes on publishing the old ones.
    pub async fn rotate_keys(&self) {
        self.steer("rotate?keep=1", Value::Null).await;
    }

    /// Makes new signing keys and withdraws the old ones.
    pub async fn replace_keys(&self) {
        self.steer("rotate?keep=0", Value::Null).await;
    }

    /// Injects a fault: `{"path": "/token", "status": 503, "delay_ms": 0, "drop": false, "body": "", "times": 1}`; only
    /// `path` must be given.
    pub async fn inject_fault(&self, fault: Value) {
        self.steer("fault", fault).await;
    }

    /// Walks `visitor` from the service's redirect through the account chooser, and returns the callback's address,
    /// not yet opened. The login `cancel` cancels.
    pub async fn sign_in(&self, visitor: &Visitor, authorize: &Url, login: &str) -> Url {
        let mut page = visitor.get(authorize).await;
        for _ in 0..10 {
            page = match page.location.take() {
                Some(next) if !next.as_str().starts_with(self.issuer()) => return next,
                Some(next) => visitor.get(next).await,
                None if page.url.path().starts_with("/interaction/") => {
                    visitor.submit(&page, &[("login", login)]).await
                }
                None if page.status == 200 => visitor.submit(&page, &[]).await, // a script would: the account changes
                None => panic!("{} answered {}: {}", page.url, page.status, page.body),
            };
        }
        panic!("the sign-in of {login} did not come back");
    }

    /// Gets a JWT access token for `audience` as a portal's front-end does: code, PKCE, `resource`.
    pub async fn access_token(&self, login: &str, audience: &str) -> String {
        let asked = [
            ("client_id", PORTAL_CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", PORTAL_CALLBACK),
            ("scope", "openid email profile portal"),
            ("resource", audience),
            ("state", "state"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let authorize = Url::parse_with_params(&format!("{}/auth", self.issuer()), asked).expect("an issuer is a URL");
        let callback = self.sign_in(&Visitor::new(), &authorize, login).await;
        let code = callback.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        let code = code.unwrap_or_else(|| panic!("no code in {callback}"));
        let swapped = [
            ("client_id", PORTAL_CLIENT_ID),
            ("grant_type", "authorization_code"),
            ("redirect_uri", PORTAL_CALLBACK),
            ("resource", audience),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
        ];
        let response = self.http.post(format!("{}/token", self.issuer())).form(&swapped).send().await;
        let tokens: Value = response.expect("the provider answers").json().await.expect("the provider answers JSON");
        tokens["access_token"].as_str().unwrap_or_else(|| panic!("no access token: {tokens}")).to_owned()
    }

    async fn steer(&self, what: &str, body: Value) {
        let url = format!("{}/_test/{what}", self.issuer());
        let response = self.http.post(url).json(&body).send().await.expect("the provider answers");
        assert!(response.status().is_success(), "{what}: {}", response.status());
    }
}
