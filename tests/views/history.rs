//! Histories to project: random ones, whose refusals are part of it.

use domain::caller::Caller;
use domain::command::{Command, Edit, Verdict};
use domain::event::{Event, Position};
use domain::ids::{AccessRequestId, AccountId, AppointmentId, IdentityId, ProfessionalId};
use domain::invitation::Link;
use domain::mail::MailOutcome;
use domain::name::{AccountName, Reason};
use domain::personal::Grounds;
use domain::tag::{Subject, Tag};
use domain::words::{AccountKind, Language, Role};
use store::Store;

use crate::log::bench::{at_once, run};
use crate::log::commands::*;

/// Somebody who wishes for one thing after the other.
pub struct Writer {
    store: Store,
    random: u64,
    accounts: Vec<AccountId>,
    people: Vec<(AccountId, ProfessionalId)>,
    links: Vec<(ProfessionalId, Link)>,
    /// Mails that somebody has claimed, the newest last.
    claimed: Vec<(ProfessionalId, Link, u32)>,
    identities: Vec<IdentityId>,
}

/// Lets several writers wish at once, this often in all.
pub async fn write(store: &Store, count: usize) {
    const WRITERS: usize = 6;
    let writing = (0..WRITERS).map(|seed| {
        let mut writer = Writer::new(store.clone(), seed as u64);
        async move { writer.steps(count.div_ceil(WRITERS)).await }
    });
    at_once(writing.collect::<Vec<_>>()).await;
    everything(store).await;
}

/// An account whose people, partner and support have done everything that can be done, once at least.
pub async fn everything(store: &Store) -> (AccountId, IdentityId) {
    let (account, partner) = (an_account(store).await, fresh_account());
    let does = async |caller: &Caller, command: Command| run(store, caller, command).await.unwrap();
    does(&staff(), open_as(partner, &number(), AccountKind::Partner)).await;
    let administrator = linked(store, account).await;
    let colleague = linked(store, account).await;
    let seller = linked(store, partner).await;
    let name = AccountName::parse("Harbour Two").unwrap();
    does(&staff(), Command::RenameAccount { account, name: name.clone() }).await;
    does(&staff(), Command::RenameAccount { account: partner, name }).await;
    does(&staff(), Command::AssignPartner { account, partner }).await;
    edit_and_unlink(store, account, &administrator, &colleague).await;
    ask_for_access(store, account, &administrator).await;
    appoint(store, account, partner, &administrator, &seller).await;
    let left_out = Command::RecordAssociationLimit { identity: seller.identity, left_out: 3 };
    does(&person(seller.identity), left_out).await;
    let (tag, subject) = (Some(Tag::Account(account)), Subject::Account(account));
    does(&person(administrator.identity), Command::RecordAuditRead { tag, subject }).await;
    bounce(store, account).await;
    leave(store, account, &administrator).await;
    (account, administrator.identity)
}

/// Somebody with an identity.
struct Linked {
    professional: ProfessionalId,
    identity: IdentityId,
}

async fn linked(store: &Store, account: AccountId) -> Linked {
    let (professional, link) = somebody_invited(store, account).await;
    let identity = fresh_identity();
    run(store, &person(identity), register(identity)).await.unwrap();
    run(store, &person(identity), accept(link, identity)).await.unwrap();
    Linked { professional, identity }
}

async fn edit_and_unlink(store: &Store, account: AccountId, administrator: &Linked, colleague: &Linked) {
    let caller = person(administrator.identity);
    let edit = Edit { address: Some(details(&address()).address), ..Edit::default() };
    let edited = Command::EditProfessional { account, professional: colleague.professional, edit };
    run(store, &caller, edited).await.unwrap();
    run(store, &caller, Command::UnlinkIdentity { account, professional: colleague.professional }).await.unwrap();
}

/// One request is approved, one declined, one left open.
async fn ask_for_access(store: &Store, account: AccountId, administrator: &Linked) {
    let caller = person(administrator.identity);
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (identity, access_request) = (fresh_identity(), AccessRequestId(store::random::uuid()));
        run(store, &person(identity), register(identity)).await.unwrap();
        let (details, language) = (details(&address()), Language::English);
        let ask = Command::RequestAccess { account, access_request, identity, details, language };
        run(store, &person(identity), ask).await.unwrap();
        asked.push(access_request);
    }
    let (professional, new) = (fresh_professional(), new_link(fresh_invitation()));
    let approve = Command::ApproveAccessRequest { account, access_request: asked[0], professional, new };
    run(store, &caller, approve).await.unwrap();
    run(store, &caller, Command::DeclineAccessRequest { account, access_request: asked[1] }).await.unwrap();
}

/// A partner appoints somebody, an administrator objects, support carries it out; another partner goes.
async fn appoint(store: &Store, account: AccountId, partner: AccountId, administrator: &Linked, seller: &Linked) {
    let (professional, _) = somebody_invited(store, account).await;
    let appointment = AppointmentId(store::random::uuid());
    let grounds = Grounds {
        reason: Reason::parse("the administrator has left").unwrap(),
        evidence: Reason::parse("a letter").unwrap(),
    };
    let propose = Command::ProposeAppointment { account, appointment, professional, replaces: None, grounds };
    let caller = Caller { partner: Some(partner), ..person(seller.identity) };
    run(store, &caller, propose).await.unwrap();
    let object = Command::ObjectToAppointment { account, appointment };
    run(store, &person(administrator.identity), object).await.unwrap();
    let decide = Command::DecideAppointment { account, appointment, verdict: Verdict::CarryOut };
    run(store, &staff(), decide).await.unwrap();
    let other = fresh_account();
    run(store, &staff(), open_as(other, &number(), AccountKind::Partner)).await.unwrap();
    run(store, &staff(), Command::AssignPartner { account, partner: other }).await.unwrap();
    run(store, &staff(), Command::RemovePartner { account, partner: other }).await.unwrap();
}

async fn bounce(store: &Store, account: AccountId) {
    let (professional, link) = somebody_invited(store, account).await;
    run(store, &worker(), attempt(link)).await.unwrap();
    let sent = MailOutcome::Sent { reply: "250 queued".into() };
    run(store, &worker(), record_outcome(link, professional, 1, sent)).await.unwrap();
    let (mail, status, reply) = (mail_of(link), Some("5.1.1".into()), "no such user".into());
    run(store, &staff(), Command::RecordBounce { account, professional, mail, status, reply }).await.unwrap();
}

/// Somebody hands over and goes, and is erased with the identity; another account is closed.
async fn leave(store: &Store, account: AccountId, administrator: &Linked) {
    let going = linked(store, account).await;
    let (role, caller) = (Role::Administrator, person(administrator.identity));
    let professional = going.professional;
    run(store, &caller, Command::GiveRole { account, professional, role }).await.unwrap();
    let hand_over = Command::HandOver { account, professional, to: administrator.professional };
    run(store, &caller, hand_over).await.unwrap();
    let identities = vec![going.identity];
    run(store, &staff(), Command::ErasePerson { account, professional, identities }).await.unwrap();
    let closed = an_account(store).await;
    somebody_invited(store, closed).await;
    run(store, &staff(), Command::CloseAccount { account: closed }).await.unwrap();
}

impl Writer {
    /// The same seed makes the same wishes, ids aside.
    pub fn new(store: Store, seed: u64) -> Self {
        let (accounts, people, links) = (Vec::new(), Vec::new(), Vec::new());
        Self { store, random: seed, accounts, people, links, claimed: Vec::new(), identities: Vec::new() }
    }

    /// A number below `end`.
    fn number(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end
    }

    fn any<T: Copy>(&mut self, list: fn(&Self) -> &Vec<T>) -> Option<T> {
        let length = list(self).len();
        if length == 0 { None } else { Some(self.number(length)).map(|number| list(self)[number]) }
    }

    /// Wishes once. Returns the position of what came of it.
    pub async fn step(&mut self) -> Option<Position> {
        let (caller, command) = self.wish()?;
        let link = match &command {
            Command::AttemptMail { mail, .. } => self.links.iter().find(|(_, link)| mail_of(*link) == *mail).copied(),
            _ => None,
        };
        let executed = run(&self.store, &caller, command).await.ok()?;
        for recorded in &executed.events {
            match &recorded.event {
                Event::MailAttempted(e) => {
                    self.claimed.extend(link.map(|(person, link)| (person, link, e.attempt)));
                }
                Event::AccountOpened(e) => self.accounts.push(e.account),
                Event::ProfessionalAdded(e) => self.people.push((e.account, e.professional)),
                Event::IdentityRegistered(e) => self.identities.push(e.identity),
                Event::InvitationIssued(e) => {
                    let link = Link { account: e.account, invitation: e.invitation, generation: e.generation };
                    self.links.push((e.professional, link));
                }
                _ => {}
            }
        }
        Some(executed.position)
    }

    /// Wishes this often.
    pub async fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step().await;
        }
    }

    fn wish(&mut self) -> Option<(Caller, Command)> {
        let wish = if self.accounts.is_empty() { 0 } else { self.number(24) };
        let account = self.any(|it| &it.accounts);
        let link = self.any(|it| &it.links);
        let of_link = |command: fn(Link) -> Command| link.map(|(_, link)| (link_holder(), command(link)));
        match wish {
            0 if self.number(4) == 0 => Some((staff(), open_as(fresh_account(), &number(), AccountKind::Partner))),
            0 => Some((staff(), open(fresh_account(), &number()))),
            1..=2 => Some((staff(), set_plan(account?, ["Support Plan", "Enhancement Plan"][wish % 2]))),
            3..=5 => Some((staff(), invite(account?, fresh_professional(), &address(), fresh_invitation()))),
            6 => self.any(|it| &it.people).map(|(account, person)| (staff(), send(account, person))),
            7..=8 => of_link(visit),
            9 => of_link(click),
            10 => of_link(|link| Command::RequestLatestLink { link, new: new_link(fresh_invitation()) }),
            11 => of_link(revoke).map(|(_, command)| (staff(), command)),
            12 => Some((link_holder(), register(fresh_identity()))),
            13 => self.any(|it| &it.identities).zip(link).map(|(id, (_, link))| (person(id), issue_code(link, id))),
            14 => self.any(|it| &it.identities).zip(link).map(|(id, (_, link))| (person(id), accept(link, id))),
            15..=16 => of_link(attempt).map(|(_, command)| (worker(), command)),
            17..=18 => self.claimed.last().map(|(_, link, _)| (worker(), attempt(*link))),
            19..=22 => {
                let (person, link, number) = self.claimed.last().copied()?;
                Some((worker(), record_outcome(link, person, number, self.outcome())))
            }
            _ => {
                let (person, link, number) = self.any(|it| &it.claimed)?; // late, mostly
                Some((worker(), record_outcome(link, person, number, self.outcome())))
            }
        }
    }

    fn outcome(&mut self) -> MailOutcome {
        let reply = "as said by the server".to_owned();
        match self.number(8) {
            0 => MailOutcome::Sent { reply },
            1 => MailOutcome::Refused { code: Some(550), reply },
            2 | 3 => deferred(),
            _ => MailOutcome::Unknown { reply },
        }
    }
}
