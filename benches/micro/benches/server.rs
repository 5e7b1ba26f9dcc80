//! What a worker does with a frame, without its network: decode, check and keep, find again; segments.

mod common;

use std::{
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use overhand_common::{
    block::{Block, Codec, Flags, Header},
    ids::{AppId, Attempt, Layout, ShardKey},
    message::{Fetch, Push},
    segment::Identity,
};
use overhand_server::{
    disk::RealMedium,
    segment::{self, Source},
    worker::store::{Metrics, Settings, Store},
};
use tokio::runtime::Runtime;

use common::{BLOCK, half_random, short};

/// Bytes of a frame's blocks, about.
const FRAME: usize = 1 << 20;
/// Frames that are kept at a time.
const KEPT: u32 = 64;
const PARTITIONS: u32 = 64;
const ATTEMPT: Attempt = Attempt { map_index: 0, attempt: 1 };

/// Payload bytes of the blocks: large ones, as of few partitions, and small ones, as of many.
const SIZES: [usize; 2] = [BLOCK, 1 << 10];

fn app() -> AppId {
    "bench".parse().expect("a name")
}

fn layout() -> Layout {
    Layout::new(PARTITIONS, 1).expect("in bounds")
}

fn key(shuffle: u32) -> ShardKey {
    ShardKey { shuffle, shard: 0, epoch: 0 }
}

/// Blocks of one frame after the other, over all partitions by turns.
struct Frames {
    headers: Vec<Header>,
    bytes: Vec<u8>,
}

impl Frames {
    /// Blocks of so many payload bytes.
    fn new(payload: usize) -> Self {
        let blocks = (FRAME / payload) as u32;
        let header = |seq| Header {
            payload_len: payload as u32,
            raw_len: payload as u32,
            codec: Codec::None,
            flags: Flags::default(),
            partition: seq % PARTITIONS,
            attempt: ATTEMPT,
            seq,
            items: 1,
        };
        let headers: Vec<_> = (0..blocks).map(header).collect();
        let bytes = half_random(headers.iter().map(Header::block_len).sum());
        let mut this = Self { headers, bytes };
        this.number(0);
        this
    }

    /// Makes the frame with this number of it.
    fn number(&mut self, number: u32) {
        let (mut rest, blocks) = (self.bytes.as_mut_slice(), self.headers.len() as u32);
        for (at, header) in (0..).zip(&mut self.headers) {
            let (block, after) = rest.split_at_mut(header.block_len());
            header.seq = number * blocks + at;
            header.seal(block);
            rest = after;
        }
    }
}

/// The blocks of a frame, checked.
fn blocks(mut rest: &[u8]) -> Vec<(u32, &[u8])> {
    let mut blocks = vec![];
    while !rest.is_empty() {
        let (block, after) = Block::split(rest).expect("undamaged");
        blocks.push((block.header.partition, &rest[..block.header.block_len()]));
        rest = after;
    }
    blocks
}

fn store(folder: &Path) -> Arc<Store> {
    let settings = Settings { disk_reserve: 0, ..Settings::new(vec![folder.to_owned()], 512 << 20) };
    Store::open(settings, Metrics::new(&metrics::NoopRecorder)).expect("the store opens")
}

/// Gives a shuffle `count` frames; the time without what makes them, and without the copy that stands for the socket's.
async fn keep(store: &Store, shuffle: u32, frames: &mut Frames, count: u32) -> Duration {
    let (key, blocks) = (key(shuffle), frames.headers.len() as u32);
    let mut push = Push { key, layout: layout(), attempt: ATTEMPT, frame: 0, last: None, chain: vec![] };
    let mut spent = Duration::ZERO;
    for number in 0..count {
        frames.number(number);
        push.frame = number;
        let begun = Instant::now();
        let mut body = store.reserve(&app(), frames.bytes.len(), blocks).await.expect("there is memory");
        spent += begun.elapsed();
        body.copy_from_slice(&frames.bytes);
        let begun = Instant::now();
        store.push(&app(), &push, Arc::new(body), blocks).await.expect("taken");
        spent += begun.elapsed();
    }
    spent
}

/// Bytes of a partition's blocks.
async fn find(store: &Store, shuffle: u32, partition: u32) -> u64 {
    let (partitions, maps) = (partition..partition + 1, 0..1);
    let fetch = Fetch { key: key(shuffle), partitions, maps, credit: 0, without: vec![], ends: false };
    let mut cursor = store.fetch(&app(), &fetch).expect("it is there");
    let mut found = 0;
    while let Some(piece) = cursor.next(1 << 20).await.expect("readable") {
        found += piece.len();
    }
    found
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode and check");
    for payload in SIZES {
        let bytes = Frames::new(payload).bytes;
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(payload), |bencher| {
            bencher.iter(|| blocks(black_box(&bytes)).len());
        });
    }
    group.finish();
}

fn insert(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut shuffle = 0;
    let mut group = criterion.benchmark_group("frame/check and keep");
    for payload in SIZES {
        let mut frames = Frames::new(payload);
        group.throughput(Throughput::Bytes(frames.bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(payload), |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut left, mut spent) = (iterations, Duration::ZERO);
                while left > 0 {
                    let count = left.min(u64::from(KEPT)) as u32;
                    spent += runtime.block_on(keep(&store, shuffle, &mut frames, count));
                    runtime.block_on(store.remove_shuffle(&app(), shuffle)).expect("removed");
                    (left, shuffle) = (left - u64::from(count), shuffle + 1);
                }
                spent
            });
        });
    }
    group.finish();
}

/// Finds the blocks of one partition after the other: all that a worker does of a fetch from memory but to send.
fn fetch(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut group = criterion.benchmark_group("fetch/find in memory");
    for (shuffle, payload) in (0..).zip(SIZES) {
        runtime.block_on(keep(&store, shuffle, &mut Frames::new(payload), KEPT));
        let all = || (0..PARTITIONS).map(|partition| runtime.block_on(find(&store, shuffle, partition))).sum::<u64>();
        group.throughput(Throughput::Bytes(all()));
        group.bench_function(BenchmarkId::from_parameter(payload), |bencher| bencher.iter(all));
    }
    group.finish();
}

/// Through the page cache: what reaches the disk when is the system's matter.
fn segments(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |number: u64| -> PathBuf { folder.path().join(format!("app/{number}.seg")) };
    let mut group = criterion.benchmark_group("segment");
    for payload in SIZES {
        let bytes = Frames::new(payload).bytes;
        let mut sorted = blocks(&bytes);
        sorted.sort_by_key(|block| block.0);
        let sources = || {
            let sources = sorted.iter().map(|(partition, bytes)| Source { partition: *partition, map_index: 0, bytes });
            sources.flat_map(|source| std::iter::repeat_n(source, KEPT as usize))
        };
        let write = |number| {
            let identity = Identity { app: app(), key: key(0), layout: layout(), number };
            segment::write(&RealMedium, &path(number), &identity, sources(), false, &|| false).expect("written")
        };
        let written = write(0);
        group.throughput(Throughput::Bytes(written.extent.len));
        group.bench_function(BenchmarkId::new("write", payload), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for number in 1..=iterations {
                    let begun = Instant::now();
                    write(number);
                    spent += begun.elapsed();
                    std::fs::remove_file(path(number)).expect("it is there");
                }
                spent
            });
        });
        let file = File::open(path(0)).expect("it is there");
        let mut room = vec![0; FRAME];
        group.bench_function(BenchmarkId::new("read", payload), |bencher| {
            bencher.iter(|| {
                for at in (0..written.extent.len).step_by(FRAME) {
                    let len = room.len().min((written.extent.len - at) as usize);
                    file.read_exact_at(&mut room[..len], at).expect("readable");
                }
            });
        });
        std::fs::remove_file(path(0)).expect("it is there");
    }
    group.finish();
}

criterion_group!(name = server; config = short(); targets = decode, insert, fetch, segments);
criterion_main!(server);
