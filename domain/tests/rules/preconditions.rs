//! `If-Match`: a command for somebody who read a state that has changed since is refused.

use domain::command::Command;
use domain::event::Event;
use domain::ids::{EventId, ProfessionalId};
use domain::name::AccountName;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::Role;
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

/// The tag of a professional as readers know it.
fn of(given: &Given, professional: ProfessionalId) -> EventId {
    given.state(HARBOUR).professional(professional).unwrap().changed_by.unwrap()
}

/// The tag of Harbour.
fn of_account(given: &Given) -> EventId {
    given.state(HARBOUR).changed_by.unwrap()
}

fn rename(name: &str) -> Command {
    Command::RenameAccount { account: HARBOUR, name: AccountName::parse(name).unwrap() }
}

#[test]
fn a_command_for_what_was_read_is_accepted() {
    let given = Given::served();
    let tag = of(&given, SAM);
    let commands = [
        change_address(SAM, "sam@shore.example"),
        send(SAM, SECOND),
        promote(SAM),
        take(SAM, Role::BillingContact),
        unlink(SAM),
        delete(SAM),
    ];
    for command in commands {
        let given = given.clone();
        let result = given.when_read(tag, &person(ROBINS), command);
        result.then_accepted();
    }
    let erased = given.clone().when_read(tag, &support(), erase(SAM, &[]));
    erased.then_last("ProfessionalErased");
    let handed = given.clone().when_read(of(&given, ROBIN), &person(ROBINS), hand_over(ROBIN, SAM));
    handed.then_last("ProfessionalDeleted");
}

#[test]
fn a_command_for_a_professional_who_has_changed_since_is_refused() {
    let read = Given::served();
    let tag = of(&read, SAM);
    let changes = [
        change_address(SAM, "sam@shore.example"),
        send(SAM, SECOND),
        promote(SAM),
        give(SAM, Role::BillingContact),
        unlink(SAM),
    ];
    for change in changes {
        let given = read.clone().and(&person(ROBINS), change);
        for command in [change_address(SAM, "sam@reef.example"), send(SAM, SECOND), give(SAM, Role::ShippingContact)] {
            let given = given.clone();
            given.when_read(tag, &person(ROBINS), command).then_refused(Refusal::ChangedSinceRead);
        }
        let now = of(&given, SAM);
        given.when_read(now, &person(ROBINS), give(SAM, Role::ShippingContact)).then_accepted();
    }
}

#[test]
fn a_wish_that_is_true_already_is_refused_too_if_the_reader_is_behind() {
    let read = Given::served();
    let tag = of(&read, SAM);
    let given = read.and(&person(ROBINS), promote(SAM));
    given.when_read(tag, &person(ROBINS), promote(SAM)).then_refused(Refusal::ChangedSinceRead);
}

#[test]
fn a_role_that_moves_changes_both_holders() {
    let read = Given::served();
    let robins = of(&read, ROBIN);
    let given = read.and(&person(ROBINS), give(SAM, Role::BillingContact));
    assert_ne!(of(&given, ROBIN), robins);
    assert_eq!(of(&given, ROBIN), of(&given, SAM));
}

#[test]
fn what_readers_do_not_see_changes_no_tag() {
    let read = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let (tag, account) = (of(&read, SAM), of_account(&read));
    let mail = link_mail(link(SECOND, 1));
    let given = read.and(&worker(), attempt(mail)).and(&link_holder(), visit(link(SECOND, 1)));
    let given = given.and(&link_holder(), click(link(SECOND, 1), FLOW));
    let given = given.and(&worker(), associate(SAM, STRANGERS, "sam@harbour.example", THIRD));
    let given = given.and(&person(ROBINS), add(KIM)).and(&person(ROBINS), change_address(KIM, "kim@quay.example"));
    let given = given.after(Millis::days(2)).and(&worker(), sign_in(ROBINS));
    assert_eq!((of(&given, SAM), of_account(&given)), (tag, account));
    given.when_read(tag, &person(ROBINS), delete(SAM)).then_last("ProfessionalDeleted");
}

#[test]
fn a_command_about_the_account_speaks_of_the_account() {
    let read = Given::served();
    let tag = of_account(&read);
    let given = read.and(&person(ROBINS), promote(SAM)); // changes Sam, not the account
    let given = given.when_read(tag, &support(), rename("Harbour Holding")).then_types(["AccountRenamed"]);
    let commands = [rename("Harbour Group"), remove(LIGHTHOUSE), close(HARBOUR)];
    for command in commands {
        given.clone().when_read(tag, &support(), command).then_refused(Refusal::ChangedSinceRead);
    }
    given.clone().when_read(tag, &back_office(), set_plan(HARBOUR, None)).then_refused(Refusal::ChangedSinceRead);
    let now = of_account(&given);
    let given = given.when_read(now, &back_office(), set_plan(HARBOUR, None)).then_types(["ServicePlanSet"]);
    assert!(matches!(given.log.last().unwrap().event, Event::ServicePlanSet(_)));
}

#[test]
fn who_may_not_learns_nothing_of_what_was_read() {
    let nothing = EventId(Uuid::nil());
    let refused = [
        (person(SAMS), Refusal::NotAdministrator),
        (person(STRANGERS), Refusal::UnknownAccount),
        (operator(), Refusal::ScopeMissing),
    ];
    for (caller, refusal) in refused {
        for tag in [nothing, of(&Given::served(), ROBIN)] {
            let command = change_address(ROBIN, "robin@reef.example");
            Given::served().when_read(tag, &caller, command).then_refused(refusal.clone());
        }
    }
    // A guard that stands in the way anyway is named first.
    Given::served().when_read(nothing, &person(ROBINS), delete(ROBIN)).then_blocked_with("deletion_blocked");
}
