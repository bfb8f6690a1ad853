//! Histories to project: random ones, whose refusals are part of it.

use domain::caller::Caller;
use domain::command::Command;
use domain::event::{Event, Position};
use domain::ids::{AccountId, IdentityId, ProfessionalId};
use domain::invitation::Link;
use domain::mail::MailOutcome;
use domain::words::AccountKind;
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
