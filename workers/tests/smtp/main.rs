//! The mailer against a mail server that fails in every way we know.

mod faults;
mod hostile;
mod pool;
mod server;

use std::time::Duration;

use domain::address::EmailAddress;
use domain::ids::MailId;
use domain::name::PersonName;
use domain::time::Timestamp;
use server::Server;
use workers::mail::{OutgoingMail, Sender};
use workers::smtp::{Smtp, SmtpConfig, Timeouts, Tls};

const NOW: Timestamp = Timestamp(1_790_000_000_123);

/// Long enough for a busy machine; only for servers that answer.
const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(20),
    greeting: Duration::from_secs(20),
    command: Duration::from_secs(20),
    before_body: Duration::from_secs(40),
    final_reply: Duration::from_secs(20),
};

/// For servers that hang.
const IMPATIENT: Timeouts = Timeouts {
    greeting: Duration::from_millis(150),
    command: Duration::from_millis(150),
    final_reply: Duration::from_millis(150),
    ..PATIENT
};

fn sender() -> Sender {
    Sender {
        from: EmailAddress::parse("portal@vendor.example").unwrap(),
        from_name: "Vendor Portal".into(),
        message_id_domain: "mail.vendor.example".into(),
    }
}

fn mail(number: u128) -> OutgoingMail {
    OutgoingMail {
        mail: MailId(uuid::Uuid::from_u128(number)),
        to: EmailAddress::parse("robin@harbour.example").unwrap(),
        to_name: PersonName::parse("Robin Rivers").unwrap(),
        subject: "Your invitation".into(),
        text: ".hello\n..\n.\n".into(),
        html: "<p>hello</p>\n".into(),
    }
}

fn config(port: u16) -> SmtpConfig {
    SmtpConfig { host: "127.0.0.1".into(), port, tls: Tls::None, username: None, password: None, connections_max: 4 }
}

fn smtp(server: &Server) -> Smtp {
    Smtp::new(config(server.port), sender()).unwrap().with_timeouts(PATIENT)
}
