//! Whoever changes the log behind the service's back is found out: each kind of tampering is done on purpose and told,
//! with its position.

use domain::check::Checker;
use store::Store;
use store::verify::Seen;

use super::bench::{Bench, Outside};
use super::commands::*;

/// What a walk finds: flaws of the index, and breaches of rules.
async fn found(store: &Store) -> (Vec<(i64, String)>, Vec<(i64, &'static str)>) {
    let (mut checker, mut flaws) = (Checker::default(), Vec::new());
    let tell = |seen: Seen<'_>| match seen {
        Seen::Event(recorded) => checker.see(recorded),
        Seen::Flaw(flaw) => flaws.push((flaw.position, flaw.what)),
    };
    store.verify(tell).await.unwrap();
    (flaws, checker.finish().into_iter().map(|breach| (breach.position, breach.rule)).collect())
}

/// An account with somebody who is invited; the events are 1 to 8.
async fn a_log(bench: &Bench) -> Store {
    let store = bench.writer().await;
    let account = an_account(&store).await;
    somebody_invited(&store, account).await;
    assert_eq!(found(&store).await, (vec![], vec![]), "nobody has touched it yet");
    store
}

/// Takes the guards away that keep everybody from changing the log.
pub async fn unguarded(bench: &Bench) -> Outside {
    let mut outside = bench.outside().await;
    let statements: &[&str] = match bench.server() {
        Some(_) => &[
            "alter table event disable trigger user",
            "alter table event_tag disable trigger user",
            "alter table log_end disable trigger user",
        ],
        None => &[
            "drop trigger event_is_never_updated",
            "drop trigger event_is_never_deleted",
            "drop trigger event_is_never_replaced",
            "drop trigger event_tag_is_never_updated",
            "drop trigger event_tag_is_never_deleted",
            "drop trigger event_tag_is_never_replaced",
        ],
    };
    for sql in statements {
        outside.run(sql).await.unwrap();
    }
    outside
}

/// Leaves an empty log behind: what holds of every log is checked at the end of every test.
async fn wipe(bench: &Bench) {
    let mut outside = bench.outside().await;
    let head = if bench.server().is_some() { "delete from log_end" } else { "update log_head set position = 0" };
    for sql in ["delete from event", "delete from event_tag", head] {
        outside.run(sql).await.unwrap();
    }
}

on_both! {
    async fn a_row_that_is_missing_in_the_index_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        unguarded(bench).await.run("delete from event_tag where position = 2").await.unwrap();
        let (flaws, breaches) = found(&store).await;
        assert_eq!(flaws, [(2, "the index lacks the event under one of its tags".into())]);
        assert_eq!(breaches, []);
        wipe(bench).await;
    }

    async fn a_row_that_does_not_belong_in_the_index_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        let mut outside = unguarded(bench).await;
        outside.run("insert into event_tag (tag, position) values (16, 3)").await.unwrap();
        let flaw = (3, "the index has the event under a tag that is not its own".into());
        assert_eq!(found(&store).await.0, [flaw]);
        wipe(bench).await;
    }

    async fn an_event_that_was_taken_out_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        let mut outside = unguarded(bench).await;
        outside.run("delete from event where position = 4").await.unwrap();
        let (flaws, breaches) = found(&store).await;
        assert!(flaws.contains(&(4, "an event is missing".into())), "{flaws:?}");
        assert!(flaws.contains(&(4, "the index names a position without an event".into())), "{flaws:?}");
        assert!(breaches.contains(&(5, "position")), "{breaches:?}");
        wipe(bench).await;
    }

    async fn an_end_that_was_cut_off_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        let head = store.head().await.unwrap();
        let mut outside = unguarded(bench).await;
        outside.run(&format!("delete from event where position = {head}")).await.unwrap();
        outside.run(&format!("delete from event_tag where position = {head}")).await.unwrap();
        let flaw = (head, format!("the log ends here, before its head {head}"));
        assert_eq!(found(&store).await.0, [flaw]);
        wipe(bench).await;
    }

    async fn an_event_that_was_rewritten_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        let mut outside = unguarded(bench).await;
        // Somebody else becomes the first administrator.
        let sql = "update event set envelope = replace(envelope, '\"role\":\"administrator\"', '\"role\":\"billing_contact\"')";
        outside.run(sql).await.unwrap();
        let (flaws, breaches) = found(&store).await;
        assert_eq!(flaws, []);
        assert!(breaches.iter().any(|(_, rule)| *rule == "R3"), "{breaches:?}");
        wipe(bench).await;
    }

    async fn tags_that_are_not_those_of_the_facts_are_found(bench: &Bench) {
        let store = a_log(bench).await;
        let mut outside = unguarded(bench).await;
        let sql = "update event set envelope = replace(envelope, '\"tags\":[\"account:', '\"tags\":[\"identity:') where position = 2";
        outside.run(sql).await.unwrap();
        let flaw = (2, "the envelope's tags are not those of its facts".into());
        assert_eq!(found(&store).await.0, [flaw]);
        wipe(bench).await;
    }

    async fn an_envelope_that_is_none_is_found(bench: &Bench) {
        let store = a_log(bench).await;
        unguarded(bench).await.run("update event set envelope = '{}' where position = 3").await.unwrap();
        let (flaws, _) = found(&store).await;
        assert_eq!(flaws, [(3, "the event at position 3 is not readable".into())]);
        wipe(bench).await;
    }

    async fn two_events_that_changed_places_are_found(bench: &Bench) {
        let store = a_log(bench).await;
        let mut outside = unguarded(bench).await;
        for sql in [
            "update event set position = -1 where position = 2",
            "update event set position = 2 where position = 3",
            "update event set position = 3 where position = -1",
        ] {
            outside.run(sql).await.unwrap();
        }
        let (_, breaches) = found(&store).await;
        assert!(!breaches.is_empty(), "somebody was added and entitled in the wrong order");
        wipe(bench).await;
    }
}
