//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::measures::{Goal, Measure, families};
use crate::plot;
use crate::surroundings::ROOT;

/// What stands between the table and the words around it in `docs/benchmarks.md`.
const TABLE_BEGINS: &str = "<!-- table: written by ./bench -->\n";
const TABLE_ENDS: &str = "<!-- end of table -->\n";

/// What all rounds said about one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The median of the rounds, of a ratio or of a number that stands for itself.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Each round's, in order.
    pub rounds: Vec<f64>,
    /// How long a turn took.
    pub seconds: f64,
    /// The median of the own side alone.
    pub own: f64,
    /// The median of the other side alone.
    pub other: Option<f64>,
}

impl Found {
    /// Sums up rounds of two sides, or of one; nothing of no rounds.
    pub fn of(pairs: &[(f64, Option<f64>)], seconds: f64) -> Option<Self> {
        let rounds: Vec<f64> = pairs.iter().map(|(own, other)| own / other.unwrap_or(1.0)).collect();
        let others: Option<Vec<f64>> = pairs.iter().map(|(_, other)| *other).collect();
        Some(Self {
            median: median(&rounds)?,
            min: rounds.iter().copied().reduce(f64::min)?,
            max: rounds.iter().copied().reduce(f64::max)?,
            seconds,
            own: median(&pairs.iter().map(|(own, _)| *own).collect::<Vec<_>>())?,
            other: others.and_then(|others| median(&others)),
            rounds,
        })
    }
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => Some(sorted[middle]),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted[middle]) / 2.0),
    }
}

/// `docs/benchmarks.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The processor's name.
    pub processor: String,
    /// How many cores load, service and database share.
    pub cores: usize,
    /// PostgreSQL's version and settings.
    pub postgresql: BTreeMap<String, String>,
    /// What was found, by the measure's name.
    pub measures: BTreeMap<String, Found>,
}

impl Results {
    /// Nothing yet, on this machine.
    ///
    /// # Errors
    /// The machine does not tell what it is.
    pub fn of_this_machine() -> Result<Self, Failure> {
        let facts = std::fs::read_to_string("/proc/cpuinfo")?;
        let named = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let processor = named.map_or("unknown", |(_, name)| name).to_owned();
        Ok(Self { processor, cores: std::thread::available_parallelism()?.get(), ..Self::default() })
    }
}

/// One line of the table, in words.
fn cells(measure: &Measure, found: Option<&Found>) -> [String; 9] {
    let (floor, aim, sign) = match measure.goal {
        Goal::AtLeast { floor, aim } => (floor, aim, "≥"),
        Goal::AtMost { ceiling, aim } => (ceiling, aim, "≤"),
    };
    let unit = |text: String| if measure.unit.is_empty() { text } else { format!("{text} {}", measure.unit) };
    let wanted = |number: f64| unit(format!("{sign} {}", amount(number)));
    let (name, what) = (measure.name.to_owned(), measure.what.to_string());
    let Some(found) = found else {
        let none = String::new;
        return [name, what, none(), none(), none(), none(), wanted(floor), wanted(aim), "not measured".into()];
    };
    let is_reached = |wanted: f64| match measure.goal {
        Goal::AtLeast { .. } => found.median >= wanted,
        Goal::AtMost { .. } => found.median <= wanted,
    };
    let verdict = match (is_reached(aim), is_reached(floor)) {
        (true, _) => "aim",
        (false, true) => "yes",
        (false, false) => "no",
    };
    let alone = |number: f64| if measure.other.is_some() { amount(number) } else { String::new() };
    [
        name,
        what,
        unit(amount(found.median)),
        format!("{} to {}", amount(found.min), amount(found.max)),
        alone(found.own),
        found.other.map(amount).unwrap_or_default(),
        wanted(floor),
        wanted(aim),
        verdict.into(),
    ]
}

const HEADS: [&str; 9] = ["name", "measure", "median", "range", "own", "other", "wanted", "aim", "met"];

/// A number with as many digits as mean something.
fn amount(number: f64) -> String {
    match number.abs() {
        1000.0.. => {
            let digits = format!("{number:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// The table for a terminal.
pub fn plain_table(measures: &[Measure], results: &Results) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(measures.iter().map(|measure| cells(measure, results.measures.get(measure.name))));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEADS.len()] = std::array::from_fn(width);
    let line = |row: &[String; HEADS.len()]| {
        let cells = row.iter().zip(widths).enumerate().filter(|(column, _)| *column != 1); // too long for most terminals
        let padded = cells.map(|(_, (cell, width))| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The table for `docs/benchmarks.md`, with what it was measured on.
fn markdown(measures: &[Measure], results: &Results) -> String {
    let line = |cells: &[String; HEADS.len()]| format!("| {} |\n", cells.join(" | "));
    let mut text = format!(
        "{}, {} cores. Load generator, service and database share all of them; nothing is pinned.\n",
        results.processor, results.cores
    );
    let settings: Vec<_> = results
        .postgresql
        .iter()
        .filter(|(name, _)| *name != "server_version")
        .map(|(name, it)| format!("`{name}` {it}"))
        .collect();
    if let Some(version) = results.postgresql.get("server_version") {
        text += &format!("PostgreSQL {version}: {}.\n", settings.join(", "));
    }
    text += &format!("\n{}|{}\n", line(&HEADS.map(str::to_owned)), "---|".repeat(HEADS.len()));
    text.extend(measures.iter().map(|measure| line(&cells(measure, results.measures.get(measure.name)))));
    text
}

/// Puts what was found into `docs/benchmarks.json`, beside what was found before and not now, and all of it into the
/// table of `docs/benchmarks.md` and the plot `docs/growth.svg`.
///
/// # Errors
/// A file cannot be read or written, or the table has no place.
pub fn write(found: &Results) -> Result<(), Failure> {
    let (json, page) = (document("benchmarks.json"), document("benchmarks.md"));
    let before: Results = match std::fs::read(&json) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Results::default(),
    };
    let mut all = Results {
        processor: found.processor.clone(),
        cores: found.cores,
        postgresql: before.postgresql,
        measures: before.measures,
    };
    all.postgresql.extend(found.postgresql.clone());
    all.measures.extend(found.measures.clone());
    let measures: Vec<Measure> = families().into_iter().flatten().collect();
    all.measures.retain(|name, _| measures.iter().any(|measure| measure.name == name));
    let text = replace_table(&std::fs::read_to_string(&page)?, &markdown(&measures, &all))?;
    std::fs::write(page, text)?;
    std::fs::write(json, serde_json::to_string_pretty(&all)? + "\n")?;
    std::fs::write(document("growth.svg"), plot::growth(&all.measures)?)?;
    Ok(())
}

fn document(name: &str) -> PathBuf {
    Path::new(ROOT).join("docs").join(name)
}

fn replace_table(page: &str, table: &str) -> Result<String, Failure> {
    let (before, rest) = page.split_once(TABLE_BEGINS).ok_or("docs/benchmarks.md has no place for the table")?;
    let (_, after) = rest.split_once(TABLE_ENDS).ok_or("docs/benchmarks.md has no end of the table")?;
    Ok(format!("{before}{TABLE_BEGINS}\n{table}\n{TABLE_ENDS}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let found = Found::of(&[(10.0, Some(10.0)), (40.0, Some(10.0)), (60.0, Some(30.0))], 1.0).unwrap();
        assert_eq!((found.median, found.own, found.other), (2.0, 40.0, Some(10.0)));
        assert_eq!(Found::of(&[(7.0, None)], 1.0).unwrap().median, 7.0);
    }

    #[test]
    fn numbers_show_the_digits_that_mean_something() {
        assert_eq!(
            [0.123, 12.34, 123.4, 1_234.0, 1_234_567.8].map(amount),
            ["0.12", "12.3", "123", "1,234", "1,234,568"]
        );
    }

    #[test]
    fn a_floor_is_not_reached_from_below_nor_a_ceiling_from_above() {
        let verdict = |goal, median| {
            let measure = Measure { goal, ..families().remove(0).remove(0) };
            let found = Found::of(&[(median, Some(1.0))], 1.0);
            cells(&measure, found.as_ref())[8].clone()
        };
        let at_least = Goal::AtLeast { floor: 1.0, aim: 2.0 };
        assert_eq!([0.9, 1.0, 2.0].map(|median| verdict(at_least, median)), ["no", "yes", "aim"]);
        let at_most = Goal::AtMost { ceiling: 50.0, aim: 5.0 };
        assert_eq!([51.0, 50.0, 5.0].map(|median| verdict(at_most, median)), ["no", "yes", "aim"]);
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = format!("before\n{TABLE_BEGINS}old\n{TABLE_ENDS}after\n");
        let replaced = replace_table(&page, "new\n").unwrap();
        assert_eq!(replaced, format!("before\n{TABLE_BEGINS}\nnew\n\n{TABLE_ENDS}after\n"));
        assert_eq!(replace_table(&replaced, "new\n").unwrap(), replaced);
        assert!(replace_table("nothing", "new\n").is_err());
    }
}
