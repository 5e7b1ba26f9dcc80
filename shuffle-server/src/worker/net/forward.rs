//! Sends frames on to the next worker of their chain.
//!
//! A frame whose chain is not empty goes to our own store and, as it came, over a [`link`] to the first of its chain,
//! with the rest of the chain in its head. It is acknowledged when both have it.
//!
//! # Links
//! One connection per application, next worker and *level*: the number of workers that come after us. It is made when a
//! frame needs it, with the application's own token, and closed when it was idle for a while. The exact worker must
//! answer. A link that fails fails all its frames at once, with the next worker as the suspect; the next frame dials
//! anew, except for a moment after a dial that failed.
//!
//! # Why no cycle of workers can wait for each other
//! Each worker may be the primary for all others, so each may wait for each. What keeps them going:
//! - A frame that is to be forwarded takes room of its level before it takes memory, and keeps it until its body was
//!   handed to the kernel. A level has an eighth of the memory budget (or one frame of up to a quarter), and there are
//!   [`LEVELS`] of them. So most of the budget, and all that is not forwarding's, is memtables and frames that are being
//!   read, which flushes and timeouts give back whatever other workers do.
//! - So a frame of level 0, the last worker of a chain, waits for nobody but its own worker's memory and disks, and gets
//!   there.
//! - A frame of level *n* waits for room of its level, and that for the next workers to take frames of level *n - 1*.
//!   These come over connections on which nothing else goes, so no frame of level *n* or above is ever in front of them,
//!   neither on a socket nor in line for room. By induction they are taken.

mod link;

use std::{collections::HashMap, sync::Arc, time::Duration};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Place},
    message::{Failure, Push},
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::link::{End, Frame, Link};
use super::{Metrics, dial::describe, order::Verdict, tokens::Tokens};
use crate::memory::{Pool, PooledBuf};

/// The most workers that may come after this one in a chain.
pub const LEVELS: usize = 3;
/// The part of the memory budget that the frames of one level may hold.
const SHARE: u64 = 8;
/// The part of the memory budget that a frame which is to be forwarded may hold.
const LARGEST: u64 = 4;
/// How long a dial that failed stands for the next ones.
const MOMENT: Duration = Duration::from_millis(500);

/// The links to the next workers of chains.
pub struct Forwarder {
    pub(super) tokens: Arc<Tokens>,
    /// How long a worker that owes an answer may say nothing.
    silence: Duration,
    /// The same for one whose protocol has no word for being busy.
    patience: Duration,
    metrics: Metrics,
    budget: u64,
    levels: [Arc<Semaphore>; LEVELS],
    links: Mutex<Links>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Where a link goes, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    app: AppId,
    next: Place,
    /// How many workers come after us, from 1.
    level: usize,
}

#[derive(Default)]
struct Links {
    slots: HashMap<Target, Slot>,
    last_id: u64,
}

enum Slot {
    /// The frames of an open link are bounded by their level's room and their connections' limits.
    Open { id: u64, frames: mpsc::UnboundedSender<Frame> },
    /// A dial failed; nobody dials again before this.
    Failed { until: Instant, failure: Failure },
}

/// Room of a level for one frame, until it is dropped.
pub type Room = OwnedSemaphorePermit;

impl Forwarder {
    /// A forwarder for a worker with this memory budget in bytes.
    pub fn new(budget: u64, tokens: Arc<Tokens>, (silence, patience): (Duration, Duration), metrics: Metrics) -> Self {
        let share = usize::try_from(budget / SHARE).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            tokens,
            silence,
            patience,
            metrics,
            budget,
            levels: std::array::from_fn(|_| Arc::new(Semaphore::new(share))),
            links: Mutex::default(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Waits for room for a body of `len` bytes that goes to `level` more workers. `Invalid` for more workers than
    /// [`LEVELS`], or for a body that is too large for the memory budget.
    pub async fn room(&self, level: usize, len: usize) -> Result<Room> {
        let Some(semaphore) = level.checked_sub(1).and_then(|at| self.levels.get(at)) else {
            let text = format!("a chain of {level} more workers: up to {LEVELS} are served");
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        let charge = u64::from(Pool::charge(len, 0)?);
        if charge > self.budget / LARGEST {
            let text = format!(
                "a frame that takes {charge} bytes of memory is more than can be forwarded with a memory budget of {}: \
                 raise the budget or send smaller frames",
                self.budget
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let room = charge.min(self.budget / SHARE) as u32;
        semaphore.clone().acquire_many_owned(room).await.map_err(|_| stopped().error)
    }

    /// Sends a frame to the first of its chain, after all that were sent there before at its level. What comes of it
    /// is told in the end.
    pub fn send(
        self: &Arc<Self>,
        app: &AppId,
        push: &Push,
        (body, blocks): (Arc<PooledBuf>, u32),
        room: Room,
    ) -> oneshot::Receiver<Verdict> {
        let (done, verdict) = oneshot::channel();
        let (next, rest) = push.chain.split_first().expect("a frame that has room of a level has a chain");
        let target = Target { app: app.clone(), next: next.clone(), level: push.chain.len() };
        let push = Push { chain: rest.to_vec(), ..push.clone() };
        let mut frame = Frame { push, body, blocks, room, done };
        let mut links = self.links.lock();
        match links.slots.get(&target) {
            Some(Slot::Open { frames, .. }) => match frames.send(frame) {
                Ok(()) => return verdict,
                Err(closed) => frame = closed.0,
            },
            Some(Slot::Failed { until, failure }) if Instant::now() < *until => {
                // Who does not wait any more needs no answer.
                let _ = frame.done.send(Err(failure.clone()));
                return verdict;
            }
            Some(Slot::Failed { .. }) | None => {}
        }
        // If this fails the process is ending: then nobody will tell what came of it, which is heard as well.
        let _ = self.open(&mut links, target).send(frame);
        verdict
    }

    fn open(self: &Arc<Self>, links: &mut Links, target: Target) -> mpsc::UnboundedSender<Frame> {
        let now = Instant::now();
        links.slots.retain(|_, slot| !matches!(slot, Slot::Failed { until, .. } if *until <= now));
        links.last_id += 1;
        let id = links.last_id;
        let (frames, receiver) = mpsc::unbounded_channel();
        links.slots.insert(target.clone(), Slot::Open { id, frames: frames.clone() });
        let (this, link) = (self.clone(), Link::new(receiver));
        self.tracker.spawn(async move { this.run(id, target, link).await });
        frames
    }

    /// A link from its dial to its end. One that ends while no frame needs it breaks no chain.
    async fn run(self: Arc<Self>, id: u64, target: Target, mut link: Link) {
        loop {
            let end = tokio::select! {
                end = link.run(&self, &target) => end,
                () = self.stop.cancelled() => End::Stopped,
            };
            let mut unreached = false;
            let failure = match end {
                End::Idle if self.leave(id, &target, || link.is_idle(), None) => return,
                // A frame came at the last moment.
                End::Idle => continue,
                End::Stopped => stopped(),
                // A token that is not good any more says nothing about the worker.
                End::Unreached(error) if error.kind() == ErrorKind::Denied => Failure::new(error),
                End::Unreached(error) => {
                    unreached = true;
                    suspect(&target.next, error.message())
                }
                End::Broken(error) => suspect(&target.next, error.message()),
            };
            let stands = unreached.then(|| Slot::Failed { until: Instant::now() + MOMENT, failure: failure.clone() });
            self.leave(id, &target, || true, stands);
            if link.is_idle() {
                tracing::debug!(app = %target.app, next = %target.next.address, reason = %failure.error, "link closed");
                return;
            }
            tracing::warn!(app = %target.app, next = %target.next.address, reason = %failure.error, "chain broken");
            self.metrics.chains_broken.increment(1);
            return link.fail(&failure);
        }
    }

    /// Takes a link out, or puts something else in its place, so that it gets no more frames; unless `may` says no.
    fn leave(&self, id: u64, target: &Target, may: impl FnOnce() -> bool, instead: Option<Slot>) -> bool {
        let mut links = self.links.lock();
        if !may() {
            return false;
        }
        if matches!(links.slots.get(target), Some(Slot::Open { id: there, .. }) if *there == id) {
            match instead {
                Some(slot) => links.slots.insert(target.clone(), slot),
                None => links.slots.remove(target),
            };
        }
        true
    }

    /// Ends all links. Nothing may be sent after this.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// What comes of frames when this worker shuts down.
pub fn stopped() -> Failure {
    Failure::new(Error::new(ErrorKind::Closed, "the worker is shutting down"))
}

/// What the client hears when the next worker answered with `failure`: what is wrong with the worker breaks the chain,
/// what is wrong with the request stays as it is.
pub fn passed_on(next: &Place, failure: Failure) -> Failure {
    let Failure { error, suspect: named } = failure;
    match error.kind() {
        ErrorKind::Broken => Failure { error, suspect: named.or(Some(next.worker)) },
        ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::NotFound => Failure::new(error.context(describe(next))),
        ErrorKind::Retry
        | ErrorKind::Backpressure
        | ErrorKind::Stale
        | ErrorKind::DataLost
        | ErrorKind::Closed
        | ErrorKind::Internal => suspect(next, &format!("{}: {}", describe(next), error.message())),
    }
}

fn suspect(next: &Place, why: &str) -> Failure {
    let error = Error::new(ErrorKind::Broken, format!("the chain is broken: {why}"));
    Failure { error, suspect: Some(next.worker) }
}

#[cfg(test)]
mod tests;
