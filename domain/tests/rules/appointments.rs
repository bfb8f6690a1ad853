//! Appointments: R21, how a partner or support makes another administrator when the old one has gone.

use std::collections::BTreeSet;

use domain::appointment::{ABSENCE, OBJECTION_WINDOW};
use domain::caller::Caller;
use domain::command::Verdict;
use domain::decide::SIGN_IN_RECORDED_EVERY;
use domain::event::*;
use domain::ids::{AppointmentId, ProfessionalId};
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{Role, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

/// The proposal that Sam replaces Robin, by the partner or by support.
fn proposed(by_partner: bool, window_ends_at: Option<domain::time::Timestamp>) -> Event {
    AppointmentProposed {
        account: HARBOUR,
        professional: SAM,
        appointment: APPOINTMENT,
        replaces: Some(ROBIN),
        partner: by_partner.then_some(LIGHTHOUSE),
        window_ends_at,
        grounds: Some(grounds()),
    }
    .into()
}

fn sam_replaces_robin() -> domain::command::Command {
    propose(APPOINTMENT, SAM, Some(ROBIN))
}

/// Lighthouse proposes that Sam replaces Robin, who was seen; the window is open.
fn waiting() -> Given {
    Given::served().and(&pilot(), sam_replaces_robin())
}

fn objected() -> Given {
    waiting().and(&person(ROBINS), object(APPOINTMENT))
}

/// Who is told what by the newest append, and by which mails.
fn told(events: &[Event]) -> (BTreeSet<ProfessionalId>, BTreeSet<Uuid>, BTreeSet<&'static str>) {
    let mut found = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        if let Event::NoticeIssued(e) = event {
            assert_eq!((e.to, e.appointment, &e.address), (NoticeTo::Registered, Some(APPOINTMENT), &None));
            found.0.insert(e.professional);
            found.1.insert(e.mail.0);
            found.2.insert(match e.notice {
                Notice::AppointmentProposed => "proposed",
                Notice::AppointmentCarriedOut => "carried out",
                _ => "another",
            });
        }
    }
    found
}

/// The events without the notices.
fn without_notices(events: &[Event]) -> Vec<Event> {
    events.iter().filter(|event| !matches!(event, Event::NoticeIssued(_))).cloned().collect()
}

fn carried_out() -> [Event; 3] {
    [ended(APPOINTMENT, SAM, AppointmentOutcome::CarriedOut), moved(Role::Administrator, None, SAM), taken(ROBIN)]
}

#[test]
fn r21_support_appoints_at_once_with_the_grounds_recorded() {
    let mut given = Given::served();
    let events = given.execute(&support(), &sam_replaces_robin()).unwrap();
    let expected: Vec<Event> = [proposed(false, None)].into_iter().chain(carried_out()).collect();
    assert_eq!(without_notices(&events), expected);
    assert_eq!(given.state(HARBOUR).standing.administrators, [SAM].into());
    // Robin, who loses the role, is told; and the mandatory contacts, who are Robin, too.
    assert_eq!(told(&events).0, [ROBIN].into());
    given.when(&person(ROBINS), add(KIM)).then_refused(Refusal::NotAdministrator);
}

#[test]
fn r21_support_appoints_beside_the_administrator_if_nobody_is_replaced() {
    let given = Given::served().and(&support(), propose(APPOINTMENT, SAM, None));
    assert_eq!(given.state(HARBOUR).standing.administrators, [ROBIN, SAM].into());
}

#[test]
fn r21_a_partner_waits_for_objections_where_an_administrator_was_seen() {
    assert_eq!((ABSENCE, OBJECTION_WINDOW), (Millis::days(30), Millis::hours(72)));
    let mut given = Given::served();
    let events = given.execute(&pilot(), &sam_replaces_robin()).unwrap();
    assert_eq!(without_notices(&events), [proposed(true, Some(start() + Millis::hours(72)))]);
    assert_eq!(told(&events).2, ["proposed"].into());
    assert_eq!(given.state(HARBOUR).standing.administrators, [ROBIN].into());
}

#[test]
fn r21_all_administrators_and_mandatory_contacts_are_told_once_each() {
    let roles = [(KIM, Role::BillingContact), (SAM, Role::ShippingContact)];
    let given = Given::served().and(&support(), add(KIM));
    let given = roles.into_iter().fold(given, |given, (whom, role)| given.and(&person(ROBINS), give(whom, role)));
    for (caller, what) in [(pilot(), "proposed"), (support(), "carried out")] {
        let mut given = given.clone();
        let (people, mails, notices) = told(&given.execute(&caller, &sam_replaces_robin()).unwrap());
        assert_eq!((people, mails.len(), notices), ([ROBIN, SAM, KIM].into(), 3, [what].into()));
    }
    // The mails of the proposal and of its end are not the same ones.
    let mut given = given;
    let first = told(&given.execute(&pilot(), &sam_replaces_robin()).unwrap()).1;
    let mut given = given.after(OBJECTION_WINDOW);
    let second = told(&given.execute(&worker(), &carry_out(APPOINTMENT)).unwrap()).1;
    assert!(first.is_disjoint(&second));
}

#[test]
fn r21_an_appointment_is_carried_out_when_its_window_has_ended() {
    let early = waiting().after(Millis(OBJECTION_WINDOW.0 - 1));
    early.when(&worker(), carry_out(APPOINTMENT)).then_refused(Refusal::AppointmentNotDue);
    let mut given = waiting().after(OBJECTION_WINDOW);
    let events = given.execute(&worker(), &carry_out(APPOINTMENT)).unwrap();
    assert_eq!(without_notices(&events), carried_out());
    assert_eq!(told(&events).2, ["carried out"].into());
    let given = given.when(&worker(), carry_out(APPOINTMENT)).then_refused(Refusal::AppointmentNotDue);
    given.when(&person(SAMS), object(APPOINTMENT)).then_refused(Refusal::AppointmentEnded);
}

#[test]
fn r21_an_administrator_objects_while_the_window_is_open() {
    let objection = AppointmentObjected { account: HARBOUR, professional: ROBIN, appointment: APPOINTMENT };
    let last_moment = waiting().after(Millis(OBJECTION_WINDOW.0 - 1));
    let given = last_moment.when(&person(ROBINS), object(APPOINTMENT)).then([objection]);
    let given = given.when(&person(ROBINS), object(APPOINTMENT)).then_nothing();
    // From now on the window's end does nothing.
    let given = given.after(Millis::days(30)).when(&worker(), carry_out(APPOINTMENT));
    given.then_refused(Refusal::AppointmentNotDue);
    let late = waiting().after(OBJECTION_WINDOW);
    late.when(&person(ROBINS), object(APPOINTMENT)).then_refused(Refusal::AppointmentEnded);
}

#[test]
fn r21_any_administrator_objects_and_nobody_else() {
    let given = Given::served().and_linked(HARBOUR, KIM, STRANGERS).and(&person(ROBINS), promote(KIM));
    let given = given.and(&pilot(), sam_replaces_robin());
    given.clone().when(&person(STRANGERS), object(APPOINTMENT)).then_types(["AppointmentObjected"]);
    let as_kim = Caller { acting_as: Some(KIM), ..person(ROBINS) };
    let refused = [
        (person(SAMS), Refusal::NotAdministrator),
        (pilot(), Refusal::NotAdministrator),
        (as_kim, Refusal::NotYourProfile),
        (person(MATES), Refusal::UnknownAccount),
        (support(), Refusal::ScopeMissing),
        (operator(), Refusal::ScopeMissing),
        (worker(), Refusal::UnknownAccount),
    ];
    for (caller, refusal) in refused {
        given.clone().when(&caller, object(APPOINTMENT)).then_refused(refusal);
    }
    let unknown = given.when(&person(ROBINS), object(SECOND_APPOINTMENT));
    unknown.then_refused(Refusal::UnknownAppointment);
}

#[test]
fn r21_an_objection_hands_the_decision_to_support() {
    for caller in [person(ROBINS), pilot(), person(SAMS), back_office(), operator(), staff(Scope::Auditor), worker()] {
        for verdict in [Verdict::CarryOut, Verdict::Reject] {
            objected().when(&caller, decide_on(APPOINTMENT, verdict)).then_refused(Refusal::ScopeMissing);
        }
    }
    let mut given = objected();
    let events = given.execute(&support(), &decide_on(APPOINTMENT, Verdict::CarryOut)).unwrap();
    assert_eq!(without_notices(&events), carried_out());
    let rejected = objected().when(&support(), decide_on(APPOINTMENT, Verdict::Reject));
    let rejected = rejected.then([ended(APPOINTMENT, SAM, AppointmentOutcome::Rejected)]);
    assert_eq!(rejected.state(HARBOUR).standing.administrators, [ROBIN].into());
    for given in [given, rejected] {
        let given = given.when(&support(), decide_on(APPOINTMENT, Verdict::CarryOut));
        let given = given.then_refused(Refusal::AppointmentEnded);
        given.after(Millis::days(9)).when(&worker(), carry_out(APPOINTMENT)).then_refused(Refusal::AppointmentNotDue);
    }
    let unknown = Given::served().when(&support(), decide_on(APPOINTMENT, Verdict::Reject));
    unknown.then_refused(Refusal::UnknownAppointment);
}

#[test]
fn r21_a_partner_appoints_at_once_where_no_administrator_was_seen() {
    // Nobody ever accepted.
    let mut never = Given::robin_invited().and(&support(), add(SAM)).and_served();
    let events = never.execute(&pilot(), &sam_replaces_robin()).unwrap();
    let expected: Vec<Event> = [proposed(true, None)].into_iter().chain(carried_out()).collect();
    assert_eq!(without_notices(&events), expected);
    assert_eq!(told(&events).0, [ROBIN].into());
}

/// Whether Lighthouse has to wait for objections now.
fn waits(given: &Given) -> bool {
    let mut given = given.clone();
    let events = given.execute(&pilot(), &propose(SECOND_APPOINTMENT, KIM, None)).unwrap();
    matches!(&events[0], Event::AppointmentProposed(e) if e.window_ends_at.is_some())
}

#[test]
fn r21_thirty_days_after_the_last_sign_in_an_administrator_counts_as_gone() {
    // A sign-in may be recorded as much as a day before the last one, so that the day is added.
    let absence = Millis(ABSENCE.0 + SIGN_IN_RECORDED_EVERY.0);
    let given = Given::served().and(&support(), add(KIM));
    assert!(waits(&given.clone().after(Millis(absence.0 - 1))));
    assert!(!waits(&given.clone().after(absence)));
    // A sign-in of an administrator begins the time anew, one of anybody else does not.
    let given = given.after(Millis::days(20)).and(&worker(), sign_in(ROBINS)).and(&worker(), sign_in(SAMS));
    assert!(waits(&given.clone().after(Millis(absence.0 - 1))));
    assert!(!waits(&given.after(absence)));
}

#[test]
fn r21_thirty_days_are_counted_from_the_last_sign_in_even_if_it_was_not_recorded() {
    let given = Given::served().and(&support(), add(KIM)).after(Millis::days(20)).and(&worker(), sign_in(ROBINS));
    let given = given.after(Millis::hours(23)).when(&worker(), sign_in(ROBINS)).then_nothing();
    assert!(waits(&given.after(Millis(ABSENCE.0 - 1))));
}

#[test]
fn r21_an_administrator_who_was_seen_counts_after_handing_over() {
    // Robin signed in yesterday; Sam, who takes over, did so only as an ordinary professional, which nobody recorded.
    let given = Given::served().and(&support(), add(KIM)).after(Millis::days(100)).and(&worker(), sign_in(ROBINS));
    let handed_over = given.clone().and(&person(ROBINS), hand_over(ROBIN, SAM));
    assert!(waits(&handed_over));
    let demoted = given.and(&person(ROBINS), promote(SAM)).and(&person(SAMS), demote(ROBIN));
    assert!(waits(&demoted));
}

#[test]
fn r21_whoever_becomes_administrator_with_an_identity_counts_as_seen() {
    let given = Given::served().and(&support(), add(KIM)).after(Millis::days(100));
    assert!(!waits(&given));
    // Support appoints Sam; how often Sam signed in before is not recorded, so the partner has to wait.
    let given = given.and(&support(), propose(APPOINTMENT, SAM, Some(ROBIN)));
    assert!(waits(&given));
    assert!(!waits(&given.after(Millis(ABSENCE.0 + SIGN_IN_RECORDED_EVERY.0))));
}

#[test]
fn r21_accepting_counts_as_a_sign_in_of_an_administrator() {
    let given = Given::robin_invited().and(&support(), add(KIM)).and_served().after(Millis::days(6));
    assert!(!waits(&given));
    let given = given.and(&person(ROBINS), accept(link(FIRST, 1), ROBINS));
    assert!(waits(&given.after(Millis(ABSENCE.0 - 1))));
}

#[test]
fn r21_a_sign_in_of_an_administrator_is_recorded_once_a_day() {
    assert_eq!(SIGN_IN_RECORDED_EVERY, Millis::hours(24));
    let seen = AdministratorSignedIn { account: HARBOUR, professional: ROBIN, identity: ROBINS };
    let given = Given::served().after(Millis(Millis::hours(24).0 - 1));
    let given = given.when(&worker(), sign_in(ROBINS)).then_nothing(); // accepting was one
    let given = given.after(Millis(1)).when(&worker(), sign_in(ROBINS)).then([seen.clone()]);
    let given = given.after(Millis(Millis::hours(24).0 - 1)).when(&worker(), sign_in(ROBINS)).then_nothing();
    let given = given.after(Millis(1)).when(&worker(), sign_in(ROBINS)).then([seen]);
    for identity in [SAMS, STRANGERS, PILOTS] {
        given.clone().after(Millis::days(9)).when(&worker(), sign_in(identity)).then_nothing();
    }
}

#[test]
fn r21_who_proposes() {
    Given::served().when(&person(ROBINS), sam_replaces_robin()).then_refused(Refusal::GiveTheRole);
    let refused = [
        (person(SAMS), Refusal::NotAdministrator),
        (person(PILOTS), Refusal::UnknownAccount),
        (partner_person(MATES), Refusal::UnknownAccount),
        (back_office(), Refusal::ScopeMissing),
        (operator(), Refusal::ScopeMissing),
        (staff(Scope::Auditor), Refusal::ScopeMissing),
        (worker(), Refusal::UnknownAccount),
    ];
    for (caller, refusal) in refused {
        Given::served().when(&caller, sam_replaces_robin()).then_refused(refusal);
    }
}

#[test]
fn r21_whom_an_appointment_may_name() {
    for caller in [pilot(), support()] {
        let of = |professional, replaces| propose(APPOINTMENT, professional, replaces);
        let given = Given::served().and(&support(), add(KIM));
        given.clone().when(&caller, of(ROBIN, None)).then_refused(Refusal::AlreadyAdministrator);
        given.clone().when(&caller, of(SAM, Some(KIM))).then_refused(Refusal::ReplacedIsNoAdministrator);
        given.clone().when(&caller, of(SAM, Some(SAM))).then_refused(Refusal::ReplacedIsNoAdministrator);
        given.clone().when(&caller, of(PILOT, None)).then_refused(Refusal::UnknownProfessional);
        given.and(&caller, of(SAM, None)).when(&caller, of(KIM, None)).then_refused(Refusal::IdInUse);
    }
}

#[test]
fn r21_one_appointment_of_a_person_waits_at_a_time() {
    let again = propose(SECOND_APPOINTMENT, SAM, None);
    for given in [waiting(), objected()] {
        given.when(&pilot(), again.clone()).then_refused(Refusal::AppointmentWaits);
    }
    let given = objected().and(&support(), decide_on(APPOINTMENT, Verdict::Reject));
    given.when(&pilot(), again).then_types(["AppointmentProposed", "NoticeIssued"]);
}

#[test]
fn r21_an_appointment_is_withdrawn_when_the_partner_the_person_or_the_account_goes() {
    let withdrawn = ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn);
    for given in [waiting(), objected()] {
        for command in [remove(LIGHTHOUSE), delete(SAM), close(HARBOUR)] {
            let mut given = given.clone();
            assert!(given.execute(&support(), &command).unwrap().contains(&withdrawn));
            let mut given = given.after(OBJECTION_WINDOW);
            let carried_out = given.execute(&worker(), &carry_out(APPOINTMENT));
            assert!(matches!(carried_out, Err(Refusal::AppointmentNotDue | Refusal::AccountClosed)));
            assert!(!given.state(HARBOUR).standing.administrators.contains(&SAM));
        }
    }
}

#[test]
fn r21_a_partner_that_comes_back_does_not_revive_its_appointment() {
    let given = waiting().and(&support(), remove(LIGHTHOUSE)).and(&support(), assign(LIGHTHOUSE));
    given.after(OBJECTION_WINDOW).when(&worker(), carry_out(APPOINTMENT)).then_refused(Refusal::AppointmentNotDue);
}

#[test]
fn r21_an_appointment_whose_end_has_come_true_already_is_carried_out_without_a_second_role() {
    let given = waiting().and(&person(ROBINS), hand_over(ROBIN, SAM)).after(OBJECTION_WINDOW);
    let mut given = given;
    let events = given.execute(&worker(), &carry_out(APPOINTMENT)).unwrap();
    assert_eq!(without_notices(&events), [ended(APPOINTMENT, SAM, AppointmentOutcome::CarriedOut)]);
    assert_eq!(given.state(HARBOUR).standing.administrators, [SAM].into());
}

#[test]
fn r3_two_appointments_that_replace_the_same_administrator_leave_an_administrator() {
    let given = waiting().and(&support(), add(KIM));
    let given = given.and(&pilot(), propose(SECOND_APPOINTMENT, KIM, Some(ROBIN))).after(OBJECTION_WINDOW);
    let given = given.and(&worker(), carry_out(APPOINTMENT)).and(&worker(), carry_out(SECOND_APPOINTMENT));
    assert_eq!(given.state(HARBOUR).standing.administrators, [SAM, KIM].into());
}

#[test]
fn r6_an_appointment_revokes_what_outsiders_sent_to_the_new_administrator() {
    let given = waiting().and(&pilot(), send(SAM, SECOND)).after(OBJECTION_WINDOW);
    let mut given = given;
    let events = given.execute(&worker(), &carry_out(APPOINTMENT)).unwrap();
    assert!(events.contains(&revoked(SECOND, SAM, 1, RevocationReason::Promoted)));
}

#[test]
fn r21_no_other_way_leads_a_partner_or_support_past_the_administrator() {
    let ids = |number| AppointmentId(Uuid::from_u128(0x7000 + number));
    for (number, caller) in [pilot(), support(), back_office()].into_iter().enumerate() {
        let commands = [
            promote(SAM),
            demote(ROBIN),
            hand_over(ROBIN, SAM),
            delete(ROBIN),
            unlink(ROBIN),
            send(ROBIN, SECOND),
            change_address_and_send(ROBIN, "evil@lighthouse.example", SECOND),
            retry_at(ROBIN, FIRST, "evil@lighthouse.example", SECOND),
            object(ids(number as u128)),
        ];
        for command in commands {
            let mut given = Given::served();
            assert!(given.execute(&caller, &command).is_err(), "{}", command.name());
            assert_eq!(given.state(HARBOUR).standing.administrators, [ROBIN].into());
        }
    }
}

#[test]
fn t44_nobody_cuts_the_window_short_without_grounds_of_their_own() {
    // Support may appoint by itself, with its grounds recorded, but not carry out the partner's early.
    let early = waiting().after(Millis(OBJECTION_WINDOW.0 - 1));
    let early = early.when(&support(), decide_on(APPOINTMENT, Verdict::CarryOut));
    let early = early.then_refused(Refusal::AppointmentNotDue);
    // It may reject before anybody objects.
    let rejected = early.clone().when(&support(), decide_on(APPOINTMENT, Verdict::Reject));
    rejected.then([ended(APPOINTMENT, SAM, AppointmentOutcome::Rejected)]);
    // Once the window has ended it is as good as the worker's.
    let mut given = early.after(Millis(1));
    let events = given.execute(&support(), &decide_on(APPOINTMENT, Verdict::CarryOut)).unwrap();
    assert_eq!(without_notices(&events), carried_out());
}

#[test]
fn r21_support_appoints_by_itself_while_the_partner_waits() {
    let given = waiting().and(&support(), add(KIM)).and(&support(), propose(SECOND_APPOINTMENT, KIM, None));
    assert_eq!(given.state(HARBOUR).standing.administrators, [ROBIN, KIM].into());
    given.when(&person(ROBINS), object(APPOINTMENT)).then_types(["AppointmentObjected"]);
}

#[test]
fn r22_the_appointment_of_a_partner_whose_account_was_closed_is_withdrawn_when_it_is_due() {
    let given = waiting().and(&support(), close(LIGHTHOUSE)).after(OBJECTION_WINDOW);
    let caller = Caller { partner: Some(LIGHTHOUSE), ..worker() };
    let withdrawn = ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn);
    given.when(&caller, carry_out(APPOINTMENT)).then([withdrawn]);
}

#[test]
fn r21_what_an_outsider_changes_about_the_appointed_person_ends_the_appointment() {
    // Nobody objected to Sam; whoever reads the new mailbox is somebody else.
    let withdrawn = ended(APPOINTMENT, SAM, AppointmentOutcome::Withdrawn);
    for command in [change_address(SAM, "sam@quarry.example"), unlink(SAM)] {
        let mut given = waiting();
        let events = given.execute(&pilot(), &command).unwrap();
        assert!(events.contains(&withdrawn), "{events:?}");
        given.after(OBJECTION_WINDOW).when(&worker(), carry_out(APPOINTMENT)).then_refused(Refusal::AppointmentNotDue);
    }
}

#[test]
fn r21_what_the_accounts_own_people_change_about_the_appointed_person_does_not() {
    let given = waiting().and(&person(ROBINS), change_address(SAM, "sam@quarry.example"));
    let given = given.after(OBJECTION_WINDOW);
    assert!(given.clone().execute(&worker(), &carry_out(APPOINTMENT)).is_ok());
}
