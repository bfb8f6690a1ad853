//! Professionals: list, read, add, edit, delete, hand over, untie, erase, invite.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::address::EmailAddress;
use domain::caller::Request;
use domain::command::{Command, Edit, NewLink};
use domain::event::Event;
use domain::ids::{AccountId, IdentityId, InvitationId, ProfessionalId};
use domain::invitation::Lifetime;
use domain::name::PersonName;
use domain::personal::ProfessionalDetails;
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::words::{Language, Role, Scope};
use projections::professionals::{PAGE_MAX, ProfessionalRow};
use serde::{Deserialize, Serialize};
use store::Executed;
use utoipa::{IntoParams, ToSchema};

use super::accounts::{READERS, sentence};
use super::as_of::{self, AsOfQuery};
use super::{Done, check_manager, created, cut_page, read_cursor, roles, with_etag};
use crate::asked::{Asked, Authenticated, InPath, InQuery, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// People on a page if nothing else is asked for.
const PAGE_DEFAULT: usize = 50;

/// A professional.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Professional {
    /// The profile's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ProfessionalId,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    pub account: AccountId,
    /// The person's name; null once erased.
    pub name: Option<String>,
    /// The registered address; null once erased.
    pub address: Option<String>,
    /// The language of mail to the person.
    #[schema(value_type = String, example = "en")]
    pub language: Language,
    /// The roles.
    #[schema(value_type = Vec<String>, example = json!(["administrator"]))]
    pub roles: Vec<Role>,
    /// Whether an identity is associated.
    pub is_associated: bool,
    /// When it was associated (RFC 3339).
    pub associated_at: Option<String>,
    /// The newest invitation.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub invitation: Option<InvitationId>,
    /// When the person was added (RFC 3339).
    pub added_at: String,
}

impl Professional {
    pub(crate) fn from_row(row: &ProfessionalRow) -> Self {
        Self {
            id: row.id,
            account: row.account,
            name: row.name.clone(),
            address: row.address.clone(),
            language: row.language,
            roles: row.roles.iter().copied().collect(),
            is_associated: row.identity.is_some(),
            associated_at: row.associated_at.map(|at| at.to_string()),
            invitation: row.invitation,
            added_at: row.added_at.to_string(),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

/// Which page of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Where the page begins: the `next` of the one before.
    pub cursor: Option<String>,
    /// How many items at most; 1 to 199.
    pub limit: Option<usize>,
}

/// List an account's people
///
/// For staff, administrators of the account and of the partners that serve it.
#[utoipa::path(get, path = "/v1/accounts/{account}/professionals", tag = "professionals",
    params(("account" = uuid::Uuid, Path,), PageQuery),
    responses((status = 200, description = "A page, by id", body = Page<Professional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn list(
    State(api): State<Api>,
    by: Authenticated,
    InPath(account): InPath<AccountId>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Page<Professional>>, Problem> {
    let reader = by.person_or(READERS)?;
    check_manager(&api, account, reader).await?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX - 1);
    let after: Option<ProfessionalId> = read_cursor(query.cursor.as_deref())?;
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = api.views.professionals(account, reader, &after, limit + 1).await?;
    let (rows, next) = cut_page(rows, limit, |row| row.id.to_string());
    Ok(Json(Page { items: rows.iter().map(Professional::from_row).collect(), next }))
}

/// Read a professional
///
/// For staff, administrators of the account, and the person.
#[utoipa::path(get, path = "/v1/accounts/{account}/professionals/{professional}", tag = "professionals",
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), AsOfQuery),
    responses((status = 200, description = "The professional", body = Professional), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn read(
    State(api): State<Api>,
    by: Authenticated,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    InQuery(query): InQuery<AsOfQuery>,
) -> Result<Response, Problem> {
    if let Some(as_of) = &query.as_of {
        return as_of::professional(&api, &by, account, professional, as_of).await;
    }
    let reader = by.person_or(READERS)?;
    let found = api.views.professional(account, professional, reader).await?.ok_or(Refusal::UnknownProfessional)?;
    Ok(with_etag(found.changed_by, Professional::from_row(&found)))
}

/// Who is added.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddProfessional {
    /// The person's name, 1 to 80 characters.
    #[schema(example = "Robin Rivers")]
    pub name: String,
    /// The address that the person is known by; invitations go there.
    #[schema(example = "robin.rivers@harbour.example")]
    pub address: String,
    /// The language of mail to the person; English if it is left out.
    #[schema(value_type = Option<String>, example = "en")]
    pub language: Option<Language>,
    /// Whether to send an invitation; without one the person exists uninvited.
    #[serde(default)]
    pub send_invitation: bool,
    /// How many hours the link works, 1 to 720; 168 if it is left out.
    pub lifetime_hours: Option<i64>,
}

/// A person who was added.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AddedProfessional {
    /// The profile's id.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The roles: the first person of an account becomes its administrator and holds the mandatory roles.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// The invitation, if one is sent.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub invitation: Option<InvitationId>,
}

/// Add a professional
///
/// For administrators of the account, partners who serve it, support and the back office. The first person of an account becomes its
/// administrator and holds the mandatory roles.
#[utoipa::path(post, path = "/v1/accounts/{account}/professionals", tag = "professionals", request_body = AddProfessional,
    params(("account" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 201, description = "Added", body = Done<AddedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn add(
    State(api): State<Api>,
    InPath(account): InPath<AccountId>,
    asked: Asked<AddProfessional>,
) -> Result<Response, Problem> {
    let body = &asked.body;
    let details = ProfessionalDetails { name: person_name(&body.name)?, address: address(&body.address)? };
    let link = new_link(&api, body.lifetime_hours)?;
    let command = Command::AddProfessional {
        account,
        professional: ProfessionalId(api.store.fresh_id()),
        details,
        language: body.language.unwrap_or(Language::English),
        invitation: body.send_invitation.then_some(link),
    };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let added = added(&executed).ok_or_else(Problem::unavailable)?;
    let location = format!("/v1/accounts/{account}/professionals/{}", added.professional);
    Ok(created(&location, Done::new(added, &executed, shown)))
}

fn added(executed: &Executed) -> Option<AddedProfessional> {
    let (mut professional, mut roles, mut invitation) = (None, Vec::new(), None);
    for recorded in &executed.events {
        match &recorded.event {
            Event::ProfessionalAdded(e) => professional = Some(e.professional),
            Event::RoleGiven(e) => roles.push(e.role),
            Event::InvitationIssued(e) => invitation = Some(e.invitation),
            _ => {}
        }
    }
    professional.map(|professional| AddedProfessional { professional, roles, invitation })
}

/// What changes about a person; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditProfessional {
    /// The new name, 1 to 80 characters.
    pub name: Option<String>,
    /// The new address. Open invitations are revoked, and the old address is told.
    pub address: Option<String>,
    /// The new language of mail to the person.
    #[schema(value_type = Option<String>, example = "de")]
    pub language: Option<Language>,
    /// Whether to send an invitation to the address in the same step.
    #[serde(default)]
    pub send_invitation: bool,
    /// How many hours the link works, 1 to 720; 168 if it is left out.
    pub lifetime_hours: Option<i64>,
}

/// A person who was changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangedProfessional {
    /// The profile's id.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The invitation, if one is sent.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<InvitationId>,
    /// What the caller should know about what was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub warnings: Vec<Warning>,
}

/// Something that was done as asked, and that the caller should think about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Warning {
    /// The stable code.
    #[schema(example = "administrator_without_identity")]
    pub code: &'static str,
    /// One sentence for people.
    pub message: &'static str,
}

impl ChangedProfessional {
    pub(crate) fn new(professional: ProfessionalId, executed: &Executed) -> Self {
        let invitation = executed.events.iter().find_map(|recorded| match &recorded.event {
            Event::InvitationIssued(e) => Some(e.invitation),
            _ => None,
        });
        Self { professional, invitation, warnings: Vec::new() }
    }
}

/// Edit a professional
///
/// For administrators of the account, partners who serve it, support and the back office, and for the person itself.
/// Another address revokes the open invitation; with `send_invitation` the new address is invited in the same step.
#[utoipa::path(patch, path = "/v1/accounts/{account}/professionals/{professional}", tag = "professionals",
    request_body = EditProfessional,
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Edited", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn edit(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<EditProfessional>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let body = &asked.body;
    let link = new_link(&api, body.lifetime_hours)?;
    let edit = Edit {
        name: body.name.as_deref().map(person_name).transpose()?,
        address: body.address.as_deref().map(address).transpose()?,
        language: body.language,
        invitation: body.send_invitation.then_some(link),
    };
    let command = Command::EditProfessional { account, professional, edit };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedProfessional::new(professional, &executed), &executed, shown))
}

/// Delete a professional
///
/// For administrators of the account, partners who serve it, support and the back office. Administrators and holders of a
/// mandatory contact role are not deleted: the refusal lists everything that stands in the way, and what resolves it.
#[utoipa::path(delete, path = "/v1/accounts/{account}/professionals/{professional}", tag = "professionals",
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Deleted", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn delete(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let command = Command::DeleteProfessional { account, professional };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedProfessional::new(professional, &executed), &executed, shown))
}

/// Who takes the roles over.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// The professional who gets every role.
    #[schema(value_type = uuid::Uuid)]
    pub to: ProfessionalId,
}

/// Hand over and delete
///
/// Gives every role of the person to another and deletes the person, in one step.
#[utoipa::path(post, path = "/v1/accounts/{account}/professionals/{professional}/hand-over", tag = "professionals",
    request_body = HandOver,
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Handed over and deleted", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn hand_over(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<HandOver>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let command = Command::HandOver { account, professional, to: asked.body.to };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let mut changed = ChangedProfessional::new(professional, &executed);
    changed.warnings = roles::warnings(&api, account, Some(asked.body.to)).await?;
    Ok(Done::new(changed, &executed, shown))
}

/// Untie the identity
///
/// The person's identity no longer opens the profile; a new invitation links another. For those who may edit the person.
#[utoipa::path(delete, path = "/v1/accounts/{account}/professionals/{professional}/association", tag = "professionals",
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Untied", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn unlink(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedProfessional>, Problem> {
    let command = Command::UnlinkIdentity { account, professional };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let mut changed = ChangedProfessional::new(professional, &executed);
    changed.warnings = roles::warnings(&api, account, None).await?;
    Ok(Done::new(changed, &executed, shown))
}

/// Erase a person
///
/// Needs the scope `support`. Deletes the person if need be, and destroys what is personal about them, and about those of
/// their identities that no other profile has: nobody can read it any more, in the log, the views or a backup of today's
/// key store. History keeps what happened.
#[utoipa::path(post, path = "/v1/accounts/{account}/professionals/{professional}/erase", tag = "professionals",
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key"), ("If-Match" = Option<String>, Header, description = "The ETag that was read; another one is refused")),
    responses((status = 200, description = "Erased", body = Done<ChangedProfessional>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn erase(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedProfessional>, Problem> {
    asked.by.staff(&[Scope::Support])?;
    let identities = identities_of(&api, account, professional).await?;
    let erase =
        |of: &BTreeSet<_>| Command::ErasePerson { account, professional, identities: of.iter().copied().collect() };
    let (executed, mut shown) = api.execute(erase(&identities), asked.by.caller.clone(), asked.request.clone()).await?;
    // One may have been linked between the look and the decision, now or when the request came first. Whoever is erased gets
    // no other.
    let known_now = identities_of(&api, account, professional).await?;
    if executed.replayed || known_now != identities {
        let again = Request { key: None, body: None, if_match: None, ..asked.request };
        (_, shown) = api.execute(erase(&known_now), asked.by.caller, again).await?;
    }
    clean_files(&api).await;
    Ok(Done::new(ChangedProfessional::new(professional, &executed), &executed, shown))
}

/// Every identity that a person ever had.
async fn identities_of(
    api: &Api,
    account: AccountId,
    professional: ProfessionalId,
) -> Result<BTreeSet<IdentityId>, Problem> {
    let events = api.store.events_about(&Subject::Account(account)).await?;
    let identities = events.into_iter().filter_map(|recorded| match recorded.event {
        Event::IdentityAssociated(e) if e.professional == professional => Some(e.to),
        _ => None,
    });
    Ok(identities.collect())
}

/// Takes what was erased out of the database's files, too, as far as this engine needs it.
pub(crate) async fn clean_files(api: &Api) {
    if let Err(error) = api.store.clean_files().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database's files were not cleaned yet");
    }
}

/// How an invitation is sent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendInvitation {
    /// How many hours the link works, 1 to 720; 168 if it is left out.
    pub lifetime_hours: Option<i64>,
}

/// An invitation that is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SentInvitation {
    /// The invitation.
    #[schema(value_type = uuid::Uuid)]
    pub invitation: InvitationId,
    /// Which link of it is sent; older ones no longer work.
    pub generation: u32,
    /// When the link stops working (RFC 3339).
    pub expires_at: String,
}

/// Send an invitation, or send it again
///
/// For administrators of the account, partners who serve it, support, the back office and operators, and for the person
/// itself. Sending again
/// makes a new link; older ones say that a newer one was sent.
#[utoipa::path(post, path = "/v1/accounts/{account}/professionals/{professional}/invitations", tag = "invitations",
    request_body = Option<SendInvitation>,
    params(("account" = uuid::Uuid, Path,), ("professional" = uuid::Uuid, Path,),
        ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 201, description = "It will be sent", body = Done<SentInvitation>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn send_invitation(
    State(api): State<Api>,
    InPath((account, professional)): InPath<(AccountId, ProfessionalId)>,
    asked: Asked<SendInvitation>,
) -> Result<Response, Problem> {
    let new = new_link(&api, asked.body.lifetime_hours)?;
    let command = Command::SendInvitation { account, professional, new };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let sent = executed.events.iter().find_map(|recorded| match &recorded.event {
        Event::InvitationIssued(e) => Some(SentInvitation {
            invitation: e.invitation,
            generation: e.generation,
            expires_at: e.expires_at.to_string(),
        }),
        _ => None,
    });
    let sent = sent.ok_or_else(Problem::unavailable)?;
    Ok(created(&format!("/v1/invitations/{}", sent.invitation), Done::new(sent, &executed, shown)))
}

pub(crate) fn person_name(text: &str) -> Result<PersonName, Problem> {
    PersonName::parse(text).map_err(|error| Problem::invalid(error.code(), sentence(&error)))
}

pub(crate) fn address(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|error| Problem::invalid(error.code(), sentence(&error)))
}

/// What a new link needs beside the state.
pub(crate) fn new_link(api: &Api, lifetime_hours: Option<i64>) -> Result<NewLink, Problem> {
    let lifetime = match lifetime_hours {
        Some(hours) => {
            Lifetime::hours(hours).map_err(|error| Problem::invalid("lifetime_out_of_bounds", sentence(&error)))?
        }
        None => Lifetime::DEFAULT,
    };
    Ok(NewLink { invitation: InvitationId(api.store.fresh_id()), lifetime, link_key: api.link_keys.newest().into() })
}
