//! The development mailbox.

use std::path::PathBuf;

use domain::address::EmailAddress;
use domain::ids::MailId;
use domain::name::PersonName;
use domain::time::Timestamp;
use workers::eml::Eml;
use workers::mail::{OutgoingMail, Sender};
use workers::mailer::Mailer;

const NOW: Timestamp = Timestamp(1_790_000_000_123);

fn mailbox(name: &str) -> (PathBuf, Eml) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", store::random::uuid()));
    let sender = Sender {
        from: EmailAddress::parse("portal@vendor.example").unwrap(),
        from_name: String::new(),
        message_id_domain: "mail.vendor.example".into(),
    };
    (folder.clone(), Eml::new(folder, sender))
}

fn mail(text: &str) -> OutgoingMail {
    OutgoingMail {
        mail: MailId(uuid::Uuid::from_u128(7)),
        to: EmailAddress::parse("robin@harbour.example").unwrap(),
        to_name: PersonName::parse("Robin Rivers").unwrap(),
        subject: "Hello".into(),
        text: text.into(),
        html: "<p>Hello</p>".into(),
    }
}

fn files(folder: &PathBuf) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_mail_is_one_file_however_often_it_is_sent() {
    let (folder, eml) = mailbox("once");
    for text in ["first\n", "second\n"] {
        let outcome = eml.send(&mail(text), NOW).await;
        assert_eq!(format!("{outcome:?}"), "Sent", "{}", outcome.reply());
    }
    let name = "00000000-0000-0000-0000-000000000007.eml";
    assert_eq!(files(&folder), [name]);
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.contains("second") && !text.contains("first"), "{text}");
    assert!(text.contains("\r\nFrom: portal@vendor.example\r\n"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_defers_and_leaves_nothing() {
    let (folder, eml) = mailbox("blocked");
    std::fs::write(&folder, "a file where the folder should be").unwrap();
    assert_eq!(format!("{:?}", eml.send(&mail("x\n"), NOW).await), "Deferred");
    std::fs::remove_file(&folder).unwrap();

    let target = folder.join("00000000-0000-0000-0000-000000000007.eml");
    std::fs::create_dir_all(&target).unwrap(); // a rename onto a folder fails
    assert_eq!(format!("{:?}", eml.send(&mail("x\n"), NOW).await), "Deferred");
    assert_eq!(files(&folder).len(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}
