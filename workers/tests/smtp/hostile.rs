//! Names that try to get out of their place, through the wire (T51) and in the texts (T52).

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ids::MailId;
use domain::name::{AccountName, PersonName};
use domain::words::Language;
use workers::mail::OutgoingMail;
use workers::mailer::Mailer;
use workers::templates::{InvitationMail, Inviter};

use crate::server::{Script, Server};
use crate::{NOW, mail, smtp};

/// How many hostile names go over the wire at least.
const NAMES_MIN: usize = 5_000;
const LINK: &str = "https://id.vendor.example/i/v1.k1.secret-token_0";
const PIECES: &[&str] = &[
    "Robin",
    "\"",
    "\\",
    "'",
    "`",
    "<",
    ">",
    "<b>",
    "</title>",
    "&amp;",
    "&#46;",
    "{{ mail.link }}",
    "{%",
    "Bcc:",
    ",",
    ";",
    ":",
    "(",
    ")",
    "[x]",
    "=?utf-8?b?ZXZpbC5jb20=?=",
    "=?utf-8?q?a=0d=0aBcc:?=",
    "=0D=0A",
    "%0d%0a",
    "\\r\\n",
    "--=_",
    ".",
    "..",
    "RCPT TO:<eve>",
    "DATA",
    "ü",
    "Ж",
    "李",
    "شركة",
    "😀",
    "a\u{301}",
    "\u{df}",
    "1234",
    "J.",
    "A/S",
    "$(id)",
    "%s",
    "javascript",
    "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV",
];

/// Every two pieces, beside some third ones, as far as they are names at all.
fn names() -> Vec<PersonName> {
    let mut seen = BTreeSet::new();
    let mut names = vec![];
    for (index, first) in PIECES.iter().enumerate() {
        for second in PIECES {
            for third in PIECES.iter().skip(index % 16).step_by(16) {
                for text in [format!("{first} {second}{third}"), format!("{first}{second} {third}")] {
                    if let Ok(name) = PersonName::parse(&text)
                        && seen.insert(text)
                    {
                        names.push(name);
                    }
                }
            }
        }
    }
    names
}

fn invitation(name: &PersonName) -> InvitationMail {
    let account = AccountName::parse(name.as_str()).unwrap();
    InvitationMail {
        recipient: name.clone(),
        inviter: Inviter::Partner { person: name.clone(), partner: account.clone() },
        account,
        portal: "CustomerSource".into(),
        link: LINK.into(),
        expires_at: NOW,
    }
}

fn language(number: usize) -> Language {
    Language::ALL[number % Language::ALL.len()]
}

#[tokio::test]
async fn t51_a_hostile_name_changes_neither_the_dialogue_nor_the_headers() {
    let names = names();
    assert!(names.len() >= NAMES_MIN, "only {} names", names.len());
    let server = Server::start(Script::good()).await;
    let mailer = Arc::new(smtp(&server));
    let names = Arc::new(names);
    let senders: Vec<_> = (0..4)
        .map(|worker| {
            let (mailer, names) = (Arc::clone(&mailer), Arc::clone(&names));
            tokio::spawn(async move {
                for number in (worker..NAMES_MIN).step_by(4) {
                    let name = &names[number * names.len() / NAMES_MIN];
                    let rendered = invitation(name).render(language(number));
                    let mail = OutgoingMail {
                        mail: MailId(uuid::Uuid::from_u128(number as u128)),
                        to_name: name.clone(),
                        subject: rendered.subject,
                        text: rendered.text,
                        html: rendered.html,
                        ..mail(0)
                    };
                    let outcome = mailer.send(&mail, NOW).await;
                    assert_eq!(format!("{outcome:?}"), "Sent", "{:?}: {}", name.as_str(), outcome.reply());
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    for session in server.sessions() {
        assert_eq!(session.commands[0], "EHLO mail.vendor.example");
        for dialogue in session.commands[1..].chunks(3) {
            let expected = ["MAIL FROM:<portal@vendor.example>", "RCPT TO:<robin@harbour.example>", "DATA"];
            assert_eq!(dialogue, expected);
        }
    }
    let bodies = server.bodies();
    assert_eq!(bodies.len(), NAMES_MIN);
    for body in &bodies {
        assert_headers(body);
    }
}

fn assert_headers(body: &str) {
    let (head, content) = body.split_once("\r\n\r\n").unwrap();
    let starts = head.split("\r\n").filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = starts.map(|line| line.split_once(": ").unwrap().0).collect();
    let expected = [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
    ];
    assert_eq!(names, expected, "{head}");
    assert!(head.is_ascii() && head.split("\r\n").all(|line| line.len() <= 998), "{head}");
    let unfolded = head.replace("\r\n ", " ");
    let to = unfolded.split("\r\n").find(|line| line.starts_with("To: ")).unwrap();
    assert!(to.ends_with(" <robin@harbour.example>"), "{to}");
    assert_eq!(to.matches('@').count(), 1, "{to}");
    // Two parts, and the three boundary lines around them.
    let boundary = unfolded.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let lines: Vec<&str> =
        content.split("\r\n").filter(|line| line.starts_with("--") && line.contains(boundary)).collect();
    let (between, end) = (format!("--{boundary}"), format!("--{boundary}--"));
    assert_eq!(lines, [&between, &between, &end], "{body}");
}

#[test]
fn t52_nothing_in_a_mail_but_our_link_can_become_a_link() {
    for (number, name) in names().iter().enumerate() {
        let rendered = invitation(name).render(language(number));
        assert_eq!(rendered.text.matches(LINK).count(), 1);
        assert_eq!(rendered.html.matches(&format!("href=\"{LINK}\"")).count(), 2);
        let text = rendered.text.replace(LINK, "");
        assert_eq!(linkable(&text), None, "{text}");
        assert!(rendered.html.matches("<a ").count() == 2 && !rendered.html.contains("<b>"), "{}", rendered.html);
        assert_eq!(rendered.html.matches("</title>").count(), 1, "{}", rendered.html);
    }
}

/// The first thing that a mail client would make a link of.
fn linkable(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| {
        let lower = word.to_lowercase();
        let has_host = lower.split('.').collect::<Vec<_>>().windows(2).any(|pair| {
            pair[0].ends_with(char::is_alphanumeric)
                && pair[1].chars().take(2).filter(|c| c.is_alphabetic()).count() == 2
        });
        has_host || ["://", "//", "@", "www.", "mailto:", "tel:"].iter().any(|mark| lower.contains(mark))
    })
}
