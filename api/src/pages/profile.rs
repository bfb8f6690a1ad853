//! "My profile": every profile of the signed-in identity and which one the browser acts as, the association page, and the
//! history of an account one administers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::address::EmailAddress;
use domain::caller::{Actor, Caller};
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use domain::refusal::Refusal;
use domain::tag::{Subject, Tag};
use projections::Reader;
use projections::accounts::AccountRow;
use projections::professionals::ProfessionalRow;
use serde::Deserialize;
use store::random;
use store::secret::Secret;
use store::working::sessions::Session;

use super::browser::{Browser, OwnForm, check_csrf};
use super::sign_in::frame;
use super::views::{
    AssociationPage, Choice, Entry, HistoryEvent, HistoryPage, PageLink, ProfileCard, ProfilePage, SentPage,
};
use super::{PageProblem, page, words};
use crate::asked::InPath;
use crate::problem::Problem;
use crate::state::Api;
use crate::told::{Source, record_reading};
use crate::v1::accounts::sentence;
use crate::v1::history;
use crate::v1::me::barred;

/// Shows every profile of the identity, and lets the browser act as another one (R17, R18).
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
        profiles: profiles.iter().map(|(profile, account)| card(&api, session, profile, account)).collect(),
        association_url: Some("/associations".into()),
        sign_out_action: "/sign-out".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

fn card(api: &Api, session: &Session, professional: &ProfessionalRow, account: &AccountRow) -> ProfileCard {
    let mut card = words::profile_card(api, professional, account);
    if session.profile.is_some_and(|chosen| chosen != professional.id) {
        card.history_url = None; // for whoever acts as that one
    }
    card.choice = match card.entry {
        _ if session.profile == Some(professional.id) => Choice::Chosen,
        Entry::Open { .. } => Choice::Offered {
            action: "/profile/choose".into(),
            csrf: session.csrf.reveal().clone(),
            profile: professional.id.to_string(),
        },
        Entry::Closed { .. } => Choice::None,
    };
    card
}

/// The profile that the browser shall act as.
#[derive(Clone, Debug, Deserialize)]
pub struct ChosenProfile {
    csrf: String,
    profile: ProfessionalId,
}

/// Lets the browser act as one of the identity's own profiles.
pub async fn choose(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<ChosenProfile>,
) -> Result<Response, PageProblem> {
    let (Some(session), Some(secret)) = (&browser.session, &browser.session_secret) else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    check_csrf(&form.csrf, session.csrf.reveal())?;
    let profiles = api.views.profiles(session.identity).await?;
    if !profiles.iter().any(|(professional, _)| professional.id == form.profile) {
        return Err(Refusal::NotYourProfile.into());
    }
    api.store.choose_profile(secret.reveal(), form.profile).await?;
    Ok(Redirect::to("/profile").into_response())
}

/// Where a sign-in leads (R17): with one usable profile straight in, with several to the chooser, with none to the
/// association page.
pub(super) async fn entrance(api: &Api, identity: IdentityId, session: &Secret<String>) -> Result<Redirect, Problem> {
    let now = api.store.clock().now();
    let profiles = api.views.profiles(identity).await?;
    let mut usable = profiles.iter().filter(|(_, account)| barred(account, now).is_none());
    match (usable.next(), usable.next()) {
        (Some((only, _)), None) => api.store.choose_profile(session.reveal(), only.id).await?,
        (None, _) if profiles.is_empty() => return Ok(Redirect::to("/associations")),
        _ => {}
    }
    Ok(Redirect::to("/profile"))
}

/// Asks for the address that the person is known by (R13).
pub async fn show_associations(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    association_page(&api, &browser, None).await
}

async fn association_page(api: &Api, browser: &Browser, error: Option<String>) -> Result<Response, PageProblem> {
    let Some(session) = &browser.session else { return Ok(Redirect::to("/sign-in").into_response()) };
    let Some(row) = api.views.identity(session.identity).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let template = AssociationPage {
        frame: frame(api, session.csrf.reveal()),
        identity: words::identity(api, &row),
        error,
        action: "/associations".into(),
    };
    Ok(page(status, &template))
}

/// The address that was typed.
#[derive(Clone, Debug, Deserialize)]
pub struct TypedAddress {
    csrf: String,
    email: String,
}

/// Takes the address. The answer is the same whatever is known, and nothing is looked up for it.
pub async fn associate(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<TypedAddress>,
) -> Result<Response, PageProblem> {
    let Some(session) = &browser.session else { return Ok(Redirect::to("/sign-in").into_response()) };
    check_csrf(&form.csrf, session.csrf.reveal())?;
    let address = match EmailAddress::parse(&form.email) {
        Ok(address) => address,
        Err(error) => return association_page(&api, &browser, Some(sentence(&error))).await,
    };
    api.store.request_association(&api.look_up_key, random::uuid(), session.identity, &address).await?;
    let template = SentPage {
        frame: frame(&api, session.csrf.reveal()),
        title: "Look into that mailbox".into(),
        sentence: "If profiles are registered with this address, a link for each of them is on its way there.".into(),
        next: vec![
            "Open the links while you are signed in as you are now: no other sign-in can use them.".into(),
            "It can take a minute. Look in the junk folder too.".into(),
            "If nothing comes, ask an administrator of your account, your partner or support to add you.".into(),
        ],
        links: vec![PageLink { label: "My profile".into(), url: "/profile".into() }],
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
    let reader = match session.profile {
        Some(profile) => Reader::Profile(session.identity, profile),
        None => Reader::Identity(session.identity),
    };
    history::check_reader(&api, account, reader).await?;
    let row = api.views.account(account, reader).await?.ok_or(Refusal::UnknownAccount)?;
    let entries = history::tell(&api, account).await?;
    let source = Source::Subject(Subject::Account(account));
    let caller = Caller::new(Actor::Identity(session.identity));
    record_reading(&api.store, Some(Tag::Account(account)), &source, caller, browser.request.clone()).await?;
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
