//! One epoch's link and chain, as an attempt uses them.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use overhand_common::{
    ids::ShardKey,
    message::{Ack, Fin, Last, Push},
};
use parking_lot::Mutex;

use super::{Lane, legs::Next};
use crate::{
    Attempt, Layout, Place, Placement, WorkerId,
    link::{
        frame::{Body, Failed, Frame, Owner},
        push::PushLink,
    },
};

/// The way of one leg's frames. Frames hold it, so it does not hold the lane: when the writer has gone, nobody listens.
#[derive(Debug)]
pub(super) struct Route {
    lane: Weak<Lane>,
    leg: usize,
    key: ShardKey,
    layout: Layout,
    attempt: Attempt,
    chain: Vec<Place>,
    link: Arc<PushLink>,
    /// Nothing more is to be sent here.
    closed: AtomicBool,
    /// It was said here that the epoch has grown too large.
    split: AtomicBool,
    /// Who can't be reached.
    gone: Mutex<Option<WorkerId>>,
}

impl Route {
    /// The way to the newest epoch in `placement`.
    pub(super) fn new(lane: &Arc<Lane>, leg: usize, placement: &Placement) -> Self {
        let epoch = placement.current(lane.shard);
        Self {
            lane: Arc::downgrade(lane),
            leg,
            key: ShardKey { shuffle: placement.shuffle, shard: lane.shard, epoch: epoch.epoch },
            layout: placement.layout,
            attempt: lane.attempt,
            chain: epoch.chain.clone(),
            link: lane.client.push_link(&placement.app, epoch.primary()),
            closed: AtomicBool::new(false),
            split: AtomicBool::new(false),
            gone: Mutex::new(None),
        }
    }

    /// Which shard and epoch.
    pub(super) fn key(&self) -> &ShardKey {
        &self.key
    }

    /// Its place among the lane's legs.
    pub(super) fn leg(&self) -> usize {
        self.leg
    }

    /// Sends a frame down the chain.
    pub(super) fn send(self: &Arc<Self>, next: Next<Arc<Body>>) {
        let push =
            Push { frame: next.frame, last: next.fin.map(Last::Whole), chain: self.chain[1..].to_vec(), ..self.push() };
        self.link.send(Frame { push, body: next.body, owner: Arc::clone(self) as Arc<dyn Owner> });
    }

    /// The push that settles the epoch on a worker and on those that come after it in `chain`.
    pub(super) fn settling(&self, fin: Fin, chain: &[Place]) -> Push {
        Push { frame: fin.frames, last: Some(Last::Settled(fin)), chain: chain.to_vec(), ..self.push() }
    }

    fn push(&self) -> Push {
        Push { key: self.key, layout: self.layout, attempt: self.attempt, frame: 0, last: None, chain: vec![] }
    }

    /// Whether it is the first time that somebody says that the epoch has grown too large.
    pub(super) fn splits(&self) -> bool {
        !self.split.swap(true, Relaxed)
    }

    /// Sends nothing more.
    pub(super) fn close(&self, failed: &Failed) {
        self.closed.store(true, Relaxed);
        // One that blames itself has answered: it can be asked to settle.
        let itself = failed.answered && failed.suspect == Some(self.chain[0].worker);
        *self.gone.lock() = failed.suspect.filter(|_| !itself);
    }

    /// The chain in the order in which its workers should be asked to settle, and how many of them seem to be there.
    pub(super) fn members(&self) -> (Vec<Place>, usize) {
        let gone = *self.gone.lock();
        let is_there = |place: &Place| Some(place.worker) != gone;
        let (mut members, rest): (Vec<_>, Vec<_>) = self.chain.iter().cloned().partition(is_there);
        let there = members.len();
        members.extend(rest);
        (members, there)
    }
}

impl Owner for Route {
    fn wanted(&self) -> bool {
        !self.closed.load(Relaxed)
    }

    fn acknowledged(&self, push: &Push, ack: Ack) {
        if let Some(lane) = self.lane.upgrade() {
            lane.acknowledged(self.leg, push.frame, ack);
        }
    }

    fn failed(&self, _push: &Push, failed: Failed) {
        if let Some(lane) = self.lane.upgrade() {
            // Who refuses a frame without naming another one is the one that failed.
            let blames_other = failed.error.kind() == crate::ErrorKind::Broken;
            let suspect = failed.suspect.or_else(|| (!blames_other).then_some(self.chain[0].worker));
            lane.failed(self.leg, Failed { suspect, ..failed });
        }
    }
}
