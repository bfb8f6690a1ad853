//! Carries out appointments whose objection window has ended (R21). The decision checks again whether it has.

use std::time::Duration;

use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use projections::Views;
use store::{ExecuteError, Store, random};
use tokio::sync::watch;

/// How often appointments that are due are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Appointments carried out in one go.
const DUE_MAX: usize = 64;

/// Carries out appointments.
#[derive(Clone)]
pub struct AppointmentWorker {
    /// The log.
    pub store: Store,
    /// The views with what is due.
    pub views: Views,
}

impl AppointmentWorker {
    /// Works until `stop` changes.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            self.carry_out_due().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn carry_out_due(&self) {
        let due = self.views.due_appointments(self.store.clock().now(), DUE_MAX).await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the appointments that are due cannot be read");
            Vec::new()
        });
        for appointment in due {
            let command = Command::CarryOutAppointment { account: appointment.account, appointment: appointment.id };
            let request = Request { id: random::uuid(), key: None, body: None, if_match: None };
            let caller = Caller::new(Actor::Worker("appointments".into()));
            let caller = Caller { partner: appointment.partner, ..caller }; // whose own account must be open
            match self.store.execute(command, caller, request).await {
                Ok(executed) => drop(self.views.wait_for(executed.position).await),
                // Another node was faster, or somebody objected meanwhile.
                Err(ExecuteError::Refused(refusal)) => {
                    tracing::debug!(appointment.id = %appointment.id, code = refusal.code(), "not carried out");
                }
                Err(error) => {
                    tracing::error!(appointment.id = %appointment.id, %error, "an appointment cannot be carried out");
                }
            }
        }
    }
}
