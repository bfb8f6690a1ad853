//! T61: a request with a key has one effect for each caller, however often and wherever it is sent.

use std::time::Duration;

use domain::caller::{Caller, Request};
use domain::command::Command;
use domain::tag::RequestKey;
use store::working::choices::Chosen;
use store::{ExecuteError, Executed, Store};

use super::bench::{Bench, at_once, code, queue_cold, run, word};
use super::commands::*;

const BODY: u64 = u64::MAX - 1;
/// By when what was sent has been loaded, and stands in the queue.
const QUEUED_AFTER: Duration = Duration::from_millis(300);

fn keyed(key: RequestKey, body: u64) -> Request {
    Request { id: store::random::uuid(), key: Some(key), body: Some(body), if_match: None }
}

fn fresh_key() -> RequestKey {
    RequestKey::derive("key:1", &store::random::uuid().to_string())
}

async fn send_keyed(
    store: &Store,
    caller: &Caller,
    command: Command,
    key: RequestKey,
) -> Result<Executed, ExecuteError> {
    store.execute(command, caller.clone(), keyed(key, BODY)).await
}

async fn sixty_four_times(bench: &Bench, writers: usize) {
    let writers = bench.writers(writers).await;
    for _ in 0..5 {
        let (key, number) = (fresh_key(), number());
        let results = at_once((0..64).map(|sent| {
            let store = writers[sent % writers.len()].clone();
            // Each attempt is translated anew, so that the ids of new things differ.
            let command = open(fresh_account(), &number);
            async move { send_keyed(&store, &staff(), command, key).await }
        }))
        .await;
        let results: Vec<Executed> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|executed| !executed.replayed).count(), 1);
        assert_eq!(results[0].events.len(), 1);
        for executed in &results {
            assert_eq!(executed.events, results[0].events);
            assert_eq!(executed.position, results[0].position);
            assert_eq!(executed.position, executed.events[0].position);
        }
    }
    assert_eq!(writers[0].head().await.unwrap(), 5);
}

on_both! {
    async fn t61_a_repeat_chooses_nobody_else(bench: &Bench) {
        let writers = bench.writers(2).await;
        let (key, first) = (fresh_key(), vec![fresh_invitation(), fresh_invitation()]);
        let request = keyed(key, BODY);
        assert_eq!(writers[0].chosen_before(&request).await.unwrap(), None);
        assert_eq!(writers[0].choose(&request, first.clone()).await.unwrap(), Chosen::Invitations(first.clone()));
        // At the same moment another node has found others to fit.
        let again = writers[1].choose(&request, vec![fresh_invitation()]).await.unwrap();
        assert_eq!(again, Chosen::Invitations(first.clone()));
        assert_eq!(writers[1].chosen_before(&request).await.unwrap(), Some(Chosen::Invitations(first)));
        assert_eq!(writers[1].chosen_before(&keyed(key, BODY - 1)).await.unwrap(), Some(Chosen::KeyReused));
        let unkeyed = Request { key: None, ..request };
        assert_eq!(writers[0].choose(&unkeyed, Vec::new()).await.unwrap(), Chosen::Invitations(Vec::new()));
        assert_eq!(writers[0].chosen_before(&unkeyed).await.unwrap(), None);
    }

    async fn t61_a_request_sent_64_times_to_one_writer_has_one_effect(bench: &Bench) {
        sixty_four_times(bench, 1).await;
    }

    async fn t61_a_request_sent_64_times_to_two_writers_has_one_effect(bench: &Bench) {
        sixty_four_times(bench, 2).await;
    }

    /// The first waits for what its batch appends about an identity without having read it, the second for the first.
    async fn t61_a_request_that_waits_for_its_states_has_one_effect(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (_, administrators) = somebody_invited(&store, account).await;
        let (professional, link) = somebody_invited(&store, account).await;
        let (administrator, identity, key) = (fresh_identity(), fresh_identity(), fresh_key());
        run(&store, &person(administrator), accept(administrators, administrator)).await.unwrap();
        run(&store, &person(identity), accept(link, identity)).await.unwrap();
        let mut lock = bench.outside().await;
        lock.lock().await;
        // The writer waits for the lock with this one.
        let waiting = queue_cold(&store, &staff(), add(account, fresh_professional(), &address())).await;
        let unlinking = queue_cold(&store, &staff(), Command::UnlinkIdentity { account, professional }).await;
        let send = || {
            let (store, command) = (store.clone(), register(identity));
            tokio::spawn(async move { send_keyed(&store, &person(identity), command, key).await })
        };
        let sent = [send(), send(), send()];
        tokio::time::sleep(QUEUED_AFTER).await;
        lock.unlock().await;
        let mut executed = Vec::new();
        for sent in sent {
            executed.push(sent.await.unwrap().unwrap());
        }
        assert_eq!(word(&waiting.await.unwrap()), "ProfessionalAdded");
        assert_eq!(word(&unlinking.await.unwrap()), "IdentityUnlinked");
        assert_eq!(executed.iter().filter(|executed| !executed.replayed).count(), 1);
        assert!(executed.iter().all(|it| it.events.len() == 1 && it.events == executed[0].events));
    }

    async fn t61_a_key_that_comes_with_another_body_is_refused(bench: &Bench) {
        let writers = bench.writers(2).await;
        let (account, key) = (fresh_account(), fresh_key());
        let command = open(account, &number());
        let first = writers[0].execute(command.clone(), staff(), keyed(key, BODY)).await.unwrap();
        for store in &writers {
            let other = store.execute(open(fresh_account(), &number()), staff(), keyed(key, BODY - 1)).await;
            assert_eq!(code(other), "idempotency_key_reused");
            let bodyless = Request { body: None, ..keyed(key, 0) };
            assert_eq!(code(store.execute(command.clone(), staff(), bodyless).await), "idempotency_key_reused");
            let again = store.execute(command.clone(), staff(), keyed(key, BODY)).await.unwrap();
            assert_eq!((again.replayed, &again.events), (true, &first.events));
        }
        assert_eq!(writers[0].head().await.unwrap(), 1);
    }

    async fn t61_a_request_is_answered_from_the_record_after_a_restart_even_if_it_would_be_refused_now(bench: &Bench) {
        let (store, ended) = bench.open().await.unwrap();
        let account = an_account(&store).await;
        let (key, professional, address) = (fresh_key(), fresh_professional(), address());
        let command = invite(account, professional, &address, fresh_invitation());
        let first = send_keyed(&store, &staff(), command.clone(), key).await.unwrap();
        assert_eq!(first.events.len(), 6);
        assert!(!first.replayed);
        // The same again would be refused: the address is there, and the plan has ended.
        run(&store, &staff(), end_plan(account)).await.unwrap();
        assert_eq!(code(run(&store, &staff(), command.clone()).await), "id_in_use");
        let again = send_keyed(&store, &staff(), command.clone(), key).await.unwrap();
        assert_eq!(again, Executed { replayed: true, ..first.clone() });
        drop(store);
        ended.await.unwrap();
        let restarted = bench.writer().await;
        for _ in 0..2 {
            let again = send_keyed(&restarted, &staff(), command.clone(), key).await.unwrap();
            assert_eq!(again, Executed { replayed: true, ..first.clone() });
        }
    }

    /// A refusal and a wish that was true already leave nothing behind: the same key may succeed later.
    async fn t61_a_request_without_effect_is_decided_again(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let (professional, _) = somebody_invited(&writers[0], account).await;
        let key = fresh_key();
        run(&writers[0], &staff(), end_plan(account)).await.unwrap();
        for store in &writers {
            let refused = send_keyed(store, &staff(), send(account, professional), key).await;
            assert_eq!(code(refused), "no_service_plan");
        }
        let set = |store: &Store, key| {
            let store = store.clone();
            async move { send_keyed(&store, &staff(), set_plan(account, "Enhancement Plan"), key).await.unwrap() }
        };
        assert_eq!(set(&writers[1], fresh_key()).await.events.len(), 1);
        let (nothing_to_do, before) = (fresh_key(), writers[0].head().await.unwrap());
        assert!(set(&writers[0], nothing_to_do).await.events.is_empty());
        assert_eq!(writers[0].head().await.unwrap(), before);
        assert!(send_keyed(&writers[0], &staff(), send(account, professional), key).await.is_ok());
        run(&writers[0], &staff(), end_plan(account)).await.unwrap();
        assert_eq!(set(&writers[1], nothing_to_do).await.events.len(), 1);
    }

    async fn t61_callers_with_equal_keys_do_not_meet(bench: &Bench) {
        let store = bench.writer().await;
        let commands = [open(fresh_account(), &number()), open(fresh_account(), &number())];
        for (caller, command) in ["key:1", "key:2"].into_iter().zip(commands) {
            let executed = send_keyed(&store, &staff(), command, RequestKey::derive(caller, "1")).await.unwrap();
            assert!(!executed.replayed);
        }
    }

    /// Requests with keys on one account from two writers, each sent to both: every one has its one effect.
    async fn t61_repeats_meet_each_other_in_the_middle_of_other_work(bench: &Bench) {
        let writers = bench.writers(2).await;
        let account = an_account(&writers[0]).await;
        let requests: Vec<_> = (0..60).map(|_| (fresh_key(), fresh_professional(), address())).collect();
        let sent = requests.iter().flat_map(|(key, professional, address)| {
            let command = add(account, *professional, address);
            writers.iter().map(move |store| (store.clone(), *key, command.clone()))
        });
        let results = at_once(sent.map(|(store, key, command)| async move {
            send_keyed(&store, &staff(), command, key).await
        }).collect::<Vec<_>>())
        .await;
        for both in results.chunks(2) {
            let [Ok(first), Ok(second)] = both else { panic!("{both:?}") };
            assert_eq!(first.events, second.events);
            assert_ne!(first.replayed, second.replayed);
        }
    }
}
