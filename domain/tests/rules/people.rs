//! Adding people: the first one, the others, their addresses.

use domain::account::{Account, Standing};
use domain::caller::{Context, Request};
use domain::decide::{Known, Past, State, decide};
use domain::event::Event;
use domain::ids::{InvitationId, ProfessionalId};
use domain::refusal::Refusal;
use domain::tag::Subject;
use domain::time::Millis;
use domain::words::{AccountKind, Role};
use uuid::Uuid;

use super::harness::*;

#[test]
fn r1_nobody_is_added_to_an_account_that_was_never_opened() {
    Given::nothing().when(&support(), add(ROBIN)).then_refused(Refusal::UnknownAccount);
    Given::account()
        .when(&support(), add_with(QUARRY, ROBIN, details_of(ROBIN), None))
        .then_refused(Refusal::UnknownAccount);
}

#[test]
fn r2_the_first_professional_becomes_administrator_and_holds_the_mandatory_roles() {
    let expected: [Event; 5] = [
        added(ROBIN).into(),
        role_given(ROBIN, Role::Administrator).into(),
        role_given(ROBIN, Role::BillingContact).into(),
        role_given(ROBIN, Role::CustomerCareContact).into(),
        role_given(ROBIN, Role::ShippingContact).into(),
    ];
    let given = Given::account().when(&support(), add(ROBIN)).then(expected);
    let standing = given.state(HARBOUR).standing;
    assert!(standing.administrators.contains(&ROBIN));
    assert_eq!(standing.contacts, Role::MANDATORY.map(|role| (role, ROBIN)).into());
}

#[test]
fn r2_of_two_people_who_are_added_first_the_second_is_an_ordinary_professional() {
    let given = Given::robin().when(&support(), add(SAM)).then([added(SAM)]);
    assert!(!given.state(HARBOUR).standing.administrators.contains(&SAM));
}

/// An account whose events, by whatever mistake, left it in this standing.
fn decided_on(standing: Standing) -> Result<Vec<Event>, Refusal> {
    let of_harbour = Subject::Account(HARBOUR);
    let account = Account { standing, ..Given::robin().state(HARBOUR) };
    let known = Known { state: State::Account(Box::new(account)), newest_at: start() };
    let past: Past<'_> = [(&of_harbour, &known)].into_iter().collect();
    let request = Request { id: Uuid::nil(), key: None, body: None, if_match: None };
    decide(&past, &set_plan(HARBOUR, None), &Context { now: start(), caller: back_office(), request })
}

#[test]
fn r3_t41_no_command_leaves_people_without_an_administrator() {
    let sound = Given::robin().state(HARBOUR).standing;
    assert!(decided_on(sound.clone()).is_ok());
    let broken = Standing { administrators: [].into(), ..sound };
    assert_eq!(decided_on(broken).unwrap_err().code(), "last_administrator");
}

#[test]
fn r5_no_command_leaves_a_mandatory_role_without_a_holder() {
    for role in Role::MANDATORY {
        let mut broken = Given::robin().state(HARBOUR).standing;
        broken.contacts.remove(&role);
        let refusal = decided_on(broken).unwrap_err();
        assert_eq!(refusal.code(), "mandatory_role_unheld");
        assert!(refusal.blockers()[0].message.contains(role.as_str()));
    }
}

#[test]
fn r8_a_professional_may_exist_uninvited() {
    let given = Given::robin().when(&support(), add(SAM)).then_types(["ProfessionalAdded"]);
    assert!(given.state(HARBOUR).invitations.is_empty());
}

#[test]
fn r8_an_invitation_is_sent_with_the_addition_if_it_is_asked_for() {
    let expected: [Event; 2] = [added(SAM).into(), issued(link(FIRST, 1), SAM, start() + Millis::days(7)).into()];
    Given::robin().when(&support(), add_and_invite(SAM, FIRST)).then(expected);
}

#[test]
fn r20_adding_with_an_invitation_and_no_plan_is_refused_whole() {
    let given = Given::robin().and(&back_office(), set_plan(HARBOUR, None));
    let given = given.when(&support(), add_and_invite(SAM, FIRST)).then_refused(Refusal::NoServicePlan);
    assert_eq!(given.state(HARBOUR).standing.people, 1);
    given.when(&support(), add(SAM)).then_types(["ProfessionalAdded"]);
}

#[test]
fn r20_a_partner_account_invites_without_a_plan() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "P-1", AccountKind::Partner));
    let added = given.when(&support(), add_and_invite(ROBIN, FIRST));
    added.then_types(["ProfessionalAdded", "RoleGiven", "RoleGiven", "RoleGiven", "RoleGiven", "InvitationIssued"]);
}

#[test]
fn the_same_address_twice_in_one_account_is_refused_and_names_who_has_it() {
    let twice = add_with(HARBOUR, SAM, details("Sam Sands", "ROBIN@Harbour.example"), None);
    let given = Given::robin().when(&support(), twice.clone()).then_refused(Refusal::address_already_in_account(ROBIN));
    assert_eq!(Refusal::address_already_in_account(ROBIN).blockers()[0].professional, Some(ROBIN));
    // Who may not see the existing professional learns nothing of it.
    given.when(&person(STRANGERS), twice).then_refused(Refusal::UnknownAccount);
}

#[test]
fn the_same_address_in_another_account_is_legal() {
    let given = Given::robin().and(&back_office(), open(QUARRY, "C-1002", AccountKind::Customer));
    let again = add_with(QUARRY, SAM, details_of(ROBIN), None);
    given.when(&support(), again).then_types(["ProfessionalAdded", "RoleGiven", "RoleGiven", "RoleGiven", "RoleGiven"]);
}

#[test]
fn an_id_in_use_names_nothing_new() {
    let same_professional = add_with(HARBOUR, ROBIN, details_of(SAM), None);
    Given::robin().when(&support(), same_professional).then_refused(Refusal::IdInUse);
    Given::robin_invited().when(&support(), add_and_invite(SAM, FIRST)).then_refused(Refusal::IdInUse);
    let given = Given::robin_invited().and(&support(), add(SAM));
    given.when(&support(), send(SAM, FIRST)).then_refused(Refusal::IdInUse);
}

#[test]
fn a_professional_who_is_not_in_the_account_is_not_invited() {
    Given::robin().when(&support(), send(SAM, FIRST)).then_refused(Refusal::UnknownProfessional);
    let nobody = ProfessionalId(Uuid::nil());
    Given::robin_linked()
        .when(&person(ROBINS), send(nobody, InvitationId(Uuid::nil())))
        .then_refused(Refusal::UnknownProfessional);
}

#[test]
fn an_identity_becomes_known_once() {
    let given = Given::nothing().when(&person(ROBINS), register(ROBINS)).then_types(["IdentityRegistered"]);
    let given = given.when(&person(ROBINS), register(ROBINS)).then_nothing();
    given.when(&person(SAMS), register(SAMS)).then_types(["IdentityRegistered"]);
}
