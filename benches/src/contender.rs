//! One side of a comparison: a process that sets its world up once, and then measures for as long as it is told,
//! whenever it is told. The others rest meanwhile.
//!
//! It prints `ready`. For each line `go SECONDS NAME=NUMBER …` on its input it prints one line of JSON: an object of
//! numbers, with what was measured in `value`. It ends when its input does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Failure;

/// What a contender is told to do.
#[derive(Clone, Debug)]
pub struct Turn {
    /// For how long.
    pub time: Duration,
    /// What else was said, such as the number of callers.
    pub numbers: BTreeMap<String, u64>,
}

impl Turn {
    /// A number that was said, or the one that is usual.
    pub fn number(&self, name: &str, usual: u64) -> u64 {
        self.numbers.get(name).copied().unwrap_or(usual)
    }

    fn parse(line: &str) -> Result<Self, Failure> {
        let mut words = line.split_whitespace();
        if words.next() != Some("go") {
            return Err(format!("not a turn: {line}").into());
        }
        let seconds: f64 = words.next().ok_or("a turn needs its seconds")?.parse()?;
        let numbers = words
            .map(|word| {
                let (name, number) = word.split_once('=').ok_or_else(|| format!("not a number with a name: {word}"))?;
                Ok((name.to_owned(), number.parse()?))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self { time: Duration::from_secs_f64(seconds), numbers })
    }
}

/// What a turn measured: numbers by name.
pub type Measured = Vec<(&'static str, f64)>;

/// Takes turns until the input ends.
pub async fn take_turns(mut turn: impl AsyncFnMut(Turn) -> Result<Measured, Failure>) -> Result<(), Failure> {
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let measured = turn(Turn::parse(&line)?).await?;
        let object: Map<String, Value> =
            measured.into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
        println!("{}", Value::Object(object));
    }
    Ok(())
}
