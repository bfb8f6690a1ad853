//! Appointments of administrators by partners and support, objections, and support's decision (R21).

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::command::{Command, Verdict};
use domain::event::Event;
use domain::ids::{AccountId, AppointmentId, ProfessionalId};
use domain::name::Reason;
use domain::personal::Grounds;
use projections::appointments::{AppointmentRow, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{READERS, sentence};
use super::professionals::Page;
use super::{Done, check_manager, created};
use crate::asked::{Asked, Authenticated, InPath, Nothing};
use crate::problem::Problem;
use crate::state::Api;

/// An appointment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Appointment {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AppointmentId,
    /// Who shall become administrator.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The administrator who loses the role.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub replaces: Option<ProfessionalId>,
    /// The partner that proposed it; null for support.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub partner: Option<AccountId>,
    /// What happened; null once erased.
    pub reason: Option<String>,
    /// What shows it; null once erased.
    pub evidence: Option<String>,
    /// `waiting`, `objected`, `carried_out`, `rejected` or `withdrawn`.
    #[schema(value_type = String, example = "waiting")]
    pub status: Status,
    /// Until when administrators can object (RFC 3339); null where it was carried out at once.
    pub window_ends_at: Option<String>,
    /// Who objected.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub objected_by: Option<ProfessionalId>,
    /// When it was proposed (RFC 3339).
    pub proposed_at: String,
}

impl Appointment {
    fn from_row(row: &AppointmentRow) -> Self {
        Self {
            id: row.id,
            professional: row.professional,
            replaces: row.replaces,
            partner: row.partner,
            reason: row.reason.clone(),
            evidence: row.evidence.clone(),
            status: row.status,
            window_ends_at: row.window_ends_at.map(|at| at.to_string()),
            objected_by: row.objected_by,
            proposed_at: row.proposed_at.to_string(),
        }
    }
}

/// List an account's appointments
///
/// For staff, administrators of the account and of the partners that serve it: the newest 200 at most, on one page.
#[utoipa::path(get, path = "/v1/accounts/{account}/administrator-appointments", tag = "appointments",
    params(("account" = uuid::Uuid, Path,)),
    responses((status = 200, description = "The appointments", body = Page<Appointment>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn list(
    State(api): State<Api>,
    by: Authenticated,
    InPath(account): InPath<AccountId>,
) -> Result<Json<Page<Appointment>>, Problem> {
    let reader = by.person_or(READERS)?;
    check_manager(&api, account, reader).await?;
    let rows = api.views.appointments(account, reader).await?;
    Ok(Json(Page { items: rows.iter().map(Appointment::from_row).collect(), next: None }))
}

/// Who is appointed, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppointAdministrator {
    /// Who shall become administrator.
    #[schema(value_type = uuid::Uuid)]
    pub professional: ProfessionalId,
    /// The administrator who shall lose the role, if anyone.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub replaces: Option<ProfessionalId>,
    /// What happened, 1 to 500 characters.
    #[schema(example = "The administrator has left the company.")]
    pub reason: String,
    /// What shows it, 1 to 500 characters.
    #[schema(example = "Letter 1234 of the management board.")]
    pub evidence: String,
}

/// An appointment that was proposed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProposedAppointment {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub appointment: AppointmentId,
    /// `carried_out`, or `waiting` for objections.
    #[schema(example = "waiting")]
    pub status: &'static str,
    /// Until when administrators can object (RFC 3339), if it waits.
    pub window_ends_at: Option<String>,
}

/// Appoint an administrator
///
/// For partners who serve the account, and support, when the administrator has gone. All administrators and mandatory
/// contacts are told. Support's appointment is carried out at once; a partner's, too, if no administrator has signed in for
/// 30 days, else after 72 hours in which any administrator can object.
#[utoipa::path(post, path = "/v1/accounts/{account}/administrator-appointments", tag = "appointments",
    request_body = AppointAdministrator, params(("account" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 201, description = "Proposed or carried out", body = Done<ProposedAppointment>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn propose(
    State(api): State<Api>,
    InPath(account): InPath<AccountId>,
    asked: Asked<AppointAdministrator>,
) -> Result<Response, Problem> {
    let text = |text: &str| Reason::parse(text).map_err(|error| Problem::invalid(error.code(), sentence(&error)));
    let body = &asked.body;
    let command = Command::ProposeAppointment {
        account,
        appointment: AppointmentId(api.store.fresh_id()),
        professional: body.professional,
        replaces: body.replaces,
        grounds: Grounds { reason: text(&body.reason)?, evidence: text(&body.evidence)? },
    };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    let proposed = executed.events.iter().find_map(|recorded| match &recorded.event {
        Event::AppointmentProposed(e) => Some(e),
        _ => None,
    });
    let proposed = proposed.ok_or_else(Problem::unavailable)?;
    let answer = ProposedAppointment {
        appointment: proposed.appointment,
        status: if proposed.window_ends_at.is_some() { "waiting" } else { "carried_out" },
        window_ends_at: proposed.window_ends_at.map(|at| at.to_string()),
    };
    let location = format!("/v1/accounts/{account}/administrator-appointments");
    Ok(created(&location, Done::new(answer, &executed, shown)))
}

/// An appointment that was changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangedAppointment {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub appointment: AppointmentId,
}

/// Object to an appointment
///
/// For administrators of the account while the window is open; support then decides.
#[utoipa::path(post, path = "/v1/accounts/{account}/administrator-appointments/{appointment}/object", tag = "appointments",
    params(("account" = uuid::Uuid, Path,), ("appointment" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Support decides", body = Done<ChangedAppointment>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn object(
    State(api): State<Api>,
    InPath((account, appointment)): InPath<(AccountId, AppointmentId)>,
    asked: Asked<Nothing>,
) -> Result<Done<ChangedAppointment>, Problem> {
    let command = Command::ObjectToAppointment { account, appointment };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAppointment { appointment }, &executed, shown))
}

/// What support decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The appointment is carried out.
    CarryOut,
    /// It is rejected.
    Reject,
}

/// Support's decision.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideAppointment {
    /// `carry_out` or `reject`.
    pub decision: Decision,
}

/// Decide an appointment
///
/// Needs the scope `support`.
#[utoipa::path(post, path = "/v1/accounts/{account}/administrator-appointments/{appointment}/decide", tag = "appointments",
    request_body = DecideAppointment,
    params(("account" = uuid::Uuid, Path,), ("appointment" = uuid::Uuid, Path,), ("Idempotency-Key" = Option<String>, Header, description = "One effect for each caller and key")),
    responses((status = 200, description = "Decided", body = Done<ChangedAppointment>), (status = "default", response = crate::docs::ProblemResponse)))]
pub async fn decide(
    State(api): State<Api>,
    InPath((account, appointment)): InPath<(AccountId, AppointmentId)>,
    asked: Asked<DecideAppointment>,
) -> Result<Done<ChangedAppointment>, Problem> {
    let verdict = match asked.body.decision {
        Decision::CarryOut => Verdict::CarryOut,
        Decision::Reject => Verdict::Reject,
    };
    let command = Command::DecideAppointment { account, appointment, verdict };
    let (executed, shown) = api.execute(command, asked.by.caller, asked.request).await?;
    Ok(Done::new(ChangedAppointment { appointment }, &executed, shown))
}
