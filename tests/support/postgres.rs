//! A database of its own for each test. Needs nothing but `std` and `server`: a test without the rest takes `database.rs`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::Server;

/// A fresh, empty database. Dropping it drops the database, whoever is still connected.
#[derive(Debug)]
pub struct Postgres {
    name: String,
    url: String,
}

impl Postgres {
    /// Makes an empty database on the cluster that `VINCULUM_TEST_POSTGRES` names (a superuser's URL), or else on a
    /// throwaway cluster of this process.
    pub fn fresh() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // A process long dead may have had the same id.
        psql(superuser_url(), &format!("drop database if exists {name} with (force)"));
        psql(superuser_url(), &format!("create database {name}"));
        let url = url_of(superuser_url(), &name);
        Self { name, url }
    }

    /// The superuser's URL of this database, `postgres://USER@HOST:PORT/NAME`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL as the superuser; rows come back as lines, fields separated by `|`.
    ///
    /// # Panics
    /// When the database refuses it.
    pub fn sql(&self, text: &str) -> String {
        psql(&self.url, text)
    }

    /// Everything in the database, as its own backup writes it.
    ///
    /// # Panics
    /// When the backup fails.
    pub fn dump(&self) -> Vec<u8> {
        let output = Command::new(newest_pg_dump()).args(["--dbname", &self.url]).output().expect("pg_dump is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// The server's own: an older one on the path refuses a newer server.
fn newest_pg_dump() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).filter(|path| number(path).is_some()).max_by_key(number);
    newest.map_or_else(|| "pg_dump".into(), |folder| folder.join("bin/pg_dump"))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        psql(superuser_url(), &format!("drop database if exists {} with (force)", self.name));
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where their database is")]
fn superuser_url() -> &'static str {
    // Never dropped: the cluster ends with the process, which closes its input.
    static CLUSTER: OnceLock<(String, Option<Server>)> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| match std::env::var("VINCULUM_TEST_POSTGRES") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = Server::script("pg.sh");
            (server.ready().to_owned(), Some(server))
        }
    });
    &cluster.0
}

fn url_of(superuser_url: &str, database: &str) -> String {
    let (address, settings) = superuser_url.split_once('?').unwrap_or((superuser_url, ""));
    let (server, _) = address.rsplit_once('/').expect("the URL names a database");
    let question = if settings.is_empty() { "" } else { "?" };
    format!("{server}/{database}{question}{settings}")
}

fn psql(url: &str, text: &str) -> String {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text])
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .output()
        .expect("psql is installed");
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
