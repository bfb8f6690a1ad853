//! The service under test with everything around it: a database, issuers, a mailbox.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use crate::support::openid::{CLIENT_ID, CLIENT_SECRET};
use crate::support::{OpenIdProvider, Page, Postgres, Vinculum, Visitor, eventually, free_port, mail};

/// The audience of bearer tokens in production.
const AUDIENCE: &str = "https://portal.test";

/// What the roles that the issuer `work` gives are worth.
const STAFF_ROLES: &str = "staff_roles = { helpdesk = \"support\", audits = \"auditor\" }\n";

/// Recipients whose address begins with this are refused by the relay for good.
pub const REFUSED: &str = "refused";

/// A person with a sign-in at one of the two issuers, `personal` and `work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    pub issuer: &'static str,
    pub name: &'static str,
    pub email: &'static str,
}

/// Invited by the embedded default, under another address than this.
pub const ROBIN: Person = person("personal", "Robin Rivers", "robin.rivers@home.example");
/// The administrator of the embedded default's sample account.
pub const ALEX: Person = person("work", "Alex Quay", "alex.quay@harbour.example");
pub const SASHA: Person = person("personal", "Sasha Lind", "sasha.lind@home.example");
pub const NOOR: Person = person("personal", "Noor Vale", "noor.vale@post.example");
pub const JO: Person = person("work", "Jo Marsh", "jo.marsh@meadow.example");

/// Where the embedded default mails Robin's invitation to.
pub const ROBIN_AT_WORK: &str = "robin.rivers@harbour.example";

/// Somebody of the test's own.
pub fn somebody(issuer: &'static str, name: &str, email: &str) -> Person {
    Person { issuer, name: name.to_owned().leak(), email: email.to_owned().leak() }
}

pub const fn person(issuer: &'static str, name: &'static str, email: &'static str) -> Person {
    Person { issuer, name, email }
}

/// Where mails arrive.
enum Mailbox {
    Folder(PathBuf),
    Relay(Relay),
}

/// Who signs people in.
enum Issuers {
    Development,
    Real(BTreeMap<&'static str, OpenIdProvider>),
}

/// A running service.
pub struct Site {
    service: Option<Vinculum>,
    base: String,
    environment: Vec<(String, String)>,
    mailbox: Mailbox,
    issuers: Issuers,
    pub document: Value,
    /// Follows no redirects and keeps no cookies; making one is slow.
    pub http: reqwest::Client,
    home: TempDir,
    database: Option<Postgres>,
}

impl Site {
    /// The embedded default: SQLite, mail as files, sample people.
    pub async fn embedded() -> Self {
        Self::embedded_with(&[]).await
    }

    /// The same with more in its environment.
    pub async fn embedded_with(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a folder can be made");
        let mailbox = Mailbox::Folder(home.path().join("data/mail"));
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self::start(home, environment, mailbox, Issuers::Development, None).await
    }

    /// The production service: PostgreSQL, a relay, two real issuers.
    pub async fn production() -> Self {
        Self::production_with(&[]).await
    }

    /// The same with more in its environment.
    pub async fn production_with(environment: &[(&str, &str)]) -> Self {
        let provider = |name| (name, OpenIdProvider::start(name, &[]));
        let issuers = BTreeMap::from([provider("personal"), provider("work")]);
        let tables = issuers.iter().map(|(name, provider)| issuer_table(name, provider.issuer()));
        let tables = tables.collect::<String>();
        let site = Self::production_at(None, &tables, Issuers::Real(issuers), environment).await;
        if let Issuers::Real(issuers) = &site.issuers {
            for (name, provider) in issuers {
                provider.set_redirects(&[&site.url(&format!("/sign-in/{name}/callback"))]).await;
            }
        }
        site
    }

    /// The production service behind https, whose issuer nobody can reach.
    pub async fn behind_https(host: &str) -> Self {
        let table = issuer_table("personal", "https://login.example.com");
        Self::production_at(Some(host), &table, Issuers::Development, &[]).await
    }

    async fn production_at(host: Option<&str>, issuers: &str, signs_in: Issuers, more: &[(&str, &str)]) -> Self {
        let (home, database, relay) =
            (tempfile::tempdir().expect("a folder can be made"), Postgres::fresh(), Relay::start());
        let file = home.path().join("vinculum.toml");
        // Found last: whatever else listens has its port by now.
        let listen = format!("127.0.0.1:{}", free_port());
        let base_url = host.map_or_else(|| format!("http://{listen}"), |host| format!("https://{host}"));
        let text = format!(
            "listen = \"{listen}\"\nbase_url = \"{base_url}\"\nsmtp_url = \"smtp+plain://127.0.0.1:{}\"\n\
             mail_from = \"Portal <no-reply@portal.test>\"\n{issuers}",
            relay.port
        );
        std::fs::write(&file, text).expect("the folder takes files");
        let secrets = run(home.path(), &[], &["secrets"]).out;
        let pairs = secrets.lines().filter_map(|line| line.split_once('='));
        let mut environment: Vec<(String, String)> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
        environment.push(("DATABASE_URL".into(), database.url().into()));
        environment.push(("VINCULUM_CONFIG".into(), file.display().to_string()));
        environment.push(("VINCULUM_LISTEN".into(), listen));
        environment.extend(more.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let migrated = run(home.path(), &borrowed(&environment), &["migrate"]);
        assert!(migrated.success, "{migrated:?}");
        Self::start(home, environment, Mailbox::Relay(relay), signs_in, Some(database)).await
    }

    async fn start(
        home: TempDir,
        environment: Vec<(String, String)>,
        mailbox: Mailbox,
        issuers: Issuers,
        database: Option<Postgres>,
    ) -> Self {
        let service = Vinculum::serve(home.path(), &borrowed(&environment));
        let base = service.url("");
        let base_url = environment.iter().find(|(name, _)| name == "VINCULUM_CONFIG").map(|_| home.path());
        let host = base_url.and_then(|home| host_in(&home.join("vinculum.toml")));
        let http = crate::support::http();
        let mut request = http.get(format!("{base}/openapi.json"));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let document = request.send().await.expect("the service answers").json().await;
        let document = document.expect("the document is JSON");
        Self { service: Some(service), base, environment, mailbox, issuers, document, http, home, database }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `host:port`
    pub fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// What the service has written about itself.
    pub fn log(&self) -> String {
        self.service.as_ref().expect("it runs").log()
    }

    /// The folder that the service runs in; the embedded default's data is in `data` below it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Stops the service and starts it again in the same place.
    pub fn restart(&mut self) {
        let stopped = self.service.take().expect("it runs").stop();
        assert!(stopped.success(), "{stopped}");
        self.service = Some(Vinculum::serve(self.home.path(), &borrowed(&self.environment)));
        assert_eq!(self.service.as_ref().expect("it runs").url(""), self.base, "the test fixes the port");
        self.http = crate::support::http(); // the old one's connections are dead
    }

    /// Runs another command of the binary beside the service.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.home.path(), &borrowed(&self.environment), arguments)
    }

    /// The database of the production service; the embedded default's is in its folder.
    pub fn database(&self) -> Option<&Postgres> {
        self.database.as_ref()
    }

    /// Starts another node of the production service on the same database.
    pub fn another_node(&self) -> Vinculum {
        let mut environment = borrowed(&self.environment);
        environment.retain(|(name, _)| *name != "VINCULUM_LISTEN");
        let home = self.home.path().join("another");
        std::fs::create_dir_all(&home).expect("the folder takes folders");
        Vinculum::serve(&home, &environment)
    }

    /// Makes a bearer token of somebody whom the issuer `work` gives this role; the embedded default makes nobody staff.
    pub async fn staff_bearer(&self, person: Person, role: &str) -> Option<String> {
        let Issuers::Real(providers) = &self.issuers else { return None };
        providers[person.issuer].set_claims(person.email, json!({ "roles": [role] })).await;
        Some(self.bearer(person).await)
    }

    /// Makes an API key with these scopes.
    pub fn key(&self, scopes: &[&str]) -> String {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let arguments: Vec<&str> = ["keys", "create", "of a test"].into_iter().chain(scopes).collect();
        let made = self.run(&arguments);
        assert!(made.success, "{made:?}");
        made.out.trim().to_owned()
    }

    /// Makes a bearer token of a person for the API.
    pub async fn bearer(&self, person: Person) -> String {
        match &self.issuers {
            Issuers::Development => self.bearer_with(person, &json!({})),
            Issuers::Real(providers) => {
                let provider = &providers[person.issuer];
                provider.set_claims(person.email, json!({ "email": person.email, "name": person.name })).await;
                provider.access_token(person.email, AUDIENCE).await
            }
        }
    }

    /// Makes a bearer token of the development provider with some claims replaced.
    pub fn bearer_with(&self, person: Person, claims: &Value) -> String {
        let keys = std::fs::read_to_string(self.home.path().join("data/keys.toml")).expect("the keys are kept");
        let keys: toml::Table = keys.parse().expect("the keys are TOML");
        let pem = keys["provider"].as_str().expect("the provider has a key");
        let key = EncodingKey::from_ec_pem(pem.as_bytes()).expect("the key is a P-256 key");
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("it has a public part");
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(jwk.thumbprint(ThumbprintHash::SHA256).expect("it has a thumbprint"));
        let subject = Sha256::digest(format!("{}\n{}", person.issuer, person.email));
        let now = store::clock::Clock::System.now().0 / 1_000;
        let mut all = json!({
            "iss": self.url(&format!("/dev/op/{}", person.issuer)),
            "sub": BASE64_URL_SAFE_NO_PAD.encode(&subject[..16]),
            "aud": "vinculum-development",
            "iat": now,
            "exp": now + 600,
            "name": person.name,
            "email": person.email,
            "client_id": "a-portal",
            "jti": store::random::uuid(),
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        jsonwebtoken::encode(&header, &all, &key).expect("the key signs")
    }

    /// Walks a visitor through the provider, and returns the callback's address, not yet opened.
    pub async fn at_provider(&self, visitor: &Visitor, authorize: &Url, person: Person) -> Url {
        match &self.issuers {
            Issuers::Development => {
                let chooser = visitor.get(authorize).await;
                let chosen = visitor.submit(&chooser, &[("name", person.name), ("email", person.email)]).await;
                chosen.location.unwrap_or_else(|| panic!("the provider did not send back: {}", chosen.body))
            }
            Issuers::Real(providers) => {
                let provider = &providers[person.issuer];
                provider.set_claims(person.email, json!({ "email": person.email, "name": person.name })).await;
                provider.sign_in(visitor, authorize, person.email).await
            }
        }
    }

    /// Signs in from the sign-in page; the visitor then sees its profiles.
    pub async fn sign_in(&self, visitor: &Visitor, person: Person) -> Page {
        let page = visitor.get(self.url("/sign-in")).await;
        let callback = self.begin_sign_in(visitor, &page, "/sign-in", person).await;
        visitor.open(callback).await
    }

    /// Presses an issuer's button on `page`, chooses the person there, and returns the callback's address, not opened.
    pub async fn begin_sign_in(&self, visitor: &Visitor, page: &Page, action: &str, person: Person) -> Url {
        let begun = visitor.post(self.url(action), &[("csrf", &csrf(page)), ("issuer", person.issuer)]).await;
        let authorize = begun.location.unwrap_or_else(|| panic!("{}: {}", begun.status, begun.body));
        self.at_provider(visitor, &authorize, person).await
    }

    /// Opens a link and signs in; what comes next is the code, the confirmation, or that it does not work.
    pub async fn open_and_sign_in(&self, visitor: &Visitor, link: &str, person: Person) -> Page {
        let page = visitor.open(link).await;
        let callback = self.begin_sign_in(visitor, &page, "/invitation/sign-in", person).await;
        visitor.open(callback).await
    }

    /// Types a code in.
    pub async fn type_code(&self, visitor: &Visitor, page: &Page, code: &str) -> Page {
        let typed = visitor.post(self.url("/invitation/code"), &[("csrf", &csrf(page)), ("code", code)]).await;
        visitor.follow(typed).await
    }

    /// Presses a button that posts nothing but the page's token.
    pub async fn press(&self, visitor: &Visitor, page: &Page, action: &str) -> Page {
        let pressed = visitor.post(self.url(action), &[("csrf", &csrf(page))]).await;
        visitor.follow(pressed).await
    }

    /// The whole way from a link to the linked profile, with the next code that arrives at `address`.
    pub async fn accept(&self, visitor: &Visitor, link: &str, person: Person, address: &str) -> Page {
        let before = self.codes(address).len();
        let page = self.open_and_sign_in(visitor, link, person).await;
        assert_eq!(page.url.path(), "/invitation/code", "{}", page.body);
        let code = self.nth_code(address, before + 1).await;
        let page = self.type_code(visitor, &page, &code).await;
        assert_eq!(page.url.path(), "/invitation/confirm", "{}", page.body);
        let page = self.press(visitor, &page, "/invitation/confirm").await;
        assert_eq!(page.url.path(), "/invitation/linked", "{}", page.body);
        page
    }

    /// Every mail, the oldest first, as it was handed over.
    pub fn mails(&self) -> Vec<String> {
        match &self.mailbox {
            Mailbox::Relay(relay) => relay.mails.lock().expect("the relay does not panic").clone(),
            Mailbox::Folder(folder) => {
                let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
                let paths = files.filter_map(|file| Some(file.ok()?.path()));
                let mut paths: Vec<_> =
                    paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect();
                paths.sort_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok());
                let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned().into();
                paths.iter().filter_map(read).collect()
            }
        }
    }

    /// The mails to an address, the oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<String> {
        let is_to = |mail: &String| mail::header(mail, "to").is_some_and(|to| to.contains(address));
        self.mails().into_iter().filter(is_to).collect()
    }

    /// The links mailed to an address, the oldest first.
    pub fn links(&self, address: &str) -> Vec<String> {
        self.mails_to(address).iter().filter_map(|mail| mail::link_in(mail, &self.url("/i/"))).collect()
    }

    /// The codes mailed to an address, the oldest first.
    pub fn codes(&self, address: &str) -> Vec<String> {
        self.mails_to(address).iter().filter_map(|mail| code_in(&mail::plain_text(mail))).collect()
    }

    /// Waits for the `n`th link (from 1) mailed to an address.
    pub async fn nth_link(&self, address: &str, n: usize) -> String {
        eventually(&format!("link {n} to {address}"), async || self.links(address).into_iter().nth(n - 1)).await
    }

    /// Waits for the `n`th mail (from 1) to an address.
    pub async fn nth_mail(&self, address: &str, n: usize) -> String {
        eventually(&format!("mail {n} to {address}"), async || self.mails_to(address).into_iter().nth(n - 1)).await
    }

    /// Waits for the `n`th code (from 1) mailed to an address.
    pub async fn nth_code(&self, address: &str, n: usize) -> String {
        eventually(&format!("code {n} to {address}"), async || self.codes(address).into_iter().nth(n - 1)).await
    }
}

/// The token that the forms of a page carry.
pub fn csrf(page: &Page) -> String {
    let (_, rest) = page
        .body
        .split_once("name=\"csrf\" value=\"")
        .unwrap_or_else(|| panic!("{} {} has no form: {}", page.status, page.url, page.body));
    rest.split('"').next().expect("a value ends").to_owned()
}

/// The heading of a page.
pub fn heading(page: &Page) -> String {
    let rest = page.body.split_once("<h1>").map_or("", |(_, rest)| rest);
    rest.split("</h1>").next().unwrap_or_default().to_owned()
}

/// The token of a link.
pub fn token_of(link: &str) -> &str {
    link.rsplit('/').next().expect("a link has parts")
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    pub success: bool,
    pub out: String,
    pub err: String,
}

/// Runs a command of the binary in a folder and waits for its end.
pub fn run(home: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let output = Vinculum::command(home, environment).args(arguments).output().expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn issuer_table(name: &str, issuer: &str) -> String {
    let kind = if name == "personal" { "personal" } else { "organizational" };
    let staff = if name == "work" { STAFF_ROLES } else { "" };
    format!(
        "[[issuers]]\nkey = \"{name}\"\nkind = \"{kind}\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\n\
         client_secret = \"{CLIENT_SECRET}\"\nalgorithms = [\"RS256\", \"ES256\"]\nbearer_audiences = [\"{AUDIENCE}\"]\n{staff}"
    )
}

fn host_in(file: &Path) -> Option<String> {
    let table: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
    let base = Url::parse(table.get("base_url")?.as_str()?).ok()?;
    let host = base.host_str()?;
    Some(base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Finds eight digits in two groups.
fn code_in(text: &str) -> Option<String> {
    let signs: Vec<char> = text.chars().collect();
    let code = signs.windows(9).find(|nine| {
        let is_digits = |part: &[char]| part.iter().all(char::is_ascii_digit);
        is_digits(&nine[..4]) && nine[4].is_whitespace() && is_digits(&nine[5..])
    })?;
    Some(code.iter().filter(|sign| sign.is_ascii_digit()).collect())
}

/// A mail server that takes everything.
struct Relay {
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let mails = Arc::new(Mutex::default());
        let taken = Arc::clone(&mails);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mails = Arc::clone(&taken);
                std::thread::spawn(move || converse(stream, &mails));
            }
        });
        Self { port, mails }
    }
}

/// One SMTP session; ends when the client does.
fn converse(mut stream: TcpStream, mails: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    stream.write_all(b"220 relay.test\r\n").ok()?;
    loop {
        let line = lines.next()?.ok()?.to_ascii_uppercase();
        let reply = match line.get(..4)? {
            "EHLO" => "250-relay.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").ok()?;
                let mut mail = String::new();
                loop {
                    let line = lines.next()?.ok()?;
                    if line == "." {
                        break;
                    }
                    mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.push('\n');
                }
                mails.lock().ok()?.push(mail);
                "250 taken\r\n"
            }
            "RCPT" if line.contains(&format!("<{}", REFUSED.to_ascii_uppercase())) => "550 no such mailbox here\r\n",
            "QUIT" => "221 good-bye\r\n",
            _ => "250 yes\r\n",
        };
        stream.write_all(reply.as_bytes()).ok()?;
    }
}
