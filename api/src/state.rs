//! What every handler has at hand.

use std::sync::Arc;

use domain::caller::{Caller, Request};
use domain::command::Command;
use domain::event::Event;
use domain::portal::Portals;
use projections::Views;
use store::token::LinkKeys;
use store::working::identities::LookUpKey;
use store::{ExecuteError, Executed, Store};
use url::Url;

use crate::oidc::Providers;

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

    /// Executes a command and waits, within bounds, until the views show it. The flag says whether they do.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn execute(
        &self,
        command: Command,
        caller: Caller,
        request: Request,
    ) -> Result<(Executed, ViewsState), ExecuteError> {
        let executed = self.store.execute(command, caller, request).await?;
        let views = if self.views.wait_for(executed.position).await { ViewsState::Current } else { ViewsState::Behind };
        Ok((executed, views))
    }

    /// Asks what a command would do, by the decision that executing it makes.
    ///
    /// # Errors
    /// As [`Store::ask`].
    pub async fn ask(&self, command: Command, caller: Caller, request: Request) -> Result<Vec<Event>, ExecuteError> {
        self.store.ask(command, caller, request).await
    }
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
    /// The word in JSON and in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind => "behind",
        }
    }
}
