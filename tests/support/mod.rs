//! The real surroundings of the journeys: a database, two OpenID providers, a mail server, a browser, and the service itself.
//!
//! Everything starts on a free port of the loopback, waits until it answers, and is gone when it is dropped, or when the
//! test dies in any other way. Reading order: `server`, then any of the others.
#![expect(dead_code, unused_imports, reason = "every test uses some of it, none uses all")]

pub mod browser;
pub mod clock;
pub mod mail;
pub mod openid;
pub mod postgres;
pub mod production;
pub mod server;
pub mod vinculum;
pub mod visitor;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

pub use browser::Browser;
pub use clock::Clock;
pub use mail::Mta;
pub use openid::OpenIdProvider;
pub use postgres::Postgres;
pub use production::Production;
pub use vinculum::Vinculum;
pub use visitor::{Page, Visitor};

/// How long anything that must come may take: far more than it does, so that only what never comes fails.
pub const WAIT_SECONDS_MAX: u64 = 30;

/// Asks every 50 ms until there is an answer.
///
/// # Panics
/// After `WAIT_SECONDS_MAX`, naming `what`.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(WAIT_SECONDS_MAX, what, probe).await
}

/// The same for what takes long on a slow machine.
///
/// # Panics
/// After that many seconds, naming `what`.
pub async fn eventually_within<T>(seconds: u64, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let patience = Duration::from_secs(seconds);
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("{seconds} s passed without {what}"))
}

/// Gives a port of the loopback that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Gives an HTTP client that follows no redirects and keeps no cookies.
pub fn http() -> reqwest::Client {
    // A second call finds the provider of the first; the outcome is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(WAIT_SECONDS_MAX))
        .no_proxy()
        .pool_max_idle_per_host(0) // a server may close an idle connection at the moment when it is used again
        .build()
        .expect("the client has no settings that can fail")
}
