//! What the binary does besides serving.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::words::Scope;
use indicatif::{ProgressBar, ProgressStyle};
use store::clock::Clock;
use store::{Store, random};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::cli::Failure;
use crate::config::{Config, Keys, Mode};
use crate::dev;

/// Says what the configuration is.
pub fn check_config(config: &Config) -> Result<(), Failure> {
    match &config.mode {
        Mode::Embedded { folder } => {
            println!("The configuration is in order: the embedded default, data in {}.", folder.display());
        }
        Mode::Production(production) => {
            let issuers: Vec<&str> = production.issuers.iter().map(|issuer| issuer.key.as_str()).collect();
            println!("The configuration is in order: {}, issuers {}.", production.base_url, issuers.join(", "));
        }
    }
    Ok(())
}

/// Prints fresh secrets in the form of the environment.
pub fn secrets() -> Result<(), Failure> {
    let fresh = || BASE64.encode(random::bytes::<32>());
    println!("VINCULUM_SEALING_KEYS=s1:{}", fresh());
    println!("VINCULUM_LINK_KEYS=l1:{}", fresh());
    println!("VINCULUM_LOOK_UP_KEY={}", fresh());
    Ok(())
}

/// The configuration's keys, or the embedded default's generated ones.
pub fn keys(config: &Config) -> Result<Keys, Failure> {
    match &config.mode {
        Mode::Embedded { folder } => Ok(dev::keys::load_or_make(folder).map_err(Failure::other)?.keys),
        Mode::Production(production) => Ok(production.keys.clone()),
    }
}

/// Opens the log; the task ends once the store is dropped and everything is written.
pub async fn open(config: &Config) -> Result<(Store, JoinHandle<()>), Failure> {
    let sealing = keys(config)?.sealing;
    if let Mode::Embedded { .. } = config.mode {
        store::migrate::migrate(&config.location(), None).await.map_err(Failure::other)?;
    }
    Store::open(config.location(), sealing, Clock::System).await.map_err(Failure::other)
}

/// Brings the schema to this release.
pub async fn migrate(config: &Config, service_role: Option<&str>) -> Result<(), Failure> {
    store::migrate::migrate(&config.location(), service_role).await.map_err(Failure::other)?;
    println!("The database is migrated.");
    Ok(())
}

/// Makes views anew.
pub async fn rebuild(config: &Config, views: &[String]) -> Result<(), Failure> {
    let (store, _appender) = open(config).await?;
    let all = || projections::ALL.iter().map(|view| view.name).collect();
    let names: Vec<&str> = if views.is_empty() { all() } else { views.iter().map(String::as_str).collect() };
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} events, {per_sec}, {eta} left");
    bar.set_style(style.map_err(Failure::other)?);
    let progress = |progress: projections::rebuild::Progress| {
        bar.set_length(progress.head.unsigned_abs());
        bar.set_position(progress.position.unsigned_abs());
    };
    let rebuilt = projections::rebuild::rebuild_all(&store, &names, progress).await.map_err(Failure::other)?;
    bar.finish_and_clear();
    for (name, rebuilt) in names.iter().zip(rebuilt) {
        let compared = match rebuilt.differences {
            None => "there was none to compare it with".to_string(),
            Some(0) => "equal to the one before".to_string(),
            Some(differences) => format!("{differences} rows differ from the one before"),
        };
        println!("{name}: {} rows at position {}, {compared}", rebuilt.rows, rebuilt.position);
    }
    Ok(())
}

/// Makes an API key.
pub async fn create_key(config: &Config, name: &str, scopes: &[Scope]) -> Result<(), Failure> {
    let (store, _appender) = open(config).await?;
    let (key, text) = store.create_api_key(name, scopes).await.map_err(Failure::other)?;
    eprintln!("Key {} is shown this once; keep it safe:", key.id);
    println!("{}", text.reveal());
    Ok(())
}

/// Lists API keys.
pub async fn list_keys(config: &Config) -> Result<(), Failure> {
    let (store, _appender) = open(config).await?;
    for key in store.api_keys().await.map_err(Failure::other)? {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = key.revoked_at.map_or_else(|| "works".to_string(), |at| format!("revoked {at}"));
        println!("{}  {:24}  {:32}  made {}  {state}", key.id, key.name, scopes.join(","), key.created_at);
    }
    Ok(())
}

/// Revokes an API key.
pub async fn revoke_key(config: &Config, id: Uuid) -> Result<(), Failure> {
    let (store, _appender) = open(config).await?;
    if !store.revoke_api_key(id).await.map_err(Failure::other)? {
        return Err(Failure::other(format!("there is no key {id} that works")));
    }
    println!("Key {id} is revoked.");
    Ok(())
}

/// Prints the OpenAPI document.
pub fn openapi() -> Result<(), Failure> {
    print!("{}", api::docs::openapi_json());
    Ok(())
}
