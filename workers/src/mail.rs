//! One mail as it leaves: who writes what to whom, and its MIME form.

use std::fmt;
use std::time::{Duration, SystemTime};

use domain::address::EmailAddress;
use domain::ids::MailId;
use domain::name::PersonName;
use domain::time::Timestamp;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

/// Longest subject, in bytes: a sentence around two names of 80 characters in any script.
const SUBJECT_BYTES_MAX: usize = 1_000;
/// Longest text or HTML part, in bytes: ten times what the largest template makes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest name of the sender, in bytes.
const SENDER_NAME_BYTES_MAX: usize = 200;
/// Longest domain name, in bytes (RFC 1035).
const DOMAIN_BYTES_MAX: usize = 253;
/// First second after the year 9999, past which a `Date` header has no text.
const DATE_SECONDS_END: u64 = 253_402_300_800;

/// One mail to one person. Its texts may hold a link or a code, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// What the mail is known by; every copy has the same one, and the Message-ID follows from it.
    pub mail: MailId,
    /// The stored address that it goes to.
    pub to: EmailAddress,
    /// The name shown beside the address.
    pub to_name: PersonName,
    /// One line.
    pub subject: String,
    /// The plain part; lines end in `\n`.
    pub text: String,
    /// The HTML part; it says the same as the plain one.
    pub html: String,
}

impl fmt::Debug for OutgoingMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMail").field("mail", &self.mail).finish_non_exhaustive()
    }
}

/// Who all mail comes from; set once in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The `From` address and the return path.
    pub from: EmailAddress,
    /// The name shown beside it; may be empty.
    pub from_name: String,
    /// The right side of every Message-ID and the name given in `EHLO`: a host name of the sender, ASCII.
    pub message_id_domain: String,
}

/// A mail cannot be put into its MIME form; trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnbuildableMail {
    /// The sender's name has control characters or is too long.
    #[error("the sender's name is not one short line")]
    SenderName,
    /// The domain for Message-IDs is not a host name.
    #[error("the domain for message ids is not a host name")]
    MessageIdDomain,
    /// An address is none to the mail library.
    #[error("an address is not usable in mail")]
    Address,
    /// The recipient's name has control characters.
    #[error("the recipient's name is not one line")]
    RecipientName,
    /// The subject has control characters or is too long.
    #[error("the subject is not one short line")]
    Subject,
    /// A part has control characters other than line ends, or is too long, or holds the boundary.
    #[error("a part of the body has control characters or is too long")]
    Body,
    /// The time has no text: before 1970 or after 9999.
    #[error("the time is outside the years 1970 to 9999")]
    Date,
    /// The mail library refuses the whole.
    #[error("the headers do not make a mail")]
    Headers,
}

/// A mail in its MIME form with its envelope.
#[derive(Clone)]
pub(crate) struct Letter {
    /// The return path.
    pub(crate) from: Address,
    /// The only recipient.
    pub(crate) to: Address,
    /// Headers and body, lines ending in CRLF, not dot-stuffed.
    pub(crate) bytes: Vec<u8>,
}

impl Letter {
    /// Whether an address has characters that a server must offer SMTPUTF8 for (RFC 6531).
    pub(crate) fn needs_utf8(&self) -> bool {
        [&self.from, &self.to].into_iter().any(|address| !AsRef::<str>::as_ref(address).is_ascii())
    }
}

impl Sender {
    /// Checks what no type says about a sender: its name is one short line, its domain a host name.
    ///
    /// # Errors
    /// [`UnbuildableMail::SenderName`], [`UnbuildableMail::MessageIdDomain`], [`UnbuildableMail::Address`].
    pub fn check(&self) -> Result<(), UnbuildableMail> {
        if !is_one_line(&self.from_name, SENDER_NAME_BYTES_MAX) {
            return Err(UnbuildableMail::SenderName);
        }
        if !is_host_name(&self.message_id_domain) {
            return Err(UnbuildableMail::MessageIdDomain);
        }
        // The library reads the `From` header again, with its own parser.
        self.from.as_str().parse::<Address>().map(drop).map_err(|_| UnbuildableMail::Address)
    }
}

impl OutgoingMail {
    /// Puts the mail into its MIME form. The same mail at the same time gives the same bytes.
    ///
    /// Invariant: it never panics, whatever the texts hold; the set of headers never depends on them.
    pub(crate) fn letter(&self, sender: &Sender, now: Timestamp) -> Result<Letter, UnbuildableMail> {
        sender.check()?;
        let (from, to) = (address(&sender.from)?, address(&self.to)?);
        // The types exclude these; the mail library would panic on a line end in a name.
        if !is_one_line(self.to_name.as_str(), SUBJECT_BYTES_MAX) {
            return Err(UnbuildableMail::RecipientName);
        }
        if !is_one_line(&self.subject, SUBJECT_BYTES_MAX) {
            return Err(UnbuildableMail::Subject);
        }
        let envelope = Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|_| UnbuildableMail::Address)?;
        let message = Message::builder()
            .envelope(envelope)
            .date(date(now)?)
            .from(mailbox(&sender.from_name, from.clone()))
            .to(mailbox(self.to_name.as_str(), to.clone()))
            .subject(without_encoded_words(&self.subject))
            .message_id(Some(format!("<{}@{}>", self.mail, sender.message_id_domain)))
            .raw_header(fixed("Auto-Submitted", "auto-generated")) // RFC 3834: no vacation notices, please
            .raw_header(fixed("X-Auto-Response-Suppress", "All")) // the same for Exchange
            .multipart(self.parts()?)
            .map_err(|_| UnbuildableMail::Headers)?;
        Ok(Letter { from, to, bytes: message.formatted() })
    }

    fn parts(&self) -> Result<MultiPart, UnbuildableMail> {
        // From the id, so that all copies are equal; `=_` cannot occur in quoted-printable text (RFC 2045, 6.7).
        let boundary = format!("=_{}", self.mail.0.simple());
        if [&self.text, &self.html].into_iter().any(|part| !is_body(part) || part.contains(&boundary)) {
            return Err(UnbuildableMail::Body);
        }
        let part = |kind: ContentType, body: &str| SinglePart::builder().header(kind).body(body.to_owned());
        Ok(MultiPart::alternative()
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, &self.text))
            .singlepart(part(ContentType::TEXT_HTML, &self.html)))
    }
}

/// The library's own parser refuses letters of some scripts (it takes code points for UTF-8), so our type is trusted, and
/// what could break a command or a header is checked again.
fn address(address: &EmailAddress) -> Result<Address, UnbuildableMail> {
    let is_unsafe = |c: char| c.is_control() || c.is_whitespace() || "<>()[]\\,;:@\"".contains(c);
    match address.as_str().split_once('@') {
        Some((local_part, domain)) if !local_part.contains(is_unsafe) && is_host_name(domain) => {
            Ok(Address::new_dangerous(local_part, domain))
        }
        _ => Err(UnbuildableMail::Address),
    }
}

fn mailbox(name: &str, address: Address) -> Mailbox {
    let name = name.trim();
    Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address)
}

fn date(now: Timestamp) -> Result<SystemTime, UnbuildableMail> {
    let milliseconds = u64::try_from(now.0).map_err(|_| UnbuildableMail::Date)?;
    let since_epoch = Duration::from_millis(milliseconds);
    if since_epoch.as_secs() >= DATE_SECONDS_END {
        return Err(UnbuildableMail::Date);
    }
    Ok(SystemTime::UNIX_EPOCH + since_epoch)
}

fn fixed(name: &'static str, value: &'static str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Takes the power of an encoded word (RFC 2047) from plain text: mail clients would decode `=?utf-8?b?…?=` in an
/// account's name to characters that names do not allow. (In display names the library encodes `=` itself.)
fn without_encoded_words(text: &str) -> String {
    text.replace("=?", "= ?")
}

fn is_one_line(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

fn is_body(text: &str) -> bool {
    text.len() <= BODY_BYTES_MAX && !text.contains(|c: char| c.is_control() && c != '\n')
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_123);

    fn sender() -> Sender {
        Sender {
            from: EmailAddress::parse("portal@vendor.example").unwrap(),
            from_name: "Vendor Portal".into(),
            message_id_domain: "mail.vendor.example".into(),
        }
    }

    fn mail() -> OutgoingMail {
        OutgoingMail {
            mail: "6f2c2a5e-6c1f-5b8f-9a53-0d7a4e0f1b11".parse().unwrap(),
            to: EmailAddress::parse("robin@harbour.example").unwrap(),
            to_name: PersonName::parse("Robin Rivers").unwrap(),
            subject: "Your invitation".into(),
            text: "Hello\n".into(),
            html: "<p>Hello</p>\n".into(),
        }
    }

    fn letter_text(mail: &OutgoingMail) -> String {
        String::from_utf8(mail.letter(&sender(), NOW).unwrap().bytes).unwrap()
    }

    #[test]
    fn every_copy_has_the_same_message_id_and_says_that_it_is_automatic() {
        let text = letter_text(&mail());
        for line in [
            "Message-ID: <6f2c2a5e-6c1f-5b8f-9a53-0d7a4e0f1b11@mail.vendor.example>",
            "Date: Mon, 21 Sep 2026 14:13:20 +0000",
            "From: \"Vendor Portal\" <portal@vendor.example>",
            "To: \"Robin Rivers\" <robin@harbour.example>",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "MIME-Version: 1.0",
        ] {
            assert_eq!(text.split("\r\n").filter(|l| *l == line).count(), 1, "{line} in {text}");
        }
        assert_eq!(text, letter_text(&mail()));
    }

    #[test]
    fn a_line_end_in_any_text_is_an_error_and_no_panic() {
        for odd in ["a\rb", "a\nb", "a\r\nBcc: eve@evil.example", "a\0b", "\u{2028}", "\u{85}", "\u{7f}"] {
            let named = Sender { from_name: odd.into(), ..sender() };
            assert_eq!(mail().letter(&named, NOW).err(), Some(UnbuildableMail::SenderName), "{odd:?}");
            let domain = Sender { message_id_domain: odd.into(), ..sender() };
            assert_eq!(mail().letter(&domain, NOW).err(), Some(UnbuildableMail::MessageIdDomain), "{odd:?}");
            let subject = OutgoingMail { subject: odd.into(), ..mail() };
            assert_eq!(subject.letter(&sender(), NOW).err(), Some(UnbuildableMail::Subject), "{odd:?}");
        }
        for odd in ["a\rb", "a\r\n.\r\nb", "a\0b", "\u{1b}[2J"] {
            let text = OutgoingMail { text: odd.into(), ..mail() };
            assert_eq!(text.letter(&sender(), NOW).err(), Some(UnbuildableMail::Body), "{odd:?}");
            let html = OutgoingMail { html: odd.into(), ..mail() };
            assert_eq!(html.letter(&sender(), NOW).err(), Some(UnbuildableMail::Body), "{odd:?}");
        }
    }

    #[test]
    fn a_part_that_holds_the_boundary_is_an_error() {
        let text = format!("--=_{}--\n", mail().mail.0.simple());
        assert_eq!(OutgoingMail { text, ..mail() }.letter(&sender(), NOW).err(), Some(UnbuildableMail::Body));
    }

    #[test]
    fn a_time_without_a_date_is_an_error_and_no_panic() {
        for odd in [Timestamp(-1), Timestamp(i64::MIN), Timestamp(i64::MAX), Timestamp(253_402_300_800_000)] {
            assert_eq!(mail().letter(&sender(), odd).err(), Some(UnbuildableMail::Date));
        }
        assert!(mail().letter(&sender(), Timestamp(253_402_300_799_999)).is_ok());
    }

    #[test]
    fn an_encoded_word_in_a_subject_stays_what_was_written() {
        let subject = "Invitation to =?utf-8?b?aHR0cDovL2V2aWw=?=".into();
        let text = letter_text(&OutgoingMail { subject, ..mail() });
        assert!(!text.contains("=?utf-8?b?aHR0"), "{text}");
    }

    #[test]
    fn every_kind_of_address_that_is_one_to_us_is_one_in_mail() {
        for text in [
            "!#$%&'*+-/=?^_`{|}~@harbour.example",
            "a.b+c-d_e@sub.ab--c.harbour.example",
            "1@2.3com",
            "jürgen.große@müller.example",
            "用户@例え.テスト",
            "ελ.भारत.\u{1f600}@harbour.example",
            &format!("{}@{}.example", "l".repeat(64), "d".repeat(63)),
        ] {
            let to = EmailAddress::parse(text).unwrap();
            let letter = OutgoingMail { to: to.clone(), ..mail() }.letter(&sender(), NOW);
            let Ok(letter) = letter else { panic!("{text}: {:?}", letter.err()) };
            assert_eq!(AsRef::<str>::as_ref(&letter.to), to.as_str());
            assert_eq!(letter.needs_utf8(), !to.as_str().is_ascii(), "{text}");
        }
    }

    #[test]
    fn too_long_texts_are_errors() {
        let subject = "x".repeat(SUBJECT_BYTES_MAX + 1);
        assert_eq!(OutgoingMail { subject, ..mail() }.letter(&sender(), NOW).err(), Some(UnbuildableMail::Subject));
        let text = "x".repeat(BODY_BYTES_MAX + 1);
        assert_eq!(OutgoingMail { text, ..mail() }.letter(&sender(), NOW).err(), Some(UnbuildableMail::Body));
    }

    #[test]
    fn a_mail_is_printed_without_its_address_and_texts() {
        let printed = format!("{:?}", OutgoingMail { text: "https://link/secret".into(), ..mail() });
        assert!(!printed.contains("robin") && !printed.contains("secret"), "{printed}");
    }
}
