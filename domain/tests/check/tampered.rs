//! Every predicate of the checker, seen to fail.

use std::collections::BTreeSet;

use domain::caller::Actor;
use domain::check::{Checker, RULES, check};
use domain::command::Command;
use domain::event::*;
use domain::ids::*;
use domain::name::AccountName;
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Authority, Language, Role};
use uuid::Uuid;

use super::harness::*;
use super::histories::*;

/// One way to tamper with a log, and what the checker says at that place.
struct Case {
    rule: &'static str,
    what: &'static str,
    log: fn() -> Log,
}

const fn case(rule: &'static str, what: &'static str, log: fn() -> Log) -> Case {
    Case { rule, what, log }
}

const MAIL: MailId = MailId(Uuid::from_u128(0x3a));

fn key() -> Actor {
    support().actor
}

fn robin() -> Actor {
    Actor::Identity(ROBINS)
}

fn sam() -> Actor {
    Actor::Identity(SAMS)
}

fn pat() -> Actor {
    Actor::Identity(PATS)
}

fn stranger() -> Actor {
    Actor::Identity(STRANGERS)
}

fn mailer() -> Actor {
    worker().actor
}

fn base() -> Log {
    Log::of(harbour())
}

/// The base with one event more.
fn and<E: Into<Event>>(actor: &Actor, event: E) -> Log {
    base().and(actor, [event])
}

fn many(actor: &Actor, events: Vec<Event>) -> Log {
    base().and(actor, events)
}

/// What a command makes, put on the end of the base.
fn with(given: Given) -> Log {
    Log::of(given)
}

fn deleted(professional: ProfessionalId) -> ProfessionalDeleted {
    ProfessionalDeleted { account: HARBOUR, professional }
}

fn taken(professional: ProfessionalId, role: Role) -> RoleTaken {
    RoleTaken { account: HARBOUR, professional, role }
}

fn moved(professional: ProfessionalId, role: Role, from: ProfessionalId) -> RoleGiven {
    RoleGiven { from: Some(from), ..role_given(professional, role) }
}

fn untied(professional: ProfessionalId, identity: IdentityId) -> IdentityUnlinked {
    IdentityUnlinked { account: HARBOUR, professional, identity }
}

fn edited(professional: ProfessionalId, at: &str, address_changed: bool) -> ProfessionalEdited {
    let details = Some(details("Kim Keel", at));
    ProfessionalEdited { account: HARBOUR, professional, language: Language::English, address_changed, details }
}

fn withdrawn(reason: RevocationReason) -> InvitationRevoked {
    InvitationRevoked { account: HARBOUR, professional: KIM, invitation: FOURTH, generation: 1, reason }
}

fn notice(professional: ProfessionalId, notice: Notice, to: NoticeTo, mail: u128) -> NoticeIssued {
    let (account, mail) = (HARBOUR, MailId(Uuid::from_u128(mail)));
    NoticeIssued { account, professional, notice, to, appointment: Some(APPOINTMENT), mail, address: None }
}

fn named(text: &str) -> AccountRenamed {
    AccountRenamed { account: HARBOUR, name: AccountName::parse(text).unwrap() }
}

fn associated_kim(to: IdentityId) -> IdentityAssociated {
    IdentityAssociated { proof: MailboxProof::TrustedAddress, ..associated(link(FOURTH, 1), KIM, to) }
}

fn clicked(generation: u32) -> LinkClicked {
    LinkClicked { account: HARBOUR, professional: KIM, invitation: FOURTH, generation, flow: FLOW }
}

fn visited(generation: u32) -> LinkVisited {
    LinkVisited { account: HARBOUR, professional: KIM, invitation: FOURTH, generation }
}

fn latest(number: u32, generation: u32, mail: MailId) -> LatestLinkRequested {
    LatestLinkRequested { account: HARBOUR, professional: KIM, invitation: FOURTH, generation, number, mail }
}

fn code(number: u32, expires_at: Timestamp) -> MailboxCodeIssued {
    MailboxCodeIssued {
        account: HARBOUR,
        professional: KIM,
        invitation: FOURTH,
        generation: 1,
        flow: FLOW,
        number,
        expires_at,
        code_key: "2026-11".into(),
        mail: MAIL,
    }
}

/// The next generation of Kim's invitation, by support.
fn next(at: Timestamp) -> InvitationIssued {
    let link = link(FOURTH, 2);
    InvitationIssued { generation: 2, mail: link_mail(link), ..issue(FOURTH, KIM, at) }
}

/// A link of the association page for Kim.
fn bound(at: Timestamp) -> InvitationIssued {
    InvitationIssued {
        by: Some(Authority::Association),
        bound_to: Some(STRANGERS),
        may_replace: false,
        expires_at: at + Millis::hours(24),
        ..issue(FIFTH, KIM, at)
    }
}

/// The base, and an issue that is changed before.
fn issued_with(actor: &Actor, event: InvitationIssued, change: fn(&mut InvitationIssued)) -> Log {
    let mut event = event;
    change(&mut event);
    base().and(actor, [event])
}

fn now() -> Timestamp {
    base().clock()
}

fn proposed(professional: ProfessionalId) -> AppointmentProposed {
    AppointmentProposed {
        account: HARBOUR,
        professional,
        appointment: APPOINTMENT,
        replaces: None,
        partner: Some(GUILD),
        window_ends_at: Some(now() + Millis::hours(72)),
        grounds: Some(grounds()),
    }
}

fn ended(professional: ProfessionalId, outcome: AppointmentOutcome) -> AppointmentEnded {
    AppointmentEnded { account: HARBOUR, professional, appointment: APPOINTMENT, outcome }
}

fn objected(professional: ProfessionalId) -> AppointmentObjected {
    AppointmentObjected { account: HARBOUR, professional, appointment: APPOINTMENT }
}

/// The base with an appointment of Sam that waits.
fn waiting() -> Log {
    with(harbour().and(&partner(), propose(SAM, None)))
}

fn asked(identity: IdentityId) -> AccessRequested {
    let (account, access_request, language) = (HARBOUR, REQUEST, Language::English);
    let details = Some(details("Lee Lantern", "lee@harbour.example"));
    AccessRequested { account, access_request, identity, language, details }
}

fn declined() -> AccessRequestDeclined {
    AccessRequestDeclined { account: HARBOUR, access_request: REQUEST }
}

/// The base with a wish of a stranger's.
fn wished() -> Given {
    harbour().and(&person(STRANGERS), ask_to_join(STRANGERS))
}

macro_rules! of_mail {
    ($name:ident, $mail:expr, $attempt:expr $(, $field:ident: $value:expr)*) => {
        $name {
            account: HARBOUR,
            professional: KIM,
            invitation: Some(FOURTH),
            mail: $mail,
            attempt: $attempt,
            $($field: $value),*
        }
    };
}

fn kims_mail() -> MailId {
    link_mail(link(FOURTH, 1))
}

fn attempted(attempt: u32) -> MailAttempted {
    of_mail!(MailAttempted, kims_mail(), attempt)
}

fn sent(attempt: u32) -> MailSent {
    of_mail!(MailSent, kims_mail(), attempt, reply: None)
}

fn deferred(attempt: u32, retry_at: Timestamp) -> MailDeferred {
    of_mail!(MailDeferred, kims_mail(), attempt, code: None, retry_at: retry_at, reply: None)
}

fn unknown(attempt: u32, retry_at: Timestamp) -> MailOutcomeUnknown {
    of_mail!(MailOutcomeUnknown, kims_mail(), attempt, retry_at: retry_at, reply: None)
}

fn erased(professional: ProfessionalId, invitations: &[InvitationId]) -> ProfessionalErased {
    ProfessionalErased { account: HARBOUR, professional, invitations: invitations.to_vec(), appointments: vec![] }
}

fn identity_erased(identity: IdentityId) -> IdentityErased {
    IdentityErased { identity, access_requests: vec![], accounts: vec![] }
}

/// The base without Sam, whose identity is erased, too.
fn without_sam() -> Given {
    harbour().and(&support(), erase(SAM, &[SAMS]))
}

fn without_kim() -> Given {
    harbour().and(&support(), delete(KIM))
}

fn closed() -> Given {
    harbour().and(&support(), Command::CloseAccount { account: HARBOUR })
}

const LOGS: &[Case] = &[
    case("position", "the position is not the next one", || {
        let log = base().renumbered();
        log.without("PartnerAssigned")
    }),
    case("time", "it is before the account's newest decision", || {
        base().after(Millis::days(-1)).and(&key(), [named("Harbour")])
    }),
    case("R25", "no such account was opened", || and(&key(), AccountRenamed { account: QUARRY, ..named("Quarry") })),
    case("R25", "the request has no id", || {
        and(&key(), named("Harbour")).alter("AccountRenamed", |it| it.request.id = Uuid::nil())
    }),
    case("R25", "the actor has no name", || and(&Actor::Cli(String::new()), named("Harbour"))),
    case("R25", "this is not what such an actor does", || and(&Actor::Link, attempted(1))),
    case("R25", "this is not what such an actor does", || and(&sam(), associated_kim(STRANGERS))),
    case("one-number", "the customer number has an account already", || {
        let (account, kind) = (QUARRY, AccountKind::Customer);
        let name = AccountName::parse("Quarry").unwrap();
        and(&key(), AccountOpened { account, customer_number: number("C-1001"), kind, name })
    }),
    case("one-number", "the account was opened already", || base().doubled("AccountOpened")),
    case("one-address", "somebody else of the account has this address", || {
        let details = Some(details("Lee Lantern", "SAM@harbour.example"));
        and(&key(), ProfessionalAdded { details, ..added(LEE) })
    }),
];

const PEOPLE: &[Case] = &[
    case("R1", "nobody of that id was added here", || and(&key(), edited(LEE, "lee@harbour.example", false))),
    case("R1", "nobody of that id was added here", || base().swapped("InvitationIssued")),
    case("R1", "the person was added already", || base().doubled("ProfessionalAdded")),
    case("R1", "the account is closed", || {
        let details = Some(details("Lee Lantern", "lee@harbour.example"));
        with(closed()).and(&key(), [ProfessionalAdded { details, ..added(LEE) }])
    }),
    case("R2", "the first person does not have every role", || with(Given::robin()).without("RoleGiven").then(-4)),
    case("R3", "the account has people and no administrator", || and(&robin(), taken(ROBIN, Role::Administrator))),
    case("R3", "the person is administrator already", || and(&robin(), role_given(ROBIN, Role::Administrator))),
    case("R3", "the administrator role does not move", || and(&robin(), moved(SAM, Role::Administrator, ROBIN))),
    case("R3", "the person is no administrator", || and(&robin(), taken(SAM, Role::Administrator))),
    case("R4", "an administrator was deleted", || {
        many(&robin(), vec![untied(ROBIN, ROBINS).into(), deleted(ROBIN).into()]).then(1)
    }),
    case("R5", "the holder of a mandatory role was deleted", || {
        many(&robin(), vec![untied(ROBIN, ROBINS).into(), deleted(ROBIN).into()]).then(1)
    }),
    case("R5", "a mandatory role has no living holder", || {
        many(&robin(), vec![untied(ROBIN, ROBINS).into(), deleted(ROBIN).into()]).then(1)
    }),
    case("R5", "the role does not come from its holder", || and(&robin(), moved(SAM, Role::BillingContact, KIM))),
    case("R5", "the person holds the role already", || and(&robin(), moved(ROBIN, Role::BillingContact, ROBIN))),
    case("R5", "a mandatory role only moves", || and(&robin(), taken(ROBIN, Role::BillingContact))),
    case("R7", "an invitation of the deleted is open still", || with(without_kim()).without("InvitationRevoked")),
    case("R7", "the deleted has an identity still", || {
        with(harbour().and(&support(), delete(SAM))).without("IdentityUnlinked")
    }),
    case("R7", "an appointment of the deleted waits still", || {
        let given = harbour().and(&partner(), propose(SAM, None)).and(&person(ROBINS), delete(SAM));
        with(given).without("AppointmentEnded")
    }),
    case("R7", "the person was deleted before", || {
        with(without_kim()).and(&robin(), [role_given(KIM, Role::Administrator)])
    }),
    case("R7", "the person was deleted before", || {
        base()
            .doubled("IdentityRegistered")
            .and(
                &robin(),
                [
                    Event::from(withdrawn(RevocationReason::ProfessionalDeleted)),
                    deleted(KIM).into(),
                    deleted(KIM).into(),
                ],
            )
            .then(2)
    }),
    case("R7", "the account is closed", || with(closed()).and(&key(), [named("Harbour")])),
    case("R7", "something of the closed account is open still", || with(closed()).without("InvitationRevoked")),
    case("R6", "only staff does this", || and(&robin(), named("Harbour"))),
    case("R6", "only staff does this", || {
        with(without_sam()).alter("IdentityErased", |_| {}).then(0).alter_append(robin())
    }),
    case("R6", "the actor manages nobody here", || {
        let details = Some(details("Lee Lantern", "lee@harbour.example"));
        and(&sam(), ProfessionalAdded { details, ..added(LEE) })
    }),
    case("R6", "the actor has no say over this person", || and(&sam(), edited(KIM, "kim@harbour.example", false))),
    case("R6", "the actor has no say over this person", || and(&sam(), withdrawn(RevocationReason::Asked))),
    case("R6", "the actor has no say over this person", || and(&sam(), deleted(KIM))),
    case("R6", "the actor has no say over this person", || and(&sam(), untied(ROBIN, ROBINS))),
    case("R6", "the actor has no say over roles", || and(&sam(), role_given(SAM, Role::Administrator))),
    case("R6", "the actor has no say over roles", || and(&sam(), moved(SAM, Role::BillingContact, ROBIN))),
    case("R6", "an administrator with an identity is out of a partner's and staff's reach", || {
        and(&key(), edited(ROBIN, "robin@harbour.example", false))
    }),
    case("R6", "an administrator with an identity is out of a partner's and staff's reach", || {
        and(&pat(), untied(ROBIN, ROBINS))
    }),
    case("R6", "an administrator with an identity is out of a partner's and staff's reach", || {
        and(&key(), issue(FIFTH, ROBIN, now()))
    }),
    case("R6", "an administrator with an identity is out of a partner's and staff's reach", || {
        many(&key(), vec![taken(ROBIN, Role::Administrator).into()])
    }),
    case("R6", "past an administrator with an identity one appoints", || {
        and(&key(), role_given(SAM, Role::Administrator))
    }),
    case("R6", "an outsider's invitation reaches an administrator with an identity", || {
        many(&key(), vec![issue(FIFTH, SAM, now()).into()]).and(&robin(), [role_given(SAM, Role::Administrator)])
    }),
    case("R11", "the person does not have that identity", || and(&robin(), untied(SAM, STRANGERS))),
    case("R16", "whether the address changed is told wrong", || and(&robin(), edited(KIM, "kim@new.example", false))),
    case("R16", "the former address is not told", || {
        with(change_of_address()).without("NoticeIssued").at("ProfessionalEdited")
    }),
    case("R16", "an invitation to the former address is open still", || {
        with(change_of_address()).without("InvitationRevoked").at("ProfessionalEdited")
    }),
    case("R16", "nothing in the append is the notice's cause", || {
        and(&robin(), notice(KIM, Notice::AddressChanged, NoticeTo::Former, 1))
    }),
];

fn change_of_address() -> Given {
    let moved = domain::command::Edit { address: Some(address("kim@new.example")), ..Default::default() };
    harbour().and(&person(ROBINS), Command::EditProfessional { account: HARBOUR, professional: KIM, edit: moved })
}

const ACCOUNTS: &[Case] = &[
    case("R19", "only customers have service plans", || and(&key(), ServicePlanSet { account: GUILD, plan: None })),
    case("R19", "the plan ends before it starts", || {
        and(&key(), ServicePlanSet { account: HARBOUR, plan: Some(plan(start(), Millis(0))) })
    }),
    case("R22", "it is no open partner account", || and(&key(), PartnerAssigned { account: HARBOUR, partner: QUARRY })),
    case("R22", "only customers have partners", || and(&key(), PartnerAssigned { account: GUILD, partner: GUILD })),
    case("R22", "the partner serves the account already", || base().doubled("PartnerAssigned")),
    case("R22", "the partner does not serve the account", || {
        and(&key(), PartnerRemoved { account: HARBOUR, partner: QUARRY })
    }),
    case("R22", "an invitation of the partner is open still", || {
        let given = harbour().and(&partner(), send(SAM, FIFTH)).and(&support(), remove_partner());
        with(given).without("InvitationRevoked").then(-1)
    }),
    case("R22", "an appointment of the partner waits still", || {
        let given = harbour().and(&partner(), propose(SAM, None)).and(&support(), remove_partner());
        with(given).without("AppointmentEnded").then(-1)
    }),
];

fn remove_partner() -> Command {
    Command::RemovePartner { account: HARBOUR, partner: GUILD }
}

const INVITATIONS: &[Case] = &[
    case("R6", "the next link has another right than the one before", || {
        let event = InvitationIssued { by: Some(Authority::Administrator), ..next(now()) };
        many(&Actor::Link, vec![event.into(), latest(1, 2, link_mail(link(FOURTH, 2))).into()])
    }),
    case("R6", "the actor does not have the right that it was issued with", || {
        issued_with(&sam(), issue(FIFTH, SAM, now()), |it| it.by = Some(Authority::Administrator))
    }),
    case("R6", "the actor does not have the right that it was issued with", || {
        issued_with(&sam(), next(now()), |it| it.by = Some(Authority::Oneself))
    }),
    case("R6", "the actor does not have the right that it was issued with", || and(&sam(), issue(FIFTH, SAM, now()))),
    case("R22", "the actor does not have the right that it was issued with", || {
        issued_with(&sam(), issue(FIFTH, SAM, now()), |it| {
            (it.by, it.partner) = (Some(Authority::Partner), Some(GUILD));
        })
    }),
    case("R22", "the partner that it was issued for does not serve the account", || {
        issued_with(&key(), issue(FIFTH, SAM, now()), |it| it.partner = Some(QUARRY))
    }),
    case("R22", "a partner's invitation does not name the partner", || {
        issued_with(&pat(), issue(FIFTH, SAM, now()), |it| it.by = Some(Authority::Partner))
    }),
    case("R8", "no such invitation was issued", || base().without("InvitationIssued").and(&Actor::Link, [visited(1)])),
    case("R8", "the invitation is somebody else's", || {
        and(&Actor::Link, LinkVisited { professional: SAM, ..visited(1) })
    }),
    case("R9", "an invitation does not begin with its first generation", || {
        issued_with(&key(), issue(FIFTH, SAM, now()), |it| it.generation = 2)
    }),
    case("R9", "another invitation of the person is open", || and(&key(), issue(FIFTH, KIM, now()))),
    case("R9", "the generation is not the next one", || issued_with(&key(), next(now()), |it| it.generation = 3)),
    case("R9", "the generation is not the next one", || base().doubled("InvitationIssued")),
    case("R9", "an invitation that has ended goes on", || {
        and(&robin(), withdrawn(RevocationReason::Asked))
            .and(&robin(), [InvitationIssued { by: Some(Authority::Administrator), ..next(now()) }])
    }),
    case("R9", "the next generation is somebody else's", || {
        issued_with(&key(), next(now()), |it| it.professional = SAM)
    }),
    case("R9", "the requests for the newest link are counted wrong or too many", || {
        and(&Actor::Link, latest(2, 1, MAIL))
    }),
    case("R10", "the link works for less than an hour or more than 30 days", || {
        issued_with(&key(), next(now()), |it| it.expires_at = it.expires_at + Millis::days(24))
    }),
    case("R10", "the invitation has ended", || {
        and(&robin(), withdrawn(RevocationReason::Asked)).and(&stranger(), [associated_kim(STRANGERS)])
    }),
    case("R10", "the invitation has ended", || base().doubled("IdentityAssociated")),
    case("R10", "it is not the newest generation", || and(&key(), next(now())).and(&Actor::Link, [clicked(1)])),
    case("R10", "the link has expired", || base().after(Millis::days(7)).and(&stranger(), [associated_kim(STRANGERS)])),
    case("R11", "a link of the association page may not replace an identity", || {
        issued_with(&stranger(), bound(now()), |it| it.may_replace = true)
    }),
    case("R11", "asking for the newest link changed what it may do", || {
        let event = InvitationIssued { may_replace: false, ..next(now()) };
        many(&Actor::Link, vec![event.into(), latest(1, 2, link_mail(link(FOURTH, 2))).into()])
    }),
    case("R11", "the invitation may not replace an identity", || {
        let weak = InvitationIssued { may_replace: false, ..issue(FIFTH, SAM, now()) };
        let event = IdentityAssociated {
            from: Some(SAMS),
            proof: MailboxProof::TrustedAddress,
            ..associated(link(FIFTH, 1), SAM, STRANGERS)
        };
        and(&key(), weak).and(&stranger(), [event])
    }),
    case("R11", "not everybody is told of the replaced identity", || {
        with(replaced()).without("NoticeIssued").at("IdentityAssociated")
    }),
    case("R11", "nothing in the append is the notice's cause", || {
        and(&robin(), notice(KIM, Notice::IdentityReplaced, NoticeTo::Registered, 1))
    }),
    case("R11", "the identity before is told wrong", || {
        let event = IdentityAssociated { from: Some(SAMS), ..associated_kim(STRANGERS) };
        and(&stranger(), event)
    }),
    case("R12", "the identity has a profile in the account already", || and(&sam(), associated_kim(SAMS))),
    case("R12", "the identity was registered already", || base().doubled("IdentityRegistered")),
    case("R13", "a link of the association page works for more than a day", || {
        issued_with(&stranger(), bound(now()), |it| it.expires_at = it.expires_at + Millis(1))
    }),
    case("R13", "the identity has a profile in the account", || {
        issued_with(&sam(), bound(now()), |it| it.bound_to = Some(SAMS))
    }),
    case("R13", "no profile was left out", || and(&sam(), AssociationMailsLimited { identity: SAMS, left_out: 0 })),
    case("R14", "a link of the association page is bound to nobody", || {
        issued_with(&stranger(), bound(now()), |it| it.bound_to = None)
    }),
    case("R14", "a bound link may not replace an identity", || {
        issued_with(&stranger(), bound(now()), |it| it.may_replace = true)
    }),
    case("R14", "the next generation is bound to somebody else", || {
        issued_with(&key(), next(now()), |it| it.bound_to = Some(STRANGERS))
    }),
    case("R14", "another identity accepted a bound link", || {
        let other = IdentityId(Uuid::from_u128(0xc8));
        let proof = MailboxProof::AssociationLink;
        and(&stranger(), bound(now()))
            .and(&Actor::Identity(other), [IdentityAssociated { proof, ..associated(link(FIFTH, 1), KIM, other) }])
    }),
    case("R14", "a bound link needs no code", || {
        let code = MailboxCodeIssued { invitation: FIFTH, ..code(1, now() + Millis::minutes(10)) };
        and(&stranger(), bound(now())).and(&stranger(), [code])
    }),
    case("R15", "the codes of the generation are counted wrong or too many", || {
        and(&Actor::Link, code(2, now() + Millis::minutes(10)))
    }),
    case("R15", "a code works for 10 minutes", || and(&Actor::Link, code(1, now() + Millis::minutes(11)))),
    case("R15", "nothing shows that the person reads the registered mailbox", || {
        base().without("MailboxCodeIssued").at("IdentityAssociated")
    }),
    case("R15", "nothing shows that the person reads the registered mailbox", || {
        let proof = MailboxProof::AssociationLink;
        and(&stranger(), IdentityAssociated { proof, ..associated_kim(STRANGERS) })
    }),
    case("R20", "the account has no current plan", || {
        base().after(Millis::days(365)).and(&key(), [issue(FIFTH, SAM, now() + Millis::days(365))])
    }),
    case("R20", "the account has no current plan", || {
        and(&key(), ServicePlanSet { account: HARBOUR, plan: None }).and(&stranger(), [associated_kim(STRANGERS)])
    }),
    case("R20", "the account has no current plan", || {
        and(&key(), ServicePlanSet { account: HARBOUR, plan: None }).and(&mailer(), [attempted(1)])
    }),
    case("R24", "the visited generation was never issued", || and(&Actor::Link, visited(2))),
    case("R24", "more visits of a generation are recorded than may be", || {
        let given = harbour().and_times(20, &link_holder(), &visit(link(FOURTH, 1)));
        with(given).doubled("LinkVisited")
    }),
    case("R24", "the flow's click is recorded already", || {
        with(harbour().and(&link_holder(), click(link(FOURTH, 1), FLOW))).doubled("LinkClicked")
    }),
];

/// The base after Sam took another identity.
fn replaced() -> Given {
    let link = link(FIFTH, 1);
    harbour()
        .and(&person(ROBINS), send(SAM, FIFTH))
        .and(&person(STRANGERS), issue_code(link, STRANGERS))
        .and(&person(STRANGERS), accept(link, STRANGERS))
}

const APPOINTMENTS: &[Case] = &[
    case("R21", "who signed in is no administrator", || {
        base().after(Millis::days(2)).and(&sam(), [signed_in(SAM, SAMS)])
    }),
    case("R21", "the person has another identity", || {
        base().after(Millis::days(2)).and(&robin(), [signed_in(ROBIN, SAMS)])
    }),
    case("R21", "the person was seen within the last day", || and(&robin(), signed_in(ROBIN, ROBINS))),
    case("R21", "no such appointment was proposed", || and(&robin(), objected(ROBIN))),
    case("R21", "who objects is no administrator", || waiting().and(&sam(), [objected(SAM)])),
    case("R21", "there is nothing to object to", || {
        waiting().after(Millis::hours(72)).and(&robin(), [objected(ROBIN)])
    }),
    case("R21", "there is nothing to object to", || {
        let objection = Command::ObjectToAppointment { account: HARBOUR, appointment: APPOINTMENT };
        let given = harbour().and(&partner(), propose(SAM, None)).and(&person(ROBINS), objection);
        with(given).doubled("AppointmentObjected")
    }),
    case("R22", "the partner does not serve the account, or the actor does not act for it", || {
        and(&sam(), proposed(KIM))
    }),
    case("R21", "only partners and support appoint", || {
        and(&sam(), AppointmentProposed { partner: None, ..proposed(KIM) })
    }),
    case("R21", "an administrator gives the role directly", || {
        and(&robin(), AppointmentProposed { partner: None, ..proposed(KIM) })
    }),
    case("R21", "the appointed is administrator already", || and(&pat(), proposed(ROBIN))),
    case("R21", "the replaced is no administrator", || {
        and(&pat(), AppointmentProposed { replaces: Some(SAM), ..proposed(KIM) })
    }),
    case("R21", "an appointment of the person waits already", || {
        let other = AppointmentId(Uuid::from_u128(0x2a));
        let log = waiting();
        let window_ends_at = Some(log.clock() + Millis::hours(72));
        log.and(&pat(), [AppointmentProposed { appointment: other, window_ends_at, ..proposed(SAM) }])
    }),
    case("R21", "the objection window is another than it must be", || {
        and(&pat(), AppointmentProposed { window_ends_at: None, ..proposed(KIM) })
    }),
    case("R21", "the objection window is another than it must be", || {
        and(&pat(), AppointmentProposed { window_ends_at: Some(now() + Millis::hours(71)), ..proposed(KIM) })
    }),
    case("R21", "the appointment was proposed already", || waiting().doubled("AppointmentProposed")),
    case("R21", "the appointment ended already", || with(appointed()).doubled("AppointmentEnded")),
    case("R21", "it is another person's appointment", || {
        waiting().and(&key(), [ended(KIM, AppointmentOutcome::Rejected)])
    }),
    case("R21", "the appointment could not end so, by this actor, at this time", || {
        waiting().and(&mailer(), [ended(SAM, AppointmentOutcome::CarriedOut)])
    }),
    case("R21", "the appointment could not end so, by this actor, at this time", || {
        waiting().and(&pat(), [ended(SAM, AppointmentOutcome::Rejected)])
    }),
    case("R21", "the appointment could not end so, by this actor, at this time", || {
        waiting().and(&key(), [ended(SAM, AppointmentOutcome::Withdrawn)])
    }),
    case("R21", "the appointment could not end so, by this actor, at this time", || {
        waiting()
            .and(&robin(), [objected(ROBIN)])
            .after(Millis::days(4))
            .and(&mailer(), [ended(SAM, AppointmentOutcome::CarriedOut)])
    }),
    case("R21", "not everybody is told of the proposal", || {
        waiting().without("NoticeIssued").at("AppointmentProposed")
    }),
    case("R21", "without a window it is carried out at once", || {
        and(&pat(), AppointmentProposed { window_ends_at: None, ..proposed(KIM) })
    }),
    case("R21", "not everybody is told of the new administrator", || {
        with(appointed()).without("NoticeIssued").at("AppointmentEnded")
    }),
    case("R21", "the appointed is no administrator", || with(appointed()).without("RoleGiven").at("AppointmentEnded")),
    case("R21", "the replaced keeps the role", || with(appointed()).without("RoleTaken").at("AppointmentEnded")),
    case("R21", "nothing in the append is the notice's cause", || {
        and(&robin(), notice(ROBIN, Notice::AppointmentProposed, NoticeTo::Registered, 1))
    }),
    case("R21", "nothing in the append is the notice's cause", || {
        and(&robin(), notice(ROBIN, Notice::AppointmentCarriedOut, NoticeTo::Registered, 1))
    }),
    case("R23", "the actor manages nobody here", || with(wished()).and(&sam(), [declined()])),
    case("R23", "approval adds and invites", || with(approved()).without("InvitationIssued").then(0)),
    case("R23", "somebody else was added than asked", || {
        with(approved())
            .alter("ProfessionalAdded", |it| {
                let Event::ProfessionalAdded(added) = &mut it.event else { unreachable!() };
                added.details = Some(details("Kim Keel", "else@harbour.example"));
            })
            .at("AccessRequestApproved")
    }),
    case("R23", "the identity has a profile in the account", || and(&sam(), asked(SAMS))),
    case("R23", "the identity has an open request already", || {
        let access_request = AccessRequestId(Uuid::from_u128(0x2b));
        with(wished()).and(&stranger(), [AccessRequested { access_request, ..asked(STRANGERS) }])
    }),
    case("R23", "the request was made already", || with(wished()).doubled("AccessRequested")),
    case("R23", "no such request was made", || and(&robin(), declined())),
    case("R23", "the request has ended", || with(wished()).and(&robin(), [declined(), declined()]).then(1)),
];

fn signed_in(professional: ProfessionalId, identity: IdentityId) -> AdministratorSignedIn {
    AdministratorSignedIn { account: HARBOUR, professional, identity }
}

/// The base after support replaced Robin by Sam.
fn appointed() -> Given {
    harbour().and(&support(), propose(SAM, Some(ROBIN)))
}

fn approved() -> Given {
    let (account, access_request, professional) = (HARBOUR, REQUEST, LEE);
    let new = new_link(FIFTH);
    wished().and(&person(ROBINS), Command::ApproveAccessRequest { account, access_request, professional, new })
}

const MAILS: &[Case] = &[
    case("R26", "no such mail was taken over", || {
        and(&key(), of_mail!(MailBounced, kims_mail(), 0, status: None, reply: None))
    }),
    case("R26", "the mail came back already", || {
        let bounced = || of_mail!(MailBounced, kims_mail(), 0, status: None, reply: None);
        and(&mailer(), attempted(1)).and(&mailer(), [sent(1)]).and(&key(), [bounced(), bounced()]).then(1)
    }),
    case("R26", "the mail was wanted already", || {
        and(&Actor::Link, code(1, now() + Millis::minutes(10)))
            .and(&key(), [InvitationIssued { mail: MAIL, ..next(now()) }])
    }),
    case("R26", "no such mail waits", || and(&mailer(), of_mail!(MailAttempted, MAIL, 1))),
    case("R26", "no such mail waits", || and(&mailer(), attempted(1)).and(&mailer(), [sent(1), sent(1)]).then(1)),
    case("R26", "the mail is somebody else's, or about something else", || {
        and(&mailer(), MailAttempted { invitation: None, ..attempted(1) })
    }),
    case("R26", "another attempt is under way", || and(&mailer(), attempted(1)).and(&mailer(), [attempted(2)])),
    case("R26", "the attempt is not due", || {
        and(&mailer(), attempted(1))
            .and(&mailer(), [deferred(1, now() + Millis::minutes(1))])
            .and(&mailer(), [attempted(2)])
    }),
    case("R26", "another worker's claim is not over", || {
        let taken_over: [Event; 2] = [unknown(1, now()).into(), attempted(2).into()];
        and(&mailer(), attempted(1)).after(Millis::minutes(4)).and(&mailer(), taken_over)
    }),
    case("R26", "the outcome was unknown too often", || {
        let log = (1..=3).fold(base(), |log, number| {
            log.and(&mailer(), [attempted(number)]).and(&mailer(), [unknown(number, now())])
        });
        log.and(&mailer(), [attempted(4)])
    }),
    case("R26", "the attempts are counted wrong", || and(&mailer(), attempted(2))),
    case("R26", "no such attempt was made", || and(&mailer(), sent(1))),
    case("R26", "the attempt is not under way", || {
        and(&mailer(), of_mail!(MailRefused, kims_mail(), 1, code: None, reply: None))
    }),
    case("R26", "the attempt is not under way", || and(&mailer(), deferred(1, now() + Millis::minutes(1)))),
    case("R26", "the attempt is not under way", || and(&mailer(), unknown(1, now() + Millis::minutes(1)))),
    case("R26", "a deferred mail is not tried again at once", || {
        and(&mailer(), attempted(1)).and(&mailer(), [deferred(1, now())])
    }),
    case("R26", "the mail is deferred for too long", || {
        and(&mailer(), attempted(1)).and(&mailer(), [deferred(1, now() + Millis::hours(24))])
    }),
    case("R26", "an attempt is under way", || {
        let parked = of_mail!(MailParked, kims_mail(), 1, reason: ParkReason::UnknownTooOften);
        and(&mailer(), attempted(1)).and(&mailer(), [parked])
    }),
    case("R26", "an attempt is under way", || {
        let cancelled = of_mail!(MailCancelled, kims_mail(), 1, reason: CancelReason::Revoked);
        and(&mailer(), attempted(1)).and(&mailer(), [cancelled])
    }),
    case("R26", "the mail is to somebody who is gone", || with(without_kim()).and(&mailer(), [attempted(1)])),
    case("R26", "the mail is to somebody who is gone", || {
        let given = harbour()
            .and(&support(), propose(KIM, Some(ROBIN)))
            .and(&person(ROBINS), Command::RecordSignIn { account: HARBOUR, identity: ROBINS });
        // Robin was told as an administrator and goes.
        let mail = given
            .log
            .iter()
            .find_map(|it| match &it.event {
                Event::NoticeIssued(e) if e.professional == ROBIN => Some(e.mail),
                _ => None,
            })
            .unwrap();
        let hand_over = Command::HandOver { account: HARBOUR, professional: ROBIN, to: SAM };
        let attempt = MailAttempted { account: HARBOUR, professional: ROBIN, invitation: None, mail, attempt: 1 };
        with(given.and(&support(), hand_over)).and(&mailer(), [attempt])
    }),
    case("R26", "the mail was revoked, superseded or used", || and(&key(), next(now())).and(&mailer(), [attempted(1)])),
    case("R26", "what the mail carries has expired", || base().after(Millis::days(7)).and(&mailer(), [attempted(1)])),
    case("R26", "what the mail carries has expired", || {
        and(&Actor::Link, code(1, now() + Millis::minutes(10)))
            .after(Millis::minutes(10))
            .and(&mailer(), [of_mail!(MailAttempted, MAIL, 1)])
    }),
];

const ERASURE: &[Case] = &[
    case("R27", "the person was erased before", || with(without_sam()).and(&key(), [erased(SAM, &[SECOND])])),
    case("R27", "the person was erased before", || {
        let (account, professional, mail) = (HARBOUR, SAM, link_mail(link(SECOND, 1)));
        let invitation = Some(SECOND);
        let (attempt, status, reply) = (0, None, None);
        with(without_sam())
            .and(&key(), [MailBounced { account, professional, invitation, mail, attempt, status, reply }])
    }),
    case("R27", "an identity was erased that never signed in", || {
        with(without_sam()).alter("IdentityErased", |it| {
            it.event = identity_erased(IdentityId(Uuid::from_u128(0xc8))).into();
        })
    }),
    case("R27", "the erased identity has a profile still", || {
        with(without_sam()).alter("IdentityErased", |it| it.event = identity_erased(PATS).into())
    }),
    case("R27", "an access request of the erased is not named", || {
        let given = wished().and(&support(), erase(SAM, &[SAMS]));
        with(given).alter("IdentityErased", |it| it.event = identity_erased(STRANGERS).into())
    }),
    case("R27", "the identity was erased before", || with(without_sam()).doubled("IdentityErased")),
    case("R27", "the identity was erased before", || with(without_sam()).and(&sam(), [associated_kim(SAMS)])),
    case("R27", "something personal of the erased can be read", || {
        // The key of the professional is there still.
        with(without_sam()).alter_added(SAM)
    }),
    case("R27", "something personal of the erased can be read", || with(without_sam()).alter_registered(SAMS)),
    case("R27", "a mail to the erased waits still", || {
        with(without_sam()).without("MailCancelled").at("ProfessionalErased")
    }),
    case("R27", "who is erased lives", || and(&key(), erased(SAM, &[SECOND]))),
    case("R27", "an invitation of the erased is not named", || {
        with(without_sam()).alter("ProfessionalErased", |it| it.event = erased(SAM, &[]).into())
    }),
    case("R27", "an appointment of the erased is not named", || {
        let given = harbour().and(&partner(), propose(SAM, None)).and(&support(), erase(SAM, &[SAMS]));
        with(given).alter("ProfessionalErased", |it| it.event = erased(SAM, &[SECOND]).into())
    }),
];

impl Log {
    /// Gives the whole last append to another actor.
    fn alter_append(mut self, actor: Actor) -> Self {
        let request = self.events[self.position - 1].request.id;
        self.events.iter_mut().filter(|it| it.request.id == request).for_each(|it| it.actor = actor.clone());
        self
    }

    /// Puts back what was personal about a professional.
    fn alter_added(mut self, professional: ProfessionalId) -> Self {
        let is_of = |it: &Recorded| matches!(&it.event, Event::ProfessionalAdded(e) if e.professional == professional);
        let index = self.events.iter().position(is_of).unwrap();
        self.events[index].event = added(professional).into();
        self.position = index + 1;
        self
    }

    /// Puts back what was personal about an identity.
    fn alter_registered(mut self, identity: IdentityId) -> Self {
        let is_of = |it: &Recorded| matches!(&it.event, Event::IdentityRegistered(e) if e.identity == identity);
        let index = self.events.iter().position(is_of).unwrap();
        if let Event::IdentityRegistered(e) = &mut self.events[index].event {
            let address = Some(address("sam@mail.example"));
            e.details = Some(domain::personal::IdentityDetails { name: None, address });
        }
        self.position = index + 1;
        self
    }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [LOGS, PEOPLE, ACCOUNTS, INVITATIONS, APPOINTMENTS, MAILS, ERASURE].into_iter().flatten()
}

#[test]
fn a_good_log_has_no_breach() {
    let mut names = BTreeSet::new();
    for given in all() {
        names.extend(given.log.iter().map(|recorded| recorded.event.name()));
        assert_eq!(check(&read_back(given.log)), []);
    }
    assert_eq!(names, Event::NAMES.iter().copied().collect(), "the good logs have every type of event");
}

#[test]
fn every_predicate_fails_where_a_log_was_tampered_with() {
    let mut wrong = Vec::new();
    for Case { rule, what, log } in cases() {
        let log = log();
        let log = if *rule == "position" { log } else { log.renumbered() };
        let expected = log.events[log.position - 1].position;
        let breaches = check(&log.events);
        if !breaches.iter().any(|it| (it.position, it.rule, it.what) == (expected, *rule, *what)) {
            wrong.push(format!("{rule} at {expected}: {what}\n  not among {breaches:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_and_every_predicate_has_a_case() {
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.number).collect();
    assert_eq!(rules, cases().map(|case| case.rule).collect::<BTreeSet<_>>());
    let sources = [
        include_str!("../../src/check.rs"),
        include_str!("../../src/check/authority.rs"),
        include_str!("../../src/check/accounts.rs"),
        include_str!("../../src/check/people.rs"),
        include_str!("../../src/check/invitations.rs"),
        include_str!("../../src/check/appointments.rs"),
        include_str!("../../src/check/mails.rs"),
        include_str!("../../src/check/erasure.rs"),
    ];
    let seen: BTreeSet<_> = cases().map(|case| case.what).collect();
    let mut predicates = 0;
    for source in sources {
        for call in source.split("report.need(").skip(1).chain(source.split("report.found(").skip(1)) {
            let end = call.find(");").or_else(|| call.find(") else")).unwrap_or(call.len());
            let Some(what) = call[..end].rsplit('"').nth(1).filter(|what| what.contains(' ')) else { continue };
            predicates += 1;
            assert!(seen.contains(what), "no log of these tests breaks: {what}");
        }
    }
    assert!(predicates > 100, "the sources are read wrong: {predicates}");
}

#[test]
fn whatever_is_dropped_doubled_or_exchanged_the_checker_goes_on() {
    for given in all() {
        let log = read_back(given.log);
        for index in 0..log.len() {
            let (mut dropped, mut doubled, mut swapped) = (log.clone(), log.clone(), log.clone());
            dropped.remove(index);
            doubled.insert(index, log[index].clone());
            swapped.swap(index, log.len() - 1 - index);
            for tampered in [&dropped, &doubled] {
                let is_last = index + 1 == log.len() && tampered.len() < log.len();
                assert_eq!(check(tampered).is_empty(), is_last, "position {index}");
            }
            for mut tampered in [dropped, doubled, swapped] {
                tampered.iter_mut().zip(1..).for_each(|(recorded, position)| recorded.position = position);
                check(&tampered);
            }
        }
    }
}

#[test]
fn the_checker_keeps_a_bounded_number_of_breaches() {
    let mut checker = Checker::default();
    let mut recorded = harbour().log.remove(0);
    recorded.position = 7;
    (0..domain::check::BREACHES_MAX + 10).for_each(|_| checker.see(&recorded));
    assert_eq!(checker.finish().len(), domain::check::BREACHES_MAX);
}
