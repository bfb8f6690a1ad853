//! Links: visits, clicks, and the newest link for holders of older ones.

use domain::event::{Event, LatestLinkRequested, LinkClicked, LinkVisited};
use domain::ids::FlowId;
use domain::invitation::{LATEST_LINK_REQUESTS_MAX, VISITS_MAX};
use domain::refusal::Refusal;
use domain::time::Millis;
use uuid::Uuid;

use super::harness::*;

const ANOTHER_FLOW: FlowId = FlowId(Uuid::from_u128(0xf2));

#[test]
fn r24_twenty_visits_of_a_generation_are_recorded_and_no_more() {
    assert_eq!(VISITS_MAX, 20);
    let visited = LinkVisited { account: HARBOUR, professional: ROBIN, invitation: FIRST, generation: 1 };
    let given = Given::robin_invited().and_times(19, &link_holder(), &visit(link(FIRST, 1)));
    let given = given.when(&link_holder(), visit(link(FIRST, 1))).then([visited]);
    let given = given.when(&link_holder(), visit(link(FIRST, 1))).then_nothing();
    // Each generation has its own twenty, and the first keeps its count.
    let given = given.and(&support(), send(ROBIN, SECOND));
    let given = given.when(&link_holder(), visit(link(FIRST, 1))).then_nothing();
    given.when(&link_holder(), visit(link(FIRST, 2))).then_types(["LinkVisited"]);
}

#[test]
fn r24_a_visit_is_recorded_whatever_became_of_the_link() {
    let revoked = Given::robin_invited().and(&support(), revoke(FIRST));
    let superseded = Given::robin_invited().and(&support(), send(ROBIN, SECOND));
    let expired = Given::robin_invited().after(Millis::days(8));
    for given in [revoked, superseded, expired, Given::robin_linked()] {
        given.when(&link_holder(), visit(link(FIRST, 1))).then_types(["LinkVisited"]);
    }
}

#[test]
fn r24_a_visit_changes_nothing_that_a_decision_reads() {
    let unvisited = Given::robin_invited();
    let visited = unvisited.clone().and_times(20, &link_holder(), &visit(link(FIRST, 1)));
    for command in [accept(link(FIRST, 1), ROBINS), click(link(FIRST, 1), FLOW), issue_code(link(FIRST, 1), ROBINS)] {
        let expected = unvisited.clone().execute(&person(ROBINS), &command).unwrap();
        visited.clone().when(&person(ROBINS), command).then(expected);
    }
}

#[test]
fn r24_a_click_is_always_recorded_once_for_each_flow() {
    let clicked = |flow| LinkClicked { account: HARBOUR, professional: ROBIN, invitation: FIRST, generation: 1, flow };
    let given = Given::robin_invited().and_times(25, &link_holder(), &visit(link(FIRST, 1)));
    let given = given.when(&link_holder(), click(link(FIRST, 1), FLOW)).then([clicked(FLOW)]);
    let given = given.when(&link_holder(), click(link(FIRST, 1), FLOW)).then_nothing();
    let given = given.when(&link_holder(), click(link(FIRST, 1), ANOTHER_FLOW)).then([clicked(ANOTHER_FLOW)]);
    (3..30).fold(given, |given, flow| {
        let flow = FlowId(Uuid::from_u128(0xf00 + flow));
        given.when(&link_holder(), click(link(FIRST, 1), flow)).then([clicked(flow)])
    });
}

#[test]
fn r10_a_link_that_was_never_issued_is_unknown() {
    for never in [link(FIRST, 0), link(FIRST, 2), link(SECOND, 1)] {
        let commands =
            [visit(never), click(never, FLOW), request_latest(never), issue_code(never, ROBINS), accept(never, ROBINS)];
        for command in commands {
            Given::robin_invited().when(&person(ROBINS), command).then_refused(Refusal::UnknownInvitation);
        }
    }
}

#[test]
fn r9_the_holder_of_a_superseded_link_has_the_newest_mailed_again() {
    let given = Given::robin_invited().and(&support(), send(ROBIN, SECOND));
    let requested = |number| LatestLinkRequested {
        account: HARBOUR,
        professional: ROBIN,
        invitation: FIRST,
        generation: 2,
        number,
        mail: latest_link_mail(link(FIRST, 2), number),
    };
    let given = given.when(&link_holder(), request_latest(link(FIRST, 1))).then([requested(1)]);
    let given = given.when(&link_holder(), request_latest(link(FIRST, 1))).then([requested(2)]);
    // The newest link itself goes on working.
    given.when(&person(ROBINS), accept(link(FIRST, 2), ROBINS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r9_the_newest_link_that_has_expired_brings_the_next_generation() {
    let given = Given::robin_invited().after(Millis::days(7));
    let requested = LatestLinkRequested {
        account: HARBOUR,
        professional: ROBIN,
        invitation: FIRST,
        generation: 2,
        number: 1,
        mail: link_mail(link(FIRST, 2)),
    };
    let expected: [Event; 2] = [issued(link(FIRST, 2), ROBIN, start() + Millis::days(14)).into(), requested.into()];
    let given = given.when(&link_holder(), request_latest(link(FIRST, 1))).then(expected);
    // One mail for both events.
    assert_eq!(given.state(HARBOUR).mails.len(), 2);
    given.when(&person(ROBINS), accept(link(FIRST, 2), ROBINS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r9_the_newest_link_still_works_and_is_not_mailed_again() {
    let given = Given::robin_invited().after(Millis(Millis::days(7).0 - 1));
    given.when(&link_holder(), request_latest(link(FIRST, 1))).then_refused(Refusal::LinkStillWorks);
}

#[test]
fn r9_no_newest_link_of_an_ended_invitation_is_mailed() {
    let revoked = Given::robin_invited().and(&support(), send(ROBIN, SECOND)).and(&support(), revoke(FIRST));
    revoked.when(&link_holder(), request_latest(link(FIRST, 1))).then_refused(Refusal::InvitationRevoked);
    let accepted = Given::robin_linked().after(Millis::days(8));
    accepted.when(&link_holder(), request_latest(link(FIRST, 1))).then_refused(Refusal::AlreadyUsed);
}

#[test]
fn r9_the_newest_link_is_asked_for_five_times_at_most() {
    assert_eq!(LATEST_LINK_REQUESTS_MAX, 5);
    let given = Given::robin_invited().and(&support(), send(ROBIN, SECOND)).and_times(
        5,
        &link_holder(),
        &request_latest(link(FIRST, 1)),
    );
    let given = given.when(&link_holder(), request_latest(link(FIRST, 1))).then_refused(Refusal::LatestLinkUsedUp);
    // Neither the next generation nor expiry brings a new budget; whoever may invite has one of their own.
    let given = given.and(&support(), send(ROBIN, SECOND)).after(Millis::days(8));
    let given = given.when(&link_holder(), request_latest(link(FIRST, 3))).then_refused(Refusal::LatestLinkUsedUp);
    given.when(&support(), send(ROBIN, SECOND)).then_types(["InvitationIssued"]);
}

#[test]
fn r20_no_newest_link_is_mailed_while_the_plan_has_ended() {
    let superseded =
        Given::robin_invited().and(&support(), send(ROBIN, SECOND)).and(&back_office(), set_plan(HARBOUR, None));
    let given = superseded.when(&link_holder(), request_latest(link(FIRST, 1))).then_refused(Refusal::InvitationFrozen);
    // The newest link does not work either, so nobody is told that it does.
    let given = given.when(&link_holder(), request_latest(link(FIRST, 2))).then_refused(Refusal::InvitationFrozen);
    let expired = given.after(Millis::days(8));
    expired.when(&link_holder(), request_latest(link(FIRST, 2))).then_refused(Refusal::NoServicePlan);
}
