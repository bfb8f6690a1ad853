//! Signing in at a provider and coming back; signing out.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::address::EmailAddress;
use domain::ids::FlowId;
use serde::Deserialize;
use store::random;

use super::browser::{Browser, Cookie, OwnForm, check_csrf, with_cookie, without_cookie};
use super::flow::{Errand, FLOW_LIFETIME, Flow, Open, Person, SIGN_IN_LIFETIME, SignInBegun};
use super::views::{Frame, SignInPage};
use super::{PageProblem, invitation, page, profile, words};
use crate::asked::{Details, known_identity};
use crate::oidc::{self, callback_path};
use crate::problem::Problem;
use crate::state::Api;

/// The choice of an issuer.
#[derive(Clone, Debug, Deserialize)]
pub struct IssuerChoice {
    csrf: String,
    issuer: String,
}

/// Shows the ways to sign in.
pub async fn show(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    if browser.session.is_some() {
        return Ok(Redirect::to("/profile").into_response());
    }
    let flow = Flow::new(FlowId(random::uuid()), Errand::SignIn);
    let secret = api.store.begin_flow(&flow, api.store.clock().now() + FLOW_LIFETIME).await?;
    let template = SignInPage {
        frame: frame(&api, &flow.csrf),
        purpose: "Sign in to see your profiles.".into(),
        issuers: words::issuers(&api),
        sign_in_action: "/sign-in".into(),
    };
    Ok(with_cookie(&api, page(StatusCode::OK, &template), Cookie::SignIn, &secret))
}

/// Sends the browser to the chosen provider.
pub async fn begin(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<IssuerChoice>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_sign_in_form(&api, &browser, &form.csrf).await?;
    Ok(go_to_provider(&api, &mut open, &form.issuer).await?)
}

/// Notes in the flow what must come back, and redirects to the provider's account chooser.
pub(super) async fn go_to_provider(api: &Api, open: &mut Open, issuer: &str) -> Result<Response, Problem> {
    let fresh = || oidc::fresh().reveal().clone();
    let begun = SignInBegun {
        issuer: issuer.into(),
        state: fresh(),
        nonce: fresh(),
        verifier: fresh(),
        expires_at: api.store.clock().now() + SIGN_IN_LIFETIME,
    };
    let redirect_uri = api.settings.absolute(&callback_path(issuer));
    let url = api
        .providers
        .begin(issuer, &redirect_uri, &begun.state, &begun.nonce, &begun.verifier)
        .await
        .map_err(|error| sign_in_failed(error, issuer))?;
    open.change(api, |flow| {
        flow.signing_in = Some(begun);
        flow.person = None;
        flow.code_entered_for = None;
    })
    .await?;
    Ok(Redirect::to(url.as_str()).into_response())
}

/// What the provider sends back.
#[derive(Clone, Debug, Deserialize)]
pub struct Callback {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Takes the browser back: checks that this very flow began this very sign-in, once (T23).
pub async fn callback(
    State(api): State<Api>,
    browser: Browser,
    Path(issuer): Path<String>,
    Query(callback): Query<Callback>,
) -> Result<Response, PageProblem> {
    let state = callback.state.as_deref().unwrap_or_default();
    let Some((mut open, begun)) = Open::of_state(&api, &browser, state).await? else {
        return Err(not_begun_here().into());
    };
    if begun.issuer != issuer || api.store.clock().now() >= begun.expires_at {
        return Err(not_begun_here().into());
    }
    open.change(&api, |flow| flow.signing_in = None).await?;
    let Some(code) = callback.code.filter(|_| callback.error.is_none()) else {
        tracing::info!(issuer, error = callback.error, "the sign-in was not completed");
        return Ok(Redirect::to(entry_of(&open.flow)).into_response());
    };
    let redirect_uri = api.settings.absolute(&callback_path(&issuer));
    let signed_in = api
        .providers
        .finish(&issuer, &redirect_uri, &code, callback.iss.as_deref(), &begun.nonce, &begun.verifier)
        .await
        .map_err(|error| sign_in_failed(error, &issuer))?;
    let details = Details { name: signed_in.name.clone(), email: signed_in.email.clone() };
    let (kind, key) = (signed_in.kind, &signed_in.issuer_key);
    let identity =
        known_identity(&api, key, kind, &signed_in.issuer, &signed_in.subject, details, &browser.request).await?;
    // A new session at every sign-in, and the old one ends (T29).
    if let Some(old) = &browser.session_secret {
        api.store.end_session(old.reveal()).await?;
    }
    let session = api.store.begin_session(identity, signed_in.authenticated_at).await?;
    api.record_sign_in(identity, &browser.request).await;
    let trusted_address = trusted_address(&api, &signed_in);
    open.change(&api, |flow| flow.person = Some(Person { identity, trusted_address })).await?;
    let response = match open.flow.errand {
        Errand::SignIn => {
            api.store.end_flow(open.secret.reveal()).await?;
            let entrance = profile::entrance(&api, identity, &session).await?;
            without_cookie(&api, entrance.into_response(), Cookie::SignIn)
        }
        Errand::Invitation { .. } => invitation::after_sign_in(&api, &mut open, &browser.request).await?,
    };
    Ok(with_cookie(&api, response, Cookie::Session, &session))
}

/// The identity's address, if its issuer says it is verified and is configured to be trusted for it (T9).
fn trusted_address(api: &Api, signed_in: &oidc::SignedIn) -> Option<String> {
    let address = EmailAddress::parse(signed_in.email.as_deref()?).ok()?;
    let issuer = api.providers.issuer(&signed_in.issuer_key)?;
    let is_trusted = signed_in.email_verified && issuer.trusted_for.covers(address.domain());
    is_trusted.then(|| address.as_str().to_string())
}

/// Where a flow of this errand goes on.
const fn entry_of(flow: &Flow) -> &'static str {
    match flow.errand {
        Errand::SignIn => "/sign-in",
        Errand::Invitation { .. } => "/invitation",
    }
}

/// Only its token.
#[derive(Clone, Debug, Deserialize)]
pub struct OnlyToken {
    /// The token.
    pub csrf: String,
}

/// Ends the session of this browser.
pub async fn sign_out(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    if let (Some(session), Some(secret)) = (&browser.session, &browser.session_secret) {
        check_csrf(&form.csrf, session.csrf.reveal())?;
        api.store.end_session(secret.reveal()).await?;
    }
    Ok(without_cookie(&api, Redirect::to("/sign-in").into_response(), Cookie::Session))
}

/// What stands around a page.
pub(super) fn frame(api: &Api, csrf: &str) -> Frame {
    Frame { csrf: csrf.into(), start_page: api.settings.start_page.clone() }
}

fn not_begun_here() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "sign_in_not_begun_here",
        "This sign-in was not begun in this browser, or took too long.",
    )
}

/// A failed sign-in; what exactly failed goes to the log, by its code.
fn sign_in_failed(error: oidc::Error, issuer: &str) -> Problem {
    tracing::warn!(issuer, code = error.code(), %error, "a sign-in failed");
    let status = match error {
        oidc::Error::ProviderUnreachable => StatusCode::SERVICE_UNAVAILABLE,
        oidc::Error::IssuerDisabled => StatusCode::FORBIDDEN,
        oidc::Error::UnknownIssuer => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.code(), "The sign-in did not succeed.")
}
