//! A writer decides on what it remembers, and is never misled by it: whatever another writer appended counts.

use std::time::{Duration, Instant};

use domain::command::Command;
use domain::event::Event;
use domain::ids::{MailId, ProfessionalId};
use store::Store;

use super::bench::{Bench, at_once, code, queue, request, run, word};
use super::commands::*;

/// What the other writer does in between that is about the account and changes no decision: it must not wake the
/// writer's memory up, nor put it to sleep.
async fn noise(store: &Store, of: domain::invitation::Link) {
    assert_eq!(run(store, &link_holder(), visit(of)).await.unwrap().events.len(), 1);
}

on_both! {
    async fn t4_an_invitation_that_somebody_else_ended_is_refused(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        for round in 0..12 {
            let is_noisy = round % 2 == 1;
            let (professional, link) = somebody_invited(&writers[0], account).await;
            if is_noisy {
                noise(&writers[1], link).await;
                run(&writers[0], &link_holder(), visit(link)).await.unwrap();
                noise(&writers[1], link).await;
            }
            let other = fresh_identity();
            let (ended, caller, why) = match round % 3 {
                0 => (revoke(link), staff(), "invitation_revoked"),
                1 => (send(account, professional), staff(), "invitation_superseded"),
                _ => (accept(link, other), person(other), "already_used"),
            };
            run(&writers[1], &caller, ended).await.unwrap();
            if is_noisy && why != "already_used" {
                noise(&writers[1], link).await;
            }
            let identity = fresh_identity();
            // Half of them are asked first: what is asked is decided against the log, too, and nothing is appended.
            if round % 4 < 2 {
                let asked = writers[0].ask(accept(link, identity), person(identity), request()).await;
                assert_eq!(code(asked), why);
            }
            assert_eq!(code(run(&writers[0], &person(identity), accept(link, identity)).await), why);
        }
    }

    async fn a_wish_that_was_true_is_carried_out_if_somebody_else_has_undone_it(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        for round in 0..4 {
            let before = if round == 0 { "Enhancement Plan".to_owned() } else { format!("Plan {}", round - 1) };
            assert!(run(&writers[0], &staff(), set_plan(account, &before)).await.unwrap().events.is_empty());
            run(&writers[1], &staff(), set_plan(account, "Support Plan")).await.unwrap();
            let asked = writers[0].ask(set_plan(account, &before), staff(), request()).await.unwrap();
            assert_eq!(asked.len(), 1);
            assert_eq!(run(&writers[0], &staff(), set_plan(account, &before)).await.unwrap().events.len(), 1);
            run(&writers[1], &staff(), set_plan(account, &format!("Plan {round}"))).await.unwrap();
        }
    }

    async fn a_refusal_holds_only_as_long_as_its_reason(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let (professional, link) = somebody_invited(&writers[0], account).await;
        for _ in 0..3 {
            run(&writers[0], &staff(), end_plan(account)).await.unwrap();
            assert_eq!(code(run(&writers[0], &staff(), send(account, professional)).await), "no_service_plan");
            run(&writers[1], &staff(), set_plan(account, "Support Plan")).await.unwrap();
            noise(&writers[1], link).await;
            run(&writers[0], &staff(), send(account, professional)).await.unwrap();
        }
    }

    /// Mails, visits and codes have memories of their own: each sees what others appended of its kind.
    async fn every_class_of_events_is_seen_by_those_who_read_it(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let (professional, link) = somebody_invited(&writers[0], account).await;
        let identity = fresh_identity();
        // The first writer is sure of its decisions, and of nothing else.
        let mut decide_in_between = 0..;
        let mut decide_in_between = async || {
            let number = decide_in_between.next().unwrap();
            run(&writers[0], &staff(), set_plan(account, &format!("Plan {number}"))).await.unwrap();
        };
        // Mails: the claim of another worker.
        decide_in_between().await;
        run(&writers[1], &worker(), attempt(link)).await.unwrap();
        decide_in_between().await;
        assert_eq!(code(run(&writers[0], &worker(), attempt(link)).await), "mail_claimed");
        run(&writers[0], &worker(), record_outcome(link, professional, 1, deferred())).await.unwrap();
        assert_eq!(code(run(&writers[1], &worker(), attempt(link)).await), "mail_not_waiting");
        // Visits: twenty, whoever records them.
        let mut recorded = 0;
        for number in 0..30 {
            decide_in_between().await;
            recorded += run(&writers[number / 2 % 2], &link_holder(), visit(link)).await.unwrap().events.len();
            decide_in_between().await;
        }
        assert_eq!(recorded, 20);
        // Codes: five, whoever asks; and each makes a mail that any worker can send.
        for number in 1..=5 {
            run(&writers[number as usize % 2], &person(identity), issue_code(link, identity)).await.unwrap();
            decide_in_between().await;
            let mail = MailId::derive(link.invitation, link.generation, "mailbox-code", number);
            let attempted = run(&writers[0], &worker(), Command::AttemptMail { account, mail }).await.unwrap();
            assert_eq!(attempted.events[0].event.name(), "MailAttempted");
        }
        for store in &writers {
            let sixth = run(store, &person(identity), issue_code(link, identity)).await;
            assert_eq!(code(sixth), "mailbox_codes_used_up");
        }
    }

    /// More was appended elsewhere than anybody reads to keep up: what is in memory is asked about again.
    async fn t59_a_writer_that_lost_track_is_not_misled(bench: &Bench) {
        let writers = bench.writers(2).await;
        let (account, untouched) = (an_account(&writers[0]).await, an_account(&writers[0]).await);
        let (_, link) = somebody_invited(&writers[0], account).await;
        let (_, still_good) = somebody_invited(&writers[0], account).await;
        let elsewhere = an_account(&writers[1]).await;
        run(&writers[1], &staff(), revoke(link)).await.unwrap();
        for _ in 0..5 {
            let adds = (0..500).map(|_| {
                let store = writers[1].clone();
                async move { run(&store, &staff(), add(elsewhere, fresh_professional(), &address())).await.map(drop) }
            });
            assert!(at_once(adds).await.iter().all(Result::is_ok));
        }
        let identity = fresh_identity();
        assert_eq!(code(run(&writers[0], &person(identity), accept(link, identity)).await), "invitation_revoked");
        run(&writers[0], &person(identity), accept(still_good, identity)).await.unwrap();
        run(&writers[0], &staff(), set_plan(untouched, "Support Plan")).await.unwrap();
        assert!(run(&writers[0], &staff(), set_plan(untouched, "Support Plan")).await.unwrap().events.is_empty());
    }

    /// Many others at once are taken in with their keys, be their ids in the order in which they came or not, and however
    /// many other ids lie between; whoever was erased meanwhile is not.
    async fn t59_whoever_came_through_another_writer_is_known_by_address(bench: &Bench) {
        const PEOPLE: usize = 160;
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        somebody_invited(&writers[0], account).await; // the administrator
        let elsewhere = an_account(&writers[1]).await;
        let adds = (0..4 * PEOPLE).map(|number| {
            let store = writers[1].clone();
            let account = if number % 4 == 0 { account } else { elsewhere };
            let professional = match number % 16 {
                4 | 8 | 12 => ProfessionalId(store.fresh_id()),
                _ => fresh_professional(),
            };
            let address = address();
            async move {
                run(&store, &staff(), add(account, professional, &address)).await.unwrap();
                (professional, address)
            }
        });
        let people: Vec<_> = at_once(adds).await.into_iter().step_by(4).collect();
        let erased = [people[1].0, people[PEOPLE - 4].0];
        for professional in erased {
            let erase = Command::ErasePerson { account, professional, identities: Vec::new() };
            run(&writers[1], &staff(), erase).await.unwrap();
        }
        for (professional, address) in &people {
            let again = run(&writers[0], &staff(), add(account, fresh_professional(), address)).await;
            match erased.contains(professional) {
                true => assert_eq!(word(&again), "ProfessionalAdded"),
                false => assert_eq!(code(again), "address_already_in_account"),
            }
        }
    }

    async fn what_a_writer_learned_by_losing_it_does_not_forget(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        for round in 0..10 {
            let (professional, link) = somebody_invited(&writers[round % 2], account).await;
            let (winner, loser) = (&writers[round % 2], &writers[(round + 1) % 2]);
            let identity = fresh_identity();
            run(winner, &person(identity), accept(link, identity)).await.unwrap();
            for _ in 0..2 {
                let late = fresh_identity();
                assert_eq!(code(run(loser, &person(late), accept(link, late)).await), "already_used");
                assert!(run(loser, &person(identity), accept(link, identity)).await.unwrap().events.is_empty());
            }
            let sent = run(loser, &staff(), send(account, professional)).await;
            // Only the first professional is an administrator, whom staff may not invite again.
            match round {
                0 => assert_eq!(code(sent), "administrator_out_of_reach"),
                _ => assert!(matches!(sent.unwrap().events[0].event, Event::InvitationIssued(_))),
            }
        }
    }
}

/// After so many batches in which nobody was met a writer no longer looks before it appends.
const CALM: i64 = 65;
/// The commands of [`decided_again`]: three that prepare, those that calm, and two in each of 50 turns.
const COMMANDS: i64 = 3 + CALM + 2 * 50;

/// How often anybody had to decide again while two writers took turns on one account: the first with 50 decisions, the
/// second with something before each of them. Each batch has one command, so whatever is appended more often than that
/// fell before.
async fn decided_again(bench: &Bench, before: fn(domain::invitation::Link) -> Command) -> i64 {
    let server = bench.server().unwrap();
    let name = server.sql("select current_database()");
    server.sql(&format!("alter database {name} set track_functions = 'all'"));
    let (store, ended) = bench.open().await.unwrap();
    let (other, other_ended) = bench.open().await.unwrap();
    let account = an_account(&store).await;
    let (_, link) = somebody_invited(&other, account).await;
    for number in 0..CALM {
        run(&store, &staff(), set_plan(account, &format!("Calm {number}"))).await.unwrap();
    }
    for number in 0..50 {
        assert!(!run(&other, &staff(), before(link)).await.unwrap().events.is_empty());
        run(&store, &staff(), set_plan(account, &format!("Plan {number}"))).await.unwrap();
    }
    drop((store, other));
    ended.await.unwrap();
    other_ended.await.unwrap();
    // A connection that has ended has reported what it did.
    let appenders = "select count(*) from pg_stat_activity \
                     where application_name = 'vinculum appender' and datname = current_database()";
    while server.sql(appenders) != "0" {
        tokio::task::yield_now().await;
    }
    let calls = "select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = 'log_append'";
    server.sql(calls).parse::<i64>().unwrap() - COMMANDS
}

#[tokio::test]
async fn visits_never_make_a_decision_fall() {
    // The first writer's first decision has not seen the invitation. No other ever falls.
    let bench = Bench::postgres().await;
    assert_eq!(decided_again(&bench, click).await, 1);
    // Two who decide make each other fall once: from then on both look before they append.
    let bench = Bench::postgres().await;
    assert_eq!(decided_again(&bench, |link| add(link.account, fresh_professional(), &address())).await, 2);
}

/// A writer that has one command for many of another's lets some milliseconds pass before it takes the lock again: whoever
/// comes meanwhile comes along.
#[tokio::test]
async fn a_writer_with_few_commands_among_many_of_others_takes_the_lock_less_often() {
    const ROUNDS_MAX: usize = 50;
    let bench = Bench::postgres().await;
    let (store, busy) = (bench.writer().await, bench.writer().await);
    let accounts = [an_account(&store).await, an_account(&store).await, an_account(&store).await];
    let mut outside = bench.outside().await;
    let mut rounds = 0; // that were fast enough to tell
    for round in 0..ROUNDS_MAX {
        at_once((0..16).map(|_| {
            let busy = busy.clone();
            async move { run(&busy, &staff(), register(fresh_identity())).await.unwrap() }
        }))
        .await;
        let began = Instant::now();
        let before = run(&store, &staff(), set_plan(accounts[0], &format!("Plan {round}"))).await.unwrap().position;
        let mut calls = Vec::new();
        for account in accounts {
            calls.push(queue(&store, &staff(), set_plan(account, &format!("Later plan {round}"))));
            tokio::time::sleep(Duration::from_millis(1)).await; // alone, it would be on its way now
        }
        rounds += u32::from(began.elapsed() < Duration::from_millis(10));
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let appends = format!("select count(*) from log_end where position > {before}");
        if outside.numbers(&appends).await == [1] {
            return;
        }
    }
    assert_eq!(rounds, 0, "nobody waited");
}
