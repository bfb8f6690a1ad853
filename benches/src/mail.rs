//! The whole mail worker, which claims, sends and records, beside the mail library alone; both into a sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::address::EmailAddress;
use domain::portal::{Portal, Portals};
use lettre::address::Envelope;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use projections::Projector;
use store::seal::NamedKey;
use store::secret::Secret;
use store::token::LinkKeys;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use workers::dispatch::MailWorker;
use workers::mail::Sender;
use workers::smtp::{Smtp, SmtpConfig, Tls};

use crate::Failure;
use crate::append::{location, open};
use crate::contender::take_turns;
use crate::life;
use crate::load::closed_loop;

/// Connections to the sink.
const CONNECTIONS: usize = 4;
/// Mails that wait when a turn begins, for each second of it: more than any worker sends.
const WAITING_PER_SECOND: f64 = 6_000.0;
/// The length of a mail of the yardstick, in bytes: that of an invitation.
const MAIL_BYTES: usize = 4_600;
/// How often a turn looks whether everything is sent.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// `mail URL`: mails a second that the worker claims, sends and records.
pub async fn contend(url: &str) -> Result<(), Failure> {
    let (sink, port) = Sink::listen().await?;
    let (store, _appender) = open(location(url)).await?;
    let (projector, views) = Projector::open(store.clone()).await?;
    let (_stop_projector, stopped) = watch::channel(false);
    tokio::spawn(projector.run(stopped));
    let worker = MailWorker {
        store: store.clone(),
        views: views.clone(),
        mailer: Arc::new(mailer(port)?),
        link_keys: LinkKeys::new(vec![NamedKey { id: life::LINK_KEY.into(), key: Secret::new([9; 32]) }]),
        base_url: "https://link.harbour.example".into(),
        portals: Portals { customer: portal("Customer Portal"), partner: portal("Partner Portal") },
    };
    let mut waiting = 0;
    take_turns(async |turn| {
        let wanted = (turn.time.as_secs_f64() * WAITING_PER_SECOND) as u64;
        let before = sink.taken.load(Ordering::Relaxed);
        let bytes_before = sink.bytes.load(Ordering::Relaxed);
        life::mails(&store, wanted.saturating_sub(waiting)).await?;
        waiting = wanted.max(waiting);
        let head = store.head().await?;
        while views.position() < head {
            views.wait_for(head).await;
        }
        let (stop, stopped) = watch::channel(false);
        let began = Instant::now();
        let working = tokio::spawn(worker.clone().run(stopped));
        while began.elapsed() < turn.time && sink.taken.load(Ordering::Relaxed) < before + waiting {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let taken = sink.taken.load(Ordering::Relaxed) - before;
        let value = taken as f64 / began.elapsed().as_secs_f64();
        let bytes = (sink.bytes.load(Ordering::Relaxed) - bytes_before) as f64 / taken.max(1) as f64;
        stop.send_replace(true);
        working.await?;
        waiting -= sink.taken.load(Ordering::Relaxed) - before;
        Ok(vec![("value", value), ("bytes", bytes)])
    })
    .await
}

/// `lettre PLACE`: mails a second of the library alone, over sockets without Nagle's delay that stay open.
pub async fn yardstick() -> Result<(), Failure> {
    let (_sink, port) = Sink::listen().await?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let hello = ClientId::Domain("mail.harbour.example".into());
        let connection = AsyncSmtpConnection::connect_with_transport(Box::new(socket), &hello).await?;
        connections.push(Mutex::new(connection));
    }
    let connections = Arc::new(connections);
    let envelope = Envelope::new(Some("links@harbour.example".parse()?), vec!["robin@harbour.example".parse()?])?;
    let line = format!("{}\r\n", "x".repeat(74));
    let letter: Arc<str> = format!("Subject: A link\r\n\r\n{}", line.repeat(MAIL_BYTES / line.len())).into();
    take_turns(async |turn| {
        let (connections, envelope, letter) = (Arc::clone(&connections), envelope.clone(), Arc::clone(&letter));
        let value = closed_loop(CONNECTIONS as u64, turn.time, move |caller, _| {
            let (connections, envelope, letter) = (Arc::clone(&connections), envelope.clone(), Arc::clone(&letter));
            async move {
                let mut connection = connections[caller as usize].lock().await;
                connection.send(&envelope, letter.as_bytes()).await?;
                Ok(())
            }
        })
        .await?;
        Ok(vec![("value", value)])
    })
    .await
}

fn mailer(port: u16) -> Result<Smtp, Failure> {
    let config = SmtpConfig {
        host: "127.0.0.1".into(),
        port,
        tls: Tls::None,
        username: None,
        password: None,
        connections_max: CONNECTIONS,
    };
    let sender = Sender {
        from: EmailAddress::parse("links@harbour.example")?,
        from_name: "Harbour Links".into(),
        message_id_domain: "mail.harbour.example".into(),
    };
    Ok(Smtp::new(config, sender)?)
}

fn portal(name: &str) -> Portal {
    Portal { name: name.into(), url: None }
}

/// A mail server that takes everything at once.
#[derive(Default)]
struct Sink {
    taken: AtomicU64,
    bytes: AtomicU64,
}

impl Sink {
    /// Listens on a port of loopback, for as long as the process lives.
    async fn listen() -> Result<(Arc<Self>, u16), Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let sink = Arc::new(Self::default());
        let taking = Arc::clone(&sink);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let sink = Arc::clone(&taking);
                tokio::spawn(async move { sink.take(socket).await });
            }
        });
        Ok((sink, port))
    }

    /// Talks to one client until it hangs up.
    async fn take(&self, socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut socket = BufReader::new(socket);
        socket.write_all(b"220 sink.harbour.example\r\n").await?;
        let (mut line, mut is_body) = (Vec::new(), false);
        while socket.read_until(b'\n', &mut line).await? > 0 {
            let reply: &[u8] = match line.as_slice() {
                b".\r\n" if is_body => {
                    is_body = false;
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    b"250 2.0.0 Ok: queued as 4bTXYZ1abcz9\r\n"
                }
                text if is_body => {
                    self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
                    b""
                }
                b"DATA\r\n" => {
                    is_body = true;
                    b"354 go on\r\n"
                }
                _ => b"250 2.1.0 Ok\r\n",
            };
            socket.write_all(reply).await?;
            line.clear();
        }
        Ok(())
    }
}
