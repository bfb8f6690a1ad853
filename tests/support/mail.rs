//! A real mail server (postfix) that demands STARTTLS and a password, and what it delivered.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::eventually;
use super::server::Server;

/// The name that may send.
pub const USER: &str = "vinculum";
/// Its password.
pub const PASSWORD: &str = "a-mail-password";
/// Refused for now (450) at every attempt.
pub const REFUSED_FOR_NOW: &str = "later@mail.test";
/// Refused for good (550).
pub const REFUSED_FOR_GOOD: &str = "refused@mail.test";

/// A running mail server with the mailboxes `first`, `second`, `third`, `fourth`, `fifth` and `sixth` at `mail.test`.
#[derive(Debug)]
pub struct Mta {
    server: Server,
    port: u16,
    home: PathBuf,
}

impl Mta {
    /// Starts it. Needs root, because postfix does.
    pub fn start() -> Self {
        let server = Server::script("mta.sh");
        let (port, home) = server.ready().split_once(' ').expect("mta.sh prints a port and a folder");
        let (port, home) = (port.parse().expect("a port is a number"), PathBuf::from(home));
        Self { server, port, home }
    }

    /// The port on 127.0.0.1; its certificate names `localhost` and `127.0.0.1`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority to trust (PEM); give it to the service as `SSL_CERT_FILE`.
    pub fn ca_file(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// All mails of a mailbox as delivered, the oldest first.
    pub fn mailbox(&self, address: &str) -> Vec<String> {
        let name = address.strip_suffix("@mail.test").expect("mailboxes are at mail.test");
        let Ok(folder) = std::fs::read_dir(self.home.join("mail").join(name).join("new")) else { return Vec::new() };
        let mut mails: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
        mails.sort_by_key(|path| delivered_at(path));
        mails.iter().map(|path| read_lossy(path)).collect()
    }

    /// Waits for the `n`th mail (from 1) of a mailbox.
    pub async fn nth_mail(&self, address: &str, n: usize) -> String {
        let what = format!("mail {n} for {address}");
        eventually(&what, async || self.mailbox(address).into_iter().nth(n - 1)).await
    }

    /// The server's own log.
    pub fn log(&self) -> String {
        read_lossy(&self.home.join("data/mail.log"))
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the mail server's log:\n{}", self.log());
        }
    }
}

/// The value of a header, its folded lines joined by one space.
pub fn header(mail: &str, name: &str) -> Option<String> {
    let mut lines = mail.lines().take_while(|line| !line.is_empty());
    let first = lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })?;
    let folded = lines.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
    Some(std::iter::once(first).chain(folded).collect::<Vec<_>>().join(" "))
}

/// The plain text of a mail, decoded: of its first `text/plain` part, or of all of it.
pub fn plain_text(mail: &str) -> String {
    let mail = mail.replace("\r\n", "\n");
    let (_, body) = mail.split_once("\n\n").unwrap_or((&mail, ""));
    let kind = header(&mail, "content-type").unwrap_or_default();
    if let Some(boundary) = boundary_of(&kind) {
        let marker = format!("--{boundary}");
        let parts: Vec<_> = body.split(marker.as_str()).skip(1).map(|part| part.trim_start_matches('\n')).collect();
        let is_text = |part: &&&str| {
            header(part, "content-type")
                .is_some_and(|kind| kind.starts_with("text/plain") || kind.starts_with("multipart/"))
        };
        return parts.iter().find(is_text).map(|part| plain_text(part)).unwrap_or_default();
    }
    match header(&mail, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase().as_str() {
        "quoted-printable" => from_quoted_printable(body),
        "base64" => {
            let packed: String = body.split_whitespace().collect();
            String::from_utf8_lossy(&BASE64_STANDARD.decode(packed).expect("the body is base64")).into_owned()
        }
        _ => body.to_owned(),
    }
}

/// The first address in the plain text that begins with `prefix`.
pub fn link_in(mail: &str, prefix: &str) -> Option<String> {
    let text = plain_text(mail);
    let link = text[text.find(prefix)?..].split(|sign: char| sign.is_whitespace() || "<>\"".contains(sign)).next()?;
    Some(link.to_owned())
}

fn boundary_of(content_type: &str) -> Option<&str> {
    let (_, rest) = content_type.split_once("boundary=")?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(';').next().map(str::trim),
    }
}

fn from_quoted_printable(body: &str) -> String {
    let joined = body.replace("=\n", "");
    let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
    while let Some((&sign, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match code {
            Some(byte) if sign == b'=' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(sign);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds and microseconds out of a Maildir name, `SECONDS.V…I…MMICROSECONDS.HOST`.
fn delivered_at(path: &Path) -> (u64, u64) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('.');
    let seconds = parts.next().and_then(|part| part.parse().ok()).unwrap_or_default();
    let micros = parts.next().and_then(|part| part.rsplit_once('M')).and_then(|(_, digits)| digits.parse().ok());
    (seconds, micros.unwrap_or_default())
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[test]
fn the_text_of_a_mail_is_decoded() {
    let mail = "Subject: a\n long one\nContent-Type: multipart/alternative;\n boundary=\"b\"\n\n--b\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
        Gr=C3=BC=C3=9Fe http://127.0.0.1:1/i/ab=\nc=3D1 ok\n--b\nContent-Type: text/html\n\n<p>\n--b--\n";
    assert_eq!(header(mail, "subject").as_deref(), Some("a long one"));
    assert_eq!(plain_text(mail).trim(), "Grüße http://127.0.0.1:1/i/abc=1 ok");
    assert_eq!(link_in(mail, "http://").as_deref(), Some("http://127.0.0.1:1/i/abc=1"));
}
