//! What is measured, beside what, and how much is wanted.
//!
//! A family's measures take turns with each other, so that a ratio is of two turns of the same round.

use std::borrow::Cow;
use std::time::Duration;

/// How long a contender may take to set its world up.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// The same where the world is a log of millions of events, each by a command, and the views of it.
const SEEDED_WITHIN: Duration = Duration::from_secs(3_600);
/// Accounts of "many accounts": more than meet by chance, fewer than a node keeps in memory.
const ACCOUNTS: Amount = always(10_000);
/// Connections of the naive transactions: measured with 16, 32, 64 and 128, this is the fastest on both disks.
const NAIVE_CONNECTIONS: Amount = always(64);

/// Events of a log that is read from its beginning.
const EVENTS: Amount = Amount { whole: 300_000, quick: 60_000 };

/// Whether the whole is measured, or only what fits into a few minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Everything.
    Whole,
    /// Fewer and shorter rounds on smaller worlds.
    Quick,
}

/// A number that depends on the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    whole: u64,
    quick: u64,
}

impl Amount {
    /// Tells the number.
    pub fn of(self, length: Length) -> u64 {
        match length {
            Length::Whole => self.whole,
            Length::Quick => self.quick,
        }
    }
}

const fn always(number: u64) -> Amount {
    Amount { whole: number, quick: number }
}

/// Whose binary a contender is.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// This one.
    Own,
    /// That of `benches/peers`, which the environment names in `PEERS`.
    Peers,
}

/// Where a contender keeps what it writes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A database by its name; contenders of a family that name the same one share it.
    Database(&'static str),
    /// The same on a cluster whose disk takes 2 ms longer for each flush.
    SlowDatabase(&'static str),
    /// A folder of its own.
    Folder,
}

/// One side of a comparison: `PROGRAM COMMAND PLACE ARGUMENT …`, which speaks as `contender.rs` says.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What it is called in the tables.
    pub name: &'static str,
    /// Whose binary it is.
    pub program: Program,
    /// What the binary calls it.
    pub command: &'static str,
    /// Where it keeps what it writes: its first argument.
    pub place: Place,
    /// Its further arguments.
    pub arguments: Vec<Amount>,
    /// How long it may take to set its world up.
    pub ready_within: Duration,
}

impl Contender {
    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn ready_within(self, ready_within: Duration) -> Self {
        Self { ready_within, ..self }
    }

    /// What it measures in turns with these numbers.
    fn with(&self, numbers: &[(&'static str, u64)]) -> Side {
        let numbers = numbers.iter().map(|(name, number)| (*name, always(*number))).collect();
        Side { contender: self.clone(), numbers, answer: "value" }
    }
}

/// A turn of a contender, and which number of its answer counts.
#[derive(Clone, Debug)]
pub struct Side {
    /// Whose turn it is.
    pub contender: Contender,
    /// What it is told.
    pub numbers: Vec<(&'static str, Amount)>,
    /// The number of its answer that counts.
    pub answer: &'static str,
}

impl Side {
    fn answer(self, answer: &'static str) -> Self {
        Self { answer, ..self }
    }
}

/// How much is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// More is better.
    AtLeast {
        /// Below it is not good enough.
        floor: f64,
        /// What is aimed at.
        aim: f64,
    },
    /// Less is better.
    AtMost {
        /// Above it is not good enough.
        ceiling: f64,
        /// What is aimed at.
        aim: f64,
    },
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Its name on the command line and in the results.
    pub name: &'static str,
    /// What is put beside what.
    pub what: Cow<'static, str>,
    /// What is measured.
    pub own: Side,
    /// What it is divided by; none where the number stands for itself.
    pub other: Option<Side>,
    /// How much is wanted.
    pub goal: Goal,
    /// The unit of a number that stands for itself; empty for a ratio.
    pub unit: &'static str,
    /// The shortest length in which it is measured.
    pub length: Length,
}

impl Measure {
    fn ratio(name: &'static str, what: impl Into<Cow<'static, str>>, own: Side, other: Side, goal: Goal) -> Self {
        Self { name, what: what.into(), own, other: Some(other), goal, unit: "", length: Length::Quick }
    }

    fn alone(name: &'static str, what: &'static str, own: Side, unit: &'static str, goal: Goal) -> Self {
        Self { name, what: what.into(), own, other: None, goal, unit, length: Length::Quick }
    }

    /// Whether somebody who asked for `asked` means it: by its name, or by what several names begin with.
    pub fn is_meant(&self, asked: &str) -> bool {
        self.name.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

/// Measures whose contenders take turns with each other.
pub type Family = Vec<Measure>;

/// Every measure, family by family, in the order of the table.
pub fn families() -> Vec<Family> {
    vec![
        append(),
        slow_disk(),
        two_nodes(),
        peers(),
        sqlite(),
        http(),
        replay(),
        rebuild(),
        mail(),
        account_10k(),
        memory(),
        growth(),
    ]
}

const fn at_least(floor: f64, aim: f64) -> Goal {
    Goal::AtLeast { floor, aim }
}

const fn at_most(ceiling: f64, aim: f64) -> Goal {
    Goal::AtMost { ceiling, aim }
}

fn own(command: &'static str, place: Place, arguments: &[Amount]) -> Contender {
    Contender {
        name: command,
        program: Program::Own,
        command,
        place,
        arguments: arguments.to_vec(),
        ready_within: READY_WITHIN,
    }
}

fn peer(command: &'static str, place: Place) -> Contender {
    Contender { program: Program::Peers, ..own(command, place, &[]) }
}

fn append() -> Family {
    let append = own("append", Place::Database("vinculum"), &[ACCOUNTS]);
    let pgbench = own("pgbench", Place::Database("pgbench"), &[]);
    let naive = own("naive", Place::Database("naive"), &[NAIVE_CONNECTIONS]);
    let (one, many) = ([("callers", 1)], [("callers", 64)]);
    let conflicts = append.with(&[("callers", 64), ("conflicts_percent", 1)]);
    vec![
        Measure::ratio(
            "append_64",
            "64 callers on many accounts ÷ pgbench, one row inserted by each transaction, 64 clients",
            append.with(&many),
            pgbench.with(&many),
            at_least(1.2, 2.0),
        ),
        Measure::ratio(
            "append_256",
            "256 callers ÷ pgbench, 64 clients",
            append.with(&[("callers", 256)]),
            pgbench.with(&many),
            at_least(1.5, 2.5),
        ),
        Measure::ratio(
            "append_1",
            "one caller ÷ pgbench, one client",
            append.with(&one),
            pgbench.with(&one),
            at_least(0.4, 0.7),
        ),
        Measure::ratio(
            "append_naive",
            "64 callers ÷ a transaction for each command through sqlx, 64 callers",
            append.with(&many),
            naive.with(&many),
            at_least(2.0, 4.0),
        ),
        Measure::ratio(
            "append_hot",
            "64 callers on one account ÷ on many",
            append.with(&[("callers", 64), ("hot", 1)]),
            append.with(&many),
            at_least(0.5, 1.0),
        ),
        Measure::ratio(
            "append_conflicts",
            "for 1 % of the commands another node is given one about the same account at the same moment ÷ none",
            conflicts.clone(),
            append.with(&many),
            at_least(0.7, 0.95),
        ),
        Measure::alone(
            "append_conflicts_fallen",
            "there, how many commands fell and were decided again, of 100",
            conflicts.answer("fallen_percent"),
            "",
            at_least(0.5, 1.0),
        ),
        Measure::ratio(
            "append_elsewhere",
            "1 % of the commands through another node, to any of the accounts ÷ none",
            append.with(&[("callers", 64), ("elsewhere_percent", 1)]),
            append.with(&many),
            at_least(0.7, 0.95),
        ),
    ]
}

fn slow_disk() -> Family {
    let append = own("append", Place::SlowDatabase("vinculum"), &[ACCOUNTS]).named("append_slow");
    let naive = own("naive", Place::SlowDatabase("naive"), &[NAIVE_CONNECTIONS]).named("naive_slow");
    let many = [("callers", 64)];
    vec![Measure::ratio(
        "append_slow_disk",
        "64 callers ÷ a transaction for each command; each flush to the disk takes 2 ms longer",
        append.with(&many),
        naive.with(&many),
        at_least(1.0, 1.6),
    )]
}

fn two_nodes() -> Family {
    let node = own("append", Place::Database("one"), &[ACCOUNTS]);
    let pair = own("pair", Place::Database("two"), &[ACCOUNTS]);
    let (single, each) = ([("callers", 128)], [("callers", 64)]);
    let (hot_single, hot_each) = ([("callers", 128), ("hot", 1)], [("callers", 64), ("hot", 1)]);
    vec![
        Measure::ratio(
            "append_two_nodes",
            "two nodes with 64 callers each on the same many accounts ÷ one with 128",
            pair.with(&each),
            node.with(&single),
            at_least(0.6, 1.0),
        ),
        Measure::alone(
            "append_two_nodes_share",
            "there, the slower node's commands ÷ the faster one's",
            pair.with(&each).answer("slower_share"),
            "",
            at_least(0.25, 1.0),
        ),
        Measure::ratio(
            "append_two_nodes_hot",
            "two nodes with 64 callers each on one account ÷ one with 128",
            pair.with(&hot_each),
            node.with(&hot_single),
            at_least(0.6, 1.0),
        ),
        Measure::alone(
            "append_two_nodes_hot_share",
            "there, the slower node's commands ÷ the faster one's",
            pair.with(&hot_each).answer("slower_share"),
            "",
            at_least(0.25, 1.0),
        ),
    ]
}

fn peers() -> Family {
    let append = own("append", Place::Database("vinculum"), &[ACCOUNTS]);
    let many = [("callers", 64)];
    let beside =
        |name, what, peer: Contender, goal| Measure::ratio(name, what, append.with(&many), peer.with(&many), goal);
    vec![
        beside(
            "append_peers_cqrs_es",
            "64 callers ÷ cqrs-es with postgres-es",
            peer("cqrs-es", Place::Database("cqrs_es")),
            at_least(3.0, 8.0),
        ),
        beside("append_peers_esrs", "64 callers ÷ esrs", peer("esrs", Place::Database("esrs")), at_least(3.0, 8.0)),
        beside(
            "append_peers_disintegrate",
            "64 callers ÷ disintegrate-postgres",
            peer("disintegrate", Place::Database("disintegrate")),
            at_least(20.0, 50.0),
        ),
        beside(
            "append_peers_message_db",
            "64 callers ÷ message-db, many categories",
            peer("message-db", Place::Database("message_db")),
            at_least(1.5, 3.0),
        ),
    ]
}

fn sqlite() -> Family {
    let append = own("append", Place::Folder, &[ACCOUNTS]).named("append_sqlite");
    let many = [("callers", 64)];
    vec![
        Measure::ratio(
            "append_sqlite",
            "SQLite, synchronous FULL, 64 callers ÷ one row inserted by each transaction through sqlx",
            append.with(&many),
            own("raw-sqlite", Place::Folder, &[]).with(&[]),
            at_least(2.0, 4.0),
        ),
        Measure::ratio(
            "append_rusqlite",
            "the same ÷ one row inserted by each transaction through rusqlite",
            append.with(&many),
            peer("rusqlite", Place::Folder).with(&[]),
            at_least(2.0, 4.0),
        ),
    ]
}

fn http() -> Family {
    let command = own("http-command", Place::Database("commands"), &[]);
    let query = own("http-query", Place::Database("queries"), &[]);
    let bare = own("bare-axum", Place::Database("bare"), &[]);
    let pgbench = own("pgbench", Place::Database("pgbench"), &[]);
    let connections = [("connections", 64)];
    vec![
        Measure::ratio(
            "http_command",
            "commands to the whole service, 64 connections, each answered when the views show it ÷ pgbench, 64 clients",
            command.with(&connections),
            pgbench.with(&[("callers", 64)]),
            at_least(0.2, 0.6),
        ),
        Measure::alone(
            "views_lag",
            "there, from durable to visible, 99 of 100 commands",
            command.with(&connections).answer("lag_p99_ms"),
            "ms",
            at_most(50.0, 5.0),
        ),
        Measure::ratio(
            "http_query",
            "`GET /v1/me`, 64 connections ÷ axum with one point select and nothing else",
            query.with(&connections),
            bare.with(&connections),
            at_least(0.6, 0.9),
        ),
    ]
}

fn account_10k() -> Family {
    let account = own("account-10k", Place::Database("account"), &[]).with(&[]);
    vec![
        Measure::alone(
            "account_10k",
            "a command on an account of 10,000 people ÷ on one of 10, both in memory",
            account.clone(),
            "",
            at_most(2.0, 1.1),
        ),
        Measure::alone(
            "account_10k_first",
            "the first command on the account of 10,000 after a start",
            account.answer("first_ms"),
            "ms",
            at_most(300.0, 50.0),
        ),
    ]
}

fn memory() -> Family {
    let events = Amount { whole: 1_000_000, quick: 100_000 };
    let memory = own("memory", Place::Database("memory"), &[events]).ready_within(SEEDED_WITHIN).with(&[]);
    vec![
        Measure::alone(
            "memory_idle",
            "resident set of the service at rest, 1,000,000 events",
            memory.clone(),
            "MB",
            at_most(40.0, 15.0),
        ),
        Measure::alone(
            "memory_load",
            "there, at most under 64 connections",
            memory.clone().answer("loaded_mb"),
            "MB",
            at_most(120.0, 50.0),
        ),
        Measure::alone("start", "there, from start to ready", memory.answer("start_ms"), "ms", at_most(1_000.0, 100.0)),
    ]
}

/// The log that longer ones are compared with: how many events, and where they are.
pub const SHORT_LOG: (u64, &str) = (10_000, "events_10k");
/// Longer ones: how many events, in words too, where they are, and what the two measures of them are called.
const LONG_LOGS: [(u64, &str, &str, [&str; 2]); 3] = [
    (100_000, "100,000", "events_100k", ["growth_append_100k", "growth_me_100k"]),
    (1_000_000, "1,000,000", "events_1m", ["growth_append_1m", "growth_me_1m"]),
    (10_000_000, "10,000,000", "events_10m", ["growth_append", "growth_me"]),
];

fn growth() -> Family {
    let log = |events, place| {
        own("growth", Place::Database(place), &[always(events)]).named(place).ready_within(SEEDED_WITHIN).with(&[])
    };
    let (goal, length) = (at_most(1.3, 1.1), Length::Whole);
    let mut family = Family::new();
    for (events, in_words, place, [append, me]) in LONG_LOGS {
        let (long, short) = (log(events, place), log(SHORT_LOG.0, SHORT_LOG.1));
        let ratio = |name, who, answer| {
            let what = format!("{who}, half of them faster: with {in_words} events ÷ with 10,000");
            let (own, other) = (long.clone().answer(answer), short.clone().answer(answer));
            Measure { length, ..Measure::ratio(name, what, own, other, goal) }
        };
        family.push(ratio(append, "a command, 64 callers", "append_p50_ms"));
        family.push(ratio(me, "`GET /v1/me`, 64 connections", "value"));
    }
    family
}

/// What a longer log costs, as lines of a plot: what each is called, and which measure stands at how many events.
pub fn growth_lines() -> [(&'static str, Vec<(u64, &'static str)>); 2] {
    let line = |number: usize| LONG_LOGS.iter().map(|(events, _, _, names)| (*events, names[number])).collect();
    [("a command", line(0)), ("GET /v1/me", line(1))]
}

fn replay() -> Family {
    vec![Measure::ratio(
        "replay",
        "reading the whole log, typed and with its personal parts opened ÷ COPY TO, in events",
        own("replay", Place::Database("log"), &[EVENTS]).with(&[]),
        own("copy", Place::Database("log"), &[]).with(&[]),
        at_least(0.6, 1.2),
    )]
}

fn rebuild() -> Family {
    vec![Measure::ratio(
        "rebuild",
        "events into all views by a node that finds none ÷ rows that one connection inserts by UNNEST, 100 at once",
        own("rebuild", Place::Database("vinculum"), &[EVENTS]).with(&[]),
        own("unnest", Place::Database("unnest"), &[]).with(&[]),
        at_least(0.3, 0.7),
    )]
}

fn mail() -> Family {
    vec![Measure::ratio(
        "mail",
        "mails claimed, sent and recorded over 4 connections to a sink ÷ mails that lettre alone hands over there",
        own("mail", Place::Database("vinculum"), &[]).with(&[]),
        own("lettre", Place::Folder, &[]).with(&[]),
        at_least(0.1, 0.4),
    )]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_measure_has_a_name_of_its_own() {
        let names: Vec<_> = families().into_iter().flatten().map(|measure| measure.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_name_means_itself_and_what_it_begins() {
        let meant = |asked: &str| {
            let all = families().into_iter().flatten();
            all.filter(|measure| measure.is_meant(asked)).map(|measure| measure.name).collect::<Vec<_>>()
        };
        assert_eq!(meant("append_hot"), ["append_hot"]);
        assert_eq!(meant("append_peers").len(), 4);
        assert_eq!(meant("append_6"), Vec::<&str>::new());
    }
}
