//! Many at once: one wins, the others are told why, and nobody else is hurt.

use std::collections::HashSet;

use domain::event::Event;
use domain::tag::Subject;
use store::{ExecuteError, Executed, Store};

use super::bench::{Bench, at_once, code, queue, queue_cold, request, run, word};
use super::check::readable;
use super::commands::*;

/// Sends each command to one of the writers in turn, all at once.
async fn race(
    writers: &[Store],
    commands: impl IntoIterator<Item = (domain::caller::Caller, domain::command::Command)>,
) -> Vec<Result<Executed, ExecuteError>> {
    at_once(
        commands
            .into_iter()
            .zip(writers.iter().cloned().cycle())
            .map(|((caller, command), store)| async move { run(&store, &caller, command).await }),
    )
    .await
}

fn won(results: &[Result<Executed, ExecuteError>]) -> Vec<usize> {
    let has_events = |result: &Result<Executed, ExecuteError>| result.as_ref().is_ok_and(|it| !it.events.is_empty());
    results.iter().enumerate().filter(|(_, result)| has_events(result)).map(|(number, _)| number).collect()
}

async fn sixty_four_identities_accept(bench: &Bench, writers: usize) {
    let writers = bench.writers(writers).await;
    let account = an_account(&writers[0]).await;
    for _ in 0..8 {
        let (_, link) = somebody_invited(&writers[0], account).await;
        let identities: Vec<_> = (0..64).map(|_| fresh_identity()).collect();
        let results = race(&writers, identities.iter().map(|it| (person(*it), accept(link, *it)))).await;
        let won = won(&results);
        assert_eq!(won.len(), 1, "{results:?}");
        for (number, result) in results.into_iter().enumerate() {
            if number != won[0] {
                assert_eq!(code(result), "already_used");
            }
        }
        let log = writers[0].events_about(&Subject::Account(account)).await.unwrap();
        let tied = log.iter().filter_map(|recorded| match &recorded.event {
            Event::IdentityAssociated(e) if e.invitation == link.invitation => Some(e.to),
            _ => None,
        });
        assert_eq!(tied.collect::<Vec<_>>(), [identities[won[0]]]);
    }
}

/// Each of 2 to 16 administrators takes the role from the next one, all at once: 60 times.
async fn rivals_demote_each_other(writers: Vec<Store>) {
    const RIVALS: usize = 16;
    let account = an_account(&writers[0]).await;
    let mut rivals = Vec::new();
    for _ in 0..RIVALS {
        let identity = fresh_identity();
        let (professional, link) = somebody_invited(&writers[0], account).await;
        run(&writers[0], &person(identity), register(identity)).await.unwrap();
        run(&writers[0], &person(identity), accept(link, identity)).await.unwrap();
        rivals.push((professional, identity));
    }
    let mut administrators = vec![rivals[0]]; // the first who came
    for number in 0..4 * (RIVALS - 1) {
        let rivals = &rivals[..2 + number % (RIVALS - 1)];
        let by = person(administrators[0].1);
        let promotions: Vec<_> = rivals.iter().map(|rival| (by.clone(), promote(account, rival.0))).collect();
        let promoted = race(&writers, promotions).await;
        let (by, outside) = (person(rivals[0].1), administrators.iter().filter(|it| !rivals.contains(it)));
        let demotions: Vec<_> = outside.map(|outsider| (by.clone(), demote(account, outsider.0))).collect();
        let demoted = race(&writers, demotions).await;
        assert!(promoted.iter().chain(&demoted).all(Result::is_ok), "{promoted:?} {demoted:?}");

        let next = |place: usize| rivals[(place + 1) % rivals.len()];
        let wish = |place: usize| (person(rivals[place].1), demote(account, next(place).0));
        let wishes: Vec<_> = (0..rivals.len()).map(wish).collect();
        let results = race(&writers, wishes).await;
        let demoted: Vec<_> = won(&results).into_iter().map(next).collect();
        for result in results.into_iter().filter(Result::is_err) {
            assert_eq!(code(result), "not_administrator"); // whoever demotes another is not the last one
        }
        administrators = rivals.iter().copied().filter(|rival| !demoted.contains(rival)).collect();
        assert!(!administrators.is_empty() && administrators.len() < rivals.len());
    }
}

on_both! {
    async fn t3_of_64_identities_that_accept_through_one_writer_one_succeeds(bench: &Bench) {
        sixty_four_identities_accept(bench, 1).await;
    }

    async fn t3_of_64_identities_that_accept_through_two_writers_one_succeeds(bench: &Bench) {
        sixty_four_identities_accept(bench, 2).await;
    }

    async fn t40_of_administrators_who_demote_each_other_at_once_one_stays(bench: &Bench) {
        let writers = bench.writers(2).await;
        at_once((0..9).map(|_| rivals_demote_each_other(writers.clone())).collect::<Vec<_>>()).await;
    }

    async fn a_customer_number_opens_one_account_whoever_opens_it(bench: &Bench) {
        let writers = bench.writers(2).await;
        for _ in 0..20 {
            let number = number();
            let accounts: Vec<_> = (0..4).map(|_| fresh_account()).collect();
            let results = race(&writers, accounts.iter().map(|account| (staff(), open(*account, &number)))).await;
            let won = won(&results);
            assert_eq!(won.len(), 1, "{results:?}");
            for (number, result) in results.into_iter().enumerate() {
                if number != won[0] {
                    assert_eq!(code(result), "customer_number_taken");
                }
            }
        }
    }

    /// A loser does not spoil its batch: everybody else commits, with the right verdicts.
    async fn a_contested_account_does_not_disturb_the_others(bench: &Bench) {
        let writers = bench.writers(2).await;
        let contested = an_account(&writers[0]).await;
        let mut calm = [Vec::new(), Vec::new()];
        for number in 0..40 {
            calm[number % 2].push(an_account(&writers[number % 2]).await);
        }
        for round in 0..5 {
            let at_contested = format!("round-{round}@harbour.example");
            let mut tasks = Vec::new();
            for (writer, calm) in writers.iter().zip(&calm) {
                for (place, account) in calm.iter().enumerate() {
                    let address = format!("round-{round}@quarry.example");
                    tasks.push((writer.clone(), false, add(*account, fresh_professional(), &address)));
                    if place % 5 == 0 {
                        tasks.push((writer.clone(), true, add(contested, fresh_professional(), &at_contested)));
                    }
                }
            }
            let results = at_once(tasks.into_iter().map(|(store, is_contested, command)| async move {
                (is_contested, run(&store, &staff(), command).await)
            }))
            .await;
            let (of_contested, of_calm): (Vec<_>, Vec<_>) = results.into_iter().partition(|(contested, _)| *contested);
            assert!(of_calm.iter().all(|(_, result)| result.is_ok()), "{of_calm:?}");
            let of_contested: Vec<_> = of_contested.into_iter().map(|(_, result)| result).collect();
            let won = won(&of_contested);
            assert_eq!(won.len(), 1);
            for (number, result) in of_contested.into_iter().enumerate() {
                if number != won[0] {
                    assert_eq!(code(result), "address_already_in_account");
                }
            }
        }
    }

    /// Commands of one batch that build on each other fall together and are decided again in their order.
    async fn a_chain_of_commands_survives_an_append_by_somebody_else(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        somebody_invited(&writers[0], account).await; // the administrator
        let (_, elsewhere) = {
            let account = an_account(&writers[0]).await;
            somebody_invited(&writers[0], account).await
        };
        let mut lock = bench.outside().await;
        for round in 0..5 {
            let address = format!("chain-{round}@harbour.example");
            run(&writers[0], &staff(), end_plan(account)).await.unwrap(); // the first writer knows the account
            run(&writers[1], &staff(), set_plan(account, &format!("Plan {round}"))).await.unwrap();
            let (professional, invitation, identity) = (fresh_professional(), fresh_invitation(), fresh_identity());
            let link = link(account, invitation);
            run(&writers[0], &person(identity), register(identity)).await.unwrap(); // known, so that nothing is loaded
            lock.lock().await;
            // The appender waits for the lock with the first of these, and takes all others as one batch.
            let elsewhere = queue(&writers[0], &link_holder(), visit(elsewhere));
            // Each needs the one before it; the first needs the plan that the other writer has set.
            let chain = [
                queue(&writers[0], &staff(), invite(account, professional, &address, invitation)),
                queue(&writers[0], &staff(), add(account, fresh_professional(), &address)),
                queue(&writers[0], &worker(), attempt(link)),
                queue(&writers[0], &link_holder(), visit(link)),
                queue(&writers[0], &person(identity), accept(link, identity)),
                queue(&writers[0], &staff(), revoke(link)),
            ];
            lock.unlock().await;
            elsewhere.await.unwrap().unwrap();
            let mut words = Vec::new();
            for executing in chain {
                words.push(word(&executing.await.unwrap()));
            }
            assert_eq!(
                words,
                [
                    "InvitationIssued",
                    "address_already_in_account",
                    "MailAttempted",
                    "LinkVisited",
                    "IdentityAssociated",
                    "already_used"
                ]
            );
        }
    }

    /// What builds on a command that falls, falls with it, even if nothing else speaks against it.
    async fn nothing_is_built_on_an_account_that_could_not_be_opened(bench: &Bench) {
        let writers = bench.writers(2).await;
        let (_, elsewhere) = {
            let account = an_account(&writers[0]).await;
            somebody_invited(&writers[0], account).await
        };
        let (account, number) = (fresh_account(), number());
        // The first writer remembers that the number is free; the second one takes it.
        writers[0].ask(open(account, &number), staff(), request()).await.unwrap();
        run(&writers[1], &staff(), open(fresh_account(), &number)).await.unwrap();
        let mut lock = bench.outside().await;
        lock.lock().await;
        let queued = [
            queue(&writers[0], &link_holder(), visit(elsewhere)), // the appender waits for the lock with this one
            queue(&writers[0], &staff(), open(account, &number)),
            queue(&writers[0], &staff(), set_plan(account, "Support Plan")),
            queue(&writers[0], &staff(), add(account, fresh_professional(), &address())),
        ];
        lock.unlock().await;
        let mut words = Vec::new();
        for executing in queued {
            words.push(word(&executing.await.unwrap()));
        }
        assert_eq!(words, ["LinkVisited", "customer_number_taken", "unknown_account", "unknown_account"]);
        assert!(writers[1].events_about(&Subject::Account(account)).await.unwrap().is_empty());
    }

    async fn a_hot_account_starves_nobody(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let (professional, _) = somebody_invited(&writers[0], account).await;
        let tasks = writers.iter().enumerate().flat_map(|(writer, store)| {
            (0..200).map(move |number| {
                let store = store.clone();
                async move {
                    match number % 4 {
                        0 => run(&store, &staff(), send(account, professional)).await,
                        1 => run(&store, &staff(), add(account, fresh_professional(), &address())).await,
                        2 => run(&store, &staff(), set_plan(account, &format!("Plan {writer} {number}"))).await,
                        // Both writers add these: half of them come too late.
                        _ => {
                            let twice = format!("both-{number}@harbour.example");
                            run(&store, &staff(), add(account, fresh_professional(), &twice)).await
                        }
                    }
                }
            })
        });
        let results = at_once(tasks.collect::<Vec<_>>()).await;
        let refused: Vec<_> = results.into_iter().filter(Result::is_err).map(code).collect();
        assert_eq!(refused, ["address_already_in_account"; 50], "of each address that two added, one");
        let sent = readable(&writers[0]).await;
        let generations = sent.iter().filter(|it| matches!(it.event, Event::InvitationIssued(_))).count();
        assert_eq!(generations, 101);
    }

    /// A command appends events about subjects that it did not read; who reads those must not be misled.
    async fn an_identity_is_registered_once_whatever_happens_in_between(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (_, link) = somebody_invited(&store, account).await;
        let identity = fresh_identity();
        let mut lock = bench.outside().await;
        lock.lock().await;
        let queued = [
            queue(&store, &link_holder(), visit(link)), // the appender waits for the lock with this one
            queue_cold(&store, &person(identity), register(identity)).await,
            queue(&store, &person(identity), accept(link, identity)),
            queue_cold(&store, &person(identity), register(identity)).await,
        ];
        lock.unlock().await;
        let mut words = Vec::new();
        for executing in queued {
            words.push(word(&executing.await.unwrap()));
        }
        words.sort_unstable();
        assert_eq!(words, ["IdentityAssociated", "IdentityRegistered", "LinkVisited", "nothing"]);
    }

    /// The same, where the first decision falls and all are decided again under the lock.
    async fn an_identity_may_accept_and_register_at_once_on_an_account_that_somebody_else_changed(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let (_, elsewhere) = {
            let account = an_account(&writers[0]).await;
            somebody_invited(&writers[0], account).await
        };
        for round in 0..5 {
            let identity = fresh_identity();
            let (_, link) = somebody_invited(&writers[0], account).await;
            run(&writers[1], &staff(), set_plan(account, &format!("Plan {round}"))).await.unwrap();
            let mut lock = bench.outside().await;
            lock.lock().await;
            let mut queued = vec![
                queue(&writers[0], &link_holder(), visit(elsewhere)),
                queue_cold(&writers[0], &person(identity), register(identity)).await,
                queue(&writers[0], &person(identity), accept(link, identity)),
                queue_cold(&writers[0], &person(identity), register(identity)).await,
            ];
            // The second writer registers the identity as soon as the lock is free, before or after the first.
            queued.push(queue_cold(&writers[1], &person(identity), register(identity)).await);
            lock.unlock().await;
            let mut words = Vec::new();
            for executing in queued {
                words.push(word(&executing.await.unwrap()));
            }
            words.sort_unstable();
            assert_eq!(words, ["IdentityAssociated", "IdentityRegistered", "LinkVisited", "nothing", "nothing"]);
        }
        let registered = readable(&writers[1]).await.into_iter().filter_map(|recorded| match recorded.event {
            Event::IdentityRegistered(e) => Some((e.identity, e.details.is_some())),
            _ => None,
        });
        let registered: HashSet<_> = registered.collect();
        assert_eq!(registered.len(), 5);
        assert!(registered.iter().all(|(_, is_readable)| *is_readable));
    }
}
