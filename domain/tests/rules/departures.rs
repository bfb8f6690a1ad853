//! Who leaves: deletion with its blockers (R4, R5), hand-over, closing, and that nothing happens afterwards (R7).

use domain::command::{Command, Edit};
use domain::event::*;
use domain::ids::{IdentityId, ProfessionalId};
use domain::invitation::Mailbox;
use domain::name::AccountName;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{AccountKind, Role, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

const BLOCKED: &str = "deletion_blocked";

/// The commands that get past the mandatory roles, in their order.
fn moves() -> [String; 3] {
    Role::MANDATORY.map(|role| format!("PUT roles/{role}/{{another professional}}"))
}

#[test]
fn r4_an_administrator_cannot_be_deleted() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), promote(SAM));
    let way_out = format!("DELETE roles/administrator/{SAM}");
    let given = given.when(&person(ROBINS), delete(SAM)).then_blocked(BLOCKED, &[("is_administrator", &way_out)]);
    // The named command gets past it.
    given.and(&person(ROBINS), demote(SAM)).when(&person(ROBINS), delete(SAM)).then_last("ProfessionalDeleted");
}

#[test]
fn r4_r5_every_blocker_is_listed_with_the_command_that_gets_past_it() {
    let given = Given::robin_and_sam_linked();
    let (hand_over, [billing, care, shipping]) = (format!("POST professionals/{ROBIN}/hand-over"), moves());
    let held = "holds_mandatory_role";
    given
        .when(&person(ROBINS), delete(ROBIN))
        .then_blocked(BLOCKED, &[("is_administrator", &hand_over), (held, &billing), (held, &care), (held, &shipping)]);
}

#[test]
fn r5_a_holder_of_a_mandatory_role_cannot_be_deleted() {
    for (role, way_out) in Role::MANDATORY.into_iter().zip(moves()) {
        for caller in [person(ROBINS), support(), pilot()] {
            let given = Given::served().and(&person(ROBINS), give(SAM, role));
            let given = given.when(&caller, delete(SAM)).then_blocked(BLOCKED, &[("holds_mandatory_role", &way_out)]);
            let given = given.and(&caller, give(ROBIN, role));
            given.when(&caller, delete(SAM)).then_last("ProfessionalDeleted");
        }
    }
}

#[test]
fn the_last_professional_cannot_be_deleted() {
    for caller in [person(ROBINS), support()] {
        let given = Given::robin_linked();
        given.when(&caller, delete(ROBIN)).then_blocked(BLOCKED, &[("last_professional", "POST close")]);
    }
    Given::robin_linked().when(&support(), close(HARBOUR)).then_types(["AccountClosed"]);
}

#[test]
fn r4_who_is_deleted_loses_invitations_identity_and_appointments_in_the_same_append() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let given = given.and(&person(STRANGERS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD));
    let given = given.and(&pilot(), propose(APPOINTMENT, SAM, None));
    let given = given.when(&person(ROBINS), delete(SAM)).then([
        revoked(SECOND, SAM, 1, RevocationReason::ProfessionalDeleted),
        revoked(THIRD, SAM, 1, RevocationReason::ProfessionalDeleted),
        unlinked(SAM, SAMS),
        ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn),
        deleted(SAM),
    ]);
    let state = given.state(HARBOUR);
    assert!(
        !state.by_identity.contains_key(&SAMS) && !state.by_address.contains_key(&address("sam@harbour.example").key())
    );
}

#[test]
fn r6_administrators_partners_and_support_delete_and_nobody_else() {
    for caller in [person(ROBINS), pilot(), support(), back_office()] {
        Given::served().when(&caller, delete(SAM)).then([unlinked(SAM, SAMS), deleted(SAM)]);
    }
    let refused = [
        (person(SAMS), Refusal::NotAdministrator), // not even oneself
        (person(STRANGERS), Refusal::UnknownAccount),
        (partner_person(MATES), Refusal::UnknownAccount),
        (operator(), Refusal::ScopeMissing),
        (staff(Scope::Auditor), Refusal::ScopeMissing),
        (worker(), Refusal::UnknownAccount),
    ];
    for (caller, refusal) in refused {
        for command in [delete(SAM), delete(ROBIN), hand_over(SAM, ROBIN), hand_over(ROBIN, SAM)] {
            Given::served().when(&caller, command).then_refused(refusal.clone());
        }
    }
}

#[test]
fn handing_over_gives_every_role_and_deletes_in_one_append() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(ROBIN, SECOND));
    let given = given.when(&person(ROBINS), hand_over(ROBIN, SAM)).then([
        moved(Role::Administrator, None, SAM),
        taken(ROBIN),
        moved(Role::BillingContact, Some(ROBIN), SAM),
        moved(Role::CustomerCareContact, Some(ROBIN), SAM),
        moved(Role::ShippingContact, Some(ROBIN), SAM),
        revoked(SECOND, ROBIN, 1, RevocationReason::ProfessionalDeleted),
        unlinked(ROBIN, ROBINS),
        deleted(ROBIN),
    ]);
    let given = given.when(&person(ROBINS), add(KIM)).then_refused(Refusal::UnknownAccount);
    given.when(&person(SAMS), add(KIM)).then_types(["ProfessionalAdded"]);
}

#[test]
fn handing_over_has_the_events_of_the_single_steps() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, SECOND));
    let mut in_one = given.clone();
    let events = in_one.execute(&person(ROBINS), &hand_over(ROBIN, SAM)).unwrap();
    let mut by_steps = given.clone();
    let mut single = Vec::new();
    let steps = [promote(SAM)].into_iter().chain(Role::MANDATORY.map(|role| give(SAM, role)));
    for (step, caller) in steps.map(|step| (step, ROBINS)).chain([(demote(ROBIN), SAMS), (delete(ROBIN), SAMS)]) {
        single.extend(by_steps.execute(&person(caller), &step).unwrap());
    }
    assert_eq!(events.len(), single.len());
    assert!(events.iter().all(|event| single.contains(event)));
    assert_eq!(in_one.state(HARBOUR).standing, by_steps.state(HARBOUR).standing);
}

#[test]
fn handing_over_gives_only_what_the_other_does_not_hold() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), promote(SAM));
    let given = given.and(&person(ROBINS), give(SAM, Role::ShippingContact));
    given.when(&person(SAMS), hand_over(ROBIN, SAM)).then([
        taken(ROBIN),
        moved(Role::BillingContact, Some(ROBIN), SAM),
        moved(Role::CustomerCareContact, Some(ROBIN), SAM),
        unlinked(ROBIN, ROBINS),
        deleted(ROBIN),
    ]);
}

#[test]
fn handing_over_names_another_living_professional() {
    let given = Given::served().and(&support(), add(KIM)).and(&support(), delete(KIM));
    let given = given.when(&person(ROBINS), hand_over(ROBIN, ROBIN)).then_refused(Refusal::HandOverToOneself);
    for nobody in [KIM, PILOT, ProfessionalId(Uuid::nil())] {
        given.clone().when(&person(ROBINS), hand_over(ROBIN, nobody)).then_refused(Refusal::UnknownProfessional);
        given.clone().when(&person(ROBINS), hand_over(nobody, ROBIN)).then_refused(Refusal::UnknownProfessional);
    }
}

#[test]
fn r6_an_outsider_hands_over_for_no_administrator_who_has_had_an_identity() {
    for caller in [support(), back_office(), pilot()] {
        let given = Given::served();
        given.when(&caller, hand_over(ROBIN, SAM)).then_refused(Refusal::AdministratorOutOfReach);
        // Nor makes an administrator of somebody by handing over another one's role.
        let given = Given::served().and(&person(ROBINS), add(KIM)).and(&person(ROBINS), promote(KIM));
        given
            .when(&caller, hand_over(KIM, SAM))
            .then_blocked("appointment_needed", &[("appointment_needed", "POST administrator-appointments")]);
        // Where no administrator has had an identity, it may.
        let given = Given::robin_invited().and(&support(), add(SAM)).and_served();
        given.when(&caller, hand_over(ROBIN, SAM)).then_last("ProfessionalDeleted");
    }
}

/// Whatever names Sam.
fn commands_about_sam() -> Vec<Command> {
    let name = domain::name::PersonName::parse("Sam Shore").unwrap();
    vec![
        send(SAM, THIRD),
        edit(SAM, Edit { name: Some(name), ..Edit::default() }),
        change_address_and_send(SAM, "sam@shore.example", THIRD),
        delete(SAM),
        hand_over(SAM, ROBIN),
        hand_over(ROBIN, SAM),
        promote(SAM),
        demote(SAM),
        give(SAM, Role::BillingContact),
        take(SAM, Role::BillingContact),
        unlink(SAM),
        propose(APPOINTMENT, SAM, None),
    ]
}

#[test]
fn r7_nothing_happens_to_a_deleted_professional() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND)).and(&person(ROBINS), delete(SAM));
    for command in commands_about_sam() {
        let caller = if matches!(command, Command::ProposeAppointment { .. }) { pilot() } else { person(ROBINS) };
        given.clone().when(&caller, command).then_refused(Refusal::UnknownProfessional);
    }
    given.clone().when(&person(SAMS), send(SAM, THIRD)).then_refused(Refusal::UnknownAccount);
    let sams = link(SECOND, 1);
    for command in [click(sams, FLOW), issue_code(sams, SAMS), accept(sams, SAMS), request_latest(sams)] {
        given.clone().when(&person(SAMS), command).then_refused(Refusal::InvitationRevoked);
    }
    given.clone().when(&support(), retry(SAM, SECOND, THIRD)).then_refused(Refusal::ProfessionalDeleted);
    given.clone().when(&support(), revoke(SECOND)).then_nothing();
    given.clone().when(&person(STRANGERS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD)).then_nothing();
    given.clone().when(&person(SAMS), sign_in(SAMS)).then_nothing();
    given.when(&link_holder(), visit(sams)).then_nothing();
}

#[test]
fn who_is_deleted_and_added_again_is_a_new_professional() {
    let given = Given::robin_and_sam_linked().and(&person(ROBINS), send(SAM, SECOND)).and(&person(ROBINS), delete(SAM));
    let given = given.when(&person(ROBINS), add(SAM)).then_refused(Refusal::IdInUse);
    let again = add_with(HARBOUR, KIM, details_of(SAM), Some(new_link(THIRD)));
    let given = given.when(&person(ROBINS), again).then_types(["ProfessionalAdded", "InvitationIssued"]);
    // Old links and associations stay dead.
    let given = given.when(&person(SAMS), accept(link(SECOND, 1), SAMS)).then_refused(Refusal::InvitationRevoked);
    let given = given.when(&person(SAMS), send(KIM, FOURTH)).then_refused(Refusal::UnknownAccount);
    assert_eq!(given.state(HARBOUR).professional(KIM).unwrap().identity, None);
    given.when(&person(SAMS), accept(link(THIRD, 1), SAMS)).then([associated(link(THIRD, 1), KIM, SAMS)]);
}

/// Harbour with an open invitation, a wish and an appointment, and what its closing ends.
fn busy() -> Given {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    given.and(&person(STRANGERS), ask(WISH, STRANGERS)).and(&pilot(), propose(APPOINTMENT, SAM, None))
}

#[test]
fn r7_closing_ends_what_is_open() {
    let given = busy().when(&support(), close(HARBOUR)).then([
        revoked(SECOND, SAM, 1, RevocationReason::AccountClosed),
        ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn),
        AccessRequestDeclined { account: HARBOUR, access_request: WISH }.into(),
        AccountClosed { account: HARBOUR }.into(),
    ]);
    given.when(&support(), close(HARBOUR)).then_nothing();
}

#[test]
fn r7_only_support_closes_an_account() {
    for caller in [back_office(), operator(), staff(Scope::Auditor), person(ROBINS), pilot(), worker()] {
        Given::served().when(&caller, close(HARBOUR)).then_refused(Refusal::ScopeMissing);
    }
    Given::nothing().when(&support(), close(HARBOUR)).then_refused(Refusal::UnknownAccount);
}

#[test]
fn r7_nothing_happens_to_a_closed_account() {
    let given = busy().and(&support(), close(HARBOUR));
    let mut commands = commands_about_sam();
    commands.extend([
        add(KIM),
        add_and_invite(KIM, THIRD),
        approve(WISH, KIM, THIRD),
        decline(WISH),
        ask(SECOND_WISH, IdentityId(Uuid::from_u128(0xcf))),
        object(APPOINTMENT),
        carry_out(APPOINTMENT),
        revoke(SECOND),
        revoke(THIRD),
        retry(SAM, SECOND, THIRD),
    ]);
    for command in commands {
        let given = given.clone().after(Millis::days(4));
        given.when(&person(ROBINS), command.clone()).then_refused(Refusal::AccountClosed);
    }
    let name = AccountName::parse("Harbour Holding").unwrap();
    let of_staff = [
        assign(LIGHTHOUSE),
        remove(LIGHTHOUSE),
        Command::RenameAccount { account: HARBOUR, name },
        decide_on(APPOINTMENT, domain::command::Verdict::CarryOut),
    ];
    for command in of_staff {
        given.clone().when(&support(), command).then_refused(Refusal::AccountClosed);
    }
    given.clone().when(&back_office(), set_plan(HARBOUR, None)).then_refused(Refusal::AccountClosed);
    given.clone().when(&pilot(), add(KIM)).then_refused(Refusal::AccountClosed);
    let sams = link(SECOND, 1);
    for command in [click(sams, FLOW), issue_code(sams, STRANGERS), accept(sams, STRANGERS), request_latest(sams)] {
        given.clone().when(&person(STRANGERS), command).then_refused(Refusal::InvitationRevoked);
    }
    for command in [visit(sams), sign_in(ROBINS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD)] {
        given.clone().when(&worker(), command).then_nothing();
    }
}

#[test]
fn r7_the_mail_of_a_closed_account_is_cancelled_and_what_was_under_way_recorded() {
    let given = Given::robin_invited().and(&support(), close(HARBOUR));
    given.when(&worker(), attempt(link_mail(link(FIRST, 1)))).then_types(["MailCancelled"]);
    let under_way = Given::robin_invited().and(&worker(), attempt(link_mail(link(FIRST, 1))));
    let sent = domain::mail::MailOutcome::Sent { reply: "250 ok".into() };
    let under_way = under_way.and(&support(), close(HARBOUR));
    under_way.when(&worker(), record(link_mail(link(FIRST, 1)), 1, sent)).then_types(["MailSent"]);
}

#[test]
fn r7_closing_does_not_free_the_customer_number() {
    let given = Given::robin().and(&support(), close(HARBOUR));
    given
        .when(&back_office(), open(QUARRY, "C-1001", AccountKind::Customer))
        .then_refused(Refusal::CustomerNumberTaken);
}

#[test]
fn t11_who_is_untied_loses_every_open_invitation_in_the_same_append() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let given = given.and(&person(STRANGERS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD));
    let given = given.when(&person(ROBINS), unlink(SAM)).then([
        unlinked(SAM, SAMS),
        revoked(SECOND, SAM, 1, RevocationReason::IdentityUnlinked),
        revoked(THIRD, SAM, 1, RevocationReason::IdentityUnlinked),
    ]);
    for (used, proof) in [(link(SECOND, 1), Mailbox::CodeEntered), (link(THIRD, 1), Mailbox::Unproved)] {
        let command = accept_by(used, STRANGERS, proof);
        given.clone().when(&person(STRANGERS), command).then_refused(Refusal::InvitationRevoked);
    }
    // The untied identity manages nothing, and nothing more is untied.
    given.clone().when(&person(SAMS), send(SAM, FOURTH)).then_refused(Refusal::UnknownAccount);
    given.when(&person(ROBINS), unlink(SAM)).then_nothing();
}

#[test]
fn r6_who_unties_an_identity() {
    for caller in [person(ROBINS), person(SAMS), pilot(), support()] {
        Given::served().when(&caller, unlink(SAM)).then([unlinked(SAM, SAMS)]);
    }
    Given::served().when(&person(SAMS), unlink(ROBIN)).then_refused(Refusal::NotAdministrator);
    for caller in [pilot(), support(), back_office()] {
        Given::served().when(&caller, unlink(ROBIN)).then_refused(Refusal::AdministratorOutOfReach);
    }
    for caller in [operator(), staff(Scope::Auditor)] {
        Given::served().when(&caller, unlink(SAM)).then_refused(Refusal::ScopeMissing);
    }
}
