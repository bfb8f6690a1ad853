//! R6: who may do what.

use domain::caller::Caller;
use domain::ids::InvitationId;
use domain::refusal::Refusal;
use domain::words::{AccountKind, Scope};
use uuid::Uuid;

use super::harness::*;

const THIRD: InvitationId = InvitationId(Uuid::from_u128(0xd3));

#[test]
fn r6_an_administrator_adds_invites_and_revokes() {
    let given = Given::robin_and_sam_linked();
    let given = given.when(&person(ROBINS), add(KIM)).then_types(["ProfessionalAdded"]);
    let given = given.when(&person(ROBINS), send(KIM, THIRD)).then_types(["InvitationIssued"]);
    given.when(&person(ROBINS), revoke(THIRD)).then_types(["InvitationRevoked"]);
}

#[test]
fn r6_an_ordinary_professional_manages_nobody_else() {
    let given = Given::robin_and_sam_linked().and(&support(), add_and_invite(KIM, THIRD));
    for command in [add_and_invite(KIM, SECOND), send(KIM, SECOND), send(ROBIN, SECOND), revoke(THIRD), revoke(FIRST)] {
        given.clone().when(&person(SAMS), command).then_refused(Refusal::NotAdministrator);
    }
    // Neither what exists nor what does not is told.
    given.when(&person(SAMS), revoke(SECOND)).then_refused(Refusal::NotAdministrator);
}

#[test]
fn r6_a_professional_invites_oneself_again() {
    let given = Given::robin_and_sam_linked();
    given.when(&person(SAMS), send(SAM, THIRD)).then_types(["InvitationIssued"]);
}

#[test]
fn r6_a_professional_does_not_revoke_ones_own_invitation() {
    // Else the holder of the old identity could keep the account from ever replacing it.
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, THIRD));
    given.when(&person(SAMS), revoke(THIRD)).then_refused(Refusal::NotAdministrator);
}

#[test]
fn r6_a_foreigner_sees_no_account() {
    let quarrys = Caller::new(person(STRANGERS).actor);
    let given = Given::robin_linked()
        .and(&back_office(), open(QUARRY, "C-1002", AccountKind::Customer))
        .and(&support(), add_with(QUARRY, KIM, details_of(KIM), None));
    for command in [add(SAM), send(ROBIN, SECOND), send(SAM, SECOND), revoke(FIRST), revoke(SECOND)] {
        for caller in [quarrys.clone(), worker(), link_holder(), Caller::new(support().actor)] {
            given.clone().when(&caller, command.clone()).then_refused(Refusal::UnknownAccount);
        }
    }
}

#[test]
fn r6_support_and_the_back_office_add_and_invite() {
    for scope in [Scope::Support, Scope::BackOffice] {
        let given = Given::robin_linked();
        let given = given.when(&staff(scope), add(SAM)).then_types(["ProfessionalAdded"]);
        let given = given.when(&staff(scope), send(SAM, SECOND)).then_types(["InvitationIssued"]);
        given.when(&staff(scope), revoke(SECOND)).then_types(["InvitationRevoked"]);
    }
}

#[test]
fn r6_an_operator_sends_again_but_does_not_add() {
    let given = Given::robin_invited();
    let given = given.when(&operator(), send(ROBIN, SECOND)).then_types(["InvitationIssued"]);
    given.when(&operator(), add(SAM)).then_refused(Refusal::ScopeMissing);
}

#[test]
fn r6_an_auditor_changes_nothing() {
    for command in [add(SAM), send(ROBIN, SECOND), revoke(FIRST)] {
        Given::robin_invited().when(&staff(Scope::Auditor), command).then_refused(Refusal::ScopeMissing);
    }
}

#[test]
fn r6_an_administrator_with_an_identity_is_out_of_staffs_reach() {
    for scope in [Scope::Support, Scope::BackOffice, Scope::Operator] {
        let given = Given::robin_linked();
        let given = given.when(&staff(scope), send(ROBIN, SECOND)).then_refused(Refusal::AdministratorOutOfReach);
        let given = given.and(&person(ROBINS), send(ROBIN, SECOND));
        given.when(&staff(scope), revoke(SECOND)).then_refused(Refusal::AdministratorOutOfReach);
    }
}

#[test]
fn r6_an_administrator_without_an_identity_is_within_staffs_reach() {
    let given = Given::robin_invited().when(&support(), send(ROBIN, SECOND)).then_types(["InvitationIssued"]);
    given.when(&support(), revoke(FIRST)).then_types(["InvitationRevoked"]);
}

#[test]
fn r6_an_ordinary_professional_with_an_identity_is_within_staffs_reach() {
    Given::robin_and_sam_linked().when(&support(), send(SAM, THIRD)).then_types(["InvitationIssued"]);
}

#[test]
fn r18_who_acts_as_another_profile_is_refused() {
    let as_sam = Caller { acting_as: Some(SAM), ..person(ROBINS) };
    let as_robin = Caller { acting_as: Some(ROBIN), ..person(ROBINS) };
    let given = Given::robin_and_sam_linked();
    let given = given.when(&as_sam, add(KIM)).then_refused(Refusal::NotYourProfile);
    given.when(&as_robin, add(KIM)).then_types(["ProfessionalAdded"]);
}

#[test]
fn r11_an_identity_that_was_replaced_manages_nothing_any_more() {
    let given = Given::robin_linked()
        .and(&person(ROBINS), send(ROBIN, SECOND))
        .and(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    let given = given.when(&person(ROBINS), add(SAM)).then_refused(Refusal::UnknownAccount);
    given.when(&person(STRANGERS), add(SAM)).then_types(["ProfessionalAdded"]);
}
