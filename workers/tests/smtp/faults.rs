//! One row for each fault: what the server does, and what that means for the mail.

use std::time::Duration;

use domain::address::EmailAddress;
use store::secret::Secret;
use tokio::net::TcpListener;
use workers::mail::OutgoingMail;
use workers::mailer::{Mailer, Outcome, REPLY_CHARS_MAX};
use workers::smtp::{Smtp, SmtpConfig, SmtpConfigFault, Tls};

use crate::server::{Act, Script, Server};
use crate::{IMPATIENT, NOW, PATIENT, config, mail, sender, smtp};

const WAIT: Duration = Duration::from_millis(200);
const ENDLESS: &[u8] = &[b'x'; 4_096];

/// A change to the good script, and the outcome as `Debug` prints it.
type Row = (&'static str, fn(&mut Script), &'static str);

const ROWS: &[Row] = &[
    ("all is well", |_| {}, "Sent"),
    // Nothing is handed over yet: certainly not delivered.
    ("greeting: none in time", |s| s.greeting = Act::Hang, "Deferred"),
    ("greeting: closed", |s| s.greeting = Act::Close, "Deferred"),
    ("greeting: reset", |s| s.greeting = Act::Reset, "Deferred"),
    ("greeting: 4xx", |s| s.greeting = Act::SayThenClose(b"421 too busy\r\n"), "Deferred(421)"),
    ("greeting: 5xx", |s| s.greeting = Act::Say(b"554 no service for you\r\n"), "Deferred(554)"),
    ("greeting: junk", |s| s.greeting = Act::SayThenClose(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "Deferred"),
    ("greeting: endless line", |s| s.greeting = Act::SayForEver(ENDLESS), "Deferred"),
    ("greeting: endless lines", |s| s.greeting = Act::SayForEver(b"220-x\r\n"), "Deferred"),
    ("EHLO: none in time", |s| s.ehlo = Act::Hang, "Deferred"),
    ("EHLO: closed", |s| s.ehlo = Act::Close, "Deferred"),
    ("EHLO: junk", |s| s.ehlo = Act::Say(b"what?\r\n"), "Deferred"),
    ("EHLO: binary junk", |s| s.ehlo = Act::Say(b"\xff\xfe\0\r\n"), "Deferred"),
    ("EHLO: 4xx", |s| s.ehlo = Act::Say(b"421 shutting down\r\n"), "Deferred(421)"),
    ("EHLO: 5xx", |s| s.ehlo = Act::Say(b"502 what is that\r\n"), "Deferred(502)"),
    ("EHLO: no name", |s| s.ehlo = Act::Say(b"250 \r\n"), "Deferred"),
    ("EHLO: a blank line within", |s| s.ehlo = Act::Say(b"250-a\r\n250-  \r\n250 AUTH PLAIN\r\n"), "Sent"),
    ("EHLO: nothing offered", |s| s.ehlo = Act::Say(b"250 a\r\n"), "Sent"),
    ("MAIL: none in time", |s| s.mail = Act::Hang, "Deferred"),
    ("MAIL: closed", |s| s.mail = Act::Close, "Deferred"),
    ("MAIL: 4xx", |s| s.mail = Act::Say(b"451 4.3.0 later\r\n"), "Deferred(451)"),
    ("MAIL: 421", |s| s.mail = Act::SayThenClose(b"421 4.3.2 bye\r\n"), "Deferred(421)"),
    ("MAIL: 5xx", |s| s.mail = Act::Say(b"550 5.7.1 sender refused\r\n"), "Refused(550)"),
    ("MAIL: sign in first", |s| s.mail = Act::Say(b"530 5.7.0 sign in first\r\n"), "Deferred(530)"),
    ("MAIL: 3xx", |s| s.mail = Act::Say(b"354 go ahead\r\n"), "Deferred"),
    ("RCPT: none in time", |s| s.rcpt = Act::Hang, "Deferred"),
    ("RCPT: closed", |s| s.rcpt = Act::Close, "Deferred"),
    ("RCPT: reset", |s| s.rcpt = Act::Reset, "Deferred"),
    ("RCPT: 4xx", |s| s.rcpt = Act::Say(b"450 4.2.1 greylisted\r\n"), "Deferred(450)"),
    ("RCPT: 421", |s| s.rcpt = Act::SayThenClose(b"421 4.3.2 bye\r\n"), "Deferred(421)"),
    ("RCPT: 5xx", |s| s.rcpt = Act::Say(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n"), "Refused(550)"),
    ("RCPT: 5xx in Latin-1", |s| s.rcpt = Act::Say(b"550 Empf\xe4nger unbekannt\r\n"), "Refused(550)"),
    ("RCPT: forwarded", |s| s.rcpt = Act::Say(b"251 will forward\r\n"), "Sent"),
    ("DATA: none in time", |s| s.data = Act::Hang, "Deferred"),
    ("DATA: closed", |s| s.data = Act::Close, "Deferred"),
    ("DATA: no 354", |s| s.data = Act::Say(b"250 ok\r\n"), "Deferred"),
    ("DATA: 4xx", |s| s.data = Act::Say(b"451 later\r\n"), "Deferred(451)"),
    ("DATA: 5xx", |s| s.data = Act::Say(b"554 no valid recipients\r\n"), "Refused(554)"),
    // The body is under way: only a final reply tells.
    ("body: closed", |s| s.in_body = Some(Act::Close), "Unknown"),
    ("body: reset", |s| s.in_body = Some(Act::Reset), "Unknown"),
    ("body: hangs", |s| s.in_body = Some(Act::Hang), "Unknown"),
    ("end: closed", |s| s.end = Act::Close, "Unknown"),
    ("end: reset", |s| s.end = Act::Reset, "Unknown"),
    ("end: none in time", |s| s.end = Act::Hang, "Unknown"),
    ("end: 250 later", |s| s.end = Act::SayAfter(WAIT, b"250 2.0.0 Ok\r\n"), "Sent"),
    ("end: 250 alone", |s| s.end = Act::Say(b"250\r\n"), "Sent"),
    ("end: 250 with a bare line feed", |s| s.end = Act::Say(b"250 ok\n"), "Sent"),
    ("end: 250 in several lines", |s| s.end = Act::Say(b"250-2.0.0 queued\r\n250 2.0.0 as 4RZ\r\n"), "Sent"),
    ("end: 250 then closed", |s| s.end = Act::SayThenClose(b"250 2.0.0 Ok\r\n"), "Sent"),
    ("end: 250 then reset", |s| s.end = Act::SayThenReset(b"250 2.0.0 Ok\r\n"), "Sent"),
    ("end: 250 in Latin-1", |s| s.end = Act::Say(b"250 Nachricht f\xfcr Sie angenommen\r\n"), "Sent"),
    ("end: half a 250, then closed", |s| s.end = Act::SayThenClose(b"250 2.0.0 O"), "Unknown"),
    ("end: 451", |s| s.end = Act::Say(b"451 4.3.0 no space\r\n"), "Deferred(451)"),
    ("end: 421", |s| s.end = Act::SayThenClose(b"421 4.3.2 bye\r\n"), "Deferred(421)"),
    ("end: 554", |s| s.end = Act::Say(b"554 5.7.1 spam\r\n"), "Refused(554)"),
    ("end: 554 in Latin-1", |s| s.end = Act::Say(b"554 ung\xfcltig\r\n"), "Refused(554)"),
    ("end: 354", |s| s.end = Act::Say(b"354 more\r\n"), "Unknown"),
    ("end: 650", |s| s.end = Act::Say(b"650 what\r\n"), "Unknown"),
    ("end: junk", |s| s.end = Act::Say(b"\0\xff what?\r\n"), "Unknown"),
    ("end: an empty line", |s| s.end = Act::Say(b"\r\n"), "Unknown"),
    ("end: two codes in one reply", |s| s.end = Act::Say(b"250-ok\r\n550 no\r\n"), "Unknown"),
    ("end: endless line", |s| s.end = Act::SayForEver(ENDLESS), "Unknown"),
    ("end: endless lines", |s| s.end = Act::SayForEver(b"250-x\r\n"), "Unknown"),
];

#[tokio::test]
async fn every_fault_has_its_outcome() {
    for (fault, change, expected) in ROWS {
        let mut script = Script::good();
        change(&mut script);
        let timeouts = if script.hangs() { IMPATIENT } else { PATIENT };
        let server = Server::start(script).await;
        let mailer = Smtp::new(config(server.port), sender()).unwrap().with_timeouts(timeouts);
        let outcome = mailer.send(&mail(1), NOW).await;
        assert_eq!(format!("{outcome:?}"), *expected, "{fault}: {}", outcome.reply());
        assert_is_shown(outcome.reply());
        let begun = server.commands().iter().any(|command| command == "DATA");
        assert!(begun || !matches!(outcome, Outcome::Sent { .. } | Outcome::Unknown { .. }), "{fault}");
        assert_eq!(server.sessions().len(), 1, "{fault}: a new connection is never tried twice");
    }
}

fn assert_is_shown(reply: &str) {
    assert!(reply.chars().count() <= REPLY_CHARS_MAX, "{reply:?}");
    assert!(!reply.contains(char::is_control), "{reply:?}");
}

#[tokio::test]
async fn what_a_server_says_is_kept() {
    for (end, expected) in [
        (&b"250 2.0.0 Ok: queued as 4RZ\r\n"[..], "2.0.0 Ok: queued as 4RZ"),
        (b"554-5.7.1 spam\r\n554 5.7.1 or worse\r\n", "5.7.1 spam or worse"),
        (b"451 4.3.0 \x1b[31mno space\r\n", "4.3.0  [31mno space"),
    ] {
        let server = Server::start(Script { end: Act::Say(end), ..Script::good() }).await;
        assert_eq!(smtp(&server).send(&mail(1), NOW).await.reply(), expected);
    }
}

#[tokio::test]
async fn a_refused_connection_is_deferred() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let outcome = Smtp::new(config(port), sender()).unwrap().send(&mail(1), NOW).await;
    assert_eq!(format!("{outcome:?}"), "Deferred", "{}", outcome.reply());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_deferred() {
    let Ok(mailer) = Smtp::new(tls_config(25, "relay.invalid", Tls::Implicit), sender()) else { panic!("no roots") };
    let outcome = mailer.with_timeouts(PATIENT).send(&mail(1), NOW).await;
    assert_eq!(format!("{outcome:?}"), "Deferred", "{}", outcome.reply());
}

#[tokio::test]
async fn a_failed_sign_in_is_deferred_and_nothing_else_is_said() {
    let rows: &[Row] = &[
        ("454", |s| s.auth = Act::Say(b"454 4.7.0 later\r\n"), "Deferred(454)"),
        ("535", |s| s.auth = Act::Say(b"535 5.7.8 wrong password\r\n"), "Deferred(535)"),
        ("534", |s| s.auth = Act::Say(b"534 5.7.9 too weak\r\n"), "Deferred(534)"),
        ("in time", |s| s.auth = Act::Hang, "Deferred"),
        ("closed", |s| s.auth = Act::Close, "Deferred"),
        ("junk", |s| s.auth = Act::Say(b"what?\r\n"), "Deferred"),
        ("3xx", |s| s.auth = Act::SayThenClose(b"354 go\r\n"), "Deferred"),
        ("an endless game", |s| s.auth = Act::Say(b"334 VXNlcm5hbWU6\r\n"), "Deferred"),
        ("not offered", |s| s.ehlo = Act::Say(b"250 a\r\n"), "Deferred"),
        ("unknown ways only", |s| s.ehlo = Act::Say(b"250-a\r\n250 AUTH GSSAPI\r\n"), "Deferred"),
    ];
    for (fault, change, expected) in rows {
        let mut script = Script::good();
        change(&mut script);
        let timeouts = if script.hangs() { IMPATIENT } else { PATIENT };
        let server = Server::start(script).await;
        let mailer = Smtp::new(signed_in(server.port), sender()).unwrap().with_timeouts(timeouts);
        let outcome = mailer.send(&mail(1), NOW).await;
        assert_eq!(format!("{outcome:?}"), *expected, "{fault}: {}", outcome.reply());
        assert!(!server.commands().iter().any(|command| command.starts_with("MAIL")), "{fault}");
    }
    let server = Server::start(Script::good()).await;
    let outcome = Smtp::new(signed_in(server.port), sender()).unwrap().send(&mail(1), NOW).await;
    assert_eq!(format!("{outcome:?}"), "Sent");
    assert_eq!(server.commands()[1], "AUTH PLAIN AHBvcnRhbABodW50ZXIy");
}

#[tokio::test]
async fn without_tls_no_mail_goes_out_where_tls_is_configured() {
    let offered = b"250-a\r\n250 STARTTLS\r\n";
    let rows: &[(&str, Script, &str)] = &[
        ("not offered", Script::good(), "Deferred(502)"),
        ("5xx greeting", Script { greeting: Act::Say(b"554 no\r\n"), ..Script::good() }, "Deferred(554)"),
        ("4xx greeting", Script { greeting: Act::Say(b"421 no\r\n"), ..Script::good() }, "Deferred(421)"),
        ("454", Script { starttls: Act::Say(b"454 not now\r\n"), ..Script::good() }, "Deferred(454)"),
        ("3xx", Script { starttls: Act::Say(b"334 not now\r\n"), ..Script::good() }, "Deferred"),
        ("closed", Script { starttls: Act::Close, ..Script::good() }, "Deferred"),
        ("closed after 220", Script { starttls: Act::SayThenClose(b"220 go\r\n"), ..Script::good() }, "Deferred"),
        ("hangs", Script { starttls: Act::Hang, ..Script::good() }, "Deferred"),
        ("endless", Script { starttls: Act::SayForEver(ENDLESS), ..Script::good() }, "Deferred"),
        (
            "replies that somebody slipped in before the handshake",
            Script {
                ehlo: Act::Say(offered),
                starttls: Act::Say(b"220 go\r\n250-a\r\n250 AUTH PLAIN\r\n235 in\r\n"),
                ..Script::good()
            },
            "Deferred",
        ),
    ];
    for (fault, script, expected) in rows {
        let timeouts = if script.hangs() { IMPATIENT } else { PATIENT };
        let server = Server::start(script.clone()).await;
        let config = tls_config(server.port, "127.0.0.1", Tls::StartTls);
        let outcome = Smtp::new(config, sender()).unwrap().with_timeouts(timeouts).send(&mail(1), NOW).await;
        assert_eq!(format!("{outcome:?}"), *expected, "{fault}: {}", outcome.reply());
        let said = server.commands();
        assert!(!said.iter().any(|command| command.starts_with("AUTH") || command.starts_with("MAIL")), "{said:?}");
    }
    let server = Server::start(Script::good()).await;
    let config = tls_config(server.port, "127.0.0.1", Tls::Implicit);
    let outcome = Smtp::new(config, sender()).unwrap().with_timeouts(PATIENT).send(&mail(1), NOW).await;
    assert_eq!(format!("{outcome:?}"), "Deferred", "{}", outcome.reply());
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let mail = OutgoingMail { to: EmailAddress::parse("jürgen@müller.example").unwrap(), ..mail(1) };
    let server = Server::start(Script::good()).await;
    let outcome = smtp(&server).send(&mail, NOW).await;
    assert_eq!(format!("{outcome:?}"), "Refused(553)", "{}", outcome.reply());
    assert!(!server.commands().iter().any(|command| command.starts_with("MAIL")));

    let ehlo = Act::Say(b"250-a\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
    let server = Server::start(Script { ehlo, ..Script::good() }).await;
    let outcome = smtp(&server).send(&mail, NOW).await;
    assert_eq!(format!("{outcome:?}"), "Sent", "{}", outcome.reply());
    let commands = server.commands();
    assert_eq!(commands[1], "MAIL FROM:<portal@vendor.example> SMTPUTF8 BODY=8BITMIME");
    assert_eq!(commands[2], "RCPT TO:<jürgen@xn--mller-kva.example>");
}

#[tokio::test]
async fn a_mail_that_cannot_be_built_is_refused_and_nothing_is_said() {
    let server = Server::start(Script::good()).await;
    let mail = OutgoingMail { subject: "a\r\nBcc: eve@evil.example".into(), ..mail(1) };
    let outcome = smtp(&server).send(&mail, NOW).await;
    assert_eq!(format!("{outcome:?}"), "Refused(554)");
    assert!(server.sessions().is_empty());
}

#[tokio::test]
async fn the_body_arrives_as_it_was_written() {
    let server = Server::start(Script::good()).await;
    smtp(&server).send(&mail(1), NOW).await;
    let bodies = server.bodies();
    assert!(bodies[0].contains("\r\n\r\n.hello\r\n..\r\n.\r\n"), "{}", bodies[0]);
    let session = &server.sessions()[0];
    let expected =
        ["EHLO mail.vendor.example", "MAIL FROM:<portal@vendor.example>", "RCPT TO:<robin@harbour.example>", "DATA"];
    assert_eq!(session.commands, expected);
}

#[test]
fn a_configuration_that_can_never_work_is_refused() {
    let good = || config(25);
    let fault = |config: SmtpConfig| Smtp::new(config, sender()).err();
    assert_eq!(fault(good()), None);
    for host in ["relay.example", "192.0.2.1", "127.0.0.1.evil.example"] {
        let plain = SmtpConfig { host: host.into(), ..good() };
        assert_eq!(fault(plain), Some(SmtpConfigFault::PlainBeyondLoopback), "{host}");
    }
    for host in ["localhost", "::1", "127.0.0.53"] {
        assert_eq!(fault(SmtpConfig { host: host.into(), ..good() }), None, "{host}");
    }
    assert_eq!(fault(SmtpConfig { username: Some("a".into()), ..good() }), Some(SmtpConfigFault::HalfCredentials));
    assert_eq!(fault(SmtpConfig { connections_max: 0, ..good() }), Some(SmtpConfigFault::NoConnections));
    assert_eq!(fault(SmtpConfig { host: "a b".into(), ..good() }), Some(SmtpConfigFault::Host));
}

fn signed_in(port: u16) -> SmtpConfig {
    SmtpConfig { username: Some("portal".into()), password: Some(Secret::new("hunter2".into())), ..config(port) }
}

fn tls_config(port: u16, host: &str, tls: Tls) -> SmtpConfig {
    SmtpConfig { host: host.into(), tls, ..signed_in(port) }
}
