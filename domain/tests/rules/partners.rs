//! Partners: R22 (only while they serve) and R6 (only through their administrators).

use domain::caller::Caller;
use domain::command::Command;
use domain::event::*;
use domain::ids::{AccountId, InvitationId};
use domain::invitation::Link;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{AccountKind, Authority, Role, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

/// Another partner account.
const BEACON: AccountId = AccountId(Uuid::from_u128(0xa4));

/// Everything that a partner may do to Harbour's people.
fn wishes() -> Vec<Command> {
    vec![
        add(KIM),
        add_and_invite(KIM, THIRD),
        send(SAM, THIRD),
        change_address(SAM, "sam@shore.example"),
        delete(SAM),
        give(SAM, Role::BillingContact),
        unlink(SAM),
        approve(WISH, KIM, THIRD),
        decline(WISH),
        propose(APPOINTMENT, SAM, None),
    ]
}

fn served() -> Given {
    Given::served().and(&person(STRANGERS), ask(WISH, STRANGERS))
}

#[test]
fn r22_a_partner_acts_while_it_serves_the_account() {
    let before = Given::robin_and_sam_linked().and(&person(STRANGERS), ask(WISH, STRANGERS)).and_lighthouse();
    let serving = before.clone().and(&support(), assign(LIGHTHOUSE));
    let after = serving.clone().and(&support(), remove(LIGHTHOUSE));
    for command in wishes() {
        before.clone().when(&pilot(), command.clone()).then_refused(Refusal::UnknownAccount);
        assert_ne!(serving.clone().execute(&pilot(), &command).unwrap(), [], "{}", command.name());
        after.clone().when(&pilot(), command).then_refused(Refusal::UnknownAccount);
    }
}

#[test]
fn r22_only_administrators_of_the_partner_act_for_it() {
    for command in wishes() {
        // An ordinary professional of the partner, somebody with no profile there, and who does not say it acts for it.
        for caller in [partner_person(MATES), partner_person(STRANGERS), person(PILOTS), person(MATES)] {
            served().when(&caller, command.clone()).then_refused(Refusal::UnknownAccount);
        }
        // A key cannot act for a partner, whatever it says.
        let key = Caller { partner: Some(LIGHTHOUSE), ..staff(Scope::Auditor) };
        served().when(&key, command.clone()).then_refused(Refusal::ScopeMissing);
        // Who is in the account without being an administrator is not lifted by naming the partner.
        served().when(&partner_person(SAMS), send(ROBIN, THIRD)).then_refused(Refusal::NotAdministrator);
    }
}

#[test]
fn r22_an_administrator_that_the_partner_lost_acts_no_more() {
    let in_lighthouse = |role| Command::GiveRole { account: LIGHTHOUSE, professional: MATE, role };
    let demote_pilot = Command::TakeRole { account: LIGHTHOUSE, professional: PILOT, role: Role::Administrator };
    let given = served().and(&person(PILOTS), in_lighthouse(Role::Administrator));
    let given = given.when(&partner_person(MATES), add(KIM)).then_types(["ProfessionalAdded"]);
    let given = given.and(&person(MATES), demote_pilot);
    given.when(&pilot(), delete(KIM)).then_refused(Refusal::UnknownAccount);
}

#[test]
fn r22_an_identity_that_the_partner_replaced_acts_no_more() {
    let invite = Command::SendInvitation { account: LIGHTHOUSE, professional: PILOT, new: new_link(FOURTH) };
    let there = Link { account: LIGHTHOUSE, invitation: FOURTH, generation: 1 };
    let given = served().and(&person(PILOTS), invite).and(&person(STRANGERS), accept(there, STRANGERS));
    let given = given.when(&pilot(), add(KIM)).then_refused(Refusal::UnknownAccount);
    given.when(&partner_person(STRANGERS), add(KIM)).then_types(["ProfessionalAdded"]);
}

#[test]
fn r7_a_closed_partner_account_acts_no_more() {
    let given = served().and(&support(), close(LIGHTHOUSE));
    for command in wishes() {
        given.clone().when(&pilot(), command).then_refused(Refusal::UnknownAccount);
    }
}

#[test]
fn r18_who_acts_as_another_profile_does_not_act_for_the_partner() {
    let acting_as = |professional| Caller { acting_as: Some(professional), ..pilot() };
    served().when(&acting_as(PILOT), add(KIM)).then_types(["ProfessionalAdded"]);
    served().when(&acting_as(MATE), add(KIM)).then_refused(Refusal::UnknownAccount);
    served().when(&acting_as(ROBIN), add(KIM)).then_refused(Refusal::UnknownAccount);
}

#[test]
fn r22_what_a_partner_sends_names_it() {
    let by = (Some(Authority::Partner), Some(LIGHTHOUSE));
    let given = served().and(&pilot(), send(SAM, SECOND));
    let state = given.state(HARBOUR);
    let found = state.invitation(SECOND).unwrap();
    assert_eq!((found.by, found.partner, found.may_replace), (by.0, by.1, true));
}

#[test]
fn r22_when_a_partner_goes_its_invitations_and_appointments_end_and_its_people_stay() {
    let given = served().and(&pilot(), add_and_invite(KIM, SECOND)).and(&person(ROBINS), send(SAM, THIRD));
    let given = given.and(&pilot(), propose(APPOINTMENT, SAM, Some(ROBIN)));
    let given = given.when(&support(), remove(LIGHTHOUSE)).then([
        PartnerRemoved { account: HARBOUR, partner: LIGHTHOUSE }.into(),
        revoked(SECOND, KIM, 1, RevocationReason::PartnerRemoved),
        ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn),
    ]);
    assert!(given.state(HARBOUR).professionals.contains_key(&KIM));
    let given =
        given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
    let given = given.when(&support(), remove(LIGHTHOUSE)).then_nothing();
    // It was the administrator's, so it stays.
    given.when(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS)).then_last("NoticeIssued");
}

#[test]
fn r22_an_invitation_of_a_partner_stays_its_own_until_an_administrator_sends_it_again() {
    let kims = || served().and(&pilot(), add_and_invite(KIM, SECOND));
    for resend in [support(), operator()] {
        let given = kims().and(&resend, send(KIM, THIRD));
        given.when(&support(), remove(LIGHTHOUSE)).then_types(["PartnerRemoved", "InvitationRevoked"]);
    }
    let given = kims().after(Millis::days(8)).and(&link_holder(), request_latest(link(SECOND, 1)));
    given.when(&support(), remove(LIGHTHOUSE)).then_types(["PartnerRemoved", "InvitationRevoked"]);
    let given = kims().and(&person(ROBINS), send(KIM, THIRD));
    given.when(&support(), remove(LIGHTHOUSE)).then_types(["PartnerRemoved"]);
}

#[test]
fn r22_another_partner_keeps_what_is_its_own() {
    let beacons = Caller { partner: Some(BEACON), ..person(SAMS) };
    let keel = InvitationId(Uuid::from_u128(0xde));
    let given = Given::robin_linked().and_served();
    let given = given.and(&back_office(), open(BEACON, "P-3002", AccountKind::Partner));
    let given = given.and_linked(BEACON, MATE, SAMS).and(&support(), assign(BEACON));
    let given = given.and(&beacons, add_and_invite(KIM, keel)).and(&support(), remove(LIGHTHOUSE));
    given.when(&person(STRANGERS), accept(link(keel, 1), STRANGERS)).then_types(["IdentityAssociated"]);
}

#[test]
fn only_an_open_partner_account_serves_a_customer_account() {
    let given =
        Given::robin_linked().and_lighthouse().and(&back_office(), open(QUARRY, "C-1002", AccountKind::Customer));
    let given = given.when(&support(), assign(QUARRY)).then_refused(Refusal::NotAPartner);
    let given = given.when(&support(), assign(HARBOUR)).then_refused(Refusal::NotAPartner);
    let given = given.when(&support(), assign(BEACON)).then_refused(Refusal::UnknownAccount);
    let of_lighthouse = |partner| Command::AssignPartner { account: LIGHTHOUSE, partner };
    for partner in [LIGHTHOUSE, HARBOUR] {
        given.clone().when(&support(), of_lighthouse(partner)).then_refused(Refusal::NotAPartner);
    }
    let assigned = given.clone().when(&support(), assign(LIGHTHOUSE));
    let assigned = assigned.then([PartnerAssigned { account: HARBOUR, partner: LIGHTHOUSE }]);
    assigned.when(&support(), assign(LIGHTHOUSE)).then_nothing();
    given.and(&support(), close(LIGHTHOUSE)).when(&support(), assign(LIGHTHOUSE)).then_refused(Refusal::NotAPartner);
}

#[test]
fn only_the_back_office_and_support_say_who_serves() {
    for caller in [back_office(), support()] {
        let given = Given::robin_linked().and_lighthouse();
        let given = given.when(&caller, assign(LIGHTHOUSE)).then_types(["PartnerAssigned"]);
        given.when(&caller, remove(LIGHTHOUSE)).then_types(["PartnerRemoved"]);
    }
    for caller in [operator(), staff(Scope::Auditor), person(ROBINS), pilot(), worker()] {
        for command in [assign(LIGHTHOUSE), remove(LIGHTHOUSE)] {
            Given::served().when(&caller, command).then_refused(Refusal::ScopeMissing);
        }
    }
}

#[test]
fn r6_a_partner_reaches_no_administrator_who_has_had_an_identity() {
    let given = served().and(&person(ROBINS), send(ROBIN, SECOND));
    for command in [send(ROBIN, THIRD), revoke(SECOND), retry(ROBIN, SECOND, THIRD)] {
        given.clone().when(&pilot(), command).then_refused(Refusal::AdministratorOutOfReach);
    }
}

#[test]
fn r22_who_administers_the_partner_and_has_a_profile_in_the_account_acts_as_what_is_more() {
    // As an ordinary professional of Harbour: for the partner.
    let given = served().and_linked(HARBOUR, KIM, PILOTS);
    let given = given.when(&person(PILOTS), send(SAM, SECOND)).then_refused(Refusal::NotAdministrator);
    let given = given.when(&pilot(), send(SAM, SECOND)).then_types(["InvitationIssued"]);
    assert_eq!(given.state(HARBOUR).invitation(SECOND).unwrap().by, Some(Authority::Partner));
    // As an administrator of Harbour: for the account, so that the invitation outlasts the partner.
    let given = given.and(&person(ROBINS), promote(KIM)).and(&pilot(), send(SAM, SECOND));
    let state = given.state(HARBOUR);
    let found = state.invitation(SECOND).unwrap();
    assert_eq!((found.by, found.partner), (Some(Authority::Administrator), None));
    given.when(&pilot(), propose(APPOINTMENT, SAM, None)).then_refused(Refusal::GiveTheRole);
}
