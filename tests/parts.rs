//! Each part of the journeys' surroundings works by itself: what fails here is not the service's fault.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::{Browser, Mta, OpenIdProvider, Postgres, Visitor, mail};

#[test]
fn a_database_is_fresh_durable_and_gone_afterwards() {
    let (database, other) = (Postgres::fresh(), Postgres::fresh());
    database.sql("create table notes (note text); insert into notes values ('kept')");
    assert_eq!(database.sql("select note, 1 from notes"), "kept|1");
    assert_eq!(other.sql("select count(*) from pg_tables where tablename = 'notes'"), "0");
    assert_eq!(database.sql("show fsync") + &database.sql("show synchronous_commit"), "onon");

    let name = database.url().rsplit('/').next().expect("a URL has parts").to_owned();
    drop(database);
    assert_eq!(other.sql(&format!("select count(*) from pg_database where datname = '{name}'")), "0");
}

#[tokio::test]
async fn two_issuers_are_discovered() {
    let issuers = [OpenIdProvider::start("personal", &[]), OpenIdProvider::start("work", &[])];
    assert_ne!(issuers[0].issuer(), issuers[1].issuer());
    for provider in &issuers {
        let page = Visitor::new().get(format!("{}/.well-known/openid-configuration", provider.issuer())).await;
        assert_eq!(page.json()["issuer"], provider.issuer());
        assert_eq!(page.json()["authorization_response_iss_parameter_supported"], true);
        assert_eq!(page.json()["code_challenge_methods_supported"], json!(["S256"]));
    }
}

#[tokio::test]
async fn a_person_chooses_an_account_and_another_one_later() {
    let callback = "http://127.0.0.1:9/back";
    let provider = OpenIdProvider::start("personal", &[]);
    provider.set_redirects(&[callback]).await;
    let visitor = Visitor::new();
    for (login, prompt) in [("first", "login"), ("second", "select_account"), ("first", "select_account")] {
        let authorize = authorize_url(&provider, callback, prompt);
        let back = provider.sign_in(&visitor, &authorize, login).await;
        let id_token = id_token(&provider, callback, &back).await;
        assert_eq!(claims_of(&id_token)["sub"], login);
        assert_eq!(claims_of(&id_token)["email"], format!("{login}@mail.test"));
        assert_eq!(claims_of(&id_token)["nonce"], "a-nonce");
        assert_eq!(query(&back, "iss").as_deref(), Some(provider.issuer()));
    }
    let authorize = authorize_url(&provider, callback, "select_account");
    let back = provider.sign_in(&visitor, &authorize, "cancel").await;
    assert_eq!(query(&back, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn access_tokens_name_their_audience_and_keys_rotate() {
    let provider = OpenIdProvider::start("work", &[]);
    let token = provider.access_token("third", "https://portal.test").await;
    let claims = claims_of(&token);
    assert_eq!(claims["aud"], "https://portal.test");
    assert_eq!(claims["sub"], "third");
    assert_eq!(claims["roles"], json!(["support"]));
    assert!(claims["tid"].is_string() && claims["oid"].is_string());

    let published = key_ids(&provider).await;
    assert!(published.contains(&key_id_of(&token)));
    provider.rotate_keys().await;
    assert!(key_ids(&provider).await.is_superset(&published));
    provider.replace_keys().await;
    assert!(key_ids(&provider).await.is_disjoint(&published));
    let later = provider.access_token("third", "https://portal.test").await;
    assert!(key_ids(&provider).await.contains(&key_id_of(&later)));
}

#[tokio::test]
async fn a_fault_happens_as_often_as_asked() {
    let provider = OpenIdProvider::start("personal", &[]);
    provider.inject_fault(json!({ "path": "/jwks", "status": 503 })).await;
    let jwks = format!("{}/jwks", provider.issuer());
    assert_eq!(Visitor::new().get(&jwks).await.status, 503);
    assert_eq!(Visitor::new().get(&jwks).await.status, 200);
}

#[tokio::test]
async fn the_mail_server_delivers_what_comes_over_tls_with_a_password() {
    let mta = Mta::start();
    assert!(mta.mailbox("first@mail.test").is_empty());
    assert!(
        Dialogue::open(&mta).recipient("first@mail.test").starts_with("554"),
        "without a password nothing is taken"
    );
    for subject in ["one", "two"] {
        let mut dialogue = Dialogue::open(&mta);
        dialogue.authenticate();
        assert!(dialogue.recipient("first@mail.test").starts_with("250"));
        assert!(dialogue.say("DATA").starts_with("354"));
        let message = format!("Subject: {subject}\r\n\r\nSee http://127.0.0.1:1/i/token-{subject} now\r\n.");
        assert!(dialogue.say(&message).starts_with("250"));
        let mail = mta.nth_mail("first@mail.test", if subject == "one" { 1 } else { 2 }).await;
        assert_eq!(mail::header(&mail, "subject").as_deref(), Some(subject));
        assert_eq!(mail::link_in(&mail, "http://"), Some(format!("http://127.0.0.1:1/i/token-{subject}")));
    }
    let mut dialogue = Dialogue::open(&mta);
    dialogue.authenticate();
    assert!(dialogue.recipient(mail::REFUSED_FOR_NOW).starts_with("450"));
    assert!(dialogue.say(&format!("RCPT TO:<{}>", mail::REFUSED_FOR_GOOD)).starts_with("550"));
    assert!(dialogue.say("RCPT TO:<nobody@mail.test>").starts_with("550"));
}

#[tokio::test]
async fn the_browser_shows_a_page_and_takes_its_picture() {
    let browser = Browser::start().await;
    let page = "data:text/html,<label for=n>Name</label><input id=n><button onclick=\"document.body.append('Hello '%2Bn.value)\">Greet</button>";
    browser.goto(page).await.expect("a page needs no server");
    browser.fill("Name", "Ada").await;
    browser.press("Greet").await;
    browser.sees("Hello Ada").await;
    let picture = browser.screenshot("parts").await;
    assert!(std::fs::read(picture).expect("the picture was written").starts_with(b"\x89PNG"));
}

/// An SMTP client that says one line at a time, over `openssl s_client`.
struct Dialogue {
    client: Child,
}

impl Dialogue {
    fn open(mta: &Mta) -> Self {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-quiet",
            "-starttls",
            "smtp",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
        ]);
        command.arg("-connect").arg(format!("127.0.0.1:{}", mta.port())).arg("-CAfile").arg(mta.ca_file());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut dialogue = Self { client: spawned.expect("openssl is installed") };
        assert!(dialogue.say("EHLO client.test").starts_with("250"));
        dialogue
    }

    fn authenticate(&mut self) {
        let secret = BASE64_STANDARD.encode(format!("\0{}\0{}", mail::USER, mail::PASSWORD));
        assert!(self.say(&format!("AUTH PLAIN {secret}")).starts_with("235"));
    }

    fn recipient(&mut self, address: &str) -> String {
        let accepted = self.say("MAIL FROM:<sender@mail.test>");
        if accepted.starts_with("250") { self.say(&format!("RCPT TO:<{address}>")) } else { accepted }
    }

    fn say(&mut self, line: &str) -> String {
        let input = self.client.stdin.as_mut().expect("the input is piped");
        write!(input, "{line}\r\n").expect("the client listens");
        self.reply()
    }

    /// Reads to the last line of a reply, which has a space after its code.
    fn reply(&mut self) -> String {
        let output = self.client.stdout.as_mut().expect("the output is piped");
        let (mut line, mut byte_at_a_time) = (String::new(), BufReader::with_capacity(1, output));
        loop {
            line.clear();
            if byte_at_a_time.read_line(&mut line).unwrap_or(0) == 0 || line.as_bytes().get(3) == Some(&b' ') {
                return line;
            }
        }
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn authorize_url(provider: &OpenIdProvider, callback: &str, prompt: &str) -> url::Url {
    let asked = [
        ("client_id", support::openid::CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", callback),
        ("scope", "openid email profile"),
        ("state", "a-state"),
        ("nonce", "a-nonce"),
        ("prompt", prompt),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    url::Url::parse_with_params(&format!("{}/auth", provider.issuer()), asked).expect("an issuer is a URL")
}

async fn id_token(provider: &OpenIdProvider, callback: &str, back: &url::Url) -> String {
    let code = query(back, "code").unwrap_or_else(|| panic!("no code in {back}"));
    let swapped = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", callback),
        ("code", code.as_str()),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    let request = support::http().post(format!("{}/token", provider.issuer())).form(&swapped);
    let response = request.basic_auth(support::openid::CLIENT_ID, Some(support::openid::CLIENT_SECRET)).send().await;
    let tokens: Value = response.expect("the provider answers").json().await.expect("the provider answers JSON");
    tokens["id_token"].as_str().unwrap_or_else(|| panic!("no ID token: {tokens}")).to_owned()
}

async fn key_ids(provider: &OpenIdProvider) -> std::collections::BTreeSet<String> {
    let page = Visitor::new().get(format!("{}/jwks", provider.issuer())).await;
    let keys = page.json()["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

fn query(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn key_id_of(token: &str) -> String {
    part_of(token, 0)["kid"].as_str().expect("a token names its key").to_owned()
}

fn claims_of(token: &str) -> Value {
    part_of(token, 1)
}

fn part_of(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a JWT has three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("a JWT is base64url");
    serde_json::from_slice(&bytes).expect("a JWT is JSON")
}
