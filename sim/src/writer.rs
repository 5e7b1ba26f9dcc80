//! A writer: the real legs of each shard, between simulated links.
//!
//! In the place of the client's `lane`: routes, the search for the next epoch, and settling.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use overhand_client::{
    Attempt, Error, ErrorKind, Place, Placement, Result, Trouble, WorkerId,
    sim::{Legs, NextFrame, Piece},
};
use overhand_common::{
    block::{Codec, Flags, HEADER_LEN, Header},
    ids::ShardKey,
    message::{Ack, Fin, Last, Push},
};
use tokio::sync::mpsc;

use crate::{
    clock::{Host, Sim},
    driver::Driver,
    link::{Link, Outcome, heard, request},
    net::Net,
    options::Broken,
};

/// All writers' host.
pub const WRITERS: Host = 101;
/// How long epochs in a row may take nothing.
const RETRY_FOR: Duration = Duration::from_secs(120);

/// What an attempt writes: per partition, the payload of each block.
pub type Output = BTreeMap<u32, Vec<Vec<u8>>>;

/// A frame's blocks.
type Body = Rc<(Vec<u8>, u32)>;

/// What writers share: links and the newest placement.
#[derive(Clone)]
pub struct Client {
    /// The world.
    pub sim: Sim,
    /// Its network.
    pub net: Net,
    /// The driver.
    pub driver: Driver,
    /// The newest placement that any task knows.
    pub newest: Rc<RefCell<Placement>>,
    /// A rule that is broken.
    pub broken: Option<Broken>,
    links: Rc<RefCell<BTreeMap<(WorkerId, String), Link>>>,
}

enum Event {
    Give(Piece<Body>),
    Acked(usize, u32, Ack),
    Failed(usize, Error, Option<WorkerId>, bool),
    Answered(Trouble, Result<Placement>),
    Settled(usize, Result<()>),
}

struct Route {
    key: ShardKey,
    chain: Vec<Place>,
    gone: Option<WorkerId>,
    split: bool,
}

impl Client {
    /// A client of `driver` that starts with this placement.
    pub fn new(sim: &Sim, net: &Net, driver: &Driver, placement: Placement, broken: Option<Broken>) -> Self {
        let (sim, net, driver) = (sim.clone(), net.clone(), driver.clone());
        Self { sim, net, driver, newest: Rc::new(RefCell::new(placement)), broken, links: Rc::default() }
    }

    fn link(&self, place: &Place) -> Link {
        let mut links = self.links.borrow_mut();
        links.retain(|_, link| link.is_open());
        let key = (place.worker, place.address.clone());
        links.entry(key).or_insert_with(|| Link::new(&self.sim, &self.net, WRITERS, place, true)).clone()
    }

    fn learn(&self, placement: Placement) {
        let mut newest = self.newest.borrow_mut();
        if placement.version > newest.version {
            *newest = placement;
        }
    }

    /// Writes an attempt's output; when it returns, every shard has confirmed what is its own.
    pub async fn write(&self, attempt: Attempt, output: &Output) -> Result<()> {
        let layout = self.newest.borrow().layout;
        let mut shards = BTreeMap::<u32, Vec<Vec<u8>>>::new();
        for (partition, payloads) in output {
            for (seq, payload) in payloads.iter().enumerate() {
                let last = seq + 1 == payloads.len();
                let block = seal(*partition, attempt, seq as u32, last, payload);
                shards.entry(layout.shard_of(*partition)).or_default().push(block);
            }
        }
        let (sender, mut done) = mpsc::unbounded_channel();
        let count = shards.len();
        for (shard, blocks) in shards {
            let (this, sender) = (self.clone(), sender.clone());
            self.sim.spawn(WRITERS, async move {
                let (events, heard) = mpsc::unbounded_channel();
                let lane = Lane::new(this, attempt, shard, events);
                // The writer may have failed elsewhere.
                let _ = sender.send(lane.run(blocks, heard).await);
            });
        }
        for _ in 0..count {
            done.recv().await.expect("every lane ends")?;
        }
        Ok(())
    }
}

/// A sealed block.
fn seal(partition: u32, attempt: Attempt, seq: u32, last: bool, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        payload_len: payload.len() as u32,
        raw_len: payload.len() as u32,
        codec: Codec::None,
        flags: if last { Flags::LAST } else { Flags::default() },
        partition,
        attempt,
        seq,
        items: 1,
    };
    let mut block = [&[0; HEADER_LEN], payload].concat();
    header.seal(&mut block);
    block
}

struct Lane {
    client: Client,
    attempt: Attempt,
    shard: u32,
    events: mpsc::UnboundedSender<Event>,
    placement: Placement,
    legs: Legs<Body>,
    routes: Vec<Route>,
    trouble: Option<Trouble>,
    seeking: bool,
    barren: u32,
    barren_since: Duration,
}

impl Lane {
    fn new(client: Client, attempt: Attempt, shard: u32, events: mpsc::UnboundedSender<Event>) -> Self {
        let placement = client.newest.borrow().clone();
        let mut this = Self {
            client,
            attempt,
            shard,
            events,
            placement,
            legs: Legs::new(),
            routes: vec![],
            trouble: None,
            seeking: false,
            barren: 0,
            barren_since: Duration::ZERO,
        };
        this.open();
        this
    }

    fn open(&mut self) {
        let epoch = self.placement.current(self.shard);
        let key = ShardKey { shuffle: self.placement.shuffle, shard: self.shard, epoch: epoch.epoch };
        self.routes.push(Route { key, chain: epoch.chain.clone(), gone: None, split: false });
        self.legs.open();
    }

    async fn run(mut self, blocks: Vec<Vec<u8>>, mut heard: mpsc::UnboundedReceiver<Event>) -> Result<()> {
        let (sim, events) = (self.client.sim.clone(), self.events.clone());
        sim.clone().spawn(WRITERS, async move {
            let mut rest = blocks.as_slice();
            let pace = sim.pick(1..400);
            while !rest.is_empty() {
                let (frame, after) = rest.split_at((sim.pick(1..4) as usize).min(rest.len()));
                rest = after;
                sim.sleep(sim.millis(0..pace)).await;
                let piece = piece(frame, rest.is_empty());
                // The lane may have failed.
                let _ = events.send(Event::Give(piece));
            }
        });
        loop {
            while let Some(next) = self.legs.next() {
                self.send(next);
            }
            for (leg, fin) in self.legs.take_ready() {
                self.settle(leg, fin);
            }
            if self.legs.is_done() {
                return Ok(());
            }
            match heard.recv().await.expect("the lane holds a sender") {
                Event::Give(piece) => self.legs.push(piece),
                Event::Acked(leg, frame, ack) => self.acknowledged(leg, frame, ack),
                Event::Failed(leg, error, suspect, answered) => self.failed(leg, error, suspect, answered)?,
                Event::Answered(asked, answer) => self.answered(&asked, answer)?,
                Event::Settled(leg, done) => {
                    done?;
                    self.legs.settled(leg);
                }
            }
        }
    }

    fn push(&self, leg: usize, frame: u32, last: Option<Last>, chain: &[Place]) -> Push {
        let (layout, attempt) = (self.placement.layout, self.attempt);
        Push { key: self.routes[leg].key, layout, attempt, frame, last, chain: chain.to_vec() }
    }

    fn send(&self, next: NextFrame<Body>) {
        let (leg, frame) = (next.leg, next.frame);
        let chain = &self.routes[leg].chain;
        let push = self.push(leg, frame, next.fin.map(Last::Whole), &chain[1..]);
        let (primary, events) = (chain[0].worker, self.events.clone());
        let answer = self.client.link(&chain[0]).send(request(&push, Rc::new(next.body.0.clone()), next.body.1));
        self.client.sim.spawn(WRITERS, async move {
            let event = match heard(answer).await {
                Outcome::Done(ack) => Event::Acked(leg, frame, ack),
                Outcome::Refused(failure) => {
                    let blames_other = failure.error.kind() == ErrorKind::Broken;
                    let suspect = failure.suspect.or_else(|| (!blames_other).then_some(primary));
                    Event::Failed(leg, failure.error, suspect, true)
                }
                Outcome::Gone(error) => Event::Failed(leg, error, Some(primary), false),
            };
            // The lane may have ended.
            let _ = events.send(event);
        });
    }

    fn acknowledged(&mut self, leg: usize, frame: u32, ack: Ack) {
        if !self.legs.acknowledged(leg, frame).is_empty() {
            self.barren = 0;
        }
        let current = leg + 1 == self.routes.len() && !self.legs.is_stuck();
        if ack.split && current && !std::mem::replace(&mut self.routes[leg].split, true) {
            let epoch = self.routes[leg].key.epoch;
            self.trouble.get_or_insert(Trouble::Split { shard: self.shard, epoch });
            self.seek();
        }
    }

    fn failed(&mut self, leg: usize, error: Error, suspect: Option<WorkerId>, answered: bool) -> Result<()> {
        let can_move = matches!(
            error.kind(),
            ErrorKind::Broken | ErrorKind::Retry | ErrorKind::Backpressure | ErrorKind::Stale | ErrorKind::Closed
        );
        if !can_move {
            return Err(error);
        }
        if !self.legs.broke(leg) {
            return Ok(());
        }
        let key = self.routes[leg].key;
        self.client.sim.trace(format_args!("{} {key}: its chain broke: {}", self.attempt, error.message()));
        let itself = answered && suspect == Some(self.routes[leg].chain[0].worker);
        self.routes[leg].gone = suspect.filter(|_| !itself);
        if leg + 1 < self.routes.len() {
            return Ok(());
        }
        if self.barren == 0 {
            self.barren_since = self.client.sim.now();
        }
        self.barren += 1;
        if self.barren > 1 && self.client.sim.now() - self.barren_since > RETRY_FOR {
            return Err(error);
        }
        let known = self.client.newest.borrow().clone();
        if known.version > self.placement.version {
            self.placement = known;
        }
        if self.placement.current(self.shard).epoch > key.epoch {
            self.trouble = None;
            self.open();
            return Ok(());
        }
        let why = error.message().to_owned();
        self.trouble = Some(Trouble::Broken { shard: self.shard, epoch: key.epoch, suspect, why });
        self.seek();
        Ok(())
    }

    fn seek(&mut self) {
        if std::mem::replace(&mut self.seeking, true) {
            return;
        }
        let Some(trouble) = self.trouble.clone() else { return };
        let rest = match self.barren {
            0 | 1 => Duration::ZERO,
            barren => Duration::from_secs(2).min(Duration::from_millis(50) * (1 << (barren - 2).min(10))),
        };
        let (client, events, shuffle) = (self.client.clone(), self.events.clone(), self.placement.shuffle);
        self.client.sim.spawn(WRITERS, async move {
            client.sim.sleep(rest).await;
            let answer = client.driver.ask(shuffle, &trouble).await;
            if let Ok(placement) = &answer {
                client.learn(placement.clone());
            }
            // The lane may have ended.
            let _ = events.send(Event::Answered(trouble, answer));
        });
    }

    fn answered(&mut self, asked: &Trouble, answer: Result<Placement>) -> Result<()> {
        self.seeking = false;
        let is_split = matches!(asked, Trouble::Split { .. });
        match answer {
            Ok(placement) => {
                let is_news = placement.version > self.placement.version;
                if is_news {
                    self.placement = placement;
                }
                let newer = self.placement.current(self.shard).epoch > self.routes[self.routes.len() - 1].key.epoch;
                if newer {
                    self.trouble = None;
                    if self.legs.is_stuck() || !self.legs.is_closed() {
                        self.open();
                    }
                } else if is_split {
                    self.trouble.take_if(|trouble| trouble == asked);
                } else if !is_news {
                    return Err(Error::new(ErrorKind::Broken, "the driver has opened no other epoch"));
                }
            }
            Err(_) if is_split => drop(self.trouble.take_if(|trouble| trouble == asked)),
            Err(error) => return Err(error),
        }
        if self.trouble.is_some() {
            self.seek();
        }
        Ok(())
    }

    fn settle(&self, leg: usize, fin: Fin) {
        let route = &self.routes[leg];
        let (mut members, rest): (Vec<_>, Vec<_>) =
            route.chain.iter().cloned().partition(|place| Some(place.worker) != route.gone);
        let there = members.len();
        members.extend(rest);
        let push = self.push(leg, fin.frames, Some(Last::Settled(fin)), &[]);
        let (client, events) = (self.client.clone(), self.events.clone());
        self.client.sim.spawn(WRITERS, async move {
            let done = match client.broken {
                Some(Broken::NoSettling) => Ok(()),
                _ => settle(&client, &push, &members, there).await,
            };
            client.sim.trace(format_args!("{} {} settled at {}: {}", push.attempt, push.key, fin.frames, done.is_ok()));
            // The lane may have ended.
            let _ = events.send(Event::Settled(leg, done));
        });
    }
}

/// Asks the members, one after the other, each with those that seem to be there and come after it.
async fn settle(client: &Client, push: &Push, members: &[Place], there: usize) -> Result<()> {
    for (at, place) in members.iter().enumerate() {
        let mut chain = members[(at + 1).min(there)..there].to_vec();
        loop {
            let push = Push { chain: chain.clone(), ..push.clone() };
            match client.link(place).ask(request(&push, Rc::default(), 0)).await {
                Outcome::Done(_) => return Ok(()),
                Outcome::Refused(failure) if failure.error.kind() == ErrorKind::Broken && !chain.is_empty() => {
                    let before = chain.len();
                    chain.retain(|place| Some(place.worker) != failure.suspect);
                    if chain.len() == before {
                        chain.clear();
                    }
                }
                Outcome::Refused(_) | Outcome::Gone(_) => break,
            }
        }
    }
    Err(Error::new(ErrorKind::DataLost, "none of the chain confirms what was acknowledged"))
}

fn piece(blocks: &[Vec<u8>], last: bool) -> Piece<Body> {
    let crc = |block: &Vec<u8>| u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    let sums = Fin {
        frames: 1,
        blocks: blocks.len() as u64,
        bytes: blocks.iter().map(|block| block.len() as u64).sum(),
        crc_xor: blocks.iter().map(crc).fold(0, |all, one| all ^ one),
    };
    Piece { body: Rc::new((blocks.concat(), blocks.len() as u32)), sums, last }
}
