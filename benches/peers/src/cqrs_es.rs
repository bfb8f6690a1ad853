//! cqrs-es over postgres-es: an aggregate, its stream read before each command, a unique key against others.

use ::cqrs_es::event_sink::EventSink;
use ::cqrs_es::{Aggregate, AggregateError, DomainEvent};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use sqlx::PgPool;

use crate::Failure;
use crate::account::{Account, AddProfessional, AddressTaken, Event};
use crate::peer::{CONNECTIONS, Outcome, Peer, pool};

/// The table of events as postgres-es documents it (`db/init.sql`); it makes none itself.
const TABLE: &str = "create table events (
    aggregate_type text not null,
    aggregate_id text not null,
    sequence bigint not null check (sequence >= 0),
    event_type text not null,
    event_version text not null,
    payload json not null,
    metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence))";

/// The framework and its database.
pub struct CqrsEs {
    framework: PostgresCqrs<Account>,
    pool: PgPool,
}

/// Opens an empty event store.
pub async fn open(url: &str) -> Result<CqrsEs, Failure> {
    let pool = pool(url.parse()?, CONNECTIONS).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    Ok(CqrsEs { framework: postgres_cqrs(pool.clone(), Vec::new(), ()), pool })
}

impl Peer for CqrsEs {
    async fn add(&self, wish: AddProfessional) -> Result<Outcome, Failure> {
        match self.framework.execute(&wish.account.to_string(), wish).await {
            Ok(()) => Ok(Outcome::Appended),
            Err(AggregateError::UserError(AddressTaken)) => Ok(Outcome::Refused),
            Err(AggregateError::AggregateConflict) => Ok(Outcome::Conflict),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn count(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("select count(*) from events").fetch_one(&self.pool).await?)
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = AddProfessional;
    type Event = Event;
    type Error = AddressTaken;
    type Services = ();

    async fn handle(&mut self, wish: AddProfessional, (): &(), sink: &EventSink<Self>) -> Result<(), AddressTaken> {
        let event = self.decide(wish)?;
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        self.evolve(event);
    }
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        "ProfessionalAdded".into()
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}
