//! How the service is put together, and how it stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::oidc::Providers;
use api::state::{Api, Parts, Settings, SignIns};
use axum::Router;
use projections::{Projector, Views};
use store::Store;
use store::token::LinkKeys;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;
use workers::appointments::AppointmentWorker;
use workers::associations::AssociationWorker;
use workers::dispatch::MailWorker;
use workers::eml::Eml;
use workers::import::worker::ImportWorker;
use workers::mailer::Mailer;
use workers::smtp::Smtp;

use crate::cli::Failure;
use crate::commands::{keys, open};
use crate::config::{Config, Keys, Mode};
use crate::dev::Development;
use crate::listen::{self, Limits};

/// How long requests and mails under way may take once the service is asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// How often ended sessions and flows are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Runs the service until it is asked to stop (Ctrl-C, SIGTERM).
///
/// # Errors
/// It cannot start.
pub async fn serve(config: Config) -> Result<(), Failure> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| Failure::other(format!("cannot listen on {}: {error}; set VINCULUM_LISTEN", config.listen)))?;
    let address = listener.local_addr().map_err(Failure::other)?;
    let keys = keys(&config)?;
    let (store, appender) = open(&config).await?;
    let (projector, views) = Projector::open(store.clone()).await.map_err(Failure::other)?;
    let (stop, stopped) = watch::channel(false);
    let (stop_views, views_stopped) = watch::channel(false);
    let projecting = tokio::spawn(projector.run(views_stopped));
    let mut tasks = Vec::new();
    let (api, extra) = http_side(&config, address, &store, &views, &keys).await?;
    tasks.push(tokio::spawn(mail_worker(&config, &api, keys)?.run(stopped.clone())));
    tasks.push(tokio::spawn(association_worker(&api).run(stopped.clone())));
    let appointments = AppointmentWorker { store: store.clone(), views: views.clone() };
    tasks.push(tokio::spawn(appointments.run(stopped.clone())));
    let imports = ImportWorker { store: store.clone(), link_key: api.link_keys.newest().into() };
    tasks.push(tokio::spawn(imports.run(stopped.clone())));
    tasks.push(tokio::spawn(sweep(store.clone(), stopped.clone())));
    drop((store, views));
    announce(&config, address);
    let router = api::router(api, extra);
    tasks.push(tokio::spawn(listen::serve(listener, router, Limits::DEFAULT, ask_to_stop(stop))));
    finish(tasks, stop_views, [projecting, appender], stopped).await;
    Ok(())
}

async fn http_side(
    config: &Config,
    address: SocketAddr,
    store: &Store,
    views: &Views,
    keys: &Keys,
) -> Result<(Api, Router<Api>), Failure> {
    let http = api::oidc::http_client().map_err(Failure::other)?;
    let (development, base_url, other_hosts, issuers) = match &config.mode {
        Mode::Embedded { folder } => {
            let base_url = Url::parse(&format!("http://{address}")).map_err(Failure::other)?;
            let development = Development::start(folder, &base_url, store, keys).await.map_err(Failure::other)?;
            let issuers = development.issuers();
            (Some(development), base_url, Vec::new(), issuers)
        }
        Mode::Production(it) => (None, it.base_url.clone(), it.other_hosts.clone(), it.issuers.clone()),
    };
    let providers = Providers::new(issuers, http, store.clock().clone()).map_err(Failure::other)?;
    let settings = Settings {
        base_url,
        other_hosts,
        portals: config.portals.clone(),
        start_page: development.as_ref().map(|_| "/".to_string()),
    };
    let api = Api::new(Parts {
        store: store.clone(),
        views: views.clone(),
        providers,
        link_keys: LinkKeys::new(keys.links.clone()),
        look_up_key: keys.look_up.clone(),
        settings,
        sign_ins: SignIns::default(),
    });
    Ok((api, development.map_or_else(Router::new, Development::router)))
}

fn mail_worker(config: &Config, api: &Api, keys: Keys) -> Result<MailWorker, Failure> {
    let mailer: Arc<dyn Mailer> = match &config.mode {
        Mode::Embedded { folder } => Arc::new(Eml::new(mail_folder(folder), crate::dev::sender())),
        Mode::Production(it) => Arc::new(Smtp::new(it.smtp.clone(), it.sender.clone()).map_err(Failure::other)?),
    };
    Ok(MailWorker {
        store: api.store.clone(),
        views: api.views.clone(),
        mailer,
        link_keys: LinkKeys::new(keys.links),
        base_url: api.settings.base_url.as_str().trim_end_matches('/').into(),
        portals: config.portals.clone(),
    })
}

fn association_worker(api: &Api) -> AssociationWorker {
    let (store, views, link_keys) = (api.store.clone(), api.views.clone(), api.link_keys.clone());
    AssociationWorker { store, views, link_keys }
}

/// Where the embedded default puts its mails.
pub fn mail_folder(data: &Path) -> std::path::PathBuf {
    data.join("mail")
}

fn announce(config: &Config, address: SocketAddr) {
    match &config.mode {
        Mode::Embedded { folder } => {
            println!("Vinculum is ready. Open  http://{address}");
            println!("This is the embedded default: for you alone, on this machine, with sample people.");
            println!("Data: {} (kept). Stop: Ctrl-C.", folder.display());
        }
        Mode::Production(production) => {
            println!("Vinculum is ready at {}, listening on http://{address}", production.base_url);
        }
    }
}

async fn sweep(store: Store, mut stopped: watch::Receiver<bool>) {
    loop {
        let swept = async {
            store.sweep_working_state().await?;
            store.sweep_associations().await
        };
        if let Err(error) = swept.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "ended working state could not be deleted");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Waits for Ctrl-C or SIGTERM, then tells everybody.
async fn ask_to_stop(stop: watch::Sender<bool>) {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
    tracing::info!("stopping: requests and mails under way are finished");
    stop.send_replace(true);
}

/// Waits, within bounds, until everything under way is finished: first requests and mails, which wait for the views;
/// then the projector; last the appender, which ends with its queue empty once nobody holds the store.
async fn finish(
    tasks: Vec<JoinHandle<()>>,
    stop_views: watch::Sender<bool>,
    last: [JoinHandle<()>; 2],
    mut stopped: watch::Receiver<bool>,
) {
    let _ = stopped.wait_for(|stopped| *stopped).await; // the sender lives until it has told
    let all = async {
        for task in tasks {
            let _ = task.await; // a task that panicked has logged it
        }
        stop_views.send_replace(true);
        for task in last {
            let _ = task.await;
        }
    };
    if tokio::time::timeout(STOP_WAIT, all).await.is_err() {
        tracing::warn!("stopped with something under way; nothing acknowledged is lost");
    }
}
