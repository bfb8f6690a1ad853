//! From what was typed on the association page to one mail for each profile (R13): the page itself looks nothing up.

use std::time::Duration;

use domain::access::ASSOCIATION_LIFETIME;
use domain::caller::{Actor, Caller, Request};
use domain::command::{Command, NewLink};
use domain::ids::InvitationId;
use domain::tag::RequestKey;
use projections::Views;
use projections::professionals::ProfessionalRow;
use store::token::LinkKeys;
use store::working::associations::AssociationRequest;
use store::{ExecuteError, ReadError, Store, random};
use tokio::sync::watch;

/// Profiles that one request mails (rules.md, many profiles with one address).
pub const MAILS_MAX: usize = 50;
/// Profiles that are counted beyond that, for support.
const COUNTED_MAX: usize = 1_000;
/// How often requests are looked for. Nobody waits at a screen for the mail to be written.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The wait after an error; the request is claimed again later.
const ERROR_WAIT: Duration = Duration::from_secs(5);

/// Handles association requests.
#[derive(Clone)]
pub struct AssociationWorker {
    /// The log and the requests.
    pub store: Store,
    /// The views, where addresses are looked up.
    pub views: Views,
    /// What links are derived with.
    pub link_keys: LinkKeys,
}

/// A request could not be handled now.
#[derive(Debug, thiserror::Error)]
enum Unhandled {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Query(#[from] projections::views::QueryError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

impl AssociationWorker {
    /// Works until `stop` changes.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = match self.handle_all().await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "an association request waits");
                    ERROR_WAIT
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Handles every request that waits.
    async fn handle_all(&self) -> Result<(), Unhandled> {
        while let Some(request) = self.store.claim_association().await? {
            self.handle(&request).await?;
            self.store.end_association(request.id).await?;
        }
        Ok(())
    }

    /// Mails each profile once, however often the request is handled.
    async fn handle(&self, request: &AssociationRequest) -> Result<(), Unhandled> {
        let address = request.address.key();
        let found = self.views.professionals_of_address(&address, MAILS_MAX + COUNTED_MAX).await?;
        let (mailed, left_out) = found.split_at(found.len().min(MAILS_MAX));
        for professional in mailed {
            self.invite(request, professional).await?;
        }
        if !left_out.is_empty() {
            let (identity, left_out) = (request.identity, left_out.len() as u32);
            self.execute(request, "left-out", Command::RecordAssociationLimit { identity, left_out }).await?;
        }
        tracing::info!(identity.id = %request.identity, "an association request was handled");
        Ok(())
    }

    async fn invite(&self, request: &AssociationRequest, found: &ProfessionalRow) -> Result<(), Unhandled> {
        let new = NewLink {
            invitation: InvitationId(self.store.fresh_id()),
            lifetime: ASSOCIATION_LIFETIME,
            link_key: self.link_keys.newest().into(),
        };
        let (identity, address) = (request.identity, request.address.key());
        let command =
            Command::InviteByAssociation { account: found.account, professional: found.id, identity, address, new };
        self.execute(request, &found.id.to_string(), command).await
    }

    /// Executes a command once for this request and this part of it.
    async fn execute(&self, request: &AssociationRequest, part: &str, command: Command) -> Result<(), Unhandled> {
        let key = RequestKey::derive("association", &format!("{}/{part}", request.id));
        let from = Request { id: random::uuid(), key: Some(key), body: None, if_match: None };
        match self.store.execute(command, Caller::new(Actor::Identity(request.identity)), from).await {
            Ok(_) => Ok(()),
            Err(ExecuteError::Refused(refusal)) => {
                tracing::info!(code = refusal.code(), "nothing comes of a part of an association request");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
