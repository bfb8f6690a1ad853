//! Mail over SMTP, one step at a time, so that every failure is known by the step it happened at.
//!
//! Invariant: before the first byte of the body goes out nothing can have been delivered ([`Outcome::Deferred`] or
//! [`Outcome::Refused`]); from then on only a final reply tells, and without one the outcome is [`Outcome::Unknown`].

mod wire;

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use store::secret::Secret;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, error::Elapsed, timeout_at};
use tokio_rustls::TlsConnector;
use tracing::{debug, error};

use crate::mail::{Letter, OutgoingMail, Sender, UnbuildableMail};
use crate::mailer::{Mailer, Outcome};
use wire::Wire;

/// Connections to the relay at once where nothing else is configured: enough for thousands of mails a minute.
pub const CONNECTIONS_DEFAULT: usize = 4;
/// How long a connection may lie unused: below the idle limits of common relays (300 s for postfix, 60 s for some).
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How old a connection may get: a relay behind a changed name or balancer is found again within this.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Mails over one connection: common relays hang up at 100.
const MAILS_PER_CONNECTION_MAX: u32 = 100;
/// Replies that say "sign in", "use TLS" or "this mechanism is too weak" (RFC 4954): our configuration, not the mail.
const CONFIGURATION_CODES: [u16; 4] = [530, 534, 535, 538];
/// What a server would say that does not take non-ASCII addresses (RFC 6531, section 3.5).
const NO_UTF8_CODE: u16 = 553;

/// How the way to the relay is protected. There is no "if the server offers it".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain at first, TLS before anything else is said; a server without STARTTLS gets no mail (port 587 or 25).
    StartTls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// No TLS; loopback only.
    None,
}

/// Which relay takes our mail.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// The relay's name or address; its certificate must be valid for it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the way to it is protected.
    pub tls: Tls,
    /// The user to sign in as; goes with `password`.
    pub username: Option<String>,
    /// The password; goes with `username`.
    pub password: Option<Secret<String>>,
    /// Connections at once, at least 1; [`CONNECTIONS_DEFAULT`] is a good value.
    pub connections_max: usize,
}

/// The configured relay cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpConfigFault {
    /// Mail would leave the machine in the clear.
    #[error("smtp without tls is for loopback only")]
    PlainBeyondLoopback,
    /// One of user name and password is missing.
    #[error("a user name and a password go together")]
    HalfCredentials,
    /// The pool would be empty.
    #[error("at least one connection is needed")]
    NoConnections,
    /// The host is neither a DNS name nor an IP address.
    #[error("the smtp host is not a host name")]
    Host,
    /// No certificate of the system could be read, so no server can be trusted.
    #[error("the system has no trusted certificates")]
    NoTrustRoots,
    /// The TLS library refuses its settings.
    #[error("tls cannot be set up")]
    Tls,
    /// The sender cannot stand in a mail.
    #[error(transparent)]
    Sender(#[from] UnbuildableMail),
}

/// How long each step may take. The sum of the last two bounds a whole send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the name up; connecting to one address; the TLS handshake: each.
    pub connect: Duration,
    /// The greeting and the answer to `EHLO`; servers let strangers wait.
    pub greeting: Duration,
    /// The reply to one command.
    pub command: Duration,
    /// Everything before the body, waiting for a free connection included.
    pub before_body: Duration,
    /// Sending the body and waiting for the final reply; too short makes duplicates (RFC 5321, section 4.5.3.2.6).
    pub final_reply: Duration,
}

impl Timeouts {
    /// The longest that a send can take.
    pub fn whole(&self) -> Duration {
        self.before_body + self.final_reply
    }
}

impl Default for Timeouts {
    /// 10 s, 30 s, 30 s, 75 s, 150 s. Invariant: a whole send ends before its claim does.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(30),
            before_body: Duration::from_secs(75),
            final_reply: Duration::from_secs(150),
        }
    }
}

/// Sends mail through one relay over a few connections that it keeps open for a while.
pub struct Smtp {
    config: SmtpConfig,
    sender: Sender,
    timeouts: Timeouts,
    hello: ClientId,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// An open connection, greeted, encrypted and signed in as configured, with no mail under way.
struct Connection {
    smtp: AsyncSmtpConnection,
    opened_at: Instant,
    used_at: Instant,
    mails: u32,
}

impl Connection {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.used_at) < IDLE_MAX
            && now.duration_since(self.opened_at) < AGE_MAX
            && self.mails < MAILS_PER_CONNECTION_MAX
    }
}

/// The steps at which a server can say no before the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Step {
    Greeting,
    SignIn,
    Mail,
    Rcpt,
    Data,
}

/// The time that is left before the body must have begun.
struct Budget {
    ends_at: Instant,
}

impl Budget {
    async fn step<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout_at(self.ends_at.min(Instant::now() + limit), work).await
    }
}

impl Smtp {
    /// Makes a mailer for one relay; nothing is connected yet. The trust roots are the system's (`SSL_CERT_FILE` too).
    ///
    /// # Errors
    /// A [`SmtpConfigFault`] where the configuration can never work.
    pub fn new(config: SmtpConfig, sender: Sender) -> Result<Self, SmtpConfigFault> {
        sender.check()?;
        if config.username.is_some() != config.password.is_some() {
            return Err(SmtpConfigFault::HalfCredentials);
        }
        if config.connections_max == 0 {
            return Err(SmtpConfigFault::NoConnections);
        }
        let name = ServerName::try_from(config.host.clone()).map_err(|_| SmtpConfigFault::Host)?;
        let tls = match config.tls {
            Tls::None if !is_loopback(&config.host) => return Err(SmtpConfigFault::PlainBeyondLoopback),
            Tls::None => None,
            Tls::StartTls | Tls::Implicit => Some((connector()?, name)),
        };
        Ok(Self {
            hello: ClientId::Domain(sender.message_id_domain.clone()),
            permits: Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::new(Vec::new()),
            timeouts: Timeouts::default(),
            config,
            sender,
            tls,
        })
    }

    /// Sets other time-outs.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    async fn deliver(&self, letter: &Letter) -> Result<Outcome, Outcome> {
        let budget = Budget { ends_at: Instant::now() + self.timeouts.before_body };
        let Ok(Ok(_permit)) = budget.step(self.timeouts.before_body, self.permits.acquire()).await else {
            return Err(Outcome::deferred(None, "all connections to the mail server are busy"));
        };
        let mut connection = self.ready_for(letter, &budget).await?;
        let smtp = &mut connection.smtp;
        self.command(smtp, &budget, Step::Rcpt, Rcpt::new(letter.to.clone(), vec![])).await?;
        self.command(smtp, &budget, Step::Data, Data).await?;
        // From here on only a final reply tells whether the mail was taken.
        let outcome = self.hand_over(smtp, letter).await;
        if matches!(outcome, Outcome::Sent { .. }) {
            self.keep(connection);
        }
        Ok(outcome)
    }

    /// A connection that has accepted `MAIL` for this letter: an idle one if it still works, else a fresh one.
    async fn ready_for(&self, letter: &Letter, budget: &Budget) -> Result<Connection, Outcome> {
        if let Some(mut idle) = self.take_idle() {
            match self.begin(&mut idle.smtp, letter, budget).await {
                Ok(()) => return Ok(idle),
                // Dead, or tired of us (421, "too many mails"): a fresh connection gets the answer that counts.
                Err(outcome) => debug!(?outcome, "an idle connection to the mail server did not take another mail"),
            }
        }
        let mut fresh = self.connect(budget).await?;
        self.begin(&mut fresh.smtp, letter, budget).await?;
        Ok(fresh)
    }

    async fn begin(&self, smtp: &mut AsyncSmtpConnection, letter: &Letter, budget: &Budget) -> Result<(), Outcome> {
        let mut parameters = vec![];
        if letter.needs_utf8() {
            if !smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Outcome::refused(
                    NO_UTF8_CODE,
                    "5.6.7 the mail server does not take addresses with characters beyond ASCII (no SMTPUTF8)",
                ));
            }
            parameters.extend([MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)]);
        }
        self.command(smtp, budget, Step::Mail, Mail::new(Some(letter.from.clone()), parameters)).await
    }

    /// Sends one command and takes nothing but the reply that the step is about.
    async fn command(
        &self,
        smtp: &mut AsyncSmtpConnection,
        budget: &Budget,
        step: Step,
        command: impl Display,
    ) -> Result<(), Outcome> {
        match budget.step(self.timeouts.command, smtp.command(command)).await {
            Ok(Ok(reply)) if is_expected(&reply, step) => Ok(()),
            Ok(Ok(reply)) => Err(Outcome::deferred(None, &format!("an odd reply to {step:?}: {}", words(&reply)))),
            Ok(Err(error)) => Err(self.not_sent(step, &error)),
            Err(_) => Err(timed_out(step)),
        }
    }

    async fn hand_over(&self, smtp: &mut AsyncSmtpConnection, letter: &Letter) -> Outcome {
        let alone = Budget { ends_at: Instant::now() + self.timeouts.final_reply };
        match alone.step(self.timeouts.final_reply, smtp.message(&letter.bytes)).await {
            Ok(Ok(reply)) if reply.code().severity == Severity::PositiveCompletion => Outcome::sent(&text(&reply)),
            Ok(Ok(reply)) => Outcome::unknown(&format!("an odd reply to the mail: {}", words(&reply))),
            Ok(Err(error)) => match code_of(&error) {
                Some(code @ 500..) => Outcome::refused(code, &text_of(&error)),
                Some(code) => Outcome::deferred(Some(code), &text_of(&error)),
                None => Outcome::unknown(&format!("no reply to the mail: {error}")),
            },
            Err(_) => Outcome::unknown("no reply to the mail in time"),
        }
    }

    async fn connect(&self, budget: &Budget) -> Result<Connection, Outcome> {
        let wire = Wire::plain(self.dial(budget).await?).map_err(|error| unconnected(&error))?;
        let wire = match (self.config.tls, &self.tls) {
            (Tls::StartTls, Some(tls)) => self.encrypt(self.start_tls(wire, budget).await?, tls, budget).await?,
            (Tls::Implicit, Some(tls)) => self.encrypt(wire, tls, budget).await?,
            _ => wire,
        };
        let wire = if self.config.tls == Tls::StartTls { wire.with_greeting() } else { wire };
        let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &self.hello);
        let mut smtp = match budget.step(self.timeouts.greeting, greeted).await {
            Ok(Ok(smtp)) => smtp,
            Ok(Err(error)) => return Err(self.not_sent(Step::Greeting, &error)),
            Err(_) => return Err(timed_out(Step::Greeting)),
        };
        self.sign_in(&mut smtp, budget).await?;
        let now = Instant::now();
        Ok(Connection { smtp, opened_at: now, used_at: now, mails: 0 })
    }

    async fn dial(&self, budget: &Budget) -> Result<TcpStream, Outcome> {
        let place = (self.config.host.as_str(), self.config.port);
        let found: Vec<SocketAddr> = match budget.step(self.timeouts.connect, tokio::net::lookup_host(place)).await {
            Ok(Ok(found)) => found.filter(|at| self.config.tls != Tls::None || at.ip().is_loopback()).collect(),
            Ok(Err(error)) => return Err(unconnected(&error)),
            Err(_) => return Err(unconnected(&"its name could not be looked up in time")),
        };
        let mut outcome = unconnected(&"its name has no address");
        for address in found {
            match budget.step(self.timeouts.connect, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => outcome = unconnected(&error),
                Err(_) => outcome = unconnected(&"it did not answer in time"),
            }
        }
        Err(outcome)
    }

    async fn encrypt(
        &self,
        wire: Wire,
        (connector, name): &(TlsConnector, ServerName<'static>),
        budget: &Budget,
    ) -> Result<Wire, Outcome> {
        match budget.step(self.timeouts.connect, wire.encrypt(connector, name.clone())).await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                Err(self.misconfigured(Step::Greeting, None, &format!("TLS with the mail server failed: {error}")))
            }
            Ok(Err(error)) => Err(unconnected(&error)),
            Err(_) => Err(unconnected(&"the TLS handshake did not end in time")),
        }
    }

    /// Asks for TLS in the clear and returns the connection just before the handshake (RFC 3207).
    async fn start_tls(&self, mut wire: Wire, budget: &Budget) -> Result<Wire, Outcome> {
        let asked = async {
            let greeting = wire.reply().await?;
            if !greeting.is_positive() {
                return Ok(greeting);
            }
            wire.say(&format!("EHLO {}\r\n", self.hello)).await?;
            let extensions = wire.reply().await?;
            if !extensions.is_positive() {
                return Ok(extensions);
            }
            wire.say("STARTTLS\r\n").await?;
            wire.reply().await
        };
        let reply: Response = match budget.step(self.timeouts.greeting, asked).await {
            Ok(Ok(reply)) => reply,
            Ok(Err::<_, io::Error>(error)) => return Err(unconnected(&error)),
            Err(_) => return Err(timed_out(Step::Greeting)),
        };
        match u16::from(reply.code()) {
            220 => Ok(wire),
            code @ 500.. => Err(self.misconfigured(Step::Greeting, Some(code), &text(&reply))),
            code @ 400.. => Err(Outcome::deferred(Some(code), &text(&reply))),
            _ => Err(unconnected(&format!("an odd reply before TLS: {}", words(&reply)))),
        }
    }

    async fn sign_in(&self, smtp: &mut AsyncSmtpConnection, budget: &Budget) -> Result<(), Outcome> {
        let (Some(username), Some(password)) = (&self.config.username, &self.config.password) else {
            return Ok(());
        };
        let credentials = Credentials::new(username.clone(), password.reveal().clone());
        match budget.step(self.timeouts.command, smtp.auth(DEFAULT_MECHANISMS, &credentials)).await {
            Ok(Ok(reply)) if is_expected(&reply, Step::SignIn) => Ok(()),
            Ok(Ok(reply)) => Err(Outcome::deferred(None, &format!("an odd reply to AUTH: {}", words(&reply)))),
            // The server offers no way to sign in that we know.
            Ok(Err(error)) if error.is_client() => Err(self.misconfigured(Step::SignIn, None, &error.to_string())),
            Ok(Err(error)) => Err(self.not_sent(Step::SignIn, &error)),
            Err(_) => Err(timed_out(Step::SignIn)),
        }
    }

    /// What a failed step before the body means for the mail.
    fn not_sent(&self, step: Step, error: &lettre::transport::smtp::Error) -> Outcome {
        let about_the_server = matches!(step, Step::Greeting | Step::SignIn);
        match code_of(error) {
            Some(code @ 500..) if about_the_server || CONFIGURATION_CODES.contains(&code) => {
                self.misconfigured(step, Some(code), &text_of(error))
            }
            Some(code @ 500..) => Outcome::refused(code, &text_of(error)),
            Some(code) => Outcome::deferred(Some(code), &text_of(error)),
            None => Outcome::deferred(None, &format!("no reply to {step:?}: {error}")),
        }
    }

    /// A refusal that is about us and not about the mail: no mail is lost for it, and a person must act.
    fn misconfigured(&self, step: Step, code: Option<u16>, reply: &str) -> Outcome {
        let outcome = Outcome::deferred(code, reply);
        // Invariant: it comes before RCPT or names no recipient, so the reply may be logged.
        error!(
            smtp.host = %self.config.host,
            smtp.port = self.config.port,
            smtp.step = ?step,
            smtp.code = code,
            smtp.reply = if step < Step::Rcpt { outcome.reply() } else { "" },
            "the mail server does not take our mail; check its configuration and ours"
        );
        outcome
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|connection| connection.is_fresh(now));
        idle.pop()
    }

    fn keep(&self, mut connection: Connection) {
        connection.used_at = Instant::now();
        connection.mails += 1;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.config.connections_max {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &OutgoingMail, now: Timestamp) -> Outcome {
        match mail.letter(&self.sender, now) {
            Ok(letter) => self.deliver(&letter).await.unwrap_or_else(|not_sent| not_sent),
            Err(error) => Outcome::unbuildable(mail.mail, error),
        }
    }
}

fn connector() -> Result<TlsConnector, SmtpConfigFault> {
    let mut roots = RootCertStore::empty();
    let (added, _unreadable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(SmtpConfigFault::NoTrustRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| SmtpConfigFault::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// By name or number; what the name resolves to is checked again when connecting.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn is_expected(reply: &Response, step: Step) -> bool {
    match step {
        Step::Data => reply.has_code(354),
        _ => reply.code().severity == Severity::PositiveCompletion,
    }
}

fn code_of(error: &lettre::transport::smtp::Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// The server's words in an error that has a code.
fn text_of(error: &lettre::transport::smtp::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn text(reply: &Response) -> String {
    reply.message().collect::<Vec<_>>().join(" ")
}

fn words(reply: &Response) -> String {
    format!("{} {}", reply.code(), text(reply))
}

fn unconnected(what: &dyn Display) -> Outcome {
    Outcome::deferred(None, &format!("no connection to the mail server: {what}"))
}

fn timed_out(step: Step) -> Outcome {
    Outcome::deferred(None, &format!("no reply to {step:?} in time"))
}

#[cfg(test)]
mod tests {
    use domain::mail::CLAIM_LIFETIME;

    use super::*;

    #[test]
    fn a_send_ends_well_before_its_claim() {
        let minute = Duration::from_secs(60);
        let claim = Duration::from_millis(CLAIM_LIFETIME.0.unsigned_abs());
        assert!(Timeouts::default().whole() + minute <= claim);
    }
}
