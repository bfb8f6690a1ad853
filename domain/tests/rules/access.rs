//! People who come by themselves: the association page (R13, R14) and wishes to be added (R23).

use domain::access::{ACCESS_REQUESTS_MAX, ASSOCIATION_LIFETIME};
use domain::event::*;
use domain::ids::{AccessRequestId, IdentityId, InvitationId};
use domain::invitation::{Lifetime, Mailbox};
use domain::personal::ProfessionalDetails;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{Authority, Language, Role, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

const KIMS: &str = "kim@harbour.example";

/// Harbour with Robin, who is linked, and Kim, who is not and was not invited.
fn kim_uninvited() -> Given {
    Given::robin_linked().and(&support(), add(KIM))
}

fn asked_for() -> Given {
    kim_uninvited().and(&worker(), associate(KIM, STRANGERS, KIMS, SECOND))
}

/// The link that the identity asked for.
fn bound(generation: u32, at: domain::time::Timestamp) -> InvitationIssued {
    InvitationIssued {
        by: Some(Authority::Association),
        may_replace: false,
        bound_to: Some(STRANGERS),
        expires_at: at + Millis::hours(24),
        ..issued(link(SECOND, generation), KIM, at)
    }
}

#[test]
fn r13_a_link_for_a_living_professional_with_the_typed_address_is_mailed() {
    assert_eq!(ASSOCIATION_LIFETIME, Lifetime::hours(24).unwrap());
    let given = kim_uninvited().when(&worker(), associate(KIM, STRANGERS, "KIM@Harbour.Example", SECOND));
    given.then([bound(1, start())]);
}

#[test]
fn r13_whatever_is_found_the_answer_is_the_same() {
    let none = |given: Given, professional, at: &str| {
        given.when(&worker(), associate(professional, STRANGERS, at, SECOND)).then_nothing();
    };
    none(kim_uninvited(), SAM, KIMS); // nobody
    none(kim_uninvited(), KIM, "kim@quarry.example"); // another address
    none(kim_uninvited().and(&support(), change_address(KIM, "kim@quay.example")), KIM, KIMS); // no longer
    none(kim_uninvited().and(&support(), delete(KIM)), KIM, KIMS);
    none(kim_uninvited().and(&back_office(), set_plan(HARBOUR, None)), KIM, KIMS);
    none(kim_uninvited().and(&support(), close(HARBOUR)), KIM, KIMS);
    none(kim_uninvited().and_linked(HARBOUR, SAM, STRANGERS), KIM, KIMS); // has a profile there
    none(Given::nothing(), KIM, KIMS);
}

#[test]
fn r13_a_profile_that_is_linked_to_this_identity_gets_no_mail() {
    let given = Given::robin_and_sam_linked();
    given.when(&worker(), associate(SAM, SAMS, "sam@harbour.example", SECOND)).then_nothing();
}

#[test]
fn r13_a_profile_that_is_linked_to_another_identity_gets_a_mail_that_replaces_nothing() {
    let given = Given::robin_and_sam_linked().and(&worker(), associate(SAM, STRANGERS, "sam@harbour.example", SECOND));
    let command = accept_by(link(SECOND, 1), STRANGERS, Mailbox::Unproved);
    given.when(&person(STRANGERS), command).then_refused(Refusal::AssociationExists);
}

#[test]
fn r14_only_the_identity_that_asked_completes_its_link_and_without_a_code() {
    for command in [accept(link(SECOND, 1), SAMS), issue_code(link(SECOND, 1), SAMS)] {
        asked_for().when(&person(SAMS), command).then_refused(Refusal::LinkOfAnotherIdentity);
    }
    asked_for().when(&person(STRANGERS), issue_code(link(SECOND, 1), STRANGERS)).then_nothing();
    let accepted =
        asked_for().when(&person(STRANGERS), accept_by(link(SECOND, 1), STRANGERS, Mailbox::Unproved)).then([
            IdentityAssociated { proof: MailboxProof::AssociationLink, ..associated(link(SECOND, 1), KIM, STRANGERS) },
        ]);
    accepted.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_nothing();
}

#[test]
fn r9_asking_again_makes_the_next_generation() {
    let given = asked_for().after(Millis::hours(1));
    let now = given.clock();
    let given = given.when(&worker(), associate(KIM, STRANGERS, KIMS, THIRD)).then([bound(2, now)]);
    let given = given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    let given = given.then_refused(Refusal::InvitationSuperseded);
    given.when(&person(STRANGERS), accept(link(SECOND, 2), STRANGERS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r14_each_identity_has_a_link_of_its_own_and_the_first_one_ends_the_others() {
    let given = asked_for().and(&worker(), associate(KIM, SAMS, KIMS, THIRD)).and(&support(), send(KIM, FOURTH));
    let given = given.when(&person(SAMS), accept_by(link(THIRD, 1), SAMS, Mailbox::Unproved)).then([
        IdentityAssociated { proof: MailboxProof::AssociationLink, ..associated(link(THIRD, 1), KIM, SAMS) }.into(),
        revoked(SECOND, KIM, 1, RevocationReason::AnotherAccepted),
        revoked(FOURTH, KIM, 1, RevocationReason::AnotherAccepted),
    ]);
    given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
}

#[test]
fn asking_leaves_the_invitation_of_the_accounts_people_alone() {
    let given =
        kim_uninvited().and(&support(), send(KIM, FOURTH)).and(&worker(), associate(KIM, STRANGERS, KIMS, SECOND));
    // A re-send goes on with their own.
    let given = given.and(&person(ROBINS), send(KIM, THIRD));
    assert_eq!(given.state(HARBOUR).invitation(FOURTH).unwrap().generation, 2);
    given.when(&person(SAMS), accept(link(FOURTH, 2), SAMS)).then_last("InvitationRevoked");
}

#[test]
fn t19_a_link_of_the_association_page_works_for_24_hours_whoever_renews_it() {
    let last_moment = asked_for().after(Millis(Millis::hours(24).0 - 1));
    last_moment.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_types(["IdentityAssociated"]);
    let expired = asked_for().after(Millis::hours(24));
    let expired = expired.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    let expired = expired.then_refused(Refusal::InvitationExpired);
    let now = expired.clock();
    let renewals = [(link_holder(), request_latest(link(SECOND, 1))), (operator(), retry(KIM, SECOND, THIRD))];
    for (caller, command) in renewals {
        let given = expired.clone().and(&caller, command);
        let state = given.state(HARBOUR);
        let found = state.invitation(SECOND).unwrap();
        assert_eq!((found.expires_at, found.bound_to), (now + Millis::hours(24), Some(STRANGERS)));
        assert!(!found.may_replace);
    }
}

#[test]
fn r16_another_address_revokes_what_was_asked_for_at_the_old_one() {
    let given = asked_for().and(&support(), change_address(KIM, "kim@quay.example"));
    given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
}

#[test]
fn what_one_association_request_left_out_is_recorded_for_support() {
    let limited = domain::command::Command::RecordAssociationLimit { identity: STRANGERS, left_out: 7 };
    let event = AssociationMailsLimited { identity: STRANGERS, left_out: 7 };
    Given::nothing().when(&worker(), limited).then([event]);
}

// R23.

fn wished() -> Given {
    Given::served().and(&person(STRANGERS), ask(WISH, STRANGERS))
}

#[test]
fn r23_people_ask_to_be_added() {
    Given::robin_linked().when(&person(STRANGERS), ask(WISH, STRANGERS)).then([AccessRequested {
        account: HARBOUR,
        access_request: WISH,
        identity: STRANGERS,
        language: Language::German,
        details: Some(details_of(KIM)),
    }]);
    Given::nothing().when(&person(STRANGERS), ask(WISH, STRANGERS)).then_refused(Refusal::UnknownAccount);
}

#[test]
fn r23_who_has_asked_or_has_a_profile_asks_for_nothing_new() {
    wished().when(&person(STRANGERS), ask(SECOND_WISH, STRANGERS)).then_nothing();
    wished().when(&person(SAMS), ask(SECOND_WISH, SAMS)).then_nothing();
    wished().when(&person(PILOTS), ask(WISH, PILOTS)).then_refused(Refusal::IdInUse);
    // Once answered, the person may ask again.
    let given = wished().and(&person(ROBINS), decline(WISH));
    given.when(&person(STRANGERS), ask(SECOND_WISH, STRANGERS)).then_types(["AccessRequested"]);
}

#[test]
fn r23_an_account_keeps_a_hundred_open_wishes_and_answers_all_alike() {
    let ids =
        |number| (AccessRequestId(Uuid::from_u128(0x8100 + number)), IdentityId(Uuid::from_u128(0xc800 + number)));
    let full = (0..ACCESS_REQUESTS_MAX as u128).map(ids).fold(Given::robin_linked(), |given, (wish, identity)| {
        given.when(&person(identity), ask(wish, identity)).then_types(["AccessRequested"])
    });
    let full = full.when(&person(STRANGERS), ask(WISH, STRANGERS)).then_nothing();
    let given = full.and(&person(ROBINS), decline(ids(0).0));
    given.when(&person(STRANGERS), ask(WISH, STRANGERS)).then_types(["AccessRequested"]);
}

#[test]
fn r23_approving_adds_and_invites_in_one_append() {
    for (caller, by, partner) in [
        (person(ROBINS), Authority::Administrator, None),
        (pilot(), Authority::Partner, Some(LIGHTHOUSE)),
        (support(), Authority::Staff, None),
    ] {
        let issued = issued(link(SECOND, 1), KIM, start() + Millis::days(7));
        let given = wished().when(&caller, approve(WISH, KIM, SECOND)).then([
            ProfessionalAdded { language: Language::German, ..added(KIM) }.into(),
            InvitationIssued { by: Some(by), partner, ..issued }.into(),
            Event::from(AccessRequestApproved { account: HARBOUR, professional: KIM, access_request: WISH }),
        ]);
        let given = given.when(&caller, approve(WISH, KIM, THIRD)).then_refused(Refusal::UnknownAccessRequest);
        given.when(&caller, decline(WISH)).then_refused(Refusal::UnknownAccessRequest);
    }
}

#[test]
fn r23_declining_ends_the_wish() {
    for caller in [person(ROBINS), pilot(), support()] {
        let declined = AccessRequestDeclined { account: HARBOUR, access_request: WISH };
        let given = wished().when(&caller, decline(WISH)).then([declined]);
        given.when(&caller, approve(WISH, KIM, SECOND)).then_refused(Refusal::UnknownAccessRequest);
    }
}

#[test]
fn r23_nobody_else_answers_a_wish() {
    let refused = [
        (person(SAMS), Refusal::NotAdministrator),
        (person(STRANGERS), Refusal::UnknownAccount), // not the one who asks
        (partner_person(MATES), Refusal::UnknownAccount),
        (operator(), Refusal::ScopeMissing),
        (staff(Scope::Auditor), Refusal::ScopeMissing),
    ];
    for (caller, refusal) in refused {
        for command in [approve(WISH, KIM, SECOND), decline(WISH), decline(SECOND_WISH)] {
            wished().when(&caller, command).then_refused(refusal.clone());
        }
    }
}

#[test]
fn r23_approving_obeys_the_rules_of_adding() {
    let given = wished().and(&support(), add(KIM));
    let twice = given.when(&person(ROBINS), approve(WISH, SAM, SECOND));
    twice.then_refused(Refusal::IdInUse);
    let other = domain::ids::ProfessionalId(Uuid::from_u128(0xbf));
    let given = wished().and(&support(), add(KIM));
    given.when(&person(ROBINS), approve(WISH, other, SECOND)).then_refused(Refusal::address_already_in_account(KIM));
    let used = wished().and(&person(ROBINS), send(SAM, SECOND));
    used.when(&person(ROBINS), approve(WISH, KIM, SECOND)).then_refused(Refusal::IdInUse);
}

#[test]
fn r2_whoever_is_approved_first_becomes_administrator() {
    let given = Given::account().and(&person(STRANGERS), ask(WISH, STRANGERS));
    let given = given.and(&support(), approve(WISH, KIM, SECOND));
    assert_eq!(given.roles_of(KIM).len(), Role::ALL.len());
}

#[test]
fn r15_who_asked_still_proves_the_mailbox() {
    // The address of a wish is only typed, so that approving gives its identity nothing by itself.
    let given = wished().and(&person(ROBINS), approve(WISH, KIM, SECOND));
    let unproved = accept_by(link(SECOND, 1), STRANGERS, Mailbox::Unproved);
    given.when(&person(STRANGERS), unproved).then_refused(Refusal::MailboxCodeRequired);
}

#[test]
fn r23_a_wish_whose_details_were_erased_is_declined_but_not_approved() {
    let given = wished();
    let mut state = given.state(HARBOUR);
    let details: &mut Option<ProfessionalDetails> = &mut state.access_requests.get_mut(&WISH).unwrap().details;
    *details = None;
    let decided = |command| super::commands::decided_on(&state, &person(ROBINS), command);
    assert_eq!(decided(approve(WISH, KIM, InvitationId(Uuid::nil()))), Err(Refusal::AccessRequestErased));
    assert_eq!(decided(decline(WISH)).unwrap().len(), 1);
}
