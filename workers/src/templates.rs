//! The texts of the mails, in each language as plain text and as HTML.
//!
//! The files stand in `templates/`, one for each mail, language and form: whoever translates edits one file. Only HTML
//! needs escaping, which askama does by the file's ending. Names come as types that no mail client makes a link of, so
//! the only link in a mail is ours (T51, T52).

use askama::Template;
use domain::name::{AccountName, PersonName};
use domain::time::Timestamp;
use domain::words::Language;

/// Digits that are shown together: a code of eight is read and typed as two groups.
const CODE_GROUP_DIGITS: usize = 4;

/// The texts of one mail. They may hold a link or a code, so they are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The plain part.
    pub text: String,
    /// The HTML part: no images, no scripts, nothing from elsewhere.
    pub html: String,
}

/// Whose wish an invitation is.
#[derive(Clone, PartialEq, Eq)]
pub enum Inviter {
    /// An administrator of the account.
    Person(PersonName),
    /// An administrator of a partner that serves the account.
    Partner {
        /// Who invites.
        person: PersonName,
        /// The partner account that the person acts for.
        partner: AccountName,
    },
    /// The vendor's support or back office; no person is named.
    Support,
    /// The professional, for a new link to the own profile (R11).
    Oneself,
    /// An identity on the association page; no other can use the link and no code is asked (R14).
    Association,
}

/// What an invitation says.
#[derive(Clone)]
pub struct InvitationMail {
    /// Who is invited.
    pub recipient: PersonName,
    /// Who invites.
    pub inviter: Inviter,
    /// The account to join.
    pub account: AccountName,
    /// The portal's name as people know it; from the configuration.
    pub portal: String,
    /// The absolute URL of the invitation's page, made by us.
    pub link: String,
    /// From when on the link is of no use.
    pub expires_at: Timestamp,
}

/// What the mail with a mailbox code says.
#[derive(Clone)]
pub struct MailboxCodeMail {
    /// Whose mailbox is confirmed.
    pub recipient: PersonName,
    /// The account that the profile belongs to.
    pub account: AccountName,
    /// The portal's name as people know it; from the configuration.
    pub portal: String,
    /// The code as it is checked: digits without blanks. It is shown in groups and may be typed so.
    pub code: String,
    /// For how long the code works, in minutes.
    pub lifetime_minutes: i64,
}

impl InvitationMail {
    /// Writes the mail in one language.
    pub fn render(&self, language: Language) -> Rendered {
        let (account, portal, mail) = (&self.account, &self.portal, self);
        let until = &until(self.expires_at, language);
        match language {
            Language::English => {
                let what = if self.is_own_wish() { "link" } else { "invitation" };
                let subject = format!("Your {what} to “{account}” on {portal}");
                let text = InvitationEnglishText { mail, until }.render();
                let html = InvitationEnglishHtml { mail, until, subject: &subject }.render();
                rendered(subject, text, html)
            }
            Language::German => {
                let what = if self.is_own_wish() { "Ihr Link" } else { "Ihre Einladung" };
                let subject = format!("{what} zu „{account}“ bei {portal}");
                let text = InvitationGermanText { mail, until }.render();
                let html = InvitationGermanHtml { mail, until, subject: &subject }.render();
                rendered(subject, text, html)
            }
        }
    }

    fn is_own_wish(&self) -> bool {
        matches!(self.inviter, Inviter::Oneself | Inviter::Association)
    }
}

impl MailboxCodeMail {
    /// Writes the mail in one language. The code is not in the subject, which lock screens show.
    pub fn render(&self, language: Language) -> Rendered {
        let (account, portal, mail) = (&self.account, &self.portal, self);
        let code = &grouped(&self.code);
        match language {
            Language::English => {
                let subject = format!("Your code for “{account}” on {portal}");
                let text = MailboxCodeEnglishText { mail, code }.render();
                let html = MailboxCodeEnglishHtml { mail, code, subject: &subject }.render();
                rendered(subject, text, html)
            }
            Language::German => {
                let subject = format!("Ihr Code für „{account}“ bei {portal}");
                let text = MailboxCodeGermanText { mail, code }.render();
                let html = MailboxCodeGermanHtml { mail, code, subject: &subject }.render();
                rendered(subject, text, html)
            }
        }
    }
}

#[derive(Template)]
#[template(path = "invitation.en.txt")]
struct InvitationEnglishText<'a> {
    mail: &'a InvitationMail,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "invitation.en.html")]
struct InvitationEnglishHtml<'a> {
    mail: &'a InvitationMail,
    until: &'a str,
    subject: &'a str,
}

#[derive(Template)]
#[template(path = "invitation.de.txt")]
struct InvitationGermanText<'a> {
    mail: &'a InvitationMail,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "invitation.de.html")]
struct InvitationGermanHtml<'a> {
    mail: &'a InvitationMail,
    until: &'a str,
    subject: &'a str,
}

#[derive(Template)]
#[template(path = "mailbox_code.en.txt")]
struct MailboxCodeEnglishText<'a> {
    mail: &'a MailboxCodeMail,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mailbox_code.en.html")]
struct MailboxCodeEnglishHtml<'a> {
    mail: &'a MailboxCodeMail,
    code: &'a str,
    subject: &'a str,
}

#[derive(Template)]
#[template(path = "mailbox_code.de.txt")]
struct MailboxCodeGermanText<'a> {
    mail: &'a MailboxCodeMail,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mailbox_code.de.html")]
struct MailboxCodeGermanHtml<'a> {
    mail: &'a MailboxCodeMail,
    code: &'a str,
    subject: &'a str,
}

pub(crate) fn rendered(subject: String, text: askama::Result<String>, html: askama::Result<String>) -> Rendered {
    const WRITES: &str = "invariant: writing texts into a String does not fail";
    // askama leaves out the last line end of a file
    Rendered { subject, text: text.expect(WRITES) + "\n", html: html.expect(WRITES) + "\n" }
}

/// `12345678` as `1234 5678`, held together by no-break spaces.
fn grouped(code: &str) -> String {
    let digits: Vec<char> = code.chars().collect();
    let groups: Vec<String> = digits.chunks(CODE_GROUP_DIGITS).map(|group| group.iter().collect()).collect();
    groups.join("\u{a0}")
}

/// The minute in words, UTC: the reader's time zone is not known.
pub(crate) fn until(at: Timestamp, language: Language) -> String {
    let rfc3339 = at.to_string();
    match in_words(&rfc3339, language) {
        Some(words) => words,
        None => rfc3339, // outside the years 0 to 9999, where a timestamp has no such text
    }
}

fn in_words(rfc3339: &str, language: Language) -> Option<String> {
    let (date, time) = rfc3339.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?.trim_start_matches('0'));
    let month = month_name(month.parse().ok()?, language)?;
    let minute = time.get(..5)?;
    Some(match language {
        Language::English => format!("{day} {month} {year}, {minute} UTC"),
        Language::German => format!("{day}. {month} {year}, {minute} Uhr (UTC)"),
    })
}

fn month_name(month: usize, language: Language) -> Option<&'static str> {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const GERMAN: [&str; 12] = [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ];
    let names = match language {
        Language::English => ENGLISH,
        Language::German => GERMAN,
    };
    names.get(month.checked_sub(1)?).copied()
}
