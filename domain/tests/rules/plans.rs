//! Service plans: R20 (invitations freeze and thaw), R19 (managing people needs none).

use domain::event::*;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{AccountKind, Role};

use super::commands::*;
use super::harness::*;

/// Harbour, with a partner, whose plan has ended; Sam is invited.
fn frozen() -> Given {
    let given = Given::served().and(&person(STRANGERS), ask(WISH, STRANGERS)).and(&person(ROBINS), send(SAM, SECOND));
    given.and(&back_office(), set_plan(HARBOUR, None))
}

fn renewed(given: Given) -> Given {
    let from = given.clock();
    given.and(&back_office(), set_plan(HARBOUR, Some(plan(from, Millis::days(30)))))
}

#[test]
fn r20_without_a_plan_nobody_sends_whoever_asks() {
    for caller in [person(ROBINS), pilot(), support(), back_office()] {
        let commands = [
            send(SAM, THIRD),
            add_and_invite(KIM, THIRD),
            change_address_and_send(SAM, "sam@shore.example", THIRD),
            approve(WISH, KIM, THIRD),
            retry(SAM, SECOND, THIRD),
        ];
        for command in commands {
            frozen().when(&caller, command).then_refused(Refusal::NoServicePlan);
        }
    }
    // Who asks on the association page learns nothing.
    frozen().when(&person(STRANGERS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD)).then_nothing();
}

#[test]
fn r20_administrators_still_add_edit_hand_over_and_delete() {
    let commands = [
        (add(KIM), "ProfessionalAdded"),
        (change_address(SAM, "sam@shore.example"), "NoticeIssued"),
        (promote(SAM), "RoleGiven"),
        (give(SAM, Role::BillingContact), "RoleGiven"),
        (hand_over(ROBIN, SAM), "ProfessionalDeleted"),
        (delete(SAM), "ProfessionalDeleted"),
        (decline(WISH), "AccessRequestDeclined"),
        (revoke(SECOND), "InvitationRevoked"),
    ];
    for (command, last) in commands {
        frozen().when(&person(ROBINS), command).then_last(last);
    }
    frozen().when(&pilot(), propose(APPOINTMENT, SAM, None)).then_last("NoticeIssued");
}

#[test]
fn r20_a_mail_with_a_frozen_link_waits_and_goes_when_the_plan_is_renewed() {
    let mail = link_mail(link(SECOND, 1));
    let given = frozen().when(&worker(), attempt(mail)).then_refused(Refusal::InvitationFrozen);
    let given = renewed(given.after(Millis::days(6)));
    given.when(&worker(), attempt(mail)).then_types(["MailAttempted"]);
}

#[test]
fn r20_a_mail_whose_link_expired_while_it_was_frozen_is_cancelled() {
    let given = frozen().after(Millis::days(7)).when(&worker(), attempt(link_mail(link(SECOND, 1))));
    given.then_types(["MailCancelled"]);
}

#[test]
fn r20_a_plan_that_is_changed_thaws_only_from_its_first_moment() {
    let next_week = plan(start() + Millis::days(5), Millis::days(30));
    let given = frozen().and(&back_office(), set_plan(HARBOUR, Some(next_week)));
    let given = given.after(Millis(Millis::days(5).0 - 1));
    let given = given.when(&person(STRANGERS), click(link(SECOND, 1), FLOW)).then_refused(Refusal::InvitationFrozen);
    given.after(Millis(1)).when(&person(STRANGERS), click(link(SECOND, 1), FLOW)).then_types(["LinkClicked"]);
}

#[test]
fn r20_notices_are_mailed_without_a_plan() {
    let given = frozen().and(&person(ROBINS), change_address(SAM, "sam@shore.example"));
    let mail = given.log.iter().find_map(|it| match &it.event {
        Event::NoticeIssued(e) => Some(e.mail),
        _ => None,
    });
    given.when(&worker(), attempt(mail.unwrap())).then_types(["MailAttempted"]);
}

#[test]
fn r19_r20_a_partner_account_invites_and_mails_without_a_plan() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "P-1", AccountKind::Partner));
    let given = given.and(&support(), add_and_invite(ROBIN, FIRST));
    let given = given.when(&worker(), attempt(link_mail(link(FIRST, 1)))).then_types(["MailAttempted"]);
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r19_managing_people_needs_no_plan() {
    frozen().when(&person(SAMS), unlink(SAM)).then_types(["IdentityUnlinked", "InvitationRevoked"]);
    frozen().when(&person(ROBINS), demote(ROBIN)).then_blocked_with("last_administrator");
}
