//! Erasure: R27.

use domain::account::Account;
use domain::command::Command;
use domain::event::*;
use domain::ids::{AppointmentId, IdentityId, InvitationId};
use domain::invitation::Link;
use domain::mail::MailOutcome;
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::words::{AccountKind, Scope};

use super::commands::*;
use super::harness::*;

fn erased(invitations: &[InvitationId], appointments: &[AppointmentId]) -> Event {
    let (invitations, appointments) = (invitations.to_vec(), appointments.to_vec());
    ProfessionalErased { account: HARBOUR, professional: SAM, invitations, appointments }.into()
}

fn identity_erased(identity: IdentityId) -> Event {
    IdentityErased { identity, access_requests: vec![], accounts: vec![] }.into()
}

/// Sam accepted `link(SECOND, 1)` with an identity that has signed in.
fn sam() -> Given {
    Given::robin_linked()
        .and_served()
        .and(&worker(), register(SAMS))
        .and(&support(), add_and_invite(SAM, SECOND))
        .and(&person(SAMS), accept(link(SECOND, 1), SAMS))
}

fn cancelled(invitation: InvitationId) -> Event {
    let mail = link_mail(link(invitation, 1));
    let (invitation, reason) = (Some(invitation), CancelReason::Erased);
    MailCancelled { account: HARBOUR, professional: SAM, invitation, mail, attempt: 0, reason }.into()
}

#[test]
fn r27_who_is_erased_is_deleted_first_and_every_mail_is_cancelled() {
    let given = sam().and(&person(ROBINS), send(SAM, THIRD)).and(&pilot(), propose(APPOINTMENT, SAM, None));
    let mut expected = vec![
        revoked(THIRD, SAM, 1, RevocationReason::ProfessionalDeleted),
        unlinked(SAM, SAMS),
        ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn),
        deleted(SAM),
    ];
    let mut mails = [SECOND, THIRD].map(|invitation| (link_mail(link(invitation, 1)), cancelled(invitation)));
    mails.sort_by_key(|(mail, _)| *mail);
    expected.extend(mails.map(|(_, event)| event));
    expected.extend([erased(&[SECOND, THIRD], &[APPOINTMENT]), identity_erased(SAMS)]);
    let given = given.when(&support(), erase(SAM, &[SAMS])).then(expected);
    given.when(&support(), erase(SAM, &[SAMS])).then_nothing();
}

#[test]
fn r27_who_was_deleted_long_ago_is_erased() {
    let given = sam().and(&person(ROBINS), delete(SAM));
    given.when(&support(), erase(SAM, &[SAMS])).then([
        cancelled(SECOND),
        erased(&[SECOND], &[]),
        identity_erased(SAMS),
    ]);
}

#[test]
fn r27_only_support_erases() {
    for caller in [back_office(), operator(), staff(Scope::Auditor), person(ROBINS), person(SAMS), pilot(), worker()] {
        sam().when(&caller, erase(SAM, &[SAMS])).then_refused(Refusal::ScopeMissing);
    }
    sam().when(&support(), erase(KIM, &[])).then_refused(Refusal::UnknownProfessional);
    Given::nothing().when(&support(), erase(SAM, &[])).then_refused(Refusal::UnknownAccount);
}

#[test]
fn r4_r5_an_administrator_or_role_holder_hands_over_before_erasure() {
    let given = sam();
    let given = given.when(&support(), erase(ROBIN, &[ROBINS]));
    let given = given.then_blocked_with("deletion_blocked");
    assert_eq!(given, 4);
    let last = Given::robin_linked().when(&support(), erase(ROBIN, &[ROBINS]));
    last.then_blocked("deletion_blocked", &[("last_professional", "POST close")]);
    let given = sam().and(&person(ROBINS), hand_over(ROBIN, SAM));
    given.when(&support(), erase(ROBIN, &[ROBINS])).then_last("ProfessionalErased");
}

#[test]
fn r7_erasure_is_possible_in_a_closed_account() {
    let given = sam().and(&support(), close(HARBOUR));
    let given = given.when(&support(), erase(SAM, &[SAMS])).then_last("IdentityErased");
    given.when(&support(), erase(ROBIN, &[ROBINS])).then_last("ProfessionalErased");
}

/// Sam's identity has a profile in Quarry, too.
fn with_another_profile() -> Given {
    sam().and(&back_office(), open(QUARRY, "P-1002", AccountKind::Partner)).and_linked(QUARRY, KIM, SAMS)
}

#[test]
fn r27_an_identity_that_another_profile_has_stays() {
    let given = with_another_profile();
    let given = given.when(&support(), erase(SAM, &[SAMS])).then_last("ProfessionalErased");
    // It goes with its last profile.
    let in_quarry = Command::ErasePerson { account: QUARRY, professional: KIM, identities: vec![SAMS] };
    let given = given.and(&support(), Command::CloseAccount { account: QUARRY });
    given.when(&support(), in_quarry).then_last("IdentityErased");
}

#[test]
fn r27_an_identity_that_lost_its_other_profile_goes_when_it_is_asked_for_again() {
    let given = with_another_profile().and(&support(), erase(SAM, &[SAMS]));
    let unlink = Command::UnlinkIdentity { account: QUARRY, professional: KIM };
    let given = given.and(&person(SAMS), unlink);
    let given = given.when(&support(), erase(SAM, &[SAMS])).then([identity_erased(SAMS)]);
    given.when(&support(), erase(SAM, &[SAMS])).then_nothing();
}

#[test]
fn r27_an_identity_that_was_not_known_at_first_is_erased_when_it_is_named() {
    let given = sam().when(&support(), erase(SAM, &[])).then_last("ProfessionalErased");
    let given = given.when(&support(), erase(SAM, &[SAMS])).then([identity_erased(SAMS)]);
    given.when(&support(), erase(SAM, &[SAMS, SAMS])).then_nothing();
}

#[test]
fn r27_an_identity_is_erased_once_however_often_it_is_named() {
    let mut given = sam();
    let events = given.execute(&support(), &erase(SAM, &[SAMS, SAMS])).unwrap();
    assert_eq!(events.iter().filter(|event| **event == identity_erased(SAMS)).count(), 1);
}

#[test]
fn r27_an_identity_that_was_replaced_is_erased_with_the_person() {
    let given = sam().and(&worker(), register(STRANGERS)).and(&person(ROBINS), send(SAM, THIRD));
    let mut given = given.and(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS));
    let events = given.execute(&support(), &erase(SAM, &[SAMS, STRANGERS])).unwrap();
    assert_eq!(events[events.len() - 2..], [identity_erased(SAMS), identity_erased(STRANGERS)]);
}

#[test]
fn r27_nobody_elses_identity_is_erased_with_a_person() {
    let given = sam().and(&worker(), register(ROBINS)).and(&worker(), register(STRANGERS));
    // Robin's is another's, the stranger's has no profile at all, and Mate's never signed in here.
    let mut given = given;
    let events = given.execute(&support(), &erase(SAM, &[ROBINS, STRANGERS, MATES])).unwrap();
    assert!(events.iter().all(|event| event.name() != "IdentityErased"));
}

#[test]
fn r27_the_new_profile_of_somebody_who_was_deleted_keeps_the_identity() {
    let given = sam().and(&person(ROBINS), delete(SAM)).and_linked(HARBOUR, KIM, SAMS);
    given.when(&support(), erase(SAM, &[SAMS])).then_last("ProfessionalErased");
}

/// Everything of a state that is personal is in this text.
fn text_of(account: &Account) -> String {
    let people = account.professionals.values().map(|it| (it.name.clone(), it.address.clone()));
    let wishes = account.access_requests.values().filter_map(|it| it.details.clone());
    let names = people.filter_map(|(name, address)| Some((name?, address?)));
    let names = names.chain(wishes.map(|details| (details.name, details.address)));
    names.map(|(name, address)| format!("{} {};", name.as_str(), address.as_str())).collect()
}

#[test]
fn r27_the_open_wishes_of_an_erased_identity_end_in_every_account() {
    // The stranger asked to be added as Kim, here and in Quarry, and became Sam here by an invitation.
    let in_quarry = |wish| match wish {
        Command::RequestAccess { identity, details, language, .. } => {
            Command::RequestAccess { account: QUARRY, access_request: SECOND_WISH, identity, details, language }
        }
        Command::ApproveAccessRequest { professional, new, .. } => {
            Command::ApproveAccessRequest { account: QUARRY, access_request: SECOND_WISH, professional, new }
        }
        other => other,
    };
    let given = Given::robin_linked().and(&back_office(), open(QUARRY, "P-1002", AccountKind::Partner));
    let given = given.and(&worker(), register(STRANGERS)).and(&person(STRANGERS), ask(WISH, STRANGERS));
    let given = given.and(&person(STRANGERS), in_quarry(ask(SECOND_WISH, STRANGERS)));
    let given = given.and(&support(), add_and_invite(SAM, SECOND));
    let mut given = given.and(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    for account in [HARBOUR, QUARRY] {
        assert!(text_of(&given.state(account)).contains("Kim Keel"));
    }
    let events = given.execute(&support(), &erase(SAM, &[STRANGERS])).unwrap();
    let (access_requests, accounts) = (vec![WISH, SECOND_WISH], vec![HARBOUR, QUARRY]);
    let expected: Event = IdentityErased { identity: STRANGERS, access_requests, accounts }.into();
    assert_eq!(events.last(), Some(&expected));
    for account in [HARBOUR, QUARRY] {
        assert!(!text_of(&given.state(account)).contains("Kim Keel"));
        assert_eq!(given.known()[&Subject::Account(account)], given.refolded(&Subject::Account(account)));
    }
    for command in [approve(WISH, KIM, THIRD), in_quarry(approve(SECOND_WISH, KIM, THIRD))] {
        given.clone().when(&support(), command).then_refused(Refusal::UnknownAccessRequest);
    }
}

#[test]
fn r27_erasing_writes_nothing_personal() {
    let given = sam().and(&person(SAMS), change_address(SAM, "sam@shore.example"));
    let mut given = given.and(&person(ROBINS), send(SAM, THIRD));
    let events = given.execute(&support(), &erase(SAM, &[SAMS])).unwrap();
    assert!(events.iter().all(|event| event.personal().is_none()));
    assert!(!text_of(&given.state(HARBOUR)).contains("sam@"));
    // The notice to the former address is not sent any more.
    assert!(given.state(HARBOUR).mails.values().all(|mail| mail.professional != SAM));
}

#[test]
fn r27_nothing_happens_to_somebody_who_was_erased() {
    let mail = link_mail(link(THIRD, 1));
    let given = sam().and(&person(ROBINS), send(SAM, THIRD)).and(&worker(), attempt(mail));
    let given = given.and(&support(), erase(SAM, &[SAMS]));
    let outcome = MailOutcome::Sent { reply: "250 sam@harbour.example".into() };
    let (account, professional, attempt, jitter_permille) = (HARBOUR, SAM, 1, 0);
    let late = Command::RecordMailOutcome { account, professional, mail, attempt, outcome, jitter_permille };
    let given = given.when(&worker(), late).then_refused(Refusal::MailNotWaiting);
    let given = given.when(&support(), bounce(SAM, mail)).then_refused(Refusal::UnknownMail);
    let given = given.when(&link_holder(), visit(link(THIRD, 1))).then_nothing();
    let third = Link { account: HARBOUR, invitation: THIRD, generation: 1 };
    let given = given.when(&person(SAMS), accept(third, SAMS)).then_refused(Refusal::IdentityErased);
    given.when(&support(), add(SAM)).then_refused(Refusal::IdInUse);
}

#[test]
fn r27_an_identity_without_a_profile_is_erased_by_itself() {
    let erase = || Command::EraseIdentity { identity: STRANGERS };
    let given = Given::robin_linked().and(&person(STRANGERS), register(STRANGERS));
    given.clone().when(&operator(), erase()).then_refused(Refusal::ScopeMissing);
    given.clone().when(&support(), Command::EraseIdentity { identity: SAMS }).then_refused(Refusal::UnknownIdentity);
    let erased = IdentityErased { identity: STRANGERS, access_requests: vec![], accounts: vec![] };
    let given = given.when(&support(), erase()).then([erased]);
    given.when(&support(), erase()).then_nothing();
}

#[test]
fn r27_an_identity_with_a_profile_is_not_erased_by_itself() {
    let given = Given::robin_linked().and(&person(ROBINS), register(ROBINS));
    given.when(&support(), Command::EraseIdentity { identity: ROBINS }).then_refused(Refusal::IdentityHasProfiles);
}
