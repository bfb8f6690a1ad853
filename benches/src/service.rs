//! The service as an operator runs it: the released binary as a process of its own, on PostgreSQL, with a
//! configuration made for the measurement.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use sqlx::{Connection as _, PgConnection};
use store::clock::Clock;
use store::seal::{KEY_BYTES, NamedKey};
use store::secret::Secret;
use store::working::identities::LookUpKey;
use store::{Location, Store, random};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::http::Connection;
use crate::issuer::{AUDIENCE, BACK_OFFICE_ROLE, Issuer};
use crate::life::LINK_KEY;

/// Names the binary; `./bench` sets it.
const BINARY: &str = "VINCULUM";
/// The host that clients name.
pub const HOST: &str = "id.harbour.example";
/// The short name that the service has for the issuer.
pub const ISSUER_KEY: &str = "work";
/// What stands before the address in the line that the service prints when it is ready.
const READY: &str = "listening on http://";
/// How often a service is asked whether it is ready: often enough to tell milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A database, its keys, and the issuer whose tokens are taken: what a service is started on.
pub struct World {
    url: String,
    sealing_key: [u8; KEY_BYTES],
    link_key: [u8; KEY_BYTES],
    look_up_key: [u8; KEY_BYTES],
    /// Who signs the tokens.
    pub issuer: Issuer,
    folder: PathBuf,
}

impl World {
    /// Migrates the database.
    pub async fn prepare(url: &str) -> Result<Self, Failure> {
        let issuer = Issuer::start().await?;
        let folder = std::env::temp_dir().join(format!("vinculum-service-{}", random::uuid().simple()));
        std::fs::create_dir(&folder)?;
        let (sealing_key, link_key, look_up_key) = (random::bytes(), random::bytes(), random::bytes());
        let world = Self { url: url.into(), sealing_key, link_key, look_up_key, issuer, folder };
        std::fs::write(world.folder.join("vinculum.toml"), world.configuration())?;
        store::migrate::migrate(&world.location(), None).await?;
        Ok(world)
    }

    fn location(&self) -> Location {
        Location::Postgres(Secret::new(self.url.clone()))
    }

    /// Opens the log in this process, with the keys that the service has.
    pub async fn open(&self) -> Result<(Store, JoinHandle<()>), Failure> {
        let keys = vec![NamedKey { id: "s1".into(), key: Secret::new(self.sealing_key) }];
        Ok(Store::open(self.location(), keys, Clock::System).await?)
    }

    /// What the service looks identities up with.
    pub fn look_up_key(&self) -> LookUpKey {
        Secret::new(self.look_up_key)
    }

    /// Starts the service.
    pub async fn serve(&self) -> Result<Service, Failure> {
        #[expect(clippy::disallowed_methods, reason = "`./bench` names it")]
        let binary = std::env::var_os(BINARY).ok_or_else(|| format!("{BINARY} names no binary"))?;
        let began = Instant::now();
        let mut child = Command::new(binary)
            .arg("serve")
            .env_clear()
            .env("VINCULUM_CONFIG", self.folder.join("vinculum.toml"))
            .env("DATABASE_URL", &self.url)
            .env("VINCULUM_SEALING_KEYS", format!("s1:{}", BASE64.encode(self.sealing_key)))
            .env("VINCULUM_LINK_KEYS", format!("{LINK_KEY}:{}", BASE64.encode(self.link_key)))
            .env("VINCULUM_LOOK_UP_KEY", BASE64.encode(self.look_up_key))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(self.folder.join("vinculum.log"))?) // its log, a line for each request
            .kill_on_drop(true)
            .spawn()?;
        let mut printed = BufReader::new(child.stdout.take().ok_or("the service prints nothing")?).lines();
        while let Some(line) = printed.next_line().await? {
            if let Some((_, address)) = line.split_once(READY) {
                return Ok(Service { child, address: address.parse()?, began });
            }
        }
        let log = std::fs::read_to_string(self.folder.join("vinculum.log"))?;
        Err(format!("the service did not start: {log}").into())
    }

    /// Brings the views to the log's head, and lets the database have done what it does by itself after a while.
    pub async fn settle(&self) -> Result<(), Failure> {
        let service = self.serve().await?;
        service.caught_up().await?;
        service.stop().await?;
        let mut connection = PgConnection::connect(&self.url).await?;
        sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
        sqlx::raw_sql("checkpoint").execute(&mut connection).await?;
        Ok(())
    }

    fn configuration(&self) -> String {
        let issuer = self.issuer.url();
        // Nobody listens at the relay: nothing that is measured sends a mail.
        format!(
            r#"base_url = "https://{HOST}"
listen = "127.0.0.1:0"
smtp_url = "smtp+plain://127.0.0.1:9"
mail_from = "Harbour <no-reply@harbour.example>"

[[issuers]]
key = "{ISSUER_KEY}"
kind = "organizational"
issuer = "{issuer}"
client_id = "vinculum"
bearer_audiences = ["{AUDIENCE}"]
staff_roles = {{ "{BACK_OFFICE_ROLE}" = "back_office" }}
"#
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder); // what is left in a temporary folder harms nobody
    }
}

/// A running service. Dropping it kills it.
pub struct Service {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    began: Instant,
}

impl Service {
    /// Waits until it says that it is ready, and that no view is behind the log. Returns how long that took since its
    /// start.
    pub async fn caught_up(&self) -> Result<Duration, Failure> {
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await {
                let request = Request::get("/readyz").header("host", HOST).body(Full::default())?;
                let answer = connection.send(request).await?;
                if answer.status() == StatusCode::OK && answer.body().ends_with(b"views 0 behind\n") {
                    return Ok(self.began.elapsed());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A line of what the system tells about its memory, in MB: `VmRSS` is resident now, `VmHWM` was at most.
    pub fn memory_mb(&self, name: &str) -> Result<f64, Failure> {
        let id = self.child.id().ok_or("the service has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let told = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes: f64 = told.ok_or("no such line")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1_024.0)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let id = self.child.id().ok_or("the service has ended")?;
        // The shell's own `kill`: not every machine has the program.
        Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id.to_string()]).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}
