//! Callers that open accounts, add people and send invitations, and repeat what got no answer under the same key.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nodes::Nodes;
use crate::support::http;

/// People added to one account, and invitations sent again to each of them, before a caller opens the next one.
const PEOPLE_FOR_EACH_ACCOUNT: u32 = 4;
/// The wait of a caller between two commands: the nodes share this machine with it.
const PAUSE: Duration = Duration::from_millis(20);
/// The wait before a command is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How long a command may go without an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was acknowledged.
#[derive(Clone, Debug)]
pub enum Done {
    /// An account was opened with a number.
    Opened { account: String, number: String },
    /// A plan was set.
    Planned { account: String },
    /// A person was added and invited.
    Added { account: String, professional: String, invitation: String },
    /// A link was sent again.
    Sent { account: String, invitation: String, generation: u64 },
}

/// A command's effect with the position that its answer named.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub done: Done,
    pub position: i64,
}

/// The callers.
pub struct Load {
    key: String,
    callers: u32,
    begun: Instant,
    length: Duration,
    kills_min: u32,
    kills: AtomicU32,
    retried: AtomicU32,
}

impl Load {
    /// Begins now and lasts for `length`, or longer where that sees fewer than `kills_min` kills.
    pub fn new(key: &str, callers: u32, length: Duration, kills_min: u32) -> Self {
        let (kills, retried) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { key: key.into(), callers, begun: Instant::now(), length, kills_min, kills, retried }
    }

    /// Whether no caller begins another command.
    pub fn is_over(&self) -> bool {
        let lasted = self.begun.elapsed();
        assert!(lasted < self.length * 4, "{:?} were too short for {} kills", lasted, self.kills_min);
        lasted >= self.length && self.kills.load(Ordering::Relaxed) >= self.kills_min
    }

    /// Counts a kill.
    pub fn saw_a_kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// How many commands were acknowledged only after they had been repeated.
    pub fn retried(&self) -> u32 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Asks until it is over; every command that was begun is acknowledged in the end.
    pub async fn run(&self, nodes: &Nodes<'_>) -> Vec<Acknowledged> {
        let opened = self.open(nodes, "shared").await;
        let mut all = vec![opened.clone(), self.plan(nodes, &account_of(&opened)).await];
        let account = account_of(&opened);
        let callers = (0..self.callers).map(|caller| self.call(nodes, caller, &account));
        for acknowledged in futures::future::join_all(callers).await {
            all.extend(acknowledged);
        }
        all
    }

    /// One caller: accounts of its own, and after each person there one in the account that all callers share.
    async fn call(&self, nodes: &Nodes<'_>, caller: u32, shared: &str) -> Vec<Acknowledged> {
        let mut all = Vec::new();
        for round in 0.. {
            if self.is_over() {
                break;
            }
            let opened = self.open(nodes, &format!("{caller}-{round}")).await;
            let account = account_of(&opened);
            all.push(opened);
            all.push(self.plan(nodes, &account).await);
            for person in 0..PEOPLE_FOR_EACH_ACCOUNT {
                if self.is_over() {
                    break;
                }
                let address = format!("p{caller}-{round}-{person}@mail.test");
                let added = self.add(nodes, &account, &address).await;
                all.push(self.send_again(nodes, &added).await);
                all.push(added);
                all.push(self.add(nodes, shared, &address).await);
            }
        }
        all
    }

    async fn open(&self, nodes: &Nodes<'_>, name: &str) -> Acknowledged {
        let number = format!("N-{}", name.to_uppercase());
        let body = json!({ "customer_number": number, "kind": "customer", "name": format!("Account {name}") });
        let (position, answer) = self.ask(nodes, reqwest::Method::POST, "/v1/accounts", &body, name).await;
        Acknowledged { done: Done::Opened { account: text(&answer, "account"), number }, position }
    }

    async fn plan(&self, nodes: &Nodes<'_>, account: &str) -> Acknowledged {
        let plan = json!({ "name": "Plan", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z" });
        let path = format!("/v1/accounts/{account}/service-plan");
        let body = json!({ "service_plan": plan });
        let (position, _) = self.ask(nodes, reqwest::Method::PUT, &path, &body, account).await;
        Acknowledged { done: Done::Planned { account: account.into() }, position }
    }

    async fn add(&self, nodes: &Nodes<'_>, account: &str, address: &str) -> Acknowledged {
        let body = json!({ "name": "Sam Okafor", "address": address, "send_invitation": true });
        let path = format!("/v1/accounts/{account}/professionals");
        let key = format!("{account}/{address}");
        let (position, answer) = self.ask(nodes, reqwest::Method::POST, &path, &body, &key).await;
        let (professional, invitation) = (text(&answer, "professional"), text(&answer, "invitation"));
        Acknowledged { done: Done::Added { account: account.into(), professional, invitation }, position }
    }

    async fn send_again(&self, nodes: &Nodes<'_>, added: &Acknowledged) -> Acknowledged {
        let Done::Added { account, professional, .. } = &added.done else { panic!("only people are invited") };
        let path = format!("/v1/accounts/{account}/professionals/{professional}/invitations");
        let (position, answer) = self.ask(nodes, reqwest::Method::POST, &path, &json!({}), professional).await;
        let generation = answer["generation"].as_u64().expect("a generation is a number");
        Acknowledged {
            done: Done::Sent { account: account.clone(), invitation: text(&answer, "invitation"), generation },
            position,
        }
    }

    /// Asks one node or the other until one answers; an answer that is neither "done" nor "later" is a defect.
    async fn ask(
        &self,
        nodes: &Nodes<'_>,
        method: reqwest::Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> (i64, Value) {
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        let mut tries = 0;
        while begun.elapsed() < PATIENCE {
            tries += 1;
            let url = format!("{}{path}", nodes.any());
            let request = http_client().request(method.clone(), url).bearer_auth(&self.key);
            let request = request.header("idempotency-key", format!("{method} {key}")).json(body);
            // A node that is killed may take the answer with it after the effect: only the same key tells.
            if let Ok(response) = request.send().await {
                let status = response.status();
                match response.json::<Value>().await {
                    Ok(answer) if status.is_success() => {
                        self.retried.fetch_add(u32::from(tries > 1), Ordering::Relaxed);
                        return (answer["position"].as_i64().expect("a position is a number"), answer);
                    }
                    Ok(answer) => assert!(status.is_server_error(), "{method} {path}, try {tries}: {status} {answer}"),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        panic!("{method} {path} got no answer in {tries} tries");
    }
}

fn http_client() -> &'static reqwest::Client {
    static CLIENT: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    CLIENT.get_or_init(http)
}

fn account_of(opened: &Acknowledged) -> String {
    let Done::Opened { account, .. } = &opened.done else { panic!("it is an account that was opened") };
    account.clone()
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}
