//! Connections that are used again, and those that died in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use workers::mailer::Mailer;
use workers::smtp::{Smtp, SmtpConfig, Timeouts};

use crate::server::{Act, Script, Server};
use crate::{IMPATIENT, NOW, PATIENT, config, mail, sender, smtp};

/// A change to the good script.
type Change = fn(&mut Script);

/// The second connection answers at once, but the machine may be busy.
const IMPATIENT_AT_COMMANDS: Timeouts = Timeouts { command: Duration::from_secs(1), ..PATIENT };

#[tokio::test]
async fn a_connection_carries_many_mails() {
    let server = Server::start(Script::good()).await;
    let mailer = smtp(&server);
    for number in 0..101 {
        assert_eq!(format!("{:?}", mailer.send(&mail(number), NOW).await), "Sent");
    }
    let sessions = server.sessions();
    assert_eq!(sessions.iter().map(|session| session.bodies.len()).collect::<Vec<_>>(), [100, 1]);
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced_and_the_mail_sent_once() {
    let deaths: [(&str, Change); 8] = [
        ("closed", |s| s.end = Act::SayThenClose(b"250 ok\r\n")),
        ("reset", |s| s.end = Act::SayThenReset(b"250 ok\r\n")),
        ("closed with a word", |s| s.end = Act::SayThenClose(b"250 ok\r\n421 idle for too long\r\n")),
        ("closed at MAIL", |s| s.next_mail = Some(Act::Close)),
        ("reset at MAIL", |s| s.next_mail = Some(Act::Reset)),
        ("421 at MAIL", |s| s.next_mail = Some(Act::SayThenClose(b"421 enough\r\n"))),
        ("too many mails", |s| s.next_mail = Some(Act::Say(b"550 too many mails\r\n"))),
        ("hangs at MAIL", |s| s.next_mail = Some(Act::Hang)),
    ];
    for (death, change) in deaths {
        let mut first = Script::good();
        change(&mut first);
        let timeouts = if first.hangs() { IMPATIENT_AT_COMMANDS } else { PATIENT };
        let server = Server::start_with(vec![first, Script::good()]).await;
        let mailer = Smtp::new(config(server.port), sender()).unwrap().with_timeouts(timeouts);
        for number in 0..2 {
            let outcome = mailer.send(&mail(number), NOW).await;
            assert_eq!(format!("{outcome:?}"), "Sent", "{death}: {}", outcome.reply());
        }
        assert_eq!(server.sessions().len(), 2, "{death}");
        assert_eq!(server.bodies().len(), 2, "{death}");
    }
}

#[tokio::test]
async fn a_connection_on_which_something_failed_is_not_used_again() {
    let failures: [Change; 3] = [
        |s| s.rcpt = Act::Say(b"550 5.1.1 no such user\r\n"),
        |s| s.data = Act::Say(b"250 ok\r\n"),
        |s| s.end = Act::Say(b"451 4.3.0 later\r\n"),
    ];
    for change in failures {
        let mut first = Script::good();
        change(&mut first);
        let server = Server::start_with(vec![first, Script::good()]).await;
        let mailer = smtp(&server);
        assert_ne!(format!("{:?}", mailer.send(&mail(1), NOW).await), "Sent");
        assert_eq!(format!("{:?}", mailer.send(&mail(2), NOW).await), "Sent");
        assert_eq!(server.sessions().len(), 2);
    }
}

#[tokio::test]
async fn no_more_connections_are_opened_than_configured() {
    let server = Server::start(Script::good()).await;
    let config = SmtpConfig { connections_max: 2, ..config(server.port) };
    let mailer = Arc::new(Smtp::new(config, sender()).unwrap().with_timeouts(PATIENT));
    let sending: Vec<_> = (0..50)
        .map(|number| {
            let mailer = Arc::clone(&mailer);
            tokio::spawn(async move { mailer.send(&mail(number), NOW).await })
        })
        .collect();
    for sent in sending {
        assert_eq!(format!("{:?}", sent.await.unwrap()), "Sent");
    }
    assert_eq!(server.bodies().len(), 50);
    assert_eq!(server.open_most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_is_deferred() {
    let server = Server::start(Script { end: Act::Hang, ..Script::good() }).await;
    let timeouts = Timeouts { before_body: IMPATIENT.command, ..PATIENT };
    let config = SmtpConfig { connections_max: 1, ..config(server.port) };
    let mailer = Arc::new(Smtp::new(config, sender()).unwrap().with_timeouts(timeouts));
    let first = tokio::spawn({
        let mailer = Arc::clone(&mailer);
        async move { mailer.send(&mail(1), NOW).await }
    });
    while server.bodies().is_empty() {
        tokio::task::yield_now().await;
    }
    let outcome = mailer.send(&mail(2), NOW).await;
    assert_eq!(format!("{outcome:?}"), "Deferred", "{}", outcome.reply());
    first.abort();
}
