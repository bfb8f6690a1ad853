//! Lets the contenders of a family take turns, round by round, and collects what they measured.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::measures::{Contender, Family, Length, Measure, Side, families};
use crate::process::Numbers;
use crate::report::{self, Found};
use crate::surroundings::Surroundings;

/// The turns before the first round, which count for nothing: caches fill, plans are made, files grow.
const WARM_UP_SECONDS: f64 = 1.0;
/// What a shell tells of a command that Ctrl-C stopped.
const STOPPED: u8 = 130;

const USAGE: &str = "usage: ./bench [--quick] [--write] [NAME …]

  NAME      only measures of this name, or whose names begin with it; all if none is given
  --quick   fewer and shorter rounds, smaller worlds, and not what takes long
  --write   puts what was measured into docs/benchmarks.*; the whole, without --quick, does so unasked";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    length: Length,
    is_written: bool,
    names: Vec<String>,
}

impl Asked {
    fn parse(words: &[&str]) -> Result<Self, Failure> {
        let (flags, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
        if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
            return Err(format!("no such option: {unknown}\n\n{USAGE}").into());
        }
        let all = || families().into_iter().flatten();
        if let Some(unknown) = names.iter().find(|name| !all().any(|measure| measure.is_meant(name))) {
            let known: Vec<_> = all().map(|measure| measure.name).collect();
            return Err(format!("no such measure: {unknown}; there are {}", known.join(", ")).into());
        }
        let length = if flags.contains(&"--quick") { Length::Quick } else { Length::Whole };
        let is_written = flags.contains(&"--write") || (names.is_empty() && length == Length::Whole);
        Ok(Self { length, is_written, names: names.into_iter().map(str::to_owned).collect() })
    }

    fn rounds(&self) -> u32 {
        if self.length == Length::Quick { 3 } else { 5 }
    }

    fn seconds(&self) -> f64 {
        if self.length == Length::Quick { 1.0 } else { 3.0 }
    }

    /// Whoever asks for a measure by its name gets it, however long it takes.
    fn takes(&self, measure: &Measure) -> bool {
        match self.names.is_empty() {
            true => self.length == Length::Whole || measure.length == Length::Quick,
            false => self.names.iter().any(|name| measure.is_meant(name)),
        }
    }
}

/// `run [--quick] [--write] [NAME …]`: fails if something could not be measured; what was measured may be any number.
pub async fn run(words: &[&str]) -> Result<ExitCode, Failure> {
    if words.iter().any(|word| ["-h", "--help"].contains(word)) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::parse(words)?;
    let mut found = report::Results::of_this_machine()?;
    let mut lost = Vec::new();
    for family in families() {
        let family: Family = family.into_iter().filter(|measure| asked.takes(measure)).collect();
        if family.is_empty() {
            continue;
        }
        let mut surroundings = Surroundings::new()?;
        let mut play = Play::new(&family, &asked);
        let is_stopped = tokio::select! {
            () = play.play(&mut surroundings) => false,
            stopped = stopped() => { stopped?; true }
        };
        match surroundings.settings().await {
            Ok(settings) => found.postgresql.extend(settings),
            Err(error) => eprintln!("PostgreSQL's settings: {error}"),
        }
        surroundings.end().await;
        if is_stopped {
            return Ok(ExitCode::from(STOPPED));
        }
        for measure in &family {
            match play.found(measure) {
                Some(it) => drop(found.measures.insert(measure.name.to_owned(), it)),
                None => lost.push(measure.name),
            }
        }
    }
    let shown: Vec<Measure> = families().into_iter().flatten().filter(|measure| asked.takes(measure)).collect();
    println!("\n{}", report::plain_table(&shown, &found));
    if asked.is_written {
        report::write(&found)?;
    }
    if !lost.is_empty() {
        eprintln!("not measured: {}", lost.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn stopped() -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// A turn as it is told: contenders and numbers that several measures share are asked once in a round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    contender: &'static str,
    numbers: Vec<(&'static str, u64)>,
}

/// The rounds of one family.
struct Play<'a> {
    family: &'a Family,
    asked: &'a Asked,
    contenders: Vec<Contender>,
    turns: Vec<Turn>,
    /// Contenders that failed.
    lost: BTreeSet<&'static str>,
    /// What was measured in each round.
    rounds: Vec<BTreeMap<Turn, Numbers>>,
}

impl<'a> Play<'a> {
    fn new(family: &'a Family, asked: &'a Asked) -> Self {
        let (mut contenders, mut turns) = (Vec::<Contender>::new(), Vec::new());
        for side in family.iter().flat_map(|measure| [Some(&measure.own), measure.other.as_ref()]).flatten() {
            if contenders.iter().all(|known| known.name != side.contender.name) {
                contenders.push(side.contender.clone());
            }
            let turn = turn_of(side, asked.length);
            if !turns.contains(&turn) {
                turns.push(turn);
            }
        }
        Self { family, asked, contenders, turns, lost: BTreeSet::new(), rounds: Vec::new() }
    }

    async fn play(&mut self, surroundings: &mut Surroundings) {
        for contender in &self.contenders {
            println!("{} sets its world up", contender.name);
            if let Err(error) = surroundings.start(contender, self.asked.length).await {
                eprintln!("{}: {error}", contender.name);
                self.lost.insert(contender.name);
                surroundings.end_contender(contender.name).await;
            }
        }
        self.round(surroundings, WARM_UP_SECONDS).await;
        self.rounds.clear();
        for number in 1..=self.asked.rounds() {
            self.turns.reverse(); // so that being first is no advantage
            self.round(surroundings, self.asked.seconds()).await;
            println!("round {number} of {}: {}", self.asked.rounds(), self.line());
        }
    }

    async fn round(&mut self, surroundings: &mut Surroundings, seconds: f64) {
        let mut answers = BTreeMap::new();
        for turn in &self.turns {
            if self.lost.contains(turn.contender) {
                continue;
            }
            match surroundings.contender(turn.contender).turn(seconds, &turn.numbers).await {
                Ok(numbers) => drop(answers.insert(turn.clone(), numbers)),
                Err(error) => {
                    eprintln!("{} {:?}: {error}", turn.contender, turn.numbers);
                    self.lost.insert(turn.contender);
                    surroundings.end_contender(turn.contender).await;
                }
            }
        }
        self.rounds.push(answers);
    }

    /// The last round in one line.
    fn line(&self) -> String {
        let round = self.rounds.last().expect("invariant: a round was played");
        let words = self.family.iter().map(|measure| match self.pair(measure, round) {
            Some((own, Some(other))) => format!("{} {:.2}", measure.name, own / other),
            Some((own, None)) => format!("{} {own:.2} {}", measure.name, measure.unit),
            None => format!("{} lost", measure.name),
        });
        words.collect::<Vec<_>>().join("  ")
    }

    fn pair(&self, measure: &Measure, round: &BTreeMap<Turn, Numbers>) -> Option<(f64, Option<f64>)> {
        let number = |side: &Side| round.get(&turn_of(side, self.asked.length))?.get(side.answer).copied();
        let own = number(&measure.own)?;
        match &measure.other {
            Some(other) => Some((own, Some(number(other)?))),
            None => Some((own, None)),
        }
    }

    /// What the rounds say about a measure, if both its sides took part in all of them.
    fn found(&self, measure: &Measure) -> Option<Found> {
        let pairs: Option<Vec<_>> = self.rounds.iter().map(|round| self.pair(measure, round)).collect();
        Found::of(&pairs?, self.asked.seconds())
    }
}

fn turn_of(side: &Side, length: Length) -> Turn {
    let numbers = side.numbers.iter().map(|(name, amount)| (*name, amount.of(length))).collect();
    Turn { contender: side.contender.name, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_is_written_unasked() {
        let written = |words: &[&str]| Asked::parse(words).unwrap().is_written;
        assert!(written(&[]) && written(&["--quick", "--write"]) && written(&["append_1", "--write"]));
        assert!(!written(&["--quick"]) && !written(&["append_1"]));
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        assert!(Asked::parse(&["--quik"]).unwrap_err().to_string().contains("--quik"));
        assert!(Asked::parse(&["appendix"]).unwrap_err().to_string().contains("append_64"));
    }

    #[test]
    fn a_ratio_is_of_two_turns_of_the_same_round() {
        let asked = Asked::parse(&["append_64"]).unwrap();
        let family: Family = families().into_iter().flatten().filter(|measure| asked.takes(measure)).collect();
        let mut play = Play::new(&family, &asked);
        assert_eq!(play.turns.len(), 2);
        let round = |own, other| {
            let numbers = |value| Numbers::from([("value".to_owned(), value)]);
            play.turns.iter().cloned().zip([numbers(own), numbers(other)]).collect()
        };
        let rounds = vec![round(30.0, 10.0), round(10.0, 10.0), round(40.0, 20.0)];
        play.rounds = rounds;
        let found = play.found(&family[0]).unwrap();
        assert_eq!((found.min, found.median, found.max), (1.0, 2.0, 3.0));
        play.rounds[1].clear();
        assert!(play.found(&family[0]).is_none());
    }
}
