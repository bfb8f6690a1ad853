//! The random histories themselves.

use std::collections::BTreeSet;

use domain::event::Event;
use domain::refusal::Refusal;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::histories::{any_step, run};

/// Histories in which everything has to happen.
const HISTORIES_MAX: u32 = 400;

#[test]
fn whatever_is_asked_for_the_rules_hold() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/model.txt");
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in proptest::collection::vec(any_step(), 1..120))| drop(run(&steps)?));
}

/// Refusals that these histories do not come to: those of the log itself, of `If-Match` and of older logs, and the last
/// resort.
const ELSEWHERE: [&str; 5] =
    ["idempotency_key_reused", "changed_since_read", "invariant_broken", "unknown_mail", "access_request_erased"];

#[test]
fn random_histories_come_to_every_type_of_event_and_to_every_refusal() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let blocked = ["last_administrator", "mandatory_role_unheld", "appointment_needed", "deletion_blocked"];
    let refusals = Refusal::CODES.iter().map(|(code, _)| *code).chain(blocked).chain(["address_already_in_account"]);
    let refusals = refusals.filter(|code| !ELSEWHERE.contains(code));
    let mut missing: BTreeSet<_> = Event::NAMES.iter().copied().chain(["replaced"]).chain(refusals).collect();
    let steps = proptest::collection::vec(any_step(), 120);
    for _ in 0..HISTORIES_MAX {
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let both = run(&steps).unwrap();
        missing.retain(|it| !both.refusals.contains(it));
        for recorded in &both.given.log {
            missing.remove(recorded.event.name());
            if matches!(&recorded.event, Event::IdentityAssociated(e) if e.from.is_some()) {
                missing.remove("replaced");
            }
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("no history comes to {missing:?}");
}
