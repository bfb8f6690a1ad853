//! Invitations: generations, expiry, revocation, acceptance, the proof of the mailbox, freezing.

use domain::event::{
    Event, IdentityAssociated, InvitationIssued, InvitationRevoked, MailboxCodeIssued, MailboxProof, RevocationReason,
};
use domain::invitation::{CODE_LIFETIME, CODES_MAX, Lifetime, LifetimeOutOfBounds, Link, Mailbox};
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{AccountKind, Authority};

use super::harness::*;

/// Whatever a link is used for once it is opened.
fn uses(of: Link) -> [domain::command::Command; 3] {
    [click(of, FLOW), issue_code(of, ROBINS), accept(of, ROBINS)]
}

#[test]
fn r9_a_resend_makes_the_next_generation_of_the_open_invitation() {
    let given = Given::robin_invited().after(Millis::days(1));
    let next = issued(link(FIRST, 2), ROBIN, start() + Millis::days(8));
    let given = given.when(&support(), send(ROBIN, SECOND)).then([next]);
    given.when(&support(), send(ROBIN, SECOND)).then([issued(link(FIRST, 3), ROBIN, start() + Millis::days(8))]);
}

#[test]
fn r9_an_older_link_is_superseded() {
    let given = Given::robin_invited().and(&support(), send(ROBIN, SECOND));
    for command in uses(link(FIRST, 1)) {
        given.clone().when(&person(ROBINS), command).then_refused(Refusal::InvitationSuperseded);
    }
    given.when(&person(ROBINS), accept(link(FIRST, 2), ROBINS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r9_a_resend_after_expiry_opens_the_invitation_again() {
    let given = Given::robin_invited().after(Millis::days(8)).and(&support(), send(ROBIN, SECOND));
    given.when(&person(ROBINS), accept(link(FIRST, 2), ROBINS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r9_an_ended_invitation_is_followed_by_another() {
    let revoked = Given::robin_invited().and(&support(), revoke(FIRST));
    let given = revoked.when(&support(), send(ROBIN, SECOND)).then_types(["InvitationIssued"]);
    assert_eq!(given.state(HARBOUR).invitation(SECOND).unwrap().generation, 1);
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::InvitationRevoked);

    let accepted = Given::robin_linked();
    let expected = issued(link(SECOND, 1), ROBIN, start() + Millis::days(7));
    let by = Some(Authority::Administrator);
    accepted.when(&person(ROBINS), send(ROBIN, SECOND)).then([InvitationIssued { by, ..expected }]);
}

#[test]
fn r10_the_newest_link_ties_an_identity_to_the_professional() {
    let given = Given::robin_invited();
    let given =
        given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then([associated(link(FIRST, 1), ROBIN, ROBINS)]);
    assert_eq!(given.state(HARBOUR).by_identity.get(&ROBINS), Some(&ROBIN));
}

#[test]
fn r10_an_invitation_is_accepted_at_most_once() {
    for command in [accept(link(FIRST, 1), STRANGERS), issue_code(link(FIRST, 1), STRANGERS)] {
        Given::robin_linked().when(&person(STRANGERS), command).then_refused(Refusal::AlreadyUsed);
    }
    Given::robin_linked().when(&link_holder(), click(link(FIRST, 1), FLOW)).then_refused(Refusal::AlreadyUsed);
}

#[test]
fn r10_t19_an_expired_link_is_refused_from_its_last_moment_on() {
    let last_moment = Given::robin_invited().after(Millis(Millis::days(7).0 - 1));
    last_moment.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_types(["IdentityAssociated"]);
    let expired = Given::robin_invited().after(Millis::days(7));
    for command in uses(link(FIRST, 1)) {
        expired.clone().when(&person(ROBINS), command).then_refused(Refusal::InvitationExpired);
    }
}

#[test]
fn r10_t19_a_link_expired_stays_expired_when_the_clock_is_set_back() {
    let given = Given::robin_invited().after(Millis::days(8)).and(&support(), add(SAM)).after(Millis::days(-8));
    assert_eq!(given.clock(), start());
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::InvitationExpired);
}

#[test]
fn r10_a_revoked_link_is_refused() {
    let given = Given::robin_invited().and(&support(), revoke(FIRST));
    for command in uses(link(FIRST, 1)) {
        given.clone().when(&person(ROBINS), command).then_refused(Refusal::InvitationRevoked);
    }
}

#[test]
fn revoking_names_the_newest_generation_and_is_done_once() {
    let given = Given::robin_invited().and(&support(), send(ROBIN, SECOND));
    let given = given.when(&support(), revoke(FIRST)).then([InvitationRevoked {
        account: HARBOUR,
        professional: ROBIN,
        invitation: FIRST,
        generation: 2,
        reason: RevocationReason::Asked,
    }]);
    let given = given.when(&support(), revoke(FIRST)).then_nothing();
    given.when(&support(), revoke(SECOND)).then_refused(Refusal::UnknownInvitation);
    Given::robin_linked().when(&person(ROBINS), revoke(FIRST)).then_refused(Refusal::AlreadyUsed);
}

#[test]
fn accepting_again_with_the_same_identity_is_a_success_without_events() {
    let given = Given::robin_linked();
    let given = given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_nothing();
    let given = given.when(&person(ROBINS), issue_code(link(FIRST, 1), ROBINS)).then_nothing();
    // Whatever time and plan say by then, and without another proof.
    let given = given.and(&back_office(), set_plan(HARBOUR, None)).after(Millis::days(30));
    given.when(&person(ROBINS), accept_by(link(FIRST, 1), ROBINS, Mailbox::Unproved)).then_nothing();
}

#[test]
fn of_two_identities_that_accept_at_once_the_first_wins() {
    let given = Given::robin_invited().and(&person(STRANGERS), accept(link(FIRST, 1), STRANGERS));
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::AlreadyUsed);
}

#[test]
fn the_same_identity_on_two_profiles_of_one_account_is_refused() {
    let given = Given::robin_linked().and(&support(), add_and_invite(SAM, SECOND));
    for command in [accept(link(SECOND, 1), ROBINS), issue_code(link(SECOND, 1), ROBINS)] {
        given.clone().when(&person(ROBINS), command).then_refused(Refusal::IdentityAlreadyInAccount);
    }
}

#[test]
fn r12_one_identity_is_associated_in_many_accounts() {
    let given = Given::robin_linked()
        .and(&back_office(), open(QUARRY, "P-1002", AccountKind::Partner))
        .and(&support(), add_with(QUARRY, KIM, details_of(ROBIN), Some(new_link(SECOND))));
    let there = Link { account: QUARRY, ..link(SECOND, 1) };
    given.when(&person(ROBINS), accept(there, ROBINS)).then([associated(there, KIM, ROBINS)]);
}

#[test]
fn r15_an_unproved_mailbox_is_refused() {
    let given = Given::robin_invited();
    given
        .when(&person(ROBINS), accept_by(link(FIRST, 1), ROBINS, Mailbox::Unproved))
        .then_refused(Refusal::MailboxCodeRequired);
}

#[test]
fn r15_a_code_from_the_registered_mailbox_proves_it_under_another_address() {
    Given::robin_invited()
        .when(&person(ROBINS), accept_by(link(FIRST, 1), ROBINS, Mailbox::CodeEntered))
        .then([IdentityAssociated { proof: MailboxProof::Code, ..associated(link(FIRST, 1), ROBIN, ROBINS) }]);
}

#[test]
fn r15_t9_a_trusted_address_proves_the_mailbox_only_if_it_is_the_registered_one() {
    let trusted = |text| accept_by(link(FIRST, 1), ROBINS, Mailbox::TrustedAddress(address(text)));
    let given = Given::robin_invited();
    for other in ["sam@harbour.example", "robin@quarry.example", "robin+1@harbour.example"] {
        given.clone().when(&person(ROBINS), trusted(other)).then_refused(Refusal::MailboxCodeRequired);
    }
    given.when(&person(ROBINS), trusted("Robin@HARBOUR.example")).then([IdentityAssociated {
        proof: MailboxProof::TrustedAddress,
        ..associated(link(FIRST, 1), ROBIN, ROBINS)
    }]);
}

#[test]
fn r15_a_code_goes_to_the_registered_mailbox_for_ten_minutes() {
    assert_eq!(CODE_LIFETIME, Millis::minutes(10));
    Given::robin_invited().when(&person(ROBINS), issue_code(link(FIRST, 1), ROBINS)).then([MailboxCodeIssued {
        account: HARBOUR,
        professional: ROBIN,
        invitation: FIRST,
        generation: 1,
        flow: FLOW,
        number: 1,
        expires_at: start() + Millis::minutes(10),
        code_key: "2026-11".into(),
        mail: code_mail(link(FIRST, 1), 1),
    }]);
}

#[test]
fn r15_a_generation_has_five_codes() {
    assert_eq!(CODES_MAX, 5);
    let given = Given::robin_invited().and_times(4, &person(ROBINS), &issue_code(link(FIRST, 1), ROBINS));
    let given = given.when(&person(ROBINS), issue_code(link(FIRST, 1), ROBINS)).then_types(["MailboxCodeIssued"]);
    let given =
        given.when(&person(ROBINS), issue_code(link(FIRST, 1), ROBINS)).then_refused(Refusal::MailboxCodesUsedUp);
    // Five codes are five mails.
    assert_eq!(given.state(HARBOUR).mails.len(), 1 + 5);
    let given = given.and(&support(), send(ROBIN, SECOND));
    given.when(&person(ROBINS), issue_code(link(FIRST, 2), ROBINS)).then_types(["MailboxCodeIssued"]);
}

#[test]
fn r20_nobody_is_invited_without_a_current_plan() {
    let ended = Given::robin().after(Millis::days(365));
    let not_yet = {
        let next_year = plan(start() + Millis::days(365), Millis::days(365));
        Given::robin().and(&back_office(), set_plan(HARBOUR, Some(next_year)))
    };
    let none = Given::robin().and(&back_office(), set_plan(HARBOUR, None));
    for given in [ended, not_yet, none] {
        given.when(&support(), send(ROBIN, FIRST)).then_refused(Refusal::NoServicePlan);
    }
    let last_moment = Given::robin().after(Millis(Millis::days(365).0 - 1));
    last_moment.when(&support(), send(ROBIN, FIRST)).then_types(["InvitationIssued"]);
}

#[test]
fn r20_open_invitations_freeze_when_the_plan_ends_and_thaw_when_it_is_renewed() {
    let given = Given::robin_invited().and(&back_office(), set_plan(HARBOUR, None));
    for command in uses(link(FIRST, 1)) {
        given.clone().when(&person(ROBINS), command).then_refused(Refusal::InvitationFrozen);
    }
    let renewed = given.after(Millis::days(6));
    let renewed = renewed.and(&back_office(), set_plan(HARBOUR, Some(plan(start(), Millis::days(90)))));
    for command in uses(link(FIRST, 1)) {
        assert_ne!(renewed.clone().execute(&person(ROBINS), &command), Ok(vec![]));
    }
    let renewed_too_late = renewed.after(Millis::days(1));
    renewed_too_late.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::InvitationExpired);
}

#[test]
fn r20_an_invitation_freezes_at_the_plans_last_moment() {
    let five_days = plan(start(), Millis::days(5));
    let given = Given::robin_invited().and(&back_office(), set_plan(HARBOUR, Some(five_days)));
    let given = given.after(Millis(Millis::days(5).0 - 1));
    given.clone().when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_types(["IdentityAssociated"]);
    let given = given.after(Millis(1));
    given.when(&person(ROBINS), accept(link(FIRST, 1), ROBINS)).then_refused(Refusal::InvitationFrozen);
}

#[test]
fn t19_a_link_works_for_an_hour_at_least_and_thirty_days_at_most() {
    assert_eq!(Lifetime::hours(0), Err(LifetimeOutOfBounds));
    assert_eq!(Lifetime::hours(721), Err(LifetimeOutOfBounds));
    assert_eq!(Lifetime::hours(7 * 24), Ok(Lifetime::DEFAULT));
    for hours in [1, 720] {
        let mut new = new_link(FIRST);
        new.lifetime = Lifetime::hours(hours).unwrap();
        let send = domain::command::Command::SendInvitation { account: HARBOUR, professional: ROBIN, new };
        let expected: Event = issued(link(FIRST, 1), ROBIN, start() + Millis::hours(hours)).into();
        Given::robin().when(&support(), send).then([expected]);
    }
}

#[test]
fn r25_every_event_names_its_actor_its_request_and_its_account() {
    let given = Given::robin_linked();
    assert_eq!(given.log.last().unwrap().actor, person(ROBINS).actor);
    for recorded in &given.log {
        assert_eq!(recorded.event.about().account, Some(HARBOUR));
        assert!(recorded.event.tags().iter().any(|tag| tag.to_string() == format!("account:{HARBOUR}")));
    }
}
