//! The fetches of one reader: which run, how much each may send, what to do when one ends.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use overhand_common::{ids::ShardKey, message::Fetch};

use crate::{
    Error, ErrorKind, Place, Placement,
    client::Shared,
    link::fetch::{Event, FetchLink, Stream, What},
    pool::Buffer,
};

/// So many connections in a row may break before anything came over them.
const MAX_BARREN: u32 = 6;

/// What to fetch from one epoch of one shard.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) shard: u32,
    /// The epoch's place in its shard.
    pub(super) epoch: usize,
    pub(super) partitions: Range<u32>,
    pub(super) maps: Range<u32>,
}

/// A fetch that runs.
#[derive(Debug)]
struct Active {
    plan: Plan,
    /// Which worker of the chain is asked.
    copy: usize,
    link: Arc<FetchLink>,
    stream: Stream,
    /// Bytes that came since it was asked.
    received: u64,
    /// Bytes that were used and not granted again yet.
    used: u64,
    barren: u32,
    damage: Option<String>,
    repeated: bool,
}

/// What comes out of the fetches.
#[derive(Debug)]
pub(super) enum Step {
    /// Blocks of a fetch; give them back by [`Fetches::used`].
    Body(u64, Buffer, usize),
    /// One epoch has been read to its end; how many are left of its shard, and what was damaged.
    Done(Plan, Option<String>),
    /// An epoch can't be read from any worker of its chain; the last one and what it said.
    Failed(Plan, Place, Error),
    /// All have ended.
    Finished,
}

/// The fetches of one reader.
#[derive(Debug)]
pub(super) struct Fetches {
    client: Arc<Shared>,
    placement: Arc<Placement>,
    plans: VecDeque<Plan>,
    active: HashMap<u64, Active>,
    next_id: u64,
    credit: u64,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// Fetches asked for, repeats included.
    pub(super) started: u64,
    /// Bytes that came and are not used yet.
    pub(super) held: u64,
}

impl Fetches {
    /// Starts the first of `plans`.
    pub(super) fn start(client: Arc<Shared>, placement: Arc<Placement>, plans: VecDeque<Plan>) -> Self {
        let (sender, events) = channel();
        let parallel = plans.len().clamp(1, client.config.parallel_fetches);
        let credit = (client.config.read_window / parallel) as u64;
        let active = HashMap::new();
        let mut fetches =
            Self { client, placement, plans, active, next_id: 0, credit, events, sender, started: 0, held: 0 };
        for _ in 0..parallel {
            fetches.start_next();
        }
        fetches
    }

    fn start_next(&mut self) {
        if let Some(plan) = self.plans.pop_front() {
            self.open(plan, 0, 0, false);
        }
    }

    fn open(&mut self, plan: Plan, copy: usize, barren: u32, repeated: bool) {
        let id = self.next_id;
        self.next_id += 1;
        self.started += 1;
        let epoch = &self.placement.shards[plan.shard as usize][plan.epoch];
        let fetch = Fetch {
            key: ShardKey { shuffle: self.placement.shuffle, shard: plan.shard, epoch: epoch.epoch },
            partitions: plan.partitions.clone(),
            maps: plan.maps.clone(),
            credit: self.credit,
            without: vec![],
        };
        let link = self.client.fetch_link(&self.placement, &epoch.chain[copy]);
        let stream = link.open(&fetch, id, self.sender.clone());
        let active = Active { plan, copy, link, stream, received: 0, used: 0, barren, damage: None, repeated };
        self.active.insert(id, active);
    }

    /// Waits for what comes next.
    pub(super) fn next(&mut self, answer_timeout: Duration) -> Step {
        loop {
            if self.active.is_empty() {
                return Step::Finished;
            }
            match self.events.recv_timeout(answer_timeout) {
                Ok(event) => {
                    if let Some(step) = self.handle(event) {
                        return step;
                    }
                }
                // Each link tells its fetches that it broke, and they are tried again, for a bounded number of times.
                Err(RecvTimeoutError::Timeout) => self.active.values().for_each(|active| active.link.reset()),
                Err(RecvTimeoutError::Disconnected) => return Step::Finished,
            }
        }
    }

    fn handle(&mut self, Event { id, what }: Event) -> Option<Step> {
        match what {
            What::Data(buffer, len) => {
                let active = self.active.get_mut(&id)?;
                active.received += len as u64;
                active.barren = 0;
                self.held += buffer.len() as u64;
                Some(Step::Body(id, buffer, len))
            }
            What::End(sent) => {
                let active = self.active.remove(&id)?;
                if sent != active.received {
                    let text = format!("{sent} bytes were sent, {} came", active.received);
                    return self.again(active, Error::new(ErrorKind::Retry, text));
                }
                if active.damage.is_some() && !active.repeated {
                    // It may have been damaged on the way: once more.
                    self.open(active.plan, active.copy, 0, true);
                    return None;
                }
                self.start_next();
                Some(Step::Done(active.plan, active.damage))
            }
            What::Broken(error) => {
                let active = self.active.remove(&id)?;
                self.again(active, error)
            }
            What::Failed(error) => {
                let active = self.active.remove(&id)?;
                self.elsewhere(active, error)
            }
        }
    }

    /// Asks again; what has been decoded already is dropped when it comes again.
    fn again(&mut self, active: Active, error: Error) -> Option<Step> {
        if active.barren >= MAX_BARREN {
            return self.elsewhere(active, error);
        }
        self.open(active.plan, active.copy, active.barren + 1, active.repeated);
        None
    }

    /// Asks the next worker of the chain.
    fn elsewhere(&mut self, active: Active, error: Error) -> Option<Step> {
        let Active { plan, copy, .. } = active;
        let chain = &self.placement.shards[plan.shard as usize][plan.epoch].chain;
        let other_may_have_it = !matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid);
        if other_may_have_it && copy + 1 < chain.len() {
            self.open(plan, copy + 1, 0, false);
            return None;
        }
        let place = chain[copy].clone();
        Some(Step::Failed(plan, place, error))
    }

    /// A body of a fetch was used; the worker may send as much again.
    pub(super) fn used(&mut self, fetch: u64, buffer: Buffer, len: usize, damage: Option<String>) {
        self.held -= buffer.len() as u64;
        drop(buffer);
        let Some(active) = self.active.get_mut(&fetch) else { return };
        active.used += len as u64;
        if active.used >= self.credit / 2 {
            active.link.grant(active.stream, std::mem::take(&mut active.used));
        }
        active.damage = active.damage.take().or(damage);
    }

    /// Whether an epoch of a shard is still to be read.
    pub(super) fn reads(&self, shard: u32) -> bool {
        let active = self.active.values().map(|active| &active.plan);
        active.chain(&self.plans).any(|plan| plan.shard == shard)
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for active in self.active.values() {
            active.link.cancel(active.stream);
        }
    }
}
