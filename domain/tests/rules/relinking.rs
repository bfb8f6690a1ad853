//! R11: replacing the identity of a professional.

use domain::event::{Event, IdentityAssociated, InvitationIssued, Notice, NoticeIssued, NoticeTo};
use domain::ids::{InvitationId, MailId};
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::Scope;
use uuid::Uuid;

use super::harness::*;

const THIRD: InvitationId = InvitationId(Uuid::from_u128(0xd3));

/// Whether the invitation that the caller sends Sam, who has an identity, may replace it.
fn may_replace(given: Given, caller: &domain::caller::Caller) -> bool {
    let mut given = given;
    match &given.execute(caller, &send(SAM, THIRD)).unwrap()[..] {
        [Event::InvitationIssued(InvitationIssued { may_replace, .. })] => *may_replace,
        other => panic!("{other:?}"),
    }
}

#[test]
fn r11_accepting_with_another_identity_replaces_the_one_before() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, THIRD));
    // The old one works until then.
    assert_eq!(given.state(HARBOUR).by_identity.get(&SAMS), Some(&SAM));
    let given = given
        .when(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS))
        .then(replaced(IdentityAssociated { from: Some(SAMS), ..associated(link(THIRD, 1), SAM, STRANGERS) }));
    let state = given.state(HARBOUR);
    assert_eq!(state.by_identity.get(&STRANGERS), Some(&SAM));
    assert_eq!(state.by_identity.get(&SAMS), None);
    assert_eq!(state.professional(SAM).unwrap().identity, Some(STRANGERS));
    let tags = given.log[given.log.len() - 4].event.subjects();
    assert_eq!(tags.len(), 3, "the account and both identities");
}

/// The association, and the notices to the registered address and to those of both identities.
fn replaced(associated: IdentityAssociated) -> Vec<Event> {
    let (account, professional, from) = (associated.account, associated.professional, associated.from.unwrap());
    let places = [NoticeTo::Registered, NoticeTo::Identity(from), NoticeTo::Identity(associated.to)];
    let notices = places.into_iter().enumerate().map(|(place, to)| {
        let (notice, mail) = (Notice::IdentityReplaced, MailId::of_notice(associated.invitation.0, place));
        NoticeIssued { account, professional, notice, to, appointment: None, mail, address: None }.into()
    });
    std::iter::once(associated.clone().into()).chain(notices).collect()
}

#[test]
fn r11_an_identity_that_was_replaced_may_be_associated_again() {
    let given = Given::robin_and_sam_linked()
        .and(&person(ROBINS), send(SAM, THIRD))
        .and(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS))
        .and(&support(), add_and_invite(KIM, SECOND));
    given.when(&person(SAMS), accept(link(SECOND, 1), SAMS)).then([associated(link(SECOND, 1), KIM, SAMS)]);
}

#[test]
fn r11_the_first_link_is_used_once_its_identity_was_replaced() {
    let given = Given::robin_linked()
        .and(&person(ROBINS), send(ROBIN, SECOND))
        .and(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS));
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::AlreadyUsed);
}

#[test]
fn r11_an_administrator_and_support_give_the_right_to_replace() {
    assert!(may_replace(Given::robin_and_sam_linked(), &person(ROBINS)));
    assert!(may_replace(Given::robin_and_sam_linked(), &support()));
}

#[test]
fn r11_operators_and_the_back_office_do_not_give_the_right_to_replace() {
    for scope in [Scope::Operator, Scope::BackOffice] {
        assert!(!may_replace(Given::robin_and_sam_linked(), &staff(scope)));
    }
}

#[test]
fn r11_a_person_gives_the_right_to_replace_within_five_minutes_of_a_sign_in() {
    let given = Given::robin_and_sam_linked();
    let signed_in = |ago: Millis| person_signed_in_at(SAMS, start() + Millis(-ago.0));
    assert!(may_replace(given.clone(), &signed_in(Millis(0))));
    assert!(may_replace(given.clone(), &signed_in(Millis::minutes(5))));
    assert!(!may_replace(given.clone(), &signed_in(Millis(Millis::minutes(5).0 + 1))));
    assert!(!may_replace(given, &person(SAMS)));
}

#[test]
fn r11_a_sign_in_far_in_the_future_is_not_fresh() {
    // A clock that was set back would otherwise keep every session fresh; clocks of two nodes may differ a little.
    let given = Given::robin_and_sam_linked();
    assert!(may_replace(given.clone(), &person_signed_in_at(SAMS, start() + Millis::minutes(5))));
    assert!(!may_replace(given, &person_signed_in_at(SAMS, start() + Millis(Millis::minutes(5).0 + 1))));
}

#[test]
fn r11_an_invitation_without_the_right_does_not_replace() {
    let given = Given::robin_and_sam_linked().and(&person(SAMS), send(SAM, THIRD));
    for command in [accept(link(THIRD, 1), STRANGERS), issue_code(link(THIRD, 1), STRANGERS)] {
        given.clone().when(&person(STRANGERS), command).then_refused(Refusal::AssociationExists);
    }
    // The administrator's re-send has the right.
    let given = given.and(&person(ROBINS), send(SAM, THIRD));
    given.when(&person(STRANGERS), accept(link(THIRD, 2), STRANGERS)).then_types([
        "IdentityAssociated",
        "NoticeIssued",
        "NoticeIssued",
        "NoticeIssued",
    ]);
}

#[test]
fn r11_an_invitation_keeps_the_right_that_it_was_issued_with() {
    // Else the holder of the old identity could take it away again by a re-send, and an operator's retry would lose it.
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, THIRD));
    assert!(may_replace(given.clone(), &person(SAMS)));
    assert!(may_replace(given.clone(), &operator()));
    // A new invitation starts without.
    let given = given.and(&person(ROBINS), revoke(THIRD));
    let again = given.when(&person(SAMS), send(SAM, SECOND)).then_types(["InvitationIssued"]);
    assert!(!again.state(HARBOUR).invitation(SECOND).unwrap().may_replace);
}

#[test]
fn r11_the_next_link_after_expiry_has_the_right_of_the_one_before_and_no_more() {
    for (sender, expected) in [(person(ROBINS), true), (person(SAMS), false)] {
        let given = Given::robin_and_sam_linked().and(&sender, send(SAM, THIRD)).after(Millis::days(7));
        let given = given.and(&link_holder(), request_latest(link(THIRD, 1)));
        let invitation = given.state(HARBOUR).invitation(THIRD).unwrap().clone();
        assert_eq!((invitation.generation, invitation.may_replace), (2, expected));
    }
}

#[test]
fn r11_accepting_with_the_identity_that_is_there_already_leaves_the_invitation_open() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, THIRD));
    let given = given.when(&person(SAMS), accept(link(THIRD, 1), SAMS)).then_nothing();
    given.when(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS)).then_types([
        "IdentityAssociated",
        "NoticeIssued",
        "NoticeIssued",
        "NoticeIssued",
    ]);
}
