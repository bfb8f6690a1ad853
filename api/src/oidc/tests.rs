//! Tokens and providers with faults, against a provider of our own on loopback.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::time::{Millis, Timestamp};
use domain::words::IdentityKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use store::clock::Clock;
use store::secret::Secret;
use url::Url;

use super::directory::{BODY_BYTES_MAX, FRESH_FOR, Key, REFRESH_INTERVAL, USABLE_FOR};
use super::{Error, IssuerConfig, Providers, SignedIn, TrustedFor, fresh, http_client};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const NOW_SECONDS: i64 = NOW.0 / 1_000;
const CLIENT: &str = "vinculum";
const AUDIENCE: &str = "https://portal.example";
const NONCE: &str = "the-nonce-of-this-flow";
const VERIFIER: &str = "the-verifier-of-this-flow-0123456789-0123456789";
const TENANT: &str = "aaaaaaaa-2222-4333-8444-555555555555";
const OTHER_TENANT: &str = "bbbbbbbb-2222-4333-8444-555555555555";

/// A signing key and the key id it is published under.
#[derive(Clone)]
struct Signer {
    kid: String,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &str) -> Self {
        use p256::pkcs8::{EncodePrivateKey, LineEnding};
        let key = p256::SecretKey::from_slice(&store::random::bytes::<32>()).unwrap();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        Self { kid: kid.to_owned(), key: EncodingKey::from_ec_pem(pem.as_bytes()).unwrap() }
    }

    fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What the provider answers and what it was asked.
#[derive(Default)]
struct Faked {
    metadata: Value,
    keys: Vec<Value>,
    tokens_by_code: HashMap<String, String>,
    down: bool,
    redirects: bool,
    readings: usize,
    exchanges: Vec<(Option<String>, HashMap<String, String>)>,
}

/// A provider on loopback whose every answer can be changed.
struct FakeProvider {
    issuer: String,
    signer: Signer,
    faked: Arc<Mutex<Faked>>,
}

impl FakeProvider {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let signer = Signer::new("key-1");
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "authorization_response_iss_parameter_supported": true,
        });
        let faked = Faked { metadata, keys: vec![signer.jwk(), Signer::new("key-2").jwk()], ..Faked::default() };
        let faked = Arc::new(Mutex::new(faked));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(answer_metadata))
            .route("/organizations/v2.0/.well-known/openid-configuration", get(answer_metadata))
            .route("/jwks", get(answer_keys))
            .route("/token", post(answer_code))
            .with_state(Arc::clone(&faked));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, signer, faked }
    }

    fn config(&self, key: &str) -> IssuerConfig {
        let mut config = IssuerConfig::new(key, IdentityKind::Personal, &self.issuer, CLIENT);
        config.bearer_audiences = vec![AUDIENCE.to_owned()];
        config.algorithms = vec![Algorithm::RS256, Algorithm::ES256];
        config
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "kid": self.signer.kid, "typ": "JWT" })
    }

    fn id_claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "person-1", "nonce": NONCE,
            "iat": NOW_SECONDS, "exp": NOW_SECONDS + 300, "auth_time": NOW_SECONDS - 30,
            "name": "Robin Rivers", "email": "robin.rivers@home.example", "email_verified": true,
        })
    }

    fn access_claims(&self) -> Value {
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": "person-1", "exp": NOW_SECONDS + 300 })
    }

    /// A code that the token endpoint exchanges for this ID token, once.
    fn code_for(&self, id_token: String) -> String {
        let mut faked = self.faked();
        let code = format!("code-{}-{}", self.signer.kid, faked.exchanges.len());
        faked.tokens_by_code.insert(code.clone(), id_token);
        code
    }

    fn faked(&self) -> std::sync::MutexGuard<'_, Faked> {
        self.faked.lock().unwrap()
    }

    /// Signs in with an ID token of this header and these claims, the callback naming this issuer.
    async fn sign_in(&self, providers: &Providers, key: &str, claims: &Value) -> Result<SignedIn, Error> {
        self.sign_in_with(providers, key, self.signer.sign(&self.header(), claims)).await
    }

    async fn sign_in_with(&self, providers: &Providers, key: &str, id_token: String) -> Result<SignedIn, Error> {
        let code = self.code_for(id_token);
        providers.finish(key, &redirect_uri(key), &code, Some(&self.issuer), NONCE, VERIFIER).await
    }
}

type SharedFaked = State<Arc<Mutex<Faked>>>;

fn reading(faked: &mut Faked, answer: Value) -> axum::response::Response {
    faked.readings += 1;
    match (faked.down, faked.redirects) {
        (true, _) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        (_, true) => axum::response::Redirect::temporary("/elsewhere").into_response(),
        _ => Json(answer).into_response(),
    }
}

async fn answer_metadata(State(faked): SharedFaked) -> axum::response::Response {
    let mut faked = faked.lock().unwrap();
    let answer = faked.metadata.clone();
    reading(&mut faked, answer)
}

async fn answer_keys(State(faked): SharedFaked) -> axum::response::Response {
    let mut faked = faked.lock().unwrap();
    let answer = json!({ "keys": faked.keys });
    reading(&mut faked, answer)
}

async fn answer_code(
    State(faked): SharedFaked,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> axum::response::Response {
    let mut faked = faked.lock().unwrap();
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let token = faked.tokens_by_code.remove(&form["code"]);
    faked.exchanges.push((authorization, form));
    match token {
        Some(id_token) => Json(json!({ "id_token": id_token, "token_type": "Bearer" })).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    }
}

fn redirect_uri(key: &str) -> Url {
    Url::parse("http://127.0.0.1:1").unwrap().join(&super::callback_path(key)).unwrap()
}

fn providers(configs: Vec<IssuerConfig>) -> (Providers, Clock) {
    let clock = Clock::manual(NOW);
    (Providers::new(configs, http_client().unwrap(), clock.clone()).unwrap(), clock)
}

/// A value with one member changed, or taken away by null.
fn with(mut value: Value, member: &str, changed: Value) -> Value {
    if changed.is_null() {
        value.as_object_mut().unwrap().remove(member);
    } else {
        value[member] = changed;
    }
    value
}

#[tokio::test]
async fn a_person_signs_in_with_code_pkce_state_and_nonce() {
    let provider = FakeProvider::start().await;
    let (providers, _) = providers(vec![provider.config("personal")]);
    let (state, nonce, verifier) = (fresh(), fresh(), fresh());
    assert_eq!(state.reveal().len(), 43);
    assert_ne!(state, nonce);

    let redirect_uri = redirect_uri("personal");
    let url =
        providers.begin("personal", &redirect_uri, state.reveal(), nonce.reveal(), verifier.reveal()).await.unwrap();
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert!(url.as_str().starts_with(&format!("{}/authorize?tenant=1&", provider.issuer)));
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["client_id"], CLIENT);
    assert_eq!(query["redirect_uri"], "http://127.0.0.1:1/sign-in/personal/callback");
    assert_eq!(query["scope"], "openid email profile");
    assert_eq!(&query["state"], state.reveal());
    assert_eq!(&query["nonce"], nonce.reveal());
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["prompt"], "select_account");
    assert!(!url.as_str().contains(verifier.reveal()));

    let claims = with(provider.id_claims(), "nonce", json!(nonce.reveal()));
    let code = provider.code_for(provider.signer.sign(&provider.header(), &claims));
    let iss = Some(provider.issuer.as_str());
    let finish = || providers.finish("personal", &redirect_uri, &code, iss, nonce.reveal(), verifier.reveal());
    let signed_in = finish().await.unwrap();
    assert_eq!(signed_in.issuer, provider.issuer);
    assert_eq!(signed_in.subject, r#"["person-1"]"#);
    assert_eq!(signed_in.name.as_deref(), Some("Robin Rivers"));
    assert_eq!(signed_in.email.as_deref(), Some("robin.rivers@home.example"));
    assert!(signed_in.email_verified);
    assert_eq!(signed_in.authenticated_at, Timestamp(NOW.0 - 30_000));
    assert!(!format!("{signed_in:?}").contains("robin"), "personal data has no debug print");
    assert_eq!(&provider.faked().exchanges[0].1["code_verifier"], verifier.reveal());
    assert_eq!(finish().await, Err(Error::CodeRefused), "a code is exchanged once");
}

#[tokio::test]
async fn the_client_secret_goes_where_the_provider_takes_it() {
    let provider = FakeProvider::start().await;
    let mut config = provider.config("personal");
    config.client_secret = Some(Secret::new("s+cret/with space".to_owned()));
    let (basic, _) = providers(vec![config.clone()]);
    provider.sign_in(&basic, "personal", &provider.id_claims()).await.unwrap();
    provider.faked().metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    let (post, _) = providers(vec![config]);
    provider.sign_in(&post, "personal", &provider.id_claims()).await.unwrap();

    let exchanges = std::mem::take(&mut provider.faked().exchanges);
    let expected = STANDARD.encode(format!("{CLIENT}:s%2Bcret%2Fwith+space"));
    assert_eq!(exchanges[0].0.as_deref(), Some(format!("Basic {expected}").as_str()));
    assert!(!exchanges[0].1.contains_key("client_secret"));
    assert_eq!(exchanges[1].0, None);
    assert_eq!(exchanges[1].1["client_secret"], "s+cret/with space");
    assert_eq!(exchanges[1].1["client_id"], CLIENT);
}

/// The corpus of faults: what is wrong, how it is refused, the token.
fn faulty_id_tokens(provider: &FakeProvider) -> Vec<(&'static str, Error, String)> {
    let mut faults = faulty_headers(provider);
    faults.extend(faulty_signatures(provider));
    faults.extend(faulty_claims(provider));
    faults
}

fn faulty_headers(provider: &FakeProvider) -> Vec<(&'static str, Error, String)> {
    let claims = provider.id_claims();
    let signed = |member: &str, value: Value| provider.signer.sign(&with(provider.header(), member, value), &claims);
    let none = |alg: &str| format!("{}.", unsigned(&with(provider.header(), "alg", json!(alg)), &claims));
    let hmac = |secret: &[u8]| {
        let text = unsigned(&with(provider.header(), "alg", json!("HS256")), &claims);
        let signature =
            jsonwebtoken::crypto::sign(text.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256);
        format!("{text}.{}", signature.unwrap())
    };
    vec![
        ("alg none", Error::AlgorithmRefused, none("none")),
        ("alg None", Error::AlgorithmRefused, none("None")),
        ("alg none beside a good signature", Error::AlgorithmRefused, signed("alg", json!("none"))),
        ("alg empty", Error::AlgorithmRefused, signed("alg", json!(""))),
        ("alg missing", Error::TokenMalformed, signed("alg", Value::Null)),
        ("HS256 with the public key", Error::AlgorithmRefused, hmac(provider.signer.jwk()["x"].to_string().as_bytes())),
        ("HS256 with the client id", Error::AlgorithmRefused, hmac(CLIENT.as_bytes())),
        ("ES384 is not on the list", Error::AlgorithmRefused, signed("alg", json!("ES384"))),
        ("RS256 with an EC key", Error::KeyUnknown, signed("alg", json!("RS256"))),
        ("unknown kid", Error::KeyUnknown, signed("kid", json!("key-9"))),
        ("empty kid", Error::KeyUnknown, signed("kid", json!(""))),
        ("no kid though there are several keys", Error::KeyUnknown, signed("kid", Value::Null)),
        ("a kid that is not text", Error::TokenMalformed, signed("kid", json!(1))),
        ("kid of an encryption key", Error::KeyUnknown, signed("kid", json!("for-encryption"))),
        ("crit", Error::HeaderRefused, signed("crit", json!(["b64"]))),
        ("typ of an access token", Error::HeaderRefused, signed("typ", json!("at+jwt"))),
        ("typ of a logout token", Error::HeaderRefused, signed("typ", json!("logout+jwt"))),
    ]
}

fn faulty_signatures(provider: &FakeProvider) -> Vec<(&'static str, Error, String)> {
    let (header, claims) = (provider.header(), provider.id_claims());
    let good = provider.signer.sign(&header, &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let stranger = Signer::new("key-1");
    let with_jwk = with(header.clone(), "jwk", stranger.jwk());
    let with_jku = with(with(header.clone(), "jku", json!("http://127.0.0.1:1/jwks")), "kid", json!("key-9"));
    let other_claims = unsigned(&header, &with(claims.clone(), "sub", json!("person-2")));
    let other_header = unsigned(&with(header.clone(), "typ", Value::Null), &claims);
    vec![
        ("another key under the same kid", Error::SignatureInvalid, stranger.sign(&header, &claims)),
        ("a key brought along", Error::SignatureInvalid, stranger.sign(&with_jwk, &claims)),
        ("a key set brought along", Error::KeyUnknown, stranger.sign(&with_jku, &claims)),
        (
            "kid of another key",
            Error::SignatureInvalid,
            provider.signer.sign(&with(header, "kid", json!("key-2")), &claims),
        ),
        ("no signature", Error::SignatureInvalid, format!("{signed}.")),
        ("half a signature", Error::SignatureInvalid, format!("{signed}.{}", &signature[..43])),
        ("a signature of zeros", Error::SignatureInvalid, format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("claims changed", Error::SignatureInvalid, format!("{other_claims}.{signature}")),
        ("header changed", Error::SignatureInvalid, format!("{other_header}.{signature}")),
        ("two parts", Error::TokenMalformed, signed.to_owned()),
        ("five parts", Error::TokenMalformed, format!("{good}.a.b")),
        ("opaque", Error::TokenMalformed, "b0f3c2".to_owned()),
        ("empty", Error::TokenMalformed, String::new()),
        ("too long", Error::TokenMalformed, format!("{good}{}", "A".repeat(20_000))),
    ]
}

fn faulty_claims(provider: &FakeProvider) -> Vec<(&'static str, Error, String)> {
    let token = |member: &str, value: Value| {
        provider.signer.sign(&provider.header(), &with(provider.id_claims(), member, value))
    };
    let upper_case = provider.issuer.replace("http", "HTTP");
    vec![
        ("iss of another", Error::IssuerMismatch, token("iss", json!("https://other.example"))),
        ("iss with a slash", Error::IssuerMismatch, token("iss", json!(format!("{}/", provider.issuer)))),
        ("iss in upper case", Error::IssuerMismatch, token("iss", json!(upper_case))),
        ("iss missing", Error::IssuerMismatch, token("iss", Value::Null)),
        ("iss a list", Error::IssuerMismatch, token("iss", json!([provider.issuer]))),
        ("aud of another", Error::AudienceMismatch, token("aud", json!("another"))),
        ("aud in upper case", Error::AudienceMismatch, token("aud", json!("VINCULUM"))),
        ("aud missing", Error::AudienceMismatch, token("aud", Value::Null)),
        ("aud empty", Error::AudienceMismatch, token("aud", json!([]))),
        ("aud with a number", Error::AudienceMismatch, token("aud", json!([CLIENT, 1]))),
        ("several aud without azp", Error::AuthorizedPartyMismatch, token("aud", json!([CLIENT, "another"]))),
        ("azp of another", Error::AuthorizedPartyMismatch, token("azp", json!("another"))),
        ("expired", Error::Expired, token("exp", json!(NOW_SECONDS - 60))),
        ("exp missing", Error::ClaimInvalid("exp"), token("exp", Value::Null)),
        ("exp a text", Error::ClaimInvalid("exp"), token("exp", json!("1790000300"))),
        ("exp beyond all years", Error::ClaimInvalid("exp"), token("exp", json!(1e300))),
        ("nbf ahead", Error::NotYetValid, token("nbf", json!(NOW_SECONDS + 61))),
        ("iat ahead", Error::NotYetValid, token("iat", json!(NOW_SECONDS + 61))),
        ("iat missing", Error::ClaimInvalid("iat"), token("iat", Value::Null)),
        ("iat negative", Error::ClaimInvalid("iat"), token("iat", json!(-1))),
        ("nonce of another flow", Error::NonceMismatch, token("nonce", json!("the-nonce-of-that-flow"))),
        ("nonce cut short", Error::NonceMismatch, token("nonce", json!(&NONCE[1..]))),
        ("nonce missing", Error::NonceMismatch, token("nonce", Value::Null)),
        ("nonce a list", Error::NonceMismatch, token("nonce", json!([NONCE]))),
        ("sub missing", Error::ClaimInvalid("subject"), token("sub", Value::Null)),
        ("sub empty", Error::ClaimInvalid("subject"), token("sub", json!(""))),
        ("sub a number", Error::ClaimInvalid("subject"), token("sub", json!(7))),
        ("sub too long", Error::ClaimInvalid("subject"), token("sub", json!("a".repeat(256)))),
    ]
}

#[tokio::test]
async fn t26_every_id_token_with_one_field_wrong_is_refused_and_the_good_one_passes() {
    let provider = FakeProvider::start().await;
    let for_encryption = Signer { kid: "for-encryption".to_owned(), key: provider.signer.key.clone() };
    provider.faked().keys.push(with(for_encryption.jwk(), "use", json!("enc")));
    let (providers, _) = providers(vec![provider.config("personal")]);

    let faults = faulty_id_tokens(&provider);
    assert!(faults.len() >= 30, "{} faults", faults.len());
    for (fault, expected, id_token) in faults {
        let outcome = provider.sign_in_with(&providers, "personal", id_token).await;
        assert_eq!(outcome, Err(expected), "{fault}");
    }

    let claims = provider.id_claims();
    let good = [
        claims.clone(),
        with(claims.clone(), "exp", json!(NOW_SECONDS - 59)),
        with(claims.clone(), "exp", json!(NOW_SECONDS as f64 + 0.5)),
        with(claims.clone(), "nbf", json!(NOW_SECONDS + 60)),
        with(claims.clone(), "iat", json!(NOW_SECONDS + 60)),
        with(claims.clone(), "aud", json!([CLIENT])),
        with(with(claims, "aud", json!(["another", CLIENT])), "azp", json!(CLIENT)),
    ];
    for claims in good {
        provider.sign_in(&providers, "personal", &claims).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_may_not_verify_is_never_used() {
    let provider = FakeProvider::start().await;
    let (symmetric, short) = (URL_SAFE_NO_PAD.encode([7; 32]), URL_SAFE_NO_PAD.encode([0xff; 128]));
    let jwk = provider.signer.jwk();
    assert!(Key::parse(&jwk).is_some());
    for unfit in [
        json!({ "kty": "oct", "k": symmetric, "kid": "a" }),
        json!({ "kty": "RSA", "n": short, "e": "AQAB", "kid": "a" }),
        json!({ "kty": "AKP", "kid": "a" }),
        with(jwk.clone(), "use", json!("enc")),
        with(jwk.clone(), "key_ops", json!(["sign"])),
        with(jwk.clone(), "crv", json!("P-521")),
        json!("a key"),
    ] {
        assert!(Key::parse(&unfit).is_none(), "{unfit}");
    }
    // One that names another algorithm is read, and fits no token.
    provider.faked().keys = vec![with(jwk, "alg", json!("ES512"))];
    let (providers, _) = providers(vec![provider.config("personal")]);
    assert_eq!(provider.sign_in(&providers, "personal", &provider.id_claims()).await, Err(Error::KeyUnknown));
}

/// The example of RFC 7515, appendix A.2.
#[test]
fn an_rs256_signature_made_by_others_verifies() {
    let key = Key::parse(&json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    }))
    .unwrap();
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let verifies = |text: &str| key.has_signed(&format!("{text}.{signature}"), Algorithm::RS256);
    assert!(!verifies(&signed.replace("eyJp", "eyJq")));
    assert!(verifies(signed));
    assert!(verifies(signed), "it is remembered");
    assert!(!verifies(&signed.replace("eyJp", "eyJq")), "and no other text with it");
    assert!(!key.has_signed(&format!("{signed}.{signature}"), Algorithm::RS512), "nor another algorithm");
    assert!(!key.has_signed(&format!("{signed}.AAAA"), Algorithm::RS256), "nor signature");
}

#[tokio::test]
async fn t20_the_same_address_under_another_subject_or_tenant_is_another_identity() {
    let provider = FakeProvider::start().await;
    let (template, config) = template(&provider);
    let (providers, _) = providers(vec![config]);
    let claims = |tenant: &str, object: &str, email: &str| {
        let claims = with(provider.id_claims(), "iss", json!(template.replace("{tenantid}", tenant)));
        with(with(with(claims, "tid", json!(tenant)), "oid", json!(object)), "email", json!(email))
    };
    let sign_in = async |claims: Value| {
        let code = provider.code_for(provider.signer.sign(&provider.header(), &claims));
        providers.finish("work", &redirect_uri("work"), &code, None, NONCE, VERIFIER).await
    };
    let victim = sign_in(claims(TENANT, "object-1", "robin.rivers@harbour.example")).await.unwrap();
    let attacker = sign_in(claims(OTHER_TENANT, "object-1", "robin.rivers@harbour.example")).await.unwrap();
    let renamed = sign_in(claims(TENANT, "object-1", "someone.else@harbour.example")).await.unwrap();
    assert_eq!(victim.subject, format!(r#"["{TENANT}","object-1"]"#));
    assert_ne!((&victim.issuer, &victim.subject), (&attacker.issuer, &attacker.subject));
    assert_eq!((&victim.issuer, &victim.subject), (&renamed.issuer, &renamed.subject));

    let own = with(claims(OTHER_TENANT, "object-1", "a@b.example"), "tid", json!(TENANT));
    assert_eq!(sign_in(own).await, Err(Error::IssuerMismatch), "the tenant is not the issuer's");
    for tenant in ["", "common", "*", &TENANT.to_uppercase(), &format!("{TENANT}/v2.0/..")] {
        let outcome = sign_in(claims(tenant, "object-1", "a@b.example")).await;
        assert_eq!(outcome, Err(Error::ClaimInvalid("tid")), "{tenant}");
    }
    let nameless = with(claims(TENANT, "object-1", "a@b.example"), "oid", Value::Null);
    assert_eq!(sign_in(nameless).await, Err(Error::ClaimInvalid("subject")));
}

/// Makes the provider one with an issuer for each tenant, as Entra ID is.
fn template(provider: &FakeProvider) -> (String, IssuerConfig) {
    let template = format!("{}/{{tenantid}}/v2.0", provider.issuer);
    provider.faked().metadata["issuer"] = json!(template);
    provider.faked().metadata["authorization_response_iss_parameter_supported"] = json!(false);
    let mut config = provider.config("work");
    config.issuer.clone_from(&template);
    config.subject_claims = vec!["tid".to_owned(), "oid".to_owned()];
    config.kind = IdentityKind::Organizational;
    (template, config)
}

#[tokio::test]
async fn t20_a_key_of_one_tenant_signs_for_no_other() {
    let provider = FakeProvider::start().await;
    let (template, config) = template(&provider);
    let of_tenant = template.replace("{tenantid}", TENANT);
    provider.faked().keys = vec![with(provider.signer.jwk(), "issuer", json!(of_tenant))];
    let (providers, _) = providers(vec![config]);
    let token = |tenant: &str| {
        let claims = with(provider.access_claims(), "iss", json!(template.replace("{tenantid}", tenant)));
        let claims = with(with(claims, "tid", json!(tenant)), "oid", json!("object-1"));
        provider.signer.sign(&provider.header(), &claims)
    };
    assert!(providers.bearer(&token(TENANT)).await.is_ok());
    assert_eq!(providers.bearer(&token(OTHER_TENANT)).await, Err(Error::KeyUnknown));
    provider.faked().keys = vec![with(provider.signer.jwk(), "issuer", json!(template))];
    let (providers, _) = self::providers(vec![provider_config(&provider, &template)]);
    assert!(providers.bearer(&token(OTHER_TENANT)).await.is_ok(), "a template's key is every tenant's");
}

fn provider_config(provider: &FakeProvider, issuer: &str) -> IssuerConfig {
    let mut config = provider.config("work");
    config.issuer = issuer.to_owned();
    config
}

#[tokio::test]
async fn t20_a_tenant_configured_by_itself_is_not_also_the_templates() {
    let provider = FakeProvider::start().await;
    let (template, config) = template(&provider);
    let of_tenant = template.replace("{tenantid}", TENANT);
    let mut by_itself = provider_config(&provider, &of_tenant);
    by_itself.key = "personal".to_owned();
    let (providers, _) = providers(vec![config, by_itself]);
    let claims = with(provider.id_claims(), "iss", json!(of_tenant));
    let claims = with(with(claims, "tid", json!(TENANT)), "oid", json!("object-1"));
    let code = provider.code_for(provider.signer.sign(&provider.header(), &claims));
    let outcome = providers.finish("work", &redirect_uri("work"), &code, None, NONCE, VERIFIER).await;
    assert_eq!(outcome, Err(Error::IssuerMismatch));
}

#[tokio::test]
async fn t22_a_callback_and_a_token_of_two_tenants_do_not_fit() {
    let provider = FakeProvider::start().await;
    let (template, config) = template(&provider);
    let (providers, _) = providers(vec![config]);
    let of = |tenant: &str| template.replace("{tenantid}", tenant);
    let claims = with(provider.id_claims(), "iss", json!(of(TENANT)));
    let claims = with(with(claims, "tid", json!(TENANT)), "oid", json!("object-1"));
    let finish = async |claims: &Value, iss: &str| {
        let code = provider.code_for(provider.signer.sign(&provider.header(), claims));
        providers.finish("work", &redirect_uri("work"), &code, Some(iss), NONCE, VERIFIER).await
    };
    assert!(finish(&claims, &of(TENANT)).await.is_ok());
    assert_eq!(finish(&claims, &of(OTHER_TENANT)).await, Err(Error::CallbackIssuerMismatch));
    assert_eq!(finish(&claims, &template).await, Err(Error::CallbackIssuerMismatch));
    let without_sub = with(claims, "sub", Value::Null);
    assert_eq!(finish(&without_sub, &of(TENANT)).await, Err(Error::ClaimInvalid("subject")), "required beside oid");
}

#[tokio::test]
async fn t21_the_same_subject_at_two_issuers_is_two_identities() {
    let (one, two) = (FakeProvider::start().await, FakeProvider::start().await);
    let (providers, _) = providers(vec![one.config("personal"), two.config("work")]);
    let at_one = one.sign_in(&providers, "personal", &one.id_claims()).await.unwrap();
    let at_two = two.sign_in(&providers, "work", &two.id_claims()).await.unwrap();
    assert_eq!(at_one.subject, at_two.subject);
    assert_ne!(at_one.issuer, at_two.issuer);
}

#[tokio::test]
async fn a_subject_of_several_claims_is_unambiguous() {
    let provider = FakeProvider::start().await;
    let mut config = provider.config("personal");
    config.subject_claims = vec!["tid".to_owned(), "oid".to_owned()];
    let (providers, _) = providers(vec![config]);
    let mut subjects = Vec::new();
    for (tid, oid) in [("a", "bc"), ("ab", "c"), ("a\",\"b", "c"), ("a", "b\",\"c")] {
        let claims = with(with(provider.id_claims(), "tid", json!(tid)), "oid", json!(oid));
        subjects.push(provider.sign_in(&providers, "personal", &claims).await.unwrap().subject);
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 4);
}

#[tokio::test]
async fn t22_swapping_code_issuer_or_token_between_two_providers_fails() {
    let (one, two) = (FakeProvider::start().await, FakeProvider::start().await);
    let (providers, _) = providers(vec![one.config("personal"), two.config("work")]);
    let finish = async |key: &str, code: &str, iss: Option<&str>| {
        providers.finish(key, &redirect_uri(key), code, iss, NONCE, VERIFIER).await
    };
    for (honest, other, key) in [(&one, &two, "personal"), (&two, &one, "work")] {
        let token_of_other = other.signer.sign(&other.header(), &other.id_claims());
        let posing_as_honest = other.signer.sign(&honest.header(), &honest.id_claims());

        let code = honest.code_for(honest.signer.sign(&honest.header(), &honest.id_claims()));
        let asked = honest.faked().exchanges.len();
        assert_eq!(finish(key, &code, Some(&other.issuer)).await, Err(Error::CallbackIssuerMismatch));
        assert_eq!(finish(key, &code, None).await, Err(Error::CallbackIssuerMissing));
        let slash = format!("{}/", honest.issuer);
        assert_eq!(finish(key, &code, Some(&slash)).await, Err(Error::CallbackIssuerMismatch));
        assert_eq!(honest.faked().exchanges.len(), asked, "the code has not left");

        let code_of_other = other.code_for(token_of_other.clone()) + "-of-other";
        assert_eq!(finish(key, &code_of_other, Some(&honest.issuer)).await, Err(Error::CodeRefused));
        let refused = honest.sign_in_with(&providers, key, token_of_other).await;
        assert_eq!(refused, Err(Error::SignatureInvalid), "both name their key key-1");
        let refused = honest.sign_in_with(&providers, key, posing_as_honest).await;
        assert_eq!(refused, Err(Error::SignatureInvalid));
        let of_other = with(honest.id_claims(), "iss", json!(other.issuer));
        assert_eq!(honest.sign_in(&providers, key, &of_other).await, Err(Error::IssuerMismatch));
        assert!(finish(key, &code, Some(&honest.issuer)).await.is_ok());
    }
}

#[tokio::test]
async fn t22_metadata_of_another_issuer_or_with_unfit_endpoints_is_refused() {
    let provider = FakeProvider::start().await;
    let good = provider.faked().metadata.clone();
    for (member, value) in [
        ("issuer", json!("https://other.example")),
        ("issuer", json!(format!("{}/", provider.issuer))),
        ("issuer", Value::Null),
        ("jwks_uri", json!("http://keys.example/jwks")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("token_endpoint", json!("http://token.example")),
        ("token_endpoint", json!("https://user:pass@token.example")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", Value::Null),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("padding", json!("x".repeat(BODY_BYTES_MAX))),
    ] {
        provider.faked().metadata = with(good.clone(), member, value.clone());
        let (providers, _) = providers(vec![provider.config("personal")]);
        let outcome = providers.begin("personal", &redirect_uri("personal"), "s", "n", VERIFIER).await;
        assert!(matches!(outcome, Err(Error::ProviderMisfit(_))), "{member}: {outcome:?}");
    }
    provider.faked().metadata = good;
    provider.faked().redirects = true;
    let (providers, _) = providers(vec![provider.config("personal")]);
    let outcome = providers.begin("personal", &redirect_uri("personal"), "s", "n", VERIFIER).await;
    assert_eq!(outcome, Err(Error::ProviderMisfit("the answer is a redirect")));
    assert_eq!(provider.faked().readings, 1 + 11, "no redirect was followed");
    let follows = reqwest::Client::builder().no_proxy().build().unwrap();
    let providers = Providers::new(vec![provider.config("personal")], follows, Clock::manual(NOW)).unwrap();
    let outcome = providers.begin("personal", &redirect_uri("personal"), "s", "n", VERIFIER).await;
    assert_eq!(outcome, Err(Error::ProviderMisfit("the answer comes from elsewhere")), "whatever the client does");
}

#[tokio::test]
async fn t27_ten_thousand_unknown_kids_cost_two_readings() {
    let provider = FakeProvider::start().await;
    let (providers, clock) = providers(vec![provider.config("personal")]);
    let known =
        provider.signer.sign(&provider.header(), &with(provider.access_claims(), "exp", json!(NOW_SECONDS + 3_600)));
    providers.bearer(&known).await.unwrap();
    clock.turn(Millis::minutes(2));
    provider.faked().readings = 0;
    for number in 0..10_000 {
        let header = json!({ "alg": "ES256", "kid": format!("unknown-{number}") });
        let token = format!("{}.AAAA", unsigned(&header, &provider.access_claims()));
        assert_eq!(providers.bearer(&token).await, Err(Error::KeyUnknown));
    }
    assert!(provider.faked().readings <= 2, "{} readings", provider.faked().readings);
    providers.bearer(&known).await.unwrap();
}

#[tokio::test]
async fn t27_known_keys_verify_while_the_provider_is_down_and_its_failure_is_remembered() {
    let provider = FakeProvider::start().await;
    let (providers, clock) = providers(vec![provider.config("personal")]);
    let token = |kid: &str, exp: i64| {
        let header = with(provider.header(), "kid", json!(kid));
        provider.signer.sign(&header, &with(provider.access_claims(), "exp", json!(exp)))
    };
    let (known, unknown) = (token("key-1", NOW_SECONDS + 200_000), token("key-9", NOW_SECONDS + 200_000));
    providers.bearer(&known).await.unwrap();
    clock.turn(FRESH_FOR);
    provider.faked().down = true;
    provider.faked().readings = 0;
    for _ in 0..100 {
        providers.bearer(&known).await.unwrap();
        assert_eq!(providers.bearer(&unknown).await, Err(Error::KeyUnknown));
    }
    assert_eq!(provider.faked().readings, 1, "a failure counts as a reading");

    clock.turn(USABLE_FOR);
    assert_eq!(providers.bearer(&known).await, Err(Error::ProviderUnreachable), "not for ever");
    provider.faked().down = false;
    assert_eq!(providers.bearer(&known).await, Err(Error::ProviderUnreachable), "remembered for a minute");
    clock.turn(REFRESH_INTERVAL);
    providers.bearer(&known).await.unwrap();
}

#[tokio::test]
async fn t27_a_new_key_is_found_and_a_withdrawn_one_stops_verifying() {
    let provider = FakeProvider::start().await;
    let (providers, clock) = providers(vec![provider.config("personal")]);
    let claims = with(provider.access_claims(), "exp", json!(NOW_SECONDS + 200_000));
    let old = provider.signer.sign(&provider.header(), &claims);
    providers.bearer(&old).await.unwrap();

    let next = Signer::new("key-3");
    let new = next.sign(&with(provider.header(), "kid", json!("key-3")), &claims);
    provider.faked().keys = vec![next.jwk()];
    assert_eq!(providers.bearer(&new).await, Err(Error::KeyUnknown), "within the minute");
    providers.bearer(&old).await.unwrap();
    clock.turn(REFRESH_INTERVAL);
    providers.bearer(&new).await.unwrap();
    assert_eq!(providers.bearer(&old).await, Err(Error::KeyUnknown));
    provider.faked().keys.clear();
    clock.turn(FRESH_FOR);
    assert_eq!(providers.bearer(&new).await, Err(Error::KeyUnknown), "withdrawn without a successor");
}

#[tokio::test]
async fn t26_a_signature_that_is_remembered_vouches_for_nothing_else() {
    let provider = FakeProvider::start().await;
    let (providers, clock) = providers(vec![provider.config("personal")]);
    let claims = with(provider.access_claims(), "exp", json!(NOW_SECONDS + 60));
    let good = provider.signer.sign(&provider.header(), &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for _ in 0..2 {
        providers.bearer(&good).await.unwrap();
        let elsewhere = with(claims.clone(), "aud", json!("https://elsewhere.example"));
        let elsewhere = provider.signer.sign(&provider.header(), &elsewhere);
        assert_eq!(providers.bearer(&elsewhere).await, Err(Error::AudienceMismatch));
        let forged = unsigned(&provider.header(), &with(claims.clone(), "sub", json!("somebody-else")));
        assert_eq!(providers.bearer(&format!("{forged}.{signature}")).await, Err(Error::SignatureInvalid));
        assert_eq!(providers.bearer(&format!("{signed}.AAAA")).await, Err(Error::SignatureInvalid));
    }
    clock.turn(Millis::minutes(5));
    assert_eq!(providers.bearer(&good).await, Err(Error::Expired), "it expires all the same");

    let good = provider.signer.sign(&provider.header(), &with(claims, "exp", json!(NOW_SECONDS + 200_000)));
    providers.bearer(&good).await.unwrap();
    let successor = Signer::new(&provider.signer.kid);
    provider.faked().keys = vec![successor.jwk()];
    clock.turn(FRESH_FOR);
    assert_eq!(providers.bearer(&good).await, Err(Error::SignatureInvalid), "another key under the same id");
}

#[tokio::test]
async fn t27_a_caller_who_hangs_up_does_not_leave_a_reading_half_done() {
    let provider = FakeProvider::start().await;
    let (providers, _) = providers(vec![provider.config("personal")]);
    let redirect_uri = redirect_uri("personal");
    tokio::select! {
        biased;
        _ = providers.begin("personal", &redirect_uri, "s", "n", VERIFIER) => panic!("it cannot be done at once"),
        () = std::future::ready(()) => {}
    }
    providers.begin("personal", &redirect_uri, "s", "n", VERIFIER).await.unwrap();
    assert_eq!(provider.faked().readings, 2, "metadata and keys, once");
}

#[tokio::test]
async fn t33_a_disabled_issuer_is_refused_in_the_middle_of_a_flow_and_as_bearer() {
    let provider = FakeProvider::start().await;
    let mut config = provider.config("personal");
    let (enabled, _) = providers(vec![config.clone()]);
    enabled.begin("personal", &redirect_uri("personal"), "s", "n", VERIFIER).await.unwrap();
    config.enabled = false;
    let (disabled, _) = providers(vec![config]);
    provider.faked().readings = 0;
    let begun = disabled.begin("personal", &redirect_uri("personal"), "s", "n", VERIFIER).await;
    assert_eq!(begun, Err(Error::IssuerDisabled));
    let finished = provider.sign_in(&disabled, "personal", &provider.id_claims()).await;
    assert_eq!(finished, Err(Error::IssuerDisabled));
    let bearer = provider.signer.sign(&provider.header(), &provider.access_claims());
    assert_eq!(disabled.bearer(&bearer).await, Err(Error::IssuerDisabled));
    assert_eq!((disabled.enabled().count(), provider.faked().readings), (0, 0));
    assert!(provider.faked().exchanges.is_empty());
    let unknown = enabled.begin("nobody", &redirect_uri("personal"), "s", "n", VERIFIER).await;
    assert_eq!(unknown, Err(Error::UnknownIssuer));
}

#[tokio::test]
async fn a_bearer_token_is_for_our_audience_and_of_a_configured_issuer() {
    let provider = FakeProvider::start().await;
    let mut config = provider.config("personal");
    config.bearer_audiences = vec![AUDIENCE.to_owned(), CLIENT.to_owned()];
    let (providers, _) = providers(vec![config]);
    let token = |claims: &Value| provider.signer.sign(&with(provider.header(), "typ", json!("at+jwt")), claims);
    let claims = provider.access_claims();
    let bearer = providers.bearer(&token(&claims)).await.unwrap();
    assert_eq!((bearer.issuer_key.as_str(), bearer.subject.as_str()), ("personal", r#"["person-1"]"#));
    assert_eq!((bearer.name, bearer.email), (None, None));
    assert!(providers.bearer(&token(&with(claims.clone(), "aud", json!(["another", AUDIENCE])))).await.is_ok());

    let id_token = provider.signer.sign(&provider.header(), &provider.id_claims());
    for (expected, token) in [
        (Error::TokenMalformed, "an-opaque-token".to_owned()),
        (Error::TokenMalformed, String::new()),
        (Error::AudienceMismatch, id_token),
        (Error::AudienceMismatch, token(&with(claims.clone(), "aud", json!("another")))),
        (Error::AudienceMismatch, token(&with(claims.clone(), "aud", Value::Null))),
        (Error::UnknownIssuer, token(&with(claims.clone(), "iss", json!("https://other.example")))),
        (Error::ClaimInvalid("iss"), token(&with(claims.clone(), "iss", Value::Null))),
        (Error::ClaimInvalid("exp"), token(&with(claims.clone(), "exp", Value::Null))),
        (Error::Expired, token(&with(claims.clone(), "exp", json!(NOW_SECONDS - 60)))),
        (Error::NotYetValid, token(&with(claims.clone(), "nbf", json!(NOW_SECONDS + 61)))),
        (Error::ClaimInvalid("subject"), token(&with(claims.clone(), "sub", Value::Null))),
        (Error::SignatureInvalid, Signer::new("key-1").sign(&provider.header(), &claims)),
    ] {
        assert_eq!(providers.bearer(&token).await, Err(expected));
    }

    let mut config = provider.config("personal");
    config.bearer_audiences.clear();
    let (none, _) = self::providers(vec![config]);
    assert_eq!(none.bearer(&token(&claims)).await, Err(Error::BearersNotAccepted));
}

#[test]
fn a_configuration_that_breaks_a_rule_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let good = IssuerConfig::new("work", IdentityKind::Organizational, "https://id.example/{tenantid}/v2.0", CLIENT);
    let outcome = |configs| Providers::new(configs, http_client().unwrap(), Clock::System).map(|_| ());
    let changed = |change: fn(&mut IssuerConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    outcome(vec![good.clone()]).unwrap();
    outcome(vec![changed(|config| config.issuer = "http://localhost:8080/op".to_owned())]).unwrap();
    for faulty in [
        changed(|config| config.key = "Work".to_owned()),
        changed(|config| config.key = "../work".to_owned()),
        changed(|config| config.key = String::new()),
        changed(|config| config.issuer = "http://id.example".to_owned()),
        changed(|config| config.issuer = "http://127.0.0.1.id.example".to_owned()),
        changed(|config| config.issuer = "https://id.example?a=b".to_owned()),
        changed(|config| config.issuer = "https://{tenantid}.id.example/{tenantid}".to_owned()),
        changed(|config| config.issuer = "id.example".to_owned()),
        changed(|config| config.metadata_url = Some("http://127.0.0.1/metadata".to_owned())),
        changed(|config| config.client_id = String::new()),
        changed(|config| config.subject_claims.clear()),
        changed(|config| config.scopes = "email".to_owned()),
        changed(|config| config.algorithms.clear()),
        changed(|config| config.algorithms.push(Algorithm::HS256)),
    ] {
        assert!(outcome(vec![faulty.clone()]).is_err(), "{faulty:?}");
    }
    assert!(outcome(vec![good.clone(), changed(|config| config.key = "work-2".to_owned())]).is_err(), "same issuer");
    let same_key = changed(|config| config.issuer = "https://other.example".to_owned());
    assert!(outcome(vec![good.clone(), same_key]).is_err(), "same key");
}

#[test]
fn t9_an_issuer_is_trusted_for_its_own_domains_only() {
    let own = TrustedFor::Domains(vec!["harbour.example".to_owned()]);
    assert!(own.covers("Harbour.Example"));
    assert!(!own.covers("sub.harbour.example"));
    assert!(!own.covers("harbour.example.evil.example"));
    assert!(TrustedFor::All.covers("any.example"));
    assert!(!TrustedFor::default().covers("any.example"));
}

#[test]
fn no_error_and_no_configuration_prints_a_secret() {
    let mut config = IssuerConfig::new("work", IdentityKind::Organizational, "https://id.example", CLIENT);
    config.client_secret = Some(Secret::new("hidden-text".to_owned()));
    assert!(!format!("{config:?}").contains("hidden-text"));
    assert_eq!(Error::ClaimInvalid("exp").to_string(), "the token's claim exp is missing or malformed");
    assert_eq!(Error::ClaimInvalid("exp").code(), "token_claim_invalid");
}
