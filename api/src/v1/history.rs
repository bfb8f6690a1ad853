//! The history of an account: every event, in words and as data.

use axum::Json;
use axum::extract::State;
use domain::event::{Event, Position, Recorded};
use domain::ids::AccountId;
use domain::narrate::{Narrator, actor_in_words};
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::words::Scope;
use projections::Reader;
use serde::Serialize;
use utoipa::ToSchema;

use super::professionals::{Page, PageQuery};
use super::{read_cursor, write_cursor};
use crate::asked::{Authenticated, InPath, InQuery};
use crate::problem::Problem;
use crate::state::Api;

/// Who may read every history.
const READERS: &[Scope] = &[Scope::Auditor, Scope::Support];
/// Events on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 100;
/// The largest page.
const PAGE_MAX: usize = 500;

/// One event of a history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Its place in the log.
    pub position: Position,
    /// Its id.
    pub id: uuid::Uuid,
    /// When it was recorded (RFC 3339).
    pub recorded_at: String,
    /// The event type.
    #[schema(example = "IdentityAssociated")]
    pub event_type: String,
    /// What happened, in words.
    pub words: String,
    /// Who did it.
    #[schema(example = "identity:8d5c6a2e-0000-4000-8000-000000000000")]
    pub actor: String,
    /// Who did it, in words.
    pub actor_words: String,
    /// The id of the request it came from.
    pub request: uuid::Uuid,
    /// What it is about.
    pub tags: Vec<String>,
    /// The facts.
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
}

impl HistoryEntry {
    fn from_recorded(recorded: &Recorded, narrator: &mut Narrator) -> Self {
        Self {
            position: recorded.position,
            id: recorded.id.0,
            recorded_at: recorded.recorded_at.to_string(),
            event_type: recorded.event.name().into(),
            words: narrator.tell(recorded),
            actor: recorded.actor.to_string(),
            actor_words: actor_in_words(&recorded.actor, narrator),
            request: recorded.request.id,
            tags: recorded.event.tags().iter().map(ToString::to_string).collect(),
            facts: serde_json::from_str(&recorded.event.facts()).unwrap_or_default(),
        }
    }
}

/// Tells an account's history, the oldest event first. Identities that acted or were associated are named, too.
///
/// # Errors
/// The log cannot be read.
pub async fn tell(api: &Api, account: AccountId) -> Result<Vec<HistoryEntry>, Problem> {
    let events = api.store.events_about(&Subject::Account(account)).await?;
    let mut narrator = Narrator::default();
    let mut identities: Vec<_> = events.iter().flat_map(identities_of).collect();
    identities.sort_unstable();
    identities.dedup();
    for identity in identities {
        let registered = api.store.events_about(&Subject::Identity(identity)).await?;
        // What the identity was linked to later, here or elsewhere, is not known yet when the story begins.
        let known = registered.iter().filter(|it| matches!(it.event, Event::IdentityRegistered(_)));
        known.for_each(|recorded| narrator.learn(&recorded.event));
    }
    Ok(events.iter().map(|recorded| HistoryEntry::from_recorded(recorded, &mut narrator)).collect())
}

fn identities_of(recorded: &Recorded) -> Vec<domain::ids::IdentityId> {
    let mut identities = Vec::new();
    if let domain::caller::Actor::Identity(identity) = recorded.actor {
        identities.push(identity);
    }
    if let Event::IdentityAssociated(e) = &recorded.event {
        identities.extend([Some(e.to), e.from].into_iter().flatten());
    }
    identities
}

/// Read an account's history
///
/// For auditors, support and administrators of the account: every event in words and as data, the oldest first.
#[utoipa::path(get, path = "/v1/accounts/{account}/history", tag = "history", params(("account" = uuid::Uuid, Path,), PageQuery),
    responses((status = 200, description = "A page", body = Page<HistoryEntry>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn of_account(
    State(api): State<Api>,
    by: Authenticated,
    InPath(account): InPath<AccountId>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Page<HistoryEntry>>, Problem> {
    let reader = by.person_or(READERS)?;
    check_reader(&api, account, reader).await?;
    let after: Position = read_cursor(query.cursor.as_deref())?.unwrap_or(0);
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let mut entries = tell(&api, account).await?;
    entries.retain(|entry| entry.position > after);
    let next = entries.get(limit).is_some().then(|| write_cursor(&entries[limit - 1].position.to_string()));
    entries.truncate(limit);
    Ok(Json(Page { items: entries, next }))
}

/// Checks that the reader may read the account's history: staff, or an administrator of it.
///
/// # Errors
/// The account is unknown to the reader, or the reader administers it not.
pub(crate) async fn check_reader(api: &Api, account: AccountId, reader: Reader) -> Result<(), Problem> {
    api.views.account(account, reader).await?.ok_or(Refusal::UnknownAccount)?;
    if api.views.administers(account, reader).await? { Ok(()) } else { Err(Refusal::NotAdministrator.into()) }
}
