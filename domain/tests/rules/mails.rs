//! R26: every mail ends as sent, refused, parked or cancelled.

use domain::command::Command;
use domain::event::*;
use domain::ids::MailId;
use domain::mail::{CLAIM_LIFETIME, DEFERRED_MAX, LONGEST_RETRY_AFTER, MailOutcome, UNKNOWN_RETRY_AFTER};
use domain::refusal::Refusal;
use domain::time::{Millis, Timestamp};

use super::harness::*;

fn sent() -> MailOutcome {
    MailOutcome::Sent { reply: "250 ok".into() }
}

fn deferred() -> MailOutcome {
    MailOutcome::Deferred { code: Some(451), reply: "451 later".into() }
}

fn unknown() -> MailOutcome {
    MailOutcome::Unknown { reply: "connection lost".into() }
}

fn refused() -> MailOutcome {
    MailOutcome::Refused { code: Some(550), reply: "550 no such user".into() }
}

/// The mail with Robin's first link.
fn mail() -> MailId {
    link_mail(link(FIRST, 1))
}

/// An event of one attempt at the mail with Robin's first link.
macro_rules! of_attempt {
    ($name:ident, $attempt:expr $(, $field:ident: $value:expr)*) => {
        Event::from($name {
            account: HARBOUR,
            professional: ROBIN,
            invitation: Some(FIRST),
            mail: mail(),
            attempt: $attempt,
            $($field: $value),*
        })
    };
}

fn attempted(attempt: u32) -> Event {
    of_attempt!(MailAttempted, attempt)
}

fn unknown_event(attempt: u32, retry_at: Timestamp, reply: &str) -> Event {
    of_attempt!(MailOutcomeUnknown, attempt, retry_at: retry_at, reply: Some(reply.into()))
}

fn cancelled(attempt: u32, reason: CancelReason) -> Event {
    of_attempt!(MailCancelled, attempt, reason: reason)
}

const DEAD_CLAIM: &str = "the worker that claimed this attempt reported nothing";

/// Robin is invited and the first attempt is claimed.
fn claimed() -> Given {
    Given::robin_invited().and(&worker(), attempt(mail()))
}

#[test]
fn r26_a_worker_claims_an_attempt() {
    let given = Given::robin_invited().when(&worker(), attempt(mail())).then([attempted(1)]);
    given.when(&worker(), attempt(mail())).then_refused(Refusal::MailClaimed);
}

#[test]
fn r26_a_mail_that_nobody_wanted_is_not_waiting() {
    for never in [MailId(uuid::Uuid::nil()), link_mail(link(FIRST, 2))] {
        Given::robin_invited().when(&worker(), attempt(never)).then_refused(Refusal::MailNotWaiting);
        Given::robin_invited().when(&worker(), record(never, 1, sent())).then_refused(Refusal::MailNotWaiting);
    }
}

#[test]
fn r26_no_outcome_is_recorded_of_an_attempt_that_nobody_claimed() {
    for outcome in [sent(), deferred(), unknown(), refused()] {
        for number in [0, 1, 2] {
            let given = Given::robin_invited();
            given.when(&worker(), record(mail(), number, outcome.clone())).then_refused(Refusal::MailNotWaiting);
        }
        let given = claimed();
        for number in [0, 2] {
            let record = record(mail(), number, outcome.clone());
            given.clone().when(&worker(), record).then_refused(Refusal::MailNotWaiting);
        }
    }
}

#[test]
fn r26_a_mail_that_was_taken_over_is_sent() {
    let event = of_attempt!(MailSent, 1, reply: Some("250 ok".into()));
    let given = claimed().when(&worker(), record(mail(), 1, sent())).then([event]);
    given.when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
}

#[test]
fn r26_a_mail_that_was_refused_for_good_is_not_tried_again() {
    let event = of_attempt!(MailRefused, 1, code: Some(550), reply: Some("550 no such user".into()));
    let given = claimed().when(&worker(), record(mail(), 1, refused())).then([event]);
    given.after(Millis::days(1)).when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
}

#[test]
fn r26_a_deferred_mail_is_tried_again_when_it_is_due() {
    let wait = Millis(24_000); // half a minute less a fifth
    let retry_at = start() + wait;
    let event = of_attempt!(MailDeferred, 1, code: Some(451), retry_at: retry_at, reply: Some("451 later".into()));
    let given = claimed().when(&worker(), record_with(mail(), 1, deferred(), 0)).then([event]);
    let early = given.clone().after(Millis(wait.0 - 1));
    early.when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
    given.after(wait).when(&worker(), attempt(mail())).then([attempted(2)]);
}

/// The waits after each of a row of deferrals, with this spread.
fn waits(jitter_permille: u32) -> Vec<i64> {
    let mut given = Given::robin_invited();
    let mut waits = Vec::new();
    for number in 1.. {
        given = given.and(&worker(), attempt(mail()));
        let events = given.execute(&worker(), &record_with(mail(), number, deferred(), jitter_permille)).unwrap();
        let Event::MailDeferred(e) = &events[0] else { panic!("{events:?}") };
        waits.push((e.retry_at - given.clock()).0);
        if events.len() > 1 {
            assert_eq!(events[1], of_attempt!(MailParked, number, reason: ParkReason::DeferredTooLong));
            // Parked only once the next attempt would come after 24 hours, and never before.
            assert!(e.retry_at >= start() + DEFERRED_MAX && given.clock() < start() + DEFERRED_MAX);
            break;
        }
        let wait = e.retry_at - given.clock();
        given = given.after(wait);
    }
    waits
}

#[test]
fn r26_deferrals_back_off_from_half_a_minute_to_an_hour_spread_by_a_fifth() {
    let (least, greatest) = (waits(0), waits(999));
    assert_eq!(&least[..3], &[24_000, 48_000, 96_000]);
    assert_eq!(&greatest[..3], &[35_970, 71_940, 143_880]);
    let hour = LONGEST_RETRY_AFTER.0;
    assert_eq!(least.iter().max(), Some(&(hour * 800 / 1000)));
    assert_eq!(greatest.iter().max(), Some(&(hour * 1199 / 1000)));
    assert_eq!(waits(5_000), greatest, "a jitter out of bounds counts as the greatest");
}

#[test]
fn r26_a_mail_that_is_deferred_for_24_hours_is_parked() {
    assert_eq!(DEFERRED_MAX, Millis::hours(24));
    for jitter in [0, 500, 999] {
        let total: i64 = waits(jitter).iter().sum();
        let latest = DEFERRED_MAX.0 + LONGEST_RETRY_AFTER.0 * 6 / 5;
        assert!((DEFERRED_MAX.0..latest).contains(&total), "{total}");
    }
}

#[test]
fn r26_the_24_hours_begin_with_the_first_deferral_not_with_the_wish() {
    // After a day without workers, one greylisting must not park everything that waited.
    let given = Given::robin_invited().after(Millis::days(2)).and(&worker(), attempt(mail()));
    given.when(&worker(), record(mail(), 1, deferred())).then_types(["MailDeferred"]);
}

#[test]
fn r26_a_parked_mail_is_over() {
    let given = unknown_twice().and(&worker(), attempt(mail()));
    let parked = of_attempt!(MailParked, 3, reason: ParkReason::UnknownTooOften);
    let retry_at = given.clock() + UNKNOWN_RETRY_AFTER;
    let given = given
        .when(&worker(), record(mail(), 3, unknown()))
        .then([unknown_event(3, retry_at, "connection lost"), parked]);
    given.after(Millis::days(1)).when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
}

/// Two attempts with an unknown outcome; the third is due.
fn unknown_twice() -> Given {
    (1..=2).fold(Given::robin_invited(), |given, number| {
        let given = given.and(&worker(), attempt(mail()));
        let retry_at = given.clock() + UNKNOWN_RETRY_AFTER;
        let event = unknown_event(number, retry_at, "connection lost");
        let given = given.when(&worker(), record(mail(), number, unknown())).then([event]);
        let early = given.clone().after(Millis(UNKNOWN_RETRY_AFTER.0 - 1));
        early.when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
        given.after(UNKNOWN_RETRY_AFTER)
    })
}

#[test]
fn r26_a_mail_whose_outcome_is_unknown_is_sent_again_at_most_twice() {
    unknown_twice().when(&worker(), attempt(mail())).then([attempted(3)]);
}

#[test]
fn r26_a_claim_whose_worker_died_counts_as_an_unknown_outcome() {
    let alive = claimed().after(Millis(CLAIM_LIFETIME.0 - 1));
    alive.when(&worker(), attempt(mail())).then_refused(Refusal::MailClaimed);
    let dead = claimed().after(CLAIM_LIFETIME);
    let now = dead.clock();
    let given = dead.when(&worker(), attempt(mail())).then([unknown_event(1, now, DEAD_CLAIM), attempted(2)]);
    let given = given.after(CLAIM_LIFETIME).and(&worker(), attempt(mail())).after(CLAIM_LIFETIME);
    let now = given.clock();
    let parked = of_attempt!(MailParked, 3, reason: ParkReason::UnknownTooOften);
    given.when(&worker(), attempt(mail())).then([unknown_event(3, now, DEAD_CLAIM), parked]);
}

#[test]
fn r26_a_slow_worker_reports_after_its_claim_ran_out() {
    for (outcome, name) in [(sent(), "MailSent"), (refused(), "MailRefused"), (deferred(), "MailDeferred")] {
        let given = claimed().after(Millis::hours(1));
        given.when(&worker(), record(mail(), 1, outcome)).then_types([name]);
    }
}

#[test]
fn r26_only_that_it_was_sent_is_taken_from_an_attempt_that_another_followed() {
    let given = claimed().after(CLAIM_LIFETIME).and(&worker(), attempt(mail()));
    for outcome in [refused(), deferred(), unknown()] {
        given.clone().when(&worker(), record(mail(), 1, outcome)).then_refused(Refusal::MailNotWaiting);
    }
    let event = of_attempt!(MailSent, 1, reply: Some("250 ok".into()));
    let given = given.when(&worker(), record(mail(), 1, sent())).then([event]);
    given.when(&worker(), record(mail(), 2, unknown())).then_refused(Refusal::MailNotWaiting);
}

#[test]
fn r26_a_superseded_mail_is_cancelled_before_an_attempt() {
    let given = Given::robin_invited().and(&support(), send(ROBIN, SECOND));
    let given = given.when(&worker(), attempt(mail())).then([cancelled(0, CancelReason::Superseded)]);
    let given = given.when(&worker(), attempt(mail())).then_refused(Refusal::MailNotWaiting);
    given.when(&worker(), attempt(link_mail(link(FIRST, 2)))).then_types(["MailAttempted"]);
}

#[test]
fn r26_a_revoked_mail_is_cancelled_before_an_attempt() {
    let given = Given::robin_invited().and(&support(), revoke(FIRST));
    given.when(&worker(), attempt(mail())).then([cancelled(0, CancelReason::Revoked)]);
}

#[test]
fn r26_the_mail_of_an_accepted_invitation_is_cancelled_before_the_next_attempt() {
    let given = claimed()
        .and(&worker(), record(mail(), 1, unknown()))
        .and(&person(ROBINS), accept(link(FIRST, 1), ROBINS))
        .after(UNKNOWN_RETRY_AFTER);
    given.when(&worker(), attempt(mail())).then([cancelled(1, CancelReason::Accepted)]);
}

#[test]
fn r26_a_mail_with_an_expired_link_is_cancelled_before_an_attempt() {
    let last_moment = Given::robin_invited().after(Millis(Millis::days(7).0 - 1));
    last_moment.when(&worker(), attempt(mail())).then([attempted(1)]);
    let expired = Given::robin_invited().after(Millis::days(7));
    expired.when(&worker(), attempt(mail())).then([cancelled(0, CancelReason::Expired)]);
}

#[test]
fn r26_a_mail_with_an_expired_code_is_cancelled_before_an_attempt() {
    let given = Given::robin_invited().and(&person(ROBINS), issue_code(link(FIRST, 1), ROBINS));
    let code = code_mail(link(FIRST, 1), 1);
    let last_moment = given.clone().after(Millis(Millis::minutes(10).0 - 1));
    last_moment.when(&worker(), attempt(code)).then_types(["MailAttempted"]);
    let expired = given.after(Millis::minutes(10)).when(&worker(), attempt(code)).then_types(["MailCancelled"]);
    let Event::MailCancelled(e) = &expired.log.last().unwrap().event else { panic!() };
    assert_eq!(e.reason, CancelReason::Expired);
}

#[test]
fn r26_a_dead_claim_on_an_unwanted_mail_ends_it() {
    let given = claimed().and(&support(), revoke(FIRST)).after(CLAIM_LIFETIME);
    let now = given.clock();
    let expected = [unknown_event(1, now, DEAD_CLAIM), cancelled(1, CancelReason::Revoked)];
    given.when(&worker(), attempt(mail())).then(expected);
}

#[test]
fn r7_the_outcome_of_a_mail_under_way_is_recorded_after_its_invitation_was_revoked() {
    let given = claimed().and(&support(), revoke(FIRST));
    given.when(&worker(), record(mail(), 1, sent())).then_types(["MailSent"]);
}

#[test]
fn r9_the_newest_link_that_was_asked_for_is_mailed() {
    let given =
        Given::robin_invited().and(&support(), send(ROBIN, SECOND)).and(&link_holder(), request_latest(link(FIRST, 1)));
    given.when(&worker(), attempt(latest_link_mail(link(FIRST, 2), 1))).then_types(["MailAttempted"]);
}

#[test]
fn r27_what_a_server_answered_is_sealed_for_the_person_whom_the_mail_is_for() {
    let given = claimed().and(&support(), add(SAM));
    let Command::RecordMailOutcome { account, mail, attempt, outcome, jitter_permille, .. } =
        record(mail(), 1, refused())
    else {
        panic!()
    };
    let for_sam = Command::RecordMailOutcome { account, professional: SAM, mail, attempt, outcome, jitter_permille };
    given.when(&worker(), for_sam).then_refused(Refusal::MailNotWaiting);
}
