//! The most frequent query, `GET /v1/me`, beside a server with nothing in it but one point select.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use domain::caller::{Actor, Caller as CommandCaller};
use domain::command::{Command, NewLink};
use domain::ids::{AccountId, IdentityId, InvitationId};
use domain::invitation::{Lifetime, Link, Mailbox};
use domain::name::{AccountName, CustomerNumber};
use domain::personal::IdentityDetails;
use domain::words::{AccountKind, IdentityKind};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use store::{Store, random};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command as Process;

use crate::Failure;
use crate::append::{add, request, staff};
use crate::contender::take_turns;
use crate::http::Connection;
use crate::life::LINK_KEY;
use crate::load::{Answered, Caller, timed_loop};
use crate::service::{HOST, ISSUER_KEY, World};

/// People who ask.
pub const PEOPLE: u64 = 1_000;
/// People of one account.
const PEOPLE_OF_ACCOUNT: usize = 20;
/// The row of the yardstick: as long as a row of the views that `GET /v1/me` reads.
const ROW_BYTES: usize = 500;
/// Connections to the database, as many as the service has for queries.
const DATABASE_CONNECTIONS: u32 = 8;
/// Connections if nothing else is said.
const CONNECTIONS: u64 = 64;
/// Long enough for the server to have met everybody.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// `http-query URL`: answers to `GET /v1/me` a second, over `connections`.
pub async fn contend(url: &str) -> Result<(), Failure> {
    let world = World::prepare(url).await?;
    let (store, appender) = world.open().await?;
    let people = link_people(&world, &store, PEOPLE).await?;
    drop(store);
    appender.await?;
    world.settle().await?; // as the yardstick's table is
    let service = world.serve().await?;
    service.caught_up().await?;
    take_turns_asking(service.address, asks_for_me(&world, &people)?).await
}

/// `bare-axum URL`: answers a second of a server that selects one row by its key and sends it.
pub async fn contend_bare(url: &str) -> Result<(), Failure> {
    let pool = PgPool::connect(url).await?;
    sqlx::raw_sql("create table row_by_key (key text primary key, body text not null)").execute(&pool).await?;
    let mut asks = Vec::new();
    for _ in 0..PEOPLE {
        let key = random::uuid().to_string();
        let body = format!(r#"{{"key":"{key}","filler":"{}"}}"#, "x".repeat(ROW_BYTES));
        sqlx::query("insert into row_by_key (key, body) values ($1, $2)").bind(&key).bind(body).execute(&pool).await?;
        asks.push(Ask { path: format!("/{key}"), authorization: None });
    }
    sqlx::raw_sql("vacuum analyze row_by_key").execute(&pool).await?;
    pool.close().await;
    let mut server = Process::new(std::env::current_exe()?)
        .args(["bare-server", url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut printed = BufReader::new(server.stdout.take().ok_or("the server prints nothing")?).lines();
    let address = printed.next_line().await?.ok_or("the server did not start")?.parse()?;
    take_turns_asking(address, asks.into()).await
}

/// `bare-server URL`: the yardstick's server, a process of its own as the service is. It prints its address.
pub async fn serve_bare(url: &str) -> Result<(), Failure> {
    let options = PgPoolOptions::new().max_connections(DATABASE_CONNECTIONS).test_before_acquire(false);
    let pool = options.connect(url).await?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true))); // as the service does
    let router = Router::new().route("/{key}", get(read_row)).with_state(pool);
    Ok(axum::serve(listener, router).await?)
}

async fn read_row(State(pool): State<PgPool>, Path(key): Path<String>) -> Result<impl IntoResponse, StatusCode> {
    let row = sqlx::query_scalar("select body from row_by_key where key = $1").bind(key).fetch_one(&pool).await;
    let body: String = row.map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body))
}

/// Adds people to new accounts and links each to an identity, all by commands. Returns their subjects at the issuer.
pub async fn link_people(world: &World, store: &Store, count: u64) -> Result<Vec<String>, Failure> {
    let mut accounts = Vec::new();
    for _ in (0..count).step_by(PEOPLE_OF_ACCOUNT) {
        let (store, key, issuer) = (store.clone(), world.look_up_key(), world.issuer.url().to_owned());
        accounts.push(tokio::spawn(async move {
            let account = AccountId(random::uuid());
            open_partner(&store, account).await?;
            let mut subjects = Vec::new();
            for _ in 0..PEOPLE_OF_ACCOUNT {
                let subject = random::uuid().to_string();
                let claims = serde_json::to_string(&[&subject])?; // as the service knows whoever has a subject of one claim
                link(&store, account, store.identity(&key, &issuer, &claims).await?).await?;
                subjects.push(subject);
            }
            Ok::<_, Failure>(subjects)
        }));
    }
    let mut subjects = Vec::new();
    for account in accounts {
        subjects.extend(account.await??);
    }
    Ok(subjects)
}

/// A partner's account needs no service plan (R20). Its first person is its administrator, and not among those who ask.
async fn open_partner(store: &Store, account: AccountId) -> Result<(), Failure> {
    let command = Command::OpenAccount {
        account,
        customer_number: CustomerNumber::parse(&account.0.simple().to_string()[..20])?,
        kind: AccountKind::Partner,
        name: AccountName::parse("Harbour Lights Chandlery")?,
    };
    store.execute(command, staff(), request()).await?;
    store.execute(add(store, account), staff(), request()).await?;
    Ok(())
}

/// Adds a person, and links it as one does who opens the link and types the code.
async fn link(store: &Store, account: AccountId, identity: IdentityId) -> Result<(), Failure> {
    let invitation = InvitationId(random::uuid());
    let mut adding = add(store, account);
    if let Command::AddProfessional { invitation: wanted, .. } = &mut adding {
        *wanted = Some(NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: LINK_KEY.into() });
    }
    store.execute(adding, staff(), request()).await?;
    let caller = || CommandCaller::new(Actor::Identity(identity));
    let known = Command::RegisterIdentity {
        identity,
        issuer: ISSUER_KEY.into(),
        kind: IdentityKind::Organizational,
        details: IdentityDetails { name: None, address: None },
    };
    store.execute(known, caller(), request()).await?;
    let link = Link { account, invitation, generation: 1 };
    let accept = Command::AcceptInvitation { link, identity, mailbox: Mailbox::CodeEntered };
    store.execute(accept, caller(), request()).await?;
    Ok(())
}

/// What these people ask: which profiles they have.
pub fn asks_for_me(world: &World, people: &[String]) -> Result<Arc<[Ask]>, Failure> {
    let ask = |person: &String| {
        let authorization = Some(format!("Bearer {}", world.issuer.token(person, &[])?));
        Ok(Ask { path: "/v1/me".into(), authorization })
    };
    people.iter().map(ask).collect()
}

/// One thing that is asked.
pub struct Ask {
    path: String,
    authorization: Option<String>,
}

async fn take_turns_asking(address: SocketAddr, asks: Arc<[Ask]>) -> Result<(), Failure> {
    measure(address, &asks, CONNECTIONS, WARM_UP).await?;
    take_turns(async |turn| {
        let answered = measure(address, &asks, turn.number("connections", CONNECTIONS), turn.time).await?;
        let took = |percent| answered.took.percentile(percent);
        Ok(vec![("value", answered.per_second), ("p50_ms", took(50)), ("p99_ms", took(99))])
    })
    .await
}

/// Lets everybody ask for a while, over so many connections.
pub async fn measure(
    address: SocketAddr,
    asks: &Arc<[Ask]>,
    connections: u64,
    time: Duration,
) -> Result<Answered, Failure> {
    let (answered, _) = timed_loop(askers(address, asks, connections).await?, time).await?;
    Ok(answered)
}

/// Front-ends with a connection each.
pub async fn askers(address: SocketAddr, asks: &Arc<[Ask]>, connections: u64) -> Result<Vec<Asker>, Failure> {
    let mut askers = Vec::new();
    for number in 0..connections {
        let next = (number * asks.len() as u64 / connections) as usize;
        askers.push(Asker { connection: Connection::open(address).await?, asks: Arc::clone(asks), next });
    }
    Ok(askers)
}

/// Asks the one thing after the other.
pub struct Asker {
    connection: Connection,
    asks: Arc<[Ask]>,
    next: usize,
}

impl Caller for Asker {
    async fn call(&mut self) -> Result<(), Failure> {
        let ask = &self.asks[self.next % self.asks.len()];
        self.next += 1;
        let mut request = Request::get(&ask.path).header("host", HOST);
        if let Some(authorization) = &ask.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = self.connection.send(request.body(Full::default())?).await?;
        if answer.status() != StatusCode::OK || answer.body().len() < ROW_BYTES {
            return Err(format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())).into());
        }
        Ok(())
    }
}
