//! "My profile": every profile of the signed-in identity, and the history of an account one administers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::ids::AccountId;
use domain::refusal::Refusal;
use projections::Reader;

use super::browser::Browser;
use super::sign_in::frame;
use super::views::{HistoryEvent, HistoryPage, PageLink, ProfilePage};
use super::{PageProblem, page, words};
use crate::asked::InPath;
use crate::state::Api;
use crate::v1::history;

/// Shows every profile of the identity.
pub async fn show(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    let Some(session) = &browser.session else { return Ok(Redirect::to("/sign-in").into_response()) };
    let Some(row) = api.views.identity(session.identity).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let profiles = api.views.profiles(session.identity).await?;
    let template = ProfilePage {
        frame: frame(&api, session.csrf.reveal()),
        identity: words::identity(&api, &row),
        notice: None,
        profiles: profiles
            .iter()
            .map(|(professional, account)| words::profile_card(&api, professional, account))
            .collect(),
        association_url: None,
        sign_out_action: "/sign-out".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// Tells an account's history to its administrators, the newest event first.
pub async fn history(
    State(api): State<Api>,
    browser: Browser,
    account: Result<InPath<AccountId>, crate::problem::Problem>,
) -> Result<Response, PageProblem> {
    let Some(session) = &browser.session else { return Ok(Redirect::to("/sign-in").into_response()) };
    let InPath(account) = account?;
    let reader = Reader::Identity(session.identity);
    history::check_reader(&api, account, reader).await?;
    let row = api.views.account(account, reader).await?.ok_or(Refusal::UnknownAccount)?;
    let entries = history::tell(&api, account).await?;
    let events = entries.iter().rev().map(|entry| HistoryEvent {
        position: u64::try_from(entry.position).unwrap_or_default(),
        time: words::second(&entry.recorded_at),
        actor: entry.actor_words.clone(),
        words: entry.words.clone(),
    });
    let template = HistoryPage {
        frame: frame(&api, session.csrf.reveal()),
        subject: row.name.to_string(),
        summary: format!("{} events, the newest first.", entries.len()),
        events: events.collect(),
        older_url: None,
        back: Some(PageLink { label: "My profile".into(), url: "/profile".into() }),
    };
    Ok(page(StatusCode::OK, &template))
}
