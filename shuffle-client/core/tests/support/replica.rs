//! Workers of one chain that serve what was written elsewhere, each in its own way wrong if told so, and a driver.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use overhand_client::{
    AppId, Attempt, Client, Driver, Epoch, Error, ErrorKind, Expected, Layout, Place, Placement, Result, Trouble,
    WorkerId,
};
use overhand_common::{
    block::Block,
    ids::ShardKey,
    message::{End, Failure, Fetch, HEADER_LEN, Header, Hello, Kind, VERSION, Welcome, message},
};

use super::{Items, attempt, items, pieces, placement, records, worker::Worker, write_attempt};

/// A block as it was written.
pub type Bytes = Vec<u8>;

/// What happens in a fetch after so many blocks.
#[derive(Debug, Clone)]
pub enum Then {
    /// The connection is closed.
    Cut,
    /// The fetch fails like this.
    Fail(Error),
    /// Nothing is ever sent again over any connection; new ones are taken and not answered.
    Stop,
    /// Nothing more is sent of this fetch, but that the worker is busy.
    Stall,
}

/// What a replica holds and how it answers.
#[derive(Debug, Default)]
pub struct State {
    pub blocks: BTreeMap<ShardKey, Vec<Bytes>>,
    /// In every fetch, after so many blocks.
    pub then: Option<(usize, Then)>,
    pub delay: Duration,
    /// Flips a bit of every block of these attempts.
    pub damages: Vec<Attempt>,
    stopped: bool,
    /// Every fetch as it was asked.
    pub fetches: Vec<Fetch>,
    /// Bytes of blocks that were sent.
    pub sent: usize,
}

/// A worker that only serves.
pub struct Replica {
    pub place: Place,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

impl Replica {
    pub fn start(id: u128) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let worker = WorkerId { id: uuid::Uuid::from_u128(id), incarnation: 1 };
        let place = Place { worker, address: listener.local_addr().expect("bound").to_string() };
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.expect("a connection"), Arc::clone(&accepting));
                thread::spawn(move || serve(stream, worker, &shared));
            }
        });
        Self { place, shared }
    }

    /// One that takes these blocks.
    pub fn with(id: u128, key: ShardKey, blocks: &[Bytes]) -> Self {
        let replica = Self::start(id);
        replica.state().blocks.insert(key, blocks.to_vec());
        replica
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic")
    }
}

/// The credit of a connection's fetches.
#[derive(Default)]
struct Credits {
    left: Mutex<BTreeMap<u64, i64>>,
    changed: Condvar,
}

fn serve(mut stream: TcpStream, worker: WorkerId, shared: &Arc<Shared>) -> Option<()> {
    stream.set_nodelay(true).expect("a socket");
    let output = Arc::new(Mutex::new(stream.try_clone().expect("a socket")));
    let credits = Arc::<Credits>::default();
    loop {
        let mut bytes = [0; HEADER_LEN];
        stream.read_exact(&mut bytes).ok()?;
        let header = Header::decode(&bytes).expect("well-formed");
        let mut head = vec![0; header.head_len as usize];
        stream.read_exact(&mut head).ok()?;
        match header.kind {
            Kind::Hello => {
                let version = Hello::decode(&head).expect("well-formed").negotiate().expect("our version");
                let welcome = Welcome { version, worker, window: 100_000 };
                send(shared, &output, &message(Kind::Welcome, 0, &welcome.encode()))?;
            }
            Kind::Fetch => {
                let fetch = Fetch::decode(&head, VERSION).expect("well-formed");
                credits.left.lock().expect("no panic").insert(header.stream, fetch.credit as i64);
                let (shared, output, credits) = (Arc::clone(shared), Arc::clone(&output), Arc::clone(&credits));
                thread::spawn(move || answer(&shared, &output, &credits, header.stream, fetch));
            }
            Kind::Credit => {
                let granted = u64::from_le_bytes(head.try_into().expect("well-formed"));
                if let Some(left) = credits.left.lock().expect("no panic").get_mut(&header.stream) {
                    *left += granted as i64;
                }
                credits.changed.notify_all();
            }
            Kind::Cancel => {
                credits.left.lock().expect("no panic").remove(&header.stream);
                credits.changed.notify_all();
            }
            other => panic!("{other:?} is not for a replica"),
        }
    }
}

/// Sends, unless the worker was stopped.
fn send(shared: &Shared, output: &Mutex<TcpStream>, bytes: &[u8]) -> Option<()> {
    if shared.state.lock().expect("no panic").stopped {
        return None;
    }
    output.lock().expect("no panic").write_all(bytes).ok()
}

fn answer(shared: &Shared, output: &Mutex<TcpStream>, credits: &Credits, stream: u64, fetch: Fetch) -> Option<()> {
    let (blocks, then, delay) = {
        let mut state = shared.state.lock().expect("no panic");
        state.fetches.push(fetch.clone());
        (state.find(&fetch), state.then.clone(), state.delay)
    };
    thread::sleep(delay);
    let fail = |error| send(shared, output, &message(Kind::Failure, stream, &Failure::new(error).encode(VERSION)));
    let Some(blocks) = blocks else {
        return fail(Error::new(ErrorKind::NotFound, format!("{} is not here", fetch.key)));
    };
    let mut bytes = 0;
    let end = blocks.len();
    for (number, block) in blocks.into_iter().map(Some).chain([None]).enumerate() {
        if let Some((after, then)) = &then
            && (*after == number || number == end)
        {
            match then {
                Then::Cut => output.lock().expect("no panic").shutdown(std::net::Shutdown::Both).expect("open"),
                Then::Fail(error) => fail(error.clone())?,
                Then::Stop => shared.state.lock().expect("no panic").stopped = true,
                Then::Stall => loop {
                    thread::sleep(Duration::from_millis(100));
                    send(shared, output, &message(Kind::Busy, 0, &[]))?;
                },
            }
            return None;
        }
        let Some(block) = block else { break };
        let mut left = credits.left.lock().expect("no panic");
        while *left.get(&stream)? <= 0 {
            left = credits.changed.wait(left).expect("no panic");
        }
        *left.get_mut(&stream)? -= block.len() as i64;
        drop(left);
        let mut out = Header::new(Kind::Data, stream, &[], block.len() as u32, 0).encode().to_vec();
        out.extend_from_slice(&block);
        bytes += block.len() as u64;
        shared.state.lock().expect("no panic").sent += block.len();
        send(shared, output, &out)?;
    }
    send(shared, output, &message(Kind::End, stream, &End { bytes }.encode()))
}

impl State {
    fn find(&self, fetch: &Fetch) -> Option<Vec<Bytes>> {
        let asked = |bytes: &&Bytes| {
            let (block, _) = Block::split(bytes).expect("kept as it was");
            let map = block.header.attempt.map_index;
            fetch.partitions.contains(&block.header.partition)
                && fetch.maps.contains(&map)
                && !fetch.without.iter().any(|range| range.contains(&map))
        };
        let found = self.blocks.get(&fetch.key)?.iter().filter(asked).cloned();
        let sent = found.map(|mut bytes| {
            let (block, _) = Block::split(&bytes).expect("kept as it was");
            if self.damages.contains(&block.header.attempt) {
                *bytes.last_mut().expect("a block") ^= 4;
            }
            bytes
        });
        Some(sent.collect())
    }
}

/// A shuffle as it was written: what each shard holds, in the order of map indexes.
pub struct Written {
    pub partitions: u32,
    pub blocks: BTreeMap<u32, Vec<Bytes>>,
    pub expected: Vec<Expected>,
    pub items: Items,
}

pub const SHUFFLE: u32 = 1;

pub fn key(shard: u32, epoch: u32) -> ShardKey {
    ShardKey { shuffle: SHUFFLE, shard, epoch }
}

/// Lets `maps` map tasks write records of 100 bytes.
pub fn written(client: &Client, (partitions, shards): (u32, u32), maps: u32, per_map: u32) -> Written {
    let worker = Worker::start();
    let placement = placement(&worker.address, SHUFFLE, partitions, shards);
    let (mut expected, mut all) = (vec![], vec![]);
    for map in 0..maps {
        let records = records(map, per_map, partitions, 100);
        let stored = write_attempt(client, &placement, attempt(map), &records).expect("written");
        expected.extend(pieces(attempt(map), &stored));
        all.extend(records);
    }
    let blocks = std::mem::take(&mut worker.state().blocks);
    let blocks = blocks.into_iter().map(|((_, shard), blocks)| (shard, blocks)).collect();
    Written { partitions, blocks, expected, items: items(&all) }
}

impl Written {
    /// The blocks of a shard by these map tasks.
    pub fn of(&self, shard: u32, maps: impl Fn(u32) -> bool) -> Vec<Bytes> {
        let by = |bytes: &&Bytes| maps(Block::split(bytes).expect("whole").0.header.attempt.map_index);
        self.blocks[&shard].iter().filter(by).cloned().collect()
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.blocks.values().flatten().map(Vec::len).sum()
    }

    /// A placement with these chains: per shard its epochs.
    pub fn placement(&self, version: u64, shards: &[&[&[&Replica]]]) -> Arc<Placement> {
        let epoch = |(epoch, chain): (u32, &&[&Replica])| Epoch {
            epoch,
            chain: chain.iter().map(|replica| replica.place.clone()).collect(),
        };
        let mut placement = (*placement("nowhere:1", SHUFFLE, self.partitions, shards.len() as u32)).clone();
        placement.version = version;
        placement.layout = Layout::new(self.partitions, shards.len() as u32).expect("in bounds");
        placement.shards = shards.iter().map(|epochs| (0..).zip(epochs.iter()).map(epoch).collect()).collect();
        Arc::new(placement)
    }
}

/// A driver that knows one placement, and counts who asks.
#[derive(Debug)]
pub struct Knows {
    pub placement: Mutex<Arc<Placement>>,
    pub asked: AtomicUsize,
}

impl Knows {
    pub fn new(placement: &Arc<Placement>) -> Arc<Self> {
        Arc::new(Self { placement: Mutex::new(Arc::clone(placement)), asked: AtomicUsize::new(0) })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Driver for Knows {
    fn ask(&self, _: &AppId, _: u32, trouble: &Trouble) -> Result<Placement> {
        assert_eq!(*trouble, Trouble::Unreadable);
        self.asked.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        Ok((**self.placement.lock().expect("no panic")).clone())
    }
}
