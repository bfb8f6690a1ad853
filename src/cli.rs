//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::words::Scope;
use uuid::Uuid;

use crate::config::{self, Config, Mistake};
use crate::export::Export;
use crate::invitations::Invitations;
use crate::{commands, export, import, invitations, sample, serve, telemetry, verify};

/// Links the sign-ins people already have to their profiles in business accounts.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// The configuration file (TOML); environment variables win over it. Also: VINCULUM_CONFIG
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service. Without any configuration: the embedded default, on loopback, with sample people
    Serve,
    /// Check the configuration and tell every mistake at once
    CheckConfig,
    /// Print fresh secrets for the configuration
    Secrets,
    /// Bring the database's schema to this release; run it as the database's owner
    Migrate {
        /// The role that the service will use; it gets what the service needs and no more
        #[arg(long, value_name = "ROLE")]
        service_role: Option<String>,
    },
    /// Make views anew from the log, beside the live ones, with no writer stopped
    Rebuild {
        /// Which views; all if none is named
        #[arg(value_name = "VIEW")]
        views: Vec<String>,
    },
    /// Hold the whole log against its index and against the rules; nothing is changed
    Verify,
    /// API keys of back office, support, operators and auditors
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Invitations that failed: which, why, and sending them again
    #[command(subcommand)]
    Invitations(Invitations),
    /// Write a history, or the whole log, as JSON Lines or CSV; that it was read is recorded
    Export(Export),
    /// Import accounts and professionals from CSV files: one result for each row, and a second run appends nothing
    #[command(after_long_help = IMPORT_HELP, after_help = IMPORT_HELP)]
    Import(import::ImportFiles),
    /// Write CSV files for an import, of invented accounts and people: the same arguments make the same files
    Sample(sample::SampleFiles),
    /// Print the OpenAPI document
    Openapi,
}

const IMPORT_HELP: &str = "\
Both files have a header, with the columns in any order. Plan columns may be empty; times are RFC 3339. Partners are \
customer numbers, roles are administrator, billing_contact, customer_care_contact and shipping_contact, each with `;` \
between. The first person of an account holds all roles. Invitations: at most 20 in a minute for each account.

Results are CSV: file,line,outcome,code,message,account,professional. Outcomes: created, completed (what was missing was \
added), unchanged, refused. Exit code 0 if no row was refused, else 1.";

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it, this once
    Create(CreateKey),
    /// List every key, without its secret
    List,
    /// Revoke a key
    Revoke {
        /// The key's id
        id: Uuid,
    },
}

#[derive(Debug, Args)]
struct CreateKey {
    /// What the key is for
    name: String,
    /// What it may do: back_office, support, operator, auditor; repeat it for several
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    text.parse().map_err(|_| format!("known scopes: {}", known.join(", ")))
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration has mistakes.
    #[error("the configuration has {} mistake{}:{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, lines(.0))]
    Config(Vec<Mistake>),
    /// Something else, with its whole chain of causes.
    #[error("{}", chain(.0.as_ref()))]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {}: {}", mistake.setting, mistake.message)).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

impl Failure {
    /// Any error as a failure.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

/// Does what was asked for; `serve` if nothing was.
///
/// # Errors
/// It did not succeed; the failure says why, for people.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let load = || -> Result<Config, Failure> { config::load(arguments.config.as_deref()).map_err(Failure::Config) };
    let logging = config::logging();
    let command = arguments.command.unwrap_or(Command::Serve);
    match command {
        Command::Serve => telemetry::start(&logging),
        _ => telemetry::start_quiet(&logging),
    }
    match command {
        Command::Serve => serve::serve(load()?).await,
        Command::CheckConfig => commands::check_config(&load()?),
        Command::Secrets => commands::secrets(),
        Command::Migrate { service_role } => commands::migrate(&load()?, service_role.as_deref()).await,
        Command::Rebuild { views } => commands::rebuild(&load()?, &views).await,
        Command::Verify => verify::verify(&load()?).await,
        Command::Keys(KeysCommand::Create(key)) => commands::create_key(&load()?, &key.name, &key.scopes).await,
        Command::Keys(KeysCommand::List) => commands::list_keys(&load()?).await,
        Command::Keys(KeysCommand::Revoke { id }) => commands::revoke_key(&load()?, id).await,
        Command::Invitations(wanted) => invitations::run(&load()?, wanted).await,
        Command::Export(wanted) => export::export(&load()?, wanted).await,
        Command::Import(files) => import::import(&load()?, &files).await,
        Command::Sample(files) => sample::sample(&files),
        Command::Openapi => commands::openapi(),
    }
}
