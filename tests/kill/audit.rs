//! What must hold afterwards, read from the histories as an auditor reads them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::Value;
use sqlx::Connection as _;

use super::load::{Acknowledged, Done};
use super::nodes::Nodes;
use crate::support::{eventually, eventually_within, http};

/// Events on a page of a history.
const PAGE: usize = 500;
/// How long nodes that share two cores may take to send what waits after the load.
const BACKLOG_SECONDS_MAX: u64 = 120;
/// What ends a mail.
const ENDS: [&str; 4] = ["MailSent", "MailRefused", "MailParked", "MailCancelled"];

/// What was acknowledged, and what the histories say.
pub struct Audit<'a> {
    acknowledged: &'a [Acknowledged],
    /// Every event of every account that was acknowledged, by account.
    histories: HashMap<String, Vec<Value>>,
}

impl<'a> Audit<'a> {
    /// Waits until every mail has ended, then reads the history of every account.
    pub async fn of(nodes: &Nodes<'_>, key: &str, acknowledged: &'a [Acknowledged]) -> Self {
        for state in ["waiting", "sending", "deferred", "unknown"] {
            let what = format!("the end of every {state} mail");
            eventually_within(BACKLOG_SECONDS_MAX, &what, async || {
                let page = get(nodes, key, &format!("/v1/invitations?delivery={state}&limit=1")).await;
                page["items"].as_array().is_some_and(Vec::is_empty).then_some(())
            })
            .await;
        }
        let accounts: BTreeSet<&String> = acknowledged.iter().map(|it| account_of(&it.done)).collect();
        let mut histories = HashMap::new();
        for account in accounts {
            // Mails about older links end on their own, a moment later.
            let events = eventually("the end of every mail", async || {
                let events = history(nodes, key, account).await;
                mails(&events).values().all(|mail| mail.ends == 1).then_some(events)
            })
            .await;
            histories.insert(account.clone(), events);
        }
        Self { acknowledged, histories }
    }

    /// Each acknowledged command is in the log exactly once, where its answer said; nothing else is.
    pub fn every_command_had_its_effect_once(&self) {
        let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
        for Acknowledged { done, position } in self.acknowledged {
            let events = &self.histories[account_of(done)];
            let (event_type, facts): (&str, Vec<(&str, Value)>) = match done {
                Done::Opened { account, number } => (
                    "AccountOpened",
                    vec![("account", account.as_str().into()), ("customer_number", number.as_str().into())],
                ),
                Done::Planned { account } => ("ServicePlanSet", vec![("account", account.as_str().into())]),
                Done::Added { professional, .. } => {
                    ("ProfessionalAdded", vec![("professional", professional.as_str().into())])
                }
                Done::Sent { invitation, generation, .. } => (
                    "InvitationIssued",
                    vec![("invitation", invitation.as_str().into()), ("generation", (*generation).into())],
                ),
            };
            *expected.entry(event_type).or_default() += 1;
            if let Done::Added { invitation, .. } = done {
                *expected.entry("InvitationIssued").or_default() += 1;
                let of = |event: &&Value| {
                    event["event_type"] == "InvitationIssued" && event["facts"]["invitation"] == *invitation
                };
                let generations: Vec<_> =
                    events.iter().filter(of).map(|event| event["facts"]["generation"].as_u64()).collect();
                let in_order: Vec<_> = (1..=generations.len() as u64).map(Some).collect();
                assert_eq!(generations, in_order, "the links of {invitation}");
            }
            let is_it = |event: &&Value| {
                event["event_type"] == event_type && facts.iter().all(|(name, value)| event["facts"][name] == *value)
            };
            let found: Vec<_> = events.iter().filter(is_it).collect();
            assert_eq!(found.len(), 1, "{done:?}: {found:#?}");
            let at = found[0]["position"].as_i64().expect("a position is a number");
            assert!(at <= *position, "{done:?} stands at {at}, after {position}, which was acknowledged");
        }
        for (event_type, count) in expected {
            let events = self.histories.values().flatten().filter(|event| event["event_type"] == event_type);
            assert_eq!(events.count(), count, "{event_type}");
        }
    }

    /// Every mail has one end; a copy more than one needs an outcome that nobody knew.
    pub fn every_mail_ended_and_none_was_copied_needlessly(&self, copies: impl Fn(&str) -> u32) {
        let (mut sent, mut cancelled, mut unknown, mut extra) = (0, 0, 0, 0);
        for (id, mail) in self.histories.values().flat_map(|events| mails(events)) {
            let copies = copies(&id);
            assert_eq!(mail.ends, 1, "{id} ends once");
            assert!(copies <= 1 + mail.unknown, "{copies} copies of {id}, with {} unknown outcomes", mail.unknown);
            assert!(mail.sent == 0 || copies >= 1, "{id} was sent and did not arrive");
            assert!(mail.attempts <= 1 + mail.unknown + mail.deferred, "{id}: {mail:?}");
            assert!(mail.sent + mail.cancelled == 1, "{id} was neither refused nor parked: {mail:?}");
            sent += mail.sent;
            cancelled += mail.cancelled;
            unknown += mail.unknown;
            extra += copies.saturating_sub(1);
        }
        eprintln!("{sent} mails sent, {cancelled} cancelled, {unknown} unknown outcomes, {extra} second copies");
        assert!(sent > 0, "mails were sent");
    }

    /// 1, 2, 3 …, and every event of the histories at its place.
    pub fn positions_have_no_gaps(&self, positions: &[i64]) {
        let all: Vec<i64> = (1..).take(positions.len()).collect();
        assert_eq!(positions, all, "positions without gaps");
        let mut told: Vec<_> =
            self.histories.values().flatten().filter_map(|event| event["position"].as_i64()).collect();
        let count = told.len();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), count, "no two events at one position");
        assert!(told.last() <= all.last(), "every event is in the log");
    }
}

/// Reads the positions in the log of the embedded default.
pub async fn positions_in(data: &Path) -> Vec<i64> {
    let log = format!("sqlite://{}", data.join("log.db").display());
    let mut log = sqlx::SqliteConnection::connect(&log).await.expect("the log opens");
    let select = "select position from event order by position";
    let positions: Vec<i64> = sqlx::query_scalar(select).fetch_all(&mut log).await.expect("the log can be read");
    let head: i64 =
        sqlx::query_scalar("select position from log_head").fetch_one(&mut log).await.expect("it has a head");
    assert_eq!(positions.last(), Some(&head), "the head is the newest event");
    positions
}

#[derive(Debug, Default)]
struct Mail {
    attempts: u32,
    sent: u32,
    cancelled: u32,
    deferred: u32,
    unknown: u32,
    ends: u32,
}

fn mails(events: &[Value]) -> HashMap<String, Mail> {
    let mut mails: HashMap<String, Mail> = HashMap::new();
    for event in events {
        let Some(id) = event["facts"]["mail"].as_str() else { continue };
        let mail = mails.entry(id.into()).or_default();
        let event_type = event["event_type"].as_str().unwrap_or_default();
        match event_type {
            "MailAttempted" => mail.attempts += 1,
            "MailSent" => mail.sent += 1,
            "MailCancelled" => mail.cancelled += 1,
            "MailDeferred" => mail.deferred += 1,
            "MailOutcomeUnknown" => mail.unknown += 1,
            _ => {}
        }
        mail.ends += u32::from(ENDS.contains(&event_type));
    }
    mails
}

fn account_of(done: &Done) -> &String {
    let (Done::Opened { account, .. }
    | Done::Planned { account }
    | Done::Added { account, .. }
    | Done::Sent { account, .. }) = done;
    account
}

async fn history(nodes: &Nodes<'_>, key: &str, account: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = get(nodes, key, &format!("/v1/accounts/{account}/history?limit={PAGE}{cursor}")).await;
        events.extend(page["items"].as_array_mut().map(std::mem::take).expect("a page has items"));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

async fn get(nodes: &Nodes<'_>, key: &str, path: &str) -> Value {
    let answer = http().get(format!("{}{path}", nodes.any())).bearer_auth(key).send().await.expect("a node answers");
    let (status, body) = (answer.status(), answer.text().await.expect("the answer arrives whole"));
    assert!(status.is_success(), "{path}: {status} {body}");
    serde_json::from_str(&body).expect("a node answers JSON")
}
