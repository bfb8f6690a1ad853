//! One account's rows, in order: what its history lacks becomes commands, executed or only decided.

use std::sync::Arc;
use std::time::Duration;

use domain::account::{Account, Standing};
use domain::caller::{Caller, Context, Request};
use domain::command::{Command, NewLink};
use domain::decide::{Known, Past, State, decide};
use domain::event::{Event, Recorded};
use domain::ids::{AccountId, EventId, InvitationId, ProfessionalId};
use domain::invitation::Lifetime;
use domain::name::CustomerNumber;
use domain::refusal::Refusal;
use domain::tag::{RequestKey, Subject};
use domain::time::Timestamp;
use store::{ExecuteError, Store, random};
use tokio::sync::Semaphore;

use super::past::AccountPast;
use super::results::{Outcome, Reason};
use super::rows::{AccountRow, PersonRow};
use super::{Done, Import, ImportError, Mode, Seen};

/// How often a command that found the queue full is tried again.
const BUSY_TRIES_MAX: u32 = 400;
/// The wait between two such tries: several batches long.
const BUSY_WAIT: Duration = Duration::from_millis(25);
/// How often an account whose minute is full looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The rows about one customer number.
pub(super) struct Work {
    pub number: CustomerNumber,
    pub accounts: Vec<(usize, AccountRow)>,
    pub people: Vec<(usize, PersonRow)>,
}

/// What came of them.
pub(super) struct Worked {
    pub number: CustomerNumber,
    pub rows: Vec<(usize, Done)>,
    /// The account, if there is one now.
    pub seen: Option<Seen>,
    /// Rows that name partners.
    pub partners: Vec<(usize, Vec<CustomerNumber>)>,
    pub deferred: Option<Deferred>,
}

/// An account whose rows name partners, each as it was found.
pub(super) struct Served {
    pub account: Seen,
    pub rows: Vec<(usize, Vec<Option<Seen>>)>,
}

/// Invitations that did not fit into the account's minute.
pub(super) struct Deferred {
    past: AccountPast,
    waiting: Vec<(usize, ProfessionalId)>,
}

impl Seen {
    pub(super) fn of(past: &AccountPast) -> Self {
        let account = past.account();
        let partners_ever = past.partners_ever().clone();
        Self { id: past.id, kind: account.kind, is_open: account.is_open(), partners_ever }
    }

    /// As much of its state as it takes to decide whether a partner may serve.
    fn known(&self) -> Known {
        let standing = Standing { is_closed: !self.is_open, ..Standing::default() };
        let account = Account { id: Some(self.id), kind: self.kind, standing, ..Account::default() };
        Known { state: State::Account(Box::new(account)), newest_at: Timestamp::default() }
    }
}

/// Where rows become commands.
pub(super) struct Desk {
    store: Store,
    caller: Caller,
    link_key: String,
    mode: Mode,
    reads: Arc<Semaphore>,
}

/// Why a command had no effect.
enum Stopped {
    /// It was refused; the row says so and the next one follows.
    Refused(Refusal),
    /// The import ends.
    Ended(ImportError),
}

impl From<ImportError> for Stopped {
    fn from(error: ImportError) -> Self {
        Self::Ended(error)
    }
}

impl Desk {
    pub fn new(import: &Import, reads: Arc<Semaphore>) -> Self {
        let (store, caller) = (import.store.clone(), import.caller.clone());
        Self { store, caller, link_key: import.link_key.clone(), mode: import.mode, reads }
    }

    /// Reads the account that a customer number opened.
    pub async fn load(&self, number: &CustomerNumber) -> Result<Option<AccountPast>, ImportError> {
        let _turn = self.reads.acquire().await.map_err(|_| ImportError::Died)?;
        let opened = self.store.events_about(&Subject::CustomerNumber(number.clone())).await?;
        let id = opened.iter().find_map(|recorded| match &recorded.event {
            Event::AccountOpened(e) => Some(e.account),
            _ => None,
        });
        let Some(id) = id else { return Ok(None) };
        Ok(Some(self.load_account(id).await?))
    }

    async fn load_account(&self, id: AccountId) -> Result<AccountPast, ImportError> {
        let mut past = AccountPast::nothing(id);
        self.store.events_about(&Subject::Account(id)).await?.iter().for_each(|recorded| past.evolve(recorded));
        Ok(past)
    }

    /// Does one account's rows in order.
    pub async fn work_off(&self, work: Work) -> Result<Worked, ImportError> {
        let mut past = self.load(&work.number).await?;
        let (mut rows, mut partners) = (Vec::with_capacity(work.accounts.len() + work.people.len()), Vec::new());
        for (row, wish) in work.accounts {
            let done = match self.account(&work.number, &wish, &mut past).await {
                Err(Stopped::Ended(error)) => return Err(error),
                Err(Stopped::Refused(refusal)) => Done::refused((&refusal).into()),
                Ok(done) => done,
            };
            if !wish.partners.is_empty() && done.outcome != Outcome::Refused {
                partners.push((row, wish.partners));
            }
            rows.push((row, self.told(done, past.as_ref())));
        }
        let mut waiting = Vec::new();
        for (row, wish) in work.people {
            let done = match &mut past {
                None => Done::refused((&Refusal::UnknownAccount).into()),
                Some(past) => match self.person(&wish, past).await {
                    Err(error) => return Err(error),
                    Ok((done, None)) => done,
                    Ok((done, Some(professional))) => {
                        waiting.push((row, professional));
                        done
                    }
                },
            };
            rows.push((row, self.told(done, past.as_ref())));
        }
        let seen = past.as_ref().map(Seen::of);
        let deferred = past.filter(|_| !waiting.is_empty()).map(|past| Deferred { past, waiting });
        Ok(Worked { number: work.number, rows, seen, partners, deferred })
    }

    /// What is told of a row. A dry run makes ids up, which nobody must take for real ones: it tells none.
    fn told(&self, done: Done, past: Option<&AccountPast>) -> Done {
        match self.mode {
            Mode::DryRun => Done { professional: None, ..done },
            Mode::Append => Done { account: past.map(|past| past.id), ..done },
        }
    }

    /// Opens an account, or gives one what it never had.
    async fn account(
        &self,
        number: &CustomerNumber,
        wish: &AccountRow,
        past: &mut Option<AccountPast>,
    ) -> Result<Done, Stopped> {
        let mut outcome = Outcome::Unchanged;
        if past.is_none() {
            match self.open(number, wish).await {
                Ok(opened) => {
                    *past = Some(opened);
                    outcome = Outcome::Created;
                }
                // Somebody else was faster.
                Err(Stopped::Refused(Refusal::CustomerNumberTaken)) => *past = self.load(number).await?,
                Err(stopped) => return Err(stopped),
            }
        }
        let Some(past) = past else { return Err(Stopped::Refused(Refusal::CustomerNumberTaken)) };
        if past.account().kind != Some(wish.kind) {
            let message = "The account is there, of the other kind.";
            return Ok(Done::refused(Reason::new("kind_differs", message)));
        }
        if let Some(plan) = wish.plan.as_ref().filter(|_| !past.has_had_plan()) {
            let command = Command::SetServicePlan { account: past.id, plan: Some(plan.clone()) };
            outcome = outcome.and(self.run(past, command).await?);
        }
        Ok(Done { outcome, reason: None, account: None, professional: None })
    }

    async fn open(&self, number: &CustomerNumber, wish: &AccountRow) -> Result<AccountPast, Stopped> {
        let account = AccountId(random::uuid());
        let (customer_number, kind, name) = (number.clone(), wish.kind, wish.name.clone());
        let subject = Subject::CustomerNumber(number.clone());
        let nobodys = Known::nothing(&subject);
        let command = Command::OpenAccount { account, customer_number, kind, name };
        let mut imagined = AccountPast::nothing(account);
        let opened = self.decide(&imagined, &command, Some((&subject, &nobodys))).map_err(Stopped::Refused)?;
        opened.iter().for_each(|recorded| imagined.evolve(recorded));
        if let Some(plan) = wish.plan.clone() {
            // With a plan that would be refused, the account is not opened either.
            let set_plan = Command::SetServicePlan { account, plan: Some(plan) };
            self.decide(&imagined, &set_plan, None).map_err(Stopped::Refused)?;
        }
        let mut past = AccountPast::nothing(account);
        self.run_with(&mut past, command, Some((&subject, &nobodys))).await?;
        Ok(past)
    }

    /// Adds a person, or gives one what it never had. Whoever's invitation has to wait is told beside it.
    async fn person(
        &self,
        wish: &PersonRow,
        past: &mut AccountPast,
    ) -> Result<(Done, Option<ProfessionalId>), ImportError> {
        let may_send = self.mode == Mode::DryRun || past.next_invitation_at() <= self.store.clock().now();
        let (professional, outcome) = match past.person(&wish.details.address.key()) {
            Some(found) => (found, Outcome::Unchanged),
            None => {
                let link = (wish.is_to_be_invited && may_send).then(|| self.new_link());
                match self.add(wish, past, link).await? {
                    Ok(added) => added,
                    Err(refusal) => return Ok((Done::refused((&refusal).into()), None)),
                }
            }
        };
        let mut done = Done { outcome, reason: None, account: None, professional: Some(professional) };
        if let Err(refused) = self.give_roles(wish, past, professional, &mut done).await? {
            return Ok((Done { professional: Some(professional), ..Done::refused((&refused).into()) }, None));
        }
        if !wish.is_to_be_invited || past.is_invited(professional) {
            return Ok((done, None));
        }
        if !may_send {
            return Ok((done, Some(professional)));
        }
        Ok((self.send(past, professional, done).await?, None))
    }

    /// Adds a person, with an invitation if there is a link. Whom somebody else adds at the same moment is there.
    async fn add(
        &self,
        wish: &PersonRow,
        past: &mut AccountPast,
        link: Option<NewLink>,
    ) -> Result<Result<(ProfessionalId, Outcome), Refusal>, ImportError> {
        let (account, now) = (past.account(), self.store.clock().now());
        // R20: adding with an invitation and no plan is refused whole, also where the invitation would go out later.
        if wish.is_to_be_invited && account.is_open() && !account.may_invite(now) {
            return Ok(Err(Refusal::NoServicePlan));
        }
        let professional = ProfessionalId(self.store.fresh_id());
        let add = Command::AddProfessional {
            account: past.id,
            professional,
            details: wish.details.clone(),
            language: wish.language,
            invitation: link,
        };
        match self.run(past, add).await {
            Ok(_) => Ok(Ok((professional, Outcome::Created))),
            Err(Stopped::Ended(error)) => Err(error),
            Err(Stopped::Refused(refusal)) if refusal.code() == "address_already_in_account" => {
                *past = self.load_account(past.id).await?;
                let found = past.person(&wish.details.address.key());
                Ok(found.map(|found| (found, Outcome::Unchanged)).ok_or(refusal))
            }
            Err(Stopped::Refused(refusal)) => Ok(Err(refusal)),
        }
    }

    /// Gives a person the roles that it never had.
    async fn give_roles(
        &self,
        wish: &PersonRow,
        past: &mut AccountPast,
        professional: ProfessionalId,
        done: &mut Done,
    ) -> Result<Result<(), Refusal>, ImportError> {
        for role in &wish.roles {
            if past.has_had_role(professional, *role) {
                continue;
            }
            let command = Command::GiveRole { account: past.id, professional, role: *role };
            match self.run(past, command).await {
                Ok(outcome) => done.outcome = done.outcome.and(outcome),
                Err(Stopped::Ended(error)) => return Err(error),
                Err(Stopped::Refused(refusal)) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(()))
    }

    async fn send(
        &self,
        past: &mut AccountPast,
        professional: ProfessionalId,
        done: Done,
    ) -> Result<Done, ImportError> {
        let command = Command::SendInvitation { account: past.id, professional, new: self.new_link() };
        match self.run(past, command).await {
            Ok(outcome) => Ok(Done { outcome: done.outcome.and(outcome), ..done }),
            Err(Stopped::Ended(error)) => Err(error),
            Err(Stopped::Refused(refusal)) => {
                Ok(Done { professional: done.professional, ..Done::refused((&refusal).into()) })
            }
        }
    }

    /// Sends an account's waiting invitations as its minutes allow. What others do meanwhile stays, and counts.
    pub async fn send_deferred(
        &self,
        deferred: Deferred,
        permits: &Semaphore,
    ) -> Result<Vec<(usize, Done)>, ImportError> {
        let Deferred { mut past, waiting } = deferred;
        let mut rows = Vec::with_capacity(waiting.len());
        for (row, professional) in waiting {
            let _permit = loop {
                while self.store.clock().now() < past.next_invitation_at() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                let permit = permits.acquire().await.map_err(|_| ImportError::Died)?;
                past = self.load_account(past.id).await?;
                if self.store.clock().now() >= past.next_invitation_at() {
                    break permit;
                }
            };
            let unchanged =
                Done { outcome: Outcome::Unchanged, reason: None, account: None, professional: Some(professional) };
            let done = match past.is_invited(professional) {
                true => unchanged,
                false => self.send(&mut past, professional, unchanged).await?,
            };
            rows.push((row, done));
        }
        Ok(rows)
    }

    /// Assigns the partners that never served the account; one that is unknown or refused does not stop the next.
    pub async fn assign(&self, served: Served) -> Result<Vec<(usize, Done)>, ImportError> {
        let mut past = AccountPast::of(served.account.id, served.account.known());
        let mut rows = Vec::with_capacity(served.rows.len());
        for (row, partners) in served.rows {
            let mut done = Done { outcome: Outcome::Unchanged, reason: None, account: None, professional: None };
            for partner in partners {
                match self.assign_one(&served.account, partner, &mut past).await {
                    Ok(outcome) => done.outcome = done.outcome.and(outcome),
                    Err(Ok(reason)) => done = Done::refused(reason),
                    Err(Err(error)) => return Err(error),
                }
            }
            rows.push((row, done));
        }
        Ok(rows)
    }

    async fn assign_one(
        &self,
        account: &Seen,
        partner: Option<Seen>,
        past: &mut AccountPast,
    ) -> Result<Outcome, Result<Reason, ImportError>> {
        let unknown = || Reason::new("unknown_partner", "A partner has no account, neither in the file nor here.");
        let partner = partner.ok_or_else(|| Ok(unknown()))?;
        if account.partners_ever.contains(&partner.id) || past.partners_ever().contains(&partner.id) {
            return Ok(Outcome::Unchanged);
        }
        let command = Command::AssignPartner { account: account.id, partner: partner.id };
        let (subject, known) = (Subject::Account(partner.id), partner.known());
        let of_partner = (partner.id != account.id).then_some((&subject, &known));
        self.run_with(past, command, of_partner).await.map_err(|stopped| match stopped {
            Stopped::Refused(refusal) => Ok((&refusal).into()),
            Stopped::Ended(error) => Err(error),
        })
    }

    fn new_link(&self) -> NewLink {
        let invitation = InvitationId(self.store.fresh_id());
        NewLink { invitation, lifetime: Lifetime::DEFAULT, link_key: self.link_key.clone() }
    }

    /// Executes a command about one account, or decides it, and takes its events into the account's past. Without events it
    /// changed nothing.
    async fn run(&self, past: &mut AccountPast, command: Command) -> Result<Outcome, Stopped> {
        self.run_with(past, command, None).await
    }

    async fn run_with(
        &self,
        past: &mut AccountPast,
        command: Command,
        other: Option<(&Subject, &Known)>,
    ) -> Result<Outcome, Stopped> {
        let events = match self.mode {
            Mode::Append => self.execute(command).await?,
            Mode::DryRun => self.decide(past, &command, other).map_err(Stopped::Refused)?,
        };
        events.iter().for_each(|recorded| past.evolve(recorded));
        if !events.is_empty() {
            return Ok(Outcome::Completed);
        }
        if self.mode == Mode::Append {
            // By this past it would have changed something, so somebody else was faster.
            *past = self.load_account(past.id).await?;
        }
        Ok(Outcome::Unchanged)
    }

    /// Decides a command as the appender would, on the account's past and on what else the command reads.
    fn decide(
        &self,
        past: &AccountPast,
        command: &Command,
        other: Option<(&Subject, &Known)>,
    ) -> Result<Vec<Recorded>, Refusal> {
        let account = Subject::Account(past.id);
        let read: Past<'_> = [Some((&account, &past.known)), other].into_iter().flatten().collect();
        let now = self.store.clock().now().max(past.known.newest_at);
        let context = Context { now, caller: self.caller.clone(), request: request() };
        let record = |event| Recorded {
            position: 0, // it is appended nowhere
            id: EventId(random::uuid()),
            recorded_at: now,
            actor: context.caller.actor.clone(),
            request: context.request.clone(),
            event,
        };
        Ok(decide(&read, command, &context)?.into_iter().map(record).collect())
    }

    /// Executes a command; while the queue is full it waits. What it appended now, and nothing if it had its effect
    /// before. Whether a command whose answer is lost was executed shows at the next run, so the import ends there.
    async fn execute(&self, command: Command) -> Result<Vec<Recorded>, Stopped> {
        let request = Request { key: one_effect(&command), ..request() };
        for _ in 0..BUSY_TRIES_MAX {
            match self.store.execute(command.clone(), self.caller.clone(), request.clone()).await {
                Ok(executed) if executed.replayed => return Ok(Vec::new()),
                Ok(executed) => return Ok(executed.events),
                Err(ExecuteError::Busy) => tokio::time::sleep(BUSY_WAIT).await,
                Err(ExecuteError::Refused(refusal)) => return Err(Stopped::Refused(refusal)),
                Err(error) => return Err(Stopped::Ended(ImportError::Execute(error))),
            }
        }
        Err(Stopped::Ended(ImportError::Execute(ExecuteError::Busy)))
    }
}

/// What stands for the one effect of a command that would have another if it came twice: two imports at once give a
/// role, and send an invitation, once.
fn one_effect(command: &Command) -> Option<RequestKey> {
    let effect = match command {
        Command::GiveRole { professional, role, .. } => format!("{role} {professional}"),
        Command::SendInvitation { professional, .. } => format!("invitation {professional}"),
        _ => return None,
    };
    Some(RequestKey::derive("import", &effect))
}

fn request() -> Request {
    Request { id: random::uuid(), key: None, body: None, if_match: None }
}
