//! What every handler has at hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::Event;
use domain::ids::IdentityId;
use domain::portal::Portals;
use domain::time::{Millis, Timestamp};
use projections::{Reader, Views};
use store::token::LinkKeys;
use store::working::identities::LookUpKey;
use store::{ExecuteError, Executed, Store};
use tokio::time::Instant;
use url::Url;

use crate::oidc::Providers;

/// How often a bearer's sign-in is noted; the log keeps one a day.
const NOTE_SIGN_IN_EVERY: Millis = Millis::hours(1);
/// Identities remembered as noted.
const SIGN_INS_MAX: usize = 50_000;

/// What the configuration says about the HTTP side.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one public base; links and redirects are made of it alone (T16).
    pub base_url: Url,
    /// Other hosts that are served, such as a node's own behind a balancer; each `host` or `host:port`.
    pub other_hosts: Vec<String>,
    /// The portals' names and places.
    pub portals: Portals,
    /// Shown on every page as the way back to the development start page; none in production.
    pub start_page: Option<String>,
}

impl Settings {
    /// Whether cookies are marked `Secure` and named `__Host-`: wherever the base is https.
    pub fn is_secure(&self) -> bool {
        self.base_url.scheme() == "https"
    }

    /// An absolute URL on this service.
    pub fn absolute(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(path);
        url.set_query(None);
        url
    }
}

/// The state of the HTTP side; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// What [`Api`] is made of.
pub struct Parts {
    /// The log and the working state.
    pub store: Store,
    /// The views.
    pub views: Views,
    /// The issuers that people sign in with.
    pub providers: Providers,
    /// What links and codes are derived with.
    pub link_keys: LinkKeys,
    /// What identities are looked up with.
    pub look_up_key: LookUpKey,
    /// The configuration.
    pub settings: Settings,
    /// Whose sign-ins this node has noted lately.
    pub sign_ins: SignIns,
}

/// The identities whose bearers were noted as signed in lately, so that not every request asks the log.
#[derive(Debug, Default)]
pub struct SignIns(Mutex<HashMap<IdentityId, Timestamp>>);

impl SignIns {
    /// Whether it is time to note this identity again; if so, it counts as noted.
    fn take(&self, identity: IdentityId, now: Timestamp) -> bool {
        let mut noted = self.0.lock().expect("invariant: nobody panics while holding it");
        if noted.len() >= SIGN_INS_MAX {
            noted.clear();
        }
        let is_due = noted.get(&identity).is_none_or(|at| now >= *at + NOTE_SIGN_IN_EVERY);
        if is_due {
            noted.insert(identity, now);
        }
        is_due
    }
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Executes a command and waits, within bounds, until the views show it.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn execute(
        &self,
        command: Command,
        caller: Caller,
        request: Request,
    ) -> Result<(Executed, Shown), ExecuteError> {
        let began = Instant::now();
        let caller = self.with_partner(&command, caller).await?;
        let executed = self.store.execute(command, caller, request).await?;
        let durable_after = began.elapsed();
        let views = if self.views.wait_for(executed.position).await { ViewsState::Current } else { ViewsState::Behind };
        Ok((executed, Shown { views, durable_after, waited: began.elapsed().saturating_sub(durable_after) }))
    }

    /// Finds the partner account that a person acts for in the command's account; the decision checks it again (R22).
    async fn with_partner(&self, command: &Command, caller: Caller) -> Result<Caller, ExecuteError> {
        let (Actor::Identity(identity), Some(account)) = (&caller.actor, command.account()) else { return Ok(caller) };
        let reader = match caller.acting_as {
            Some(profile) => Reader::Profile(*identity, profile),
            None => Reader::Identity(*identity),
        };
        let partner = self.views.serving_partner(account, reader).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the views could not be read");
            ExecuteError::Unavailable
        })?;
        Ok(Caller { partner, ..caller })
    }

    /// Notes that a bearer's identity signed in, beside the request and at most once in `NOTE_SIGN_IN_EVERY`.
    pub fn note_sign_in(&self, identity: IdentityId, request: &Request) {
        if self.sign_ins.take(identity, self.store.clock().now()) {
            let (api, request) = (self.clone(), request.clone());
            tokio::spawn(async move { api.record_sign_in(identity, &request).await });
        }
    }

    /// Records a sign-in wherever the identity administers an account (R21). It never stands in the way of the sign-in.
    pub async fn record_sign_in(&self, identity: IdentityId, request: &Request) {
        let profiles = self.views.profiles(identity).await.unwrap_or_default();
        for (_, account) in profiles.iter().filter(|(profile, _)| profile.is_administrator()) {
            let command = Command::RecordSignIn { account: account.id, identity };
            let request = Request { key: None, body: None, if_match: None, ..request.clone() };
            let caller = Caller::new(Actor::Identity(identity));
            if let Err(error) = self.store.execute(command, caller, request).await {
                tracing::warn!(account.id = %account.id, %error, "a sign-in was not recorded");
            }
        }
    }

    /// Asks what a command would do, by the decision that executing it makes.
    ///
    /// # Errors
    /// As [`Store::ask`].
    pub async fn ask(&self, command: Command, caller: Caller, request: Request) -> Result<Vec<Event>, ExecuteError> {
        self.store.ask(command, caller, request).await
    }
}

/// How what was just done became visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether the views show it.
    pub views: ViewsState,
    /// How long it took until it was decided and on the disk.
    pub durable_after: Duration,
    /// How long the answer then waited for the views.
    pub waited: Duration,
}

/// Whether the views show what was just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewsState {
    /// They do.
    Current,
    /// They will.
    Behind,
}

impl ViewsState {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind => "behind",
        }
    }
}
