//! Operators send failed invitations again: always on the state of now. And the budget of everybody else's sends.

use domain::invitation::{SENDS_MAX, SENDS_WINDOW};
use domain::mail::MailOutcome;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::Scope;

use super::commands::*;
use super::harness::*;

const KIMS: &str = "kim@harbour.example";

/// Harbour with Robin, who is linked, and Kim, whose mail was refused for good.
fn failed() -> Given {
    let mail = link_mail(link(SECOND, 1));
    let outcome = MailOutcome::Refused { code: Some(550), reply: "550 no such user".into() };
    let record = domain::command::Command::RecordMailOutcome {
        account: HARBOUR,
        professional: KIM,
        mail,
        attempt: 1,
        outcome,
        jitter_permille: 0,
    };
    let given = Given::robin_linked().and_served().and(&person(ROBINS), add_and_invite(KIM, SECOND));
    given.and(&worker(), attempt(mail)).and(&worker(), record)
}

#[test]
fn a_retry_is_the_next_generation_to_the_registered_address() {
    for caller in [operator(), support(), back_office(), person(ROBINS), pilot()] {
        let given = failed().when(&caller, retry(KIM, SECOND, THIRD)).then_types(["InvitationIssued"]);
        let found = given.state(HARBOUR).invitation(SECOND).unwrap().clone();
        // Whoever retries, the right that it was issued with stays.
        assert_eq!((found.generation, found.may_replace), (2, true));
        given.when(&worker(), attempt(link_mail(link(SECOND, 2)))).then_types(["MailAttempted"]);
    }
}

#[test]
fn a_retry_corrects_the_address_and_begins_another_invitation() {
    let given = failed().when(&operator(), retry_at(KIM, SECOND, "kim@quay.example", THIRD)).then_types([
        "ProfessionalEdited",
        "InvitationRevoked",
        "NoticeIssued",
        "InvitationIssued",
    ]);
    assert_eq!(given.state(HARBOUR).professional(KIM).unwrap().address, Some(address("kim@quay.example")));
    let given =
        given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
    given.when(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS)).then_types(["IdentityAssociated"]);
}

#[test]
fn a_retry_with_the_address_that_is_registered_already_changes_no_address() {
    for same in [KIMS, "KIM@harbour.example"] {
        failed().when(&operator(), retry_at(KIM, SECOND, same, THIRD)).then_types(["InvitationIssued"]);
    }
    let taken = failed().when(&operator(), retry_at(KIM, SECOND, "robin@harbour.example", THIRD));
    taken.then_refused(Refusal::address_already_in_account(ROBIN));
}

#[test]
fn t65_a_retry_never_reaches_somebody_who_was_deleted() {
    let given = failed().and(&person(ROBINS), delete(KIM));
    for command in [retry(KIM, SECOND, THIRD), retry_at(KIM, SECOND, "kim@quay.example", THIRD)] {
        given.clone().when(&operator(), command).then_refused(Refusal::ProfessionalDeleted);
    }
}

#[test]
fn t65_a_retry_of_what_was_revoked_or_changed_meanwhile_is_refused() {
    let revoked = failed().and(&person(ROBINS), revoke(SECOND));
    let moved = failed().and(&person(ROBINS), change_address(KIM, "kim@quay.example"));
    for given in [revoked, moved] {
        given.when(&operator(), retry(KIM, SECOND, THIRD)).then_refused(Refusal::InvitationRevoked);
    }
}

#[test]
fn of_a_retry_and_an_acceptance_at_once_whoever_commits_first_wins() {
    let accepted = failed().and(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    accepted.when(&operator(), retry(KIM, SECOND, THIRD)).then_refused(Refusal::AlreadyAssociated);
    let retried = failed().and(&operator(), retry(KIM, SECOND, THIRD));
    retried.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationSuperseded);
}

#[test]
fn a_profile_that_is_linked_is_retried_only_where_the_invitation_may_replace() {
    let without = Given::robin_and_sam_linked().and(&person(SAMS), send(SAM, SECOND));
    without.when(&operator(), retry(SAM, SECOND, THIRD)).then_refused(Refusal::AlreadyAssociated);
    let with = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, SECOND));
    with.when(&operator(), retry(SAM, SECOND, THIRD)).then_types(["InvitationIssued"]);
}

#[test]
fn a_retry_after_expiry_works_again() {
    let given = failed().after(Millis::days(7)).and(&operator(), retry(KIM, SECOND, THIRD));
    given.when(&person(STRANGERS), accept(link(SECOND, 2), STRANGERS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r6_who_retries() {
    let refused = [
        (staff(Scope::Auditor), Refusal::ScopeMissing),
        (person(SAMS), Refusal::NotAdministrator), // not even one's own
        (person(STRANGERS), Refusal::UnknownAccount),
        (partner_person(MATES), Refusal::UnknownAccount),
        (worker(), Refusal::UnknownAccount),
    ];
    for (caller, refusal) in refused {
        let given = Given::served().and(&person(SAMS), send(SAM, SECOND));
        for command in [retry(SAM, SECOND, THIRD), retry_at(SAM, SECOND, "evil@quay.example", THIRD)] {
            given.clone().when(&caller, command).then_refused(refusal.clone());
        }
    }
}

#[test]
fn r6_no_retry_reaches_an_administrator_who_has_had_an_identity() {
    let given = Given::served().and(&person(ROBINS), send(ROBIN, SECOND));
    for caller in [operator(), support(), back_office(), pilot()] {
        for command in [retry(ROBIN, SECOND, THIRD), retry_at(ROBIN, SECOND, "evil@quay.example", THIRD)] {
            given.clone().when(&caller, command).then_refused(Refusal::AdministratorOutOfReach);
        }
    }
}

#[test]
fn r27_a_corrected_address_is_sealed_for_the_person_whom_the_invitation_is_for() {
    let given = failed().and(&support(), add(SAM));
    for nobody in [SAM, ROBIN, PILOT] {
        let command = retry_at(nobody, SECOND, "kim@quay.example", THIRD);
        given.clone().when(&operator(), command).then_refused(Refusal::UnknownInvitation);
    }
    given.when(&operator(), retry(KIM, FOURTH, THIRD)).then_refused(Refusal::UnknownInvitation);
}

#[test]
fn nobody_is_sent_more_than_twenty_links_a_day_by_the_accounts_people() {
    assert_eq!((SENDS_MAX, SENDS_WINDOW), (20, Millis::hours(24)));
    let given = Given::served().and_times(19, &person(ROBINS), &send(SAM, SECOND));
    let given = given.when(&pilot(), send(SAM, SECOND)).then_types(["InvitationIssued"]);
    for caller in [person(ROBINS), pilot(), person(SAMS)] {
        let edited = change_address_and_send(SAM, "sam@shore.example", THIRD);
        for command in [send(SAM, SECOND), edited, retry(SAM, SECOND, THIRD)] {
            if (&caller, &command) == (&person(SAMS), &retry(SAM, SECOND, THIRD)) {
                continue; // nobody retries their own
            }
            given.clone().when(&caller, command).then_refused(Refusal::SendsUsedUp);
        }
    }
    // Another person has another budget, staff spends none, and a day later there is a new one.
    given.clone().when(&person(ROBINS), send(ROBIN, THIRD)).then_types(["InvitationIssued"]);
    given.clone().when(&operator(), send(SAM, SECOND)).then_types(["InvitationIssued"]);
    given.after(SENDS_WINDOW).when(&person(ROBINS), send(SAM, SECOND)).then_types(["InvitationIssued"]);
}

#[test]
fn staff_spends_nobodys_budget() {
    let given = Given::served().and_times(25, &operator(), &send(SAM, SECOND));
    let given = given.and_times(5, &worker(), &associate(SAM, STRANGERS, "sam@harbour.example", THIRD));
    given.when(&person(ROBINS), send(SAM, SECOND)).then_types(["InvitationIssued"]);
}

#[test]
fn t38_who_may_not_retry_cannot_tell_which_invitations_there_are() {
    for (caller, refusal) in
        [(person(STRANGERS), Refusal::UnknownAccount), (staff(Scope::Auditor), Refusal::ScopeMissing)]
    {
        for (professional, invitation) in [(KIM, SECOND), (ROBIN, SECOND), (KIM, FOURTH)] {
            failed().when(&caller, retry(professional, invitation, THIRD)).then_refused(refusal.clone());
        }
    }
}
