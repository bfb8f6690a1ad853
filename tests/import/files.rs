//! Two small files, and what an import tells of their rows.

use std::collections::BTreeMap;

use domain::caller::{Actor, Caller};
use domain::event::Event;
use domain::words::Scope;
use store::Store;
use workers::import::{Import, ImportError, Mode, Progress, RowResult, write_csv};

use crate::log::check::readable;

pub const ACCOUNTS: &str = "customer_number,kind,name,plan_name,plan_starts_at,plan_ends_at,partners\n";
pub const PEOPLE: &str = "customer_number,name,address,language,roles,send_invitation\n";

/// Two customers with their partner, and three rows that cannot be.
pub fn accounts() -> String {
    let plan = "Enhancement Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z";
    format!(
        "{ACCOUNTS}C-1,customer,Meadow Mills,{plan},P-1\n\
         C-2,customer,Harbour Lights,,,,P-1;P-9\n\
         P-1,partner,River Partners,,,,\n\
         C-3,customer,http://evil.example,,,,\n\
         C-4,customer,Cedar Clocks,Plan,2099-01-01T00:00:00Z,2020-01-01T00:00:00Z,\n\
         C-1,customer,Another Name,{plan},P-1\n"
    )
}

/// People of these accounts, in no order; of one account that is nowhere.
pub fn people() -> String {
    format!(
        "{PEOPLE}C-1,Robin Rivers,robin@meadow.example,en,,true\n\
         P-1,Alex Quay,alex@river.example,de,administrator,true\n\
         C-2,Jo Marsh,jo@harbour.example,en,,true\n\
         C-2,Noor Vale,noor@harbour.example,en,,false\n\
         C-1,Sam Reed,sam@meadow.example,en,billing_contact;administrator,true\n\
         C-1,Robin Again,ROBIN@meadow.example,en,,false\n\
         C-7,Kim Hill,kim@nowhere.example,en,,false\n\
         C-1,Pat Stone,pat@@meadow.example,en,,false\n"
    )
}

/// What is told of each of these rows by a first import.
pub const FIRST: [&str; 14] = [
    "accounts 2 created",
    "accounts 3 refused unknown_partner",
    "accounts 4 created",
    "accounts 5 refused name_link",
    "accounts 6 refused plan_ends_before_it_starts",
    "accounts 7 unchanged",
    "professionals 2 created",
    "professionals 3 created",
    "professionals 4 refused no_service_plan",
    "professionals 5 created",
    "professionals 6 created",
    "professionals 7 unchanged",
    "professionals 8 refused unknown_account",
    "professionals 9 refused address_at_sign",
];

/// Who imports at the command line.
pub fn cli() -> Caller {
    Caller::with_scopes(Actor::Cli("tester".into()), [Scope::BackOffice, Scope::Support])
}

/// An import that appends.
pub fn import(store: &Store) -> Import {
    Import { store: store.clone(), caller: cli(), link_key: "l1".into(), mode: Mode::Append, accounts_at_once: 8 }
}

/// Imports two texts.
pub async fn run(store: &Store, accounts: &str, people: &str) -> Vec<RowResult> {
    run_as(&import(store), accounts, people).await.unwrap()
}

/// Only decides.
pub async fn dry_run(store: &Store, accounts: &str, people: &str) -> Vec<RowResult> {
    run_as(&Import { mode: Mode::DryRun, ..import(store) }, accounts, people).await.unwrap()
}

pub async fn run_as(import: &Import, accounts: &str, people: &str) -> Result<Vec<RowResult>, ImportError> {
    import.run(accounts.as_bytes().to_vec(), people.as_bytes().to_vec(), &Progress::default()).await
}

/// Each result as file, line, outcome and code.
pub fn told(rows: &[RowResult]) -> Vec<String> {
    let code = |row: &RowResult| row.reason.as_ref().map_or(String::new(), |reason| format!(" {}", reason.code));
    rows.iter().map(|row| format!("{} {} {}{}", row.file.as_str(), row.line, row.outcome.as_str(), code(row))).collect()
}

/// The results as they are written.
pub fn csv(rows: &[RowResult]) -> String {
    let mut text = Vec::new();
    write_csv(rows, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// How often each type of event stands in the log.
pub async fn count(store: &Store) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for recorded in readable(store).await {
        *counts.entry(recorded.event.name()).or_default() += 1;
    }
    counts
}

/// How many invitations were issued.
pub async fn invitations(store: &Store) -> usize {
    readable(store).await.iter().filter(|recorded| matches!(recorded.event, Event::InvitationIssued(_))).count()
}
