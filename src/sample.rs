//! `vinculum sample`: CSV files for an import, of invented accounts and people. The same arguments make the same bytes.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args;
use csv::Writer;
use workers::import::{ACCOUNT_COLUMNS, INVITATIONS_MAX, PERSON_COLUMNS};

use crate::cli::Failure;

/// Accounts that can be made: their numbers have seven digits.
const ACCOUNTS_MAX: u32 = 1_000_000;
/// Professionals that can be made: what one file takes.
const PROFESSIONALS_MAX: u32 = workers::import::ROWS_MAX as u32;
/// Each of so many accounts is a partner.
const PARTNER_EVERY: u32 = 50;
/// Of a hundred customer accounts, so many have a plan.
const PLAN_PERCENT: u64 = 90;
/// Of a hundred customer accounts, so many have a partner.
const SERVED_PERCENT: u64 = 40;
/// Of a hundred people, so many are invited, as far as their account's first minute has room.
const INVITED_PERCENT: u64 = 50;
/// Of a hundred people after an account's first, so many get a role.
const ROLE_PERCENT: u64 = 10;

const PLANS: [&str; 3] = ["Enhancement Plan", "Support Plan", "Basic Plan"];
const ROLES: [&str; 5] = [
    "administrator",
    "billing_contact",
    "customer_care_contact",
    "shipping_contact",
    "billing_contact;shipping_contact",
];
const GIVEN_NAMES: [&str; 32] = [
    "Alex", "Amari", "Ash", "Bay", "Blake", "Brook", "Casey", "Charlie", "Dale", "Drew", "Eden", "Ellis", "Fern",
    "Gray", "Haven", "Indigo", "Jo", "Jules", "Kim", "Lane", "Lou", "Mel", "Noor", "Ocean", "Pat", "Quinn", "Robin",
    "Sam", "Sky", "Toni", "Val", "Wren",
];
const FAMILY_NAMES: [&str; 32] = [
    "Alder", "Ashfield", "Birch", "Brookes", "Cliff", "Dale", "Elm", "Fenn", "Field", "Garth", "Hazel", "Heath",
    "Hill", "Lake", "Larch", "Marsh", "Meadows", "Moor", "Oakley", "Pond", "Quay", "Reed", "Ridge", "Rivers", "Rowan",
    "Sands", "Shore", "Stone", "Thorne", "Vale", "Wells", "Woods",
];
const PLACES: [&str; 16] = [
    "Amber", "Blue", "Cedar", "Coral", "Granite", "Harbour", "Maple", "Meadow", "Mill", "North", "Orchard", "River",
    "Silver", "South", "Valley", "Willow",
];
const TRADES: [&str; 16] = [
    "Bakery", "Books", "Boats", "Bricks", "Clocks", "Cycles", "Foods", "Gardens", "Glass", "Lamps", "Maps", "Paper",
    "Pottery", "Tiles", "Tools", "Wool",
];

/// What `sample` takes.
#[derive(Debug, Args)]
pub struct SampleFiles {
    /// How many accounts
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(ACCOUNTS_MAX)))]
    accounts: u32,
    /// How many professionals, in all accounts together
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=i64::from(PROFESSIONALS_MAX)))]
    professionals: u32,
    /// The same seed makes the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder that accounts.csv and professionals.csv are written into
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Writes the files.
pub fn sample(files: &SampleFiles) -> Result<(), Failure> {
    fs::create_dir_all(&files.out).map_err(Failure::other)?;
    let mut dice = Dice(files.seed);
    let accounts = write_accounts(&files.out.join("accounts.csv"), files.accounts, &mut dice);
    accounts.map_err(|error| Failure::other(format!("accounts.csv cannot be written: {error}")))?;
    let people = write_people(&files.out.join("professionals.csv"), files, &mut dice);
    people.map_err(|error| Failure::other(format!("professionals.csv cannot be written: {error}")))?;
    eprintln!("{} accounts and {} professionals in {}", files.accounts, files.professionals, files.out.display());
    Ok(())
}

fn write_accounts(path: &Path, accounts: u32, dice: &mut Dice) -> Result<(), csv::Error> {
    let mut writer = Writer::from_writer(BufWriter::new(File::create(path)?));
    writer.write_record(ACCOUNT_COLUMNS)?;
    let partners = accounts / PARTNER_EVERY;
    for account in 0..accounts {
        let name = format!("{} {} {}", dice.pick(&PLACES), dice.pick(&TRADES), account + 1);
        let has_plan = !is_partner(account) && dice.percent(PLAN_PERCENT);
        let plan = if has_plan { dice.pick(&PLANS) } else { "" };
        let (starts_at, ends_at) = if has_plan { ("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z") } else { ("", "") };
        let is_served = !is_partner(account) && partners > 0 && dice.percent(SERVED_PERCENT);
        let partner =
            if is_served { number(dice.below(partners) * PARTNER_EVERY + PARTNER_EVERY - 1) } else { String::new() };
        let kind = if is_partner(account) { "partner" } else { "customer" };
        writer.write_record([&number(account), kind, &name, plan, starts_at, ends_at, &partner])?;
    }
    writer.flush()?;
    Ok(())
}

/// The first people go to one account each, the others anywhere, so that an account's rows do not stand together.
fn write_people(path: &Path, files: &SampleFiles, dice: &mut Dice) -> Result<(), csv::Error> {
    let with_plan = accounts_with_plan(files);
    let mut writer = Writer::from_writer(BufWriter::new(File::create(path)?));
    writer.write_record(PERSON_COLUMNS)?;
    let mut invited = vec![0_usize; files.accounts as usize];
    for person in 0..files.professionals {
        let account = if person < files.accounts { person } else { dice.below(files.accounts) };
        let (given, family) = (dice.pick(&GIVEN_NAMES), dice.pick(&FAMILY_NAMES));
        let name = format!("{given} {family}");
        let at = number(account).to_lowercase();
        let address = format!("{}.{}.{person}@{at}.example", given.to_lowercase(), family.to_lowercase());
        let language = if dice.percent(30) { "de" } else { "en" };
        let gets_role = person >= files.accounts && dice.percent(ROLE_PERCENT);
        let roles = if gets_role { dice.pick(&ROLES) } else { "" };
        let place = account as usize;
        let is_invited = dice.percent(INVITED_PERCENT) && with_plan[place] && invited[place] < INVITATIONS_MAX;
        invited[place] += usize::from(is_invited);
        let send_invitation = if is_invited { "true" } else { "false" };
        writer.write_record([&number(account), &name, &address, language, roles, send_invitation])?;
    }
    writer.flush()?;
    Ok(())
}

/// Draws what the accounts' file has drawn once more: who may be invited.
fn accounts_with_plan(files: &SampleFiles) -> Vec<bool> {
    let mut dice = Dice(files.seed);
    let partners = files.accounts / PARTNER_EVERY;
    let draw = |account: u32| {
        let _ = (dice.pick(&PLACES), dice.pick(&TRADES));
        if is_partner(account) {
            return true; // R20: partner accounts need no plan
        }
        let has_plan = dice.percent(PLAN_PERCENT);
        if has_plan {
            dice.pick(&PLANS);
        }
        if partners > 0 && dice.percent(SERVED_PERCENT) {
            dice.below(partners);
        }
        has_plan
    };
    (0..files.accounts).map(draw).collect()
}

const fn is_partner(account: u32) -> bool {
    account % PARTNER_EVERY == PARTNER_EVERY - 1
}

fn number(account: u32) -> String {
    format!("{}-{:07}", if is_partner(account) { "SP" } else { "SC" }, account + 1)
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine, for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u32) -> u32 {
        (self.roll() % u64::from(bound)) as u32
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u32) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(seed: u64) -> (String, String) {
        let out = tempfile::tempdir().unwrap();
        let files = SampleFiles { accounts: 120, professionals: 900, seed, out: out.path().join("new") };
        sample(&files).unwrap();
        let read = |name: &str| fs::read_to_string(files.out.join(name)).unwrap();
        (read("accounts.csv"), read("professionals.csv"))
    }

    #[test]
    fn the_same_seed_makes_the_same_files_and_another_one_does_not() {
        assert_eq!(make(7), make(7));
        assert_ne!(make(7).1, make(8).1);
        let (accounts, people) = make(7);
        assert_eq!((accounts.lines().count(), people.lines().count()), (121, 901));
        let addresses = people.lines().skip(1).map(|line| line.split(',').nth(2).unwrap());
        assert!(addresses.clone().all(|address| address.ends_with(".example")), "nobody's domain but ours");
        assert_eq!(addresses.collect::<std::collections::BTreeSet<_>>().len(), 900);
    }
}
