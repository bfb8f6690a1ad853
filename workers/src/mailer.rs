//! What hands mails over, and the four ways that can end.

use std::fmt;

use async_trait::async_trait;
use domain::ids::MailId;
use domain::time::Timestamp;
use tracing::error;

use crate::mail::{OutgoingMail, UnbuildableMail};

/// Longest reply text that is kept, in characters: what an operator reads, not what a server likes to send.
pub const REPLY_CHARS_MAX: usize = 500;
/// What a server would say of a mail that is none.
const UNBUILDABLE_CODE: u16 = 554;

/// Hands mails over: to an SMTP relay, or into the development mailbox.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands one mail over once. `now` becomes its `Date`. It returns within a bounded time and never panics; a mail
    /// whose future is dropped half-way counts as [`Outcome::Unknown`].
    async fn send(&self, mail: &OutgoingMail, now: Timestamp) -> Outcome;
}

/// How handing a mail over ended (R26).
///
/// `reply` is what the server answered or what failed here: printable, at most [`REPLY_CHARS_MAX`] characters. It may
/// repeat the recipient's address, so it is personal, and `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server took responsibility for the mail (2xx after the final dot).
    Sent {
        /// The server's words.
        reply: String,
    },
    /// The mail was refused for good (5xx), or can never be handed over as it is. It was certainly not delivered.
    Refused {
        /// The SMTP reply code, 500 to 599.
        code: u16,
        /// The server's words.
        reply: String,
    },
    /// Not now: 4xx, no connection, or a fault of the configuration. It was certainly not delivered.
    Deferred {
        /// The SMTP reply code, where there was a reply.
        code: Option<u16>,
        /// The server's words, or what failed.
        reply: String,
    },
    /// The body had begun to go out and no final reply came: it may have been delivered or not.
    Unknown {
        /// What failed.
        reply: String,
    },
}

impl Outcome {
    pub(crate) fn sent(reply: &str) -> Self {
        Self::Sent { reply: printable(reply) }
    }

    pub(crate) fn refused(code: u16, reply: &str) -> Self {
        Self::Refused { code, reply: printable(reply) }
    }

    pub(crate) fn deferred(code: Option<u16>, reply: &str) -> Self {
        Self::Deferred { code, reply: printable(reply) }
    }

    pub(crate) fn unknown(reply: &str) -> Self {
        Self::Unknown { reply: printable(reply) }
    }

    /// A mail that can never be put together; operators correct what it is made of.
    pub(crate) fn unbuildable(mail: MailId, error: UnbuildableMail) -> Self {
        error!(mail.id = %mail, %error, "a mail cannot be built");
        Self::refused(UNBUILDABLE_CODE, &format!("5.6.0 {error}"))
    }

    /// The server's words, or what failed.
    pub fn reply(&self) -> &str {
        match self {
            Self::Sent { reply }
            | Self::Refused { reply, .. }
            | Self::Deferred { reply, .. }
            | Self::Unknown { reply } => reply,
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { .. } => f.write_str("Sent"),
            Self::Refused { code, .. } => write!(f, "Refused({code})"),
            Self::Deferred { code: Some(code), .. } => write!(f, "Deferred({code})"),
            Self::Deferred { code: None, .. } => f.write_str("Deferred"),
            Self::Unknown { .. } => f.write_str("Unknown"),
        }
    }
}

/// Makes one short line of what a stranger sent: blanks for control characters, `?` for those that turn or hide text.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_control() || c.is_whitespace() => ' ',
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => '?',
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => '?',
        c => c,
    };
    let line: String = text.chars().map(shown).collect();
    line.trim().chars().take(REPLY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_short_and_printable() {
        assert_eq!(printable(" 2.0.0 Ok:\r\n\u{1b}[31mqueued\0 \u{202e}as "), "2.0.0 Ok:   [31mqueued  ?as");
        assert_eq!(printable(&"ä".repeat(10_000)).chars().count(), REPLY_CHARS_MAX);
    }

    #[test]
    fn an_outcome_is_printed_without_its_reply() {
        let printed = format!("{:?}", Outcome::refused(550, "<robin@harbour.example>: no such user"));
        assert_eq!(printed, "Refused(550)");
    }
}
