//! Import of existing records: two CSV files to commands, one result for each row.
//!
//! - **Row by row.** Each row is decided by the same commands that everybody uses. A refused row does not stop the next.
//! - **Idempotent by row.** What an account's history shows to have been done is not done again: a second run appends
//!   nothing, and a run after a crash does what is missing. What somebody changed in between stays as it is.
//! - **Dry run.** The same rows decided by the same decisions on the log and on what earlier rows would append.
//! - **Throttled.** An account gets at most [`INVITATIONS_MAX`] invitations within [`INVITATIONS_WINDOW`], counted in its
//!   history, so that neither a crash nor a second import sends more. The rest follows in waves, while the import runs.
//!
//! Reading order: `table` is a file as rows, `rows` what a row asks for, `past` what an account's history says, `desk`
//! one account's rows in order, `results` what is told; [`worker`] runs what was asked for over the API.

mod table;
mod rows;
mod past;
mod desk;
mod results;
pub mod worker;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::caller::Caller;
use domain::ids::AccountId;
use domain::name::CustomerNumber;
use domain::words::AccountKind;
use store::{ExecuteError, ReadError, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use desk::{Deferred, Desk, Served, Work, Worked};
pub use past::{INVITATIONS_MAX, INVITATIONS_WINDOW};
pub use results::{COLUMNS, Counts, File, Outcome, Reason, RowResult, formula_safe, write_csv};
pub use rows::{ACCOUNT_COLUMNS, PARTNERS_MAX, PERSON_COLUMNS};
use rows::{AccountRow, PersonRow, customer_number};
use table::Table;
pub use table::{FIELD_BYTES_MAX, FILE_BYTES_MAX, FileError, ROWS_MAX};

/// Accounts under way at once where nobody else wants the appender: half of what may queue up for it.
pub const ACCOUNTS_AT_ONCE: usize = 384;
/// The same beside a service's own callers, which must always find room in the queue.
pub const ACCOUNTS_AT_ONCE_BESIDE_CALLERS: usize = 64;
/// Histories that are read at once; more would only wait for a connection.
const READS_AT_ONCE: usize = 8;

/// Whether an import appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decides every row and appends nothing.
    DryRun,
    /// Decides and appends.
    Append,
}

/// Why an import ended before its end. A second run takes up where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be taken; nothing was done.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log does not answer, or takes nothing.
    #[error("the import stopped: {0}; a second run does what is missing")]
    Execute(ExecuteError),
    /// The log cannot be read.
    #[error("the import stopped; a second run does what is missing")]
    Read(#[from] ReadError),
    /// One of its tasks died.
    #[error("the import stopped: one of its tasks died")]
    Died,
}

impl ImportError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code,
            Self::Execute(ExecuteError::NotDurable) => "not_durable",
            Self::Execute(_) | Self::Read(_) => "unavailable",
            Self::Died => "internal",
        }
    }
}

/// How far an import is; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<ProgressParts>);

#[derive(Debug, Default)]
struct ProgressParts {
    total: AtomicU64,
    done: AtomicU64,
    is_waiting: AtomicBool,
}

impl Progress {
    /// All rows of both files; 0 until they are read.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Rows that are done.
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Whether all that is left are invitations that wait for their minute.
    pub fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    fn add(&self, rows: usize) {
        self.0.done.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// An import: who, how, into which log.
#[derive(Clone, Debug)]
pub struct Import {
    /// The log.
    pub store: Store,
    /// Who asks; every event names it.
    pub caller: Caller,
    /// The key that links are derived with.
    pub link_key: String,
    /// Whether it appends.
    pub mode: Mode,
    /// How many accounts are under way at once.
    pub accounts_at_once: usize,
}

/// An account that this import has seen.
#[derive(Clone, Debug)]
struct Seen {
    id: AccountId,
    kind: Option<AccountKind>,
    is_open: bool,
    partners_ever: BTreeSet<AccountId>,
}

/// The rows about one customer number, in the order of their files.
#[derive(Debug)]
struct Group {
    number: CustomerNumber,
    accounts: Vec<u32>,
    people: Vec<u32>,
}

impl Import {
    /// Imports two files; gives one result for each row, accounts first, in the order of the files.
    ///
    /// # Errors
    /// A file cannot be taken, or the log cannot be reached any more. What was appended until then stays.
    pub async fn run(
        &self,
        accounts: Vec<u8>,
        professionals: Vec<u8>,
        progress: &Progress,
    ) -> Result<Vec<RowResult>, ImportError> {
        let mut tables = [
            Table::read(File::Accounts, accounts, &ACCOUNT_COLUMNS)?,
            Table::read(File::Professionals, professionals, &PERSON_COLUMNS)?,
        ];
        progress.0.total.store(tables.iter().map(Table::len).sum::<usize>() as u64, Ordering::Relaxed);
        let mut sheet = Sheet::of(&tables);
        let groups = group(&mut tables, &mut sheet);
        progress.add(sheet.refused_already());
        let desk = Arc::new(Desk::new(self, Arc::new(Semaphore::new(READS_AT_ONCE))));
        let (seen, wishes, deferred) = self.work_off(&desk, groups, &mut tables, &mut sheet, progress).await?;
        self.assign_partners(&desk, seen, wishes, &mut sheet).await?;
        progress.0.is_waiting.store(!deferred.is_empty(), Ordering::Relaxed);
        send_deferred(&desk, deferred, self.accounts_at_once, &mut sheet, progress).await?;
        Ok(sheet.results)
    }

    /// Opens and completes accounts with their people, many accounts at once, each account's rows in order.
    async fn work_off(
        &self,
        desk: &Arc<Desk>,
        groups: Vec<Group>,
        tables: &mut [Table; 2],
        sheet: &mut Sheet,
        progress: &Progress,
    ) -> Result<(HashMap<CustomerNumber, Seen>, Vec<Wishes>, Vec<Deferred>), ImportError> {
        let (mut seen, mut wishes, mut deferred) = (HashMap::new(), Vec::new(), Vec::new());
        let mut tasks: JoinSet<Result<Worked, ImportError>> = JoinSet::new();
        let mut groups = groups.into_iter();
        loop {
            while tasks.len() < self.accounts_at_once
                && let Some(group) = groups.next()
            {
                let work = sheet.work(group, tables, progress);
                let desk = Arc::clone(desk);
                tasks.spawn(async move { desk.work_off(work).await });
            }
            let Some(worked) = tasks.join_next().await else { return Ok((seen, wishes, deferred)) };
            let worked = worked.map_err(|_| ImportError::Died)??;
            for (row, done) in worked.rows {
                sheet.take(row, done);
                progress.add(1);
            }
            if let Some(account) = worked.seen {
                if !worked.partners.is_empty() {
                    wishes.push((worked.number.clone(), worked.partners));
                }
                seen.insert(worked.number, account);
            }
            deferred.extend(worked.deferred);
        }
    }

    /// Assigns partners once every account is there.
    async fn assign_partners(
        &self,
        desk: &Arc<Desk>,
        mut seen: HashMap<CustomerNumber, Seen>,
        wishes: Vec<Wishes>,
        sheet: &mut Sheet,
    ) -> Result<(), ImportError> {
        let mut tasks = JoinSet::new();
        for (number, wishes) in wishes {
            let Some(account) = seen.get(&number).cloned() else { continue };
            let mut rows = Vec::with_capacity(wishes.len());
            for (row, partners) in wishes {
                for partner in &partners {
                    if !seen.contains_key(partner)
                        && let Some(past) = desk.load(partner).await?
                    {
                        seen.insert(partner.clone(), Seen::of(&past));
                    }
                }
                rows.push((row, partners.iter().map(|partner| seen.get(partner).cloned()).collect()));
            }
            while tasks.len() >= self.accounts_at_once {
                take_joined(&mut tasks, sheet).await?;
            }
            let (desk, served) = (Arc::clone(desk), Served { account, rows });
            tasks.spawn(async move { desk.assign(served).await });
        }
        while !tasks.is_empty() {
            take_joined(&mut tasks, sheet).await?;
        }
        Ok(())
    }
}

/// Sends the invitations that had to wait, each account at its own pace.
async fn send_deferred(
    desk: &Arc<Desk>,
    deferred: Vec<Deferred>,
    at_once: usize,
    sheet: &mut Sheet,
    progress: &Progress,
) -> Result<(), ImportError> {
    let permits = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    for account in deferred {
        let (desk, permits) = (Arc::clone(desk), Arc::clone(&permits));
        tasks.spawn(async move { desk.send_deferred(account, &permits).await });
    }
    while !tasks.is_empty() {
        take_joined(&mut tasks, sheet).await?;
    }
    progress.0.is_waiting.store(false, Ordering::Relaxed);
    Ok(())
}

/// The rows of an account that name partners.
type Wishes = (CustomerNumber, Vec<(usize, Vec<CustomerNumber>)>);
/// What came of rows that stood in one task.
type Rows = Result<Vec<(usize, Done)>, ImportError>;

async fn take_joined(tasks: &mut JoinSet<Rows>, sheet: &mut Sheet) -> Result<(), ImportError> {
    if let Some(joined) = tasks.join_next().await {
        joined.map_err(|_| ImportError::Died)??.into_iter().for_each(|(row, done)| sheet.take(row, done));
    }
    Ok(())
}

/// What came of a row, or of a part of it.
#[derive(Clone, Debug)]
struct Done {
    outcome: Outcome,
    reason: Option<Reason>,
    account: Option<AccountId>,
    professional: Option<domain::ids::ProfessionalId>,
}

impl Done {
    fn refused(reason: Reason) -> Self {
        Self { outcome: Outcome::Refused, reason: Some(reason), account: None, professional: None }
    }
}

/// The list of results. Rows are numbered through both files, accounts first.
struct Sheet {
    accounts: usize,
    results: Vec<RowResult>,
}

impl Sheet {
    /// Every row stands as unchanged until something is known of it.
    fn of(tables: &[Table; 2]) -> Self {
        let row = |table: &Table, row| RowResult {
            file: table.file(),
            line: table.line(row),
            outcome: Outcome::Unchanged,
            reason: None,
            account: None,
            professional: None,
        };
        let results = tables.iter().flat_map(|table| (0..table.len()).map(move |n| row(table, n))).collect();
        Self { accounts: tables[0].len(), results }
    }

    fn take(&mut self, row: usize, done: Done) {
        let result = &mut self.results[row];
        result.outcome = result.outcome.and(done.outcome);
        result.reason = result.reason.take().or(done.reason);
        result.account = result.account.or(done.account);
        result.professional = result.professional.or(done.professional);
    }

    fn refused_already(&self) -> usize {
        self.results.iter().filter(|result| result.outcome == Outcome::Refused).count()
    }

    /// A group's rows in the domain's types. Rows that are not what they have to be are refused here.
    fn work(&mut self, group: Group, tables: &mut [Table; 2], progress: &Progress) -> Work {
        let [accounts, people] = tables;
        let mut work = Work { number: group.number, accounts: Vec::new(), people: Vec::new() };
        for row in group.accounts {
            let row = row as usize;
            match accounts.fields(row).and_then(|fields| AccountRow::parse(&fields)) {
                Ok(parsed) => work.accounts.push((row, parsed)),
                Err(reason) => self.refuse(row, reason, progress),
            }
        }
        for row in group.people {
            let place = self.accounts + row as usize;
            match people.fields(row as usize).and_then(|fields| PersonRow::parse(&fields)) {
                Ok(parsed) => work.people.push((place, parsed)),
                Err(reason) => self.refuse(place, reason, progress),
            }
        }
        work
    }

    fn refuse(&mut self, row: usize, reason: Reason, progress: &Progress) {
        self.take(row, Done::refused(reason));
        progress.add(1);
    }
}

/// Brings the rows about one customer number together. Rows that name none are refused.
fn group(tables: &mut [Table; 2], sheet: &mut Sheet) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<CustomerNumber, usize> = HashMap::new();
    let accounts = sheet.accounts;
    for (table, first) in tables.iter_mut().zip([0, accounts]) {
        for row in 0..table.len() {
            let number = table.fields(row).and_then(|fields| customer_number(fields[0]));
            let number = match number {
                Ok(number) => number,
                Err(reason) => {
                    sheet.take(first + row, Done::refused(reason));
                    continue;
                }
            };
            let place = *places.entry(number.clone()).or_insert_with(|| {
                groups.push(Group { number, accounts: Vec::new(), people: Vec::new() });
                groups.len() - 1
            });
            let of_file = match table.file() {
                File::Accounts => &mut groups[place].accounts,
                File::Professionals => &mut groups[place].people,
            };
            of_file.push(row as u32); // ROWS_MAX is far below
        }
    }
    groups
}
