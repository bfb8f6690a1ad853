//! R25: who read a history stands in it, too.

use domain::caller::{Actor, Caller};
use domain::command::Command;
use domain::event::AuditRead;
use domain::refusal::Refusal;
use domain::tag::{Subject, Tag};
use domain::words::Scope;

use super::commands::*;
use super::harness::*;

fn read(tag: Tag, subject: Subject) -> Command {
    Command::RecordAuditRead { tag: Some(tag), subject }
}

fn of_harbour() -> Command {
    read(Tag::Account(HARBOUR), Subject::Account(HARBOUR))
}

#[test]
fn r25_who_reads_a_history_is_recorded_under_what_was_read() {
    let of_account = |tag: &str| AuditRead { account: Some(HARBOUR), identity: None, tag: tag.into() };
    let given = Given::robin_linked();
    let given = given.when(&staff(Scope::Auditor), of_harbour()).then([of_account(&format!("account:{HARBOUR}"))]);
    // A professional's history is the account's, filtered.
    let of_robin = read(Tag::Professional(ROBIN), Subject::Account(HARBOUR));
    let given = given.when(&support(), of_robin).then([of_account(&format!("professional:{ROBIN}"))]);
    // Every read counts.
    let given = given.when(&support(), of_harbour()).then_types(["AuditRead"]);
    let of_identity = read(Tag::Identity(ROBINS), Subject::Identity(ROBINS));
    let tag = format!("identity:{ROBINS}");
    let given = given.when(&support(), of_identity).then([AuditRead { account: None, identity: Some(ROBINS), tag }]);
    let of_number = read(Tag::CustomerNumber(number("C-1001")), Subject::CustomerNumber(number("C-1001")));
    let tag = "customer-number:C-1001".into();
    given.when(&support(), of_number).then([AuditRead { account: None, identity: None, tag }]);
}

#[test]
fn r25_no_key_without_the_scope_and_no_worker_reads_histories() {
    for caller in [operator(), back_office(), worker(), link_holder()] {
        Given::robin_linked().when(&caller, of_harbour()).then_refused(Refusal::ScopeMissing);
    }
    let at_the_command_line = Caller::new(Actor::Cli("operator".into()));
    Given::robin_linked().when(&at_the_command_line, of_harbour()).then_types(["AuditRead"]);
}

#[test]
fn a_read_of_the_history_disturbs_no_decision() {
    let read = Given::served();
    let tag = read.state(HARBOUR).professional(SAM).unwrap().changed_by.unwrap();
    let given = read.and(&staff(Scope::Auditor), of_harbour());
    given.when_read(tag, &person(ROBINS), delete(SAM)).then_last("ProfessionalDeleted");
}
