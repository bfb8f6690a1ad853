//! What came of each row, and how it is told: never with a name or an address, so that it may be kept and sent on.

use std::io::Write;

use domain::ids::{AccountId, ProfessionalId};
use domain::refusal::Refusal;

/// The two files of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum File {
    /// The accounts, with their plans and partners.
    Accounts,
    /// The people.
    Professionals,
}

impl File {
    /// The word in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Professionals => "professionals",
        }
    }
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The account or the person is new.
    Created,
    /// It was there; something that the row asks for was missing and was added.
    Completed,
    /// All that the row asks for was there already.
    Unchanged,
    /// It was not done, or not all of it; the code says why.
    Refused,
}

impl Outcome {
    /// Every outcome, the best first.
    pub const ALL: [Self; 4] = [Self::Created, Self::Completed, Self::Unchanged, Self::Refused];

    /// The word in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Completed => "completed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }

    /// What a row comes to of which one part had this outcome and another part that one.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Created, _) | (_, Self::Created) => Self::Created,
            (Self::Completed, _) | (_, Self::Completed) => Self::Completed,
            (Self::Unchanged, Self::Unchanged) => Self::Unchanged,
        }
    }
}

/// Why a row was refused: a stable code and a sentence that repeats nothing of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `snake_case`, never changed once released.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Reason {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

/// The result of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowResult {
    /// Which file.
    pub file: File,
    /// The line at which the row begins; the header's is 1.
    pub line: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was refused; none otherwise.
    pub reason: Option<Reason>,
    /// The account, where there is one; a dry run tells none.
    pub account: Option<AccountId>,
    /// The person, likewise.
    pub professional: Option<ProfessionalId>,
}

/// How many rows had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New accounts and people.
    pub created: u64,
    /// Rows whose missing parts were added.
    pub completed: u64,
    /// Rows that asked for nothing new.
    pub unchanged: u64,
    /// Rows that were refused.
    pub refused: u64,
}

impl Counts {
    /// Counts results.
    pub fn of(results: &[RowResult]) -> Self {
        let mut counts = Self::default();
        results.iter().for_each(|result| counts.add(result.outcome));
        counts
    }

    /// All rows.
    pub const fn total(&self) -> u64 {
        self.created + self.completed + self.unchanged + self.refused
    }

    fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Created => &mut self.created,
            Outcome::Completed => &mut self.completed,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Refused => &mut self.refused,
        } += 1;
    }
}

/// The columns of the list of results.
pub const COLUMNS: [&str; 7] = ["file", "line", "outcome", "code", "message", "account", "professional"];

/// Writes results as CSV (RFC 4180), one line for each row, with a header. No field begins a formula (T54).
///
/// # Errors
/// Nothing can be written any more.
pub fn write_csv(results: &[RowResult], to: impl Write) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(COLUMNS)?;
    for result in results {
        let line = result.line.to_string();
        let account = result.account.map(|id| id.to_string()).unwrap_or_default();
        let professional = result.professional.map(|id| id.to_string()).unwrap_or_default();
        let (code, message) = result.reason.as_ref().map_or(("", ""), |reason| (reason.code, &reason.message));
        let fields = [result.file.as_str(), &line, result.outcome.as_str(), code, message, &account, &professional];
        writer.write_record(fields.map(formula_safe).iter().map(String::as_bytes))?;
    }
    writer.flush()
}

/// Puts an apostrophe before what a spreadsheet would take for a formula (T54).
pub fn formula_safe(field: &str) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{field}") } else { field.to_owned() }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn t54_no_field_of_the_results_begins_a_formula() {
        for hostile in ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "\n=1"] {
            let result = RowResult {
                file: File::Professionals,
                line: 7,
                outcome: Outcome::Refused,
                reason: Some(Reason::new("name_link", hostile)),
                account: Some(AccountId(Uuid::from_u128(1))),
                professional: None,
            };
            let mut text = Vec::new();
            write_csv(&[result], &mut text).unwrap();
            let mut reader = csv::Reader::from_reader(text.as_slice());
            let record = reader.records().next().unwrap().unwrap();
            assert_eq!(&record[4], format!("'{hostile}"));
            assert_eq!((&record[0], &record[1], &record[2]), ("professionals", "7", "refused"));
            assert_eq!(record.len(), COLUMNS.len());
        }
        assert_eq!(formula_safe("1-1"), "1-1");
    }

    #[test]
    fn a_row_of_several_parts_comes_to_its_worst_or_its_newest() {
        use Outcome::{Completed, Created, Refused, Unchanged};
        assert_eq!(Created.and(Completed), Created);
        assert_eq!(Unchanged.and(Completed), Completed);
        assert_eq!(Created.and(Refused), Refused);
        assert_eq!(Unchanged.and(Unchanged), Unchanged);
    }
}
