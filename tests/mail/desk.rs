//! A node with its mails: workers on it, and what the log and the views say of a mail.

use std::sync::Arc;

use domain::event::Event;
use domain::ids::{AccountId, MailId, ProfessionalId};
use domain::invitation::Link;
use domain::portal::{Portal, Portals};
use domain::tag::Subject;
use domain::time::Millis;
use projections::invitations::{Delivery, DeliveryState};
use projections::{Reader, Views};
use store::Store;
use store::clock::Clock;
use store::seal::NamedKey;
use store::secret::Secret;
use store::token::LinkKeys;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use workers::dispatch::MailWorker;
use workers::mailer::Mailer;

use crate::log::bench::{Bench, open_at, run, standing_clock};
use crate::log::commands::*;
use crate::views::node::{Node, eventually, logged};

pub const BASE_URL: &str = "https://vinculum.example";

/// A node whose clock stands until it is turned.
pub struct Desk {
    pub node: Node,
    pub clock: Clock,
}

impl Desk {
    pub async fn open(bench: &Bench) -> Self {
        Self::open_with(bench, standing_clock()).await
    }

    /// One more node, with the clock of another.
    pub async fn open_with(bench: &Bench, clock: Clock) -> Self {
        let (store, _) = open_at(bench.location(), clock.clone()).await.unwrap();
        Self { node: Node::start_with(store).await, clock }
    }

    /// Starts a worker.
    pub fn work(&self, mailer: &Arc<impl Mailer + 'static>) -> Work {
        self.work_with(mailer, link_keys("2026-11"))
    }

    pub fn work_with(&self, mailer: &Arc<impl Mailer + 'static>, link_keys: LinkKeys) -> Work {
        start(self.node.store.clone(), self.node.views.clone(), mailer, link_keys)
    }

    pub async fn account(&self) -> AccountId {
        an_account(&self.node.store).await
    }

    /// Somebody is invited, and a mail waits.
    pub async fn invite(&self, account: AccountId) -> (ProfessionalId, Link) {
        somebody_invited(&self.node.store, account).await
    }

    /// Lets time pass, and lets the workers know at once.
    pub async fn pass(&self, time: Millis) {
        self.clock.turn(time);
        run(&self.node.store, &staff(), open(fresh_account(), &number())).await.unwrap();
        self.node.follow().await;
    }

    /// What the view says of the newest mail of an invitation.
    pub async fn delivery(&self, link: Link) -> Option<Delivery> {
        self.node.views.invitation(link.invitation, Reader::Staff).await.unwrap().map(|row| row.delivery)
    }

    /// Waits until the newest mail is in this state after this many attempts.
    pub async fn reaches(&self, link: Link, state: DeliveryState, attempts: u32) -> Delivery {
        eventually(&format!("{state:?} after {attempts} attempts"), async || {
            let delivery = self.delivery(link).await?;
            (delivery.state == state && delivery.attempts == attempts).then_some(delivery)
        })
        .await
    }

    /// The events about a mail's delivery, in order.
    pub async fn events(&self, account: AccountId, mail: MailId) -> Vec<Event> {
        let events = self.node.store.events_about(&Subject::Account(account)).await.unwrap();
        events.into_iter().map(|recorded| recorded.event).filter(|event| delivered(event) == Some(mail)).collect()
    }

    /// The names of these events.
    pub async fn history(&self, account: AccountId, mail: MailId) -> Vec<&'static str> {
        self.events(account, mail).await.iter().map(Event::name).collect()
    }
}

/// Starts a worker on any store and views.
pub fn start(store: Store, views: Views, mailer: &Arc<impl Mailer + 'static>, link_keys: LinkKeys) -> Work {
    let portal = |name: &str| Portal { name: name.into(), url: None };
    let worker = MailWorker {
        store,
        views,
        mailer: Arc::clone(mailer) as Arc<dyn Mailer>,
        link_keys,
        base_url: BASE_URL.into(),
        portals: Portals { customer: portal("Customer Portal"), partner: portal("Partner Portal") },
    };
    let (stop, stopped) = watch::channel(false);
    Work { stop, task: tokio::spawn(worker.run(stopped)) }
}

/// A worker at work.
pub struct Work {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Work {
    /// Asks it to stop, as a service does that is asked to.
    pub fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    pub async fn end(self) {
        self.ask_to_stop();
        self.task.await.unwrap();
    }

    /// Dies wherever it is.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The keys of the configuration, the newest first.
pub fn link_keys(id: &str) -> LinkKeys {
    LinkKeys::new(vec![NamedKey { id: id.into(), key: Secret::new([3; store::seal::KEY_BYTES]) }])
}

fn delivered(event: &Event) -> Option<MailId> {
    match event {
        Event::MailAttempted(e) => Some(e.mail),
        Event::MailSent(e) => Some(e.mail),
        Event::MailRefused(e) => Some(e.mail),
        Event::MailDeferred(e) => Some(e.mail),
        Event::MailOutcomeUnknown(e) => Some(e.mail),
        Event::MailParked(e) => Some(e.mail),
        Event::MailCancelled(e) => Some(e.mail),
        _ => None,
    }
}

/// The operator's log, kept since the test's first line, tells once that a mail waits for somebody, and why.
pub fn says_who_must_act(link: Link, reason: &str) {
    says_once(link, &["ERROR", "mail waits for an operator", &link.account.to_string(), reason]);
}

/// One line of the log about an invitation's mail has all these words.
pub fn says_once(link: Link, words: &[&str]) {
    let (log, mail) = (logged(), mail_of(link).to_string());
    let lines = log.lines().filter(|line| line.contains(&mail) && words.iter().all(|word| line.contains(word)));
    assert_eq!(lines.count(), 1, "{words:?} in {log}");
}
