//! From the link in the mail to the linked profile.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::address::EmailAddress;
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::Event;
use domain::ids::{FlowId, IdentityId};
use domain::invitation::{CODE_LIFETIME, CODE_TRIES_MAX, CODES_MAX, Link, Mailbox};
use domain::refusal::Refusal;
use projections::Reader;
use projections::invitations::{InvitationContext, Status};
use serde::Deserialize;
use store::{ExecuteError, random};
use subtle::ConstantTimeEq;

use super::browser::{Browser, Cookie, OwnForm, with_cookie};
use super::flow::{CodeSent, Errand, FLOW_LIFETIME, Flow, Open, Person};
use super::sign_in::{OnlyToken, frame, go_to_provider};
use super::views::{
    CodePage, ConfirmPage, InvitationPage, LinkEnd, LinkEndedPage, LinkedPage, PageLink, PostAction, SentPage,
};
use super::{PageProblem, page, words};
use crate::problem::{Problem, status_of};
use crate::state::Api;
use crate::v1::professionals::new_link;

/// Takes the link from the mail: swaps its token for a flow, so that the address bar is clean (T14). It changes nothing
/// that a decision reads; mail scanners come here, too (R24).
pub async fn open_link(
    State(api): State<Api>,
    browser: Browser,
    Path(token): Path<String>,
) -> Result<Response, PageProblem> {
    let Some(link) = api.link_keys.read(&token) else { return Ok(ended_page(&api, LinkEnd::Unknown, None)) };
    let visit = Command::RecordVisit { link };
    match api.store.execute(visit, Caller::new(Actor::Link), browser.request).await {
        Ok(_) => {}
        Err(ExecuteError::Refused(refusal)) => {
            tracing::debug!(code = refusal.code(), "the visit was not recorded");
            return Ok(ended_page(&api, LinkEnd::Unknown, None));
        }
        Err(error) => return Err(error.into()),
    }
    let Link { account, invitation, generation } = link;
    let flow = Flow::new(FlowId(random::uuid()), Errand::Invitation { account, invitation, generation });
    let secret = api.store.begin_flow(&flow, api.store.clock().now() + FLOW_LIFETIME).await?;
    Ok(with_cookie(&api, Redirect::to("/invitation").into_response(), Cookie::Flow, &secret))
}

/// Shows who invites whom to what, and the ways to sign in; or that the link does not work and why.
pub async fn show(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    let open = Open::of(&api, &browser).await?;
    let link = open.link()?;
    let context = match context(&api, link).await {
        Ok(context) => context,
        Err(problem) if problem.code == Refusal::InvitationRevoked.code() => {
            return ended(&api, Refusal::InvitationRevoked.into(), &open.flow);
        }
        Err(problem) => return Err(problem.into()),
    };
    // An open invitation is shown to the linked person, too: it may have come to bring another sign-in (R11).
    if let (Some(session), Status::Accepted) = (&browser.session, context.invitation.status) {
        let answer = ask_to_accept(&api, &open.flow, session.identity, &browser.request).await;
        if matches!(&answer, Ok(events) if events.is_empty()) {
            return Ok(ended_page(&api, LinkEnd::AlreadyYours, None));
        }
    }
    let click = Command::ClickLink { link, flow: open.flow.id };
    if let Err(error) = api.ask(click, Caller::new(Actor::Link), browser.request.clone()).await {
        return ended(&api, error, &open.flow);
    }
    let signed_in = match &browser.session {
        Some(session) => api.views.identity(session.identity).await?.map(|row| words::identity(&api, &row)),
        None => None,
    };
    let template = InvitationPage {
        frame: frame(&api, &open.flow.csrf),
        inviter: words::inviter(&context),
        profile_name: context.professional.name.clone().unwrap_or_default(),
        address_masked: words::masked(context.professional.address.as_deref().unwrap_or_default()),
        account_name: context.account.name.to_string(),
        account_kind: words::kind_of_account(context.account.kind).into(),
        portal: api.settings.portals.of(context.account.kind).name.clone(),
        valid_until: context.invitation.expires_at.in_words(),
        signed_in,
        issuers: words::issuers(&api),
        sign_in_action: "/invitation/sign-in".into(),
        continue_action: "/invitation/continue".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// The choice of an issuer on the invitation's page.
#[derive(Clone, Debug, Deserialize)]
pub struct IssuerChoice {
    csrf: String,
    issuer: String,
}

/// Records the click and sends the browser to the provider's account chooser.
pub async fn sign_in(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<IssuerChoice>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    if let Err(error) = click(&api, &open, &browser.request).await {
        return ended(&api, error, &open.flow);
    }
    Ok(go_to_provider(&api, &mut open, &form.issuer).await?)
}

/// Goes on as the person who is signed in already.
pub async fn continue_signed_in(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    let Some(session) = &browser.session else { return Ok(Redirect::to("/invitation").into_response()) };
    if let Err(error) = click(&api, &open, &browser.request).await {
        return ended(&api, error, &open.flow);
    }
    let person = Person { identity: session.identity, trusted_address: None };
    open.change(&api, |flow| flow.person = Some(person)).await?;
    if open.person(&api, &browser).await?.is_none() {
        return Ok(Redirect::to("/invitation").into_response()); // its issuer is switched off
    }
    Ok(after_sign_in(&api, &mut open, &browser.request).await?)
}

async fn click(api: &Api, open: &Open, request: &Request) -> Result<(), ExecuteError> {
    let Some(link) = open.flow.link() else { return Err(Refusal::UnknownInvitation.into()) };
    let command = Command::ClickLink { link, flow: open.flow.id };
    api.store.execute(command, Caller::new(Actor::Link), request.clone()).await.map(drop)
}

/// Once it is known who accepts: sends a code to the registered mailbox if the decision asks for one.
pub(super) async fn after_sign_in(api: &Api, open: &mut Open, request: &Request) -> Result<Response, Problem> {
    let Some(person) = open.flow.person.clone() else { return Ok(Redirect::to("/invitation").into_response()) };
    match ask_to_accept(api, &open.flow, person.identity, request).await {
        Err(ExecuteError::Refused(Refusal::MailboxCodeRequired)) => {
            let is_sent = open.flow.code.as_ref().is_some_and(|code| api.store.clock().now() < code.expires_at);
            if !is_sent {
                // A used-up budget is shown on the code page; everything else was just asked and holds.
                let _ = issue_code(api, open, person.identity, request).await;
            }
            Ok(Redirect::to("/invitation/code").into_response())
        }
        _ => Ok(Redirect::to("/invitation/confirm").into_response()),
    }
}

async fn issue_code(api: &Api, open: &mut Open, identity: IdentityId, request: &Request) -> Result<(), Problem> {
    let command = Command::IssueMailboxCode {
        link: open.link()?,
        flow: open.flow.id,
        identity,
        code_key: api.link_keys.newest().into(),
    };
    let executed = api.store.execute(command, Caller::new(Actor::Identity(identity)), request.clone()).await?;
    for recorded in executed.events {
        if let Event::MailboxCodeIssued(e) = recorded.event {
            let sent = CodeSent { number: e.number, key: e.code_key, expires_at: e.expires_at, tries: 0 };
            open.change(api, |flow| flow.code = Some(sent)).await?;
        }
    }
    Ok(())
}

/// Asks what accepting would do, with what this flow can show for the mailbox.
async fn ask_to_accept(
    api: &Api,
    flow: &Flow,
    identity: IdentityId,
    request: &Request,
) -> Result<Vec<Event>, ExecuteError> {
    let Some(command) = acceptance(flow, identity) else { return Err(Refusal::UnknownInvitation.into()) };
    api.ask(command, Caller::new(Actor::Identity(identity)), request.clone()).await
}

/// The command that a confirmation is.
fn acceptance(flow: &Flow, identity: IdentityId) -> Option<Command> {
    let trusted = flow.person.as_ref().filter(|person| person.identity == identity);
    let trusted = trusted.and_then(|person| EmailAddress::from_stored(person.trusted_address.as_deref()?).ok());
    let mailbox = match trusted {
        _ if flow.code_entered_for == Some(identity) => Mailbox::CodeEntered,
        Some(address) => Mailbox::TrustedAddress(address),
        None => Mailbox::Unproved,
    };
    Some(Command::AcceptInvitation { link: flow.link()?, identity, mailbox })
}

/// Shows the form for the code.
pub async fn show_code(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    let open = Open::of(&api, &browser).await?;
    let Some(person) = open.person(&api, &browser).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    match ask_to_accept(&api, &open.flow, person.identity, &browser.request).await {
        Err(ExecuteError::Refused(Refusal::MailboxCodeRequired)) => code_page(&api, &open, &person, None).await,
        _ => Ok(Redirect::to("/invitation/confirm").into_response()),
    }
}

async fn code_page(api: &Api, open: &Open, person: &Person, error: Option<&str>) -> Result<Response, PageProblem> {
    let context = context(api, open.link()?).await?;
    let Some(row) = api.views.identity(person.identity).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let is_sent = open.flow.code.as_ref().is_some_and(|code| api.store.clock().now() < code.expires_at);
    let missing = (!is_sent).then_some("No code is under way. Send another code.");
    let (number, tries) = open.flow.code.as_ref().map_or((0, 0), |code| (code.number, code.tries));
    let template = CodePage {
        frame: frame(api, &open.flow.csrf),
        identity: words::identity(api, &row),
        address_masked: words::masked(context.professional.address.as_deref().unwrap_or_default()),
        valid_minutes: u32::try_from(CODE_LIFETIME.0 / 60_000).unwrap_or_default(),
        error: error.or(missing).map(Into::into),
        tries_left: CODE_TRIES_MAX.saturating_sub(tries),
        codes_left: CODES_MAX.saturating_sub(number),
        check_action: "/invitation/code".into(),
        resend_action: "/invitation/code/again".into(),
        cancel_action: "/invitation/cancel".into(),
    };
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page(status, &template))
}

/// The typed code.
#[derive(Clone, Debug, Deserialize)]
pub struct TypedCode {
    csrf: String,
    code: String,
}

/// Checks a typed code. Every try counts, also on other nodes and at the same time.
pub async fn check_code(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<TypedCode>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    let Some(person) = open.person(&api, &browser).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let Some(sent) = open.flow.code.clone().filter(|sent| api.store.clock().now() < sent.expires_at) else {
        return code_page(&api, &open, &person, Some("This code has expired. Send another code.")).await;
    };
    if sent.tries >= CODE_TRIES_MAX {
        return code_page(&api, &open, &person, Some("There were too many wrong tries. Send another code.")).await;
    }
    // Counted before it is compared: of tries at the same time, on whichever node, one gets through.
    open.change(&api, |flow| flow.code = Some(CodeSent { tries: sent.tries + 1, ..sent.clone() })).await?;
    let typed: String = form.code.chars().filter(char::is_ascii_digit).collect();
    let expected = api.link_keys.code(&sent.key, open.flow.id, sent.number);
    let is_right = expected.is_some_and(|code| bool::from(code.reveal().as_bytes().ct_eq(typed.as_bytes())));
    if !is_right {
        return code_page(&api, &open, &person, Some("This is not the code that we sent.")).await;
    }
    open.change(&api, |flow| flow.code_entered_for = Some(person.identity)).await?;
    Ok(Redirect::to("/invitation/confirm").into_response())
}

/// Sends the next code.
pub async fn send_code_again(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    let Some(person) = open.person(&api, &browser).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    match issue_code(&api, &mut open, person.identity, &browser.request).await {
        Ok(()) => Ok(Redirect::to("/invitation/code").into_response()),
        Err(problem) if problem.code == Refusal::MailboxCodesUsedUp.code() => {
            code_page(&api, &open, &person, Some(&problem.title)).await
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Shows exactly what will be tied to what, and what that replaces.
pub async fn show_confirmation(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    let open = Open::of(&api, &browser).await?;
    let Some(person) = open.person(&api, &browser).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let events = match ask_to_accept(&api, &open.flow, person.identity, &browser.request).await {
        Ok(events) if events.is_empty() => return Ok(ended_page(&api, LinkEnd::AlreadyYours, Some(&open.flow))),
        Ok(events) => events,
        Err(ExecuteError::Refused(Refusal::MailboxCodeRequired)) => {
            return Ok(Redirect::to("/invitation/code").into_response());
        }
        Err(error) => return ended(&api, error, &open.flow),
    };
    let context = context(&api, open.link()?).await?;
    let Some(row) = api.views.identity(person.identity).await? else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let is_replacing = events.iter().any(|event| matches!(event, Event::IdentityAssociated(e) if e.from.is_some()));
    let template = ConfirmPage {
        frame: frame(&api, &open.flow.csrf),
        identity: words::identity(&api, &row),
        profile_name: context.professional.name.clone().unwrap_or_default(),
        registered_address: context.professional.address.clone().unwrap_or_default(),
        account_name: context.account.name.to_string(),
        account_kind: words::kind_of_account(context.account.kind).into(),
        customer_number: Some(context.account.customer_number.to_string()),
        portal: api.settings.portals.of(context.account.kind).name.clone(),
        roles: words::roles(&context.professional),
        inviter: words::inviter(&context),
        replaces: is_replacing.then(|| "the identity that this profile has now, which will no longer open it".into()),
        note: None,
        confirm_action: "/invitation/confirm".into(),
        other_account_action: "/invitation/other-account".into(),
        cancel_action: "/invitation/cancel".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// Confirms: ties the identity of this flow to the profile of this flow.
pub async fn confirm(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    let person = open.person(&api, &browser).await?;
    let command = person.as_ref().and_then(|person| acceptance(&open.flow, person.identity));
    let (Some(person), Some(command)) = (person, command) else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let caller = Caller {
        signed_in_at: browser.session.as_ref().map(|session| session.signed_in_at),
        ..Caller::new(Actor::Identity(person.identity))
    };
    match api.execute(command, caller, browser.request.clone()).await {
        Ok(_) => {}
        Err(ExecuteError::Refused(Refusal::MailboxCodeRequired)) => {
            return Ok(Redirect::to("/invitation/code").into_response());
        }
        Err(error) => return ended(&api, error, &open.flow),
    }
    let linked = context(&api, open.link()?).await?.professional.id;
    open.change(&api, |flow| flow.linked = Some(linked)).await?;
    // A new session at every association (T29).
    let response = Redirect::to("/invitation/linked").into_response();
    let (Some(session), Some(old)) = (&browser.session, &browser.session_secret) else { return Ok(response) };
    let fresh = api.store.begin_session(person.identity, session.signed_in_at).await?;
    api.store.end_session(old.reveal()).await?;
    Ok(with_cookie(&api, response, Cookie::Session, &fresh))
}

/// Shows that it is done, and what it gives.
pub async fn show_linked(State(api): State<Api>, browser: Browser) -> Result<Response, PageProblem> {
    let open = Open::of(&api, &browser).await?;
    let (Some(person), Some(linked)) = (&open.flow.person, open.flow.linked) else {
        return Ok(Redirect::to("/invitation").into_response());
    };
    let identity = api.views.identity(person.identity).await?;
    let profiles = api.views.profiles(person.identity).await?;
    let (this, others): (Vec<_>, Vec<_>) = profiles.iter().partition(|(professional, _)| professional.id == linked);
    let (Some(row), Some((professional, account))) = (identity, this.first()) else {
        return Ok(Redirect::to("/profile").into_response());
    };
    let mut may = Vec::new();
    if professional.is_administrator() {
        may.push("Add people to the account and invite them.".into());
        may.push("Read everything that happened in the account.".into());
    }
    let template = LinkedPage {
        frame: frame(&api, &open.flow.csrf),
        identity: words::identity(&api, &row),
        profile: words::profile_card(&api, professional, account),
        may,
        others: others.iter().map(|(professional, account)| words::profile_card(&api, professional, account)).collect(),
        profile_url: "/profile".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// Forgets who is signed in, in this flow and in this browser; the link stays as it is (T32).
pub async fn other_account(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let mut open = Open::of_form(&api, &browser, &form.csrf).await?;
    open.change(&api, |flow| {
        flow.person = None;
        flow.code_entered_for = None;
    })
    .await?;
    if let Some(secret) = &browser.session_secret {
        api.store.end_session(secret.reveal()).await?;
    }
    Ok(Redirect::to("/invitation").into_response())
}

/// Sends the newest link to the registered address, for whoever holds an older one.
pub async fn send_latest_link(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let open = Open::of_form(&api, &browser, &form.csrf).await?;
    let command = Command::RequestLatestLink { link: open.link()?, new: new_link(&api, None)? };
    if let Err(error) = api.execute(command, Caller::new(Actor::Link), browser.request).await {
        return ended(&api, error, &open.flow);
    }
    let template = SentPage {
        frame: frame(&api, &open.flow.csrf),
        title: "The newest link is on its way".into(),
        sentence: "It goes to the address that is registered for the profile, and to no other.".into(),
        next: vec!["Look into that mailbox and open the link in the newest mail.".into()],
        links: vec![],
    };
    Ok(page(StatusCode::OK, &template))
}

/// Leaves it; the link still works.
pub async fn cancel(
    State(api): State<Api>,
    browser: Browser,
    OwnForm(form): OwnForm<OnlyToken>,
) -> Result<Response, PageProblem> {
    let open = Open::of_form(&api, &browser, &form.csrf).await?;
    api.store.end_flow(open.secret.reveal()).await?;
    let template = SentPage {
        frame: frame(&api, &open.flow.csrf),
        title: "Nothing was linked".into(),
        sentence: "The link in the mail still works until it expires.".into(),
        next: vec!["Open it again whenever you like.".into()],
        links: vec![],
    };
    Ok(page(StatusCode::OK, &template))
}

async fn context(api: &Api, link: Link) -> Result<InvitationContext, Problem> {
    if let Some(found) = api.views.invitation_context(link.invitation).await? {
        return Ok(found);
    }
    // With a person who was deleted, the invitation was revoked.
    let is_there = api.views.invitation(link.invitation, Reader::Staff).await?.is_some();
    Err(if is_there { Refusal::InvitationRevoked } else { Refusal::UnknownInvitation }.into())
}

/// The page of a link that does not work, or of anything else that stands in the way.
fn ended(api: &Api, error: ExecuteError, flow: &Flow) -> Result<Response, PageProblem> {
    let ExecuteError::Refused(refusal) = error else { return Err(error.into()) };
    let Some(end) = words::link_end(&refusal) else { return Err(refusal.into()) };
    let mut response = ended_page(api, end, Some(flow));
    *response.status_mut() = status_of(&refusal);
    Ok(response)
}

fn ended_page(api: &Api, end: LinkEnd, flow: Option<&Flow>) -> Response {
    let (title, sentence) = end.words();
    let action = match end {
        LinkEnd::Expired | LinkEnd::Superseded => Some(("Send me the newest link", "/invitation/latest")),
        LinkEnd::AlreadyYours => Some(("Use another account instead", "/invitation/other-account")),
        _ => None,
    };
    let action =
        action.filter(|_| flow.is_some()).map(|(label, url)| PostAction { label: label.into(), url: url.into() });
    let template = LinkEndedPage {
        frame: frame(api, flow.map(|flow| flow.csrf.as_str()).unwrap_or_default()),
        tone: end.tone(),
        title: title.into(),
        sentence: sentence.into(),
        next: end.next(),
        action,
        links: vec![PageLink { label: "My profile".into(), url: "/profile".into() }],
        code: None,
    };
    let status = if end == LinkEnd::Unknown { StatusCode::NOT_FOUND } else { StatusCode::OK };
    page(status, &template)
}
