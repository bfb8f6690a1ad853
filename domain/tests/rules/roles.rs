//! Roles: R3 (an administrator always), R5 (mandatory roles move), and R6 and R21 about who gives them.

use domain::caller::Caller;
use domain::event::RevocationReason;
use domain::ids::{IdentityId, ProfessionalId};
use domain::refusal::Refusal;
use domain::words::{Role, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

const UNHELD: &str = "mandatory_role_unheld";

#[test]
fn r5_assigning_a_mandatory_role_moves_it() {
    for role in Role::MANDATORY {
        let given = Given::robin_and_sam_linked();
        let given = given.when(&person(ROBINS), give(SAM, role)).then([moved(role, Some(ROBIN), SAM)]);
        assert_eq!(given.roles_of(SAM), [role]);
        assert_eq!(given.state(HARBOUR).standing.contacts.len(), 3, "each role has one holder");
        given.when(&person(ROBINS), give(ROBIN, role)).then([moved(role, Some(SAM), ROBIN)]);
    }
}

#[test]
fn r5_a_mandatory_role_that_somebody_holds_already_changes_nothing() {
    for role in Role::MANDATORY {
        Given::robin_linked().when(&person(ROBINS), give(ROBIN, role)).then_nothing();
    }
}

#[test]
fn r5_a_mandatory_role_is_moved_and_never_taken() {
    for role in Role::MANDATORY {
        let given = Given::robin_and_sam_linked();
        let way_out = format!("PUT roles/{role}/{{another professional}}");
        let given = given.when(&person(ROBINS), take(ROBIN, role)).then_blocked(UNHELD, &[(UNHELD, &way_out)]);
        // Who does not hold it loses nothing.
        given.when(&person(ROBINS), take(SAM, role)).then_nothing();
    }
}

#[test]
fn r5_only_a_living_professional_of_the_account_holds_a_role() {
    let given = Given::served().and(&support(), add(KIM)).and(&person(ROBINS), delete(KIM));
    for role in Role::ALL {
        for nobody in [KIM, PILOT, ProfessionalId(Uuid::nil())] {
            given.clone().when(&person(ROBINS), give(nobody, *role)).then_refused(Refusal::UnknownProfessional);
            given.clone().when(&person(ROBINS), take(nobody, *role)).then_refused(Refusal::UnknownProfessional);
        }
    }
}

#[test]
fn r3_an_administrator_makes_another_one_and_takes_the_role_away_again() {
    let given = Given::robin_and_sam_linked();
    let given = given.when(&person(ROBINS), promote(SAM)).then([moved(Role::Administrator, None, SAM)]);
    let given = given.when(&person(ROBINS), promote(SAM)).then_nothing();
    let given = given.when(&person(SAMS), add(KIM)).then_types(["ProfessionalAdded"]);
    let given = given.when(&person(ROBINS), demote(SAM)).then([taken(SAM)]);
    let given = given.when(&person(ROBINS), demote(SAM)).then_nothing();
    given.when(&person(SAMS), delete(KIM)).then_refused(Refusal::NotAdministrator);
}

#[test]
fn r3_the_last_administrator_is_not_demoted() {
    let given = Given::robin_and_sam_linked();
    let given = given.when(&person(ROBINS), demote(ROBIN)).then_blocked(
        "last_administrator",
        &[("last_administrator", "PUT roles/administrator/{another professional}")],
    );
    // Once somebody else is one, it goes.
    given.and(&person(ROBINS), promote(SAM)).when(&person(ROBINS), demote(ROBIN)).then([taken(ROBIN)]);
}

#[test]
fn r3_of_two_administrators_who_both_step_down_at_once_the_second_stays() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), promote(SAM)).and(&person(ROBINS), demote(ROBIN));
    given.when(&person(SAMS), demote(SAM)).then_blocked(
        "last_administrator",
        &[("last_administrator", "PUT roles/administrator/{another professional}")],
    );
}

#[test]
fn r3_of_two_administrators_who_demote_each_other_at_once_the_second_is_refused() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), promote(SAM)).and(&person(ROBINS), demote(SAM));
    let given = given.when(&person(SAMS), demote(ROBIN)).then_refused(Refusal::NotAdministrator);
    assert_eq!(given.state(HARBOUR).standing.administrators, [ROBIN].into());
}

fn of_crew(number: u128) -> (ProfessionalId, IdentityId) {
    (ProfessionalId(Uuid::from_u128(0xb100 + number)), IdentityId(Uuid::from_u128(0xc100 + number)))
}

#[test]
fn r3_of_sixteen_administrators_who_demote_each_other_at_least_one_stays() {
    let crowd = (0..16).map(of_crew).fold(Given::robin_linked(), |given, (professional, identity)| {
        given.and_linked(HARBOUR, professional, identity).and(&person(ROBINS), promote(professional))
    });
    let crowd = crowd.and(&person(ROBINS), demote(ROBIN));
    // Each demotes the one `stride` seats on, one after the other, as the log orders them.
    for stride in 1..16 {
        let mut given = crowd.clone();
        for number in 0..16 {
            let ((_, identity), (whom, _)) = (of_crew(number), of_crew((number + stride) % 16));
            let result = given.execute(&person(identity), &demote(whom));
            let is_administrator = !matches!(result, Err(Refusal::NotAdministrator));
            assert!(result.is_ok() || !is_administrator || result.unwrap_err().code() == "last_administrator");
            assert!(!given.state(HARBOUR).standing.administrators.is_empty());
        }
    }
    // By somebody outside the race everybody but the last one goes.
    let mut given = crowd.and(&person(of_crew(0).1), promote(ROBIN));
    for number in 0..16 {
        given = given.when(&person(ROBINS), demote(of_crew(number).0)).then([taken(of_crew(number).0)]);
    }
    assert_eq!(given.when(&person(ROBINS), demote(ROBIN)).then_blocked_with("last_administrator"), 1);
}

#[test]
fn somebody_without_an_identity_may_be_promoted() {
    let given = Given::robin_linked().and(&person(ROBINS), add(KIM));
    given.when(&person(ROBINS), promote(KIM)).then([moved(Role::Administrator, None, KIM)]);
}

#[test]
fn r6_who_is_no_administrator_gives_and_takes_no_role() {
    let given = Given::served();
    let as_robin = Caller { acting_as: Some(ROBIN), ..person(SAMS) };
    let refused = [
        (person(SAMS), Refusal::NotAdministrator),
        (as_robin, Refusal::NotYourProfile),
        (person(STRANGERS), Refusal::UnknownAccount),
        (person(PILOTS), Refusal::UnknownAccount),
        (partner_person(MATES), Refusal::UnknownAccount),
        (worker(), Refusal::UnknownAccount),
        (link_holder(), Refusal::UnknownAccount),
        (operator(), Refusal::ScopeMissing),
        (staff(Scope::Auditor), Refusal::ScopeMissing),
    ];
    for (caller, refusal) in refused {
        for role in Role::ALL {
            given.clone().when(&caller, give(SAM, *role)).then_refused(refusal.clone());
            given.clone().when(&caller, take(ROBIN, *role)).then_refused(refusal.clone());
        }
    }
}

#[test]
fn r6_partners_and_support_move_mandatory_roles() {
    for caller in [support(), pilot()] {
        let given = Given::served();
        given.when(&caller, give(SAM, Role::BillingContact)).then([moved(Role::BillingContact, Some(ROBIN), SAM)]);
    }
}

#[test]
fn r21_partners_and_support_promote_nobody_past_an_administrator_who_has_had_an_identity() {
    let linked = Given::served();
    let untied = linked.clone().and(&person(ROBINS), unlink(ROBIN));
    for given in [linked, untied] {
        for caller in [support(), back_office(), pilot()] {
            given
                .clone()
                .when(&caller, promote(SAM))
                .then_blocked("appointment_needed", &[("appointment_needed", "POST administrator-appointments")]);
        }
    }
}

#[test]
fn r6_partners_and_support_promote_while_no_administrator_has_had_an_identity() {
    for caller in [support(), pilot()] {
        let given = Given::robin_invited().and(&support(), add(SAM)).and_served();
        let given = given.when(&caller, promote(SAM)).then([moved(Role::Administrator, None, SAM)]);
        given.when(&caller, demote(ROBIN)).then([taken(ROBIN)]);
    }
}

#[test]
fn r6_partners_and_support_demote_no_administrator_who_has_had_an_identity() {
    let given = Given::served().and(&person(ROBINS), promote(SAM)).and(&person(ROBINS), add(KIM));
    let given = given.and(&person(ROBINS), promote(KIM)).and(&person(SAMS), unlink(SAM));
    for caller in [support(), back_office(), pilot()] {
        for settled in [ROBIN, SAM] {
            given.clone().when(&caller, demote(settled)).then_refused(Refusal::AdministratorOutOfReach);
        }
        // Kim never had one.
        given.clone().when(&caller, demote(KIM)).then([taken(KIM)]);
    }
}

#[test]
fn r6_who_is_promoted_is_out_of_the_reach_of_the_invitations_that_outsiders_sent() {
    for caller in [support(), pilot()] {
        let given = Given::served().and(&caller, send(SAM, SECOND));
        let given = given
            .when(&person(ROBINS), promote(SAM))
            .then([moved(Role::Administrator, None, SAM), revoked(SECOND, SAM, 1, RevocationReason::Promoted)]);
        given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
    }
}

#[test]
fn r6_promoting_leaves_the_invitations_of_the_accounts_own_people_open() {
    for caller in [person(ROBINS), person(SAMS)] {
        let given = Given::served().and(&caller, send(SAM, SECOND));
        given.when(&person(ROBINS), promote(SAM)).then([moved(Role::Administrator, None, SAM)]);
    }
}

#[test]
fn r6_what_an_outsider_sent_again_is_revoked_by_a_promotion_whoever_began_it() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND)).and(&pilot(), send(SAM, SECOND));
    given
        .when(&person(ROBINS), promote(SAM))
        .then([moved(Role::Administrator, None, SAM), revoked(SECOND, SAM, 2, RevocationReason::Promoted)]);
}

#[test]
fn r6_who_never_had_an_identity_keeps_the_invitation_when_promoted() {
    let given = Given::served().and(&pilot(), add_and_invite(KIM, SECOND));
    let given = given.when(&person(ROBINS), promote(KIM)).then([moved(Role::Administrator, None, KIM)]);
    given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_types(["IdentityAssociated"]);
}

#[test]
fn r6_after_a_promotion_no_outsider_invites_or_edits_the_new_administrator() {
    let given = Given::served().and(&person(ROBINS), promote(SAM));
    for caller in [support(), back_office(), pilot()] {
        let commands = [
            send(SAM, SECOND),
            change_address(SAM, "evil@lighthouse.example"),
            change_address_and_send(SAM, "evil@lighthouse.example", SECOND),
            unlink(SAM),
            hand_over(SAM, ROBIN),
        ];
        for command in commands {
            given.clone().when(&caller, command).then_refused(Refusal::AdministratorOutOfReach);
        }
    }
    // A demoted one is within reach again.
    let given = given.and(&person(ROBINS), demote(SAM));
    given.when(&pilot(), send(SAM, SECOND)).then_types(["InvitationIssued"]);
}
