//! Editing: R16 (another address), R6 (who edits whom), and oneself.

use domain::caller::{Caller, Context, Request};
use domain::command::{Command, Edit};
use domain::decide::{Past, decide};
use domain::event::*;
use domain::ids::{MailId, ProfessionalId};
use domain::name::PersonName;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{Authority, Language, Scope};
use uuid::Uuid;

use super::commands::*;
use super::harness::*;

const SHORE: &str = "sam@shore.example";

/// Sam's profile after an edit.
fn edited(name: &str, at: &str, address_changed: bool) -> Event {
    let (account, language, details) = (HARBOUR, Language::English, Some(details(name, at)));
    ProfessionalEdited { account, professional: SAM, language, address_changed, details }.into()
}

/// The notice to Sam's former address.
fn told(given: &Given, former: &str) -> Event {
    let place = Uuid::new_v5(&given.next_request(), SAM.0.as_bytes());
    NoticeIssued {
        account: HARBOUR,
        professional: SAM,
        notice: Notice::AddressChanged,
        to: NoticeTo::Former,
        appointment: None,
        mail: MailId::of_notice(place, 0),
        address: Some(address(former)),
    }
    .into()
}

fn rename(professional: ProfessionalId, name: &str) -> Command {
    edit(professional, Edit { name: Some(PersonName::parse(name).unwrap()), ..Edit::default() })
}

#[test]
fn r16_changing_the_address_revokes_the_open_invitations_and_tells_the_old_address() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let given = given.and(&person(STRANGERS), associate(SAM, STRANGERS, "sam@harbour.example", THIRD));
    let notice = told(&given, "sam@harbour.example");
    let given = given.when(&person(ROBINS), change_address(SAM, SHORE)).then([
        edited("Sam Sands", SHORE, true),
        revoked(SECOND, SAM, 1, RevocationReason::AddressChanged),
        revoked(THIRD, SAM, 1, RevocationReason::AddressChanged),
        notice,
    ]);
    given.when(&person(STRANGERS), accept(link(SECOND, 1), STRANGERS)).then_refused(Refusal::InvitationRevoked);
}

#[test]
fn r16_change_and_send_is_one_command_and_begins_another_invitation() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let notice = told(&given, "sam@harbour.example");
    let by = Some(Authority::Administrator);
    let next = InvitationIssued { by, ..issued(link(THIRD, 1), SAM, start() + Millis::days(7)) };
    let given = given.when(&person(ROBINS), change_address_and_send(SAM, SHORE, THIRD)).then([
        edited("Sam Sands", SHORE, true),
        revoked(SECOND, SAM, 1, RevocationReason::AddressChanged),
        notice,
        next.into(),
    ]);
    assert_eq!(given.state(HARBOUR).professional(SAM).unwrap().address, Some(address(SHORE)));
}

#[test]
fn r16_the_notice_to_the_old_address_carries_no_link() {
    let given = Given::served().and(&person(ROBINS), change_address_and_send(SAM, SHORE, THIRD));
    let to_the_old_one =
        given.log.iter().filter(|it| matches!(&it.event, Event::NoticeIssued(e) if e.address.is_some()));
    assert_eq!(to_the_old_one.count(), 1);
    let mail = given.log.iter().find_map(|it| match &it.event {
        Event::NoticeIssued(e) => Some(e.mail),
        _ => None,
    });
    assert_eq!(given.state(HARBOUR).mails[&mail.unwrap()].invitation, None);
}

#[test]
fn r16_the_notice_is_sent_even_if_the_person_is_deleted_meanwhile() {
    let given = Given::served();
    let Event::NoticeIssued(notice) = told(&given, "sam@harbour.example") else { unreachable!() };
    let given = given.and(&person(ROBINS), change_address(SAM, SHORE)).and(&person(ROBINS), delete(SAM));
    given.when(&worker(), attempt(notice.mail)).then_types(["MailAttempted"]);
}

#[test]
fn r16_an_address_that_differs_in_case_only_revokes_nothing() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let again = "Sam@Harbour.example";
    given.when(&person(ROBINS), change_address(SAM, again)).then([edited("Sam Sands", again, false)]);
}

#[test]
fn r16_without_another_address_the_open_invitation_goes_on() {
    let given = Given::served().and(&person(ROBINS), send(SAM, SECOND));
    let rename_and_send = edit(
        SAM,
        Edit {
            name: Some(PersonName::parse("Sam Shore").unwrap()),
            invitation: Some(new_link(THIRD)),
            ..Edit::default()
        },
    );
    let given = given.when(&person(ROBINS), rename_and_send).then_types(["ProfessionalEdited", "InvitationIssued"]);
    assert_eq!(given.state(HARBOUR).invitation(SECOND).unwrap().generation, 2);
    assert!(given.state(HARBOUR).invitation(THIRD).is_err());
}

#[test]
fn r16_two_people_who_are_edited_in_one_request_are_each_told() {
    let given = Given::served();
    let request = Request { id: Uuid::from_u128(7), key: None, body: None, if_match: None };
    let context = Context { now: given.clock(), caller: support(), request };
    let mails = [(SAM, SHORE), (KIM, "kim@shore.example")].map(|(professional, to)| {
        let given = given.clone().and(&support(), add(KIM));
        let command = change_address(professional, to);
        let boundary = command.boundary(&context.caller);
        let past: Past<'_> = boundary.iter().map(|read| (&read.subject, &given.known()[&read.subject])).collect();
        match decide(&past, &command, &context).unwrap().last() {
            Some(Event::NoticeIssued(e)) => e.mail,
            other => panic!("{other:?}"),
        }
    });
    assert_ne!(mails[0], mails[1]);
}

#[test]
fn an_edit_that_changes_nothing_has_no_events() {
    for same in [Edit::default(), Edit { address: Some(address("sam@harbour.example")), ..Edit::default() }] {
        Given::served().when(&person(ROBINS), edit(SAM, same)).then_nothing();
    }
    Given::served().when(&person(ROBINS), rename(SAM, "Sam Sands")).then_nothing();
}

#[test]
fn an_edit_to_an_address_of_the_same_account_is_refused_and_names_who_has_it() {
    let taken = Refusal::address_already_in_account(ROBIN);
    for command in
        [change_address(SAM, "ROBIN@harbour.example"), change_address_and_send(SAM, "robin@Harbour.example", SECOND)]
    {
        Given::served().when(&person(ROBINS), command).then_refused(taken.clone());
    }
    // Who may not edit Sam learns nothing of it.
    let given = Given::served().and(&support(), add(KIM));
    given.when(&person(SAMS), change_address(KIM, "robin@harbour.example")).then_refused(Refusal::NotAdministrator);
}

#[test]
fn an_address_that_somebody_gave_up_is_free_again() {
    let given = Given::served().and(&person(ROBINS), change_address(SAM, SHORE));
    let again = add_with(HARBOUR, KIM, details("Kim Keel", "sam@harbour.example"), None);
    let given = given.when(&person(ROBINS), again).then_types(["ProfessionalAdded"]);
    given
        .when(&person(ROBINS), change_address(SAM, "sam@harbour.example"))
        .then_blocked_with("address_already_in_account");
}

#[test]
fn r20_change_and_send_without_a_plan_is_refused_whole() {
    let given = Given::served().and(&back_office(), set_plan(HARBOUR, None));
    let given =
        given.when(&person(ROBINS), change_address_and_send(SAM, SHORE, SECOND)).then_refused(Refusal::NoServicePlan);
    given.when(&person(ROBINS), change_address(SAM, SHORE)).then_types(["ProfessionalEdited", "NoticeIssued"]);
}

#[test]
fn r6_a_professional_edits_oneself_and_nobody_else() {
    let given = Given::served();
    let given =
        given.when(&person(SAMS), rename(SAM, "Sam Shore")).then([edited("Sam Shore", "sam@harbour.example", false)]);
    let notice = told(&given, "sam@harbour.example");
    let given = given.when(&person(SAMS), change_address(SAM, SHORE)).then([edited("Sam Shore", SHORE, true), notice]);
    given.when(&person(SAMS), rename(ROBIN, "Robin Reef")).then_refused(Refusal::NotAdministrator);
}

#[test]
fn r11_who_edits_oneself_gives_the_right_to_replace_only_after_a_fresh_sign_in() {
    for (caller, expected) in [(person(SAMS), false), (person_signed_in_at(SAMS, start()), true)] {
        let given = Given::served().and(&caller, change_address_and_send(SAM, SHORE, THIRD));
        assert_eq!(given.state(HARBOUR).invitation(THIRD).unwrap().may_replace, expected);
    }
    // A stolen session alone thus reaches nothing: it moves the mail, but not the identity.
    let given = Given::served().and(&person(SAMS), change_address_and_send(SAM, SHORE, THIRD));
    given.when(&person(STRANGERS), accept(link(THIRD, 1), STRANGERS)).then_refused(Refusal::AssociationExists);
}

#[test]
fn r6_who_edits_whom() {
    for caller in [person(ROBINS), pilot(), support(), back_office()] {
        Given::served().when(&caller, rename(SAM, "Sam Shore")).then_types(["ProfessionalEdited"]);
    }
    let as_another = Caller { acting_as: Some(SAM), ..person(ROBINS) };
    let refused = [
        (as_another, Refusal::NotYourProfile),
        (person(STRANGERS), Refusal::UnknownAccount),
        (partner_person(MATES), Refusal::UnknownAccount),
        (operator(), Refusal::ScopeMissing),
        (staff(Scope::Auditor), Refusal::ScopeMissing),
        (link_holder(), Refusal::UnknownAccount),
    ];
    for (caller, refusal) in refused {
        for command in [rename(SAM, "Sam Shore"), change_address_and_send(SAM, SHORE, SECOND)] {
            Given::served().when(&caller, command).then_refused(refusal.clone());
        }
    }
}

#[test]
fn r6_no_outsider_edits_an_administrator_who_has_had_an_identity() {
    let given = Given::served().and(&person(ROBINS), unlink(ROBIN));
    for given in [Given::served(), given] {
        for caller in [pilot(), support(), back_office()] {
            let commands = [
                rename(ROBIN, "Robin Reef"),
                change_address(ROBIN, "evil@lighthouse.example"),
                change_address_and_send(ROBIN, "evil@lighthouse.example", SECOND),
            ];
            for command in commands {
                given.clone().when(&caller, command).then_refused(Refusal::AdministratorOutOfReach);
            }
        }
    }
    // One who never had an identity can be helped.
    let given = Given::robin_invited().and_served();
    let corrected = change_address_and_send(ROBIN, "robin@reef.example", SECOND);
    given.when(&pilot(), corrected).then_types([
        "ProfessionalEdited",
        "InvitationRevoked",
        "NoticeIssued",
        "InvitationIssued",
    ]);
}

#[test]
fn r6_an_administrator_edits_every_administrator() {
    let given = Given::served().and(&person(ROBINS), promote(SAM));
    let given = given.when(&person(SAMS), change_address(ROBIN, "robin@reef.example"));
    given.then_types(["ProfessionalEdited", "NoticeIssued"]);
}

#[test]
fn r6_no_outsider_takes_a_seat_by_another_address_beside_an_administrator_who_has_had_an_identity() {
    // Kim administers, too, and has never signed in: whoever reads Kim's mailbox would.
    let given = Given::served().and(&person(ROBINS), add(KIM)).and(&person(ROBINS), promote(KIM));
    for outsider in [pilot(), support()] {
        let command = change_address(KIM, "kim@lighthouse.example");
        given.clone().when(&outsider, command).then_refused(Refusal::AdministratorOutOfReach);
    }
    let moved = given.clone().when(&person(ROBINS), change_address(KIM, "kim@quarry.example"));
    moved.then_types(["ProfessionalEdited", "NoticeIssued"]);
    given.when(&pilot(), send(KIM, THIRD)).then_types(["InvitationIssued"]);
}
