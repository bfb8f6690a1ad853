//! The configuration: one TOML file, and environment variables that win over it. The one place that reads the
//! environment.
//!
//! Without a database the service is the embedded default, for one person on one machine: everything else has a value
//! then. With one it is the production service, and everything that matters must be said. Every mistake is told at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use api::oidc::{Algorithm, IssuerConfig, TrustedFor};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::address::EmailAddress;
use domain::portal::{Portal, Portals};
use domain::words::{IdentityKind, Scope};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use store::Location;
use store::seal::{KEY_BYTES, NamedKey};
use store::secret::Secret;
use store::token::KEY_ID_BYTES_MAX;
use url::Url;
use workers::mail::Sender;
use workers::smtp::{CONNECTIONS_DEFAULT, Smtp, SmtpConfig, Tls};

/// Where it listens if nothing else is said.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// The data folder of the embedded default.
const DATA_DEFAULT: &str = "data";
/// A key with fewer different bytes than this was typed, not drawn.
const KEY_DIFFERENT_BYTES_MIN: usize = 16;

/// A setting that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's name.
    pub setting: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The secrets that everything sealed and derived rests on.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Wrap persons' keys: the first wraps, all unwrap.
    pub sealing: Vec<NamedKey>,
    /// Derive links and codes: the first derives, all verify.
    pub links: Vec<NamedKey>,
    /// Finds identities.
    pub look_up: Secret<[u8; KEY_BYTES]>,
}

/// What differs between the embedded default and the production service.
#[derive(Clone, Debug)]
pub enum Mode {
    /// A data folder, mail as files, generated keys, a development provider.
    Embedded {
        /// The data folder.
        folder: PathBuf,
    },
    /// PostgreSQL, a relay, issuers and keys from the configuration.
    Production(Box<Production>),
}

/// What the production service must be told.
#[derive(Clone, Debug)]
pub struct Production {
    /// The database.
    pub database_url: Secret<String>,
    /// The public base URL.
    pub base_url: Url,
    /// Other hosts that are served.
    pub other_hosts: Vec<String>,
    /// The relay.
    pub smtp: SmtpConfig,
    /// Who the mails are from.
    pub sender: Sender,
    /// The keys.
    pub keys: Keys,
    /// The issuers.
    pub issuers: Vec<IssuerConfig>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The portals.
    pub portals: Portals,
    /// Embedded or production.
    pub mode: Mode,
}

impl Config {
    /// Where the log is.
    pub fn location(&self) -> Location {
        match &self.mode {
            Mode::Embedded { folder } => Location::Folder(folder.clone()),
            Mode::Production(production) => Location::Postgres(production.database_url.clone()),
        }
    }
}

/// How the service writes about itself.
#[derive(Clone, Debug)]
pub struct Logging {
    /// A filter in the form of `tracing-subscriber`, such as `info` or `store=debug`.
    pub filter: Option<String>,
    /// One JSON object for each line instead of text.
    pub is_json: bool,
}

/// Reads how to log; never fails, since it comes before everything else.
pub fn logging() -> Logging {
    Logging { filter: variable("VINCULUM_LOG"), is_json: variable("VINCULUM_LOG_FORMAT").as_deref() == Some("json") }
}

/// Characters of a user's name in events at most.
const USER_CHARS_MAX: usize = 64;

/// Who runs the command line, as the environment names them; `unknown` where it names nobody or somebody strange.
pub fn user() -> String {
    let is_plain = |name: &String| {
        name.len() <= USER_CHARS_MAX && name.chars().all(|sign| sign.is_ascii_alphanumeric() || "._-".contains(sign))
    };
    variable("USER").or_else(|| variable("LOGNAME")).filter(is_plain).unwrap_or_else(|| "unknown".into())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    database_url: Option<String>,
    listen: Option<String>,
    base_url: Option<String>,
    other_hosts: Vec<String>,
    data: Option<PathBuf>,
    smtp_url: Option<String>,
    mail_from: Option<String>,
    sealing_keys: Option<String>,
    link_keys: Option<String>,
    look_up_key: Option<String>,
    portals: RawPortals,
    issuers: Vec<RawIssuer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPortals {
    customer: Option<RawPortal>,
    partner: Option<RawPortal>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPortal {
    name: String,
    url: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIssuer {
    key: String,
    display_name: Option<String>,
    kind: IdentityKind,
    issuer: String,
    metadata_url: Option<String>,
    client_id: String,
    client_secret: Option<String>,
    subject_claims: Option<Vec<String>>,
    scopes: Option<String>,
    algorithms: Option<Vec<Algorithm>>,
    #[serde(default)]
    bearer_audiences: Vec<String>,
    #[serde(default)]
    trusted_for: RawTrust,
    create_account_url: Option<String>,
    staff_claim: Option<String>,
    #[serde(default)]
    staff_roles: BTreeMap<String, Scope>,
    enabled: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawTrust {
    Word(String),
    Domains(Vec<String>),
}

impl Default for RawTrust {
    fn default() -> Self {
        Self::Domains(Vec::new())
    }
}

/// Reads the file, if there is one, and the environment.
///
/// # Errors
/// Every mistake, not just the first.
pub fn load(file: Option<&Path>) -> Result<Config, Vec<Mistake>> {
    let file = file.map(Path::to_path_buf).or_else(|| variable("VINCULUM_CONFIG").map(PathBuf::from));
    let mut raw = match &file {
        Some(path) => read_file(path).map_err(|mistake| vec![mistake])?,
        None => Raw::default(),
    };
    let settings: [(&str, &mut Option<String>); 8] = [
        ("DATABASE_URL", &mut raw.database_url),
        ("VINCULUM_LISTEN", &mut raw.listen),
        ("VINCULUM_BASE_URL", &mut raw.base_url),
        ("VINCULUM_SMTP_URL", &mut raw.smtp_url),
        ("VINCULUM_MAIL_FROM", &mut raw.mail_from),
        ("VINCULUM_SEALING_KEYS", &mut raw.sealing_keys),
        ("VINCULUM_LINK_KEYS", &mut raw.link_keys),
        ("VINCULUM_LOOK_UP_KEY", &mut raw.look_up_key),
    ];
    for (name, setting) in settings {
        if let Some(value) = variable(name) {
            *setting = Some(value);
        }
    }
    if let Some(data) = variable("VINCULUM_DATA") {
        raw.data = Some(data.into());
    }
    if let Some(hosts) = variable("VINCULUM_OTHER_HOSTS") {
        raw.other_hosts = hosts.split(',').map(|host| host.trim().to_string()).collect();
    }
    for issuer in &mut raw.issuers {
        let name = format!("VINCULUM_CLIENT_SECRET_{}", issuer.key.to_uppercase().replace('-', "_"));
        if let Some(secret) = variable(&name) {
            issuer.client_secret = Some(secret);
        }
    }
    check(raw)
}

fn read_file(path: &Path) -> Result<Raw, Mistake> {
    let mistake = |message: String| Mistake { setting: path.display().to_string(), message };
    let text = std::fs::read_to_string(path).map_err(|error| mistake(error.to_string()))?;
    // The parser's message shows the line it is in, which may hold a secret: only its place and words are kept.
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        mistake(format!("line {line}: {}", error.message()))
    })
}

/// Collects mistakes, so that all are told at once.
#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, setting: &str, message: impl Into<String>) {
        self.0.push(Mistake { setting: setting.into(), message: message.into() });
    }

    fn take<T>(&mut self, setting: &str, found: Result<T, impl Into<String>>) -> Option<T> {
        found.map_err(|message| self.add(setting, message)).ok()
    }
}

fn check(raw: Raw) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let listen = raw.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
    let listen = mistakes
        .take("listen", listen.parse::<SocketAddr>().map_err(|_| "expected address:port, such as 127.0.0.1:8080"));
    let portals = portals(&raw.portals, &mut mistakes);
    let mode = match &raw.database_url {
        None => embedded(&raw, listen, &mut mistakes),
        Some(database_url) => production(&raw, database_url, &mut mistakes).map(|it| Mode::Production(Box::new(it))),
    };
    match (listen, mode) {
        (Some(listen), Some(mode)) if mistakes.0.is_empty() => Ok(Config { listen, portals, mode }),
        _ => Err(mistakes.0),
    }
}

fn portals(raw: &RawPortals, mistakes: &mut Mistakes) -> Portals {
    let mut portal = |setting: &str, raw: Option<&RawPortal>, name: &str| {
        let url = raw.and_then(|raw| raw.url.clone());
        if let Some(url) = &url {
            mistakes.take(setting, web_url(url));
        }
        Portal { name: raw.map_or_else(|| name.into(), |raw| raw.name.clone()), url }
    };
    Portals {
        customer: portal("portals.customer.url", raw.customer.as_ref(), "CustomerSource"),
        partner: portal("portals.partner.url", raw.partner.as_ref(), "PartnerSource"),
    }
}

/// The embedded default: on loopback only, and with nothing of production's that would silently do nothing.
fn embedded(raw: &Raw, listen: Option<SocketAddr>, mistakes: &mut Mistakes) -> Option<Mode> {
    let needless: [(&str, bool); 8] = [
        ("base_url", raw.base_url.is_some()),
        ("other_hosts", !raw.other_hosts.is_empty()),
        ("smtp_url", raw.smtp_url.is_some()),
        ("mail_from", raw.mail_from.is_some()),
        ("sealing_keys", raw.sealing_keys.is_some()),
        ("link_keys", raw.link_keys.is_some()),
        ("look_up_key", raw.look_up_key.is_some()),
        ("issuers", !raw.issuers.is_empty()),
    ];
    for (setting, _) in needless.iter().filter(|(_, is_set)| *is_set) {
        mistakes.add(setting, "belongs to the production service, which needs DATABASE_URL too");
    }
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        mistakes.add(
            "listen",
            "the embedded default listens on loopback only; set DATABASE_URL for the production service",
        );
    }
    Some(Mode::Embedded { folder: raw.data.clone().unwrap_or_else(|| DATA_DEFAULT.into()) })
}

fn production(raw: &Raw, database_url: &str, mistakes: &mut Mistakes) -> Option<Production> {
    if !database_url.starts_with("postgres://") && !database_url.starts_with("postgresql://") {
        mistakes.add("database_url", "expected postgres://user:password@host/database");
    }
    if raw.data.is_some() {
        mistakes.add("data", "belongs to the embedded default; leave it out beside DATABASE_URL");
    }
    let base_url = needed("base_url", raw.base_url.as_deref(), base_url, mistakes);
    let sender = needed("mail_from", raw.mail_from.as_deref(), |text| sender(text, base_url.as_ref()), mistakes);
    let smtp = needed("smtp_url", raw.smtp_url.as_deref(), smtp, mistakes);
    if let (Some(smtp), Some(sender)) = (&smtp, &sender) {
        mistakes.take("smtp_url", Smtp::new(smtp.clone(), sender.clone()).map_err(|fault| fault.to_string()));
    }
    let sealing = needed("sealing_keys", raw.sealing_keys.as_deref(), named_keys, mistakes);
    let links = needed("link_keys", raw.link_keys.as_deref(), named_keys, mistakes);
    let look_up = needed("look_up_key", raw.look_up_key.as_deref(), key, mistakes);
    let used: Vec<&Secret<[u8; KEY_BYTES]>> =
        [&sealing, &links].into_iter().flatten().flatten().map(|named| &named.key).chain(&look_up).collect();
    if (1..used.len()).any(|n| used[..n].contains(&used[n])) {
        mistakes
            .add("sealing_keys, link_keys, look_up_key", "the same key stands twice; each use needs a key of its own");
    }
    let issuers = issuers(&raw.issuers, mistakes);
    Some(Production {
        database_url: Secret::new(database_url.into()),
        base_url: base_url?,
        other_hosts: raw.other_hosts.clone(),
        smtp: smtp?,
        sender: sender?,
        keys: Keys { sealing: sealing?, links: links?, look_up: look_up? },
        issuers: issuers?,
    })
}

fn needed<T>(
    setting: &str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    mistakes.take(setting, value.ok_or_else(|| "is missing".to_string()).and_then(parse))
}

/// A base for links: https, or http on loopback; without path and query.
fn base_url(text: &str) -> Result<Url, String> {
    let url = web_url(text)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("expected scheme, host and port only, such as https://id.example.com".into());
    }
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err("plain http is for loopback only; use https".into());
    }
    Ok(url)
}

fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("expected https://…".into()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `smtp://user:password@host:587` upgrades by STARTTLS, `smtps://…:465` is TLS from the start, `smtp+plain://` is for
/// a relay on loopback.
fn smtp(text: &str) -> Result<SmtpConfig, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let (tls, port) = match url.scheme() {
        "smtp" => (Tls::StartTls, 587),
        "smtps" => (Tls::Implicit, 465),
        "smtp+plain" => (Tls::None, 25),
        _ => return Err("expected smtp://, smtps:// or, on loopback, smtp+plain://".into()),
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let username = Some(decoded(url.username())).filter(|user| !user.is_empty());
    Ok(SmtpConfig {
        host: url.host_str().ok_or("the host is missing")?.trim_matches(['[', ']']).into(),
        port: url.port().unwrap_or(port),
        tls,
        username,
        password: url.password().map(|password| Secret::new(decoded(password))),
        connections_max: CONNECTIONS_DEFAULT,
    })
}

/// `Name <address>` or an address alone. Message-IDs get the base URL's host.
fn sender(text: &str, base_url: Option<&Url>) -> Result<Sender, String> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("Vinculum", text),
    };
    let from = EmailAddress::parse(address).map_err(|error| error.to_string())?;
    let host = base_url.and_then(Url::host_str).unwrap_or("localhost");
    // An address literal is no domain of a Message-ID; the sender's domain is as good.
    let is_name = host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains(':');
    let message_id_domain = if is_name { host.to_string() } else { from.domain().to_string() };
    let sender = Sender { message_id_domain, from, from_name: name.into() };
    sender.check().map_err(|error| error.to_string())?;
    Ok(sender)
}

/// `id:base64,id:base64`: the first is in use, the others still verify or unwrap.
fn named_keys(text: &str) -> Result<Vec<NamedKey>, String> {
    let mut keys: Vec<NamedKey> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let (id, text) = entry.split_once(':').ok_or("expected id:base64, with commas between")?;
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || !id.chars().all(is_id) {
            return Err(format!("a key's id is 1 to {KEY_ID_BYTES_MAX} letters, digits, - and _"));
        }
        if keys.iter().any(|key| key.id == id) {
            return Err(format!("the id {id} stands twice"));
        }
        keys.push(NamedKey { id: id.into(), key: key(text).map_err(|error| format!("{id}: {error}"))? });
    }
    Ok(keys)
}

fn key(text: &str) -> Result<Secret<[u8; KEY_BYTES]>, String> {
    let bytes = BASE64.decode(text.trim()).map_err(|_| "expected base64")?;
    let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|bytes: Vec<u8>| {
        format!("expected {KEY_BYTES} bytes, found {}; see `vinculum secrets`", bytes.len())
    })?;
    let different: std::collections::HashSet<u8> = bytes.iter().copied().collect();
    if different.len() < KEY_DIFFERENT_BYTES_MIN {
        return Err("this key is not random; see `vinculum secrets`".into());
    }
    Ok(Secret::new(bytes))
}

fn issuers(raw: &[RawIssuer], mistakes: &mut Mistakes) -> Option<Vec<IssuerConfig>> {
    if raw.is_empty() {
        mistakes.add("issuers", "at least one [[issuers]] table is needed");
    }
    let mut issuers = Vec::with_capacity(raw.len());
    for raw in raw {
        let mut issuer = IssuerConfig::new(&raw.key, raw.kind, &raw.issuer, &raw.client_id);
        issuer.display_name = raw.display_name.clone().unwrap_or(issuer.display_name);
        issuer.metadata_url = raw.metadata_url.clone();
        issuer.client_secret = raw.client_secret.clone().map(Secret::new);
        issuer.subject_claims = raw.subject_claims.clone().unwrap_or(issuer.subject_claims);
        issuer.scopes = raw.scopes.clone().unwrap_or(issuer.scopes);
        issuer.algorithms = raw.algorithms.clone().unwrap_or(issuer.algorithms);
        issuer.bearer_audiences = raw.bearer_audiences.clone();
        issuer.create_account_url = raw.create_account_url.clone();
        issuer.staff_claim = raw.staff_claim.clone().unwrap_or(issuer.staff_claim);
        issuer.staff_roles = raw.staff_roles.clone();
        issuer.enabled = raw.enabled.unwrap_or(true);
        issuer.trusted_for = match &raw.trusted_for {
            RawTrust::Domains(domains) if domains.is_empty() => TrustedFor::None,
            RawTrust::Domains(domains) => TrustedFor::Domains(domains.clone()),
            RawTrust::Word(word) if word == "all" => TrustedFor::All,
            RawTrust::Word(_) => {
                let message = "expected \"all\" or a list of domains";
                mistakes.add(&format!("issuers.{}.trusted_for", raw.key), message);
                TrustedFor::None
            }
        };
        if let Some(url) = &issuer.create_account_url {
            mistakes.take(&format!("issuers.{}.create_account_url", raw.key), web_url(url));
        }
        issuers.push(issuer);
    }
    for mistake in api::oidc::mistakes(&issuers) {
        mistakes.add(&format!("issuers.{}", mistake.key), mistake.reason);
    }
    Some(issuers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> Raw {
        toml::from_str(
            r#"
            database_url = "postgres://app@127.0.0.1/vinculum"
            base_url = "https://id.example.com"
            smtp_url = "smtp://app:pass%2Bword@mail.example.com"
            mail_from = "Harbour Portal <no-reply@example.com>"
            sealing_keys = "s1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
            link_keys = "l1:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
            look_up_key = "AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
            [[issuers]]
            key = "personal"
            kind = "personal"
            issuer = "https://login.example.com"
            client_id = "vinculum"
            "#,
        )
        .unwrap()
    }

    fn settings(raw: Raw) -> Vec<String> {
        check(raw).err().unwrap_or_default().into_iter().map(|mistake| mistake.setting).collect()
    }

    #[test]
    fn a_whole_configuration_is_the_production_service() {
        let config = check(raw()).unwrap();
        let Mode::Production(production) = config.mode else { panic!() };
        assert_eq!(production.smtp.password.unwrap().reveal(), "pass+word");
        assert_eq!(production.sender.from_name, "Harbour Portal");
        assert_eq!(production.sender.message_id_domain, "id.example.com");
    }

    #[test]
    fn nothing_at_all_is_the_embedded_default_on_loopback() {
        let config = check(Raw::default()).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(matches!(config.mode, Mode::Embedded { .. }));
        assert_eq!(settings(Raw { listen: Some("0.0.0.0:80".into()), ..Raw::default() }), ["listen"]);
    }

    #[test]
    fn t73_every_mistake_is_told_at_once() {
        let nothing = Raw { database_url: raw().database_url, ..Raw::default() };
        let missing = ["base_url", "mail_from", "smtp_url", "sealing_keys", "link_keys", "look_up_key", "issuers"];
        assert_eq!(settings(nothing), missing);
    }

    #[test]
    fn t73_weak_keys_plain_http_and_production_settings_without_a_database_are_refused() {
        let zeros = BASE64.encode([0; 32]);
        let cases: [(&str, Raw); 9] = [
            ("look_up_key", Raw { look_up_key: Some(zeros), ..raw() }),
            ("look_up_key", Raw { look_up_key: Some("c2hvcnQ=".into()), ..raw() }),
            ("sealing_keys, link_keys, look_up_key", Raw { sealing_keys: raw().link_keys, ..raw() }),
            ("link_keys", Raw { link_keys: Some("no id".into()), ..raw() }),
            ("base_url", Raw { base_url: Some("http://id.example.com".into()), ..raw() }),
            ("base_url", Raw { base_url: Some("https://id.example.com/path".into()), ..raw() }),
            ("smtp_url", Raw { smtp_url: Some("smtp+plain://mail.example.com".into()), ..raw() }),
            ("database_url", Raw { database_url: Some("sqlite://x".into()), ..raw() }),
            ("data", Raw { data: Some("x".into()), ..raw() }),
        ];
        for (setting, raw) in cases {
            assert_eq!(settings(raw), [setting], "{setting}");
        }
        let without_database = settings(Raw { database_url: None, ..raw() });
        assert!(
            without_database.len() == 7 && without_database.contains(&"issuers".to_string()),
            "{without_database:?}"
        );
    }
}
