//! A mail server that does as it is told, and remembers what it was handed.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::ids::MailId;
use domain::time::Timestamp;
use tokio::sync::watch;
use workers::mail::OutgoingMail;
use workers::mailer::{Mailer, Outcome};

/// What becomes of a mail.
pub enum Step {
    /// It is answered at once.
    Say(Outcome),
    /// It is answered once [`Post::release`] is called.
    Hold(Outcome),
    /// It is never answered.
    Never,
    /// The mailer panics once this many are under way.
    PanicAt(usize),
}

type Script = dyn Fn(&OutgoingMail, usize) -> Step + Send + Sync;

/// The scripted server.
pub struct Post {
    /// What becomes of a mail, by itself and by how many copies of it came before.
    script: Box<Script>,
    handed: Mutex<Vec<(OutgoingMail, Timestamp)>>,
    is_released: watch::Sender<bool>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Post {
    pub fn new(script: impl Fn(&OutgoingMail, usize) -> Step + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            handed: Mutex::default(),
            is_released: watch::Sender::new(false),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
        })
    }

    /// Takes every mail over.
    pub fn kind() -> Arc<Self> {
        Self::new(|_, _| Step::Say(sent()))
    }

    /// Every mail that it was handed, with the time of that, in order.
    pub fn handed(&self) -> Vec<(OutgoingMail, Timestamp)> {
        self.handed.lock().expect("nobody panics while holding it").clone()
    }

    /// How many copies of a mail it was handed.
    pub fn copies(&self, mail: MailId) -> usize {
        self.handed().iter().filter(|(handed, _)| handed.mail == mail).count()
    }

    /// How many mails are being handed over now, and the most at once so far.
    pub fn under_way(&self) -> (usize, usize) {
        (self.under_way.load(Ordering::SeqCst), self.most_under_way.load(Ordering::SeqCst))
    }

    /// Answers what was held, and holds nothing any more.
    pub fn release(&self) {
        self.is_released.send_replace(true);
    }

    async fn take(&self, mail: &OutgoingMail, now: Timestamp) -> Outcome {
        let copies = self.copies(mail.mail);
        self.handed.lock().expect("nobody panics while holding it").push((mail.clone(), now));
        let _counted = Counted::new(self);
        match (self.script)(mail, copies) {
            Step::Say(outcome) => outcome,
            Step::Hold(outcome) => {
                let _ = self.is_released.subscribe().wait_for(|released| *released).await; // the sender is ours
                outcome
            }
            Step::Never => std::future::pending().await,
            Step::PanicAt(count) => {
                while self.under_way.load(Ordering::SeqCst) < count {
                    tokio::task::yield_now().await;
                }
                panic!("the mailer panics, as the test wants it to")
            }
        }
    }
}

/// Counts a mail as under way until it is answered, or nobody waits for the answer any more.
struct Counted<'a>(&'a Post);

impl<'a> Counted<'a> {
    fn new(post: &'a Post) -> Self {
        let count = post.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        post.most_under_way.fetch_max(count, Ordering::SeqCst);
        Self(post)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Mailer for Post {
    // What `#[async_trait]` makes of an `async fn`.
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
        Box::pin(self.take(mail, now))
    }
}

pub fn sent() -> Outcome {
    Outcome::Sent { reply: "2.0.0 queued".into() }
}

pub fn deferred() -> Outcome {
    Outcome::Deferred { code: Some(451), reply: "4.7.1 come back later".into() }
}

pub fn refused() -> Outcome {
    Outcome::Refused { code: 550, reply: "5.1.1 no such person".into() }
}

pub fn unknown() -> Outcome {
    Outcome::Unknown { reply: "the connection broke around the final dot".into() }
}
