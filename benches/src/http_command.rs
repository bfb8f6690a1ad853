//! Commands over HTTP: the whole service, from the bearer token to views that show what was done.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::AccountId;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use store::random;

use crate::Failure;
use crate::append::open_accounts;
use crate::contender::{Measured, take_turns};
use crate::http::Connection;
use crate::issuer::BACK_OFFICE_ROLE;
use crate::load::{Caller, Sorted, timed_loop};
use crate::service::{HOST, Service, World};

/// Accounts that people are added to.
const ACCOUNTS: u64 = 1_000;
/// Long enough for the service to have met every account and connection.
const WARM_UP: Duration = Duration::from_secs(1);

/// `http-command URL`: people added to many accounts a second, over `connections`, each by a staff member of its own.
pub async fn contend(url: &str) -> Result<(), Failure> {
    let world = World::prepare(url).await?;
    let (store, appender) = world.open().await?;
    let accounts: Arc<[AccountId]> = open_accounts(&store, ACCOUNTS).await?.into();
    drop(store);
    appender.await?;
    let service = world.serve().await?;
    service.caught_up().await?;
    measure(&world, &service, &accounts, 64, WARM_UP).await?;
    take_turns(async |turn| measure(&world, &service, &accounts, turn.number("connections", 64), turn.time).await).await
}

async fn measure(
    world: &World,
    service: &Service,
    accounts: &Arc<[AccountId]>,
    connections: u64,
    time: Duration,
) -> Result<Measured, Failure> {
    let adders = adders(world, service, accounts, connections).await?;
    let (answered, adders) = timed_loop(adders, time).await?;
    let lags = Sorted::new(adders.into_iter().flat_map(|adder| adder.lags_ms).collect());
    Ok(vec![
        ("value", answered.per_second),
        ("p50_ms", answered.took.percentile(50)),
        ("p99_ms", answered.took.percentile(99)),
        ("lag_p50_ms", lags.percentile(50)),
        ("lag_p99_ms", lags.percentile(99)),
    ])
}

/// Staff members, each with a connection and a bearer token of its own.
pub async fn adders(
    world: &World,
    service: &Service,
    accounts: &Arc<[AccountId]>,
    connections: u64,
) -> Result<Vec<Adder>, Failure> {
    let mut adders = Vec::new();
    for number in 0..connections {
        adders.push(Adder {
            connection: Connection::open(service.address).await?,
            authorization: format!("Bearer {}", world.issuer.token(&format!("staff-{number}"), &[BACK_OFFICE_ROLE])?),
            accounts: Arc::clone(accounts),
            next: (number * accounts.len() as u64 / connections) as usize,
            lags_ms: Vec::new(),
        });
    }
    Ok(adders)
}

/// A staff member's front-end.
pub struct Adder {
    connection: Connection,
    authorization: String,
    accounts: Arc<[AccountId]>,
    next: usize,
    /// From durable to visible, as the service tells it.
    lags_ms: Vec<f64>,
}

impl Caller for Adder {
    async fn call(&mut self) -> Result<(), Failure> {
        let account = self.accounts[self.next % self.accounts.len()];
        self.next += 1;
        let id = random::uuid();
        let body = format!(r#"{{"name":"Robin Rivers","address":"{}@harbour.example","language":"en"}}"#, id.simple());
        let request = Request::post(format!("/v1/accounts/{account}/professionals"))
            .header("host", HOST)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .header("idempotency-key", id.to_string())
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.connection.send(request).await?;
        let text = String::from_utf8_lossy(answer.body());
        if answer.status() != StatusCode::CREATED || !text.contains(r#""views":"current""#) {
            return Err(format!("{}: {text}", answer.status()).into());
        }
        let timing = answer.headers().get("server-timing").and_then(|timing| timing.to_str().ok());
        let lag = timing.and_then(|timing| timing.split_once("views;dur=")).ok_or("the answer tells no timing")?;
        self.lags_ms.push(lag.1.parse()?);
        Ok(())
    }
}
