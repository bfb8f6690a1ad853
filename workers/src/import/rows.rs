//! What a row asks for, in the domain's types.

use std::str::FromStr;

use domain::address::EmailAddress;
use domain::event::ServicePlan;
use domain::name::{AccountName, CustomerNumber, PersonName};
use domain::personal::ProfessionalDetails;
use domain::time::Timestamp;
use domain::words::{AccountKind, Language, Role};

use super::results::Reason;

/// The columns of the accounts' file, in the order in which rows are parsed.
pub const ACCOUNT_COLUMNS: [&str; 7] =
    ["customer_number", "kind", "name", "plan_name", "plan_starts_at", "plan_ends_at", "partners"];
/// The columns of the people's file, in the order in which rows are parsed.
pub const PERSON_COLUMNS: [&str; 6] = ["customer_number", "name", "address", "language", "roles", "send_invitation"];
/// What stands between the items of one field.
const SEPARATOR: char = ';';
/// The most partners of an account in one row; each is one event.
pub const PARTNERS_MAX: usize = 100;

/// An account to be opened, or to be completed.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub kind: AccountKind,
    pub name: AccountName,
    pub plan: Option<ServicePlan>,
    pub partners: Vec<CustomerNumber>,
}

impl AccountRow {
    pub fn parse(fields: &[&str]) -> Result<Self, Reason> {
        let [_, kind, name, plan_name, plan_starts_at, plan_ends_at, partners] = fields else { return Err(misfit()) };
        let partners: Vec<CustomerNumber> = items(partners).map(customer_number).collect::<Result<_, _>>()?;
        if partners.len() > PARTNERS_MAX {
            let message = format!("A row names at most {PARTNERS_MAX} partners.");
            return Err(Reason::new("too_many_partners", message));
        }
        Ok(Self {
            kind: word(kind, "kind_unknown", AccountKind::ALL, AccountKind::as_str)?,
            name: account_name(name)?,
            plan: plan(plan_name.trim(), plan_starts_at.trim(), plan_ends_at.trim())?,
            partners,
        })
    }
}

/// A person to be added, or to be completed.
#[derive(Clone, Debug)]
pub(super) struct PersonRow {
    pub details: ProfessionalDetails,
    pub language: Language,
    pub roles: Vec<Role>,
    pub is_to_be_invited: bool,
}

impl PersonRow {
    pub fn parse(fields: &[&str]) -> Result<Self, Reason> {
        let [_, name, address, language, roles, send_invitation] = fields else { return Err(misfit()) };
        let name = PersonName::parse(name).map_err(|error| Reason::new(error.code(), sentence(&error)))?;
        let address = EmailAddress::parse(address).map_err(|error| Reason::new(error.code(), sentence(&error)))?;
        let role = |item| word(item, "role_unknown", Role::ALL, Role::as_str);
        Ok(Self {
            details: ProfessionalDetails { name, address },
            language: word(language, "language_unknown", Language::ALL, Language::as_str)?,
            roles: items(roles).map(role).collect::<Result<_, _>>()?,
            is_to_be_invited: match send_invitation.trim() {
                "true" => true,
                "false" => false,
                _ => return Err(Reason::new("send_invitation_invalid", "send_invitation is true or false.")),
            },
        })
    }
}

/// The customer number that a row is about; it stands first.
pub(super) fn customer_number(text: &str) -> Result<CustomerNumber, Reason> {
    CustomerNumber::parse(text).map_err(|error| Reason::new(error.code(), sentence(&error)))
}

fn plan(name: &str, starts_at: &str, ends_at: &str) -> Result<Option<ServicePlan>, Reason> {
    if [name, starts_at, ends_at].iter().all(|field| field.is_empty()) {
        return Ok(None);
    }
    if [name, starts_at, ends_at].iter().any(|field| field.is_empty()) {
        let message = "A plan has a name, a start and an end; an account without a plan has none of them.";
        return Err(Reason::new("plan_incomplete", message));
    }
    let time = |text| {
        Timestamp::parse(text)
            .map_err(|_| Reason::new("time_invalid", "A time is not in the form of RFC 3339, as 2026-01-01T00:00:00Z."))
    };
    Ok(Some(ServicePlan { name: account_name(name)?, starts_at: time(starts_at)?, ends_at: time(ends_at)? }))
}

fn account_name(text: &str) -> Result<AccountName, Reason> {
    AccountName::parse(text).map_err(|error| Reason::new(error.code(), sentence(&error)))
}

fn items(field: &str) -> impl Iterator<Item = &str> {
    field.split(SEPARATOR).map(str::trim).filter(|item| !item.is_empty())
}

fn word<T: FromStr + Copy>(
    text: &str,
    code: &'static str,
    known: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, Reason> {
    let list = || known.iter().map(|word| as_str(*word)).collect::<Vec<_>>().join(", ");
    text.trim().parse().map_err(|_| Reason::new(code, format!("Known words are {}.", list())))
}

/// Invariant: a table gives as many fields as it was asked for columns.
fn misfit() -> Reason {
    Reason::new("row_columns", "The row has not the columns of the header.")
}

/// An error as a sentence for people. No error of the domain's types repeats what was typed.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: [&str; 7] = ["C-1", "customer", "Meadow Mills", "", "", "", ""];
    const PERSON: [&str; 6] = ["C-1", "Robin Rivers", "robin@meadow.example", "en", "", "true"];

    fn account(changes: &[(usize, &'static str)]) -> Result<AccountRow, &'static str> {
        let mut fields = ACCOUNT;
        changes.iter().for_each(|(place, text)| fields[*place] = text);
        AccountRow::parse(&fields).map_err(|reason| reason.code)
    }

    fn person(changes: &[(usize, &'static str)]) -> Result<PersonRow, &'static str> {
        let mut fields = PERSON;
        changes.iter().for_each(|(place, text)| fields[*place] = text);
        PersonRow::parse(&fields).map_err(|reason| reason.code)
    }

    #[test]
    fn an_account_may_have_a_plan_and_partners() {
        let bare = account(&[]).unwrap();
        assert!(bare.plan.is_none() && bare.partners.is_empty() && bare.kind == AccountKind::Customer);
        let plan = [(3, "Support"), (4, "2026-01-01T00:00:00Z"), (5, "2027-01-01T00:00:00+01:00"), (6, " p-7;; P-8 ")];
        let full = account(&plan).unwrap();
        assert!(full.plan.is_some_and(|plan| plan.ends_at > plan.starts_at));
        let partners: Vec<String> = full.partners.iter().map(ToString::to_string).collect();
        assert_eq!(partners, ["P-7", "P-8"]);
    }

    #[test]
    fn what_is_wrong_with_an_account_has_its_code() {
        let code = |changes: &[(usize, &'static str)]| account(changes).unwrap_err();
        assert_eq!(code(&[(1, "vendor")]), "kind_unknown");
        assert_eq!(code(&[(2, "")]), "name_empty");
        assert_eq!(code(&[(2, "=cmd|' /C calc'!A0 http://evil.example")]), "name_link");
        assert_eq!(code(&[(3, "Support")]), "plan_incomplete");
        assert_eq!(code(&[(3, "Support"), (4, "yesterday"), (5, "2027-01-01T00:00:00Z")]), "time_invalid");
        assert_eq!(code(&[(6, "P-7;?")]), "customer_number_character");
        let many = vec!["P-1"; PARTNERS_MAX + 1].join(";").leak();
        assert_eq!(code(&[(6, many)]), "too_many_partners");
    }

    #[test]
    fn what_is_wrong_with_a_person_has_its_code() {
        assert_eq!(person(&[(4, "administrator; billing_contact")]).unwrap().roles.len(), 2);
        assert!(!person(&[(5, "false")]).unwrap().is_to_be_invited);
        let code = |changes: &[(usize, &'static str)]| person(changes).unwrap_err();
        assert_eq!(code(&[(1, " ")]), "name_empty");
        assert_eq!(code(&[(2, "robin")]), "address_at_sign");
        assert_eq!(code(&[(3, "fr")]), "language_unknown");
        assert_eq!(code(&[(4, "administrator;owner")]), "role_unknown");
        assert_eq!(code(&[(5, "TRUE")]), "send_invitation_invalid");
        assert_eq!(code(&[(5, "")]), "send_invitation_invalid");
        let reason = PersonRow::parse(&["C-1", "Robin", "robin@@x", "en", "", "true"]).unwrap_err();
        assert!(!reason.message.contains("robin"), "{reason:?}");
    }
}
