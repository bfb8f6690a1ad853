//! T74: order is never by time, and time never runs backwards within an account.

use domain::event::Event;
use domain::tag::Subject;
use domain::time::Millis;

use super::bench::{Bench, code, open_at, run, standing_clock};
use super::commands::*;

on_both! {
    async fn t74_a_clock_that_was_set_back_does_not_make_an_account_younger(bench: &Bench) {
        let clock = standing_clock();
        let (store, _) = open_at(bench.location(), clock.clone()).await.unwrap();
        let account = an_account(&store).await;
        let (professional, link) = somebody_invited(&store, account).await;
        // A week later the link has expired, and something happens.
        clock.turn(Millis::days(7));
        let identity = fresh_identity();
        assert_eq!(code(run(&store, &person(identity), accept(link, identity)).await), "invitation_expired");
        run(&store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();

        let (other, _) = open_at(bench.location(), standing_clock()).await.unwrap();
        clock.turn(Millis::days(-8));
        for writer in [&store, &other] {
            assert_eq!(code(run(writer, &person(identity), accept(link, identity)).await), "invitation_expired");
            run(writer, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
        }
        for writer in [&store, &other] {
            run(writer, &staff(), send(account, professional)).await.unwrap();
        }
        let events = store.events_about(&Subject::Account(account)).await.unwrap();
        assert!(events.is_sorted_by_key(|recorded| recorded.recorded_at));
        assert!(events.is_sorted_by_key(|recorded| recorded.position));
        let newest = events.iter().rev().find_map(|recorded| match &recorded.event {
            Event::InvitationIssued(e) => Some((recorded.recorded_at, e.expires_at)),
            _ => None,
        });
        let (issued_at, expires_at) = newest.unwrap();
        assert_eq!(expires_at - issued_at, Millis::days(7), "one time for all that a command does");
        // An account that nothing has happened to since lives by the clock.
        let elsewhere = an_account(&store).await;
        let events = store.events_about(&Subject::Account(elsewhere)).await.unwrap();
        assert!(events[0].recorded_at < issued_at && events[0].position > 1);
    }
}
