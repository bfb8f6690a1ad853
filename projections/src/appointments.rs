//! Appointments of administrators (R21): what waits, who objected, how each ended.

use domain::event::{AppointmentOutcome, Event, Position, Recorded};
use domain::ids::{AccountId, AppointmentId, EventId, ProfessionalId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::view::{Column, Value, View};
use crate::views::{QueryError, Reader, Views};

/// Appointments of one account that are listed.
pub const LISTED_MAX: usize = 200;

/// The view of appointments, by their ids.
#[derive(Debug)]
pub struct Appointments;

/// Where an appointment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is carried out when its window ends.
    Waiting,
    /// An administrator objected; support decides.
    Objected,
    /// The professional became administrator.
    CarriedOut,
    /// Support decided against it.
    Rejected,
    /// The partner, the professional or the account went before.
    Withdrawn,
}

/// One appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentRow {
    /// Its id.
    pub id: AppointmentId,
    /// The account.
    pub account: AccountId,
    /// Who shall become administrator.
    pub professional: ProfessionalId,
    /// Who shall lose the role.
    pub replaces: Option<ProfessionalId>,
    /// The partner that proposed it; none for support.
    pub partner: Option<AccountId>,
    /// What happened; none once erased.
    pub reason: Option<String>,
    /// What shows it; none once erased.
    pub evidence: Option<String>,
    /// When administrators can object no longer; none where it was carried out at once.
    pub window_ends_at: Option<Timestamp>,
    /// Who objected.
    pub objected_by: Option<ProfessionalId>,
    /// Where it stands.
    pub status: Status,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// The position of the last event that changed it.
    pub position: Position,
    /// The last event that changed it: its entity tag.
    pub changed_by: EventId,
}

impl View for Appointments {
    const NAME: &'static str = "appointments";
    const VERSION: i64 = 1;
    const COLUMNS: &'static [Column] = &[Column::Text("account"), Column::Number("due_at")];
    type Row = AppointmentRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        match &recorded.event {
            Event::AppointmentProposed(e) => vec![e.appointment.to_string()],
            Event::AppointmentObjected(e) => vec![e.appointment.to_string()],
            Event::AppointmentEnded(e) => vec![e.appointment.to_string()],
            Event::ProfessionalErased(e) => e.appointments.iter().map(ToString::to_string).collect(),
            _ => vec![],
        }
    }

    fn apply(_: &str, row: Option<AppointmentRow>, recorded: &Recorded) -> Option<AppointmentRow> {
        let (position, changed_by) = (recorded.position, recorded.id);
        if let Event::AppointmentProposed(e) = &recorded.event {
            return Some(AppointmentRow {
                id: e.appointment,
                account: e.account,
                professional: e.professional,
                replaces: e.replaces,
                partner: e.partner,
                reason: e.grounds.as_ref().map(|grounds| grounds.reason.as_str().into()),
                evidence: e.grounds.as_ref().map(|grounds| grounds.evidence.as_str().into()),
                window_ends_at: e.window_ends_at,
                objected_by: None,
                status: Status::Waiting,
                proposed_at: recorded.recorded_at,
                position,
                changed_by,
            });
        }
        let mut row = AppointmentRow { position, changed_by, ..row? };
        match &recorded.event {
            Event::AppointmentObjected(e) => {
                row.status = Status::Objected;
                row.objected_by = Some(e.professional);
            }
            Event::AppointmentEnded(e) => {
                row.status = match e.outcome {
                    AppointmentOutcome::CarriedOut => Status::CarriedOut,
                    AppointmentOutcome::Rejected => Status::Rejected,
                    AppointmentOutcome::Withdrawn => Status::Withdrawn,
                };
            }
            Event::ProfessionalErased(_) => (row.reason, row.evidence) = (None, None),
            _ => {}
        }
        Some(row)
    }

    fn columns(row: &AppointmentRow) -> Vec<Value> {
        // A to-do with a due time, as long as nobody objects.
        let due_at = row.window_ends_at.filter(|_| row.status == Status::Waiting);
        vec![Value::Text(Some(row.account.to_string())), Value::Number(due_at.map(|due_at| due_at.0))]
    }
}

impl Views {
    /// Lists the appointments of an account, by id; nothing for a reader who is neither staff nor an administrator of it
    /// or of a partner that serves it.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn appointments(&self, account: AccountId, reader: Reader) -> Result<Vec<AppointmentRow>, QueryError> {
        let (identity, profile) = reader.texts();
        self.list(
            "select t.body from appointments t where t.account = $1 and ($2 = '' or exists (select 1 \
             from professionals r where r.account = $1 and r.identity = $2 and ($3 = '' or r.key = $3) \
             and r.is_administrator = 1) or exists (select 1 from partnerships s join professionals r \
             on r.account = s.partner where s.account = $1 and r.identity = $2 and ($3 = '' or r.key = $3) \
             and r.is_administrator = 1)) order by t.key limit $4",
            &[&account.to_string(), &identity, &profile],
            LISTED_MAX,
        )
        .await
    }

    /// Finds an appointment; for staff.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn appointment(&self, id: AppointmentId) -> Result<Option<AppointmentRow>, QueryError> {
        self.find("select t.body from appointments t where t.key = $1", &[&id.to_string()]).await
    }

    /// Lists appointments whose window has ended without objection, the longest waiting first.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn due_appointments(&self, now: Timestamp, limit: usize) -> Result<Vec<AppointmentRow>, QueryError> {
        self.list(
            "select t.body from appointments t where t.due_at <= cast($1 as bigint) order by t.due_at, t.key limit $2",
            &[&now.0.to_string()],
            limit,
        )
        .await
    }
}
