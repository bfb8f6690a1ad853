//! The one writer of a node: has commands decided one after the other, each on the pending state of the one before, and
//! appends all that were decided meanwhile as one batch in one transaction.
//!
//! While a batch is on its way to the disk, the next one is decided, upon what the first one holds. What falls, because
//! another node was faster, is decided again with whatever was decided upon it; what falls twice, under the lock, so that no
//! node starves. Nodes that keep meeting on the same subjects take turns.
//!
//! Reading order: [`Appender::run`] takes commands, `Decider` prepares them in memory, `fly` appends what was prepared,
//! `settle` answers whoever stands, `Follower` takes in what others have appended, `decide_again` sees to whoever fell.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::event::Position;
use domain::tag::{Class, RequestKey, Subject, TagKey};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::decider::{Answer, Decided, Decider, Prepared, Queued, lock};
use crate::engine::{BatchCommand, Engine, Verdicts};
use crate::follower::Follower;
use crate::store::ExecuteError;

/// Commands in one batch: keeps the lock short and the statement small.
const BATCH_MAX: usize = 512;
/// Commands that are prepared at a stretch while a batch is under way: its answer is looked for in between.
const PREPARED_AT_ONCE: usize = 16;
/// A batch that takes this many times as long to append as to prepare waits for the disk more than for us: then a full
/// batch, for which callers that were just answered are waited for, is worth more than two halves, one of which is
/// prepared while the other one is under way.
const SLOW: u32 = 4;
/// One command in so many of a batch that met what others had just appended makes the next ones wary.
const MET: usize = 4;
/// For how many batches a wary node looks for what is new before it decides; where batches are small it is wary as soon as
/// others append at all.
const WARY_FOR: usize = 64;
/// Commands of a batch that make it a busy one. Where so many of busy batches meet, nodes take turns: that is cheaper than
/// to look, and to decide again.
const BUSY: usize = 8;
/// Of how many commands of busy batches, at least, that is said.
const HOT_OF: usize = 128;
/// For how many batches nodes then take turns: those of several turns, since each renews it.
const HOT_FOR: usize = 256;
/// How long a node that waits for its turn rests before it takes in what others have appended meanwhile.
const FOLLOW_EVERY: Duration = Duration::from_millis(4);
/// How long a turn is: so many batches that to change costs little, and so few that nobody notices the others' turns.
const TURN: Duration = Duration::from_millis(100);
/// A node is a guest if others have appended so many events for each command of its last batch.
const GUEST: Position = 16;
/// So many times as many after a batch that waited, since others went on meanwhile.
const STILL_GUEST: Position = 4;
/// How far apart a guest's batches leave: each keeps a busy node from the lock for as long as a large one would.
const GUEST_EVERY: Duration = Duration::from_millis(10);
/// How often callers that were just answered are let in before a full batch leaves.
const YIELDS_BEFORE_BATCH: usize = 3;

/// How the last batches went.
#[derive(Default)]
struct Pace {
    commands: usize,
    is_slow: bool,
    /// How many of the commands read what another node had just appended.
    met: usize,
    /// For how many batches more others count as appending, too: small ones look for what is new before they leave, and large
    /// ones leave full, since each takes the lock from somebody and may have to be checked whole.
    others_for: usize,
    /// For how many batches more every one does.
    wary_for: usize,
    /// How many commands there were in busy batches since it was last asked whether nodes meet in them, and how many met.
    judged: (usize, usize),
    /// For how many batches more nodes take turns: they meet on the same few subjects.
    hot_for: usize,
    /// From when on the next batch may leave, if the last one was a guest's.
    guest_until: Option<Instant>,
}

impl Pace {
    /// Begins a batch.
    fn begin(&mut self, commands: usize) {
        let are_many = |(some, all): (usize, usize)| some * MET > all;
        let last = (self.met, self.commands);
        self.others_for = self.others_for.saturating_sub(1);
        self.wary_for = if are_many(last) { WARY_FOR } else { self.wary_for.saturating_sub(1) };
        self.hot_for = self.hot_for.saturating_sub(1);
        if self.commands >= BUSY {
            self.judged = (self.judged.0 + last.0, self.judged.1 + last.1);
        }
        if self.judged.1 >= HOT_OF && are_many(std::mem::take(&mut self.judged)) {
            self.hot_for = HOT_FOR;
        }
        (self.commands, self.met) = (commands, 0);
    }

    /// Takes note of the head that a batch found that left at `began`. What it expected is 0 where nothing was known.
    fn found(&mut self, head: Position, expected: Position, began: Instant) {
        let events = head - expected;
        if events > 0 {
            self.others_for = WARY_FOR;
        }
        let each = if self.guest_until.is_some() { STILL_GUEST * GUEST } else { GUEST };
        let is_guest = expected > 0 && events >= each * self.commands as Position;
        self.guest_until = is_guest.then_some(began + GUEST_EVERY);
    }

    /// Whether a batch costs more than what is in it: the disk is slow, or others take the lock in between. In its turn a node
    /// is alone.
    fn wants_full_batches(&self) -> bool {
        self.is_slow || (self.hot_for == 0 && self.others_for > 0)
    }

    fn is_wary(&self, commands: usize) -> bool {
        self.hot_for == 0 && (self.wary_for > 0 || (self.others_for > 0 && commands < BUSY))
    }
}

pub(crate) struct Appender {
    writer: Box<dyn Engine>,
    follower: Follower,
    decider: Arc<Decider>,
    queue: mpsc::Receiver<Queued>,
    head: watch::Sender<Position>,
    pace: Pace,
    /// Since when this node has its turn, if it has.
    turn: Option<Instant>,
}

impl Appender {
    pub fn new(
        writer: Box<dyn Engine>,
        reader: Box<dyn Engine>,
        decider: Decider,
        queue: mpsc::Receiver<Queued>,
        head: watch::Sender<Position>,
    ) -> Self {
        let decider = Arc::new(decider);
        let follower = Follower::new(reader, Arc::clone(&decider));
        Self { writer, follower, decider, queue, head, pace: Pace::default(), turn: None }
    }

    /// Works until every sender of the queue is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut prepared = Prepared::default();
        loop {
            if prepared.len() == 0 {
                let mut taken = Vec::new();
                if let Some(since) = self.turn {
                    let rest = tokio::time::timeout_at(since + TURN, self.queue.recv_many(&mut taken, BATCH_MAX));
                    if rest.await.is_err() {
                        self.end_turn().await; // and do not keep others from theirs
                        prepared.waits = self.pace.hot_for > 0;
                    }
                }
                if taken.is_empty() && self.queue.recv_many(&mut taken, BATCH_MAX).await == 0 {
                    return;
                }
                self.decider.prepare(taken, &mut prepared, &HashSet::new());
            }
            if let Some(until) = self.pace.guest_until {
                self.gather(&mut prepared, until).await;
            }
            if self.pace.wants_full_batches() {
                self.let_in(&mut prepared).await;
            }
            prepared = self.fly(prepared).await;
        }
    }

    /// Lets callers join a small batch until it may leave.
    async fn gather(&mut self, prepared: &mut Prepared, until: Instant) {
        let mut taken = Vec::new();
        while prepared.len() < BUSY
            && let Ok(1..) = tokio::time::timeout_at(until, self.queue.recv_many(&mut taken, BUSY)).await
        {
            self.decider.prepare(std::mem::take(&mut taken), prepared, &HashSet::new());
        }
    }

    /// Lets callers that were just answered join the batch.
    async fn let_in(&mut self, prepared: &mut Prepared) {
        for _ in 0..YIELDS_BEFORE_BATCH {
            if prepared.len() + self.queue.len() >= self.pace.commands.min(BATCH_MAX) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.take_along(prepared);
    }

    /// Takes what is in the queue, at most `room` commands.
    fn waiting(&mut self, room: usize) -> Vec<Queued> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).take(room).collect()
    }

    /// Appends a batch and answers everybody in it. Returns the next one, prepared meanwhile, with what fell.
    async fn fly(&mut self, mut flight: Prepared) -> Prepared {
        self.pace.begin(flight.len());
        let is_hot = self.pace.hot_for > 0;
        if is_hot && self.turn.is_none() {
            self.take_turn(&mut flight).await;
        } else if self.pace.is_wary(flight.len()) && !self.follower.is_apart {
            self.look(&mut flight).await;
        }
        let is_last_of_turn = !is_hot || self.turn.is_none_or(|since| since.elapsed() > TURN);
        let waits = if is_hot { is_last_of_turn } else { self.pace.wary_for > 0 };
        let mut next = Prepared { waits, ..Prepared::default() };
        if !flight.undecided.is_empty() {
            self.decide_loaded(&mut flight).await;
        }
        let (expected, mut fallen) = self.decider.finish(&mut flight.decided);
        let mut decided = std::mem::take(&mut flight.decided);
        if !decided.is_empty() {
            let batch: Vec<_> = decided.iter_mut().map(|decided| std::mem::take(&mut decided.batch)).collect();
            let began = Instant::now();
            match self.append(expected, &batch, &flight.requests, &mut next).await {
                Ok(verdicts) => {
                    self.pace.is_slow = began.elapsed() > SLOW * (flight.time + next.time);
                    self.pace.found(verdicts.head_before, expected, began);
                    let head = verdicts.head_after(&batch);
                    let (answers, have_fallen) = self.settle(decided, &verdicts, head);
                    fallen.extend(have_fallen);
                    let followed = self.follower.follow(verdicts.head_before, head, self.pace.commands, &mut next);
                    let followed = followed.await; // first: callers who are answered keep this task waiting
                    answer(answers);
                    if let Err(error) = followed {
                        self.fail(std::mem::take(&mut fallen), &error).await;
                    }
                }
                Err(error) => {
                    let unanswered = decided.into_iter().map(|decided| decided.queued).chain(fallen.drain(..));
                    self.fail(unanswered.collect(), &error).await;
                }
            }
        }
        if is_last_of_turn {
            self.end_turn().await;
        }
        self.pace.met += fallen.len();
        if !fallen.is_empty() {
            tracing::debug!(fallen = fallen.len(), "commands fell and are decided again");
            let built_upon_them = self.decider.take_those_built_upon(&fallen, &mut next);
            fallen.extend(built_upon_them);
            if fallen.iter().any(|queued| queued.has_fallen) {
                self.decide_again(fallen, &mut next).await;
            } else {
                // They come along with the next batch, before whatever else waits for its states.
                fallen.iter_mut().for_each(|queued| queued.has_fallen = true);
                next.undecided.splice(..0, fallen);
            }
        }
        next.undecided.splice(..0, flight.undecided);
        next.requests.extend(next.undecided.iter().filter_map(|queued| queued.request.key));
        let held = flight.held.into_iter().chain(std::mem::take(&mut next.held)).collect();
        self.decider.prepare(held, &mut next, &HashSet::new());
        next
    }

    /// Loads the states of what waits for them, and decides. What reads something that the batch itself has not yet
    /// appended waits for the next one.
    async fn decide_loaded(&mut self, flight: &mut Prepared) {
        let undecided = self.decider.take_undecided(flight);
        let (waiting, undecided) =
            undecided.into_iter().partition(|queued: &Queued| queued.reads_any(&flight.incomplete));
        flight.undecided = waiting;
        match self.follower.load_missing(&undecided).await {
            Ok(()) => self.decider.decide(undecided, flight),
            Err(error) => self.fail(undecided, &error).await,
        }
    }

    /// Waits for this node's turn, and takes in what others append in theirs. Whoever comes meanwhile comes along.
    async fn take_turn(&mut self, flight: &mut Prepared) {
        match take_turn(&mut *self.writer, &mut self.follower, flight).await {
            Ok(changed) => {
                self.turn = Some(Instant::now());
                self.take_along(flight);
                self.pace.commands = flight.len();
                self.pace.met = flight.reading(&changed);
                if self.pace.met * MET > self.pace.commands {
                    self.pace.hot_for = HOT_FOR;
                }
            }
            Err(error) => self.fail(std::mem::take(&mut flight.undecided), &error).await,
        }
    }

    /// Looks for what others have appended before a batch leaves.
    async fn look(&mut self, flight: &mut Prepared) {
        match self.follower.follow_to_head(flight).await {
            Ok(changed) => {
                self.pace.met = flight.reading(&changed);
                if !changed.is_empty() {
                    self.pace.others_for = WARY_FOR;
                }
            }
            Err(error) => self.fail(std::mem::take(&mut flight.undecided), &error).await,
        }
    }

    /// Lets other nodes have their turns.
    async fn end_turn(&mut self) {
        if self.turn.take().is_some()
            && let Err(error) = self.writer.end_turn().await
        {
            self.fail(Vec::new(), &error).await;
        }
    }

    /// Takes along whoever came while a batch waited.
    fn take_along(&mut self, flight: &mut Prepared) {
        let room = BATCH_MAX.saturating_sub(flight.len());
        let waiting = self.waiting(room);
        self.decider.prepare(waiting, flight, &HashSet::new());
    }

    /// Appends a batch, and prepares the commands that arrive meanwhile.
    async fn append(
        &mut self,
        expected: Position,
        batch: &[BatchCommand],
        under_way: &HashSet<RequestKey>,
        next: &mut Prepared,
    ) -> Result<Verdicts, sqlx::Error> {
        let mut append = self.writer.append(expected, batch);
        let mut taken = Vec::with_capacity(PREPARED_AT_ONCE);
        let mut is_open = true;
        loop {
            let room = PREPARED_AT_ONCE.min(BATCH_MAX.saturating_sub(next.len()));
            tokio::select! {
                biased; // the first look sends the batch
                verdicts = &mut append => return verdicts,
                count = self.queue.recv_many(&mut taken, room), if room > 0 && is_open => {
                    is_open = count > 0;
                    self.decider.prepare(std::mem::take(&mut taken), next, under_way);
                }
            }
        }
    }

    /// Takes note of what stands and what fell, and tells what to answer. The batch has left the log at `head`.
    fn settle(&mut self, decided: Vec<Decided>, verdicts: &Verdicts, head: Position) -> (Vec<Answer>, Vec<Queued>) {
        let memory = Arc::clone(&self.decider.memory);
        let mut memory = lock(&memory);
        self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        let mut position = verdicts.head_before;
        let (mut answers, mut fallen) = (Vec::new(), Vec::new());
        for (number, decided) in decided.into_iter().enumerate() {
            match verdicts.stands(number) {
                true => answers.push(self.decider.stands(decided, &mut memory, &mut position, head)),
                false => fallen.push(decided.undo(&mut memory)),
            }
        }
        (answers, fallen)
    }

    /// Decides commands under the lock: nothing newer can appear, so all of them stand. Whoever of the other batch waits for
    /// states, or was decided on the same ones, comes along.
    async fn decide_again(&mut self, commands: Vec<Queued>, prepared: &mut Prepared) {
        let (mut remaining, mut replays) = (commands, Vec::new());
        let result = self.decide_locked(&mut remaining, prepared, &mut replays).await;
        let error = match result {
            Ok((mut decided, before)) => {
                let batch: Vec<_> = decided.iter_mut().map(|decided| std::mem::take(&mut decided.batch)).collect();
                match self.writer.append_locked(before, &batch).await {
                    Ok(verdicts) => {
                        let head = verdicts.head_after(&batch);
                        let (answers, fallen) = self.settle(decided, &verdicts, head);
                        debug_assert!(fallen.is_empty(), "invariant: under the lock every command stands");
                        lock(&self.decider.memory).head = head;
                        answer(answers.into_iter().chain(replays));
                        return;
                    }
                    Err(error) => {
                        remaining = decided.into_iter().map(|decided| decided.queued).collect();
                        error
                    }
                }
            }
            Err(error) => error,
        };
        answer(replays); // which had their effect before
        self.fail(remaining, &error).await;
    }

    /// Takes the lock, brings the states of what the commands read up to date, and decides. On an error every command
    /// is left in `remaining` or `replays`.
    async fn decide_locked(
        &mut self,
        remaining: &mut Vec<Queued>,
        prepared: &mut Prepared,
        replays: &mut Vec<Answer>,
    ) -> Result<(Vec<Decided>, Position), sqlx::Error> {
        let head = self.writer.lock().await?;
        let changed = self.follower.follow(head, head, self.pace.commands.max(remaining.len()), prepared).await?;
        remaining.append(&mut prepared.undecided);
        remaining.extend(self.decider.take_those_built_upon(remaining, prepared));
        self.pace.met += remaining.iter().filter(|queued| queued.reads_any(&changed)).count();
        self.follower.load_missing(remaining).await?;
        let keys = remaining.iter().filter_map(|queued| queued.request.key);
        let tags: Vec<TagKey> = keys.map(|key| TagKey::new(&Subject::Request(key), Class::Decision)).collect();
        let done = if tags.is_empty() { Vec::new() } else { self.follower.under(&tags, 0).await? };
        let decided = self.decider.decide_locked(std::mem::take(remaining), &done, &prepared.incomplete, replays);
        Ok((decided, head))
    }

    /// Answers that the log could not be written. What was committed, if anything, is found out by loading anew.
    async fn fail(&mut self, unanswered: Vec<Queued>, error: &sqlx::Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            commands = unanswered.len(),
            "the log could not be written"
        );
        self.writer.give_up().await; // which ends a turn, too
        self.follower.give_up().await;
        self.turn = None;
        lock(&self.decider.memory).clear();
        answer(unanswered.into_iter().map(|queued| (queued.answer, Err(ExecuteError::Unavailable))));
    }
}

/// Tells callers. One that has gone needs no answer.
fn answer(answers: impl IntoIterator<Item = Answer>) {
    for (caller, what) in answers {
        let _ = caller.send(what);
    }
}

/// Waits until it is this node's turn, and follows the log meanwhile. Tells which states have become others.
async fn take_turn(
    writer: &mut dyn Engine,
    follower: &mut Follower,
    flight: &mut Prepared,
) -> Result<HashSet<Subject>, sqlx::Error> {
    let mut turn = writer.take_turn();
    let mut changed = HashSet::new();
    loop {
        let taken = tokio::select! {
            biased;
            taken = &mut turn => Some(taken?),
            () = tokio::time::sleep(FOLLOW_EVERY) => None,
        };
        changed.extend(follower.follow_to_head(flight).await?);
        if taken.is_some() {
            return Ok(changed);
        }
    }
}
