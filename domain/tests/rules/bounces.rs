//! Mails that come back after a server took them over (rules.md, bounces).

use domain::event::*;
use domain::ids::MailId;
use domain::mail::MailOutcome;
use domain::refusal::Refusal;
use domain::words::Scope;
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

fn mail() -> MailId {
    link_mail(link(FIRST, 1))
}

/// Robin's mail was taken over.
fn taken_over() -> Given {
    let sent = MailOutcome::Sent { reply: "250 ok".into() };
    Given::robin_invited().and(&worker(), attempt(mail())).and(&worker(), record(mail(), 1, sent))
}

fn bounced() -> MailBounced {
    MailBounced {
        account: HARBOUR,
        professional: ROBIN,
        invitation: Some(FIRST),
        mail: mail(),
        attempt: 0,
        status: Some("5.1.1".into()),
        reply: Some("550 5.1.1 no such user".into()),
    }
}

#[test]
fn a_bounce_is_recorded_once_and_the_invitation_stays_valid() {
    for caller in [operator(), back_office(), support()] {
        let given = taken_over().when(&caller, bounce(ROBIN, mail())).then([bounced()]);
        let given = given.when(&caller, bounce(ROBIN, mail())).then_nothing();
        given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_types(["IdentityAssociated"]);
    }
}

#[test]
fn a_bounce_of_a_mail_that_was_never_taken_over_is_unknown() {
    Given::robin_invited().when(&operator(), bounce(ROBIN, mail())).then_refused(Refusal::UnknownMail);
    let under_way = Given::robin_invited().and(&worker(), attempt(mail()));
    under_way.when(&operator(), bounce(ROBIN, mail())).then_refused(Refusal::UnknownMail);
    taken_over().when(&operator(), bounce(ROBIN, MailId(Uuid::nil()))).then_refused(Refusal::UnknownMail);
}

#[test]
fn r27_a_bounce_is_sealed_for_the_person_whom_the_mail_was_for() {
    let given = taken_over().and(&support(), add(SAM));
    given.when(&operator(), bounce(SAM, mail())).then_refused(Refusal::UnknownMail);
}

#[test]
fn only_staff_reports_bounces() {
    for caller in [staff(Scope::Auditor), person(ROBINS), worker(), link_holder()] {
        taken_over().when(&caller, bounce(ROBIN, mail())).then_refused(Refusal::ScopeMissing);
    }
}

#[test]
fn a_bounce_after_acceptance_deletion_or_closing_is_recorded() {
    let accepted = taken_over().and(&person(ROBINS), accept(link(FIRST, 1), ROBINS));
    let deleted = taken_over().and(&support(), add(SAM)).and(&support(), hand_over(ROBIN, SAM));
    let closed = taken_over().and(&support(), close(HARBOUR));
    for given in [accepted, deleted, closed] {
        given.when(&operator(), bounce(ROBIN, mail())).then([bounced()]);
    }
}

#[test]
fn r27_nothing_is_recorded_for_somebody_who_was_erased() {
    let given = taken_over().and(&support(), add(SAM)).and(&support(), hand_over(ROBIN, SAM));
    let given = given.and(&support(), erase(ROBIN, &[]));
    given.when(&operator(), bounce(ROBIN, mail())).then_refused(Refusal::UnknownMail);
}

#[test]
fn a_notice_that_comes_back_belongs_to_no_invitation() {
    let given = Given::robin_linked().and(&person(ROBINS), change_address(ROBIN, "robin@reef.example"));
    let Some(Event::NoticeIssued(notice)) = given.log.last().map(|it| it.event.clone()) else { panic!() };
    let sent = MailOutcome::Sent { reply: "250 ok".into() };
    let given = given.and(&worker(), attempt(notice.mail)).and(&worker(), record(notice.mail, 1, sent));
    let expected = MailBounced { invitation: None, mail: notice.mail, ..bounced() };
    given.when(&operator(), bounce(ROBIN, notice.mail)).then([expected]);
}
