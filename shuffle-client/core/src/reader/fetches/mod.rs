//! The fetches of one reader: which run, how much each may send, what to do when one ends, breaks or is slow.
//!
//! An epoch of a shard is read from one member of its chain; when that one is slow, from two at a time, of which the
//! first to end wins. What has come whole is not asked for again.

mod active;
mod ends;

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
    time::Instant,
};

use overhand_common::{ids::ShardKey, message::Fetch};

use self::active::Active;
use super::{
    inbox::{Inbox, Waited},
    members::Ask,
    shards::{Next, Read, Shards},
    wanted::Wanted,
};
use crate::{
    Error, Place, Placement, Result, Trouble,
    client::{Interrupt, Shared, count},
    link::fetch::{Asker, Event, What},
    pool::Buffer,
};

/// A second fetch of an epoch may have this part of the window that the first one leaves.
const HEDGE_PART: u64 = 4;

/// What comes out of the fetches.
#[derive(Debug)]
pub(super) enum Step {
    /// Blocks of a fetch; give them back by [`Fetches::used`].
    Body(u64, Buffer, usize),
    /// All that can be asked for of a shard has come.
    Whole(u32),
    /// A shard is not whole, and nobody has the rest.
    Lost(u32),
    /// What was asked for a shard is refused, and would be everywhere; by whom.
    Refused(u32, Place, Error),
    /// The engine wants its thread back.
    Interrupted,
    /// All have ended.
    Finished,
}

/// The fetches of one reader.
#[derive(Debug)]
pub(super) struct Fetches {
    client: Arc<Shared>,
    pub(super) placement: Arc<Placement>,
    pub(super) shards: Shards,
    active: HashMap<u64, Active>,
    next_id: u64,
    /// How many epochs are read at a time.
    parallel: usize,
    /// How many bytes of blocks of each may be on their way.
    window: u64,
    inbox: Inbox,
    steps: VecDeque<Step>,
    /// The driver is being asked; the version of the placement that it was last asked about.
    asking: bool,
    asked_version: Option<u64>,
    /// Why the driver could not be asked.
    pub(super) unasked: Option<Error>,
    /// Fetches asked for, repeats included.
    pub(super) started: u64,
    /// Fetches asked for because another was slow.
    pub(super) hedged: u64,
    /// Bytes that came and are not used yet.
    pub(super) held: u64,
}

impl Fetches {
    /// Starts the first fetches of `shards`.
    pub(super) fn start(client: Arc<Shared>, placement: Arc<Placement>, shards: Shards, wanted: &Wanted) -> Self {
        let parallel = shards.queued().clamp(1, client.config.parallel_fetches);
        let window = (client.config.read_window / parallel) as u64;
        let mut fetches = Self {
            client,
            placement,
            shards,
            active: HashMap::new(),
            next_id: 0,
            parallel,
            window,
            inbox: Inbox::new(),
            steps: VecDeque::new(),
            asking: false,
            asked_version: None,
            unasked: None,
            started: 0,
            hedged: 0,
            held: 0,
        };
        fetches.start_queued(wanted);
        fetches
    }

    pub(super) fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.inbox.set_interrupt(interrupt);
    }

    /// Waits for what comes next.
    pub(super) fn next(&mut self, wanted: &Wanted) -> Step {
        let answer_timeout = self.client.config.answer_timeout;
        let mut quiet_since = None;
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if self.active.is_empty() && !self.shards.waits() {
                return Step::Finished;
            }
            if let Some(event) = self.inbox.here() {
                self.handle(event, wanted);
                continue;
            }
            let give_up = *quiet_since.get_or_insert_with(Instant::now) + answer_timeout;
            match self.inbox.wait(self.wait_until(give_up)) {
                Waited::Event(event) => {
                    quiet_since = None;
                    self.handle(event, wanted);
                }
                Waited::Interrupted => return Step::Interrupted,
                Waited::Late if give_up <= Instant::now() => {
                    quiet_since = None;
                    // Each link tells its fetches that it broke, and they are tried again, a bounded number of times.
                    self.active.values().for_each(|active| active.link.reset());
                }
                Waited::Late => self.hedge(wanted),
            }
        }
    }

    /// How long it is worth to wait; the driver's answer comes in its own time.
    fn wait_until(&self, give_up: Instant) -> Option<Instant> {
        if self.active.is_empty() {
            return None;
        }
        let delay = self.client.pace.delay();
        let slow = self.active.values().filter(|active| active.owes() && !active.late);
        slow.map(|active| active.since + delay).chain([give_up]).min()
    }

    fn handle(&mut self, event: Event, wanted: &Wanted) {
        match event {
            Event::Fetch(id, What::Data(buffer, len)) => {
                let Some(active) = self.active.get_mut(&id) else { return };
                if active.received == 0 {
                    self.client.pace.answered(active.asked.elapsed());
                    self.shards.members(active.read).answered(active.member);
                }
                active.received += len as u64;
                active.since = Instant::now();
                self.held += buffer.len() as u64;
                self.steps.push_back(Step::Body(id, buffer, len));
                return;
            }
            Event::Fetch(id, end) => {
                if let Some(active) = self.active.remove(&id) {
                    self.ended(active, end, wanted);
                }
            }
            Event::Placement(answer) => self.learn(answer, wanted),
        }
        self.start_queued(wanted);
    }

    /// Takes what the driver knows. Who waited for it reads on if there is something new, and else is lost.
    fn learn(&mut self, answer: Result<Arc<Placement>>, wanted: &Wanted) {
        self.asking = false;
        match answer {
            Ok(newer) if newer.version > self.placement.version => {
                self.shards.learn(&newer);
                self.placement = newer;
            }
            Ok(_) => {}
            Err(error) => self.unasked = Some(error),
        }
        for shard in self.shards.wake() {
            match self.shards.go_on(shard) {
                Next::Read => {}
                Next::AskDriver => self.steps.push_back(Step::Lost(shard)),
            }
        }
        // Who is waited for may have been replaced.
        let waits = |active: &Active| active.late || active.patient;
        let waiting: Vec<u64> = self.active.iter().filter(|(_, active)| waits(active)).map(|(id, _)| *id).collect();
        for id in waiting {
            self.ask_another(id, wanted);
        }
    }

    fn ask_driver(&mut self) {
        if std::mem::replace(&mut self.asking, true) {
            return;
        }
        self.asked_version = Some(self.placement.version);
        let (client, seen, sender) = (Arc::clone(&self.client), Arc::clone(&self.placement), self.inbox.sender());
        self.client.runtime().spawn(async move {
            let answer = client.placements.ask(&seen, Trouble::Unreadable).await;
            let _ = sender.send(Event::Placement(answer));
        });
    }

    /// Asks somebody else as well for what is slow.
    fn hedge(&mut self, wanted: &Wanted) {
        let (delay, now) = (self.client.pace.delay(), Instant::now());
        let late = |active: &Active| active.owes() && !active.late && active.since + delay <= now;
        let late: Vec<u64> = self.active.iter().filter(|(_, active)| late(active)).map(|(id, _)| *id).collect();
        for id in late {
            self.ask_another(id, wanted);
        }
    }

    /// Asks somebody else as well for what a fetch should have brought. Two are asked at a time: when both are slow and
    /// there is a third who was not asked yet, it takes the place of the first.
    fn ask_another(&mut self, id: u64, wanted: &Wanted) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.late = true;
        let read = active.read;
        if self.whole(read.shard, wanted) {
            return self.review(read.shard, wanted);
        }
        let first = self.on(read).min().filter(|_| self.on(read).count() > 1);
        let all_late = self.on(read).all(|id| self.active[&id].late);
        let members = self.shards.members(read);
        let helps = if first.is_some() { all_late && members.has_fresh() } else { members.can_ask() };
        if !helps || !self.client.pace.may_hedge() {
            return;
        }
        if let Some(first) = first {
            self.cancel(first);
        }
        if let Some(ask) = self.ask(read) {
            self.hedged += 1;
            count(&self.client.tally().hedges);
            self.open(read, ask, true, wanted);
        }
    }

    fn start_queued(&mut self, wanted: &Wanted) {
        while self.reads() < self.parallel
            && let Some(read) = self.shards.pop()
        {
            match self.ask(read) {
                Some(ask) => self.open(read, ask, false, wanted),
                None => self.review(read.shard, wanted),
            }
        }
    }

    /// Chooses whom to ask; when all were asked before, the driver may know somebody better meanwhile.
    fn ask(&mut self, read: Read) -> Option<Ask> {
        let pace = &self.client.pace;
        let ask = self.shards.members(read).ask(|place| pace.avoided(place))?;
        if ask.again && self.client.placements.can_ask() && self.asked_version != Some(self.placement.version) {
            self.ask_driver();
        }
        Some(ask)
    }

    /// Asks for what is not whole of an epoch; a hedge has the part of the window that is left for it.
    fn open(&mut self, read: Read, ask: Ask, hedge: bool, wanted: &Wanted) {
        let first = self.window_of(read);
        let window = if hedge { (self.window - first).max(1) } else { first };
        let range = self.range(read.shard);
        let lacking = if ask.first { wanted.bounds(&range) } else { wanted.lacking(&range) };
        let members = self.shards.members(read);
        let Some(lacking) = lacking else {
            members.beaten(ask.member);
            return self.review(read.shard, wanted);
        };
        let id = self.next_id;
        self.next_id += 1;
        self.started += 1;
        let fetch = Fetch {
            key: ShardKey { shuffle: self.placement.shuffle, shard: read.shard, epoch: members.epoch },
            partitions: lacking.partitions,
            maps: lacking.maps,
            credit: window,
            without: lacking.without,
            ends: false,
        };
        let link = self.client.fetch_link(&self.placement, members.place(ask.member));
        let stream = link.open(fetch, Asker { reader: self.inbox.sender(), id, patient: ask.again });
        self.active.insert(id, Active::new(read, ask, link, stream, window));
    }

    /// A body of a fetch was used; the worker may send as much again.
    pub(super) fn used(&mut self, fetch: u64, buffer: Buffer, len: usize, damage: Option<String>) {
        self.held -= buffer.len() as u64;
        drop(buffer);
        if let Some(active) = self.active.get_mut(&fetch) {
            active.used(len, damage);
        }
    }

    /// The window of an epoch's only fetch: a part is left for a second one, if there is somebody to ask.
    fn window_of(&mut self, read: Read) -> u64 {
        match self.shards.members(read).len() {
            1 => self.window,
            _ => self.window - self.window / HEDGE_PART,
        }
    }

    fn whole(&self, shard: u32, wanted: &Wanted) -> bool {
        wanted.complete(&self.range(shard))
    }

    fn range(&self, shard: u32) -> Range<u32> {
        self.placement.layout.range(shard)
    }

    /// The fetches of an epoch.
    fn on(&self, read: Read) -> impl Iterator<Item = u64> {
        self.active.iter().filter(move |(_, active)| active.read == read).map(|(id, _)| *id)
    }

    /// The fetches of a shard.
    fn of(&self, shard: u32) -> impl Iterator<Item = u64> {
        self.active.iter().filter(move |(_, active)| active.read.shard == shard).map(|(id, _)| *id)
    }

    /// How many epochs are being read.
    fn reads(&self) -> usize {
        let first = |(id, active): &(&u64, &Active)| self.on(active.read).all(|other| other >= **id);
        self.active.iter().filter(first).count()
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for active in self.active.values() {
            active.link.cancel(active.stream);
        }
    }
}
