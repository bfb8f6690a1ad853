//! What one browser is in the middle of. The cookie holds a random reference; everything else is here, on the server,
//! and each step writes it anew.

use axum::http::StatusCode;
use domain::ids::{AccountId, InvitationId};
use domain::ids::{FlowId, IdentityId, ProfessionalId};
use domain::invitation::Link;
use domain::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use store::secret::Secret;
use store::working::fresh_secret;
use subtle::ConstantTimeEq;

use super::browser::{Browser, check_csrf};
use crate::problem::Problem;
use crate::state::Api;

/// How long a passage may take: people fetch a code and make an identity meanwhile.
pub(crate) const FLOW_LIFETIME: Millis = Millis::hours(1);
/// How long a sign-in at the provider may take (T23).
pub(crate) const SIGN_IN_LIFETIME: Millis = Millis::minutes(10);

/// A sign-in at a provider that has begun: what must come back, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInBegun {
    /// The issuer's short name.
    pub issuer: String,
    /// The state parameter.
    pub state: String,
    /// The nonce.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: String,
    /// From when on it no longer counts.
    pub expires_at: Timestamp,
}

/// Who is signed in inside a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The identity.
    pub identity: IdentityId,
    /// The address that its issuer is trusted for, if it is.
    pub trusted_address: Option<String>,
}

/// A mailbox code that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeSent {
    /// Which code of this generation.
    pub number: u32,
    /// The key that it is derived with.
    pub key: String,
    /// From when on it no longer counts.
    pub expires_at: Timestamp,
    /// How often a code was typed in against it.
    pub tries: u32,
}

/// What the flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// To sign in and see one's profiles.
    SignIn,
    /// To accept an invitation.
    Invitation {
        /// The link's account.
        account: AccountId,
        /// The link's invitation.
        invitation: InvitationId,
        /// The link's generation.
        generation: u32,
    },
}

/// The state of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its public id, as events name it.
    pub id: FlowId,
    /// The token that every form of it carries.
    pub csrf: String,
    /// What it is for.
    pub errand: Errand,
    /// The sign-in under way.
    pub signing_in: Option<SignInBegun>,
    /// Who is signed in.
    pub person: Option<Person>,
    /// The code that was sent last.
    pub code: Option<CodeSent>,
    /// For whom the code was typed in.
    pub code_entered_for: Option<IdentityId>,
    /// The profile that was linked in the end.
    pub linked: Option<ProfessionalId>,
}

impl Flow {
    /// A flow that begins.
    pub fn new(id: FlowId, errand: Errand) -> Self {
        Self {
            id,
            csrf: fresh_secret().reveal().clone(),
            errand,
            signing_in: None,
            person: None,
            code: None,
            code_entered_for: None,
            linked: None,
        }
    }

    /// The link that the flow came by.
    pub fn link(&self) -> Option<Link> {
        match self.errand {
            Errand::SignIn => None,
            Errand::Invitation { account, invitation, generation } => Some(Link { account, invitation, generation }),
        }
    }
}

/// A flow as it was found, to be changed or ended.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its cookie's secret.
    pub secret: Secret<String>,
    /// Its state.
    pub flow: Flow,
}

impl Open {
    /// Finds the flow of the invitation that the browser brings.
    ///
    /// # Errors
    /// It brings none, or it has ended.
    pub async fn of(api: &Api, browser: &Browser) -> Result<Self, Problem> {
        Self::find(api, browser.flow.as_ref()).await?.ok_or_else(ended)
    }

    /// Finds the flow of the invitation and checks that the form is one of its pages'.
    ///
    /// # Errors
    /// As [`Open::of`], or the form's token is another.
    pub async fn of_form(api: &Api, browser: &Browser, csrf: &str) -> Result<Self, Problem> {
        let open = Self::of(api, browser).await?;
        check_csrf(csrf, &open.flow.csrf)?;
        Ok(open)
    }

    /// Finds the flow of a sign-in without an invitation, and checks that the form is its page's.
    ///
    /// # Errors
    /// As [`Open::of_form`].
    pub async fn of_sign_in_form(api: &Api, browser: &Browser, csrf: &str) -> Result<Self, Problem> {
        let open = Self::find(api, browser.sign_in.as_ref()).await?.ok_or_else(ended)?;
        check_csrf(csrf, &open.flow.csrf)?;
        Ok(open)
    }

    /// Finds the flow of either kind that began the sign-in which comes back with this state.
    ///
    /// # Errors
    /// The working state cannot be read.
    pub async fn of_state(api: &Api, browser: &Browser, state: &str) -> Result<Option<(Self, SignInBegun)>, Problem> {
        for secret in [&browser.flow, &browser.sign_in] {
            if let Some(open) = Self::find(api, secret.as_ref()).await?
                && let Some(begun) = open.flow.signing_in.clone()
                && bool::from(state.as_bytes().ct_eq(begun.state.as_bytes()))
            {
                return Ok(Some((open, begun)));
            }
        }
        Ok(None)
    }

    async fn find(api: &Api, secret: Option<&Secret<String>>) -> Result<Option<Self>, Problem> {
        let Some(secret) = secret else { return Ok(None) };
        let flow = api.store.flow(secret.reveal()).await?;
        Ok(flow.map(|flow| Self { secret: secret.clone(), flow }))
    }

    /// Who is signed in inside the flow, if that is still who is signed in in this browser, at an issuer that is not
    /// switched off (T33).
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn person(&self, api: &Api, browser: &Browser) -> Result<Option<Person>, Problem> {
        let Some(person) = &self.flow.person else { return Ok(None) };
        if browser.session.as_ref().is_none_or(|session| session.identity != person.identity) {
            return Ok(None);
        }
        let row = api.views.identity(person.identity).await?;
        let issuer = row.as_ref().and_then(|row| api.providers.issuer(&row.issuer));
        Ok(issuer.filter(|issuer| issuer.enabled).map(|_| person.clone()))
    }

    /// The link; a flow that came without one cannot do this.
    ///
    /// # Errors
    /// The flow is for something else.
    pub fn link(&self) -> Result<Link, Problem> {
        self.flow.link().ok_or_else(|| Problem::new(StatusCode::GONE, "flow_ended", "Open the link in the mail again."))
    }

    /// Writes the next state.
    ///
    /// # Errors
    /// Another request of the same browser was faster.
    pub async fn change(&mut self, api: &Api, change: impl FnOnce(&mut Flow)) -> Result<(), Problem> {
        let mut after = self.flow.clone();
        change(&mut after);
        let signed_in = after.person.as_ref().map(|person| person.identity);
        if !api.store.change_flow(self.secret.reveal(), &self.flow, &after, signed_in).await? {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "flow_changed",
                "This was sent twice at the same time. Go back and look.",
            ));
        }
        self.flow = after;
        Ok(())
    }
}

fn ended() -> Problem {
    let title = "This page belongs to another browser, or was left open for too long.";
    Problem::new(StatusCode::GONE, "flow_ended", title)
}
