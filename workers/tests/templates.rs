//! The texts of the mails.

use domain::name::{AccountName, PersonName};
use domain::time::Timestamp;
use domain::words::Language;
use workers::templates::{InvitationMail, Inviter, MailboxCodeMail, Rendered};

const LINK: &str = "https://id.vendor.example/i/v1.k1.abc-DEF_0?x=1&y=2";

fn person(name: &str) -> PersonName {
    PersonName::parse(name).unwrap()
}

fn account(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

fn invitation(inviter: Inviter) -> InvitationMail {
    InvitationMail {
        recipient: person("Robin Rivers"),
        inviter,
        account: account("Harbour & Sons <Ltd>"),
        portal: "CustomerSource".into(),
        link: LINK.into(),
        expires_at: Timestamp(1_790_000_000_123),
    }
}

fn inviters() -> Vec<Inviter> {
    vec![
        Inviter::Person(person("Anna Berg")),
        Inviter::Partner { person: person("Anna Berg"), partner: account("Contoso VAR") },
        Inviter::Support,
        Inviter::Oneself,
        Inviter::Association,
    ]
}

fn code() -> MailboxCodeMail {
    MailboxCodeMail {
        recipient: person("Robin Rivers"),
        account: account("Harbour & Sons <Ltd>"),
        portal: "CustomerSource".into(),
        code: "01234567".into(),
        lifetime_minutes: 10,
    }
}

fn all() -> Vec<(Language, Rendered)> {
    let both = |language: Language| {
        let invitations = inviters().into_iter().map(move |inviter| invitation(inviter).render(language));
        invitations.chain([code().render(language)]).map(move |rendered| (language, rendered))
    };
    Language::ALL.iter().copied().flat_map(both).collect()
}

/// The text that a reader of the HTML sees, roughly.
fn seen(html: &str) -> String {
    let mut text = String::new();
    let mut outside = true;
    for c in html.chars() {
        match c {
            '<' => outside = false,
            '>' => outside = true,
            c if outside => text.push(c),
            _ => {}
        }
    }
    let text = text.replace("&#38;", "&").replace("&#60;", "<").replace("&#62;", ">");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_mail_says_who_what_where_in_both_forms() {
    for (language, mail) in all() {
        let plain = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [&plain, &seen(&mail.html)] {
            assert!(text.contains("Robin Rivers"), "{text}");
            assert!(text.contains("Harbour & Sons <Ltd>"), "{text}");
            assert!(text.contains("CustomerSource"), "{text}");
        }
        assert!(mail.subject.contains("Harbour & Sons <Ltd>") && !mail.subject.contains('\n'));
        assert!(mail.html.contains(&format!("<html lang=\"{language}\">")));
        assert!(mail.text.ends_with(".\n") && !mail.text.contains("\n\n\n\n"), "{}", mail.text);
        assert!(!mail.text.contains(['{', '}']) && !mail.html.contains("{{"), "{}", mail.text);
    }
}

#[test]
fn html_holds_nothing_from_elsewhere_and_nothing_unescaped() {
    for (_, mail) in all() {
        let html = mail.html.replace(&LINK.replace('&', "&#38;"), "");
        for foreign in ["<img", "src=", "url(", "<script", "<link", "@import", "http", "<Ltd>", "& "] {
            assert!(!html.contains(foreign), "{foreign} in {html}");
        }
    }
}

#[test]
fn an_invitation_says_who_invites_until_when_and_why_forwarding_is_useless() {
    let english = invitation(Inviter::Person(person("Anna Berg"))).render(Language::English);
    assert_eq!(english.subject, "Your invitation to “Harbour & Sons <Ltd>” on CustomerSource");
    for text in [english.text, seen(&english.html)] {
        assert!(text.contains("“Anna Berg” invites you to join the account"), "{text}");
        assert!(text.contains("until 21 September 2026, 14:13 UTC"), "{text}");
        assert!(text.contains("a code that is sent to this mailbox"), "{text}");
        assert!(text.contains("lets you create one"), "{text}");
    }
    let german = invitation(Inviter::Support).render(Language::German);
    assert_eq!(german.subject, "Ihre Einladung zu „Harbour & Sons <Ltd>“ bei CustomerSource");
    for text in [german.text, seen(&german.html)] {
        assert!(text.contains("Unser Support lädt Sie"), "{text}");
        assert!(text.contains("bis 21. September 2026, 14:13 Uhr (UTC)"), "{text}");
        assert!(text.contains("Code, der an dieses Postfach geschickt wird"), "{text}");
    }
}

#[test]
fn a_link_for_one_identity_speaks_of_no_code() {
    for (language, code) in [(Language::English, "a code"), (Language::German, "Code")] {
        let mail = invitation(Inviter::Association).render(language);
        assert!(mail.subject.contains("Link") || mail.subject.contains("link"), "{}", mail.subject);
        assert!(!mail.text.contains(code) && !mail.html.contains(code), "{}", mail.text);
    }
}

#[test]
fn a_code_is_shown_in_groups_and_never_in_the_subject() {
    for language in Language::ALL {
        let mail = code().render(*language);
        assert!(mail.text.contains("\n    0123\u{a0}4567\n"), "{}", mail.text);
        assert!(mail.html.contains(">0123\u{a0}4567</p>"), "{}", mail.html);
        assert!(!mail.subject.contains("0123"));
        assert!(mail.text.contains("10 ") && !mail.text.contains("http"));
    }
}

#[test]
fn every_month_and_a_time_without_a_date_have_words() {
    let until =
        |at: Timestamp| InvitationMail { expires_at: at, ..invitation(Inviter::Support) }.render(Language::German).text;
    assert!(until(Timestamp::parse("2027-03-01T00:05:59Z").unwrap()).contains("bis 1. März 2027, 00:05 Uhr (UTC)"));
    assert!(until(Timestamp::parse("2027-12-31T23:59:59Z").unwrap()).contains("bis 31. Dezember 2027, 23:59 Uhr"));
    assert!(until(Timestamp(i64::MAX)).contains(&format!("{} ms", i64::MAX)));
}
