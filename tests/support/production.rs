//! The production service as an operator sets it up: a database with two roles, secrets, a file and an environment.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use super::{Postgres, Vinculum};

/// Everything that the production service is told. Dropping it drops the database and its roles.
#[derive(Debug)]
pub struct Production {
    home: TempDir,
    database: Postgres,
    environment: Vec<(String, String)>,
}

impl Production {
    /// Makes an empty database that an owner's role owns and a service's role may connect to, and writes `file` (TOML)
    /// as the configuration beside fresh secrets.
    pub fn prepare(file: &str) -> Self {
        let (home, database) = (tempfile::tempdir().expect("there is room for a folder"), Postgres::fresh());
        let name = database.sql("select current_database()");
        database.sql(&format!(
            "create role owner_of_{name} login; create role service_of_{name} login; \
             alter database {name} owner to owner_of_{name}"
        ));
        std::fs::write(home.path().join("vinculum.toml"), file).expect("the folder takes files");
        let mut production = Self { home, database, environment: Vec::new() };
        let secrets = production.succeed(&["secrets"]);
        for (name, value) in secrets.lines().filter_map(|line| line.split_once('=')) {
            production.set(name, value);
        }
        production.set("VINCULUM_CONFIG", &production.home.path().join("vinculum.toml").display().to_string());
        production.set("DATABASE_URL", &production.url_of("service"));
        production
    }

    /// Brings the schema, as the owner, and gives the service's role what it needs.
    pub fn migrate(&self) {
        let role = format!("service_of_{}", self.database.sql("select current_database()"));
        let owner = [("DATABASE_URL".to_owned(), self.url_of("owner"))];
        let migrated = self.run_with(&["migrate", "--service-role", &role], &owner);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }

    /// Adds to the environment, or replaces what stands there.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.into(), value.into()));
    }

    /// The database, as the superuser sees it.
    pub fn database(&self) -> &Postgres {
        &self.database
    }

    /// The database's URL for the role `owner` or `service`.
    pub fn url_of(&self, role: &str) -> String {
        let name = self.database.sql("select current_database()");
        let (_, place) = self.database.url().split_once('@').expect("the superuser's URL names a user");
        format!("postgres://{role}_of_{name}@{place}")
    }

    /// Where the service runs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts the service.
    pub fn serve(&self) -> Vinculum {
        self.serve_in(self.home.path(), &[])
    }

    /// Starts a node of it in another folder, with more in its environment.
    pub fn serve_in(&self, home: &Path, more: &[(String, String)]) -> Vinculum {
        Vinculum::serve(home, &borrowed(&self.all_with(more)))
    }

    /// Runs a command of the binary that must succeed; gives what it prints.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs a command of the binary with more in its environment.
    pub fn run_with(&self, arguments: &[&str], more: &[(String, String)]) -> Output {
        let mut command = Vinculum::command(self.home.path(), &borrowed(&self.all_with(more)));
        command.args(arguments).output().expect("the binary starts")
    }

    /// Makes an API key.
    pub fn key(&self, name: &str, scopes: &[&str]) -> String {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        self.succeed(&["keys", "create", name].into_iter().chain(scopes).collect::<Vec<_>>())
    }

    fn all_with(&self, more: &[(String, String)]) -> Vec<(String, String)> {
        let is_replaced = |name: &String| more.iter().any(|(other, _)| other == name);
        let kept = self.environment.iter().filter(|(name, _)| !is_replaced(name));
        kept.chain(more).cloned().collect()
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        let name = self.database.sql("select current_database()");
        self.database.sql(&format!(
            "reassign owned by owner_of_{name}, service_of_{name} to current_user; \
             drop owned by owner_of_{name}, service_of_{name}; drop role owner_of_{name}, service_of_{name}"
        ));
    }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
