//! A mail server that does as it is told, and writes down what it was told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does when it is its turn.
#[derive(Clone, Debug)]
pub enum Act {
    Say(&'static [u8]),
    SayAfter(Duration, &'static [u8]),
    SayThenClose(&'static [u8]),
    SayThenReset(&'static [u8]),
    /// Says it again and again, until nobody listens.
    SayForEver(&'static [u8]),
    Close,
    Reset,
    Hang,
}

/// What the server does at each step of every connection that follows the script.
#[derive(Clone, Debug)]
pub struct Script {
    pub greeting: Act,
    pub ehlo: Act,
    pub starttls: Act,
    pub auth: Act,
    pub mail: Act,
    /// Where the second and later mails of a connection meet another answer.
    pub next_mail: Option<Act>,
    pub rcpt: Act,
    pub data: Act,
    /// Where the server acts at the first bytes of the body.
    pub in_body: Option<Act>,
    pub end: Act,
}

impl Script {
    pub fn good() -> Self {
        Self {
            greeting: Act::Say(b"220 relay.example ESMTP\r\n"),
            ehlo: Act::Say(b"250-relay.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n"),
            starttls: Act::Say(b"502 5.5.1 not here\r\n"),
            auth: Act::Say(b"235 2.7.0 welcome\r\n"),
            mail: Act::Say(b"250 2.1.0 Ok\r\n"),
            next_mail: None,
            rcpt: Act::Say(b"250 2.1.5 Ok\r\n"),
            data: Act::Say(b"354 go ahead\r\n"),
            in_body: None,
            end: Act::Say(b"250 2.0.0 Ok: queued as 4RZ\r\n"),
        }
    }

    pub fn hangs(&self) -> bool {
        let acts = [&self.greeting, &self.ehlo, &self.starttls, &self.auth, &self.mail, &self.rcpt, &self.data];
        let more = [&self.in_body, &self.next_mail].into_iter().flatten();
        acts.into_iter().chain([&self.end]).chain(more).any(|act| matches!(act, Act::Hang))
    }
}

/// What one client said in one connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub commands: Vec<String>,
    /// Whole bodies, up to the final dot, dot-stuffing undone.
    pub bodies: Vec<String>,
}

pub struct Server {
    pub port: u16,
    sessions: Arc<Mutex<Vec<Session>>>,
    pub open_most: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(script: Script) -> Self {
        Self::start_with(vec![script]).await
    }

    /// The first connection follows the first script, and so on; the last script stays.
    pub async fn start_with(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let open_most = Arc::new(AtomicUsize::new(0));
        let server = Self { port, sessions: Arc::clone(&sessions), open_most: Arc::clone(&open_most) };
        tokio::spawn(async move {
            let open = Arc::new(AtomicUsize::new(0));
            for number in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                sessions.lock().unwrap().push(Session::default());
                open_most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let talk = Talk {
                    socket: BufReader::new(socket),
                    script: scripts[number.min(scripts.len() - 1)].clone(),
                    sessions: Arc::clone(&sessions),
                    number,
                };
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    talk.run().await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub fn sessions(&self) -> Vec<Session> {
        self.sessions.lock().unwrap().clone()
    }

    pub fn bodies(&self) -> Vec<String> {
        self.sessions().into_iter().flat_map(|session| session.bodies).collect()
    }

    pub fn commands(&self) -> Vec<String> {
        self.sessions().into_iter().flat_map(|session| session.commands).collect()
    }
}

struct Talk {
    socket: BufReader<TcpStream>,
    script: Script,
    sessions: Arc<Mutex<Vec<Session>>>,
    number: usize,
}

/// The connection is over.
struct Over;

impl Talk {
    async fn run(mut self) {
        let _ = self.talk().await;
    }

    async fn talk(&mut self) -> Result<(), Over> {
        self.act(&self.script.greeting.clone()).await?;
        let mut mails = 0;
        loop {
            let command = self.line().await?;
            self.record(|session| session.commands.push(command.clone()));
            let script = self.script.clone();
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.act(&script.ehlo).await?,
                "STARTTLS" => self.act(&script.starttls).await?,
                "AUTH" => self.act(&script.auth).await?,
                "MAIL" => {
                    mails += 1;
                    self.act(script.next_mail.as_ref().filter(|_| mails > 1).unwrap_or(&script.mail)).await?;
                }
                "RCPT" => self.act(&script.rcpt).await?,
                "DATA" => {
                    self.act(&script.data).await?;
                    if matches!(script.data, Act::Say(reply) if reply.starts_with(b"354")) {
                        self.body().await?;
                    }
                }
                "QUIT" => self.act(&Act::SayThenClose(b"221 bye\r\n")).await?,
                _ => self.act(&Act::Say(b"500 5.5.2 what?\r\n")).await?,
            }
        }
    }

    async fn body(&mut self) -> Result<(), Over> {
        if let Some(act) = self.script.in_body.clone() {
            self.socket.read_u8().await.map_err(|_| Over)?;
            return self.act(&act).await;
        }
        let mut body = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            body.push_str(line.strip_prefix('.').unwrap_or(&line));
            body.push_str("\r\n");
        }
        self.record(|session| session.bodies.push(body));
        self.act(&self.script.end.clone()).await
    }

    async fn line(&mut self) -> Result<String, Over> {
        let mut line = Vec::new();
        match self.socket.read_until(b'\n', &mut line).await {
            Ok(1..) if line.ends_with(b"\r\n") => {
                line.truncate(line.len() - 2);
                Ok(String::from_utf8(line).unwrap())
            }
            _ => Err(Over),
        }
    }

    async fn act(&mut self, act: &Act) -> Result<(), Over> {
        match act {
            Act::Say(text) => self.say(text).await,
            Act::SayAfter(wait, text) => {
                tokio::time::sleep(*wait).await;
                self.say(text).await
            }
            Act::SayThenClose(text) => {
                self.say(text).await?;
                Err(Over)
            }
            Act::SayThenReset(text) => {
                self.say(text).await?;
                self.reset()
            }
            Act::SayForEver(text) => loop {
                self.say(text).await?;
            },
            Act::Close => Err(Over),
            Act::Reset => self.reset(),
            Act::Hang => std::future::pending().await,
        }
    }

    async fn say(&mut self, text: &[u8]) -> Result<(), Over> {
        self.socket.get_mut().write_all(text).await.map_err(|_| Over)
    }

    fn reset(&mut self) -> Result<(), Over> {
        self.socket.get_ref().set_zero_linger().unwrap();
        Err(Over)
    }

    fn record(&self, write: impl FnOnce(&mut Session)) {
        write(&mut self.sessions.lock().unwrap()[self.number]);
    }
}
