//! Operators at the command line: which invitations failed and why, every attempt, and sending again.

use clap::{Args, Subcommand};
use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::{Command, NewLink};
use domain::event::{Event, Position, Recorded};
use domain::ids::{AccountId, InvitationId};
use domain::invitation::Lifetime;
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::time::Timestamp;
use domain::words::Scope;
use indicatif::{ProgressBar, ProgressStyle};
use projections::invitations::{Filter, InvitationRow};
use projections::{Projector, Reader, Views};
use store::token::LinkKeys;
use store::{ExecuteError, Store, random};
use tokio::sync::watch;

use crate::cli::Failure;
use crate::commands::{keys, open};
use crate::config::{self, Config};

/// Invitations on one page of the views.
const PAGE: usize = 200;

/// What can be done with invitations.
#[derive(Debug, Subcommand)]
pub enum Invitations {
    /// List invitations, those that changed last first
    List(Choice),
    /// Show one invitation and every attempt to mail it, with the server's answers
    Show {
        /// The invitation's id
        id: InvitationId,
    },
    /// Send invitations again, each decided on the state of now; one result for each
    Retry(Retry),
}

/// Which invitations.
#[derive(Debug, Args)]
pub struct Choice {
    /// Only those whose newest mail is in this state: waiting, sending, sent, deferred, unknown, refused, parked, cancelled, bounced
    #[arg(long, value_name = "STATE")]
    delivery: Option<String>,
    /// Only those of this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only those with this reason: the server's code, deferred_too_long or unknown_too_often
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those whose mail changed at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only those whose mail changed before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,
}

/// What to send again.
#[derive(Debug, Args)]
pub struct Retry {
    /// The invitations; else those that the options choose
    #[arg(value_name = "ID", conflicts_with_all = ["delivery", "account", "reason", "since", "until"])]
    ids: Vec<InvitationId>,
    /// The corrected address, for one invitation
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    choice: Choice,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|_| "a time has the form 2026-11-20T08:00:00Z".into())
}

/// Does what was asked for.
///
/// # Errors
/// The database cannot be reached, something named is not there, or an invitation was not sent again.
pub async fn run(config: &Config, wanted: Invitations) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    let result = match wanted {
        Invitations::List(choice) => desk.list(&choice).await,
        Invitations::Show { id } => desk.show(id).await,
        Invitations::Retry(retry) => desk.retry(&retry).await,
    };
    desk.close().await;
    result
}

/// The store and its views, followed up to now.
struct Desk {
    store: Store,
    views: Views,
    link_keys: LinkKeys,
    stop: watch::Sender<bool>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Desk {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let link_keys = LinkKeys::new(keys(config)?.links);
        let (store, appender) = open(config).await?;
        let (projector, views) = Projector::open(store.clone()).await.map_err(Failure::other)?;
        let (stop, stopped) = watch::channel(false);
        // Where a service runs it projects; else this does.
        let projecting = tokio::spawn(projector.run(stopped));
        let head = store.head().await.map_err(Failure::other)?;
        if !views.wait_for(head).await {
            eprintln!("The views are still behind the log; the newest changes may be missing.");
        }
        Ok(Self { store, views, link_keys, stop, tasks: [projecting, appender] })
    }

    async fn close(self) {
        self.stop.send_replace(true);
        let [projecting, appender] = self.tasks;
        let _ = projecting.await; // it gives its lease back
        drop((self.store, self.views));
        let _ = appender.await;
    }

    async fn list(&self, choice: &Choice) -> Result<(), Failure> {
        for row in self.chosen(choice).await? {
            println!("{}", line(&row));
        }
        Ok(())
    }

    async fn chosen(&self, choice: &Choice) -> Result<Vec<InvitationRow>, Failure> {
        let default = Filter::default();
        let filter = Filter {
            account: choice.account.map(|account| account.to_string()).unwrap_or_default(),
            delivery: choice.delivery.clone().unwrap_or_default(),
            reason: choice.reason.clone().unwrap_or_default(),
            since: choice.since.unwrap_or(default.since),
            until: choice.until.unwrap_or(default.until),
        };
        let (mut rows, mut before) = (Vec::new(), Position::MAX);
        while rows.len() < choice.limit {
            let limit = PAGE.min(choice.limit - rows.len());
            let page = self.views.invitations(&filter, before, limit).await.map_err(Failure::other)?;
            let Some(last) = page.last() else { break };
            before = last.position;
            rows.extend(page);
        }
        Ok(rows)
    }

    async fn invitation(&self, id: InvitationId) -> Result<InvitationRow, Failure> {
        let found = self.views.invitation(id, Reader::Staff).await.map_err(Failure::other)?;
        found.ok_or_else(|| Failure::other(format!("there is no invitation {id}")))
    }

    async fn show(&self, id: InvitationId) -> Result<(), Failure> {
        let row = self.invitation(id).await?;
        println!("{}", line(&row));
        let events = self.store.events_about(&Subject::Account(row.account)).await.map_err(Failure::other)?;
        for recorded in events.iter().filter(|recorded| recorded.event.about().invitation == Some(id)) {
            println!("  {:>8}  {}  {}", recorded.position, recorded.recorded_at, step(recorded));
        }
        Ok(())
    }

    async fn retry(&self, retry: &Retry) -> Result<(), Failure> {
        let address = match &retry.address {
            Some(text) if retry.ids.len() == 1 => Some(EmailAddress::parse(text).map_err(Failure::other)?),
            Some(_) => return Err(Failure::other("a corrected address goes with one invitation")),
            None => None,
        };
        let mut rows = Vec::new();
        for id in &retry.ids {
            rows.push(self.invitation(*id).await?);
        }
        if retry.ids.is_empty() {
            if retry.choice.delivery.is_none() {
                return Err(Failure::other("name invitations, or choose them by --delivery, such as parked"));
            }
            rows = self.chosen(&retry.choice).await?;
        }
        let bar = ProgressBar::new(rows.len() as u64); // hidden where there is no terminal
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left").map_err(Failure::other)?);
        let mut refused = 0;
        for row in &rows {
            let result = self.retry_one(row, address.clone()).await;
            refused += usize::from(result.is_err());
            let outcome = match result {
                Ok(()) => "sent again".to_string(),
                Err(ExecuteError::Refused(refusal)) => format!("refused  {}  {refusal}", refusal.code()),
                Err(error) => format!("failed  {error}"),
            };
            bar.suspend(|| println!("{}  {outcome}", row.id));
            bar.inc(1);
        }
        bar.finish_and_clear();
        if refused > 0 {
            return Err(Failure::other(format!("{refused} of {} invitations were not sent again", rows.len())));
        }
        Ok(())
    }

    async fn retry_one(&self, row: &InvitationRow, address: Option<EmailAddress>) -> Result<(), ExecuteError> {
        let invitation = InvitationId(self.store.fresh_id());
        let new = NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: self.link_keys.newest().into() };
        let (account, professional, invitation) = (row.account, row.professional, row.id);
        let command = Command::RetryInvitation { account, professional, invitation, address, new };
        let caller = Caller::with_scopes(Actor::Cli(config::user()), [Scope::Operator, Scope::Support]);
        let request = Request { id: random::uuid(), key: None, body: None, if_match: None };
        let executed = self.store.execute(command, caller, request).await?;
        if executed.events.is_empty() { Err(Refusal::UnknownInvitation.into()) } else { Ok(()) }
    }
}

/// One invitation on one line.
fn line(row: &InvitationRow) -> String {
    let delivery = &row.delivery;
    let reason = delivery.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{}  account {}  {}{reason}  attempts {}  link {}  changed {}",
        row.id,
        row.account,
        delivery.state.as_str(),
        delivery.attempts,
        row.generation,
        delivery.changed_at
    )
}

/// One event of an invitation, with the server's answer where there is one.
fn step(recorded: &Recorded) -> String {
    let name = recorded.event.name();
    let answer = match &recorded.event {
        Event::MailSent(e) => e.reply.clone(),
        Event::MailRefused(e) => e.reply.clone(),
        Event::MailDeferred(e) => e.reply.clone(),
        Event::MailOutcomeUnknown(e) => e.reply.clone(),
        Event::MailBounced(e) => e.reply.clone(),
        _ => None,
    };
    answer.map_or_else(|| name.to_string(), |answer| format!("{name}  {answer}"))
}
