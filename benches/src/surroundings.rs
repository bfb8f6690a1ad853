//! What a family of measures is measured in: a folder, throwaway clusters, and its contenders. It comes and goes with
//! the family, so that none inherits another's tables, and a cluster that breaks takes one family with it at most.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::process::Command;

use crate::Failure;
use crate::measures::{Contender, Length, Place, Program};
use crate::process::Process;

/// The repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// How long a cluster may take to come up.
const CLUSTER_WITHIN: Duration = Duration::from_secs(60);
/// What decides how fast PostgreSQL is, and how durable.
const SETTINGS: [&str; 7] = [
    "fsync",
    "full_page_writes",
    "max_connections",
    "max_wal_size",
    "shared_buffers",
    "synchronous_commit",
    "wal_sync_method",
];

/// Which disk a cluster believes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disk {
    Real,
    Slow,
}

#[derive(Debug)]
struct Cluster {
    /// The superuser's URL without the database.
    base: String,
    databases: BTreeSet<&'static str>,
}

/// Everything that was started for a family.
#[derive(Debug)]
pub struct Surroundings {
    folder: PathBuf,
    servers: Vec<Process>,
    clusters: BTreeMap<Disk, Cluster>,
    contenders: BTreeMap<&'static str, Process>,
}

impl Surroundings {
    /// Makes the folder; the rest comes when it is needed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("vinculum-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        // PostgreSQL drops root's rights and must still be able to pass.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711))?;
        Ok(Self { folder, servers: Vec::new(), clusters: BTreeMap::new(), contenders: BTreeMap::new() })
    }

    /// Starts a contender, with what it lives in, and waits until it is ready.
    ///
    /// # Errors
    /// Something does not start; the message says what.
    pub async fn start(&mut self, contender: &Contender, length: Length) -> Result<(), Failure> {
        let place = match contender.place {
            Place::Database(name) => self.database(Disk::Real, name).await?,
            Place::SlowDatabase(name) => self.database(Disk::Slow, name).await?,
            Place::Folder => {
                let folder = self.folder.join(contender.name);
                std::fs::create_dir(&folder)?;
                folder.to_string_lossy().into_owned()
            }
        };
        let program = match contender.program {
            Program::Own => std::env::current_exe()?,
            #[expect(clippy::disallowed_methods, reason = "`./bench` names it")]
            Program::Peers => std::env::var_os("PEERS").ok_or("PEERS names no binary of benches/peers")?.into(),
        };
        let mut command = Command::new(program);
        command.arg(contender.command).arg(place).env("TMPDIR", &self.folder);
        command.args(contender.arguments.iter().map(|amount| amount.of(length).to_string()));
        let process = Process::start(command, &self.folder.join(format!("{}.errors", contender.name))).await?;
        self.contenders.insert(contender.name, process); // before it is waited for, so that it is ended in any case
        self.contender(contender.name).ready(contender.ready_within).await.map(drop)
    }

    /// A contender that was started.
    pub fn contender(&mut self, name: &str) -> &mut Process {
        self.contenders.get_mut(name).expect("invariant: only contenders that were started take turns")
    }

    /// Ends one contender: it failed.
    pub async fn end_contender(&mut self, name: &str) {
        if let Some(mut process) = self.contenders.remove(name) {
            process.end().await;
        }
    }

    /// Tells PostgreSQL's version and the settings that matter, where it runs.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>, Failure> {
        let Some(cluster) = self.clusters.get(&Disk::Real) else { return Ok(BTreeMap::new()) };
        let mut connection = PgConnection::connect(&format!("{}/postgres", cluster.base)).await?;
        let mut settings = BTreeMap::new();
        for name in ["server_version"].into_iter().chain(SETTINGS) {
            let setting: String =
                sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut connection).await?;
            settings.insert(name.to_owned(), setting);
        }
        Ok(settings)
    }

    /// Ends everything, and removes the folder.
    pub async fn end(mut self) {
        for process in self.contenders.values_mut().chain(&mut self.servers) {
            process.end().await;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }

    async fn database(&mut self, disk: Disk, name: &'static str) -> Result<String, Failure> {
        if !self.clusters.contains_key(&disk) {
            let cluster = self.start_cluster(disk).await?;
            self.clusters.insert(disk, cluster);
        }
        let cluster = self.clusters.get_mut(&disk).expect("invariant: it was just started");
        if cluster.databases.insert(name) {
            let mut connection = PgConnection::connect(&format!("{}/postgres", cluster.base)).await?;
            sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await?;
        }
        Ok(format!("{}/{name}", cluster.base))
    }

    async fn start_cluster(&mut self, disk: Disk) -> Result<Cluster, Failure> {
        let mut command = Command::new("bash");
        command.arg(Path::new(ROOT).join("tests/env/pg.sh")).env("TMPDIR", &self.folder);
        if disk == Disk::Slow {
            command.env("LD_PRELOAD", self.slow_disk().await?);
        }
        self.servers.push(Process::start(command, &self.folder.join(format!("{disk:?}.errors"))).await?);
        let server = self.servers.last_mut().expect("invariant: it was just pushed");
        let url = server.ready(CLUSTER_WITHIN).await.map_err(|error| format!("the cluster: {error}"))?;
        let base = url.rsplit_once('/').ok_or("the cluster's URL names no database")?.0.to_owned();
        Ok(Cluster { base, databases: BTreeSet::new() })
    }

    async fn slow_disk(&self) -> Result<PathBuf, Failure> {
        let library = self.folder.join("slow_disk.so");
        let source = Path::new(ROOT).join("benches/slow_disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        match compiler.status().await?.success() {
            true => Ok(library),
            false => Err("slow_disk.c does not compile".into()),
        }
    }
}
