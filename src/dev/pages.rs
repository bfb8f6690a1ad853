//! The start page, which leads through the main job, and the mailbox.

use std::path::{Path as FilePath, PathBuf};

use api::pages::views::{Frame, HistoryEvent, HistoryPage, PageLink};
use api::pages::{PageProblem, page, words};
use api::problem::Problem;
use api::state::Api;
use api::v1::history;
use axum::Form;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::{Event, Recorded};
use domain::ids::{InvitationId, MailId};
use domain::tag::Subject;
use mail_parser::{Message, MessageParser};
use serde::Deserialize;
use store::random;

use super::provider::{DevIssuer, DevPerson};
use super::samples::{ACCOUNT, ADMINISTRATOR, INVITEE, INVITEE_AT_HOME, STRANGER, new_link};
use super::views::{MailHeader, MailPage, MailRow, MailboxPage, Places, STEPS, StartPage, dares, main_job, pieces};
use super::{Development, samples};
use crate::serve::mail_folder;

/// Mails shown in the list.
const MAILS_MAX: usize = 100;

/// The routes.
pub fn router(development: Development) -> Router<Api> {
    let with = |development: &Development| development.clone();
    let (start_page, again) = (with(&development), with(&development));
    let (list, one, html, past) = (with(&development), with(&development), with(&development), with(&development));
    Router::new()
        .route("/", get(move |State(api): State<Api>, Query(notice): Query<Notice>| start(start_page, api, notice)))
        .route(
            "/dev/send-again",
            post(move |State(api): State<Api>, Form(form): Form<OnlyToken>| send_again(again, api, form)),
        )
        .route("/dev/mailbox", get(move || mailbox(list)))
        .route("/dev/mailbox/{mail}", get(move |Path(mail): Path<MailId>| mail_page(one, mail)))
        .route("/dev/mailbox/{mail}/html", get(move |Path(mail): Path<MailId>| mail_html(html, mail)))
        .route("/dev/history", get(move |State(api): State<Api>| show_history(past, api)))
}

#[derive(Debug, Deserialize)]
struct Notice {
    sent: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct OnlyToken {
    csrf: String,
}

async fn start(development: Development, api: Api, notice: Notice) -> Result<Response, PageProblem> {
    let events = api.store.events_about(&Subject::Account(development.samples.account)).await?;
    let mails = mails(&development.folder).await;
    let links: Vec<&Mail> = mails.iter().filter(|mail| issued_with(mail, &events, &development).is_some()).collect();
    let open = open_invitation(&events, &development);
    let accepted = events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::IdentityAssociated(e) if e.professional == development.samples.invitee => Some(e.invitation),
        _ => None,
    });
    let is_accepted = |mail: &&&Mail| accepted.is_some() && issued_with(mail, &events, &development) == accepted;
    let is_open = |mail: &&&Mail| open.is_some() && issued_with(mail, &events, &development) == open;
    let places = Places {
        invitee: INVITEE.0.into(),
        stranger: STRANGER.into(),
        portal: api.settings.portals.customer.name.clone(),
        mailbox_url: "/dev/mailbox".into(),
        newest_mail_url: links.first().map(|mail| mail.url()),
        accepted_mail_url: links.iter().find(is_accepted).map(|mail| mail.url()),
        older_mail_url: links.iter().filter(is_open).nth(1).map(|mail| mail.url()),
        profile_url: "/profile".into(),
        history_url: "/dev/history".into(),
        send_again_action: "/dev/send-again".into(),
    };
    let person = DevPerson::new(DevIssuer::Personal, INVITEE_AT_HOME.0, INVITEE_AT_HOME.1);
    let token = development.provider.bearer_token(DevIssuer::Personal, &person).map_err(|error| {
        tracing::error!(%error, "the development provider cannot sign");
        Problem::unavailable()
    })?;
    let me = api.settings.absolute("/v1/me");
    let template = StartPage {
        csrf: development.csrf.clone(),
        inviter: ADMINISTRATOR.0.into(),
        invitee: INVITEE.0.into(),
        notice: notice.sent.map(|generation| format!("Sent again: link {generation} is in the mailbox.")),
        steps: main_job(steps_done(&events, &development), &places),
        dares: dares(&places),
        curl_person: format!("{} at {}", INVITEE.0, DevIssuer::Personal.label()),
        curl: format!("curl -s {me} -H 'Authorization: Bearer {}'", token.reveal()),
        data_folder: whole(&development.folder),
        stop: "Press Ctrl-C where it runs. Everything is kept.".into(),
        begin_again: "Stop it and delete the folder.".into(),
        mailbox_url: "/dev/mailbox".into(),
        docs_url: "/docs".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// How many steps of the main job the log shows to be done; reading the profile and the history leaves no trace in it.
fn steps_done(events: &[Recorded], development: &Development) -> usize {
    let of_invitee = events.iter().filter(|it| it.event.about().professional == Some(development.samples.invitee));
    let done = of_invitee.map(|recorded| match recorded.event {
        Event::LinkVisited(_) | Event::LinkClicked(_) => 2,
        Event::MailboxCodeIssued(_) => 3,
        Event::IdentityAssociated(_) => STEPS,
        _ => 0,
    });
    done.max().unwrap_or(0)
}

/// The invitation of the sample person whose link the mail brings.
fn issued_with(mail: &Mail, events: &[Recorded], development: &Development) -> Option<InvitationId> {
    events.iter().find_map(|recorded| match &recorded.event {
        Event::InvitationIssued(e) if e.mail == mail.id && e.professional == development.samples.invitee => {
            Some(e.invitation)
        }
        _ => None,
    })
}

/// The newest invitation of the sample person, unless it was accepted: an accepted one has no newer link.
fn open_invitation(events: &[Recorded], development: &Development) -> Option<InvitationId> {
    let newest = events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::InvitationIssued(e) if e.professional == development.samples.invitee => Some(e.invitation),
        _ => None,
    });
    let is_accepted =
        |recorded: &Recorded| matches!(&recorded.event, Event::IdentityAssociated(e) if Some(e.invitation) == newest);
    newest.filter(|_| !events.iter().any(is_accepted))
}

async fn send_again(development: Development, api: Api, form: OnlyToken) -> Result<Response, PageProblem> {
    if form.csrf != development.csrf {
        return Err(
            Problem::new(StatusCode::FORBIDDEN, "cross_site", "Go back to the start page and try again.").into()
        );
    }
    let mut generation = send_once(&development, &api).await?;
    // Once the invitation was accepted, this began a new one: its first link needs a newer one to be an older one.
    if generation == 1 {
        generation = send_once(&development, &api).await?;
    }
    Ok(Redirect::to(&format!("/?sent={generation}")).into_response())
}

/// Sends the next link and waits until its mail is in the mailbox; returns which link it is.
async fn send_once(development: &Development, api: &Api) -> Result<u32, PageProblem> {
    let samples::Samples { account, invitee, administrator } = development.samples;
    let command = Command::SendInvitation { account, professional: invitee, new: new_link(api.link_keys.newest()) };
    let request = Request { id: random::uuid(), key: None, body: None, if_match: None };
    let (executed, _) = api.execute(command, Caller::new(Actor::Identity(administrator)), request).await?;
    let issued = executed.events.iter().find_map(|recorded| match &recorded.event {
        Event::InvitationIssued(e) => Some((e.generation, e.mail)),
        _ => None,
    });
    let (generation, mail) = issued.ok_or_else(Problem::unavailable)?;
    for _ in 0..100 {
        if path_of(&development.folder, mail).exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(generation)
}

/// A mail in the folder.
struct Mail {
    id: MailId,
    bytes: Vec<u8>,
}

impl Mail {
    fn url(&self) -> String {
        format!("/dev/mailbox/{}", self.id)
    }

    fn parse(&self) -> Option<Message<'_>> {
        MessageParser::default().parse(&self.bytes)
    }
}

fn path_of(folder: &FilePath, mail: MailId) -> PathBuf {
    mail_folder(folder).join(format!("{mail}.eml"))
}

/// The mails, the newest first.
async fn mails(folder: &FilePath) -> Vec<Mail> {
    let mut found = Vec::new();
    let Ok(mut files) = tokio::fs::read_dir(mail_folder(folder)).await else { return Vec::new() };
    while let Ok(Some(file)) = files.next_entry().await {
        let path = file.path();
        let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".eml")?.parse().ok());
        let written_at = file.metadata().await.and_then(|metadata| metadata.modified()).ok();
        if let (Some(id), Some(written_at)) = (id, written_at) {
            found.push((written_at, id, path));
        }
    }
    found.sort_by_key(|(written_at, ..)| std::cmp::Reverse(*written_at));
    let mut mails = Vec::new();
    for (_, id, path) in found.into_iter().take(MAILS_MAX) {
        if let Ok(bytes) = tokio::fs::read(path).await {
            mails.push(Mail { id, bytes });
        }
    }
    mails
}

async fn mailbox(development: Development) -> Response {
    let mails = mails(&development.folder).await;
    let row = |mail: &Mail| {
        let message = mail.parse()?;
        Some(MailRow {
            url: mail.url(),
            to: header_text(&message, "To"),
            subject: message.subject().unwrap_or_default().into(),
            time: header_text(&message, "Date"),
        })
    };
    let template = MailboxPage {
        mails: mails.iter().filter_map(row).collect(),
        folder: whole(&mail_folder(&development.folder)),
        start_url: "/".into(),
    };
    page(StatusCode::OK, &template)
}

/// A folder with the way to it, since the reader may be elsewhere.
fn whole(folder: &FilePath) -> String {
    std::path::absolute(folder).unwrap_or_else(|_| folder.into()).display().to_string()
}

async fn find(development: &Development, id: MailId) -> Result<Mail, Problem> {
    let bytes = tokio::fs::read(path_of(&development.folder, id)).await;
    bytes.map(|bytes| Mail { id, bytes }).map_err(|_| Problem::not_found("not_found", "There is no such mail."))
}

async fn mail_page(development: Development, id: MailId) -> Result<Response, PageProblem> {
    let mail = find(&development, id).await?;
    let message = mail.parse().ok_or_else(|| Problem::not_found("not_found", "This file is no mail."))?;
    let headers = ["From", "To", "Subject", "Date", "Message-ID"];
    let template = MailPage {
        subject: message.subject().unwrap_or_default().into(),
        headers: headers
            .iter()
            .map(|name| MailHeader { name: (*name).into(), value: header_text(&message, name) })
            .collect(),
        text: pieces(&message.body_text(0).unwrap_or_default()),
        html_url: message.body_html(0).map(|_| format!("{}/html", mail.url())),
        mailbox_url: "/dev/mailbox".into(),
        start_url: "/".into(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// The HTML part, closed in: no scripts, nothing loaded, links open at the top after a click.
async fn mail_html(development: Development, id: MailId) -> Result<Response, PageProblem> {
    let mail = find(&development, id).await?;
    let html = mail.parse().and_then(|message| message.body_html(0).map(|html| html.into_owned()));
    let html = html.ok_or_else(|| Problem::not_found("not_found", "This mail has no HTML part."))?;
    let mut response = axum::response::Html(format!("<base target=\"_top\">{html}")).into_response();
    let policy = "sandbox allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; \
                  frame-ancestors 'self'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(response)
}

/// A header as people read it.
fn header_text(message: &Message<'_>, name: &str) -> String {
    let person = |address: &mail_parser::Addr<'_>| match (&address.name, &address.address) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (_, Some(address)) => address.to_string(),
        _ => String::new(),
    };
    match name {
        "From" => message.from().and_then(|it| it.first()).map(person).unwrap_or_default(),
        "To" => message.to().and_then(|it| it.first()).map(person).unwrap_or_default(),
        "Date" => message.date().map(|date| words::second(&date.to_rfc3339())).unwrap_or_default(),
        "Message-ID" => message.message_id().map(|id| format!("<{id}>")).unwrap_or_default(),
        _ => message.subject().unwrap_or_default().into(),
    }
}

async fn show_history(development: Development, api: Api) -> Result<Response, PageProblem> {
    let entries = history::tell(&api, development.samples.account).await?;
    let events = entries.iter().rev().map(|entry| HistoryEvent {
        position: u64::try_from(entry.position).unwrap_or_default(),
        time: words::second(&entry.recorded_at),
        actor: entry.actor_words.clone(),
        words: entry.words.clone(),
    });
    let template = HistoryPage {
        frame: Frame { csrf: String::new(), start_page: Some("/".into()) },
        subject: ACCOUNT.into(),
        summary: format!("{} events, the newest first.", entries.len()),
        events: events.collect(),
        older_url: None,
        back: Some(PageLink { label: "Start".into(), url: "/".into() }),
    };
    Ok(page(StatusCode::OK, &template))
}
