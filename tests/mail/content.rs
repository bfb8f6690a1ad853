//! A mail goes to the registered address and opens what it should; every copy is the same.

use std::pin::Pin;
use std::sync::Arc;

use domain::command::Command;
use domain::ids::MailId;
use domain::invitation::Link;
use domain::mail::UNKNOWN_RETRY_AFTER;
use domain::time::Timestamp;
use projections::invitations::DeliveryState;
use workers::eml::Eml;
use workers::mail::{OutgoingMail, Sender};
use workers::mailer::{Mailer, Outcome};

use super::desk::{BASE_URL, Desk, link_keys};
use super::post::{self, Post, Step, sent, unknown};
use crate::log::bench::{Bench, run};
use crate::log::commands::*;
use crate::views::node::eventually;

/// The one link in a text.
#[track_caller]
fn link_in(text: &str) -> Link {
    let start = format!("{BASE_URL}/i/");
    let mut tokens = text.split(&start).skip(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().unwrap_or_default()
    });
    let token = tokens.next().unwrap_or_else(|| panic!("no link in {text}"));
    assert!(tokens.all(|other| other == token), "one link only");
    link_keys("2026-11").read(token).unwrap_or_else(|| panic!("{token} opens nothing"))
}

on_both! {
    async fn a_mail_goes_to_the_registered_address_with_the_link_that_was_issued(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (professional, invitation) = (fresh_professional(), fresh_invitation());
        let registered = "Robin@Harbour.Example";
        run(&desk.node.store, &staff(), invite(account, professional, registered, invitation)).await.unwrap();
        let first = link(account, invitation);
        let script = [post::deferred(), unknown(), sent()];
        let post = Post::new(move |_, copies| Step::Say(script[copies].clone()));
        let working = desk.work(&post);
        let delivery = desk.reaches(first, DeliveryState::Deferred, 1).await;
        desk.pass(delivery.retry_at.unwrap() - desk.clock.now()).await;
        desk.reaches(first, DeliveryState::Unknown, 2).await;
        desk.pass(UNKNOWN_RETRY_AFTER).await;
        desk.reaches(first, DeliveryState::Sent, 3).await;

        let handed: Vec<OutgoingMail> = post.handed().into_iter().map(|(mail, _)| mail).collect();
        let mail = &handed[0];
        assert!(handed.len() == 3 && handed.iter().all(|copy| copy == mail), "every copy is the same");
        assert_eq!(mail.mail, mail_of(first));
        assert_eq!(mail.to, details(registered).address);
        assert_eq!(mail.to_name, details(registered).name);
        assert!(mail.subject.contains("Ihre Einladung"), "in the person's language: {}", mail.subject);
        assert_eq!((link_in(&mail.text), link_in(&mail.html)), (first, first));

        // The next generation, and the same once more for the holder of the older link.
        run(&desk.node.store, &staff(), send(account, professional)).await.unwrap();
        let second = Link { generation: 2, ..first };
        let latest = Command::RequestLatestLink { link: first, new: new_link(fresh_invitation()) };
        let latest_mail = MailId::derive(invitation, 2, "latest-link", 1);
        run(&desk.node.store, &link_holder(), latest).await.unwrap();
        // The script has an answer for the first two copies only of what comes now.
        eventually("two more mails", async || (post.handed().len() == 5).then_some(())).await;
        working.end().await;
        for (mail, _) in &post.handed()[3..] {
            assert!([mail_of(second), latest_mail].contains(&mail.mail));
            assert_eq!((link_in(&mail.text), mail.to.clone()), (second, details(registered).address));
        }
    }

    async fn a_code_goes_to_the_mailbox_and_is_the_one_that_will_be_asked_for(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (_, link) = desk.invite(account).await;
        let identity = fresh_identity();
        run(&desk.node.store, &person(identity), register(identity)).await.unwrap();
        let command = issue_code(link, identity);
        let Command::IssueMailboxCode { flow, .. } = command else { unreachable!() };
        run(&desk.node.store, &person(identity), command).await.unwrap();
        let mail = MailId::derive(link.invitation, 1, "mailbox-code", 1);
        let post = Post::kind();
        let working = desk.work(&post);
        eventually("the code", async || (post.copies(mail) == 1).then_some(())).await;
        working.end().await;
        let handed = post.handed();
        let (mail, _) = handed.iter().find(|(handed, _)| handed.mail == mail).unwrap();
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let code = link_keys("2026-11").code("2026-11", flow, 1).unwrap();
        assert!(digits(&mail.text).contains(code.reveal().as_str()), "{}", mail.text);
        assert!(!digits(&mail.subject).contains(code.reveal().as_str()), "lock screens show the subject");
        assert!(!mail.text.contains("/i/"), "a code and a link in one mail would be worth both");
        assert_eq!(desk.history(account, mail.mail).await, ["MailAttempted", "MailSent"]);
    }

    /// The key of the link is no longer configured: nobody could open it.
    async fn a_link_whose_key_has_retired_is_refused_and_shows_it(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let account = desk.account().await;
        let (professional, link) = desk.invite(account).await;
        let post = Post::kind();
        let working = desk.work_with(&post, link_keys("2027-01"));
        let delivery = desk.reaches(link, DeliveryState::Refused, 1).await;
        assert_eq!((delivery.code, delivery.retry_at), (None, None));
        assert_eq!(delivery.reply.as_deref(), Some("the key of this link or code has retired"));
        assert_eq!(post.handed().len(), 0);
        // A new generation under the new key goes out.
        let mut new = new_link(fresh_invitation());
        new.link_key = "2027-01".into();
        run(&desk.node.store, &staff(), Command::SendInvitation { account, professional, new }).await.unwrap();
        desk.reaches(link, DeliveryState::Sent, 1).await;
        working.end().await;
    }

    async fn all_copies_have_one_message_id(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let folder = tempfile::tempdir().unwrap();
        let forgetful = Arc::new(Forgetful(Eml::new(folder.path().into(), sender())));
        let account = desk.account().await;
        let (_, link) = desk.invite(account).await;
        let working = desk.work(&forgetful);
        let mut ids = Vec::new();
        let file = folder.path().join(format!("{}.eml", mail_of(link)));
        for attempts in 1..=2 {
            desk.reaches(link, DeliveryState::Unknown, attempts).await;
            ids.push(message_id(&std::fs::read_to_string(&file).unwrap()));
            std::fs::remove_file(&file).unwrap();
            desk.pass(UNKNOWN_RETRY_AFTER).await;
        }
        desk.reaches(link, DeliveryState::Parked, 3).await;
        ids.push(message_id(&std::fs::read_to_string(&file).unwrap()));
        working.end().await;
        assert_eq!(ids, vec![format!("<{}@mail.vendor.example>", mail_of(link)); 3]);
    }
}

fn sender() -> Sender {
    Sender {
        from: domain::address::EmailAddress::parse("portal@vendor.example").unwrap(),
        from_name: "Vendor Portal".into(),
        message_id_domain: "mail.vendor.example".into(),
    }
}

fn message_id(letter: &str) -> String {
    letter.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a letter has one").trim().to_owned()
}

/// Delivers, and forgets to say so.
struct Forgetful(Eml);

impl Mailer for Forgetful {
    fn send<'a, 'b, 'c>(
        &'a self,
        mail: &'b OutgoingMail,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            assert!(matches!(self.0.send(mail, now).await, Outcome::Sent { .. }));
            unknown()
        })
    }
}
