//! One worker on one core, as it is: what it takes in and serves, how long a fetch takes meanwhile, and what
//! connections and shards cost it in memory. The client's part is a [`Peer`], on other cores if there are any.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use overhand_client::{Application, ApplicationConfig, Place};
use overhand_common::{
    ids::{Attempt, Layout, ShardKey},
    message::{Fetch, Last, Push},
};

use super::{
    cpu,
    peer::{Body, Peer},
    progress::Progress,
    servers::Servers,
};

/// Payload bytes of a block, and blocks of a frame: one for each partition.
const BLOCK: usize = 64 << 10;
const BLOCKS: u32 = 16;
/// What a measured fetch asks for, and how many frames make up a partition of it.
const FETCHED: u64 = 1 << 20;
/// Frames of a shuffle; then it is removed, which frees their memory.
const FRAMES: u32 = 512;
/// How long fetches are measured.
const LONG: Duration = Duration::from_secs(10);
/// How many are opened to see what one takes.
const CONNECTIONS: usize = 400;
const SHARDS: u32 = 20_000;
const ATTEMPT: Attempt = Attempt { map_index: 0, attempt: 1 };

/// What was measured.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Taking in: bytes per second, and CPU seconds of the worker per byte.
    pub taken: (f64, f64),
    /// Serving from memory, the same.
    pub served: (f64, f64),
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

/// A worker and how to reach it.
struct Measured {
    place: Place,
    token: String,
    process: u32,
}

/// Measures a worker of its own; `size` bytes go in and out.
pub fn measure(size: u64, servers: &Servers, progress: &mut Progress) -> anyhow::Result<Alone> {
    let app = format!("bench-{}-alone", std::process::id()).parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    let config =
        ApplicationConfig { replicas: Some(1), ..ApplicationConfig::new(vec![servers.coordinator().to_owned()], app) };
    let text = |error| anyhow::anyhow!("{error}");
    let application = Application::register(config).map_err(text)?;
    let placement = application.placement(0, 1).map_err(text)?;
    let place = placement.shards[0][0].chain[0].clone();
    let process = *servers.workers().first().context("there is a worker")?;
    let worker = Measured { place, token: application.token(), process };
    let frames = (size / Body::new(ATTEMPT, 0..BLOCKS, BLOCK).len()).max(1) as u32;

    progress.step("one worker on one core: memory of connections and shards");
    let (connection, shard) = worker.memory()?;
    progress.step("one worker on one core: warm-up");
    worker.in_and_out(1, frames)?;
    progress.step("one worker on one core: taking in, serving");
    let (taken, served) = worker.in_and_out(2, frames)?;
    progress.step("one worker on one core: fetches while data comes in");
    let (meanwhile, fetches) = worker.fetches()?;
    application.end().map_err(text)?;
    Ok(Alone { taken, served, meanwhile, fetches, connection, shard })
}

impl Measured {
    fn connect(&self) -> anyhow::Result<Peer> {
        Peer::connect(&self.place, &self.token)
    }

    /// What handles as many bytes as it returns: the bytes, how many per second, and CPU seconds per byte.
    fn rate(&self, run: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<(u64, (f64, f64))> {
        let (begun, before) = (Instant::now(), cpu::seconds(self.process)?);
        let bytes = run()?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok((bytes, (bytes as f64 / seconds, (cpu::seconds(self.process)? - before) / bytes as f64)))
    }

    /// Pushes so many frames, fetches them, and has them deleted.
    fn in_and_out(&self, shuffle: u32, frames: u32) -> anyhow::Result<((f64, f64), (f64, f64))> {
        let mut peer = self.connect()?;
        let (pushed, taken) = self.rate(|| fill(&mut peer, shuffle, frames))?;
        let (fetched, served) =
            self.rate(|| (0..BLOCKS).map(|partition| peer.fetch(&fetch(shuffle, partition..partition + 1))).sum())?;
        ensure!(fetched == pushed, "{pushed} bytes were pushed and {fetched} fetched");
        peer.remove(shuffle)?;
        Ok((taken, served))
    }

    /// Seconds of fetches of 1 MB, sorted, while another connection pushes as fast as it can: so many bytes per second.
    fn fetches(&self) -> anyhow::Result<(f64, Vec<f64>)> {
        let (mut reader, mut writer) = (self.connect()?, self.connect()?);
        let (asked, others) = (3, 4);
        // As many blocks in each partition as make up what is asked for.
        fill(&mut reader, asked, (FETCHED / BLOCK as u64) as u32)?;
        let (stop, pushed) = (&AtomicBool::new(false), &AtomicU64::new(0));
        thread::scope(|scope| {
            let writing = scope.spawn(move || -> anyhow::Result<()> {
                for shuffle in others.. {
                    let mut body = Body::new(ATTEMPT, 0..BLOCKS, BLOCK);
                    for _ in 0..FRAMES {
                        if stop.load(Ordering::Relaxed) {
                            return writer.remove(shuffle);
                        }
                        writer.push(&push(shuffle, body.next(), None), &body)?;
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
                    let found = reader.fetch(&fetch(asked, partition..partition + 1))?;
                    seconds.push(asked_at.elapsed().as_secs_f64());
                    ensure!(found >= FETCHED, "{found} bytes of {FETCHED} were fetched");
                }
                Ok(())
            };
            let read = read();
            let rate = pushed.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
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
        let layout = Layout::new(SHARDS, SHARDS).map_err(|error| anyhow::anyhow!("{error}"))?;
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

/// Pushes so many frames and the end of the attempt; how many bytes they had.
fn fill(peer: &mut Peer, shuffle: u32, frames: u32) -> anyhow::Result<u64> {
    let mut body = Body::new(ATTEMPT, 0..BLOCKS, BLOCK);
    for _ in 0..frames {
        let number = body.next();
        let last = (number + 1 == frames).then(|| Last::Whole(body.sums()));
        peer.push(&push(shuffle, number, last), &body)?;
    }
    peer.settle()?;
    Ok(body.sums().bytes)
}

fn key(shuffle: u32) -> ShardKey {
    ShardKey { shuffle, shard: 0, epoch: 0 }
}

fn push(shuffle: u32, frame: u32, last: Option<Last>) -> Push {
    let layout = Layout::new(BLOCKS, 1).expect("in bounds");
    Push { key: key(shuffle), layout, attempt: ATTEMPT, frame, last, chain: vec![] }
}

fn fetch(shuffle: u32, partitions: std::ops::Range<u32>) -> Fetch {
    Fetch { key: key(shuffle), partitions, maps: 0..1, credit: u64::MAX, without: vec![], ends: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_time_within_which_so_many_came() {
        let fetches = (1..=1000).map(f64::from).collect();
        let alone =
            Alone { taken: (0.0, 0.0), served: (0.0, 0.0), meanwhile: 0.0, fetches, connection: 0.0, shard: 0.0 };
        assert_eq!([500, 990, 999].map(|per_mille| alone.quantile(per_mille)), [500.0, 990.0, 999.0]);
        let few = Alone { fetches: vec![1.0, 2.0], ..alone };
        assert_eq!([500, 990].map(|per_mille| few.quantile(per_mille)), [1.0, 2.0]);
    }
}
