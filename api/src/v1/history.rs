//! Histories for auditors: of an account, and of whatever a tag names. Reading one is itself recorded.

use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use domain::caller::Actor;
use domain::event::{Event, Position};
use domain::ids::AccountId;
use domain::refusal::Refusal;
use domain::tag::{Subject, Tag};
use domain::time::Timestamp;
use domain::words::Scope;
use projections::Reader;
use serde::Deserialize;
use utoipa::IntoParams;

use super::accounts::sentence;
use super::professionals::Page;
use super::{read_cursor, write_cursor};
use crate::asked::{Authenticated, InPath, InQuery};
use crate::problem::Problem;
use crate::state::Api;
pub use crate::told::HistoryEntry;
use crate::told::{Filter, Source, Telling, record_reading};

/// Who may read every history.
pub(crate) const READERS: &[Scope] = &[Scope::Auditor, Scope::Support];
/// Events on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 100;
/// The largest page.
const PAGE_MAX: usize = 500;

/// Which events of an account's history, and which page of them.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Where the page begins: the `next` of the one before. The filters stay the same from page to page.
    pub cursor: Option<String>,
    /// How many events at most; 1 to 500.
    pub limit: Option<usize>,
    /// Only events of these types, with commas between them.
    #[serde(rename = "type")]
    #[param(example = "RoleGiven,RoleTaken")]
    pub types: Option<String>,
    /// Only events by this actor, as `actor` names it.
    pub actor: Option<String>,
    /// Only events recorded at this time or later (RFC 3339).
    #[param(format = DateTime)]
    pub from: Option<String>,
    /// Only events recorded before this time (RFC 3339).
    #[param(format = DateTime)]
    pub until: Option<String>,
}

/// What the history is about, which events of it, and which page of them.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TagQuery {
    /// `account:<id>`, `professional:<id>`, `invitation:<id>`, `identity:<id>` or `customer-number:<number>`.
    #[param(example = "customer-number:C-1001")]
    pub tag: String,
    /// Where the page begins: the `next` of the one before. The filters stay the same from page to page.
    pub cursor: Option<String>,
    /// How many events at most; 1 to 500.
    pub limit: Option<usize>,
    /// Only events of these types, with commas between them.
    #[serde(rename = "type")]
    #[param(example = "RoleGiven,RoleTaken")]
    pub types: Option<String>,
    /// Only events by this actor, as `actor` names it.
    pub actor: Option<String>,
    /// Only events recorded at this time or later (RFC 3339).
    #[param(format = DateTime)]
    pub from: Option<String>,
    /// Only events recorded before this time (RFC 3339).
    #[param(format = DateTime)]
    pub until: Option<String>,
}

/// A query's filters, as they were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub types: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub from: Option<&'a str>,
    pub until: Option<&'a str>,
}

impl Asked<'_> {
    /// The filter that they make for the events with a tag.
    pub fn filter(self, tag: &Tag) -> Result<Filter, Problem> {
        let known = |name: &str| Event::NAMES.iter().copied().find(|known| *known == name);
        let unknown = || Problem::invalid("event_type_unknown", "There is no event type of that name.");
        let types = self.types.into_iter().flat_map(|types| types.split(','));
        let types = types.map(|name| known(name.trim()).ok_or_else(unknown)).collect::<Result<Vec<_>, _>>()?;
        let actor = |text: &str| {
            let title = "An actor is identity:<id>, key:<id>, cli:<user>, worker:<name> or link.";
            text.parse::<Actor>().map_err(|_| Problem::invalid("actor_invalid", title))
        };
        let time = |text: &str| {
            Timestamp::parse(text)
                .map_err(|_| Problem::invalid("time_invalid", "A time is not in the form of RFC 3339."))
        };
        Ok(Filter {
            tag: Some(tag.clone()),
            types,
            actor: self.actor.map(actor).transpose()?,
            from: self.from.map(time).transpose()?,
            until: self.until.map(time).transpose()?,
        })
    }
}

/// Where a page begins, and where the first one's reading ended: later events, such as those that record the reading
/// itself, are of another reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    after: Position,
    end: Position,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.after, self.end)
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (after, end) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { after: after.parse()?, end: end.parse()? })
    }
}

/// Tells an account's whole history, the oldest event first. Identities and partners are named, too.
///
/// # Errors
/// The log cannot be read.
pub async fn tell(api: &Api, account: AccountId) -> Result<Vec<HistoryEntry>, Problem> {
    let source = Source::Subject(Subject::Account(account));
    let mut telling = Telling::new(api.store.clone(), source, Filter::default(), 0, Position::MAX);
    let mut entries = Vec::new();
    while let Some(page) = telling.next().await? {
        entries.extend(page);
    }
    Ok(entries)
}

/// Read an account's history
///
/// For auditors, support and administrators of the account: every event in words and as data, the oldest first. That it
/// was read is recorded in it.
#[utoipa::path(get, path = "/v1/accounts/{account}/history", tag = "history", params(("account" = uuid::Uuid, Path,), HistoryQuery),
    responses((status = 200, description = "A page", body = Page<HistoryEntry>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn of_account(
    State(api): State<Api>,
    by: Authenticated,
    InPath(account): InPath<AccountId>,
    InQuery(query): InQuery<HistoryQuery>,
) -> Result<Json<Page<HistoryEntry>>, Problem> {
    let reader = by.person_or(READERS)?;
    check_reader(&api, account, reader).await?;
    let asked = Asked {
        types: query.types.as_deref(),
        actor: query.actor.as_deref(),
        from: query.from.as_deref(),
        until: query.until.as_deref(),
    };
    let source = Source::Subject(Subject::Account(account));
    read_page(&api, &by, Tag::Account(account), source, asked, query.cursor.as_deref(), query.limit).await
}

/// Read the history of a tag
///
/// For auditors and support: every event about an account, a professional, an invitation, an identity or a customer
/// number, the oldest first. That it was read is recorded about the account or the identity.
#[utoipa::path(get, path = "/v1/history", tag = "history", params(TagQuery),
    responses((status = 200, description = "A page", body = Page<HistoryEntry>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn of_tag(
    State(api): State<Api>,
    by: Authenticated,
    InQuery(query): InQuery<TagQuery>,
) -> Result<Json<Page<HistoryEntry>>, Problem> {
    by.staff(READERS)?;
    let tag = parse_tag(&query.tag)?;
    let source = source_of(&api, &tag).await?;
    let asked = Asked {
        types: query.types.as_deref(),
        actor: query.actor.as_deref(),
        from: query.from.as_deref(),
        until: query.until.as_deref(),
    };
    read_page(&api, &by, tag, source, asked, query.cursor.as_deref(), query.limit).await
}

async fn read_page(
    api: &Api,
    by: &Authenticated,
    tag: Tag,
    source: Source,
    asked: Asked<'_>,
    cursor: Option<&str>,
    limit: Option<usize>,
) -> Result<Json<Page<HistoryEntry>>, Problem> {
    let filter = asked.filter(&tag)?;
    let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let Cursor { after, end } = match read_cursor(cursor)? {
        Some(cursor) => cursor,
        None => Cursor { after: 0, end: api.store.head().await? },
    };
    let mut telling = Telling::new(api.store.clone(), source.clone(), filter, after, end);
    let mut items = Vec::new();
    while items.len() <= limit {
        let Some(page) = telling.next().await? else { break };
        items.extend(page);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| has_more).map(|last| Cursor { after: last.position, end });
    let next = last.map(|cursor| write_cursor(&cursor.to_string()));
    record_reading(&api.store, Some(tag), &source, by.caller.clone(), by.request.clone()).await?;
    Ok(Json(Page { items, next }))
}

pub(crate) fn parse_tag(text: &str) -> Result<Tag, Problem> {
    text.parse().map_err(|error| Problem::invalid("tag_invalid", sentence(&error)))
}

/// Finds whose events the tag stands on. Where nothing carries the tag there is nothing to read.
///
/// # Errors
/// There is no such thing, or the log or the views cannot be read.
pub(crate) async fn source_of(api: &Api, tag: &Tag) -> Result<Source, Problem> {
    let account = match tag {
        Tag::Account(id) => api.views.account(*id, Reader::Staff).await?.ok_or(Refusal::UnknownAccount)?.id,
        Tag::Professional(id) => api.views.account_of(*id).await?.ok_or(Refusal::UnknownProfessional)?,
        Tag::Invitation(id) => {
            api.views.invitation(*id, Reader::Staff).await?.ok_or(Refusal::UnknownInvitation)?.account
        }
        Tag::Identity(id) => {
            let subject = Subject::Identity(*id);
            if api.store.page_about(&subject, 0, 1).await?.is_empty() {
                return Err(Problem::not_found("unknown_identity", "There is no such identity."));
            }
            return Ok(Source::Subject(subject));
        }
        Tag::CustomerNumber(number) => {
            let events = api.store.page_about(&Subject::CustomerNumber(number.clone()), 0, 1).await?;
            let opened = events.iter().find_map(|recorded| recorded.event.about().account);
            opened.ok_or(Refusal::UnknownAccount)?
        }
    };
    Ok(Source::Subject(Subject::Account(account)))
}

/// Checks that the reader may read the account's history: staff, or an administrator of it.
///
/// # Errors
/// The account is unknown to the reader, or the reader administers it not.
pub(crate) async fn check_reader(api: &Api, account: AccountId, reader: Reader) -> Result<(), Problem> {
    api.views.account(account, reader).await?.ok_or(Refusal::UnknownAccount)?;
    if api.views.administers(account, reader).await? { Ok(()) } else { Err(Refusal::NotAdministrator.into()) }
}
