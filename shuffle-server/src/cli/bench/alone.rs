//! One worker on one core, as it is: what it takes in and serves, how long a fetch takes meanwhile, and what
//! connections and shards cost it in memory. The client's part is a [`Peer`], on other cores if there are any.

use std::{
    ops::{Range, RangeFrom},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use overhand_client::{Application, Place};
use overhand_common::{
    block::HEADER_LEN as BLOCK_HEADER,
    ids::{Attempt, Layout, ShardKey},
    message::{Fetch, Last, Push},
};

use super::{
    cpu, joined,
    peer::{Body, Peer},
    progress::Progress,
    register,
    servers::Servers,
    text,
};

/// Bytes of a block with its header, and the most blocks of a frame: one for each partition.
const BLOCK: usize = 64 << 10;
const BLOCKS: u32 = 16;
/// Fetches of an application under way at a time: as many as tasks of an application read at the same time.
const AT_A_TIME: usize = 16;
/// What a measured fetch asks for, and how many frames make up a partition of it.
const FETCHED: u64 = 1 << 20;
/// Frames of a shuffle; then it is removed, which frees their memory.
const FRAMES: u32 = 512;
/// Turns of what is written and read at once, of which the medians count.
const TURNS: u32 = 5;
/// How long fetches are measured.
const LONG: Duration = Duration::from_secs(10);
/// How many are opened to see what one takes.
const CONNECTIONS: usize = 400;
const SHARDS: u32 = 20_000;
const ATTEMPT: Attempt = Attempt { map_index: 0, attempt: 1 };

/// What was measured.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Taking in and serving: of few partitions, by one connection and by as many as what was asked for has, and in turn
    /// with them of that, if it is something else.
    pub rates: Vec<(Shape, Rates)>,
    /// Bytes per second that came in while fetches were measured.
    pub meanwhile: f64,
    /// Seconds of the fetches, sorted.
    pub fetches: Vec<f64>,
    /// Bytes of the worker's memory for a connection that says nothing.
    pub connection: f64,
    /// The same for a shard with one block of one attempt, without the block.
    pub shard: f64,
}

impl Alone {
    /// Seconds that so many of a thousand fetches took at most.
    pub fn quantile(&self, per_mille: usize) -> f64 {
        let at = (self.fetches.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.fetches.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// How fast one shape is handled.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Taking in: bytes per second, and CPU seconds of the worker per byte.
    pub taken: (f64, f64),
    /// Serving from memory, the same.
    pub served: (f64, f64),
}

impl Rates {
    /// The medians of each figure.
    fn median(turns: &[Rates]) -> Self {
        let of = |figure: fn(&Rates) -> f64| {
            let mut figures: Vec<f64> = turns.iter().map(figure).collect();
            figures.sort_unstable_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            taken: (of(|turn| turn.taken.0), of(|turn| turn.taken.1)),
            served: (of(|turn| turn.served.0), of(|turn| turn.served.1)),
        }
    }
}

/// What is written and read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Applications, each with a shuffle.
    pub applications: u32,
    /// Connections of each application, among which its map tasks and its partitions are shared.
    pub connections: u32,
    /// Map tasks of each shuffle, one after another by each connection.
    pub maps: u32,
    /// Partitions of each shuffle.
    pub partitions: u32,
    /// Bytes in all; each map task has a block at least.
    pub size: u64,
}

impl Shape {
    /// Connections of all applications together.
    pub fn all_connections(&self) -> u32 {
        self.applications * self.connections
    }

    /// Blocks that each map task has.
    fn blocks(&self) -> u64 {
        (self.size / (u64::from(self.applications) * u64::from(self.maps) * BLOCK as u64)).max(1)
    }

    /// Frames of so many blocks that each map task writes.
    fn frames(&self, blocks: u32) -> u32 {
        (self.blocks() / u64::from(blocks)) as u32
    }

    /// What of so many the connection of that number has.
    fn share(&self, of: u32, number: u32) -> Range<u32> {
        let until = |number| (u64::from(of) * u64::from(number) / u64::from(self.connections)) as u32;
        until(number)..until(number + 1)
    }
}

/// Blocks of a frame: a partition has one of them, and the partitions of a frame follow each other. The same for all
/// shapes, whose frames then take the same memory of a worker, and not that which the ones before have left behind.
fn frame(shapes: &[Shape]) -> u32 {
    let most = shapes.iter().map(Shape::blocks).min().unwrap_or(1).min(BLOCKS.into()) as u32;
    let fits = |blocks: &u32| shapes.iter().all(|shape| shape.partitions.is_multiple_of(*blocks));
    (1..=most).rev().find(fits).unwrap_or(1)
}

/// A worker and how to reach it.
struct Measured {
    place: Place,
    tokens: Vec<String>,
    process: u32,
}

/// Measures a worker of its own, with one application of 100 map tasks and 200 partitions, and with `shape` if that is
/// another one: then the one application has as many connections as that too.
pub fn measure(shape: Shape, servers: &Servers, progress: &mut Progress) -> anyhow::Result<Alone> {
    let few = Shape { applications: 1, connections: 1, maps: 100, partitions: 200, ..shape };
    let mut shapes = vec![few, Shape { connections: shape.all_connections(), ..few }, shape];
    shapes.dedup();
    let blocks = frame(&shapes);
    let coordinators = [servers.coordinator().to_owned()];
    let names = (0..shape.applications).map(|number| format!("alone-{number}"));
    let applications = names.map(|name| register(&coordinators, "", 1, &name)).collect::<anyhow::Result<Vec<_>>>()?;
    let placement = applications[0].placement(0, 1).map_err(text)?;
    let place = placement.shards[0][0].chain[0].clone();
    let process = *servers.workers().first().context("there is a worker")?;
    let worker = Measured { place, tokens: applications.iter().map(Application::token).collect(), process };

    progress.step("one worker on one core: memory of connections and shards");
    let (connection, shard) = worker.memory()?;
    progress.step("one worker on one core: warm-up");
    let mut shuffles = 1..;
    let mut in_and_out = |shape: &Shape| worker.in_and_out(shuffles.next().unwrap_or(u32::MAX), *shape, blocks);
    shapes.iter().try_for_each(|shape| in_and_out(shape).map(drop))?;
    let mut turns = vec![vec![]; shapes.len()];
    for turn in 1..=TURNS {
        progress.step(&format!("one worker on one core: taking in, serving, {turn} of {TURNS}"));
        for (shape, turns) in shapes.iter().zip(&mut turns) {
            turns.push(in_and_out(shape)?);
        }
    }
    let rates = shapes.into_iter().zip(turns.iter().map(|turns| Rates::median(turns))).collect();
    progress.step("one worker on one core: fetches while data comes in");
    let (meanwhile, fetches) = worker.fetches(shuffles)?;
    applications.iter().try_for_each(Application::end).map_err(text)?;
    Ok(Alone { rates, meanwhile, fetches, connection, shard })
}

impl Measured {
    fn connect(&self) -> anyhow::Result<Peer> {
        Peer::connect(&self.place, &self.tokens[0])
    }

    /// What all connections do at the same time, each with its number in its application: the bytes, how many per second,
    /// and CPU seconds of the worker per byte.
    fn rate(
        &self,
        peers: &mut [(u32, Peer)],
        run: impl Fn(u32, &mut Peer) -> anyhow::Result<u64> + Sync,
    ) -> anyhow::Result<(u64, (f64, f64))> {
        let (begun, before, run) = (Instant::now(), cpu::seconds(self.process)?, &run);
        let bytes: anyhow::Result<Vec<u64>> = thread::scope(|scope| {
            let running: Vec<_> =
                peers.iter_mut().map(|(number, peer)| scope.spawn(move || run(*number, peer))).collect();
            running.into_iter().map(joined).collect()
        });
        let (bytes, seconds) = (bytes?.iter().sum::<u64>(), begun.elapsed().as_secs_f64());
        Ok((bytes, (bytes as f64 / seconds, (cpu::seconds(self.process)? - before) / bytes as f64)))
    }

    /// Pushes the map tasks of all applications in frames of so many blocks, fetches their partitions one by one, and has
    /// the shuffles deleted.
    fn in_and_out(&self, shuffle: u32, shape: Shape, blocks: u32) -> anyhow::Result<Rates> {
        let tokens = self.tokens.iter().take(shape.applications as usize);
        let connections = tokens.flat_map(|token| (0..shape.connections).map(move |number| (number, token)));
        let connect = |(number, token): (u32, &String)| Ok((number, Peer::connect(&self.place, token)?));
        let mut peers = connections.map(connect).collect::<anyhow::Result<Vec<_>>>()?;
        let maps = |number| shape.share(shape.maps, number);
        let (pushed, taken) =
            self.rate(&mut peers, |number, peer| fill(peer, shuffle, &shape, blocks, maps(number)))?;
        let partitions = |number| shape.share(shape.partitions, number);
        let fetches = |number| partitions(number).map(|partition| fetch(shuffle, partition, shape.maps));
        let (fetched, served) = self.rate(&mut peers, |number, peer| peer.fetch_all(fetches(number), AT_A_TIME))?;
        ensure!(fetched == pushed, "{pushed} bytes were pushed and {fetched} fetched");
        peers.iter_mut().filter(|(number, _)| *number == 0).try_for_each(|(_, peer)| peer.remove(shuffle))?;
        Ok(Rates { taken, served })
    }

    /// Seconds of fetches of 1 MB, sorted, while another connection pushes as fast as it can: so many bytes per second.
    fn fetches(&self, mut shuffles: RangeFrom<u32>) -> anyhow::Result<(f64, Vec<f64>)> {
        let (mut reader, mut writer) = (self.connect()?, self.connect()?);
        let asked = shuffles.next().unwrap_or(u32::MAX);
        let size = FETCHED * u64::from(BLOCKS);
        let shape = Shape { applications: 1, connections: 1, maps: 1, partitions: BLOCKS, size };
        fill(&mut reader, asked, &shape, BLOCKS, 0..1)?;
        let (stop, pushed) = (&AtomicBool::new(false), &AtomicU64::new(0));
        thread::scope(|scope| {
            let writing = scope.spawn(move || -> anyhow::Result<()> {
                for shuffle in shuffles {
                    let mut body = Body::new(ATTEMPT, 0..BLOCKS, BLOCK - BLOCK_HEADER);
                    for _ in 0..FRAMES {
                        if stop.load(Ordering::Relaxed) {
                            return writer.remove(shuffle);
                        }
                        writer.push(&push(shuffle, BLOCKS, ATTEMPT, body.next(), None), &body)?;
                        pushed.fetch_add(body.len(), Ordering::Relaxed);
                    }
                    writer.remove(shuffle)?;
                }
                Ok(())
            });
            let (begun, mut seconds) = (Instant::now(), vec![]);
            let mut read = || -> anyhow::Result<()> {
                for partition in (0..BLOCKS).cycle() {
                    if begun.elapsed() > LONG {
                        break;
                    }
                    let asked_at = Instant::now();
                    let found = reader.fetch(fetch(asked, partition, 1))?;
                    seconds.push(asked_at.elapsed().as_secs_f64());
                    ensure!(found >= FETCHED, "{found} bytes of {FETCHED} were fetched");
                }
                Ok(())
            };
            let read = read();
            let rate = pushed.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            joined(writing)?;
            read?;
            reader.remove(asked)?;
            seconds.sort_unstable_by(f64::total_cmp);
            Ok((rate, seconds))
        })
    }

    /// Bytes of memory that a connection takes, and a shard.
    fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let shuffle = 0;
        let before = cpu::resident(self.process)?;
        let peers = (0..CONNECTIONS).map(|_| self.connect()).collect::<anyhow::Result<Vec<_>>>()?;
        let connected = cpu::resident(self.process)?;
        drop(peers);
        let mut peer = self.connect()?;
        let layout = Layout::new(SHARDS, SHARDS).map_err(text)?;
        let before_shards = cpu::resident(self.process)?;
        let mut blocks = 0;
        for shard in 0..SHARDS {
            let mut body = Body::new(ATTEMPT, shard..shard + 1, 0);
            let frame = body.next();
            let key = ShardKey { shuffle, shard, epoch: 0 };
            let last = Some(Last::Whole(body.sums()));
            peer.push(&Push { key, layout, attempt: ATTEMPT, frame, last, chain: vec![] }, &body)?;
            blocks += body.len();
        }
        peer.settle()?;
        let with_shards = cpu::resident(self.process)?;
        peer.remove(shuffle)?;
        let grown = |from: u64, to: u64, less: u64| to.saturating_sub(from + less) as f64;
        let connection = grown(before, connected, 0) / CONNECTIONS as f64;
        Ok((connection, grown(before_shards, with_shards, blocks) / f64::from(SHARDS)))
    }
}

/// Pushes some of one application's map tasks, whole, in frames of so many blocks; how many bytes they had. A task goes
/// on at the partition where the one before it has ended.
fn fill(peer: &mut Peer, shuffle: u32, shape: &Shape, blocks: u32, maps: Range<u32>) -> anyhow::Result<u64> {
    let (frames, mut bytes) = (shape.frames(blocks), 0);
    let mut body = Body::new(ATTEMPT, 0..blocks, BLOCK - BLOCK_HEADER);
    for map_index in maps {
        let attempt = Attempt { map_index, attempt: 1 };
        body.restart(attempt);
        for frame in 0..frames {
            let before = (u64::from(map_index) * u64::from(frames) + u64::from(frame)) * u64::from(blocks);
            body.move_to((before % u64::from(shape.partitions)) as u32);
            let number = body.next();
            let last = (number + 1 == frames).then(|| Last::Whole(body.sums()));
            peer.push(&push(shuffle, shape.partitions, attempt, number, last), &body)?;
        }
        bytes += body.sums().bytes;
    }
    peer.settle()?;
    Ok(bytes)
}

fn key(shuffle: u32) -> ShardKey {
    ShardKey { shuffle, shard: 0, epoch: 0 }
}

fn push(shuffle: u32, partitions: u32, attempt: Attempt, frame: u32, last: Option<Last>) -> Push {
    let layout = Layout::new(partitions, 1).expect("in bounds");
    Push { key: key(shuffle), layout, attempt, frame, last, chain: vec![] }
}

fn fetch(shuffle: u32, partition: u32, maps: u32) -> Fetch {
    let partitions = partition..partition + 1;
    Fetch { key: key(shuffle), partitions, maps: 0..maps, credit: u64::MAX, without: vec![], ends: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_blocks_for_partitions_that_follow_each_other() {
        let shape = |maps, partitions, size| Shape { applications: 1, connections: 1, maps, partitions, size };
        let one = shape(4, 64, 1 << 30);
        assert_eq!((frame(&[one]), one.blocks(), one.frames(16)), (16, 4096, 256));
        let other = shape(100, 200, 1 << 30);
        assert_eq!(frame(&[other]), 10, "16 would go beyond the last partition");
        assert_eq!(frame(&[one, other]), 8, "the same for both");
        let few = shape(1000, 10_000, 1000 * 3 * BLOCK as u64);
        assert_eq!((frame(&[few]), few.blocks()), (2, 3), "no more than a task has");
        assert_eq!((frame(&[shape(7, 1, 0)]), shape(7, 1, 0).blocks()), (1, 1));
    }

    #[test]
    fn connections_share_what_there_is() {
        let shape = Shape { applications: 1, connections: 3, maps: 0, partitions: 0, size: 0 };
        let shares = [0, 1, 2].map(|number| shape.share(100, number));
        assert_eq!(shares, [0..33, 33..66, 66..100]);
    }

    #[test]
    fn a_quantile_is_the_time_within_which_so_many_came() {
        let fetches = (1..=1000).map(f64::from).collect();
        let alone = Alone { rates: vec![], meanwhile: 0.0, fetches, connection: 0.0, shard: 0.0 };
        assert_eq!([500, 990, 999].map(|per_mille| alone.quantile(per_mille)), [500.0, 990.0, 999.0]);
        let few = Alone { fetches: vec![1.0, 2.0], ..alone };
        assert_eq!([500, 990].map(|per_mille| few.quantile(per_mille)), [1.0, 2.0]);
    }
}
